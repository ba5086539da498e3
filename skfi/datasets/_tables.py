"""Tables with numbers and categories: read from text or parquet, given as array or frame."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._extras import require

# By column: numbers, or an object array of text with None where a value is missing.
Table = dict[str, np.ndarray]


def parse_csv(
    lines: Iterable[str],
    columns: Sequence[str],
    what: str,
    *,
    header: bool = False,
    delimiter: str = ",",
    missing: str | None = None,
) -> Table:
    """A table of separated values; every line must have all columns."""
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    if header and (found := next(rows, [])) != list(columns):
        raise ValueError(f"{what} begins with {found[:5]}, expected columns {columns[:5]}")
    values = []
    for row in rows:
        if len(row) == len(columns):
            values.append(row)
        elif row:
            raise ValueError(
                f"{what}, line {rows.line_num}: {len(row)} values, expected {len(columns)}"
            )
    if not values:
        raise ValueError(f"{what} has no rows")
    return {
        name: _typed(column, missing)
        for name, column in zip(columns, zip(*values, strict=True), strict=True)
    }


def _typed(column: Sequence[str], missing: str | None) -> np.ndarray:
    for dtype in (np.int64, np.float64):
        try:
            return np.array(column).astype(dtype)
        except ValueError:
            pass
    return np.array([None if value == missing else value for value in column], dtype=object)


def read_parquet(path: Path, columns: Sequence[str]) -> Table:
    """The same of a parquet file."""
    pd = require("pandas", f"Reading {path.name}")
    require("pyarrow", f"Reading {path.name}")
    frame = pd.read_parquet(path)
    absent = [name for name in columns if name not in frame]
    if absent:
        raise ValueError(f"there is no column {absent[0]!r} in it")
    table = {}
    for name in columns:
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column):
            column = column.astype(object).where(column.notna(), None)
        table[name] = column.to_numpy()
    return table


def stacked(parts: Sequence[Table]) -> Table:
    """One table of the rows of several."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def taken(table: Table, rows: np.ndarray) -> Table:
    """Some rows of a table, by position or mask."""
    return {name: column[rows] for name, column in table.items()}


def codes_of(column: np.ndarray, categories: Sequence[Any]) -> np.ndarray:
    """Position of each value among the categories, -1 for a missing one."""
    of: dict[Any, int] = {None: -1} | {v: i for i, v in enumerate(categories)}
    try:
        return np.array([of[value] for value in column], dtype=np.intp)
    except KeyError as error:
        raise ValueError(f"the value {error} is none of {list(categories)[:5]}") from error


def raw_bunch(
    table: Table, label: str, values: Sequence[Any], *, as_frame: bool, caller: str
) -> Bunch:
    """Features, classes and categories of a table as it is."""
    features = {name: column for name, column in table.items() if name != label}
    target = codes_of(table[label], values)
    categories = {
        name: sorted({value for value in column if value is not None})
        for name, column in features.items()
        if column.dtype == object
    }
    if as_frame:
        pd = require("pandas", f"{caller} with as_frame=True")
        frame = pd.DataFrame(
            {
                name: pd.Categorical(column, categories=categories[name])
                if name in categories
                else column
                for name, column in features.items()
            }
        )
        return with_frame(frame, target, label, categories=None, feature_names=[*features])
    coded = []
    for name, column in features.items():
        if name in categories:
            codes = codes_of(column, categories[name])
            column = np.where(codes < 0, np.nan, codes)
        coded.append(column.astype(np.float64))
    data = np.column_stack(coded)
    return Bunch(
        data=data, target=target, frame=None, categories=categories, feature_names=[*features]
    )


def with_frame(data: Any, target: np.ndarray, label: str, **more: Any) -> Bunch:
    """A bunch of a frame of features and a series of classes."""
    import pandas as pd

    series = pd.Series(target, name=label)
    frame = pd.concat([data, series], axis=1)
    return Bunch(data=data, target=series, frame=frame, **more)
