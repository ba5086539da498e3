"""The classifiers the command line offers, each behind the columns' preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ._columns import Plan

MODELS: dict[str, Callable[[int], Any]] = {
    "logistic": lambda seed: LogisticRegression(max_iter=1000, random_state=seed),
    "hist-gradient-boosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
    "random-forest": lambda seed: RandomForestClassifier(random_state=seed),
    "extra-trees": lambda seed: ExtraTreesClassifier(random_state=seed),
}


def build(name: str, plan: Plan, seed: int) -> tuple[Any, Any]:
    """The classifier, and the one whose influence scores rows (None: the same)."""
    model = make_pipeline(plan.preprocessing(), MODELS[name](seed))
    if name == "logistic":
        return model, None
    return model, make_pipeline(plan.preprocessing(), MODELS["logistic"](seed))
