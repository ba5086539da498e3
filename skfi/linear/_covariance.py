"""The training covariance, whose root turns a perturbation's length into Mahalanobis'."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._utils._chunks import block_rows, dense_rows, map_blocks

# Columns of larger pivots, in their correlation, do not depend on each other.
_INDEPENDENT = 1e-9


@dataclass(frozen=True)
class Moments:
    """Weight, mean and scatter of rows; of blocks that are joined, those of all rows.

    Chan, Golub and LeVeque (1983): scatter is about each block's own mean, so that nothing
    cancels where the mean is large.
    """

    weight: float
    mean: np.ndarray  # (d,)
    scatter: np.ndarray  # Σ w (x - mean)(x - mean)ᵀ (d, d)

    def __add__(self, other: Moments) -> Moments:
        weight = self.weight + other.weight
        if not weight > 0:
            return self
        apart = other.mean - self.mean
        share = other.weight / weight
        between = np.outer(apart, apart) * (self.weight * share)
        return Moments(
            weight, self.mean + share * apart, self.scatter + other.scatter + between
        )


def moments(X: Any, weight: np.ndarray, chunk: int | None = None) -> Moments:
    """`Moments` of rows, in blocks."""
    d = X.shape[1]
    if chunk is None:
        chunk = block_rows(2 * d)

    def part(rows: slice) -> Moments:
        block, w = dense_rows(X, rows), weight[rows]
        total = float(w.sum())
        if not total > 0:
            return Moments(0.0, np.zeros(d), np.zeros((d, d)))
        mean = w @ block / total
        centred = (block - mean) * np.sqrt(w)[:, None]
        return Moments(total, mean, centred.T @ centred)

    total = Moments(0.0, np.zeros(d), np.zeros((d, d)))
    for block in map_blocks(part, X.shape[0], chunk):
        total = total + block
    return total


def covariance_root(X: Any, weight: np.ndarray, chunk: int | None = None) -> np.ndarray:
    """R (d, rank) with R Rᵀ the weighted covariance of the rows."""
    return root_of(moments(X, weight, chunk))


@dataclass(frozen=True)
class Whitening:
    """Weighted rows, in whose covariance lengths are measured."""

    X: Any  # ndarray or CSR (n, d)
    weight: np.ndarray

    @cached_property
    def root(self) -> np.ndarray:
        """R (d, rank) with R Rᵀ the covariance."""
        return covariance_root(self.X, self.weight)


def root_of(total: Moments) -> np.ndarray:
    """R (d, rank) with R Rᵀ the covariance."""
    covariance = total.scatter / total.weight
    # Equilibrate first: columns of very different scale are not dependent.
    scale = np.sqrt(np.diagonal(covariance))
    scale = np.where(scale > 0, scale, 1.0)
    correlation = covariance / np.outer(scale, scale)
    # A triangular root, small columns last: no product with it adds a large column to them.
    order = np.argsort(-scale, kind="stable")
    root = np.zeros_like(correlation)
    with suppress(np.linalg.LinAlgError):
        root[order] = np.linalg.cholesky(correlation[np.ix_(order, order)])
    smallest = root[order].diagonal().min(initial=1.0) ** 2
    if smallest < _INDEPENDENT:
        eigenvalue, Q = np.linalg.eigh(correlation)
        kept = eigenvalue > len(scale) * np.finfo(np.float64).eps * eigenvalue[-1]
        if smallest == 0.0 or not kept.all():
            return scale[:, None] * Q[:, kept] * np.sqrt(eigenvalue[kept])
    return scale[:, None] * root
