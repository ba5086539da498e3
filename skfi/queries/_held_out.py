"""What labelled rows say of others: held-out splits of them, and regressions of their values.

A row's value is measured on rows that the classifier was not trained on. Few are labelled
when an active learner sets out, perhaps too few to hold any out; that must not stop it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils.validation import _num_samples

from .._utils._warning_scopes import ignored
from ..baselines._refit import fresh
from ..bridge._network import of_other_rows
from ..influence._validation import Split, make_splits
from ._base import pool_blocks, representation


def held_out_splits(validation, X, y: np.ndarray, seed: int, name: str | None) -> list[Split]:
    """Pairs of (rows to fit, rows to look at), the former of two classes at least.

    Warns in the name of a strategy where there are none, but not of rows of one class: nothing
    tells those apart.
    """
    codes = np.unique(y, return_inverse=True)[1]
    if not codes.any():
        return []
    splits: list[Split] = []
    if np.bincount(codes).max() > 1:
        with ignored(message="The least populated class"):
            splits = make_splits(validation, X, codes, np.ones(len(y)), seed, {})
    usable = [
        (fit, look)
        for fit, look in splits
        if len(look) and not (codes[fit] == codes[fit[0]]).all()
    ]
    if not usable and name is not None:
        warnings.warn(
            f"{name} values rows on labelled rows that it holds out, and these {len(y)} are "
            "too few to hold any out and still train on two classes. It draws rows at random "
            "until there are more.",
            UserWarning,
            stacklevel=4,
        )
    return usable


class Mean:
    """Running mean of values that are known of some rows only."""

    def __init__(self, n_rows: int):
        self.total, self.count = np.zeros(n_rows), np.zeros(n_rows)

    def add(self, rows, values) -> None:
        self.total[rows] += values
        self.count[rows] += 1

    def value(self, unknown: float = np.nan) -> np.ndarray:
        """The means; ``unknown`` of rows that nothing was added for."""
        out = np.full(len(self.total), unknown)
        return np.divide(self.total, self.count, out=out, where=self.count > 0)


def fit_regressor(regressor, seed: int, model, X, values: np.ndarray) -> Any:
    """A regression of values (n,) on what the model's last step sees; NaN are left out."""
    known = np.flatnonzero(~np.isnan(values))
    with of_other_rows():
        features = representation(model, X)[known]
    # Rounding depends on how rows were cut into blocks, and a tree's ties on rounding.
    size = np.abs(values[known]).max()
    digits = 10 - int(np.ceil(np.log10(size))) if size > 0 else 0
    return fresh(regressor, seed).fit(features, np.round(values[known], digits))


def predict_pool(regressor, model, X_pool) -> np.ndarray:
    """The regression's values of a pool (n_pool,)."""
    out = np.empty(_num_samples(X_pool))
    with of_other_rows():
        for rows, part in pool_blocks(X_pool):
            out[rows] = regressor.predict(representation(model, part))
    return out
