"""The contract of query strategies: fitted on labelled rows, queried for rows of a pool.

A strategy adds how rows are scored (`_score`) and, if its batch is not the highest scores, how
a batch is chosen (`_select`). Arguments are checked here, once.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _num_samples,
    check_array,
    check_consistent_length,
    check_is_fitted,
    indexable,
)

from .._utils._checks import check_in_memory, check_sliceable, checked_labels, sliceable
from .._utils._chunks import block_rows, row_blocks, threads_to_fit
from .._utils._in_place import own_rows
from .._utils._trained_rows import fit_on_own_rows, keep_trained_rows
from .._utils._user_warnings import warn_user
from .._utils._versioned import VersionedState
from ..bridge._base import bridge, innermost, transform_before_last
from ..bridge._network import QUERY_OTHERWISE, Choices, NetworkBridge, advising, of_other_rows
from ..bridge._refusals import check_classifier
from ..bridge._skorch import adapt, given_or_default
from ..influence._rows import check_columns, check_magnitude
from ._select import select_top


class QueryStrategy(VersionedState, BaseEstimator, metaclass=ABCMeta):
    """Base class of strategies that choose which rows of a pool to label next.

    Subclasses define ``_score(X_pool) -> (n_pool,)``, the highest first, and may define
    ``_select(X_pool, scores, size, rng) -> indices``, which by default takes the highest
    scores, and ``_prepare(model, X, y) -> dict`` of attributes that a successful `fit` sets.
    In the first two `self.estimator_` is the fitted classifier.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier; a clone of it is fitted on the labelled rows. A `FrozenEstimator` around a
        trained one is used as it is. None is `LogisticRegression()`. A skorch net is wrapped
        in a `skfi.bridge.SkorchClassifier`.
    batch_size : int, default=1
        Size of the batch.
    random_state : int, RandomState instance or None, default=None
        Draws, and the order of ties. With an int each query of the same pool is the same.

    Attributes
    ----------
    estimator_ : estimator or None
        The fitted classifier; None where the labelled rows are of one class and it could not
        be fitted.
    classes_ : ndarray of shape (K,)
        Its class labels.
    n_features_in_, feature_names_in_ : int, ndarray of shape (`n_features_in_`,)
        Features seen in `fit`, and their names, where `X` has string column names.

    Examples
    --------
    >>> from skfi.queries import QueryStrategy
    >>> class NearBoundary(QueryStrategy):  # a strategy of your own
    ...     def _score(self, X_pool):
    ...         return -abs(self.estimator_.decision_function(X_pool))
    >>> NearBoundary().fit([[0.0], [1.0]], [0, 1]).query([[-1.0], [0.6], [3.0]])
    array([1])
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"]), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    _prepared: frozenset[str] = frozenset()  # what `_prepare` sets
    _needs_model = True  # whether the strategy reads the classifier
    _needs_proba = True  # whether it reads probabilities
    # Whether `_select` reads the scores; if not, a query computes them only to return them.
    _selects_by_score = True

    def __init__(self, estimator=None, *, batch_size=1, random_state=None):
        self.estimator = estimator
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X, y):
        """Fit the classifier on the labelled rows, and compute what scores need of them.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n, n_features) or (n, ...)
            Labelled rows.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        self : QueryStrategy
            Fitted. If an error is raised, it is left as it was.

        Raises
        ------
        TypeError
            The classifier has no `predict_proba` (nor a bridge, where one is needed).
        ValueError
            Data that cannot be fitted.

        Warns
        -----
        UserWarning
            All labels are of one class, so that no classifier can be fitted: queries then
            draw at random until there are two.
        """
        check_classifier(self.estimator, "estimator")
        self._validate_params()
        self._check_settings()
        remedy = (
            "fit takes the labelled rows alone; those without a label are the pool of query."
        )
        X, y = check_labelled(self, X, y, remedy)
        with keep_trained_rows():
            model = self._fitted_model(X, y)
            cold = model is None and self._needs_model
            prepared = {} if cold else self._prepare(model, X, y)
        for name in self._prepared & vars(self).keys():  # of an earlier fit
            delattr(self, name)
        _check_feature_names(self, X, reset=True)
        _check_n_features(self, X, reset=True)
        self.estimator_ = model
        self.classes_ = getattr(model, "classes_", np.unique(y))
        self._X_labelled, self._y_labelled = X, y
        self._prepared = frozenset(prepared)
        for name, value in prepared.items():
            setattr(self, name, value)
        return self

    def _check_settings(self) -> None:
        """Refuse settings that do not go together, before anything is fitted."""

    def _fitted_model(self, X, y):
        """The classifier, fitted; None where there is but one class to fit it on."""
        if isinstance(self.estimator, FrozenEstimator):
            self._check_proba(self.estimator)
            return self.estimator
        estimator = given_or_default(self.estimator)
        if self.estimator is not None:
            estimator = adapt(self.estimator, self.random_state)
        self._check_proba(estimator)
        if not self._needs_model and self.estimator is None:
            return None
        if isinstance(innermost(estimator), FrozenEstimator) or len(np.unique(y)) > 1:
            with threads_to_fit(X):
                return fit_on_own_rows(clone(estimator), X, y)
        if self._needs_model:
            warn_user(
                f"All labels are of one class ({y[0]}), so no classifier can be fitted. "
                f"{type(self).__name__} draws rows at random until there are two classes.",
            )
        return None

    def _check_proba(self, estimator) -> None:
        if self._needs_model and self._needs_proba and not hasattr(estimator, "predict_proba"):
            while isinstance(estimator, Pipeline):
                estimator = estimator.steps[-1][1]
            raise TypeError(
                f"{type(self).__name__} needs class probabilities, and "
                f"{type(estimator).__name__} has no predict_proba. Use a "
                'classifier that has one (SGDClassifier(loss="log_loss"), say), or wrap it '
                "in sklearn.calibration.CalibratedClassifierCV."
            )

    def _prepare(self, model, X, y) -> dict[str, Any]:
        """Attributes that `fit` sets beside the model, by name."""
        return {}

    def score_samples(self, X_pool):
        """Score the rows of the pool; the highest are queried first.

        Parameters
        ----------
        X_pool : {array-like, sparse matrix, DataFrame} of shape (n_pool, n_features) or \
                (n_pool, ...)
            Unlabelled rows, with the columns seen in `fit`.

        Returns
        -------
        scores : ndarray of shape (n_pool,)
            Units are each strategy's own. All are 0 if `estimator_` is None.
        """
        X_pool = sliceable(X_pool)
        self._check_pool(X_pool)
        return self._checked_scores(X_pool)

    def query(self, X_pool, batch_size=None, *, return_utilities=False):
        """Choose the rows to label next.

        Parameters
        ----------
        X_pool : {array-like, sparse matrix, DataFrame} of shape (n_pool, n_features) or \
                (n_pool, ...)
            Unlabelled rows, with the columns seen in `fit`.
        batch_size : int, default=None
            Size of the batch; None is the strategy's `batch_size`.
        return_utilities : bool, default=False
            Also return the scores of all rows.

        Returns
        -------
        indices : ndarray of shape (batch_size,)
            Positions in `X_pool`, best first, each at most once.
        utilities : ndarray of shape (n_pool,)
            Only if `return_utilities`: as from `score_samples`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        ValueError
            The pool is empty, has other columns than the rows of `fit`, or holds values the
            classifier does not take; `batch_size` is not an integer of at least 1.

        Warns
        -----
        UserWarning
            The pool has fewer rows than the batch: all of them are returned.
        """
        X_pool = sliceable(X_pool)
        n_pool = self._check_pool(X_pool)
        size = self._size(batch_size, n_pool)
        rng = check_random_state(self.random_state)
        cold = self._needs_model and self.estimator_ is None
        scores = np.empty(0)
        if cold or return_utilities or self._selects_by_score:
            scores = self._checked_scores(X_pool)
        if cold:
            indices = select_top(scores, size, rng)
        else:
            indices = self._select(X_pool, scores, size, rng)
        return (indices, scores) if return_utilities else indices

    def _check_pool(self, X_pool) -> int:
        check_is_fitted(self)
        if X_pool is None or isinstance(X_pool, Iterator):
            raise TypeError(
                f"X_pool must be the rows of a pool, got {type(X_pool).__name__}. Scores of an "
                "iterator of batches are those of skfi.fi_active."
            )
        check_sliceable(X_pool, "X_pool")
        n_pool = _num_samples(X_pool)
        if n_pool == 0:
            raise ValueError("X_pool has no rows: there is nothing left to ask for.")
        check_columns(self, X_pool, "X_pool")
        return n_pool

    def _size(self, batch_size, n_pool: int) -> int:
        size = self.batch_size if batch_size is None else batch_size
        whole = isinstance(size, Integral) and not isinstance(size, bool)
        if not whole or size < 1:
            raise ValueError(f"batch_size={size!r} must be an integer of at least 1.")
        if size > n_pool:
            warn_user(
                f"batch_size={size} rows were asked for, but the pool has {n_pool}: all of "
                "them are returned.",
            )
        return int(min(size, n_pool))

    def _checked_scores(self, X_pool) -> np.ndarray:
        if self._needs_model and self.estimator_ is None:
            return np.zeros(_num_samples(X_pool))
        return np.asarray(self._score(X_pool), dtype=np.float64)

    @abstractmethod
    def _score(self, X_pool) -> np.ndarray:
        """Scores of the pool (n_pool,), higher is asked first."""

    def _select(
        self, X_pool, scores: np.ndarray, size: int, rng: np.random.RandomState
    ) -> np.ndarray:
        """Positions of the batch, best first."""
        return select_top(scores, size, rng)

    def _proba(self, X_pool) -> np.ndarray:
        """Class probabilities of the pool (n_pool, K), in blocks of bounded memory."""
        model = self.estimator_
        parts = [model.predict_proba(own_rows(model, part)) for _, part in pool_blocks(X_pool)]
        return np.concatenate(parts).astype(np.float64, copy=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags


def check_labelled(estimator, X, y, remedy: str) -> tuple[Any, np.ndarray]:
    """Labelled rows and their labels, checked; `remedy` is for labels that are missing."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the "
            "target y is None."
        )
    check_in_memory(X, "X")
    check_in_memory(y, "y")
    X, y = indexable(sliceable(X), y)
    if _num_samples(X) == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={getattr(X, 'shape', ())}) while a "
            "minimum of 1 is required."
        )
    check_consistent_length(X, y)
    y = checked_labels(y, estimator, remedy)
    check_classification_targets(y)
    return X, y


def pool_blocks(X, doubles_per_row: int | None = None) -> Iterator[tuple[slice, Any]]:
    """Blocks of a pool under scikit-learn's ``working_memory``, as they come."""
    n_rows = _num_samples(X)
    if doubles_per_row is None:
        shape = getattr(X, "shape", (n_rows, 1))
        doubles_per_row = 4 * int(np.prod(shape[1:], dtype=np.int64)) + 16
    for rows in row_blocks(n_rows, block_rows(doubles_per_row)):
        yield rows, X[rows] if sparse.issparse(X) else _safe_indexing(X, rows)


def representation(model, X):
    """Rows as a fitted classifier's last linear step sees them (n, d), dense or CSR.

    The last layer's input of a network; what the steps of a Pipeline make of the rows; the
    rows themselves where there is neither. ``model`` may be None.
    """
    if model is not None:
        try:
            with of_other_rows():
                fitted = bridge(model)
        except TypeError:
            fitted = None
        if isinstance(fitted, NetworkBridge):
            with advising(QUERY_OTHERWISE):
                fitted = fitted.last_layer(Choices(), X)
        if fitted is not None:
            return _flat(fitted.transform(X))
        inner = model.estimator if isinstance(model, FrozenEstimator) else model
        inner = getattr(inner, "best_estimator_", inner)
        if isinstance(inner, Pipeline) and len(inner.steps) > 1:
            X = transform_before_last(inner, X)
    return _flat(X)


def predict_pool(regressor, model, X_pool) -> np.ndarray:
    """A regression's values (n_pool,) of the pool as the model's last step sees it."""
    out = np.empty(_num_samples(X_pool))
    with of_other_rows():
        for rows, part in pool_blocks(X_pool):
            out[rows] = regressor.predict(representation(model, part))
    return out


def _flat(X):
    X = check_array(X, accept_sparse="csr", dtype=np.float64, allow_nd=True, input_name="X")
    X = X if X.ndim == 2 else X.reshape(len(X), -1)
    check_magnitude(X, "X")  # distances are of squares
    return X
