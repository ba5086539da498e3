"""Scores for classifiers made of trees: a logistic regression on their leaves.

A tree has no gradient in its rows. The leaves that a row reaches are what the classifier
knows of it, and a linear model of the leaves has a gradient.
"""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import check_random_state
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import _num_samples, check_array, check_is_fitted

from .._utils._in_place import own_rows, parts
from .._utils._trained_rows import last_of
from .._utils._versioned import VersionedState
from ..bridge._base import transform_before_last
from ..bridge._refusals import refuse_resampling
from ..bridge._routing import weight_params

# The first trees of boosting learn most of what it learns, and those of a forest are alike.
MOST_TREES = 30
# Leaves of a tree that nothing else bounds: as many as those of HistGradientBoosting.
MOST_LEAVES = 31
# K - 1 times the leaves of all trees.
MOST_PARAMETERS = 8000
_C = 0.1
# In units of a tree's largest value: sums of trees are rounded, and so are their differences.
_SAME_LEAF = 1e-9

# Classes by name, as importing them all would slow down ``import skfi``.
_BOOSTED = {
    "HistGradientBoostingClassifier",
    "GradientBoostingClassifier",
    "LGBMClassifier",
    "XGBClassifier",
}  # with a tree for each class in every round, where there are more than two
_OF_TREES = {"BaggingClassifier", "AdaBoostClassifier"}  # where they hold decision trees
_READ = {
    *_BOOSTED,
    *_OF_TREES,
    "CatBoostClassifier",
    "DecisionTreeClassifier",
    "ExtraTreesClassifier",
    "RandomForestClassifier",
}
# By these names they call the number of trees.
_N_TREES = {
    "iterations",
    "max_iter",
    "n_estimators",
    "n_iter",
    "nrounds",
    "num_boost_round",
    "num_iteration",
    "num_iterations",
    "num_round",
    "num_rounds",
    "num_tree",
    "num_trees",
}
# Stopping early needs rows that are passed to the estimator's own fit alone.
_STOPPING = {"early_stopping_round", "early_stopping_rounds"}


def leaf_scorer(estimator: Any, random_state: Any = None) -> Pipeline:
    """Classifier that scores rows by the leaves of the estimator's trees, not fitted."""
    leaves, logistic = LeafEncoder(estimator, random_state), LogisticRegression(C=_C)
    if _routing_enabled():
        taken = bool(get_routing_for_object(estimator).consumes("fit", ["sample_weight"]))
        leaves.set_fit_request(sample_weight=taken)
        logistic.set_fit_request(sample_weight=taken)
    onehot = OneHotEncoder(handle_unknown="ignore")
    onehot.set_output(transform="default")  # pandas has no sparse rows
    return Pipeline([("leaves", leaves), ("onehot", onehot), ("logistic", logistic)])


def reads_leaves(scorer: Any) -> bool:
    """Whether a Pipeline's columns are leaves, others after each fit."""
    return isinstance(scorer, Pipeline) and isinstance(scorer.steps[0][1], LeafEncoder)


def check_trees(estimator: Any) -> None:
    """Refuse a classifier whose leaves skfi cannot read."""
    last = estimator
    while isinstance(last, Pipeline):
        refuse_resampling(last, "trimmer")
        last = last.steps[-1][1]
    family, name = _family(last), type(last).__name__
    if family in _OF_TREES:
        base = last.estimator
        if base is None or _family(base) == "DecisionTreeClassifier":
            return
        name = f"{name} over {type(base).__name__}"
    elif family == "XGBClassifier" and last.get_params().get("booster") == "gblinear":
        name = f"{name} with booster='gblinear'"
    elif family is not None:
        return
    raise TypeError(
        'influence_estimator="leaves" scores rows by the leaves of the estimator\'s own trees, '
        f"and skfi can read none in {name}. It reads those of {', '.join(sorted(_READ))}, and "
        "of Pipelines that end in one of these. For other classifiers, pass one that scores "
        "the rows: influence_estimator=make_pipeline(StandardScaler(), LogisticRegression())."
    )


def _family(estimator: Any) -> str | None:
    names = (kind.__name__ for kind in type(estimator).__mro__)
    return next((name for name in names if name in _READ), None)


class LeafEncoder(VersionedState, TransformerMixin, BaseEstimator):
    """Fits a classifier of trees and returns the leaf that each row reaches in each tree.

    Parameters
    ----------
    estimator : estimator
        Classifier of trees, or a Pipeline that ends in one. A clone is fitted, with at most
        ``MOST_TREES`` trees of ``MOST_LEAVES`` leaves.
    random_state : int, RandomState instance or None, default=None
        Seed of what has a ``random_state`` of None in it.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone.
    n_trees_ : int
        Number of trees that are read: the first ones.
    """

    def __init__(self, estimator: Any, random_state: Any = None) -> None:
        self.estimator = estimator
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LeafEncoder:
        """Fit the trees, and choose as many as have few enough leaves."""
        model, n_classes = clone(self.estimator), len(np.unique(y))
        _seed(model, self.random_state)
        by_class = n_classes > 2 and _family(last_of(model)) in _BOOSTED
        _bound(model, -(-MOST_TREES // n_classes) if by_class else MOST_TREES)
        params: dict[str, Any] = {}
        if sample_weight is not None:
            params = {"sample_weight": sample_weight}
            if not _routing_enabled():
                params = weight_params(model, sample_weight)
        self.estimator_ = model.fit(own_rows(model, X), y, **params)
        reached = self._reached(X)
        self._cuts = None
        if reached.dtype.kind == "f":
            self._cuts = [_cuts(values) for values in reached.T]
            reached = self._numbered(reached)
        n_leaves = np.cumsum([len(np.unique(leaf)) for leaf in reached.T])
        few = n_leaves * max(n_classes - 1, 1) <= MOST_PARAMETERS
        least = n_classes if by_class else 1
        self.n_trees_ = min(max(int(few.sum()), least), MOST_TREES, reached.shape[1])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Numbers of the leaves that the rows reach.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows as the classifier takes them.

        Returns
        -------
        leaves : ndarray of int of shape (n, n_trees_)
            One column a tree.
        """
        check_is_fitted(self)
        return self._numbered(self._reached(X))[:, : self.n_trees_]

    def _reached(self, X: Any) -> np.ndarray:
        """Leaves, as numbers or, for HistGradientBoosting, by their values; a column a tree."""
        model = self.estimator_
        while isinstance(model, Pipeline):
            if len(model.steps) > 1:
                X = transform_before_last(model, X)
            model = model.steps[-1][1]
        family = _family(model)
        if family == "HistGradientBoostingClassifier":
            return _tree_values(model, X)
        if family in _OF_TREES:
            leaves = _members_leaves(model, X)
        elif family == "LGBMClassifier":
            leaves = model.predict(X, pred_leaf=True)
        elif family == "CatBoostClassifier":
            leaves = model.calc_leaf_indexes(X)
        else:
            leaves = model.apply(X)
        return np.asarray(leaves).reshape(_num_samples(X), -1).astype(np.intp)

    def _numbered(self, reached: np.ndarray) -> np.ndarray:
        if self._cuts is None:
            return reached
        pairs = zip(self._cuts, reached.T, strict=True)
        return np.column_stack([np.searchsorted(cuts, values) for cuts, values in pairs])


def _seed(model: Any, random_state: Any) -> None:
    if random_state is None:
        return
    random = check_random_state(random_state)
    for part in parts(model):
        own = part.get_params(deep=False)
        if "random_state" in own and own["random_state"] is None:
            part.set_params(random_state=int(random.randint(np.iinfo(np.int32).max)))


def _bound(model: Any, n_rounds: int) -> None:
    """Set how many trees a classifier of trees has, and leaves in each, at most."""
    last = last_of(model)
    own = last.get_params(deep=False)
    most = dict.fromkeys(_N_TREES & set(own), n_rounds)
    if _family(last) == "CatBoostClassifier" and not most:  # its defaults are not among them
        last.set_params(iterations=n_rounds)
    for name, value in most.items():
        if own[name] is None or own[name] > value:
            last.set_params(**{name: value})
    for name in _STOPPING & set(own):
        last.set_params(**{name: None})
    if _family(last) == "BaggingClassifier" and last.estimator is None:
        from sklearn.tree import DecisionTreeClassifier

        last.set_params(estimator=DecisionTreeClassifier())
    for part in parts(last):
        leaves = part.get_params(deep=False).get("max_leaf_nodes", 0)
        if leaves is None or leaves > MOST_LEAVES:
            part.set_params(max_leaf_nodes=MOST_LEAVES)


def _tree_values(boosting: Any, X: Any) -> np.ndarray:
    """What each tree adds to the decision function: HistGradientBoosting has no ``apply``."""
    stages = boosting.staged_decision_function(X)
    n_rows, rounds = _num_samples(X), islice(stages, MOST_TREES)
    sums = [np.asarray(stage, np.float64).reshape(n_rows, -1) for stage in rounds]
    # The first holds the baseline as well, the same for all rows.
    return np.hstack([sums[0], *(after - before for before, after in pairwise(sums))])


def _cuts(values: np.ndarray) -> np.ndarray:
    """Middles between values that are not alike, in order."""
    values = np.unique(values)
    apart = np.diff(values) > _SAME_LEAF * np.abs(values).max(initial=0.0)
    return (values[:-1][apart] + values[1:][apart]) / 2


def _members_leaves(ensemble: Any, X: Any) -> np.ndarray:
    X = check_array(X, accept_sparse="csr", dtype=np.float32, ensure_all_finite="allow-nan")
    columns = getattr(ensemble, "estimators_features_", None)
    trees = ensemble.estimators_[:MOST_TREES]
    leaves = [
        tree.apply(X if columns is None else X[:, columns[k]]) for k, tree in enumerate(trees)
    ]
    return np.column_stack(leaves)
