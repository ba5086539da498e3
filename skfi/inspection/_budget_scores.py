"""Budgets and their scores, checked and on one axis.

A budget is a share of the rows or a number of them; arrays turn both into floats.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_consistent_length


class BudgetScores(NamedTuple):
    """Budgets, and their scores of shape (n_budgets, n_folds)."""

    budgets: list
    scores: np.ndarray


def check_scores(budgets, scores) -> BudgetScores:
    """Budgets with a finite score on every fold."""
    budgets = list(np.ma.getdata(budgets)) if np.ma.isMA(budgets) else list(budgets)
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2:
        raise ValueError(
            f"scores must be of shape (n_budgets, n_folds), and is of shape {scores.shape}."
        )
    check_consistent_length(budgets, scores)
    tried = np.isfinite(scores).all(axis=1)
    if scores.shape[1] == 0 or not tried.any():
        raise ValueError("No budget has a finite score on every fold: nothing to draw.")
    kept = [budget for budget, use in zip(budgets, tried, strict=True) if use]
    return BudgetScores(kept, scores[tried])


def kind_of(budget) -> str:
    """What a budget counts: "share", "rows", or "none" for 0, which is both."""
    if isinstance(budget, (bool, np.bool_)) or not isinstance(budget, Real):
        raise ValueError(
            f"budget={budget!r} must be a number of rows (int) or a share (float in [0, 1))."
        )
    if not 0 <= float(budget) < np.inf:
        raise ValueError(f"budget={budget} must be finite and not negative.")
    if budget == 0:
        return "none"
    if isinstance(budget, Integral):
        return "rows"
    if budget < 1:
        return "share"
    # Arrays that hold shares and numbers of rows turn the latter into floats.
    if not float(budget).is_integer():
        raise ValueError(f"budget={budget} is neither a share in [0, 1) nor a number of rows.")
    return "rows"


def unit_of(budgets, n_samples) -> str:
    """Unit of the axis: "share" or "rows"."""
    if n_samples is not None and (not isinstance(n_samples, Integral) or n_samples < 1):
        raise ValueError(f"n_samples={n_samples!r} must be a number of rows, 1 or more.")
    kinds = {kind_of(budget) for budget in budgets} - {"none"}
    if kinds == {"share", "rows"} and n_samples is None:
        raise ValueError(
            "budgets mix shares of the rows (floats below 1) and numbers of rows (ints), "
            "which have no common axis; pass n_samples to draw the numbers as shares."
        )
    return "rows" if kinds == {"rows"} else "share"


def position(budget, unit, n_samples) -> float:
    """Where a budget lies on the axis: percent, or rows."""
    kind = kind_of(budget)
    if kind in ("none", unit):
        return 100.0 * float(budget) if unit == "share" else float(budget)
    if unit == "share":
        return 100.0 * float(budget) / n_samples
    return float(budget) * n_samples


def read_cv_results(cv_results) -> BudgetScores:
    """Budgets and their scores on each fold, of candidates that have a budget."""
    names = [key for key in cv_results if key.startswith("param_")]
    keys = [key for key in names if key == "param_budget" or key.endswith("__budget")]
    if len(keys) != 1:
        raise ValueError(
            f"cv_results must hold one parameter that is a budget, and holds {len(keys)}: "
            f"{', '.join(keys or names) or 'no parameters'}."
        )
    n_folds = 0
    while f"split{n_folds}_test_score" in cv_results:
        n_folds += 1
    if not n_folds:
        raise ValueError(
            "cv_results holds no split0_test_score. Of a search by several metrics, pass one "
            "as score."
        )
    scores = np.column_stack([cv_results[f"split{i}_test_score"] for i in range(n_folds)])
    column: Any = cv_results[keys[0]]
    has_budget = ~np.ma.getmaskarray(np.ma.asarray(column))
    budgets = [b for b, use in zip(np.ma.getdata(column), has_budget, strict=True) if use]
    if len({float(budget) for budget in budgets}) < len(budgets):
        others = [name.removeprefix("param_") for name in names if name != keys[0]]
        searched = f", as {', '.join(others)} varies too" if others else ""
        raise ValueError(
            f"cv_results holds the same budget more than once{searched}; pass the entries of "
            "one setting only."
        )
    return BudgetScores(budgets, scores[has_budget])
