"""How much to remove, in all and at a time.

A sample weight is a number of copies. A budget is a mass in copies too, so that a
weighted row and the same row repeated are trimmed alike: the row on the boundary
loses only the part of its weight that the budget still covers.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from ._user_warnings import warn_user


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


def budget_rows(budget: Any, n_rows: int) -> int:
    """The budget as a number of rows, each of which counts as one."""
    check_budget(budget)
    if isinstance(budget, Integral):
        return int(budget)
    return int(np.floor(float(budget) * n_rows + 1e-9))


def rows_chosen(budget: Any, n_rows: int) -> int:
    """The budget as a number of rows, which may be all of them and not more."""
    number = budget_rows(budget, n_rows)
    if number > n_rows:
        raise ValueError(f"budget={budget} is more than the {n_rows:,} rows there are.")
    return number


def step_mass(step: Any, weight: np.ndarray) -> float | None:
    """The step in units of weight, at least one row or copy; None for all at once."""
    if step is None:
        return None
    bad = isinstance(step, (bool, np.bool_)) or not isinstance(step, Real)
    if isinstance(step, Integral) and not bad:
        bad = int(step) < 1
    elif not bad:
        bad = not 0 < float(step) < 1
    if bad:
        raise ValueError(
            f"step={step!r} must be a number of rows (int, at least 1), a share of the "
            "rows (float in (0, 1)), or None to remove the whole budget at once."
        )
    if isinstance(step, Integral):
        return float(int(step))
    mass = float(step) * float(weight.sum())
    whole = (weight == np.floor(weight)).all()
    return max(1.0, float(np.floor(mass + 1e-9))) if whole else mass


def warn_of_many_steps(step: Any, mass: float, weight: np.ndarray) -> None:
    """Warn where a step is less than a row, so that rows are scored more often than dropped."""
    taken = step_mass(step, weight)
    if taken is not None and mass > taken * len(weight):
        warn_user(
            f"step={step} counts copies, and the sample weights add up to {weight.sum():g}: "
            f"the budget of {mass:g} is dropped in {np.ceil(mass / taken):g} steps, each of "
            "which fits and scores again. Use a share such as step=0.05, or rescale the "
            "weights.",
        )
