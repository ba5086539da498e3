"""Whether trimming helped: accuracy on rows that were held out, with and without it."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.utils import _safe_indexing

from .._utils._budget import budget_mass
from .._utils._progress import parts_of, progress_bar
from ..inspection._gain import fold_scores, interval, mean_and_error
from ..report._report import Measured
from ..trimming._trimmer import FITrimmer
from ..trimming._trimmer_cv import FITrimmerCV
from ._console import Console

_CAUTION = "Wrong labels among the held-out rows count against a right prediction."


@dataclass(frozen=True)
class Accuracy:
    """Mean accuracies, what they were measured on, and how far to trust them."""

    before: float
    after: float
    standard_error: float | None  # of the gain
    interval: tuple[float, float] | None  # of 95 %, of the gain
    measured_on: str
    caution: str

    @property
    def gain(self) -> float:
        return self.after - self.before

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"gain": self.gain, "level": self.level}

    @property
    def level(self) -> bool:
        """Whether the interval of the gain includes 0."""
        return self.interval is not None and self.interval[0] <= 0 <= self.interval[1]

    def verdict(self) -> str:
        """One sentence: the gain, how sure it is, and what that means."""
        if self.interval is None:
            known = "measured once, so no interval is known"
        else:
            low, high = map(points, self.interval)
            known = f"95 % interval {low} to {high}"
        if self.interval is not None and self.interval[1] < 0:
            meaning = "trimming makes it worse here"
        elif self.gain <= 0:
            meaning = "trimming does not help here"
        elif self.level or self.interval is None:
            meaning = "could be chance"
        else:
            meaning = "more than chance"
        return f"Gain in accuracy: {points(self.gain)} points ({known}): {meaning}."

    def lines(self, n_dropped: int) -> list[str]:
        """The accuracies, and how far to trust them."""
        if n_dropped == 0:
            return [f"Accuracy {self.before:.4f} on {self.measured_on}.", _CAUTION]
        return [
            f"Accuracy {self.before:.4f} without trimming, {self.after:.4f} with it, "
            f"on {self.measured_on}.",
            self.caution,
        ]


def measured(accuracy: Accuracy | None, n_dropped: int) -> Measured | None:
    """The same for the report, in the words of the terminal."""
    if accuracy is None:
        return None
    sentences = [accuracy.verdict()] if n_dropped else ["Nothing was dropped."]
    figure = f"{points(accuracy.gain)} points" if n_dropped else "as before"
    return Measured(figure, [*sentences, *accuracy.lines(n_dropped)])


def points(difference: float) -> str:
    """A difference of accuracies in points: ``+0.57``."""
    # A zero that was rounded has no sign of its own.
    return f"{round(100 * difference, 2) + 0.0:+.2f}".replace("-", "−")


def of_the_choice(trimmer: FITrimmerCV, judged_by: str) -> Accuracy:
    """What `FITrimmerCV` saw on its folds, at no budget and at the one it took."""
    budgets, scores = fold_scores(trimmer)
    before, after = scores[budgets.index(0)], scores[trimmer.best_index_]
    n_tried = int(np.isfinite(scores).all(axis=1).sum())
    return Accuracy(
        float(before.mean()),
        float(after.mean()),
        *_error_and_interval(after - before),
        f"{trimmer.n_splits_} held-out folds of {judged_by}",
        f"The budget was chosen among {n_tried} on these folds, so the accuracy with it "
        "is a little too good. " + _CAUTION,
    )


def by_cross_validation(
    trimmer: FITrimmer, X, y, folds: StratifiedKFold, source: str, console: Console
) -> Accuracy | None:
    """A budget that was given: the whole procedure on each fold, and the plain model."""
    share = trimmer.budget / len(y) if isinstance(trimmer.budget, int) else trimmer.budget
    repeated = clone(trimmer).set_params(budget=share)
    work = sum(budget_mass(share, np.ones(len(rows))) for rows, _ in folds.split(X, y))
    try:
        with (
            warnings.catch_warnings(),  # what is to be said of all rows has been said
            progress_bar(work, "folds", 0) as told,
            parts_of(told),
        ):
            warnings.simplefilter("ignore")
            before, after = (
                cross_val_score(one, X, y, cv=folds, error_score="raise")
                for one in (trimmer.estimator, repeated)
            )
    except ValueError as problem:
        console.note(f"The accuracy could not be cross-validated: {problem}")
        return None
    return Accuracy(
        float(before.mean()),
        float(after.mean()),
        *_error_and_interval(after - before),
        f"{folds.get_n_splits()} held-out folds of {source}",
        "Each fold is trimmed again by the same share. " + _CAUTION,
    )


def by_checked_folds(
    trimmer: FITrimmer, X, y, X_val, y_val, folds: StratifiedKFold, source: str
) -> Accuracy:
    """A budget that was given: each fold of the checked rows judges what the others gave."""
    scores = np.empty((folds.get_n_splits(), 2))
    for k, (rows, held_out) in enumerate(folds.split(X_val, y_val)):
        given = {"X_val": _safe_indexing(X_val, rows), "y_val": y_val[rows]}
        for column, budget in enumerate((0, trimmer.budget)):
            with warnings.catch_warnings():  # what is to be said has been said
                warnings.simplefilter("ignore")
                model = clone(trimmer).set_params(budget=budget, verbose=0).fit(X, y, **given)
            scores[k, column] = model.score(_safe_indexing(X_val, held_out), y_val[held_out])
    before, after = scores.T
    return Accuracy(
        float(before.mean()),
        float(after.mean()),
        *_error_and_interval(after - before),
        f"{folds.get_n_splits()} held-out folds of {source}",
        "Each fold is trimmed again, with the other checked rows. " + _CAUTION,
    )


def _error_and_interval(
    differences: np.ndarray,
) -> tuple[float | None, tuple[float, float] | None]:
    if len(differences) < 2:
        return None, None
    low, high = interval(differences)
    return mean_and_error(differences)[1], (float(low), float(high))
