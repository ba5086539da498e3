"""Influence, and the fit it belongs to, for rows that are never all in one place.

What is asked of the rows are sums over blocks, and scores of blocks. Both are pure functions
here: of a file's next rows, or of a chunk on another machine. Whoever has the rows passes

    ``reduce(part)``, with ``part(X, y, sample_weight) -> Totals`` of every block, added up

and gets, after one pass, a `Scorer` to send over the blocks in a second one. The fit is
Newton's method on the same sums, a pass a step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_consistent_length

from .._utils._checks import check_choice
from .._utils._chunks import one_blas_thread
from ..bridge import Bridge, bridge
from ..bridge._linear import balanced, balances
from ..bridge._network import NetworkBridge
from ..influence._curved import (
    LARGE,
    InfluenceDetails,
    check_stationary,
    check_width,
    one_copy,
    own_class,
)
from ..influence._rows import Rows, check_names, column_names, linear_rows
from ..linear._covariance import Moments, moments, root_of
from ..linear._losses import resolve_validation_loss
from ..linear._newton import newton
from ..linear._objective import add_penalty, fit_curvature
from ..linear._operators import Curvature, CurvatureSum
from ..linear._removal import removal_all
from ..linear._scores import score_all
from ..linear._softmax import SoftmaxLinear, validation_gradient


@dataclass
class Totals:
    """What a pass leaves of a block; adds up over blocks.

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


def _joined(a, b):
    return b if a is None else a if b is None else a + b


# FI and what removing a copy gains, as a `Scorer` gives them -> the score that is asked for.
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "fi": lambda fi, gain: fi,
    "fi_signed": lambda fi, gain: np.sqrt(fi) * gain,
    "gain": lambda fi, gain: gain,
}
Part = Callable[[Any, Any, Any], Totals]
Reduce = Callable[[Part], Totals]


def count_rows(fitted: Bridge, X, y, sample_weight) -> Totals:
    """A block's rows and weight of each class; for class weights that balance."""
    rows = _rows_of_block(fitted, X, y, sample_weight)
    n_classes = len(fitted.classes)
    mass = [
        np.bincount(rows.codes, minlength=n_classes).astype(float),
        np.bincount(rows.codes, rows.weight, minlength=n_classes),
    ]
    return Totals(len(rows.codes), float(rows.weight.sum()), class_mass=np.array(mass))


def sum_rows(
    fitted: Bridge, model: SoftmaxLinear, with_moments: bool, X, y, sample_weight
) -> Totals:
    """A block's share of the training objective, its gradient and Hessian."""
    rows = _seen(fitted, model, X, y, sample_weight)
    weight = fitted.loss_weight(rows.codes, rows.weight)
    with one_blas_thread(unless=model.beta.size > LARGE):
        return Totals(
            len(rows.codes),
            float(rows.weight.sum()),
            fit_curvature(model, rows.X, rows.codes, weight, penalty=False),
            moments(rows.X, rows.weight) if with_moments else None,
        )


def _rows_of_block(fitted: Bridge, X, y, sample_weight) -> Rows:
    """A block's rows, whose weights may all be zero: those of all rows may not."""
    if sample_weight is None or np.any(np.asarray(sample_weight)):
        return linear_rows(fitted, X, y, sample_weight)
    rows = linear_rows(fitted, X, y, None)
    check_consistent_length(rows.X, sample_weight)
    return replace(rows, weight=np.zeros(len(rows.codes)))


def _seen(fitted: Bridge, model: SoftmaxLinear, X, y, sample_weight) -> Rows:
    rows = _rows_of_block(fitted, X, y, sample_weight)
    check_width(model, rows.X, "X")
    return rows


@dataclass(frozen=True)
class Scorer:
    """Scores any block of the training rows; small, and the same for all of them.

    Attributes
    ----------
    fitted : Bridge
        The classifier as the measure sees it.
    model : SoftmaxLinear
        Its coefficients and penalty.
    inverse : Curvature
        H⁻¹.
    h : ndarray of shape (n_outputs, p)
        H⁻¹u, u the gradient of the mean validation loss.
    root : ndarray of shape (d, rank) or None
        R with R Rᵀ the training covariance, for the Mahalanobis metric.
    unit : {"copy", "row"}
        What of a weighted row is moved.
    details : InfluenceDetails
        How the scores come about.
    """

    fitted: Bridge
    model: SoftmaxLinear
    inverse: Curvature
    h: np.ndarray
    root: np.ndarray | None
    unit: str
    details: InfluenceDetails

    def __call__(self, X, y, sample_weight=None) -> tuple[np.ndarray, np.ndarray]:
        """FI of each row (b,), and what the removal of one copy gains (b,)."""
        rows = _seen(self.fitted, self.model, X, y, sample_weight)
        weight = self.fitted.loss_weight(rows.codes, rows.weight)
        copy = one_copy(weight, rows.weight)
        moved = copy if self.unit == "copy" else weight
        with one_blas_thread(unless=self.model.beta.size > LARGE):
            data = rows.X, rows.codes
            fi = score_all(self.model, *data, moved, self.inverse, self.h, self.root)
            return fi, removal_all(self.model, *data, copy, self.h)


def readable(estimator, what: str) -> Bridge:
    """The bridge of a classifier that has a closed form, which is all that streams."""
    fitted = bridge(estimator)
    if isinstance(fitted, NetworkBridge):
        raise TypeError(
            f"{what} takes linear classifiers, not {type(estimator).__name__}. Compute the "
            "last layer's features block by block, and fit a LogisticRegression on them."
        )
    return fitted


def make_scorer(
    reduce: Reduce,
    estimator,
    X_val,
    y_val,
    sample_weight_val=None,
    *,
    validation_loss="log_loss",
    metric="euclidean",
    unit="copy",
    what: str = "fi_util",
    stacklevel: int = 3,
) -> tuple[Scorer, Totals]:
    """One pass over the training rows, and what scores them in the next.

    Class weights that balance take a pass of their own before it.
    """
    check_choice("metric", metric, ("euclidean", "mahalanobis"))
    check_choice("unit", unit, ("copy", "row"))
    loss = resolve_validation_loss(validation_loss)
    fitted = readable(estimator, what)
    check_names(column_names(estimator), X_val, "X_val")
    held_out = linear_rows(fitted, X_val, y_val, sample_weight_val, "_val")
    if balances(fitted):
        mass = _weighted(reduce(partial(count_rows, fitted))).class_mass
        assert mass is not None
        fitted = balanced(fitted, mass)
    model = fitted.make_model(1)  # how many rows there are matters to the penalty alone
    check_width(model, held_out.X, "X_val")
    total = _weighted(reduce(partial(sum_rows, fitted, model, metric == "mahalanobis")))
    model = fitted.make_model(total.n_rows)
    assert total.curvature is not None
    curvature = add_penalty(model, total.curvature)
    with one_blas_thread(unless=model.beta.size > LARGE):
        inverse = curvature.hessian.invert(model)
        check_stationary(curvature, inverse, total.weight, own_class(estimator))
        u = validation_gradient(model, held_out.X, held_out.codes, held_out.weight, loss)
        root = None if total.moments is None else root_of(total.moments)
    norm = float(np.linalg.norm(curvature.gradient)) / total.weight
    details = InfluenceDetails("exact", 0.0, model.n_parameters, norm)
    return Scorer(fitted, model, inverse, inverse.solve(u), root, unit, details), total


def _weighted(total: Totals) -> Totals:
    """Refuse rows that have no weight at all."""
    if not total.weight > 0:
        raise ValueError("The training rows have no weight: all sample weights are zero.")
    return total


def _check_start(start, estimator: LogisticRegression) -> None:
    """Refuse to begin at coefficients of other columns or classes."""
    if not (hasattr(start, "coef_") and hasattr(start, "intercept_")):
        raise TypeError(
            f"start={start!r} must be a fitted linear classifier, with coef_ and intercept_."
        )
    given, wanted = np.shape(start.coef_), estimator.coef_.shape
    if given != wanted or not np.array_equal(start.classes_, estimator.classes_):
        raise ValueError(
            f"start has coefficients of shape {given} for classes {start.classes_.tolist()}; "
            f"this fit needs {wanted} for {estimator.classes_.tolist()}. Pass a model of the "
            "same columns and classes, or leave start out."
        )


def fit_linear(
    reduce: Reduce,
    n_features: int,
    classes,
    *,
    C: float = 1.0,
    fit_intercept: bool = True,
    class_weight=None,
    tol: float = 1e-10,
    max_iter: int = 50,
    start=None,
    told: Callable[[int], None] | None = None,
    stacklevel: int = 3,
) -> LogisticRegression:
    """Logistic regression by Newton's method, a pass over the rows a step.

    Returns
    -------
    estimator : LogisticRegression
        Fitted, as if by its own solver.
    """
    if not (np.isfinite(C) and C > 0):
        raise ValueError(f"C={C} must be a positive number; a large one is nearly no penalty.")
    classes = np.asarray(classes)
    if len(classes) < 2:
        raise ValueError(f"classes={classes.tolist()}: a classifier needs at least two.")
    estimator = LogisticRegression(
        C=C, fit_intercept=fit_intercept, class_weight=class_weight, tol=tol, max_iter=max_iter
    )
    n_outputs = 1 if len(classes) == 2 else len(classes)
    estimator.classes_ = classes
    estimator.n_features_in_ = n_features
    estimator.coef_ = np.zeros((n_outputs, n_features))
    estimator.intercept_ = np.zeros(n_outputs)
    if start is not None:
        _check_start(start, estimator)
        estimator.coef_ = np.array(start.coef_, dtype=np.float64)
        if fit_intercept:
            estimator.intercept_ = np.array(start.intercept_, dtype=np.float64)
    fitted = bridge(estimator)
    assert isinstance(fitted, Bridge)
    if class_weight == "balanced":
        mass = _weighted(reduce(partial(count_rows, fitted))).class_mass
        assert mass is not None
        fitted = balanced(fitted, mass)

    def objective(model: SoftmaxLinear) -> CurvatureSum:
        total = _weighted(reduce(partial(sum_rows, fitted, model, False)))
        assert total.curvature is not None
        return add_penalty(model, total.curvature)

    model = fitted.make_model(1)
    model, n_iter, converged = newton(
        objective, model, tol=tol, max_iter=max_iter, on_step=told
    )
    if not converged:
        warnings.warn(
            f"Newton's method has not converged in {n_iter} passes. Scale the features, "
            "penalise more (smaller C), or allow more (larger max_iter).",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )
    beta = model.beta if n_outputs == 1 else model.link.basis @ model.beta  # type: ignore[union-attr]
    estimator.coef_ = np.ascontiguousarray(beta[:, :n_features])
    if fit_intercept:
        estimator.intercept_ = beta[:, -1].copy()
    estimator.n_iter_ = np.array([n_iter], dtype=np.int32)
    return estimator
