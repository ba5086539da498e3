"""The same rows as every kind of source."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from skfi.outofcore import ArrayRows, BatchRows, ParquetRows

KINDS = (
    "array",
    "memmap",
    "float32",
    "sparse",
    "chunked",
    "frame",
    "batches",
    "parquet",
    "folder",
)


class Chunked:
    """An array as zarr and h5py have it: a shape, chunks, and slices."""

    def __init__(self, X, rows):
        self.X, self.shape, self.dtype, self.chunks = X, X.shape, X.dtype, (rows, X.shape[1])

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        return self.X[rows]


def names(X):
    return [f"x{j}" for j in range(X.shape[1])]


def mapped(X, path):
    np.save(path, X)
    return np.load(path, mmap_mode="r")


def table(X, y, weight):
    import pandas as pd

    frame = pd.DataFrame(X, columns=names(X))
    frame["label"] = y
    if weight is not None:
        frame["weight"] = weight
    return frame


def write_parquet(frame, path, group=37):
    frame.to_parquet(path, index=False, row_group_size=group)


def source(kind, X, y, weight, folder, size=None):
    """Rows of a kind, in blocks of a size."""
    if kind in ("frame", "parquet", "folder"):
        pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
    if kind == "array":
        rows = ArrayRows(X, y, weight)
    elif kind in ("memmap", "float32"):
        kept = X.astype(np.float32) if kind == "float32" else X
        rows = ArrayRows(mapped(kept, folder / "X.npy"), y, weight)
    elif kind == "sparse":
        rows = ArrayRows(sparse.coo_array(X), y, weight)
    elif kind == "chunked":
        rows = ArrayRows(Chunked(X, 10), y, weight)
    elif kind == "frame":
        rows = ArrayRows(table(X, y, None)[names(X)], y, weight)
    elif kind == "batches":

        def batches():
            for a in range(0, len(X), 23):
                part = slice(a, a + 23)
                yield (X[part], y[part]) if weight is None else (X[part], y[part], weight[part])

        rows = BatchRows(batches)
    else:
        column = None if weight is None else "weight"
        whole = table(X, y, weight)
        path = folder / "train.parquet"
        if kind == "folder":
            path = folder / "train"
            path.mkdir()
            for number, a in enumerate(range(0, len(X), 50)):
                write_parquet(whole.iloc[a : a + 50], path / f"part-{number}.parquet", 7)
            (path / "_metadata.parquet").write_bytes(b"no rows")
        else:
            write_parquet(whole, path)
        rows = ParquetRows(path, target="label", features=names(X), sample_weight=column)
    return rows if size is None else in_blocks(rows, size)


def in_blocks(rows, size):
    rows._block_rows = lambda working_memory=None: size
    return rows
