"""What trimming in one go leaves, of rows that are not all in memory."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TrimResult:
    """What `trim` leaves, named as in `FITrimmer`; arrays are dask's where the rows are.

    Attributes
    ----------
    estimator_ : LogisticRegression or Pipeline
        Fitted on the rows that were kept.
    full_estimator_ : LogisticRegression or Pipeline
        Fitted on all rows; the scores are its.
    support_ : array of bool of shape (n,)
        Rows that were kept.
    influence_ : array of shape (n,)
        Scores by which rows went, the highest first.
    n_trimmed_ : int
        Number of rows that were dropped.
    """

    estimator_: Any
    full_estimator_: Any
    support_: Any
    influence_: Any
    n_trimmed_: int


@dataclass(frozen=True)
class LastRows:
    """The rows of each class that would be dropped last; adds up over blocks."""

    size: int  # rows of each class
    labels: np.ndarray
    scores: np.ndarray
    rows: np.ndarray

    def __add__(self, other: LastRows) -> LastRows:
        return last_rows(
            self.size,
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.rows, other.rows]),
        )


def last_rows(size: int, labels: Any, scores: np.ndarray, rows: Any) -> LastRows:
    """Of each class the ``size`` lowest scores, of equal ones those of the last rows."""
    codes = np.unique(labels, return_inverse=True)[1]
    order = np.lexsort((-rows, scores, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    places = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    order = order[places < size]
    return LastRows(size, labels[order], scores[order], rows[order])


def check_min_class_size(value: Any) -> None:
    """Refuse what is no number of rows."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"min_class_size={value!r} must be a number of rows, at least 1.")


def classes_are_short(before: np.ndarray, after: np.ndarray, min_class_size: int) -> bool:
    """Whether a class has fewer rows left than are kept; both are numbers of rows (K,)."""
    return bool((after < np.minimum(before, min_class_size)).any())


def choose_others(
    choose: Any, kept: LastRows, number: int, n_rows: int
) -> tuple[Any, np.ndarray]:
    """The ``number`` highest scores among the rows that are not kept for their class.

    Parameters
    ----------
    choose : callable
        ``number -> (mask of the highest scores, which rows of ``kept`` are in it)``.
    kept : LastRows
    number : int
    n_rows : int
        Rows that may be dropped, those of ``kept`` included.

    Returns
    -------
    mask : array of bool of shape (n,)
        The rows of ``kept`` that are in it are to be taken out.
    spared : ndarray of bool
        Which rows of ``kept`` these are.
    """
    free = n_rows - len(kept.rows)
    if number > free:
        raise ValueError(
            f"The budget asks for {number:,} rows, but only {free:,} can be dropped: each "
            f"class keeps min_class_size={kept.size}. Lower budget."
        )
    wanted = number
    while True:
        mask, spared = choose(wanted)
        missing = number - (wanted - int(spared.sum()))
        if not missing:
            return mask, spared
        wanted += missing


def present_first(scores: np.ndarray, sample_weight: Any) -> np.ndarray:
    """Scores by which rows without weight are dropped last."""
    return np.where(np.asarray(sample_weight) > 0, scores, -np.inf)
