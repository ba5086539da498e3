"""Shapley values of the labelled rows, carried over to the pool by a regression."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _num_samples

from .._utils._warning_scopes import ignored
from ..baselines import tmc_shapley
from ..baselines._knn_shapley import _values
from ..bridge._network import of_other_rows
from ..influence._validation import Split
from ._base import QueryStrategy, representation
from ._held_out import Mean, fit_regressor, held_out_splits, predict_pool


class ShapleyRegression(QueryStrategy):
    """Rows that look like labelled rows of high Data Shapley value.

    The value of a labelled row is what it adds to the score on held-out rows, averaged over
    the subsets of the others that it may join. A regression of the values on the features
    predicts them for the pool, and the highest are asked first. With "knn" it is the value
    that Active Data Shapley filters a pool by.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier; a clone of it is fitted on the labelled rows, a `FrozenEstimator` is used
        as it is. It gives the features: what its last step sees, which is the rows as the
        steps of a Pipeline leave them, or the input of a network's last layer. "tmc" values
        rows for it. None is no classifier (the features are the rows) for "knn", and
        `LogisticRegression()` for "tmc".
    values : {"knn", "tmc"}, default="knn"
        "knn": exact values for a neighbour classifier on these features, no fits (see
        `skfi.baselines.knn_shapley`). "tmc": for the classifier itself, by truncated Monte
        Carlo, which fits clones of it (of what is inside, where it is frozen) about n times
        a permutation (see `skfi.baselines.tmc_shapley`).
    regressor : estimator, default=None
        Regression of values on features; a clone of it is fitted. None is
        `RandomForestRegressor()`.
    n_neighbors : int, default=5
        K of the neighbour classifier, for "knn".
    max_permutations : int, default=100
        Permutations drawn for each split, for "tmc".
    validation : float, int or cross-validation splitter, default=5
        Labelled rows that the values stand on. A float holds out that share once; an int is
        a number of stratified folds, over which values are averaged.
    n_jobs : int, default=None
        Permutations worked on at once, for "tmc". The result does not depend on it.
    batch_size : int, default=1
        Rows a query asks for.
    random_state : int, RandomState instance or None, default=None
        Draws of the regressor, of permutations, of a held-out share, and the order of ties.

    Attributes
    ----------
    values_ : ndarray of shape (n,)
        Value of each labelled row in units of the score (a share of votes, or accuracy);
        NaN for rows that were held out only.
    regressor_ : estimator or None
        The fitted regression; None where too few rows are labelled to hold any out, or all
        are of one class. All scores are then 0.
    estimator_ : estimator or None
        The fitted classifier; None where there is none.
    classes_ : ndarray of shape (K,)
        Its class labels, or those seen in `fit`.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` has string column names.

    Notes
    -----
    The score says which rows are like those that helped, not which would add something new:
    it is the costly comparison that influence was published against, and a filter for pools
    with rows of another kind in them. `fit` warns where too few rows are labelled.

    References
    ----------
    A. Ghorbani, J. Zou, A. Esteva: "Data Shapley Valuation for Efficient Batch Active
    Learning", Asilomar 2022, arXiv:2104.08312. A. Ghorbani, J. Zou: "Data Shapley: Equitable
    Valuation of Data for Machine Learning", ICML 2019.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skfi.queries import ShapleyRegression
    >>> X, y = make_classification(300, random_state=0)
    >>> strategy = ShapleyRegression(batch_size=5, random_state=0).fit(X[:40], y[:40])
    >>> strategy.query(X[40:]).shape
    (5,)
    """

    _parameter_constraints: dict = {
        **QueryStrategy._parameter_constraints,
        "values": [StrOptions({"knn", "tmc"})],
        "regressor": [HasMethods(["fit", "predict"]), None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "max_permutations": [Interval(Integral, 1, None, closed="left")],
        "validation": "no_validation",  # by what makes the splits
        "n_jobs": [Integral, None],
    }
    _needs_proba = False

    @property
    def _needs_model(self) -> bool:  # type: ignore[override]
        return self.values == "tmc"

    def __init__(
        self,
        estimator=None,
        *,
        values="knn",
        regressor=None,
        n_neighbors=5,
        max_permutations=100,
        validation=5,
        n_jobs=None,
        batch_size=1,
        random_state=None,
    ):
        super().__init__(estimator, batch_size=batch_size, random_state=random_state)
        self.values = values
        self.regressor = regressor
        self.n_neighbors = n_neighbors
        self.max_permutations = max_permutations
        self.validation = validation
        self.n_jobs = n_jobs

    def _prepare(self, model, X, y) -> dict[str, Any]:
        rng = check_random_state(self.random_state)
        seeds = [int(seed) for seed in rng.randint(np.iinfo(np.int32).max, size=3)]
        splits = held_out_splits(self.validation, X, y, seeds[0], type(self).__name__)
        value = self._labelled_values(model, X, y, splits, seeds[1])
        regressor = None
        if splits:
            chosen = RandomForestRegressor() if self.regressor is None else self.regressor
            regressor = fit_regressor(chosen, seeds[2], model, X, value)
        return {"values_": value, "regressor_": regressor}

    def _labelled_values(
        self, model, X, y: np.ndarray, splits: list[Split], seed: int
    ) -> np.ndarray:
        mean = Mean(len(y))
        if self.values == "knn" and splits:
            with of_other_rows():
                features = representation(model, X)
            codes = np.unique(y, return_inverse=True)[1]
        for fit, look in splits:
            if self.values == "knn":
                share = np.full(len(look), 1.0 / len(look))
                known, held_out = (features[fit], codes[fit]), (features[look], codes[look])
                mean.add(fit, _values(*known, *held_out, share, int(self.n_neighbors)))
                continue
            # Of a few rows a model often learns nothing, and then no row has a value.
            with ignored(message="The labels' frequencies score"):
                loss = tmc_shapley(
                    model,
                    *(_safe_indexing(X, fit), y[fit]),
                    *(_safe_indexing(X, look), y[look]),
                    tolerance=0,
                    max_permutations=self.max_permutations,
                    n_jobs=self.n_jobs,
                    random_state=seed,
                )
            mean.add(fit, -loss)
        return mean.value()

    def _score(self, X_pool) -> np.ndarray:
        if self.regressor_ is None:
            return np.zeros(_num_samples(X_pool))
        return predict_pool(self.regressor_, self.estimator_, X_pool)
