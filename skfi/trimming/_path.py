"""The order in which rows go: scored, the worst removed, scored again.

A path does not depend on how much is removed in the end: every smaller budget is a prefix
of it. One path therefore serves a whole range of budgets, and removing all at once (the
paper's Algorithm 3) is a path of one step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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

    def first(self, n_rows: int) -> Scored:
        """The same of the first rows alone."""
        gain = None if self.gain is None else self.gain[:n_rows]
        return replace(self, influence=self.influence[:n_rows], gain=gain)


@dataclass(frozen=True)
class RemovalPath:
    """Removals in order; a row whose weight goes in parts appears more than once."""

    rows: np.ndarray  # (n_removals,)
    mass: np.ndarray  # weight that goes (n_removals,)
    influence: np.ndarray  # the score when last computed (n,)
    gain: np.ndarray | None  # the same of the first-order gain (n,)
    models: list[Any]  # of the first scores
    details: list[Any] | None  # the same
    spared: np.ndarray  # rows that were reached and kept, as the last of their class
    spared_at: np.ndarray  # weight that was gone by then
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

    def spared_by(self, mass: float) -> np.ndarray:
        """Rows that ``mass`` reaches and that are kept for their class."""
        return np.unique(self.spared[self.spared_at < mass * (1 - 1e-12)])

    def within(self, rows: np.ndarray, n_rows: int) -> RemovalPath:
        """The same path in ``n_rows`` rows, of which it is about those at ``rows``."""

        def spread(values):
            if values is None:
                return None
            whole = np.full(n_rows, np.nan)
            whole[rows] = values
            return whole

        return replace(
            self,
            rows=rows[self.rows],
            influence=spread(self.influence),
            gain=spread(self.gain),
            spared=rows[self.spared],
        )


def removal_path(
    score: Callable[[np.ndarray, list[Any] | None], Scored],
    weight: np.ndarray,
    codes: np.ndarray,
    n_classes: int,
    mass: float,
    step: float | None = None,
    min_class_size: int = 1,
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
        Class codes.
    n_classes : int
    mass : float
        Weight to remove in all.
    step : float or None, default=None
        Weight to remove between scores; None removes everything by the first scores.
    min_class_size : int, default=1
        Rows of each class that are kept: copies, where all weights are whole numbers.
    progress : callable, default=None
        Told after each step how much has gone.

    Returns
    -------
    RemovalPath
        Up to ``mass``, or to where no scored row is left that its class can spare.
        Ties go by row order.
    """
    left = weight.astype(np.float64)
    rows: list[np.ndarray] = []
    parts: list[np.ndarray] = []
    spared: list[np.ndarray] = [np.zeros(0, dtype=np.intp)]
    spared_at: list[np.ndarray] = [np.zeros(0)]
    influence = np.full(len(weight), np.nan)
    gain: np.ndarray | None = None
    first: Scored | None = None
    models: list[Any] | None = None
    done, stop = 0.0, None
    tiny = 1e-12 * max(float(weight.sum()), 1e-300)
    whole = bool((weight == np.floor(weight)).all())
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
        # Rows that no fold can score any more keep their last score.
        candidates = np.flatnonzero((left > 0) & ~np.isnan(influence))
        order = candidates[np.argsort(-influence[candidates], kind="stable")]
        free = _free_weight(order, left, codes, n_classes, min_class_size, whole)
        before = np.cumsum(free) - free
        available = float(free.sum())
        if goal > available + tiny:
            short = available < float(left[order].sum()) - tiny
            stop = _too_few(mass, done + available, min_class_size if short else None)
            goal = available
        bound = (free < left[order]) & (before + free < goal)
        spared.append(order[bound])
        spared_at.append(done + (before + free)[bound])
        taken = np.clip(goal - before, 0.0, free)
        order, taken = order[taken > 0], taken[taken > 0]
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
        np.concatenate(spared),
        np.concatenate(spared_at),
        stop,
    )


def _free_weight(order, left, codes, n_classes, min_class_size, whole) -> np.ndarray:
    """What rows may lose, in their order, so that the last of each class are kept."""
    size = left if whole else (left > 0).astype(float)
    # Rows that are not in the order are kept anyway.
    needed = min_class_size - np.bincount(codes, weights=size, minlength=n_classes)
    needed += np.bincount(codes[order], weights=size[order], minlength=n_classes)
    free = left[order].astype(np.float64)
    by_class = np.argsort(codes[order], kind="stable")
    ends = np.cumsum(np.bincount(codes[order], minlength=n_classes))
    for code, places in enumerate(np.split(by_class, ends[:-1])):
        if needed[code] > 0:
            own = size[order[places]]
            after = np.cumsum(own[::-1])[::-1] - own
            kept = np.clip(needed[code] - after, 0.0, own)
            free[places] = (
                free[places] - kept if whole else np.where(kept > 0, 0.0, free[places])
            )
    return free


def _too_few(mass: float, available: float, min_class_size: int | None) -> str:
    if min_class_size is not None:
        return (
            f"The budget asks for {mass:g} rows, but only {available:g} can be dropped: each "
            f"class keeps min_class_size={min_class_size}, and rows that were not scored are "
            "kept. Lower budget."
        )
    return (
        f"The budget asks for {mass:g} rows, but only {available:g} were scored; the "
        "others are held out for scoring. Lower budget, make validation smaller, "
        "or pass an int as validation to cross-fit, which scores every row."
    )
