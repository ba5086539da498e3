"""What the scores in closed form share: the fitted objective, solved for V's gradient.

Influence value and paired FI differentiate the same optimum as ``fi_util`` does. They
start from the same rows, the same Hessian and the same ``h = H⁻¹u``, so that a comparison
compares the scores and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..bridge import bridge
from ..influence import _check_stationary, _labelled_rows, _Rows
from ..kernels._chunks import one_blas_thread
from ..kernels._losses import resolve_validation_loss
from ..kernels._softmax import (
    SoftmaxLinear,
    fit_curvature,
    invert,
    solve,
    validation_gradient,
)


@dataclass(frozen=True)
class Solved:
    """A fitted classifier with its inverse Hessian and the solved gradient."""

    model: SoftmaxLinear
    train: _Rows
    copy: np.ndarray  # what one copy of a row counts in the objective, (n,) or (n, K)
    inverse: np.ndarray  # H⁺
    h: np.ndarray  # H⁺u, u the gradient of the mean validation loss


def solve_fitted(
    estimator, X, y, X_val, y_val, sample_weight, sample_weight_val, validation_loss
) -> Solved:
    """Check the data, and solve; errors and warnings as in ``fi_util``.

    To be called by the public function itself: a warning names the caller's caller.
    """
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
    with one_blas_thread(unless=model.beta.size > 1500):
        total = fit_curvature(model, train.X, train.codes, weight)
        inverse = invert(model, total.hessian)
        u = validation_gradient(model, validation.X, validation.codes, validation.weight, loss)
        h = solve(inverse, u)
    _check_stationary(total, inverse, train)
    # What one copy's loss counts: class weights stay, the sample weight goes.
    share = np.divide(
        1.0, train.weight, out=np.zeros_like(train.weight), where=train.weight > 0
    )
    return Solved(model, train, (weight.T * share).T, inverse, h)
