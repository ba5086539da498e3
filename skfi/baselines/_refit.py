"""Training again on some of the rows: for scores that ask what other models say.

Out-of-fold probabilities and Data Shapley both fit clones on subsets. Subsets may lack
classes, weights must reach the steps of a Pipeline that take them, and a result must not
depend on which worker came first: all of that is settled here once.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.validation import _num_samples

from .._utils._checks import encode_labels, predicted_labels
from ..bridge._routing import weight_params
from ._loss import probabilities


def fresh(estimator, seed: int):
    """An unfitted clone that ``fit`` does train, with a seed where none was set."""
    if isinstance(estimator, FrozenEstimator):  # its clone is itself, and fit does nothing
        return fresh(estimator.estimator, seed)
    copy = clone(estimator)
    if isinstance(copy, Pipeline):
        name, last = copy.steps[-1]
        copy.steps[-1] = (name, fresh(last, seed))
    unset = {
        key: seed
        for key, value in copy.get_params().items()
        if key.rpartition("__")[2] == "random_state" and value is None
    }
    return copy.set_params(**unset)


def fit_on(estimator, X, y, weight, rows: np.ndarray, seed: int):
    """A fresh clone fitted on some rows; ``weight`` (n,) or None."""
    copy = fresh(estimator, seed)
    params: dict = {}
    if weight is not None and _routing_enabled():
        params = {"sample_weight": weight[rows]}  # the steps have said what they ask for
    elif weight is not None:
        params = weight_params(copy, weight[rows])
    return copy.fit(_safe_indexing(X, rows), y[rows], **params)


def prior_on(y, weight, rows: np.ndarray):
    """The model that knows the labels' frequencies only; one class: that class."""
    part = None if weight is None else weight[rows]
    model = DummyClassifier(strategy="prior")
    return model.fit(np.zeros((len(rows), 1)), y[rows], sample_weight=part)


class AllClasses(ClassifierMixin, BaseEstimator):
    """A model fitted on rows that lacked classes, with a column for each class."""

    def __init__(self, model, classes):
        self.model = model
        self.classes = classes

    @property
    def classes_(self) -> np.ndarray:
        return self.classes

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X):
        return predicted_labels(self.model, X)

    def predict_proba(self, X) -> np.ndarray:
        proba = np.zeros((_num_samples(X), len(self.classes)))
        columns = encode_labels(np.asarray(self.model.classes_), self.classes, "y")
        proba[:, columns] = probabilities(self.model, X)
        return proba


def with_all_classes(model, classes: np.ndarray):
    """The model itself where it knows all classes."""
    return model if len(model.classes_) == len(classes) else AllClasses(model, classes)
