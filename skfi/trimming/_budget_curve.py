"""What every budget does to a fold: one path of removals, and a refit for each budget."""

from __future__ import annotations

from numbers import Integral
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from .._utils._budget import budget_mass, step_mass
from .._utils._in_place import own_rows
from .._utils._progress import progress_bar
from .._utils._unseen import naming_unseen
from .._utils._user_warnings import warn_user
from ._path import RemovalPath
from ._task import Task

if TYPE_CHECKING:
    from ._trimmer_cv import FITrimmerCV


def accuracy_curve(
    trimmer: FITrimmerCV, task: Task, test: tuple, budgets: list, scorer, name: str
) -> tuple[np.ndarray, np.ndarray, RemovalPath, np.ndarray]:
    """Scores of every budget on the rows left out, times, their path, and log losses."""
    X_test, y_test, extra = test
    masses = masses_of(task, budgets)
    longest, refits = work_of(trimmer, task, masses)
    path = trimmer._walk(task, longest)
    scores, losses = np.full((2, len(budgets)), np.nan)
    times = np.zeros((2, len(budgets)))
    with progress_bar(refits, "refits", 0) as report:
        for k, mass in enumerate(masses):
            if report is not None:
                report(refits * k / len(budgets))
            if not mass <= path.reach * (1 + 1e-12) + 1e-12:
                continue
            started = perf_counter()
            model = trimmer._fit_kept(task, task.weight - path.removed(mass))
            fitted = perf_counter()
            with naming_unseen(name):
                scores[k] = scorer(model, own_rows(model, X_test), y_test, **extra)
                losses[k] = held_out_log_loss(model, X_test, y_test)
            times[:, k] = fitted - started, perf_counter() - fitted
    return scores, times, path, losses


def held_out_log_loss(model, X, y: np.ndarray) -> float:
    """Mean log loss of the rows; NaN where the classifier has no probabilities."""
    if not hasattr(model, "predict_proba"):
        return np.nan
    proba = np.asarray(model.predict_proba(own_rows(model, X)), dtype=np.float64)
    codes = {label: code for code, label in enumerate(np.asarray(model.classes_).tolist())}
    places = np.array([codes.get(label, -1) for label in y.tolist()])
    own = np.where(places < 0, 0.0, proba[np.arange(len(y)), places])
    return float(-np.log(np.clip(own, 1e-15, 1.0)).mean())


def masses_of(task: Task, budgets: list) -> list[float]:
    """Weight that goes with each budget; NaN where that is more than the fold has."""
    masses = []
    for budget in budgets:
        try:
            masses.append(budget_mass(budget, task.weight))
        except ValueError:
            masses.append(np.nan)
    return masses


def work_of(trimmer: FITrimmerCV, task: Task, masses: list[float]) -> tuple[float, float]:
    """How long a fold takes: rows of its path, and for all refits as many as take as long."""
    longest = float(np.nanmax(masses))
    step = min(step_mass(trimmer.step, task.weight) or longest, longest)
    crossed = task.role != "judge" and task.method.needs_validation
    n_fits = 1
    if crossed and isinstance(trimmer.validation, Integral):
        n_fits = int(trimmer.validation)
    return longest, len(masses) * step / n_fits


def warn_of_gaps(scores: np.ndarray, budgets: list, curves: list) -> None:
    """Warn of budgets that some fold could not try."""
    lost = [b for b, row in zip(budgets, scores, strict=True) if np.isnan(row).any()]
    if not lost or np.isnan(scores).all():
        return
    stops = [curve[2].stop for curve in curves if curve[2].stop]
    why = stops[0] if stops else "The fold has no more rows than that, or scoring gave NaN."
    warn_user(
        f"Budgets {lost} could not be tried in every fold and are left out. {why}",
    )


def as_results(budgets: list, scores: np.ndarray, curves: list) -> dict:
    """``cv_results_`` under GridSearchCV's names."""
    results: dict = {}
    for row, name in enumerate(("fit_time", "score_time")):
        times = np.array([curve[1][row] for curve in curves])
        results[f"mean_{name}"] = times.mean(axis=0)
        results[f"std_{name}"] = times.std(axis=0)
    results["param_budget"] = np.ma.array(budgets, mask=np.zeros(len(budgets), dtype=bool))
    results["params"] = [{"budget": budget} for budget in budgets]
    for fold in range(scores.shape[1]):
        results[f"split{fold}_test_score"] = scores[:, fold]
    means = scores.mean(axis=1)
    results["mean_test_score"] = means
    results["std_test_score"] = scores.std(axis=1)
    worst = np.nanmin(means) - 1
    ranked = rankdata(-np.where(np.isnan(means), worst, means), method="min")
    results["rank_test_score"] = ranked.astype(np.int32)
    return results
