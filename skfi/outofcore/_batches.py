"""Rows that come in batches from anywhere: a database, a decoder, a generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.utils.validation import _get_feature_names, _num_samples

from .._utils._checkpoint import data_setting, digest
from .._utils._chunks import row_blocks
from ._source import Block, RowSource, named, span


class BatchRows(RowSource):
    """Training rows in batches, which a function gives again for each pass.

    Parameters
    ----------
    batches : callable
        ``() -> iterator of (X, y) or (X, y, sample_weight)``: a fresh one at each call, with
        the same batches in the same order. A generator function is one. Batches are arrays,
        sparse matrices or DataFrames of at least one row; long ones are cut up.

    Raises
    ------
    TypeError
        `batches` is an iterator or a collection instead of a function.
    ValueError
        There are no batches, one is malformed, or the function gives the same iterator again.

    See Also
    --------
    ArrayRows : Rows of arrays and memory maps.
    ParquetRows : Rows of files.

    Notes
    -----
    Scoring takes two passes (three where class weights balance), and a fit one for each of
    Newton's steps, about eight: what is slow to produce is better written to a file first.

    Examples
    --------
    >>> import numpy as np
    >>> from skfi.outofcore import BatchRows
    >>> def batches():
    ...     for seed in range(3):
    ...         X = np.random.default_rng(seed).normal(size=(4, 2))
    ...         yield X, (X[:, 0] > 0).astype(int)
    >>> rows = BatchRows(batches)
    >>> rows.n_features, rows.classes()
    (2, array([0, 1]))
    """

    def __init__(self, batches: Callable[[], Iterator[tuple[Any, ...]]]) -> None:
        if not callable(batches):
            raise TypeError(
                f"BatchRows takes a function that returns a fresh iterator of batches at each "
                f"call, and got a {type(batches).__name__}. The rows are gone through several "
                "times, and an iterator is used up after the first: pass the generator "
                "function without calling it, or lambda: iter(list_of_batches)."
            )
        self._function = batches
        self._last: Any = None
        self._n_rows: int | None = None
        self._first: tuple[int, list[str] | None, dict[str, dict[str, str]]] | None = None

    @property
    def n_rows(self) -> int | None:
        """Number of rows; None until a first pass has counted them."""
        return self._n_rows

    @property
    def n_features(self) -> int:
        """Number of columns, as the first batch has it."""
        return self._look()[0]

    @property
    def feature_names(self) -> list[str] | None:
        """Names of the columns, where the batches are DataFrames."""
        return self._look()[1]

    def _row_bytes(self) -> float:
        return 8.0 * max(1, self.n_features)

    def _settings(self) -> dict[str, dict[str, str]]:
        # Of rows that come from a function no more can be known without a pass.
        return self._look()[2]

    def _read(self, size: int, start: int = 0, frames: bool = False) -> Iterator[Block]:
        first = 0
        for X, y, weight in self._batches():
            n = len(y)
            for rows in row_blocks(n, size):
                a, b = first + rows.start, first + rows.stop
                if a < start:
                    continue
                part = X.iloc[rows] if hasattr(X, "iloc") else X[rows]
                w = None if weight is None else weight[rows]
                yield Block(a, b, span(a, b, "the batches"), part, y[rows], w)
            first += n
        if self._n_rows not in (None, first):
            raise ValueError(
                f"The batches held {first:,} rows in this pass and {self._n_rows:,} in one "
                "before. BatchRows needs a function that gives the same batches at each call."
            )
        self._n_rows = first

    def _batches(self) -> Iterator[tuple[Any, np.ndarray, np.ndarray | None]]:
        batches = self._function()
        if batches is self._last and not hasattr(batches, "__getitem__"):
            raise ValueError(
                "The function given to BatchRows returned the same iterator again, which is "
                "used up by one pass. Make a new one at each call: pass the generator function "
                "itself."
            )
        self._last = batches
        names: list[str] | None = None
        for number, batch in enumerate(batches, start=1):
            with named(f"batch {number}"):
                checked = _check(batch)
                own = _names(checked[0])
                if number > 1 and names != own:
                    raise ValueError(
                        "all batches must have the columns of the first, in the same order."
                    )
            names = own
            yield checked

    def _look(self) -> tuple[int, list[str] | None, dict[str, dict[str, str]]]:
        """Number and names of columns, and digest, of the first batch."""
        if self._first is None:
            batch = next(self._batches(), None)
            if batch is None:
                raise ValueError("BatchRows: the function gave no batches.")
            X, y, weight = batch
            parts = [data_setting(part)["digest"] for part in (X, y, weight)]
            first = {"digest": digest(parts, "batches"), "text": f"batches like {X.shape}"}
            self._first = int(X.shape[1]), _names(X), {"first batch": first}
        return self._first


def _names(X: Any) -> list[str] | None:
    names = _get_feature_names(X)
    return None if names is None else list(names)


def _check(batch: Any) -> tuple[Any, np.ndarray, np.ndarray | None]:
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise TypeError(
            f"a batch is (X, y) or (X, y, sample_weight), and not a {type(batch).__name__}."
        )
    X, y, weight = (*batch, None)[:3]
    if hasattr(X, "tocsr"):
        X = X.tocsr()
    elif not hasattr(X, "shape"):
        X = np.asarray(X)
    y = np.asarray(y)
    weight = None if weight is None else np.asarray(weight)
    if len(X.shape) != 2:
        raise ValueError(f"X has shape {X.shape}, and must have rows and columns.")
    for name, values in (("y", y), ("sample_weight", weight)):
        if values is not None and (values.ndim != 1 or len(values) != _num_samples(X)):
            raise ValueError(f"{name} has shape {values.shape}, and X {tuple(X.shape)}.")
    return X, y, weight
