"""Query strategies that the paper compares with, and that the library does not offer.

scikit-activeml has a BADGE as well; this one reads rows in blocks and the last layer of a
network by its inner products, as the published results were made.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.extmath import row_norms

from skfi._utils._trained_rows import fit_on_own_rows, unfrozen
from skfi._utils._warning_scopes import ignored
from skfi.baselines import iv
from skfi.baselines._knn_shapley import _values
from skfi.baselines._refit import fresh
from skfi.bridge._network import of_other_rows
from skfi.influence._validation import make_splits
from skfi.linear._vectors import FactoredVectors
from skfi.queries import QueryStrategy
from skfi.queries._base import predict_pool, representation
from skfi.queries._select import select_diverse


class BADGE(QueryStrategy):
    """k-means++ on the gradients of the last layer, as Ash et al. (2020) have it."""

    _selects_by_score = False

    def _score(self, X_pool):
        residual = _residuals(self._proba(X_pool))
        return row_norms(residual) * row_norms(representation(self.estimator_, X_pool))

    def _select(self, X_pool, scores, size, rng):
        residual = _residuals(self._proba(X_pool))
        vectors = FactoredVectors(representation(self.estimator_, X_pool), residual, False)
        return select_diverse(vectors.lengths, vectors.inner, size, rng)


def _residuals(proba):
    """``p - e_ŷ`` (n, K), ŷ the most probable class."""
    residual = proba.copy()
    rows, predicted = np.arange(len(residual)), residual.argmax(axis=1)
    # p - 1 as minus the others' sum, which is not lost where p rounds to 1.
    residual[rows, predicted] = 0.0
    residual[rows, predicted] = -residual.sum(axis=1)
    return residual


class _ValueRegression(QueryStrategy):
    """Values of the labelled rows by five folds of them, and a regression of the values."""

    _needs_proba = False
    _n_seeds: int

    def _values(self, model, X, y, fit, look) -> np.ndarray:
        raise NotImplementedError

    def _regressor(self):
        raise NotImplementedError

    def _prepare(self, model, X, y):
        rng = check_random_state(self.random_state)
        seeds = [int(seed) for seed in rng.randint(np.iinfo(np.int32).max, size=self._n_seeds)]
        total, count = np.zeros(len(y)), np.zeros(len(y))
        for fit, look in self._splits(X, y, seeds[0]):
            total[fit] += self._values(model, X, y, fit, look)
            count[fit] += 1
        if not count.any():
            return {"regressor_": None, "values_": total}
        with of_other_rows():
            features = representation(model, X)
        known = count > 0
        value = np.divide(total, count, out=total, where=known)
        # Rounding depends on how rows were cut into blocks, and a tree's ties on rounding.
        size = np.abs(value[known]).max()
        digits = 10 - int(np.ceil(np.log10(size))) if size > 0 else 0
        regressor = fresh(self._regressor(), seeds[-1])
        regressor.fit(features[known], np.round(value[known], digits))
        return {"regressor_": regressor, "values_": value}

    def _splits(self, X, y, seed):
        """Folds whose larger part has two classes at least."""
        codes = np.unique(y, return_inverse=True)[1]
        splits = []
        if codes.any() and np.bincount(codes).max() > 1:
            with ignored(message="The least populated class"):
                splits = make_splits(5, X, codes, np.ones(len(y)), seed, {})
        splits = [split for split in splits if len(np.unique(codes[split[0]])) > 1]
        if not splits:
            warnings.warn("There are too few labelled rows to value them.", stacklevel=2)
        return splits

    def _score(self, X_pool):
        if self.regressor_ is None:
            return np.zeros(len(X_pool))
        return predict_pool(self.regressor_, self.estimator_, X_pool)


class InfluenceValue(_ValueRegression):
    """Rows whose predicted influence value is highest, computed again at each `fit`.

    As Chhabra et al. (2024) do in their experiment on active learning: a regression tree of
    the values that the labelled rows have with their own labels.
    """

    _n_seeds = 2

    def _values(self, model, X, y, fit, look):
        rows = _safe_indexing(X, fit)
        # The loop passes a model that is trained already; here it is trained without a fold.
        trained = fit_on_own_rows(clone(unfrozen(model)), rows, y[fit])
        with of_other_rows():
            return -iv(trained, rows, y[fit], _safe_indexing(X, look), y[look])

    def _regressor(self):
        return DecisionTreeRegressor()


class ShapleyRegression(_ValueRegression):
    """Rows whose predicted Shapley value is highest, after Ghorbani et al. (2022).

    Values are those of a 5-nearest-neighbour classifier, and a random forest predicts them.
    """

    _n_seeds = 3
    _needs_model = False

    def _values(self, model, X, y, fit, look):
        with of_other_rows():
            features = representation(model, X)
        codes = np.unique(y, return_inverse=True)[1]
        share = np.full(len(look), 1.0 / len(look))
        return _values(features[fit], codes[fit], features[look], codes[look], share, 5)

    def _regressor(self):
        return RandomForestRegressor()
