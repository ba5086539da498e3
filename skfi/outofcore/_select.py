"""The highest of scores that may lie on disk."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils._budget import rows_chosen
from .._utils._chunks import row_blocks
from .._utils._select import chosen, count_ties, highest


def select_top(scores: Any, budget: float, *, chunk: int = 2**16) -> np.ndarray:
    """Choose the rows with the highest scores, without sorting them.

    Reads the scores twice, in blocks. Beside the mask, memory holds two copies of the scores
    that are chosen: 16 bytes for each row of the budget.

    Parameters
    ----------
    scores : array-like of shape (n,)
        Scores, such as those of `fi_util`; a memory map is read in blocks.
    budget : int or float
        How many rows to choose: a number (int), or a share in [0, 1) rounded down.
    chunk : int, default=65536
        Scores of a block, or as many as are chosen where these are more.

    Returns
    -------
    top : ndarray of bool of shape (n,)
        True for the rows that were chosen, exactly as many as asked for. Of equal scores
        those of the first rows are taken, as in a stable sort.

    Raises
    ------
    ValueError
        Scores hold NaN or are not one a row, or the budget makes no sense.

    See Also
    --------
    fi_util : The scores.
    trim : Scores, choice and refit at once.

    Examples
    --------
    >>> from skfi.outofcore import select_top
    >>> select_top([0.3, 0.1, 0.3, 0.2, 0.3], 2)
    array([ True, False,  True, False, False])
    """
    if not (hasattr(scores, "shape") and hasattr(scores, "__getitem__")):
        scores = np.asarray(scores)
    if len(scores.shape) != 1:
        raise ValueError(
            f"scores have shape {tuple(scores.shape)}, and must be one a row (n,)."
        )
    if chunk < 1:
        raise ValueError(f"chunk={chunk!r} must be a number of scores, at least 1.")
    n = int(scores.shape[0])
    number = rows_chosen(budget, n)
    blocks = list(row_blocks(n, max(chunk, number)))
    best = highest(np.empty(0), number)
    for rows in blocks:
        block = np.asarray(scores[rows])
        if np.isnan(block).any():
            raise ValueError(f"scores hold NaN in rows {rows.start:,} to {rows.stop - 1:,}.")
        best = best.join(highest(block, number))
    top = np.zeros(n, dtype=bool)
    cut, before = best.cut(), 0
    for rows in blocks:
        block = np.asarray(scores[rows])
        top[rows] = chosen(block, cut, before)
        before += count_ties(block, cut)
    return top
