"""Influence, and the fit it belongs to, for rows that are never all in one place.

Whoever has the rows passes ``reduce(part)``, with ``part(X, y, sample_weight) -> Totals`` of
every block, added up, and gets, after one pass, a `Scorer` for the blocks in a second one. The
fit is Newton's method on the same sums, a pass a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from .._utils._checks import check_choice
from .._utils._chunks import one_blas_thread
from .._utils._user_warnings import warn_user
from ..bridge import Bridge, bridge
from ..bridge._linear import balances
from ..bridge._network import NetworkBridge
from ..influence._curved import (
    LARGE,
    InfluenceDetails,
    check_stationary,
    check_width,
    one_copy,
    own_class,
)
from ..influence._rows import check_names, column_names, linear_rows
from ..linear._covariance import root_of
from ..linear._losses import resolve_validation_loss
from ..linear._newton import newton
from ..linear._objective import add_penalty
from ..linear._operators import Curvature, CurvatureSum
from ..linear._removal import removal_all
from ..linear._scores import score_all
from ..linear._softmax import SoftmaxLinear, validation_gradient
from ._totals import Reduce, balance, rows_of_block, sum_all

# FI and what removing a copy gains, as a `Scorer` gives them -> the score that is asked for.
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "fi": lambda fi, gain: fi,
    "fi_signed": lambda fi, gain: np.sqrt(fi) * gain,
    "gain": lambda fi, gain: gain,
}


def check_settings(settings: dict[str, Any]) -> None:
    """Refuse settings of a score that are not known, before a pass."""
    check_choice("influence", settings.get("influence", "fi"), tuple(SCORES))
    check_choice("metric", settings["metric"], ("euclidean", "mahalanobis"))
    check_choice("unit", settings["unit"], ("copy", "row"))
    resolve_validation_loss(settings["validation_loss"])


def linear_bridge(estimator: Any, what: str) -> Bridge:
    """The bridge of a classifier that has a closed form; others cannot be scored in passes."""
    fitted = bridge(estimator)
    if isinstance(fitted, NetworkBridge):
        raise TypeError(
            f"{what} takes linear classifiers, not {type(estimator).__name__}. Compute the "
            "last layer's features block by block, and fit a LogisticRegression on them."
        )
    return fitted


@dataclass(frozen=True)
class Scorer:
    """Scores any block of the training rows; small, and the same for all of them.

    Attributes
    ----------
    fitted : Bridge
        The classifier as the measure sees it.
    model : SoftmaxLinear
        Its coefficients and penalty.
    curvature : Curvature
        H⁻¹.
    h : ndarray of shape (n_outputs, p)
        H⁻¹u, u the gradient of the mean validation loss.
    root : ndarray of shape (d, rank) or None
        R with R Rᵀ the training covariance, for the Mahalanobis metric.
    unit : {"copy", "row"}
        What of a weighted row is perturbed.
    n_rows : int
        Number of training rows.
    details : InfluenceDetails
        How the scores come about.
    """

    fitted: Bridge
    model: SoftmaxLinear
    curvature: Curvature
    h: np.ndarray
    root: np.ndarray | None
    unit: str
    n_rows: int
    details: InfluenceDetails

    def __call__(
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """FI of each row (b,), and what the removal of one copy gains (b,)."""
        rows, model = rows_of_block(self.fitted, X, y, sample_weight), self.model
        check_width(model, rows.X, "X")
        weight = self.fitted.loss_weight(rows.codes, rows.weight)
        copy = one_copy(weight, rows.weight)
        perturbed = copy if self.unit == "copy" else weight
        data = rows.X, rows.codes
        with one_blas_thread(unless=model.beta.size > LARGE):
            fi = score_all(model, *data, perturbed, self.curvature, self.h, self.root)
            return fi, removal_all(model, *data, copy, self.h)


def make_scorer(
    reduce: Reduce,
    estimator: Any,
    X_val: Any,
    y_val: ArrayLike,
    sample_weight_val: ArrayLike | None = None,
    *,
    validation_loss: Any = "log_loss",
    metric: str = "euclidean",
    unit: str = "copy",
) -> Scorer:
    """One pass over the training rows, and what scores them in the next.

    Parameters
    ----------
    reduce : callable
        ``reduce(part) -> Totals``, see `fit_linear`.
    estimator : estimator
        Linear classifier fitted on these rows, or a Pipeline that ends in one: its steps are
        applied to each block.
    X_val : {array-like, sparse matrix} of shape (n_val, n_features)
        Validation rows, in memory; not used in training.
    y_val : array-like of shape (n_val,)
        Validation labels.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows in the mean.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, \
            default="log_loss"
        See `skfi.fi_util`.
    metric : {"euclidean", "mahalanobis"}, default="euclidean"
        See `skfi.fi_util`.
    unit : {"copy", "row"}, default="copy"
        See `skfi.fi_util`.

    Returns
    -------
    scorer : Scorer
        ``scorer(X, y, sample_weight)`` gives FI^util of each row of a block (b,), and what the
        removal of one copy of it gains (b,), positive where the loss would be lower without
        it. Small, and can be pickled by cloudpickle.

    Raises
    ------
    TypeError
        skfi cannot compute influence for the classifier, or it is a network.
    ValueError
        As for `skfi.fi_util`, of any block.

    Warns
    -----
    ConvergenceWarning
        The classifier is not at its optimum on these rows.

    References
    ----------
    :cite:t:`yu2025`, Section 3, Algorithm 1.

    Examples
    --------
    >>> from functools import reduce as fold
    >>> from operator import add
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from skfi import fi_util
    >>> from skfi.passes import fit_linear, make_scorer
    >>> X, y = make_classification(3000, n_features=10, random_state=0)
    >>> blocks = [(X[i : i + 500], y[i : i + 500]) for i in range(0, 2500, 500)]
    >>> def everywhere(part):
    ...     return fold(add, (part(rows, labels, None) for rows, labels in blocks))
    >>> model = fit_linear(everywhere, 10, classes=[0, 1])
    >>> scorer = make_scorer(everywhere, model, X[2500:], y[2500:])
    >>> influence = np.concatenate([scorer(rows, labels)[0] for rows, labels in blocks])
    >>> expected = fi_util(model, X[:2500], y[:2500], X[2500:], y[2500:])
    >>> bool(np.allclose(influence, expected, rtol=1e-8))
    True
    """
    check_settings(dict(validation_loss=validation_loss, metric=metric, unit=unit))
    fitted = linear_bridge(estimator, "make_scorer")
    check_names(column_names(estimator), X_val, "X_val")
    held_out = linear_rows(fitted, X_val, y_val, sample_weight_val, "_val")
    model = fitted.make_model(1)  # the number of rows matters to the penalty alone
    check_width(model, held_out.X, "X_val")
    if balances(fitted):
        fitted = balance(fitted, reduce)
    totals = sum_all(fitted, model, reduce, with_moments=metric == "mahalanobis")
    assert totals.curvature is not None
    model = fitted.make_model(totals.n_rows)
    objective = add_penalty(model, totals.curvature)
    with one_blas_thread(unless=model.beta.size > LARGE):
        curvature = objective.hessian.invert(model)
        check_stationary(objective, curvature, totals.weight, own_class(estimator))
        loss = resolve_validation_loss(validation_loss)
        u = validation_gradient(model, held_out.X, held_out.codes, held_out.weight, loss)
        root = None if totals.moments is None else root_of(totals.moments)
    norm = float(np.linalg.norm(objective.gradient)) / totals.weight
    details = InfluenceDetails("exact", 0.0, model.n_parameters, norm)
    h = curvature.solve(u)
    return Scorer(fitted, model, curvature, h, root, unit, totals.n_rows, details)


def _check_start(start: Any, estimator: LogisticRegression) -> None:
    """Refuse to begin at coefficients of other columns or classes."""
    if not (hasattr(start, "coef_") and hasattr(start, "intercept_")):
        raise TypeError(
            f"start={start!r} must be a fitted linear classifier, with coef_ and intercept_."
        )
    own, wanted = np.shape(start.coef_), estimator.coef_.shape
    if own != wanted or not np.array_equal(start.classes_, estimator.classes_):
        raise ValueError(
            f"start has coefficients of shape {own} for classes {start.classes_.tolist()}; "
            f"this fit needs {wanted} for {estimator.classes_.tolist()}. Pass a model of the "
            "same columns and classes, or leave start out."
        )


def fit_linear(
    reduce: Reduce,
    n_features: int,
    classes: ArrayLike,
    *,
    C: float = 1.0,
    fit_intercept: bool = True,
    class_weight: Any = None,
    tol: float = 1e-10,
    max_iter: int = 50,
    start: Any = None,
) -> LogisticRegression:
    """Logistic regression on rows that are anywhere, by Newton's method.

    Each step is one pass, which sums up the objective, its gradient and Hessian; most fits
    take six or seven.

    Parameters
    ----------
    reduce : callable
        ``reduce(part) -> Totals``. It calls ``part(X, y, sample_weight)`` for every block of
        rows, here or on another machine, and returns the sum of what comes back (``a + b``, in
        any order). ``sample_weight`` may be None. `part` and `Totals` can be pickled, `part`
        by cloudpickle.
    n_features : int
        Columns of a block.
    classes : array-like of shape (K,)
        All labels there are, sorted.
    C : float, default=1.0
        Inverse strength of the L2 penalty beside the sum of the losses, as in
        scikit-learn.
    fit_intercept : bool, default=True
        Whether there is an intercept, which is not penalised.
    class_weight : dict, "balanced" or None, default=None
        As in scikit-learn; "balanced" takes a pass of its own.
    tol : float, default=1e-10
        Ends where the next step would lower the objective by less than this share of it.
    max_iter : int, default=50
        Most steps.
    start : estimator, default=None
        A fitted linear classifier of the same columns and classes, at
        whose coefficients the steps begin, so that fewer are needed. None begins at zero.

    Returns
    -------
    estimator : LogisticRegression
        Fitted, as if by its own solver.

    Raises
    ------
    TypeError
        `start` has no coefficients.
    ValueError
        `C` is not positive, `start` has other columns or classes, there are fewer than two
        classes, or a block holds NaN, other columns or labels that are not among the classes.

    Warns
    -----
    ConvergenceWarning
        `max_iter` steps were not enough.

    References
    ----------
    The objective is that of the logistic regressions in :cite:t:`yu2025`, Section 4.

    Examples
    --------
    >>> from functools import reduce as fold
    >>> from operator import add
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from skfi.passes import fit_linear
    >>> X, y = make_classification(3000, n_features=10, random_state=0)
    >>> blocks = [(X[i : i + 500], y[i : i + 500]) for i in range(0, 3000, 500)]
    >>> def everywhere(part):
    ...     return fold(add, (part(rows, labels, None) for rows, labels in blocks))
    >>> fit_linear(everywhere, 10, classes=[0, 1]).coef_.shape
    (1, 10)
    """
    if not (np.isfinite(C) and C > 0):
        raise ValueError(f"C={C} must be a positive number; a large one is nearly no penalty.")
    labels = np.asarray(classes)
    if len(labels) < 2:
        raise ValueError(f"classes={labels.tolist()}: a classifier needs at least two.")
    estimator = LogisticRegression(
        C=C, fit_intercept=fit_intercept, class_weight=class_weight, tol=tol, max_iter=max_iter
    )
    n_outputs = 1 if len(labels) == 2 else len(labels)
    estimator.classes_ = labels
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
        fitted = balance(fitted, reduce)

    def objective(model: SoftmaxLinear) -> CurvatureSum:
        totals = sum_all(fitted, model, reduce)
        assert totals.curvature is not None
        return add_penalty(model, totals.curvature)

    model = fitted.make_model(1)
    model, n_iter, converged = newton(objective, model, tol=tol, max_iter=max_iter)
    if not converged:
        warn_user(
            f"Newton's method has not converged in {n_iter} passes. Scale the features, "
            "penalise more (smaller C), or allow more (larger max_iter).",
            ConvergenceWarning,
        )
    beta = model.beta if n_outputs == 1 else model.link.basis @ model.beta  # type: ignore[union-attr]
    estimator.coef_ = np.ascontiguousarray(beta[:, :n_features])
    if fit_intercept:
        estimator.intercept_ = beta[:, -1].copy()
    estimator.n_iter_ = np.array([n_iter], dtype=np.int32)
    return estimator
