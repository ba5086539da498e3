"""What all sources of rows have in common: blocks in a fixed order, and their names.

A pass sees the rows in the same blocks as any other pass of the same block size. So sums come
out the same to the last bit, and a pass that was cut off can go on where a block ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from sklearn import get_config

from .._utils._checkpoint import data_setting
from .._utils._checks import check_no_missing_labels

# A block has at most this share of working_memory: a copy of it, and the temporaries of the
# products, take their part as well.
_SHARE = 0.25
# More does not make a pass faster, and is lost where a run is killed.
_BLOCK_BYTES = 32 * 2**20


class Block(NamedTuple):
    """Some rows, one after the other."""

    start: int
    stop: int
    where: str  # for errors
    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None


class Labels(NamedTuple):
    """A block without its features."""

    start: int
    stop: int
    where: str
    y: np.ndarray
    sample_weight: np.ndarray | None


class RowSource(ABC):
    """Training rows that are read again for each pass."""

    @property
    @abstractmethod
    def n_rows(self) -> int | None:
        """Number of rows; None where only a pass can tell."""

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Number of columns of X."""

    @property
    def feature_names(self) -> list[str] | None:
        """Names of the columns of X, where they have any."""
        return None

    @abstractmethod
    def _read(self, size: int, start: int = 0, frames: bool = False) -> Iterator[Block]:
        """Blocks of at most `size` rows, from row `start` on, where a block begins.

        With ``frames`` X is a DataFrame wherever columns have names.
        """

    @abstractmethod
    def _row_bytes(self) -> float:
        """What a row takes in memory."""

    @abstractmethod
    def _settings(self) -> dict[str, dict[str, str]]:
        """Name -> digest and text of what the rows are, to tell others from them."""

    def _labels(self, size: int) -> Iterator[Labels]:
        """Blocks without X, where that is cheaper."""
        for block in self._read(size):
            yield Labels(*block[:3], block.y, block.sample_weight)

    def _block_rows(self, working_memory: float | None = None) -> int:
        """Rows of a block, for a limit in MiB."""
        if working_memory is None:
            working_memory = get_config()["working_memory"]
        allowed = min(_SHARE * working_memory * 2**20, _BLOCK_BYTES)
        return max(1, int(allowed // self._row_bytes()))

    def blocks(
        self, working_memory: float | None = None
    ) -> Iterator[tuple[Any, np.ndarray, np.ndarray | None]]:
        """Go through all rows once.

        Parameters
        ----------
        working_memory : float, default=None
            Limit in MiB, of which a block takes a quarter at most, and 32 MiB at most; None
            is scikit-learn's configuration.

        Yields
        ------
        X : {ndarray, sparse matrix, DataFrame} of shape (b, n_features)
            Features of the next rows.
        y : ndarray of shape (b,)
            Labels.
        sample_weight : ndarray of shape (b,) or None
            Weights.
        """
        for block in self._read(self._block_rows(working_memory)):
            yield block[3:]

    def classes(self) -> np.ndarray:
        """All labels that occur, in order; a pass over the labels.

        Returns
        -------
        classes : ndarray of shape (K,)
            Class labels.

        Raises
        ------
        ValueError
            A label is missing.
        """
        found: np.ndarray | None = None
        for block in self._labels(self._block_rows()):
            with named(block.where):
                part = _distinct(block.y)
                found = part if found is None else _distinct(np.concatenate([found, part]))
        if found is None:
            raise ValueError("There are no rows.")
        return found

    def without(self, gone: Any) -> RowSource:
        """Leave rows out by giving them weight 0; nothing is copied.

        Parameters
        ----------
        gone : array-like of bool of shape (n,)
            True for rows that are to have no weight, such as those `select_top` chose.

        Returns
        -------
        rows : RowSource
            The same rows, with weights.

        Raises
        ------
        ValueError
            `gone` is no mask of the rows.
        """
        return _Without(self, gone)


class _Without(RowSource):
    """Rows of which some have weight 0."""

    def __init__(self, rows: RowSource, gone: Any) -> None:
        gone = np.asarray(gone)
        n_rows = rows.n_rows
        if gone.dtype != bool or gone.ndim != 1 or n_rows not in (None, len(gone)):
            raise ValueError(
                f"gone must be a mask: a boolean for each of the {n_rows or ''} rows; got "
                f"{gone.dtype} of shape {gone.shape}."
            )
        self._rows, self._gone = rows, gone

    @property
    def n_rows(self) -> int | None:
        return len(self._gone)

    @property
    def n_features(self) -> int:
        return self._rows.n_features

    @property
    def feature_names(self) -> list[str] | None:
        return self._rows.feature_names

    def _row_bytes(self) -> float:
        return self._rows._row_bytes()

    def _block_rows(self, working_memory: float | None = None) -> int:
        return self._rows._block_rows(working_memory)

    def _read(self, size: int, start: int = 0, frames: bool = False) -> Iterator[Block]:
        for block in self._rows._read(size, start, frames):
            yield block._replace(sample_weight=self._weight(block))

    def _labels(self, size: int) -> Iterator[Labels]:
        for block in self._rows._labels(size):
            yield block._replace(sample_weight=self._weight(block))

    def _weight(self, block: Block | Labels) -> np.ndarray:
        if block.stop > len(self._gone):
            raise ValueError(f"There are more rows than the {len(self._gone):,} of the mask.")
        weight = np.where(self._gone[block.start : block.stop], 0.0, 1.0)
        return weight if block.sample_weight is None else weight * block.sample_weight

    def _settings(self) -> dict[str, dict[str, str]]:
        return {**self._rows._settings(), "gone": data_setting(self._gone)}


def check_source(rows: Any) -> None:
    """Refuse what is no source of rows."""
    if not isinstance(rows, RowSource):
        raise TypeError(
            f"rows is a {type(rows).__name__}. Wrap what you have: ArrayRows(X, y) for arrays "
            "and memory maps, ParquetRows(path, target=...) for files, BatchRows(function) "
            "for batches."
        )


def _distinct(y: np.ndarray) -> np.ndarray:
    check_no_missing_labels(y)
    if y.dtype == object:  # a set is much faster than a sort of objects
        return np.array(sorted(set(y.tolist())), dtype=object)
    return np.unique(y)


def span(start: int, stop: int, name: str) -> str:
    """Some rows by name, first and last."""
    return f"rows {start:,} to {stop - 1:,} of {name}"


@contextmanager
def named(where: str) -> Iterator[None]:
    """Name the rows in what is raised about them."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{where}: {error}") from error
