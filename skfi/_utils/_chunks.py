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
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from functools import cache
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from sklearn import config_context, get_config
from threadpoolctl import ThreadpoolController

T = TypeVar("T")

# Doubles of temporaries in a block: large enough that Python's share of the time is
# small, small enough that most of them stay in the processor's caches.
_BLOCK_DOUBLES = 750_000
_MIN_ROWS, _MAX_ROWS = 64, 4096
# Numbers in the rows of a fit that is worth all of BLAS's threads.
_LARGE_FIT = 5_000_000


def block_rows(
    doubles_per_row: int, working_memory: float | None = None, least: int = _MIN_ROWS
) -> int:
    """Rows a block may have when each needs ``doubles_per_row`` float64 temporaries.

    ``working_memory`` is in MiB, for all blocks that run at once; None reads
    scikit-learn's configuration. ``least`` rows are taken wherever it allows them: as many as
    are worth what a block costs beside its rows.
    """
    if working_memory is None:
        working_memory = get_config()["working_memory"]
    allowed = int(working_memory * 2**20 // (8 * doubles_per_row * n_threads()))
    wanted = min(max(_BLOCK_DOUBLES // doubles_per_row, least), _MAX_ROWS)
    return max(1, min(allowed, wanted))


def row_blocks(n_rows: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` rows that cover ``range(n_rows)`` in order."""
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


class _BlasGate:
    """Keeps BLAS to one thread while anybody is inside.

    BLAS's limit is one for the whole process, and callers may overlap in threads: the
    first to come sets it, the last to leave restores it. Where the limit is one already, or
    is another thread's to set, it is left alone: that thread restores it.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.users = 0
        self.threads = 1  # what BLAS had before
        self.limiter: Any = None

    def __enter__(self) -> None:
        with self.lock:
            if self.users == 0:
                self.threads = _blas_threads()
                if _blas_limit() > 1:
                    limiter = _controller().limit(limits=1, user_api="blas")
                    if _blas_limit() == 1:
                        self.limiter = limiter
            self.users += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0 and self.limiter is not None:
                _release_control()  # of the thread that came first
                self.limiter.restore_original_limits()
                _release_control()
                self.limiter = None


_gate = _BlasGate()


def _release_control() -> None:
    """Let any thread set BLAS's limit; from 3.8 on threadpoolctl reserves it for one."""
    for library in {type(library) for library in _controller().lib_controllers}:
        release = getattr(library, "clear_controlling_thread", None)
        if release is not None:
            release(force=True)


def _blas_limit() -> int:
    pools = _controller().select(user_api="blas").info()
    return max((pool["num_threads"] for pool in pools), default=1)


def _blas_threads() -> int:
    return min(_blas_limit(), os.cpu_count() or 1)


def n_threads() -> int:
    """Threads that NumPy's BLAS would use, and that blocks use in its place."""
    return _gate.threads if _gate.users else _blas_threads()


def one_blas_thread(unless: bool = False) -> AbstractContextManager[None]:
    """Keep BLAS to one thread, so that none is left spinning beside the blocks'."""
    return nullcontext() if unless else _gate


def threads_to_fit(X: Any) -> AbstractContextManager[None]:
    """One BLAS thread for a fit that is over sooner than several would have met.

    A solver's many small products wait for all threads at each, and longer than they compute
    where other work goes on beside them. Threads that a fit starts by itself (boosting,
    forests, torch) are left alone.
    """
    shape: tuple[int, ...] = getattr(X, "shape", ())
    dense = len(shape) > 1 and not hasattr(X, "tocsr")
    return one_blas_thread(unless=dense and int(np.prod(shape)) > _LARGE_FIT)


def map_blocks(
    function: Callable[[slice], T],
    n_rows: int,
    size: int,
    pool: ThreadPoolExecutor | None = None,
) -> Iterator[T]:
    """``function`` of every block, in order, a few blocks ahead of the caller.

    The order of results does not depend on the threads, so neither do sums of them. ``pool``
    saves the start of threads where short sweeps follow each other.
    """
    blocks = list(row_blocks(n_rows, size))
    threads = min(n_threads(), len(blocks))
    return (
        map(function, blocks) if threads <= 1 else _in_threads(function, blocks, threads, pool)
    )


def _in_threads(
    function: Callable[[slice], T],
    blocks: list[slice],
    threads: int,
    pool: ThreadPoolExecutor | None,
) -> Iterator[T]:
    # A new thread starts from the defaults: of scikit-learn's configuration, which is one per
    # thread, and of what is one per context, such as ignored warnings and numpy's errors.
    config = get_config()

    def configured(block: slice) -> T:
        with config_context(**config):
            return function(block)

    waiting: deque[Future[T]] = deque()
    own = ThreadPoolExecutor(threads) if pool is None else nullcontext(pool)
    with one_blas_thread(), own as used:
        for block in blocks:
            waiting.append(used.submit(copy_context().run, configured, block))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def dense_rows(X: Any, rows: slice | np.ndarray) -> np.ndarray:
    """Some rows as dense float64; a view where a block of X is that already."""
    block = X[rows]
    if hasattr(block, "toarray"):
        block = block.toarray()
    return np.asarray(block, dtype=np.float64)
