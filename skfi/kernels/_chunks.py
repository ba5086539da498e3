"""Blocks of rows: small enough for the memory limit and for the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn import get_config

# Doubles in a block's largest temporary that still sit in a second-level cache.
_CACHE_DOUBLES = 2**17
_MIN_ROWS, _MAX_ROWS = 64, 4096


def block_rows(doubles_per_row: int, working_memory: float | None = None) -> int:
    """Rows a block may have when each needs ``doubles_per_row`` float64 temporaries.

    ``working_memory`` is in MiB; None reads scikit-learn's configuration.
    """
    if working_memory is None:
        working_memory = get_config()["working_memory"]
    allowed = int(working_memory * 2**20 // (8 * doubles_per_row))
    wanted = min(max(_CACHE_DOUBLES // doubles_per_row, _MIN_ROWS), _MAX_ROWS)
    return max(1, min(allowed, wanted))


def row_blocks(n_rows: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` rows that cover ``range(n_rows)`` in order."""
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def dense_rows(X, rows: slice) -> np.ndarray:
    """A block of rows as dense float64; a view where X is that already."""
    block = X[rows]
    if hasattr(block, "toarray"):
        block = block.toarray()
    return np.asarray(block, dtype=np.float64)
