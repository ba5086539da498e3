"""What trimming in one go leaves, of rows that are not all in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._reporting import warn_if_class_shrank


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


def check_classes_left(budget, classes, before: np.ndarray, after: np.ndarray) -> None:
    """Refuse a budget that takes a class, and warn of one that takes most of it.

    ``before`` and ``after`` are the classes' weights (K,).
    """
    taken = np.asarray(classes)[(before > 0) & (after == 0)]
    if len(taken):
        raise ValueError(
            f"budget={budget} takes all rows of {taken.tolist()[:5]}, and a classifier needs "
            "some of each class. Use a smaller one."
        )
    warn_if_class_shrank(np.arange(len(classes)), classes, before, after)
