"""What a score is called in a picture, and how far it can go.

An axis says what it measures, also where nobody said so: a classifier's own score is the
accuracy. And it must not run on to values that the score cannot have.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..queries._learning_curve import _scoring

# Averages over classes and the like, which change no range.
_KIND = "(?: (?:macro|micro|weighted|samples|ovr|ovo))*$"
_RANGES = {
    rf"\b(?:accuracy|roc auc|average precision|precision|recall|f1|jaccard){_KIND}": (0.0, 1.0),
    r"\bmatthews corrcoef$": (-1.0, 1.0),
    r"^negative (?:log loss|brier)$": (-np.inf, 0.0),
}


def score_name(scoring: Any) -> str | None:
    """Name of a score in words, as scikit-learn's displays have it; None if unknown."""
    sign = getattr(scoring, "_sign", 1)
    if not isinstance(scoring, str):
        scoring = getattr(getattr(scoring, "_score_func", scoring), "__name__", None)
        if scoring is None or scoring.startswith("<"):
            return None
        if sign < 0:
            scoring = f"neg_{scoring}"
    scoring = scoring.removesuffix("_score")
    if scoring.startswith("neg_"):
        scoring = f"Negative {scoring[4:]}"
    return scoring.replace("_", " ").capitalize()


def trimmer_score_name(trimmer: Any) -> str | None:
    """Name of the score that a fitted trimmer chose its budget by; None if unknown."""
    scoring = _scoring(getattr(trimmer, "estimator_", None), getattr(trimmer, "scoring", None))
    return score_name(getattr(trimmer, "scorer_", None) if scoring is None else scoring)


def score_range(name: str | None) -> tuple[float, float]:
    """Lowest and highest value of a score, by its name in words; infinite if unknown."""
    for words, limits in _RANGES.items():
        if name is not None and re.search(words, name.strip(), re.IGNORECASE):
            return limits
    return -np.inf, np.inf
