"""The highest of the scores of a dask array: the highest of its chunks, joined as a tree."""

from __future__ import annotations

from functools import partial

import dask.array as da
import numpy as np

from .._utils._budget import check_budget, rows_chosen
from .._utils._select import Cut, Highest, chosen, count_ties, highest
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

    The highest scores of all chunks, joined as a tree, give the score at which to cut. Of
    equal scores those of the first rows are chosen, as in a stable sort. One worker holds up
    to ``8 * split_every`` bytes for each row of the budget.

    Parameters
    ----------
    scores : dask.array.Array of shape (n,)
        Numbers, the highest first; infinity is one. Chunk lengths may be unknown.
    budget : int or float
        How many rows to choose, or a share in [0, 1) of all rows, rounded down.
    split_every : int, default=8
        Chunks whose highest scores one task joins.

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
        rows_chosen(budget, n_rows)  # says at once what is too much
    total = sum_blocks(blocks, _count, "skfi-count", split_every)
    number = combine(partial(_number_chosen, budget), "skfi-number", total)
    best = sum_blocks(
        blocks, highest, "skfi-highest", split_every, given=[number], add=Highest.join
    )
    cut = combine(_cut, "skfi-cut", best)
    ties = each_block(blocks, count_ties, "skfi-ties", given=[cut])
    before = split(combine(_running, "skfi-ties-before", ties), len(ties))
    return map_blocks(blocks, chosen, "skfi-chosen", np.bool_, given=[cut, before])


def _count(scores: np.ndarray) -> int:
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN, which is neither high nor low.")
    return len(scores)


def _number_chosen(budget: float, n_rows: int | None) -> int:
    return rows_chosen(budget, n_rows or 0)


def _cut(best: Highest | None) -> Cut:
    return Cut(np.inf, 0) if best is None else best.cut()


def _running(ties: list[int | None]) -> list[int]:
    """Of each block, how many of the blocks before it equal the cut."""
    counts = [count or 0 for count in ties]
    return [0, *np.cumsum(counts[:-1]).tolist()]
