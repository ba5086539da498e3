"""From scores to a batch: the best, a random draw by score, or rows far from each other.

Choosing knows nothing of how rows were scored, so that every strategy can choose in each of
these ways.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def select_top(scores: np.ndarray, size: int, rng: np.random.RandomState) -> np.ndarray:
    """The ``size`` highest scores, best first; ties in random order."""
    return np.lexsort((rng.permutation(len(scores)), -scores))[:size]


def select_power(
    scores: np.ndarray, size: int, rng: np.random.RandomState, exponent: float = 1.0
) -> np.ndarray:
    """``size`` rows without repetition, each drawn in proportion to ``score^exponent``.

    By the Gumbel trick: the top of ``exponent · log score + noise`` (Kirsch et al. 2023,
    "Stochastic Batch Acquisition", the power variant). Rows of score 0 come last.
    """
    with np.errstate(divide="ignore"):
        noisy = exponent * np.log(np.maximum(scores, 0.0)) + rng.gumbel(size=len(scores))
    return select_top(noisy, size, rng)


def select_diverse(
    lengths: np.ndarray,
    inner: Callable[[int], np.ndarray],
    size: int,
    rng: np.random.RandomState,
) -> np.ndarray:
    """k-means++ (Arthur & Vassilvitskii 2007) on vectors known by their inner products.

    The longest vector goes first, as in BADGE (Ash et al. 2020); each further one is drawn in
    proportion to its squared distance to the nearest of those chosen. Where all of them are
    at distance 0 of those chosen, the longest that are left follow.

    Parameters
    ----------
    lengths : ndarray of shape (n,)
        Squared lengths of the vectors.
    inner : callable
        Index of a vector -> its inner products with all (n,), one pass over the rows.
    size : int
        Rows to choose, at most n.
    rng : RandomState
        Source of the draws.
    """
    # Sums of squared lengths of 1e300 would overflow; only their ratios matter.
    largest = lengths.max(initial=0.0) or 1.0
    lengths = lengths / largest
    chosen: list[int] = []
    free = np.ones(len(lengths), dtype=bool)
    distance = np.full(len(lengths), np.inf)
    following = int(select_top(lengths, 1, rng)[0])
    while True:
        chosen.append(following)
        free[following] = False
        if len(chosen) == size:
            return np.array(chosen, dtype=np.intp)
        apart = lengths + lengths[following] - 2.0 * (inner(following) / largest)
        distance = np.where(free, np.minimum(distance, np.maximum(apart, 0.0)), 0.0)
        # Rounding leaves a duplicate at a tiny distance, which is none.
        distance[distance < 1e-12 * lengths] = 0.0
        mass = np.cumsum(distance)
        if not mass[-1] > 0:
            left = np.flatnonzero(free)
            rest = select_top(lengths[left], size - len(chosen), rng)
            return np.concatenate([np.array(chosen, dtype=np.intp), left[rest]])
        drawn = np.searchsorted(mass, rng.uniform(0.0, mass[-1]), side="right")
        following = int(min(drawn, np.flatnonzero(distance)[-1]))
