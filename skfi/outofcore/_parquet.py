"""Rows of Parquet files, read a few row groups' worth at a time by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._utils._checkpoint import digest
from .._utils._extras import require
from ._source import Block, Labels, RowSource, named, span

# Bytes read ahead in each column; by default a whole row group is held.
_READ_AHEAD = 2**16


class _File(NamedTuple):
    path: Path
    start: int  # rows of the files before it
    group_rows: tuple[int, ...]
    size: int
    changed: int


class ParquetRows(RowSource):
    """Training rows in Parquet files, of which a block at a time is read.

    Numbers become arrays. Where the classifier is a Pipeline that was fitted on a DataFrame,
    or a column holds something else than numbers, blocks are DataFrames.

    Parameters
    ----------
    path : path-like or list of path-like
        A file, a folder (all ``*.parquet`` in it and below, by name), or a list of files in
        the order of their rows.
    target : str
        Column of the labels.
    features : list of str, default=None
        Columns of the features in the order the classifier takes them; None is all others.
    sample_weight : str, default=None
        Column of the weights; one of w counts as w copies.

    Raises
    ------
    FileNotFoundError
        There is no such file, or none in the folder.
    ImportError
        pyarrow is not installed.
    ValueError
        A file lacks a column, or there are no rows.

    See Also
    --------
    ArrayRows : Rows of arrays and memory maps.
    BatchRows : Rows that come in batches from anywhere.

    Notes
    -----
    Beside the block, pyarrow holds a page of each column, and its dictionary where there is
    one: up to some MiB a column, whatever the number of rows. Numbers that hardly repeat are
    better written without (``use_dictionary=False``).

    A missing number (null) is NaN, which a classifier without an imputing step refuses.
    Folders' names of a partitioned data set (``year=2024``) are not read as columns.

    Examples
    --------
    >>> import os, tempfile
    >>> import pyarrow as pa
    >>> import pyarrow.parquet as pq
    >>> from skfi.outofcore import ParquetRows
    >>> path = os.path.join(tempfile.mkdtemp(), "train.parquet")
    >>> table = pa.table({"a": [0.0, 1.0], "b": [2.0, 3.0], "label": ["no", "yes"]})
    >>> pq.write_table(table, path)
    >>> rows = ParquetRows(path, target="label")
    >>> rows.n_rows, rows.feature_names, rows.classes().tolist()
    (2, ['a', 'b'], ['no', 'yes'])
    """

    def __init__(
        self,
        path: Any,
        *,
        target: str,
        features: list[str] | None = None,
        sample_weight: Any = None,
    ) -> None:
        self._parquet: Any = require("pyarrow.parquet", "ParquetRows")
        self._arrow: Any = require("pyarrow", "ParquetRows")
        self._target, self._weight = target, sample_weight
        own = [target] if sample_weight is None else [target, sample_weight]
        self._features = None if features is None else list(features)
        kinds: set[Any] = set()
        start, self._files = 0, []
        for file in _paths(path):
            stat = file.stat()
            with named(file.name), self._parquet.ParquetFile(file) as opened:
                schema, metadata = opened.schema_arrow, opened.metadata
                if self._features is None:
                    self._features = [name for name in schema.names if name not in own]
                _check_columns(schema.names, [*own, *self._features])
                kinds |= {schema.field(name).type for name in self._features}
                groups = tuple(
                    metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)
                )
            self._files.append(_File(file, start, groups, stat.st_size, stat.st_mtime_ns))
            start += sum(groups)
        if not start:
            raise ValueError(f"{path} holds no rows.")
        self._n_rows = start
        types = self._arrow.types
        self._numbers = all(
            types.is_integer(k) or types.is_floating(k) or types.is_boolean(k)
            or types.is_decimal(k) for k in kinds
        )  # fmt: skip
        self._dtype = np.float32 if kinds == {self._arrow.float32()} else np.float64

    @property
    def n_rows(self) -> int:
        """Number of rows of all files."""
        return self._n_rows

    @property
    def n_features(self) -> int:
        """Number of columns of the features."""
        return len(self.feature_names)

    @property
    def feature_names(self) -> list[str]:
        """Their names, in order."""
        return list(self._features or ())

    def _row_bytes(self) -> float:
        # Beside the block there are the columns that Arrow decoded.
        return 16.0 * max(1, self.n_features)

    def _settings(self) -> dict[str, dict[str, str]]:
        names = ", ".join(file.path.name for file in self._files[:3])
        text = f"{names}{', …' if len(self._files) > 3 else ''} ({self._n_rows} rows)"
        files = [(f.path.name, f.group_rows, f.size, f.changed) for f in self._files]
        columns = [self._target, self.feature_names, self._weight]
        return {
            "files": {"digest": digest(files, "path"), "text": text},
            "columns": {"digest": digest(columns, "columns"), "text": str(columns)},
        }

    def _read(self, size: int, start: int = 0, frames: bool = False) -> Iterator[Block]:
        for label, batch in self._batches(size, start, self.feature_names):
            with named(label.where):
                X = self._features_of(batch, frames)
            yield Block(*label[:3], X, *label[3:])

    def _labels(self, size: int) -> Iterator[Labels]:
        for label, _ in self._batches(size, 0, []):
            yield label

    def _batches(
        self, size: int, start: int, features: list[str]
    ) -> Iterator[tuple[Labels, Any]]:
        own = [self._target] if self._weight is None else [self._target, self._weight]
        for file in self._files:
            if file.start + sum(file.group_rows) <= start:
                continue
            _check_unchanged(file)
            with self._parquet.ParquetFile(
                file.path, pre_buffer=False, buffer_size=_READ_AHEAD
            ) as opened:
                for at, groups in _joined(file.group_rows, size):
                    if file.start + at + sum(file.group_rows[g] for g in groups) <= start:
                        continue
                    for batch in opened.iter_batches(
                        batch_size=size, row_groups=groups, columns=[*own, *features]
                    ):
                        a, at = at, at + batch.num_rows
                        if a == at or file.start + a < start:
                            continue
                        where = span(a, at, file.path.name)
                        with named(where):
                            y = batch.column(self._target).to_numpy(zero_copy_only=False)
                            weight = None
                            if self._weight is not None:
                                weight = self._numbers_of(batch, self._weight)
                        yield Labels(file.start + a, file.start + at, where, y, weight), batch
            _check_unchanged(file)

    def _numbers_of(self, batch: Any, name: str) -> np.ndarray:
        column = batch.column(name).cast(self._arrow.float64(), safe=False)
        return column.to_numpy(zero_copy_only=False)

    def _features_of(self, batch: Any, frames: bool) -> Any:
        if frames or not self._numbers:
            require("pandas", "A DataFrame of ParquetRows")
            return batch.select(self._features).to_pandas()
        # By columns, as they come.
        X = np.empty((len(self._features or ()), batch.num_rows), dtype=self._dtype)
        for column, name in zip(X, self._features or (), strict=True):
            column[:] = self._numbers_of(batch, name)
        return X.T


def _paths(path: Any) -> list[Path]:
    if isinstance(path, list | tuple):
        found = [Path(part) for part in path]
    elif Path(path).is_dir():
        found = sorted(
            file
            for file in Path(path).rglob("*.parquet")
            if not file.name.startswith((".", "_"))
        )
    else:
        found = [Path(path)]
    missing = [str(file) for file in found if not file.is_file()]
    if missing or not found:
        raise FileNotFoundError(
            f"There is no file {missing[0]}." if missing else f"No *.parquet files in {path}."
        )
    return found


def _check_columns(there: list[str], wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ValueError(f"there are no columns {missing}; its columns are {there[:20]}.")
    if len(set(wanted)) < len(wanted) or len(wanted) < 2:
        raise ValueError(
            f"target, sample_weight and features must be different columns, with a feature at "
            f"least; got {wanted}."
        )


def _check_unchanged(file: _File) -> None:
    stat = file.path.stat()
    if (stat.st_size, stat.st_mtime_ns) != (file.size, file.changed):
        raise ValueError(
            f"{file.path} has changed since ParquetRows looked at it. Make a new ParquetRows, "
            "and leave the file alone until all passes are done."
        )


def _joined(group_rows: tuple[int, ...], size: int) -> Iterator[tuple[int, list[int]]]:
    """First row and numbers of row groups that are read together: small ones fill a block."""
    at, held = 0, 0
    groups: list[int] = []
    for g, n in enumerate(group_rows):
        if groups and held + n > size:
            yield at, groups
            at, held, groups = at + held, 0, []
        groups.append(g)
        held += n
    if groups:
        yield at, groups
