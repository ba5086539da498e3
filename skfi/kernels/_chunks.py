"""Blocks of rows: small enough for memory limit and cache, spread over threads.

Blocks run in threads of our own, each with single-threaded BLAS. Handing every small
product to BLAS threads instead makes them meet at a barrier each time, which costs more
than the product as soon as another pool is still spinning: SciPy has a BLAS of its own,
and scikit-learn's fit leaves its threads awake.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

import numpy as np
from sklearn import get_config
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
# Threads that BLAS had before it was kept to one.
_inside: ContextVar[int | None] = ContextVar("_inside", default=None)

# Doubles of temporaries in a block: large enough that Python's share of the time is
# small, small enough that most of them stay in the processor's caches.
_BLOCK_DOUBLES = 750_000
_MIN_ROWS, _MAX_ROWS = 64, 4096


def block_rows(doubles_per_row: int, working_memory: float | None = None) -> int:
    """Rows a block may have when each needs ``doubles_per_row`` float64 temporaries.

    ``working_memory`` is in MiB, for all blocks that run at once; None reads
    scikit-learn's configuration.
    """
    if working_memory is None:
        working_memory = get_config()["working_memory"]
    allowed = int(working_memory * 2**20 // (8 * doubles_per_row * n_threads()))
    wanted = min(max(_BLOCK_DOUBLES // doubles_per_row, _MIN_ROWS), _MAX_ROWS)
    return max(1, min(allowed, wanted))


def row_blocks(n_rows: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` rows that cover ``range(n_rows)`` in order."""
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def n_threads() -> int:
    """Threads that NumPy's BLAS would use, and that blocks use in its place."""
    if (inside := _inside.get()) is not None:
        return inside
    pools = _controller().select(user_api="blas").info()
    return min(max((pool["num_threads"] for pool in pools), default=1), os.cpu_count() or 1)


@contextmanager
def one_blas_thread(unless: bool = False) -> Iterator[None]:
    """Keep BLAS to one thread, so that none is left spinning beside the blocks'."""
    if unless or _inside.get() is not None:
        yield
        return
    token = _inside.set(n_threads())
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        _inside.reset(token)


def map_blocks(function: Callable[[slice], T], n_rows: int, size: int) -> Iterator[T]:
    """``function`` of every block, in order, a few blocks ahead of the caller.

    The order of results does not depend on the threads, so neither do sums of them.
    """
    blocks = list(row_blocks(n_rows, size))
    threads = min(n_threads(), len(blocks))
    if threads <= 1:
        yield from map(function, blocks)
        return
    waiting: deque[Future[T]] = deque()
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        for block in blocks:
            waiting.append(pool.submit(function, block))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def dense_rows(X, rows: slice) -> np.ndarray:
    """A block of rows as dense float64; a view where X is that already."""
    block = X[rows]
    if hasattr(block, "toarray"):
        block = block.toarray()
    return np.asarray(block, dtype=np.float64)
