"""Rows of arrays: memory maps, sparse matrices, and whatever else is sliced by rows."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import _get_feature_names

from .._utils._checkpoint import data_setting, digest
from .._utils._checks import check_sliceable
from .._utils._chunks import row_blocks
from ._source import Block, Labels, RowSource, span

_SAMPLED = 32  # rows that are compared with those of an earlier run


class ArrayRows(RowSource):
    """Training rows in arrays, of which a block at a time is looked at.

    Parameters
    ----------
    X : {array-like, sparse matrix, DataFrame} of shape (n, n_features)
        Features: an array, a memory map (``np.load(path, mmap_mode="r")``), a sparse matrix
        (CSR; others are converted), or an object with a shape that is read by slices, such
        as an array of zarr or h5py. Where it has chunks, blocks end where they do.
    y : array-like of shape (n,)
        Labels.
    sample_weight : array-like of shape (n,), default=None
        Weights; one of w counts as w copies.

    Raises
    ------
    TypeError
        `X` can only be gone through once.
    ValueError
        `X` has not two dimensions or no rows, or lengths differ.

    See Also
    --------
    ParquetRows : Rows of files.
    BatchRows : Rows that come in batches from anywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from skfi.outofcore import ArrayRows
    >>> rows = ArrayRows(np.arange(12.0).reshape(6, 2), [0, 1, 0, 1, 1, 0])
    >>> rows.n_rows, rows.n_features, rows.classes()
    (6, 2, array([0, 1]))
    >>> [X.shape for X, y, sample_weight in rows.blocks()]
    [(6, 2)]
    """

    def __init__(self, X: Any, y: Any, sample_weight: Any = None) -> None:
        check_sliceable(X, "X")
        if sparse.issparse(X):
            X = X.tocsr()
        elif not hasattr(X, "shape"):
            X = np.asarray(X)
        if len(X.shape) != 2 or not X.shape[0]:
            raise ValueError(
                f"X has shape {tuple(X.shape)}, and must have rows and columns (n, n_features)."
            )
        self.X = X
        self.y = _column(y, "y", X.shape[0])
        self.sample_weight = _column(sample_weight, "sample_weight", X.shape[0])
        file = getattr(X, "filename", None) if isinstance(X, np.memmap) else None
        self._path = None if file is None else Path(file)
        self._name = "X" if self._path is None else self._path.name

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return int(self.X.shape[1])

    @property
    def feature_names(self) -> list[str] | None:
        """Names of the columns of a DataFrame."""
        names = _get_feature_names(self.X)
        return None if names is None else list(names)

    def _row_bytes(self) -> float:
        if sparse.issparse(self.X):
            return 8 + 12 * self.X.nnz / self.n_rows
        # What is not float is converted to doubles.
        return 8.0 * max(1, self.n_features)

    def _block_rows(self, working_memory: float | None = None) -> int:
        size = super()._block_rows(working_memory)
        chunks = getattr(self.X, "chunks", None)
        if isinstance(chunks, tuple) and isinstance(chunks[0], Integral):
            size -= size % int(chunks[0]) if size > chunks[0] else 0
        return size

    def _read(self, size: int, start: int = 0, frames: bool = False) -> Iterator[Block]:
        for label in self._spans(size, start):
            yield Block(*label[:3], self._slice(label.start, label.stop), *label[3:])

    def _labels(self, size: int) -> Iterator[Labels]:
        yield from self._spans(size, 0)

    def _spans(self, size: int, start: int) -> Iterator[Labels]:
        for rows in row_blocks(self.n_rows - start, size):
            a, b = start + rows.start, start + rows.stop
            weight = None
            if self.sample_weight is not None:
                weight = np.asarray(self.sample_weight[a:b])
            yield Labels(a, b, span(a, b, self._name), np.asarray(self.y[a:b]), weight)

    def _slice(self, start: int, stop: int) -> Any:
        return self.X.iloc[start:stop] if hasattr(self.X, "iloc") else self.X[start:stop]

    def _settings(self) -> dict[str, dict[str, str]]:
        sampled = np.unique(np.linspace(0, self.n_rows - 1, _SAMPLED).astype(int)).tolist()
        parts: list[object] = [data_setting(self._slice(i, i + 1))["digest"] for i in sampled]
        if self._path is not None and self._path.exists():
            stat = self._path.stat()
            parts += [stat.st_size, stat.st_mtime_ns, getattr(self.X, "offset", 0)]
        shape = tuple(map(int, self.X.shape))
        text = f"{self._name} {getattr(self.X, 'dtype', '')} {shape}"
        return {
            "X": {"digest": digest([text, *parts], "X"), "text": text},
            "y": data_setting(self.y),
            "sample_weight": data_setting(self.sample_weight),
        }


def _column(values: Any, name: str, n_rows: int) -> Any:
    """What has a number or label for each row; left where it is."""
    if values is None:
        return None
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    elif not (hasattr(values, "shape") and hasattr(values, "__getitem__")):
        values = np.asarray(values)
    if tuple(values.shape) not in ((n_rows,), (n_rows, 1)):
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}, and must have a value for each of the "
            f"{n_rows:,} rows of X."
        )
    return values if len(values.shape) == 1 else values[:, 0]
