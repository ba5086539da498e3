"""The highest of the scores of a dask array: histograms, added up as a tree."""

from __future__ import annotations

from functools import partial
from typing import Any

import dask.array as da
import numpy as np

from .._utils._budget import budget_rows, check_budget
from .._utils._select import LEVELS, Cut, chosen, count_ties, digit_counts, next_digit
from ._dask_blocks import (
    SPLIT_EVERY,
    combine,
    each_block,
    in_blocks,
    map_blocks,
    split,
    sum_blocks,
)


def select_top(scores, budget, *, split_every=SPLIT_EVERY):
    """Which rows have the highest scores, as a lazy mask.

    Nothing is sorted, and nothing is brought together: four histograms of 65,536 counts,
    each added up over all chunks, find the score at which to cut. Ties go by row order, as
    in a stable sort.

    Parameters
    ----------
    scores : dask.array.Array of shape (n,)
        Numbers, the highest first; infinity is one. Chunk lengths may be unknown.
    budget : int or float
        How many rows to choose, or a share in [0, 1) of all rows, rounded down.
    split_every : int, default=8
        Histograms that one task adds up.

    Returns
    -------
    chosen : dask.array.Array of bool of shape (n,)
        In the chunks of `scores`. Computed together with them
        (``dask.compute(scores, chosen)``) it costs no second pass over the rows behind
        the scores; computed by itself it computes the scores again, once.

    Raises
    ------
    TypeError
        `scores` is no dask array.
    ValueError
        A budget that is no number of rows or share, or is more than there are rows; where
        the number of rows is not known, when the mask is computed. NaN among the scores,
        by then, with the chunk's number.

    See Also
    --------
    fi_util : Scores of training rows.
    fi_active : Scores of unlabelled rows.

    Examples
    --------
    >>> import dask.array as da
    >>> from skfi.integrations.dask import select_top
    >>> scores = da.from_array([0.1, 0.9, 0.5, 0.9], chunks=2)
    >>> select_top(scores, 2).compute()
    array([False,  True, False,  True])
    """
    check_budget(budget)
    if not isinstance(scores, da.Array):
        raise TypeError(
            f"scores is a {type(scores).__name__}, and must be a dask array: "
            "dask.array.from_array(scores, chunks=…), or to_dask_array() of a Series."
        )
    if scores.ndim != 1:
        raise ValueError(f"scores must have one dimension, and has {scores.ndim}.")
    blocks = in_blocks(scores=scores)
    n_rows = int(sum(blocks.sizes)) if blocks.known else None
    if n_rows is not None:
        _rows_chosen(budget, n_rows)  # says at once what is too much
    total = sum_blocks(blocks, _count, "skfi-count", split_every)
    cut = combine(partial(_first_cut, budget), "skfi-cut", total)
    for level in range(LEVELS):
        digits = partial(_digits, level)
        found = sum_blocks(blocks, digits, "skfi-digits", split_every, given=[cut])
        cut = combine(_longer, "skfi-cut", cut, found)
    ties = each_block(blocks, count_ties, "skfi-ties", given=[cut])
    before = split(combine(_running, "skfi-ties-before", ties), len(ties))
    return map_blocks(blocks, chosen, "skfi-chosen", np.bool_, given=[cut, before])


def _rows_chosen(budget: Any, n_rows: int) -> int:
    number = budget_rows(budget, n_rows)
    if number > n_rows:
        raise ValueError(f"budget={budget} is more than there are rows: {n_rows}.")
    return number


def _count(scores: np.ndarray) -> int:
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN, which is neither high nor low.")
    return len(scores)


def _first_cut(budget, n_rows: int | None) -> Cut:
    return Cut(0, _rows_chosen(budget, n_rows or 0))


def _digits(level: int, scores: np.ndarray, cut: Cut) -> np.ndarray:
    return digit_counts(scores, cut.key, level)


def _longer(cut: Cut, counts: np.ndarray | None) -> Cut:
    return cut if counts is None else next_digit(cut, counts)


def _running(ties: list[int | None]) -> list[int]:
    """Of each block, how many of the blocks before it equal the cut."""
    counts = [count or 0 for count in ties]
    return [0, *np.cumsum(counts[:-1]).tolist()]
