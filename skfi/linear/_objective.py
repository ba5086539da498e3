"""The training objective summed up over rows, and its curvature inverted.

Sums of blocks are sums over all rows, wherever the blocks are; the penalty comes in once.
"""

from __future__ import annotations

import numpy as np

from .._utils._chunks import block_rows, dense_rows, map_blocks
from ._curvature import inverse_on_range
from ._kronecker import KroneckerInverse, KroneckerSum
from ._links import Softmax
from ._softmax import CurvatureSum, SoftmaxLinear, curvature_sum


def training_sum(
    model: SoftmaxLinear,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    chunk: int | None = None,
    kronecker: bool = False,
) -> CurvatureSum:
    """``curvature_sum`` over all rows, in blocks."""
    outputs, p = model.beta.shape
    if chunk is None:
        # Each block makes a matrix of its own, which rows should outweigh.
        if kronecker:
            K = model.full_outputs
            chunk = block_rows(4 * p + 6 * K, least=max(64, (p + K) // 4))
        elif model.link.coupled:
            doubles = p * (3 + outputs) + 6 * outputs**2
            chunk = block_rows(doubles, least=max(64, outputs * p // 8))
        else:
            chunk = block_rows(4 * p + 6 * outputs)
    total = no_rows(model, kronecker)

    def part(rows: slice) -> CurvatureSum:
        return curvature_sum(model, dense_rows(X, rows), y[rows], weight[rows], kronecker)

    for block in map_blocks(part, X.shape[0], chunk):
        total += block
    return total


def no_rows(model: SoftmaxLinear, kronecker: bool = False) -> CurvatureSum:
    """The sum over no rows."""
    outputs, p = model.beta.shape
    m = outputs * p
    hessian: np.ndarray | KroneckerSum
    if kronecker:
        q = model.full_outputs
        hessian = KroneckerSum(np.zeros((q, q)), np.zeros((p, p)), 0.0)
    else:
        hessian = np.zeros((m, m) if model.link.coupled else (outputs, p, p))
    return CurvatureSum(0.0, np.zeros((outputs, p)), hessian)


def add_penalty(model: SoftmaxLinear, total: CurvatureSum) -> CurvatureSum:
    """The solver's objective: the penalty added to the sum over all rows, in place.

    K-FAC's factors stay without it; `invert` puts it into both.
    """
    beta = model.beta
    total.loss += 0.5 * float((model.l2 * beta**2).sum()) + float(
        (model.l1 * np.abs(beta)).sum()
    )
    total.gradient += model.l2 * beta + model.l1 * np.sign(beta)
    if model.active is not None:
        total.gradient[~model.active] = 0.0
    if not isinstance(total.hessian, KroneckerSum):
        add_diagonal(total.hessian, model.l2)
    return total


def fit_curvature(
    model: SoftmaxLinear,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    chunk: int | None = None,
    kronecker: bool = False,
) -> CurvatureSum:
    """The solver's objective over all rows, with its gradient and Hessian."""
    return add_penalty(model, training_sum(model, X, y, weight, chunk, kronecker))


def add_diagonal(hessian: np.ndarray, values) -> None:
    """Add to the diagonal of a Hessian, in place; values broadcast to (n_outputs, p)."""
    if hessian.ndim == 2:
        hessian.flat[:: len(hessian) + 1] += np.ravel(values)
    else:
        diagonal = np.einsum("kpp->kp", hessian)
        diagonal += values


def mean_eigenvalue(total: CurvatureSum, model: SoftmaxLinear, unit: float) -> float:
    """Mean eigenvalue of the mean loss's curvature, without penalty.

    ``unit`` is what the mean loss is multiplied by to be the sum.
    """
    H = total.hessian
    if isinstance(H, KroneckerSum):
        trace = H.trace()
    else:
        diagonal = np.diagonal(H) if H.ndim == 2 else np.einsum("kpp->kp", H)
        trace = float(diagonal.sum() - model.l2.sum())
    return trace / model.n_parameters / unit


def invert(
    model: SoftmaxLinear, hessian: np.ndarray | KroneckerSum, damping: float = 0.0
) -> np.ndarray | KroneckerInverse:
    """H⁺ in the shape of H, zero outside an L1 penalty's active set.

    ``damping``, in units of the summed loss, is added to H's diagonal.
    """
    if isinstance(hessian, KroneckerSum):
        if model.active is not None or (model.l2 != model.l2[0]).any():
            raise ValueError(
                'curvature="kfac" needs an L2 penalty that is the same for all classes, '
                'and none of L1. Use curvature="exact".'
            )
        basis = model.link.basis if isinstance(model.link, Softmax) else None
        inverse = hessian.invert(model.l2[0] + damping, basis)
        if model.link.coupled:
            return inverse
        # Outputs that do not mix have an inverse each.
        return np.diagonal(inverse.outputs)[:, None, None] * inverse.inputs
    if damping:
        hessian = hessian.copy()
        add_diagonal(hessian, damping)
    active = model.active
    if model.link.coupled:
        return inverse_on_range(hessian, None if active is None else active.ravel())
    return np.stack(
        [
            inverse_on_range(block, None if active is None else active[k])
            for k, block in enumerate(hessian)
        ]
    )


def solve(inverse: np.ndarray | KroneckerInverse, gradient: np.ndarray) -> np.ndarray:
    """H⁺ times a parameter vector of shape (n_outputs, p)."""
    if isinstance(inverse, KroneckerInverse):
        return inverse.solve(gradient)
    if inverse.ndim == 3:
        return np.einsum("kij,kj->ki", inverse, gradient)
    return (inverse @ gradient.ravel()).reshape(gradient.shape)
