"""The classifiers the command line offers, for rows that are encoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression

MODELS: dict[str, Callable[[int], Any]] = {
    "logistic": lambda seed: LogisticRegression(max_iter=1000, random_state=seed),
    "hist-gradient-boosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
    "random-forest": lambda seed: RandomForestClassifier(random_state=seed),
    "extra-trees": lambda seed: ExtraTreesClassifier(random_state=seed),
}


def build(name: str, seed: int) -> tuple[Any, Any]:
    """The classifier, and the one whose influence scores rows (None: the same)."""
    model = MODELS[name](seed)
    return model, None if name == "logistic" else MODELS["logistic"](seed)
