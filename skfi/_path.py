"""The order in which rows go: scored, the worst removed, scored again.

A path does not depend on how much is removed in the end: every smaller budget is a prefix
of it. One path therefore serves a whole range of budgets, and removing all at once (the
paper's Algorithm 3) is a path of one step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scored:
    """Scores of the rows that are left."""

    influence: np.ndarray  # (n,), NaN where a row was not scored
    # What removing one copy would take off the validation loss, to first order (n,)
    gain: np.ndarray | None
    models: list[Any]  # fitted classifiers that the scores come from
    details: list[Any] | None = None  # how the scores came about, for each model


@dataclass(frozen=True)
class RemovalPath:
    """Removals in order; a row whose weight goes in parts appears more than once."""

    rows: np.ndarray  # (n_removals,)
    mass: np.ndarray  # weight that goes (n_removals,)
    influence: np.ndarray  # the score when last computed (n,)
    gain: np.ndarray | None  # the same of the first-order gain (n,)
    models: list[Any]  # of the first scores
    details: list[Any] | None  # the same
    stop: str | None  # why the path ends before the mass it was asked for

    @property
    def reach(self) -> float:
        """Weight that the whole path removes."""
        return float(self.mass.sum())

    def removed(self, mass: float) -> np.ndarray:
        """Weight each row loses when ``mass`` goes in all (n,)."""
        if mass > self.reach * (1 + 1e-12) + 1e-12:
            raise ValueError(self.stop)
        before = np.cumsum(self.mass) - self.mass
        taken = np.clip(mass - before, 0.0, self.mass)
        return np.bincount(self.rows, weights=taken, minlength=len(self.influence))

    def order(self, removed: np.ndarray) -> np.ndarray:
        """Rows that lose weight, first removal first."""
        rows, first = np.unique(self.rows, return_index=True)
        rows = rows[np.argsort(first, kind="stable")]
        return rows[removed[rows] > 0]


def removal_path(
    score: Callable[[np.ndarray, list[Any] | None], Scored],
    weight: np.ndarray,
    codes: np.ndarray,
    classes: np.ndarray,
    mass: float,
    step: float | None = None,
    progress: Callable[[float], Any] | None = None,
) -> RemovalPath:
    """Remove the rows of highest score until ``mass`` is gone.

    Parameters
    ----------
    score : callable
        ``(weights that are left (n,), models of the step before) -> Scored``.
    weight : ndarray of shape (n,)
        Non-negative weights; rows of weight 0 are absent.
    codes : ndarray of shape (n,)
        Class codes, into `classes`.
    classes : ndarray of shape (K,)
    mass : float
        Weight to remove in all.
    step : float or None, default=None
        Weight to remove between scores; None removes everything by the first scores.
    progress : callable, default=None
        Told after each step how much has gone.

    Returns
    -------
    RemovalPath
        Up to ``mass``, or to where too few rows are scored or a class would be empty.
        Ties go by row order.
    """
    left = weight.astype(np.float64)
    rows: list[np.ndarray] = []
    parts: list[np.ndarray] = []
    influence = np.full(len(weight), np.nan)
    gain: np.ndarray | None = None
    first: Scored | None = None
    models: list[Any] | None = None
    done, stop = 0.0, None
    tiny = 1e-12 * max(float(weight.sum()), 1e-300)
    while models is None or (stop is None and mass - done > tiny):
        scored = score(left, models)
        models = scored.models
        first = first or scored
        seen = (left > 0) & ~np.isnan(scored.influence)
        influence[seen] = scored.influence[seen]
        if scored.gain is not None:
            gain = np.full(len(weight), np.nan) if gain is None else gain
            gain[seen] = scored.gain[seen]
        goal = mass - done if step is None else min(step, mass - done)
        if goal <= tiny:
            break
        candidates = np.flatnonzero(seen)
        order = candidates[np.argsort(-scored.influence[candidates], kind="stable")]
        cumulative = np.cumsum(left[order])
        available = float(cumulative[-1]) if len(order) else 0.0
        if goal > available + tiny:
            stop = _too_few(mass, done + available)
            goal = available
        taken = np.clip(goal - (cumulative - left[order]), 0.0, left[order])
        order, taken = order[taken > 0], taken[taken > 0]
        taken, emptied = _keep_classes(order, taken, left, weight, codes, len(classes))
        order, taken = order[taken > 0], taken[taken > 0]
        if emptied is not None:
            stop = _whole_class(classes[emptied], done + taken.sum(), weight.sum())
        rows.append(order)
        parts.append(taken)
        left = left.copy()  # the scores may have kept the array they were given
        left[order] = np.maximum(left[order] - taken, 0.0)
        done += float(taken.sum())
        if progress is not None:
            progress(done)
    return RemovalPath(
        np.concatenate(rows) if rows else np.zeros(0, dtype=np.intp),
        np.concatenate(parts) if parts else np.zeros(0),
        influence,
        gain,
        first.models if first else [],
        first.details if first else None,
        stop,
    )


def _keep_classes(order, taken, left, weight, codes, n_classes):
    """Cut the removals before one that leaves a class empty; and that class, or None."""
    total = np.bincount(codes, weights=left, minlength=n_classes)
    going = np.zeros((len(order), n_classes))
    going[np.arange(len(order)), codes[order]] = taken
    going = np.cumsum(going, axis=0)
    empty = ((total - going) <= 1e-12 * total) & (total > 0)
    ends = np.flatnonzero(empty.any(axis=1))
    if not len(ends):
        return taken, None
    last = int(ends[0])
    whole = bool((weight == np.floor(weight)).all())
    kept = taken.copy()
    kept[last] = max(taken[last] - 1.0, 0.0) if whole else 0.0
    kept[last + 1 :] = 0.0
    return kept, int(np.argmax(empty[last]))


def _too_few(mass: float, available: float) -> str:
    return (
        f"The budget asks for {mass:g} rows, but only {available:g} were scored; the "
        "others are held out for scoring. Lower budget, make validation smaller, "
        "or pass an int as validation to cross-fit, which scores every row."
    )


def _whole_class(name: Any, safe: float, total: float) -> str:
    share = np.floor(1e4 * safe / total) / 1e4
    return (
        f"The budget would remove all of class {name!s}. The largest safe "
        f"budget here is {safe:g} (a share of {share:g}). Lower budget, or look at "
        "this class's labels: most of the class scores high."
    )
