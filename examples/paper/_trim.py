"""Order rows by each method, and train without the first of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from skfi import fi_util
from skfi.baselines import iv, loss

FI, IV, SIGNED, LOSS, RANDOM, NONE = (
    "FI", "IV", "signed FI", "loss", "random", "no trimming",
)  # fmt: skip
METHODS = (FI, IV, SIGNED, LOSS, RANDOM)

Fit = Callable[[np.ndarray, np.ndarray], object]


def scores(
    model, X, y, X_val, y_val, seed: int, methods: Iterable[str] = METHODS, **options
) -> dict[str, np.ndarray]:
    """Scores by method (n,), the highest goes first.

    FI and IV are the paper's: log loss, in one go, euclidean. "signed FI" is √FI with the sign
    and size of what a row's removal gains.

    Parameters
    ----------
    model : estimator
        Fitted classifier.
    X, y, X_val, y_val : arrays
        Training and validation rows.
    seed : int
        Of the random order.
    methods : iterable of str
        Which of `METHODS`.
    **options
        Of `fi_util` and `iv`: curvature, damping, params, ….
    """
    fi = fi_util(model, X, y, X_val, y_val, **options)
    gain = iv(model, X, y, X_val, y_val, **options)
    known = {
        FI: fi,
        IV: gain,
        SIGNED: np.sqrt(fi) * gain,
        LOSS: loss(model, X, y),
        RANDOM: np.random.default_rng(seed).random(len(y)),
    }
    return {method: known[method] for method in methods}


def without(score: np.ndarray, budget: int) -> np.ndarray:
    """Rows that are left, in their order, when the ``budget`` highest are gone."""
    return np.sort(np.argsort(-score, kind="stable")[budget:])


def accuracies(
    fit: Fit,
    score: dict[str, np.ndarray],
    budgets: Sequence[int],
    X,
    y,
    X_test,
    y_test,
) -> list[dict]:
    """Accuracy on test rows in %, one dict a method and budget."""
    plain = 100 * fit(X, y).score(X_test, y_test)
    rows = [{"method": NONE, "budget": 0, "accuracy": plain}]
    for method, values in score.items():
        for budget in budgets:
            if budget == 0:
                rows.append({"method": method, "budget": 0, "accuracy": plain})
                continue
            kept = without(values, budget)
            model = fit(X[kept], y[kept])
            accuracy = 100 * model.score(X_test, y_test)
            rows.append({"method": method, "budget": budget, "accuracy": accuracy})
    return rows
