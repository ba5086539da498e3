"""The highest of scores that may lie on disk."""

from __future__ import annotations

from functools import reduce
from numbers import Integral

import numpy as np

from .._utils._budget import budget_rows
from .._utils._chunks import row_blocks
from .._utils._select import chosen, count_ties, digit_counts, find_cut

_CHUNK = 2**16  # scores at once: some 3 MiB of temporaries


def select_top(scores, budget, *, chunk=_CHUNK):
    """Choose the rows with the highest scores, without sorting them.

    Goes through the scores six times, a block at a time, which is linear in their number.

    Parameters
    ----------
    scores : array-like of shape (n,)
        Scores, such as those of `fi_util`; a memory map is read in blocks.
    budget : int or float
        How many rows to choose: a number (int), or a share in [0, 1) rounded down.
    chunk : int, default=65536
        Scores that are looked at at once.

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
    if isinstance(chunk, bool) or not isinstance(chunk, Integral) or chunk < 1:
        raise ValueError(f"chunk={chunk!r} must be a number of scores, at least 1.")
    n = int(scores.shape[0])
    number = budget_rows(budget, n)
    if number > n:
        raise ValueError(f"budget={budget} is more than the {n:,} scores there are.")
    blocks = list(row_blocks(n, int(chunk)))
    for rows in blocks:
        if np.isnan(np.asarray(scores[rows])).any():
            raise ValueError(f"scores hold NaN in rows {rows.start:,} to {rows.stop - 1:,}.")
    top = np.zeros(n, dtype=bool)
    if not number:
        return top

    def counts(prefix: int, level: int) -> np.ndarray:
        parts = (digit_counts(np.asarray(scores[rows]), prefix, level) for rows in blocks)
        return reduce(np.add, parts)

    cut = find_cut(counts, number)
    before = 0
    for rows in blocks:
        block = np.asarray(scores[rows])
        top[rows] = chosen(block, cut, before)
        before += count_ties(block, cut)
    return top
