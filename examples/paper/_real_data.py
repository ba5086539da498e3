"""Draws of the paper's four real data sets, clean or with the noise of its Appendix D.1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from skfi.datasets import add_feature_noise, flip_columns

from ._preparation import Prepared, prepared

TITLES = {"adult": "Adult", "bank": "Bank", "celeba": "CelebA", "jigsaw": "Jigsaw"}
DATA = tuple(TITLES)
SIZES = {"train": 5000, "val": 4200, "test": 4200}
NOISY_ROWS, VARIANCE = 500, 0.1
FLIPPED = 6

ABOUT = f"""
**Data.** Prepared as by Chhabra et al. (2024), with standardised columns. Each seed draws
{SIZES["train"]:,} training rows and, as the paper does, {SIZES["test"]:,} test rows out of
their training and test rows; FI and IV look at {SIZES["val"]:,} rows drawn from their
validation half, whose size the paper does not give. A data set that is only a part or a
stand-in has too few rows to draw from: each seed splits them again into parts of the sizes that
they have, which the claims' notes tell.
CelebA's held-out rows follow another distribution than its training rows, as in that
preparation.
"""


@dataclass(frozen=True)
class Draw:
    """Training, validation and test rows, and whether the data set is all there.

    Attributes
    ----------
    X, X_val, X_test : ndarray
        Standardised rows.
    y, y_val, y_test : ndarray
        Labels 0 and 1.
    partial : bool
        A part of the data set, or a stand-in for it.
    """

    X: np.ndarray
    y: np.ndarray
    X_val: np.ndarray
    y_val: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    partial: bool

    @property
    def majority(self) -> float:
        """Share of the larger class among the test rows, in %."""
        share = float(self.y_test.mean())
        return 100 * max(share, 1 - share)


@cache
def prepared_once(name: str) -> Prepared:
    """A data set, read once a process."""
    return prepared(name)


def draw(name: str, seed: int, noise: bool = False, n_train: int = SIZES["train"]) -> Draw:
    """Rows of one of `DATA`.

    Parameters
    ----------
    name : str
        Which.
    seed : int
        Of the draw and of the noise.
    noise : bool
        Whether the training rows get the noise of Appendix D.1.
    n_train : int
        Training rows, where there are as many.
    """
    data = prepared_once(name)
    rng = np.random.default_rng(seed)
    split = data.split
    if data.partial:  # too few rows to draw from: else seeds would differ in nothing
        split = rng.permutation(split)
    parts = []
    for part, size in (SIZES | {"train": n_train}).items():
        rows = rng.permutation(np.flatnonzero(split == part))[:size]
        parts += [np.asarray(data.data[rows], dtype=float), data.target[rows]]
    drawn = Draw(*parts, partial=bool(data.partial))
    return replace(drawn, X=_noisy(name, drawn.X, seed)) if noise else drawn


def _noisy(name: str, X: np.ndarray, seed: int) -> np.ndarray:
    if name != "celeba":
        share = min(1.0, NOISY_ROWS / len(X))
        return add_feature_noise(X, share, np.sqrt(VARIANCE), random_state=seed)[0]
    # The columns are standardised: turn them round between the two values that each has.
    # The first has one in the training rows, so all rows are asked for them.
    values = np.asarray(prepared_once(name).data, dtype=float)
    low, high = values.min(axis=0), values.max(axis=0)
    codes = np.greater(X, (low + high) / 2).astype(int)
    flipped = flip_columns(codes, FLIPPED, random_state=seed)[0]
    return np.where(flipped == codes, X, low + high - X)


def stand_in(frame, data: Iterable[str] = DATA) -> str:
    """What a reader must know of data sets that were not all there."""
    told = []
    for name in data:
        part = frame[frame.data == name]
        if len(part) and part.partial.any():
            sizes = "/".join(f"{part[f'n_{p}'].iloc[0]:,}" for p in SIZES)
            told.append(
                f"{TITLES[name]} is a part or a stand-in: {sizes} rows (train/val/test)"
            )
    return "; ".join(told)


def facts(drawn: Draw) -> dict:
    """Columns that `stand_in` and the majority class need."""
    return {
        "majority": drawn.majority,
        "n_train": len(drawn.y),
        "n_val": len(drawn.y_val),
        "n_test": len(drawn.y_test),
        "partial": int(drawn.partial),
    }
