"""How much to remove, and which rows that is.

A sample weight is a number of copies. A budget is a mass in copies too, so that a
weighted row and the same row repeated are trimmed alike: the row on the boundary
loses only the part of its weight that the budget still covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Trimming:
    """The rows that go."""

    order: np.ndarray  # scored rows, highest influence first
    removed: np.ndarray  # weight that each row loses (n,)


def check_budget(budget: Any) -> None:
    """Refuse budgets that make no sense, saying what would."""
    if isinstance(budget, (bool, np.bool_)) or not isinstance(budget, Real):
        raise ValueError(
            f"budget={budget!r} must be a number of rows (int) or a share (float in [0, 1))."
        )
    if isinstance(budget, Integral):
        if int(budget) < 0:
            raise ValueError(f"budget={budget} is negative; use 0 to trim nothing.")
    elif not 0 <= float(budget) < 1:
        raise ValueError(
            f"budget={budget} must be a share in [0, 1); to give a number of rows, pass an int."
        )


def budget_mass(budget: Any, weight: np.ndarray) -> float:
    """The budget in units of weight (rows, where nothing is weighted)."""
    total = float(weight.sum())
    if isinstance(budget, Integral):
        if int(budget) >= total and (weight == 1).all():
            raise ValueError(
                f"budget={budget} rows would leave nothing of n_samples={len(weight)}; use "
                "a smaller number or a share such as 0.05."
            )
        if int(budget) >= total:
            raise ValueError(
                f"budget={budget} counts copies, and the sample weights add up to only "
                f"{total:g}. Use a share such as budget=0.05, or rescale the weights."
            )
        return float(int(budget))
    mass = float(budget) * total
    # Weights that are whole numbers are copies, and only whole copies go.
    return float(np.floor(mass + 1e-9)) if (weight == np.floor(weight)).all() else mass


def choose_rows(
    influence: np.ndarray,
    weight: np.ndarray,
    codes: np.ndarray,
    classes: np.ndarray,
    mass: float,
) -> Trimming:
    """The rows of highest influence whose weights add up to ``mass``.

    Parameters
    ----------
    influence : ndarray of shape (n,)
        Scores; rows with NaN were not scored and stay. Ties go by row order.
    weight : ndarray of shape (n,)
        Non-negative weights; rows of weight 0 are absent.
    codes : ndarray of shape (n,)
        Class codes, into `classes`.
    classes : ndarray of shape (K,)
    mass : float
        Weight to remove.

    Raises
    ------
    ValueError
        Fewer rows were scored than the budget asks for, or it takes a whole class.
    """
    candidates = np.flatnonzero(~np.isnan(influence) & (weight > 0))
    order = candidates[np.argsort(-influence[candidates], kind="stable")]
    cumulative = np.cumsum(weight[order])
    available = cumulative[-1] if len(order) else 0.0
    if mass > available * (1 + 1e-12):
        raise ValueError(
            f"The budget asks for {mass:g} rows, but only {available:g} were scored; the "
            "others are held out for scoring. Lower budget, make validation smaller, "
            "or pass an int as validation to cross-fit, which scores every row."
        )
    removed = np.zeros(len(influence))
    removed[order] = np.clip(mass - (cumulative - weight[order]), 0.0, weight[order])
    _refuse_empty_class(order, removed, weight, codes, classes)
    return Trimming(order[removed[order] > 0], removed)


def _refuse_empty_class(order, removed, weight, codes, classes) -> None:
    n_classes = len(classes)
    total = np.bincount(codes, weights=weight, minlength=n_classes)
    left = np.bincount(codes, weights=weight - removed, minlength=n_classes)
    emptied = np.flatnonzero((total > 0) & (left <= 1e-12 * total))
    if not len(emptied):
        return
    # A budget is safe while every class keeps some of its weight: it must stop short
    # of the row with which the first class ends.
    cumulative = np.cumsum(weight[order])
    ends = [cumulative[codes[order] == k][-1] for k in emptied]
    first = emptied[int(np.argmin(ends))]
    whole = (weight == np.floor(weight)).all()
    last = order[codes[order] == first][-1]
    safe = min(ends) - (1.0 if whole else weight[last])
    share = np.floor(1e4 * safe / weight.sum()) / 1e4
    raise ValueError(
        f"The budget would remove all of class {classes[first]!s}. The largest safe "
        f"budget here is {safe:g} (a share of {share:g}). Lower budget, or look at "
        "this class's labels: most of the class scores high."
    )
