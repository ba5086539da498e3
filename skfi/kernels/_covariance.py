"""The training covariance, whose root turns a perturbation's length into Mahalanobis'."""

from __future__ import annotations

import numpy as np

from ._chunks import block_rows, dense_rows, map_blocks


def covariance_root(X, weight: np.ndarray, chunk: int | None = None) -> np.ndarray:
    """R (d, rank) with R Rᵀ the weighted covariance of the rows."""
    d = X.shape[1]
    if chunk is None:
        chunk = block_rows(2 * d)
    total = weight.sum()

    def first(rows: slice) -> np.ndarray:
        return weight[rows] @ dense_rows(X, rows)

    mean = np.zeros(d)
    for part in map_blocks(first, X.shape[0], chunk):
        mean += part / total

    def second(rows: slice) -> np.ndarray:
        centred = (dense_rows(X, rows) - mean) * np.sqrt(weight[rows] / total)[:, None]
        return centred.T @ centred

    covariance = np.zeros((d, d))
    for part in map_blocks(second, X.shape[0], chunk):
        covariance += part
    # Equilibrate first: columns of very different scale are not dependent.
    scale = np.sqrt(np.diagonal(covariance))
    scale = np.where(scale > 0, scale, 1.0)
    eigenvalue, Q = np.linalg.eigh(covariance / np.outer(scale, scale))
    kept = eigenvalue > d * np.finfo(np.float64).eps * eigenvalue[-1]
    return scale[:, None] * Q[:, kept] * np.sqrt(eigenvalue[kept])
