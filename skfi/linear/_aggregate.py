"""From a row's FI through each training row to one number: the paper's g.

Aggregates are functions of a block (b, n) and of what each training row counts, (n,) or None
where all count the same. Only selection is used, no sort, unless there are weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Aggregate = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class TrimmedMean:
    """Mean of the middle of a row's scores, without the smallest and the largest.

    Parameters
    ----------
    trim : float, default=0.2
        Share that is left out, in [0, 1): half of it at either end. The paper keeps the
        middle 80 %. A whole number of scores goes at either end, ``int(trim / 2 · n)``.

    Raises
    ------
    ValueError
        `trim` is not in [0, 1).

    References
    ----------
    :cite:t:`yu2025`, Section 4 (the function g).

    Examples
    --------
    >>> from skfi import TrimmedMean
    >>> TrimmedMean(0.5)([[0.0, 1.0, 2.0, 100.0]])
    array([1.5])
    """

    trim: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.trim < 1:
            raise ValueError(f"trim={self.trim} must be in [0, 1): the share left out.")

    def __call__(self, scores: Any, weight: np.ndarray | None = None) -> np.ndarray:
        scores = np.asarray(scores, dtype=np.float64)
        if weight is not None:
            weight = as_copies(weight)
            total = weight.sum()
            cut = np.floor(0.5 * self.trim * total + 1e-9)
            return _weighted_middle(scores, weight, cut, total - cut)
        n = scores.shape[1]
        cut = int(0.5 * self.trim * n + 1e-9)
        if cut == 0:
            return scores.mean(axis=1)
        part = np.partition(scores, (cut, n - cut - 1), axis=1)
        return part[:, cut : n - cut].mean(axis=1)


@dataclass(frozen=True)
class Quantile:
    """A quantile of a row's scores.

    Parameters
    ----------
    q : float, default=0.5
        In [0, 1]; 0.5 is the median. Between two scores by linear interpolation, with
        weights as if every row were repeated.

    Raises
    ------
    ValueError
        `q` is not in [0, 1].

    References
    ----------
    :cite:t:`yu2025`, Section 4 (the function g).

    Examples
    --------
    >>> from skfi import Quantile
    >>> Quantile(0.25)([[0.0, 1.0, 2.0, 3.0, 4.0]])
    array([1.])
    """

    q: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.q <= 1:
            raise ValueError(f"q={self.q} must be in [0, 1].")

    def __call__(self, scores: Any, weight: np.ndarray | None = None) -> np.ndarray:
        scores = np.asarray(scores, dtype=np.float64)
        if weight is None:
            place = self.q * (scores.shape[1] - 1)
            low = int(np.floor(place + 1e-9))
            high = min(low + 1, scores.shape[1] - 1)
            part = np.partition(scores, (low, high), axis=1)
            return part[:, low] + (place - low) * (part[:, high] - part[:, low])
        weight = as_copies(weight)
        place = self.q * max(weight.sum() - 1.0, 0.0)
        # The mean over one copy's mass: for whole copies the linear interpolation.
        return _weighted_middle(scores, weight, place, min(place + 1.0, weight.sum()))


def as_copies(weight: np.ndarray) -> np.ndarray:
    """Weights in copies of a row: whole ones as they are, others to a mean of 1.

    Of weights that sum to 1, say, no copy would be left to trim, and a median be the minimum.
    """
    if (weight == np.round(weight)).all():
        return weight
    return weight * (len(weight) / weight.sum())


def _sorted_mass(scores: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(scores, axis=1)
    return order, np.cumsum(weight[order], axis=1)


def _weighted_middle(
    scores: np.ndarray, weight: np.ndarray, low: float, high: float
) -> np.ndarray:
    """Mean of what lies between two places in the sorted copies."""
    order, mass = _sorted_mass(scores, weight)
    left = np.maximum(mass - weight[order], low)
    kept = np.clip(np.minimum(mass, high) - left, 0.0, None)
    return (np.take_along_axis(scores, order, 1) * kept).sum(axis=1) / (high - low)


def mean(scores: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """The plain mean; `skfi.fi_active` has it from a quadratic form instead."""
    return np.average(scores, axis=1, weights=weight)


AGGREGATES: dict[str, Callable] = {
    "trimmed_mean": TrimmedMean(),
    "median": Quantile(),
    "lower_quartile": Quantile(0.25),
    "mean": mean,
}
# These need no pairs: a mean over training rows is a quadratic form.
QUADRATIC = ("mean", "row_trimmed_mean")
_ROW_TRIM = 0.2


def resolve_aggregate(aggregate: str | Callable) -> Callable | str:
    """The function behind a name; "mean" and "row_trimmed_mean" stay names."""
    if isinstance(aggregate, str):
        if aggregate in QUADRATIC:
            return aggregate
        if aggregate in AGGREGATES:
            return AGGREGATES[aggregate]
    elif callable(aggregate):
        return aggregate
    raise ValueError(
        f"aggregate={aggregate!r} is not known. Use one of "
        f"{sorted([*AGGREGATES, 'row_trimmed_mean'])}, skfi.TrimmedMean(trim), "
        "skfi.Quantile(q), or a function of an array (b, n) that returns (b,)."
    )


def aggregate_rows(
    aggregate: Callable, scores: np.ndarray, weight: np.ndarray | None
) -> np.ndarray:
    """An aggregate of a block, refused where a callable returns nonsense."""
    own = isinstance(aggregate, TrimmedMean | Quantile) or aggregate is mean
    if own and weight is not None:
        result = aggregate(scores, weight)
    else:
        result = aggregate(scores)
    result = np.asarray(result, dtype=np.float64)
    if result.shape != (len(scores),):
        raise ValueError(
            f"aggregate must return one number a row, shape ({len(scores)},) for scores of "
            f"shape {scores.shape}; got shape {result.shape}."
        )
    if np.isnan(result).any():
        raise ValueError("aggregate returned NaN.")
    return result


def row_shares(aggregate: str, expected: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What each training row counts in the quadratic form, sums to 1 (n,).

    "row_trimmed_mean" leaves out the tenth of the training rows with the largest expected FI
    and the tenth with the smallest: the paper's trimming, moved from pairs to rows.
    """
    share = as_copies(np.array(weight, dtype=np.float64))
    if aggregate == "row_trimmed_mean":
        order = np.argsort(expected, kind="stable")
        total = share.sum()
        cut = np.floor(0.5 * _ROW_TRIM * total + 1e-9)
        mass = np.cumsum(share[order])
        kept = np.minimum(mass, total - cut) - np.maximum(mass - share[order], cut)
        share[order] = np.clip(kept, 0.0, None)
    return share / share.sum()
