"""Sums over blocks of rows, and the curvature of a classifier's objective out of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from sklearn.utils.validation import check_consistent_length

from .._utils._chunks import one_blas_thread
from ..bridge import Bridge
from ..bridge._linear import balanced
from ..influence._curved import LARGE, check_width
from ..influence._rows import Rows, linear_rows
from ..linear._covariance import Moments, moments
from ..linear._objective import fit_curvature
from ..linear._operators import CurvatureSum
from ..linear._softmax import SoftmaxLinear

_Sum = TypeVar("_Sum", CurvatureSum, Moments, np.ndarray)


@dataclass
class Totals:
    """Sums over a block of rows; adds up over blocks.

    Attributes
    ----------
    n_rows : int
        Rows there were.
    weight : float
        Sum of their sample weights.
    curvature : CurvatureSum or None
        Training loss, gradient and Hessian, summed up, without the penalty.
    moments : Moments or None
        Mean and scatter of the rows as the model sees them.
    class_mass : ndarray of shape (2, K) or None
        Rows and sums of sample weights of each class.
    """

    n_rows: int
    weight: float
    curvature: CurvatureSum | None = None
    moments: Moments | None = None
    class_mass: np.ndarray | None = None

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.n_rows + other.n_rows,
            self.weight + other.weight,
            _joined(self.curvature, other.curvature),
            _joined(self.moments, other.moments),
            _joined(self.class_mass, other.class_mass),
        )


def _joined(a: _Sum | None, b: _Sum | None) -> _Sum | None:
    return b if a is None else a if b is None else a + b


Part = Callable[[Any, Any, Any], Totals]
Reduce = Callable[[Part], Totals]


def rows_of_block(fitted: Bridge, X: Any, y: Any, sample_weight: Any) -> Rows:
    """A block's rows, whose weights may all be zero: those of all rows may not."""
    if sample_weight is None or np.any(np.asarray(sample_weight)):
        return linear_rows(fitted, X, y, sample_weight)
    rows = linear_rows(fitted, X, y, None)
    check_consistent_length(rows.X, sample_weight)
    return replace(rows, weight=np.zeros(len(rows.codes)))


def sum_rows(
    fitted: Bridge, model: SoftmaxLinear, with_moments: bool, X: Any, y: Any, sample_weight: Any
) -> Totals:
    """A block's share of the training objective, its gradient and Hessian."""
    rows = rows_of_block(fitted, X, y, sample_weight)
    check_width(model, rows.X, "X")
    weight = fitted.loss_weight(rows.codes, rows.weight)
    with one_blas_thread(unless=model.beta.size > LARGE):
        return Totals(
            len(rows.codes),
            float(rows.weight.sum()),
            fit_curvature(model, rows.X, rows.codes, weight, penalty=False),
            moments(rows.X, rows.weight) if with_moments else None,
        )


def sum_all(
    fitted: Bridge, model: SoftmaxLinear, reduce: Reduce, with_moments: bool = False
) -> Totals:
    """`sum_rows` over all blocks, in one pass."""
    return _check_weight(reduce(partial(sum_rows, fitted, model, with_moments)))


def _count_rows(fitted: Bridge, X: Any, y: Any, sample_weight: Any) -> Totals:
    rows = rows_of_block(fitted, X, y, sample_weight)
    n_classes = len(fitted.classes)
    mass = [
        np.bincount(rows.codes, minlength=n_classes).astype(float),
        np.bincount(rows.codes, rows.weight, minlength=n_classes),
    ]
    return Totals(len(rows.codes), float(rows.weight.sum()), class_mass=np.array(mass))


def balance(fitted: Bridge, reduce: Reduce) -> Bridge:
    """The bridge with the class weights that balance all rows, by a pass over them."""
    mass = _check_weight(reduce(partial(_count_rows, fitted))).class_mass
    assert mass is not None
    return balanced(fitted, mass)


def _check_weight(totals: Totals) -> Totals:
    """Refuse rows that have no weight at all."""
    if not totals.weight > 0:
        raise ValueError("The training rows have no weight: all sample weights are zero.")
    return totals
