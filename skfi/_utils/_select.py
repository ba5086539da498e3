"""The highest of very many scores, without sorting them or having them in one place.

A float's bits, read as an integer, order as the float does. So the b-th highest score is
found digit by digit, sixteen bits at a time: four histograms over all scores, each a sum of
those of the blocks. Ties go by row order, as in a stable sort.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_BITS, LEVELS = 16, 4
_SIGN = np.uint64(1 << 63)


@dataclass(frozen=True)
class Cut:
    """Scores that are chosen: all above `key`, and the first `n_ties` of those equal to it."""

    key: int
    n_ties: int


def ordered_keys(scores: np.ndarray) -> np.ndarray:
    """Unsigned integers (b,) that order as the scores do; -0 and 0 are one."""
    bits = (np.asarray(scores, dtype=np.float64) + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def digit_counts(scores: np.ndarray, prefix: int, level: int) -> np.ndarray:
    """How many scores of a block have each next digit (65,536,), among those with a prefix.

    Parameters
    ----------
    scores : ndarray of shape (b,)
    prefix : int
        The digits above, as one number; 0 at the first level.
    level : int
        0 for the first digit to 3 for the last.
    """
    keys = ordered_keys(scores)
    shift = np.uint64(_BITS * (LEVELS - 1 - level))
    digits = keys >> shift
    if level:
        digits = digits[digits >> np.uint64(_BITS) == np.uint64(prefix)]
    digits = digits & np.uint64((1 << _BITS) - 1)
    return np.bincount(digits.astype(np.intp), minlength=1 << _BITS)


def find_cut(counts: Callable[[int, int], np.ndarray], n_chosen: int) -> Cut:
    """The cut that leaves `n_chosen` scores above it.

    Parameters
    ----------
    counts : callable
        ``(prefix, level) -> counts (65,536,)``: `digit_counts`, summed up over all blocks.
    n_chosen : int
        At most as many as there are scores.
    """
    cut = Cut(0, n_chosen)
    for level in range(LEVELS):
        cut = next_digit(cut, counts(cut.key, level))
    return cut


def next_digit(cut: Cut, counts: np.ndarray) -> Cut:
    """One digit more of the cut, of which `key` is the prefix and `n_ties` is left to choose.

    Starts from ``Cut(0, n_chosen)``; after `LEVELS` digits it is the cut.
    """
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, cut.n_ties))
    digit = (1 << _BITS) - 1 - place
    above = int(from_top[place - 1]) if place else 0
    return Cut((cut.key << _BITS) | digit, cut.n_ties - above)


def count_ties(scores: np.ndarray, cut: Cut) -> int:
    """Scores of a block that equal the cut."""
    return int((ordered_keys(scores) == np.uint64(cut.key)).sum())


def chosen(scores: np.ndarray, cut: Cut, ties_before: int) -> np.ndarray:
    """Which scores of a block are chosen (b,), given how many before it equal the cut."""
    keys = ordered_keys(scores)
    key = np.uint64(cut.key)
    mask = keys > key
    ties = np.flatnonzero(keys == key)
    mask[ties[: max(cut.n_ties - ties_before, 0)]] = True
    return mask
