"""The training objective summed up over rows.

Sums of blocks are sums over all rows, wherever the blocks are; the penalty comes in once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .._utils._chunks import block_rows, dense_rows, map_blocks
from ._blocks import BlockHessian, sum_blocks
from ._kronecker import KroneckerHessian, sum_factors
from ._operators import CurvatureSum, HessianSum, Objective
from ._softmax import SoftmaxLinear, weight_columns


def fit_curvature(
    model: SoftmaxLinear,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray,
    chunk: int | None = None,
    kronecker: bool = False,
    penalty: bool = True,
) -> CurvatureSum:
    """The solver's objective over all rows, with its gradient and Hessian, in blocks.

    ``weight`` is (n,), or (n, n_outputs) for one-versus-rest, whose class weights
    differ from output to output. ``kronecker`` sums up K-FAC's factors instead of the
    Hessian. Without ``penalty`` it is the training loss alone, to be added to other rows'.
    """
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
    of_block = partial(_sum_block, model, X, y, weight, kronecker)
    for block in map_blocks(of_block, X.shape[0], chunk):
        total += block
    return add_penalty(model, total) if penalty else total


def _sum_block(
    model: SoftmaxLinear,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray,
    kronecker: bool,
    rows: slice,
) -> CurvatureSum:
    """Loss, gradient and Hessian of ``Σ_i s_i L_i`` over some rows, without penalty."""
    X, y, weight = dense_rows(X, rows), y[rows], weight[rows]
    z, w = model.scores(X), weight_columns(weight)
    loss = weight_columns(model.link.loss(z, y))
    hessian: HessianSum
    if kronecker:
        hessian = sum_factors(model, X, z, weight)
    else:
        hessian = sum_blocks(model, X, z, w)
    gradient = model.moment(X, w * model.link.residual(z, y))
    return CurvatureSum(float((loss * w).sum()), gradient, hessian)


def no_rows(model: SoftmaxLinear, kronecker: bool = False) -> CurvatureSum:
    """The sum over no rows."""
    outputs, p = model.beta.shape
    hessian: HessianSum
    if kronecker:
        q = model.full_outputs
        hessian = KroneckerHessian(np.zeros((q, q)), np.zeros((p, p)), 0.0)
    else:
        m = outputs * p
        hessian = BlockHessian(np.zeros((1, m, m) if model.link.coupled else (outputs, p, p)))
    return CurvatureSum(0.0, np.zeros((outputs, p)), hessian)


def add_penalty(model: SoftmaxLinear, total: CurvatureSum) -> CurvatureSum:
    """The solver's objective: the penalty added to the sum over all rows, in place."""
    beta = model.beta
    total.loss += 0.5 * float((model.l2 * beta**2).sum()) + float(
        (model.l1 * np.abs(beta)).sum()
    )
    total.gradient += model.l2 * beta + model.l1 * np.sign(beta)
    if model.active is not None:
        total.gradient[~model.active] = 0.0
    total.hessian.add_penalty(model.l2)
    return total


def mean_eigenvalue(total: Objective, model: SoftmaxLinear, unit: float) -> float:
    """Mean eigenvalue of the mean loss's curvature, without penalty.

    ``unit`` is what the mean loss is multiplied by to be the sum.
    """
    return total.hessian.trace_of_loss(model) / model.n_parameters / unit
