"""What a fitted trimmer can say of itself in plain words, and what it cannot.

The words follow the numbers: a gain whose interval holds 0 is called level, and where nothing
was held out nothing is claimed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import sklearn

from .._utils._versioned import __version__
from ..bridge._base import innermost
from ..inspection._gain import fold_scores, interval, mean_and_error
from ..inspection._plotting import count
from ..inspection._score_names import trimmer_score_name

_MAX_CLASSES = 50
_MAX_REPR = 3000

_ASKED = {
    "fi_signed": "how strongly the row influences the errors on held-out rows (FI), the rows "
    "first without which these errors fall",
    "fi": "how strongly the row influences the errors on held-out rows (FI). It has no sign, "
    "so rows that help the model can be among them",
    "iv": "by how much the errors on held-out rows fall without the row, to first order",
    "loss": "how badly the model fits the row's label",
    "self_confidence": "how little models that did not see the row expect its label",
    "knn_shapley": "how little the row's neighbours need it (Shapley values)",
    "tmc_shapley": "how little the row adds to random subsets of the data (Shapley values)",
    "random": "chance: the score is a random number",
}
# How it was computed, which changes nothing in the result; a cache's path is nobody's business.
_NOT_TOLD = {"estimator", "memory", "n_jobs", "verbose"}


@dataclass(frozen=True)
class Verdict:
    """Held-out scores of FITrimmerCV, and what may be said of them."""

    score_name: str
    n_folds: int
    before: str
    after: str
    chosen: str
    difference: str
    words: str
    table: list[dict[str, Any]]
    tile: str
    aside: str


def share(part: float) -> str:
    """0.1234 as ``12.3 %``; what is not nothing is not shown as 0."""
    if 0 < part < 0.0005:
        return "< 0.1 %"
    return f"{100 * part:.1f} %"


def text_of(value: Any, limit: int = _MAX_REPR) -> str:
    """Repr that is the same in each run, and of a length to be read."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    return text if len(text) <= limit else f"{text[:limit]} …"


def summary(trimmer: Any) -> list[str]:
    """What was done, in sentences."""
    n, gone = len(trimmer.support_), trimmer.n_trimmed_
    model = type(innermost(trimmer.estimator_)).__name__
    if gone:
        first = (
            f"{count(gone)} of {n:,} ({share(gone / n)}) {'was' if gone == 1 else 'were'} "
            "dropped from training, and the "
            f"model ({model}) was fitted on the other {n - gone:,}."
        )
    else:
        first = f"No row was dropped: the model ({model}) was fitted on all {count(n)}."
    told = [first, _how_scored(trimmer)]
    if hasattr(trimmer, "budget_"):
        told.append(
            f"How many to drop was chosen by held-out rows, among "
            f"{count(len(trimmer.cv_results_['params']), 'budget')} with 0 among them."
        )
    if trimmer.sample_weight_ is not None:
        told.append(
            "Sample weights were passed, and a weight counts as that many copies of the row; a "
            "row may have lost a part of its weight without being dropped."
        )
    return told


def _how_scored(trimmer: Any) -> str:
    influence = trimmer.influence
    if isinstance(influence, str):
        asked = _ASKED.get(influence, f"the score {influence!r}")
    else:
        asked = f"a function of the user's own, {getattr(influence, '__name__', 'unnamed')}"
    scored = int((~np.isnan(trimmer.influence_)).sum())
    n, models = len(trimmer.influence_), len(trimmer.initial_estimators_)
    which = "All rows" if scored == n else f"{scored:,} of {count(n)}"
    how = f"{which} were scored with {count(models, 'model')}: by {asked}."
    if scored < n:
        how += " The others were held out for scoring, so that they could not be dropped."
    seed = trimmer.random_state
    if isinstance(seed, (int, np.integer)):
        return f"{how} The seed was {seed}."
    return f"{how} No seed was set, so that another run may drop other rows where it draws any."


def verdict(trimmer: Any) -> Verdict | None:
    """Score before and after on held-out rows; None where nothing was held out for it."""
    if not hasattr(trimmer, "cv_results_"):
        return None
    budgets, scores = fold_scores(trimmer)
    zero, best = budgets.index(0), trimmer.best_index_
    amount = budget_words(trimmer.budget_)
    gain, error = mean_and_error(scores[best] - scores[zero])
    low, high = interval(scores[best] - scores[zero])
    table = []
    for k, budget in enumerate(budgets):
        mean, spread = mean_and_error(scores[k])
        cells = {
            "budget": budget_words(budget),
            "mean": _plus_minus(mean, np.nan) if np.isfinite(mean) else "not possible",
            "error": f"± {spread:.4f}" if np.isfinite(spread) else "–",
            "gain": "–",
            "chosen": k == best,
        }
        if k != zero and np.isfinite(mean):
            cells["gain"] = _plus_minus(*mean_and_error(scores[k] - scores[zero]), sign="+")
        table.append(cells)
    before, after = (_plus_minus(*mean_and_error(scores[k])) for k in (zero, best))
    difference = _plus_minus(gain, error, sign="+")
    tile, aside = _plus_minus(gain, np.nan, sign="+"), f"{before} before, {after} after"
    if best == zero:
        tile, aside = "as before", f"{before}; no budget did better"
    elif not np.isfinite(high - low):
        tile, aside = "not sure", f"{difference}, judged once: no error is known"
    else:
        if low <= 0 <= high:
            tile, aside = "no clear gain", f"{difference}, which could be chance"
        ends = (_plus_minus(end, np.nan, sign="+") for end in (low, high))
        difference += " (95 % interval: {} to {})".format(*ends)
    return Verdict(
        score_name=trimmer_score_name(trimmer) or "Score",
        n_folds=trimmer.n_splits_,
        before=before,
        after=after,
        chosen=amount,
        difference=difference,
        words=_judge(best == zero, low, high, len(budgets), trimmer)
        + _of_probabilities(trimmer.log_losses_[zero], trimmer.log_losses_[best]),
        table=table,
        tile=tile,
        aside=aside,
    )


def _of_probabilities(before: float, after: float) -> str:
    """What trimming did to the log loss, where the classifier has probabilities."""
    if before == after or not np.isfinite(before + after):
        return ""
    told = (
        f" Log loss on the held-out rows: {before:.4f} without trimming, {after:.4f} with it."
    )
    if after > before:
        told += (
            " The probabilities got worse, too sure of themselves as a rule: choose the budget "
            'by scoring="neg_log_loss", or calibrate the classifier, if you use them.'
        )
    return told


def _judge(nothing: bool, low: float, high: float, n_budgets: int, trimmer: Any) -> str:
    """What the interval of the difference allows to say."""
    if nothing:
        if trimmer.rule == "one_standard_error":
            return (
                "No budget was ahead of dropping nothing by more than one standard error on "
                "the held-out rows, so nothing was dropped."
            )
        return (
            "No budget did better than dropping nothing on the held-out rows, so nothing was "
            "dropped."
        )
    if not np.isfinite(high - low):
        words = (
            "There was one part to judge by, so that no error is known: this cannot tell a "
            "gain from chance."
        )
    elif low > 0:
        words = (
            "Trimming is ahead on the held-out rows: the 95 % interval of the difference, "
            "taken fold by fold, lies above 0."
        )
    elif high < 0:
        words = "Trimming is behind dropping nothing on the held-out rows. Do not use it here."
    else:
        words = (
            "With and without trimming are level: the 95 % interval of the difference, taken "
            "fold by fold, holds 0. This is no evidence that trimming helps here."
        )
    if isinstance(trimmer.cv, str):  # "prefit"
        return (
            f'{words} The same rows scored and chose (cv="prefit"), so the score after '
            "trimming is too good."
        )
    return (
        f"{words} The budget was chosen among {n_budgets} by these same scores, so its own is "
        "somewhat too good; and where labels are wrong in the data, they are wrong among the "
        "held-out rows too, unless you passed checked ones."
    )


def _plus_minus(mean: float, error: float, sign: str = "") -> str:
    # A zero that was rounded has no sign of its own.
    text = f"{round(mean, 4) + 0.0:{sign}.4f}".replace("-", "−")
    return f"{text} ± {error:.4f}" if np.isfinite(error) else text


def budget_words(budget: float) -> str:
    """A budget as it is read: nothing, a share, or a number of rows."""
    if budget == 0:
        return "nothing"
    return f"{100 * budget:.3g} %" if budget < 1 else count(int(budget))


def class_table(trimmer: Any, report: Any) -> tuple[list[dict[str, Any]], str]:
    """Shares before and after, the most changed first where not all are shown."""
    before, after = trimmer.class_shares_
    labels = trimmer.classes_
    if len(labels) != len(before):  # a classifier that names other classes than y has
        return [], "The classifier does not name the classes of y, so they are left out."
    gone = report["given_label"].value_counts().to_dict()
    n, left = len(trimmer.support_), int(trimmer.support_.sum())
    shown = np.arange(len(labels))
    note = ""
    if len(labels) > _MAX_CLASSES:
        shown = np.argsort(-np.abs(after - before), kind="stable")[:_MAX_CLASSES]
        note = f"The {_MAX_CLASSES} classes of {len(labels):,} whose share changed most."
    longest = max(before[shown].max(), after[shown].max())
    table = []
    for k in shown:
        lost_most = trimmer.sample_weight_ is None and after[k] * left < 0.5 * before[k] * n
        table.append(
            {
                "label": str(labels[k]),
                "dropped": f"{int(gone.get(labels[k], 0)):,}",
                "before": share(before[k]),
                "after": share(after[k]),
                "before_bar": f"{100 * before[k] / longest:.2f}",
                "after_bar": f"{100 * after[k] / longest:.2f}",
                "change": f"{100 * (after[k] - before[k]):+.1f}".replace("-", "−"),
                "lost_most": bool(lost_most),
            }
        )
    return table, note


def settings(trimmer: Any) -> list[tuple[str, str]]:
    """The trimmer's parameters that bear on the result."""
    params = trimmer.get_params(deep=False)
    return [(key, text_of(params[key], 300)) for key in params if key not in _NOT_TOLD]


def versions() -> list[tuple[str, str]]:
    """Releases the page was made with."""
    return [
        ("skfi", __version__),
        ("scikit-learn", sklearn.__version__),
        ("numpy", np.__version__),
        ("scipy", scipy.__version__),
    ]
