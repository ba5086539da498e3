"""Rows of dask collections, block by block, and what is made of the blocks.

A block is a chunk of an array's rows or a DataFrame's partition, with what belongs to it of
the labels and weights. Functions of a block are either added up, as a tree, so that no
machine ever holds all sums at once, or their results stand beside each other in a dask array
with chunks as the rows have them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from numbers import Integral
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from dask.base import is_dask_collection
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.utils import is_dataframe_like, is_series_like, key_split
from sklearn import config_context, get_config
from sklearn.utils.validation import _num_samples, check_consistent_length

from .._utils._chunks import _BlasGate

# Sums that one task adds up; all of them are on one machine then.
SPLIT_EVERY = 8
# dask runs tasks side by side itself. Inside this gate BLAS has one thread, and a kernel,
# which takes as many as BLAS, has one too; it is another gate than the kernels' own, which
# would give them the threads that BLAS had outside.
_one_thread = _BlasGate()


Key = Any  # of a task in a graph
Given = Delayed | list[Delayed]


@dataclass(frozen=True)
class Blocks:
    """Rows in blocks."""

    keys: list[tuple[Key | None, ...]]  # a tuple a block: its X, y, …
    sizes: tuple[float, ...]  # rows of each, NaN where nobody knows
    sources: list[Delayed]  # with the graphs that have the keys

    @property
    def known(self) -> bool:
        return not np.isnan(self.sizes).any()

    def without_first(self) -> Blocks:
        """The labels and weights alone, so that X is not read for them."""
        return Blocks([block[1:] for block in self.keys], self.sizes, self.sources)

    def places(self) -> list[str]:
        """What an error calls each block."""
        if not self.known:
            return [f"In chunk {k}" for k in range(len(self.sizes))]
        ends = np.cumsum(self.sizes).astype(int)
        return [
            f"In chunk {k} (rows {end - int(size)} to {end - 1})"
            for k, (end, size) in enumerate(zip(ends, self.sizes, strict=True))
        ]


def in_blocks(**collections) -> Blocks:
    """Dask collections of the same rows, by name; the first leads. None stays None."""
    (name, X), *others = collections.items()
    parts, sizes = _chunks(X, name)
    sources, columns = parts[:1], [[part.key for part in parts]]
    for other, values in others:
        if values is None:
            columns.append([None] * len(sizes))
            continue
        if getattr(values, "ndim", 1) != 1:
            raise ValueError(
                f"{other} must have one dimension, and has {values.ndim}. Pick the column: "
                f'{other}["name"] of a DataFrame, {other}[:, 0] of an array.'
            )
        parts, _ = _chunks(_aligned(values, other, X, name, sizes), other)
        sources += parts[:1]  # one has the graph of all
        columns.append([part.key for part in parts])
    return Blocks(list(zip(*columns, strict=True)), sizes, sources)


def _chunks(values, name: str) -> tuple[list[Delayed], tuple[float, ...]]:
    """Chunks of a collection's rows, and how long they are."""
    if isinstance(values, da.Array):
        if values.ndim > 1:
            values = values.rechunk(dict.fromkeys(range(1, values.ndim), -1))
        return list(values.to_delayed(optimize_graph=False).ravel()), values.chunks[0]
    if is_dask_collection(values) and (is_dataframe_like(values) or is_series_like(values)):
        # Of a slice by `loc` alone the graph has tasks under keys that are not theirs.
        parts = list(values.map_partitions(_same, meta=values._meta).to_delayed())
        return parts, (np.nan,) * len(parts)
    raise TypeError(
        f"{name} is a {type(values).__name__}, and must be a dask array or DataFrame: "
        "dask.array.from_array(rows, chunks=…) or dask.dataframe.from_pandas(frame, "
        "npartitions=…). Rows in memory go to the functions of the same names in skfi."
    )


def _same(partition):
    return partition


def _aligned(values, name: str, X, leader: str, sizes: tuple[float, ...]):
    """Labels or weights in the chunks of X."""
    theirs = getattr(X, "divisions", (None,)), getattr(values, "divisions", (None,))
    if all(None not in known for known in theirs) and theirs[0] != theirs[1]:
        raise ValueError(
            f"{name} is partitioned otherwise than {leader}. Call {name}.repartition("
            f"divisions={leader}.divisions)."
        )
    if isinstance(values, da.Array) and not np.isnan([*values.chunks[0], *sizes]).any():
        if sum(values.chunks[0]) != sum(sizes):
            raise ValueError(
                f"{name} has {sum(values.chunks[0])} rows, and {leader} {sum(sizes)}: they "
                "must be of the same rows."
            )
        return values.rechunk((sizes,))
    if getattr(values, "npartitions", len(sizes)) != len(sizes):
        raise ValueError(
            f"{name} has {values.npartitions} chunks and {leader} has {len(sizes)}, of "
            "which not all lengths are known, so that nobody can tell which belong "
            "together. Take both from one DataFrame, or call compute_chunk_sizes() on the "
            "arrays."
        )
    return values


@dataclass(frozen=True)
class _Task:
    """A function of blocks; goes into a graph once, whatever its size."""

    function: Callable
    config: dict[str, Any]


def _run(task: _Task, place: str, rows_needed: bool, given: list, block: list):
    """A function of one block, in one thread; an error names the block."""
    try:
        check_consistent_length(*block)
        if rows_needed and _num_samples(block[0]) == 0:  # a partition may have none
            return None
        with _one_thread, config_context(**task.config):
            return task.function(*block, *given)
    except (ValueError, TypeError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{place}: {error}") from error
    except Exception as error:
        error.add_note(f"{place}.")
        raise


def each_block(
    blocks: Blocks,
    function: Callable,
    label: str,
    given: Sequence[Given] = (),
    rows_needed: bool = True,
) -> list[Delayed]:
    """``function(*block, *given)`` of every block; None where there are no rows.

    What is given is computed before: one for all blocks, or a list of one for each. The
    results share one graph, as all lists here do. It is written out, since a call of
    `dask.delayed` looks through the graphs of its arguments, and that for every block.
    """
    name = f"{label}-{uuid4().hex}"
    task = f"{name}-function"
    tasks: dict[Key, Any] = {task: _Task(function, get_config())}
    for k, (place, block) in enumerate(zip(blocks.places(), blocks.keys, strict=True)):
        more = [value[k].key if isinstance(value, list) else value.key for value in given]
        tasks[name, k] = (_run, task, place, rows_needed, more, list(block))
    graph = _graph(name, tasks, [*blocks.sources, *map(_source, given)])
    return [Delayed((name, k), graph, layer=name) for k in range(len(blocks.keys))]


def _source(given: Given) -> Delayed:
    return given[0] if isinstance(given, list) else given


def _graph(name: str, tasks: dict[Key, Any], sources: Sequence[Any]) -> HighLevelGraph:
    return HighLevelGraph.from_collections(name, tasks, dependencies=sources)


def combine(function: Callable, label: str, *values: Given) -> Delayed:
    """A function of values, or of lists of them, that are computed first."""
    name = f"{label}-{uuid4().hex}"
    keys = [
        [part.key for part in value] if isinstance(value, list) else value.key
        for value in values
    ]
    return Delayed(name, _graph(name, {name: (function, *keys)}, [*map(_source, values)]))


def split(values: Delayed, n_parts: int) -> list[Delayed]:
    """The elements of a list that is computed first."""
    name = f"{values.key}-part"
    tasks = {(name, k): (operator.getitem, values.key, k) for k in range(n_parts)}
    graph = _graph(name, tasks, [values])
    return [Delayed(key, graph, layer=name) for key in tasks]


def compute_now(value: Delayed):
    """A value, computed as an array is.

    dask optimises the graph of an array otherwise than that of a `Delayed`, and a chunk that
    both hold is then one key of two tasks, between which a scheduler that has to make a lost
    chunk again would have to choose.
    """
    name = f"{key_split(value.key)}-result-{uuid4().hex}"
    graph = _graph(name, {(name,): value.key}, [value])
    return da.Array(graph, name, chunks=(), dtype=object).compute()


def _join(add: Callable, parts: list):
    parts = [part for part in parts if part is not None]
    return reduce(add, parts) if parts else None


def sum_blocks(
    blocks: Blocks,
    function: Callable,
    label: str,
    split_every: Any = SPLIT_EVERY,
    given: Sequence[Given] = (),
    add: Callable = operator.add,
) -> Delayed:
    """`each_block`, added up in the blocks' order; None where no block has rows.

    The sums are the same each time, wherever they are made; so is the result.
    """
    if isinstance(split_every, bool) or not isinstance(split_every, Integral):
        raise TypeError(f"split_every={split_every!r} must be an int of at least 2.")
    step = int(split_every)
    if step < 2:
        raise ValueError(f"split_every={split_every} must be at least 2 for a sum to end.")
    parts = each_block(blocks, function, label, given)
    left, level = [part.key for part in parts], 0
    name, tasks = f"{label}-sum-{uuid4().hex}", {}
    join = partial(_join, add)
    while len(left) > 1 or level == 0:
        above = [(name, level, k) for k in range(-(-len(left) // step))]
        for k, key in enumerate(above):
            tasks[key] = (join, left[k * step : (k + 1) * step])
        left, level = above, level + 1
    return Delayed(left[0], _graph(name, tasks, parts[:1]), layer=name)


def map_blocks(
    blocks: Blocks,
    function: Callable,
    label: str,
    dtype: type,
    given: Sequence[Given] = (),
) -> da.Array:
    """`each_block`, a number a row, as a dask array in the same chunks."""
    rowwise = _Rowwise(function, dtype)
    parts = each_block(blocks, rowwise, f"{label}-block", given, rows_needed=False)
    name = f"{label}-{uuid4().hex}"
    tasks = {(name, k): part.key for k, part in enumerate(parts)}
    graph = _graph(name, tasks, parts[:1])
    return da.Array(graph, name, chunks=(blocks.sizes,), dtype=dtype)


@dataclass(frozen=True)
class _Rowwise:
    """A function of a block that gives an empty array where there are no rows."""

    function: Callable
    dtype: type

    def __call__(self, rows, *more) -> np.ndarray:
        if _num_samples(rows) == 0:
            return np.empty(0, self.dtype)
        return np.asarray(self.function(rows, *more), dtype=self.dtype)
