"""Influence scores: a fitted classifier and data in, one score a row out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    column_or_1d,
)

from .bridge import Bridge, bridge
from .kernels._chunks import one_blas_thread
from .kernels._losses import resolve_validation_loss
from .kernels._removal import removal_all
from .kernels._softmax import (
    CurvatureSum,
    SoftmaxLinear,
    covariance_root,
    fit_curvature,
    invert,
    score_all,
    solve,
    validation_gradient,
)

__all__ = ["fi_util"]

# A fit is taken as converged when one Newton step would lower its objective by less
# than this share of it. LogisticRegression's default
# tolerance on scaled features stays under it.
_STATIONARY = 1e-3
# A Hessian of more parameters is worth all of BLAS's threads; a smaller one is better
# off with one.
_LARGE = 1500


@dataclass(frozen=True)
class _Rows:
    """Labelled rows in the space the model sees."""

    X: Any  # ndarray or CSR (n, d)
    codes: np.ndarray  # class codes (n,)
    weight: np.ndarray  # sample weights (n,)


@dataclass(frozen=True)
class Solved:
    """A fitted classifier with its inverse Hessian and the solved gradient."""

    model: SoftmaxLinear
    train: _Rows
    weight: np.ndarray  # what a row counts in the objective, (n,) or (n, n_outputs)
    copy: np.ndarray  # what one copy of it counts
    inverse: np.ndarray  # H⁺
    h: np.ndarray  # H⁺u, u the gradient of the mean validation loss


def fi_util(
    estimator,
    X,
    y,
    X_val,
    y_val,
    *,
    sample_weight=None,
    sample_weight_val=None,
    validation_loss="log_loss",
    metric="euclidean",
    unit="copy",
):
    """Influence of each training row on the loss over a validation set, FI^util.

    How fast could the mean validation loss change if the row's features moved a
    little and the classifier were fitted again? The derivative of that loss is
    measured against how far the same move shifts the row's own predicted
    probabilities (their Fisher information). Rows with a high score have much more
    say over the validation set than their own prediction accounts for; the paper
    trims these first.

    The score is exact for the fitted classifier: its whole objective, penalty and
    weights included, and no pseudo-inverse of d×d matrices. The cost is two products
    of X with d×d matrices (of size d(K-1) for K classes).

    Parameters
    ----------
    estimator : estimator
        Classifier fitted on exactly `X`, `y` and `sample_weight`:
        `LogisticRegression`, `LogisticRegressionCV`,
        `SGDClassifier(loss="log_loss")`, or a Pipeline, search or `FrozenEstimator`
        that holds one. For a Pipeline rows are perturbed in the space its last step
        sees. With an L1 or elastic-net penalty the coefficients that are zero are
        taken to stay zero.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Training rows.
    y : array-like of shape (n,)
        Training labels.
    X_val : {array-like, sparse matrix} of shape (n_val, n_features)
        Validation rows, not used in training: at the optimum the training set's own
        gradient vanishes.
    y_val : array-like of shape (n_val,)
        Validation labels, all of classes the estimator knows.
    sample_weight : array-like of shape (n,), default=None
        Weights the estimator was fitted with. A weight of w counts as w copies.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows in the mean.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, \
            default="log_loss"
        Loss on the validation rows: the paper's log loss; ``1 - P(y|x)``, in which
        no single validation label can dominate; or between them the generalised
        cross-entropy ``(1 - P(y|x)^q) / q`` with q = 0.5 (another q:
        `skfi.GeneralizedCrossEntropy(q)`). A callable
        ``(y, log_proba) -> (loss, gradient)`` gets class codes (b,) and log
        probabilities (b, K), which are also valid logits, and returns the loss (b,)
        and its gradient in them (b, K).
    metric : {"euclidean", "mahalanobis"}, default="euclidean"
        Coordinates in which the pseudo-inverse of the metric tensor is taken: the
        features as they are (the paper), or whitened by the training covariance,
        which makes the score the same in all affine coordinates of the features (for
        a penalised model the penalty must be mapped along).
    unit : {"copy", "row"}, default="copy"
        What is perturbed where rows are weighted: one copy of a row of weight w, so
        that weights and repetition give the same scores, or the row with its whole
        weight. Without `sample_weight` there is no difference.

    Returns
    -------
    influence : ndarray of shape (n,)
        FI^util of each row, non-negative: squared change of the mean validation loss
        per unit of squared Fisher length. It has no sign: a large score tells that
        the row matters much, not in which direction. 0 for rows of weight 0.

    Raises
    ------
    TypeError
        There is no bridge for the classifier; the message lists what has one.
    ValueError
        NaN or infinity, widths that differ, labels the classifier does not know, or
        no weight at all.

    Warns
    -----
    ConvergenceWarning
        The objective's gradient at the fitted coefficients is not near zero, either
        because the solver stopped early or because `X`, `y` or the weights are not
        those the classifier was fitted on.

    See Also
    --------
    FITrimmer : Fits, scores, drops the worst rows and fits again.

    References
    ----------
    "Enhancing Training Robustness through Influence Measure" (published as
    "Enhancing Prediction Performance through Influence Measure", ICLR 2025),
    Section 3, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi import fi_util
    >>> X, y = make_classification(200, random_state=0)
    >>> y[0] = 1 - y[0]  # a wrong label
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> influence = fi_util(model, X[:100], y[:100], X[100:], y[100:])
    >>> influence.shape
    (100,)
    >>> bool(influence[0] > np.quantile(influence, 0.8))
    True
    """
    return fi_and_gain(
        estimator,
        X,
        y,
        X_val,
        y_val,
        sample_weight=sample_weight,
        sample_weight_val=sample_weight_val,
        validation_loss=validation_loss,
        metric=metric,
        unit=unit,
    )[0]


def fi_and_gain(
    estimator,
    X,
    y,
    X_val,
    y_val,
    *,
    sample_weight=None,
    sample_weight_val=None,
    validation_loss="log_loss",
    metric="euclidean",
    unit="copy",
) -> tuple[np.ndarray, np.ndarray]:
    """`fi_util`, and what removing one copy takes off the validation loss (`iv`).

    FI has no sign; the second tells in which direction a row pulls. Both stand on the
    same curvature, so that together they cost little more than either.
    """
    _check_choice("metric", metric, ("euclidean", "mahalanobis"))
    _check_choice("unit", unit, ("copy", "row"))
    solved = solve_fitted(
        estimator,
        X,
        y,
        X_val,
        y_val,
        sample_weight,
        sample_weight_val,
        validation_loss,
        stacklevel=5,
    )
    model, train = solved.model, solved.train
    moved = solved.copy if unit == "copy" else solved.weight
    with one_blas_thread(unless=model.beta.size > _LARGE):
        root = covariance_root(train.X, train.weight) if metric == "mahalanobis" else None
        influence = score_all(
            model, train.X, train.codes, moved, solved.inverse, solved.h, root
        )
        return influence, removal_all(model, train.X, train.codes, moved, solved.h)


def signed_fi_and_gain(
    estimator,
    X,
    y,
    X_val,
    y_val,
    *,
    sample_weight=None,
    sample_weight_val=None,
    validation_loss="log_loss",
    metric="euclidean",
):
    """FI with a direction: its root times what the row's removal gains.

    FI has no sign, so rows that hold the model up score as high as rows that pull it
    down. The first-order gain tells them apart, and the product goes first where both
    agree that a row matters.
    """
    influence, gain = fi_and_gain(
        estimator,
        X,
        y,
        X_val,
        y_val,
        sample_weight=sample_weight,
        sample_weight_val=sample_weight_val,
        validation_loss=validation_loss,
        metric=metric,
    )
    return np.sqrt(influence) * gain, gain


def solve_fitted(
    estimator,
    X,
    y,
    X_val,
    y_val,
    sample_weight,
    sample_weight_val,
    validation_loss,
    stacklevel: int = 4,
) -> Solved:
    """Check the data, sum up the objective's curvature, and solve for V's gradient."""
    loss = resolve_validation_loss(validation_loss)
    fitted = bridge(estimator)
    train = _labelled_rows(fitted, X, y, sample_weight, "")
    validation = _labelled_rows(
        fitted, X_val, y_val, sample_weight_val, "_val", width=train.X.shape[1]
    )
    model = fitted.make_model(train.X.shape[0])
    if model.n_features != train.X.shape[1]:
        raise ValueError(
            f"X has {train.X.shape[1]} features where the model sees it, but the model "
            f"was fitted on {model.n_features}. Pass the columns it was fitted on."
        )
    weight = fitted.loss_weight(train.codes, train.weight)
    with one_blas_thread(unless=model.beta.size > _LARGE):
        total = fit_curvature(model, train.X, train.codes, weight)
        inverse = invert(model, total.hessian)
        u = validation_gradient(model, validation.X, validation.codes, validation.weight, loss)
        h = solve(inverse, u)
    _check_stationary(total, inverse, train, stacklevel)
    # What one copy's loss counts: class weights stay, the sample weight goes.
    share = np.divide(
        1.0, train.weight, out=np.zeros_like(train.weight), where=train.weight > 0
    )
    return Solved(model, train, weight, (weight.T * share).T, inverse, h)


def _check_stationary(
    total: CurvatureSum, inverse: np.ndarray, train: _Rows, stacklevel: int
) -> None:
    """Warn where the coefficients are not the optimum the formulas differentiate."""
    step = solve(inverse, total.gradient)
    excess = 0.5 * float((total.gradient * step).sum()) / max(total.loss, 1e-300)
    if excess > _STATIONARY:
        size = np.abs(total.gradient).max() / train.weight.sum()
        warnings.warn(
            f"The classifier is not at its optimum on these rows: the gradient of its "
            f"objective is {size:.2g} per unit of weight, and one Newton step would "
            f"lower the objective by {100 * excess:.2g} %. Influence describes the "
            "optimum, so the scores are off. Let the solver finish (larger max_iter, "
            "smaller tol, scaled features), and pass the X, y and sample_weight that "
            "the classifier was fitted on.",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )


def _labelled_rows(
    fitted: Bridge, X, y, sample_weight, suffix: str, width: int | None = None
) -> _Rows:
    X = check_array(
        fitted.transform(X),
        accept_sparse="csr",
        dtype=(np.float64, np.float32),
        input_name=f"X{suffix}",
    )
    if width is not None and X.shape[1] != width:
        raise ValueError(
            f"X{suffix} has {X.shape[1]} features, but X has {width}: both must have "
            "the same columns in the same order."
        )
    y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    weight = check_weight(sample_weight, X, f"sample_weight{suffix}")
    return _Rows(X, encode_labels(y, fitted.classes, f"y{suffix}"), weight)


def check_weight(sample_weight, X, name: str) -> np.ndarray:
    """Sample weights as float64 (n,), ones for None; no negatives, not all zero."""
    if sample_weight is not None and not np.any(np.asarray(sample_weight)):
        raise ValueError(f"{name} is zero for every row; leave out weights or rows.")
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)


def encode_labels(y: np.ndarray, classes: np.ndarray, name: str) -> np.ndarray:
    """Class codes of labels; unknown labels are an error that names them."""
    position = np.searchsorted(classes, y) if classes.dtype.kind == y.dtype.kind else None
    if position is None:
        lookup = {label: code for code, label in enumerate(classes.tolist())}
        codes = np.array([lookup.get(label, -1) for label in y.tolist()], dtype=np.intp)
    else:
        codes = np.minimum(position, len(classes) - 1)
        codes = np.where(classes[codes] == y, codes, -1)
    if (codes < 0).any():
        unknown = sorted({str(label) for label in np.asarray(y)[codes < 0]})
        raise ValueError(
            f"{name} has labels the classifier never saw: {unknown[:5]}. Its classes "
            f"are {[str(label) for label in classes[:10]]}. Drop these rows or train on "
            "rows of these classes."
        )
    return codes


def _check_choice(name: str, value, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not known; use one of {list(allowed)}.")
