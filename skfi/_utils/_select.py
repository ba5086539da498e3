"""The highest of many scores, which lie in blocks.

The b highest of all are among the b highest of each block, so two passes choose rows: one finds
the b-th highest score, one compares with it. Of equal scores those of the first rows are
chosen, as in a stable sort.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Highest(NamedTuple):
    """The highest scores of some blocks, in any order."""

    n_chosen: int  # of all blocks
    scores: np.ndarray  # at most n_chosen

    def join(self, other: Highest) -> Highest:
        """The highest scores of the blocks of both."""
        return highest(np.concatenate([self.scores, other.scores]), self.n_chosen)

    def cut(self) -> Cut:
        """Where to cut, once these are the highest of all blocks."""
        if not len(self.scores):
            return Cut(np.inf, 0)
        lowest = self.scores.min()
        return Cut(lowest, int((self.scores == lowest).sum()))


class Cut(NamedTuple):
    """Chosen are all scores above `score`, and the first `n_ties` of those equal to it."""

    score: float
    n_ties: int


def highest(scores: np.ndarray, n_chosen: int) -> Highest:
    """The ``n_chosen`` highest scores of a block (b,), or all where these are fewer."""
    scores = np.asarray(scores, dtype=np.float64)
    n_lower = len(scores) - n_chosen
    if 0 < n_lower < len(scores):
        scores = np.partition(scores, n_lower)
    return Highest(n_chosen, scores[max(n_lower, 0) :])


def count_ties(scores: np.ndarray, cut: Cut) -> int:
    """Scores of a block that equal the cut."""
    return int((np.asarray(scores) == cut.score).sum())


def chosen(scores: np.ndarray, cut: Cut, ties_before: int) -> np.ndarray:
    """Which scores of a block are chosen (b,), given how many before it equal the cut."""
    scores = np.asarray(scores)
    mask = scores > cut.score
    ties = np.flatnonzero(scores == cut.score)
    mask[ties[: max(cut.n_ties - ties_before, 0)]] = True
    return mask
