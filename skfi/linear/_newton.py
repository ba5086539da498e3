"""Newton's method for softmax-linear models, on sums over rows that are anywhere.

A step needs nothing but the objective's value, gradient and Hessian, which are sums over
blocks: one pass over the rows a step, and no row stays. The same sums serve the influence
afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ._operators import CurvatureSum
from ._softmax import SoftmaxLinear

# A step that does not lower the objective by this share of what its slope promises is halved.
_ARMIJO = 1e-4
_MOST_HALVINGS = 30


def newton(
    objective: Callable[[SoftmaxLinear], CurvatureSum],
    model: SoftmaxLinear,
    *,
    tol: float = 1e-10,
    max_iter: int = 50,
) -> tuple[SoftmaxLinear, int, bool]:
    """Minimise the objective from the model's coefficients on.

    Parameters
    ----------
    objective : callable
        ``model -> CurvatureSum`` over all rows, with the penalty.
    model : SoftmaxLinear
        Without an L1 penalty, whose minimum is no smooth one.
    tol : float, default=1e-10
        Ends where half the squared Newton decrement is this share of the objective: what
        the next step would lower it by. That step is taken, so the error left is of the
        order of its square.
    max_iter : int, default=50

    Returns
    -------
    model : SoftmaxLinear
        At the minimum.
    n_iter : int
        Steps taken.
    converged : bool
    """
    total = objective(model)
    for n_iter in range(1, max_iter + 1):
        step = total.hessian.invert(model).solve(total.gradient)
        decrease = 0.5 * float((total.gradient * step).sum())
        if decrease <= tol * max(abs(total.loss), 1e-300):
            return replace(model, beta=model.beta - step), n_iter, True
        size = 1.0
        for _ in range(_MOST_HALVINGS):
            tried = replace(model, beta=model.beta - size * step)
            total_tried = objective(tried)
            # Near the minimum the difference is less than the sum's rounding.
            slack = 8 * np.finfo(np.float64).eps * abs(total.loss)
            if total_tried.loss <= total.loss - _ARMIJO * size * 2 * decrease + slack:
                break
            size /= 2
        else:
            return model, n_iter, False
        model, total = tried, total_tried
    return model, max_iter, False
