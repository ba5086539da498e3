"""Decisions about rows: keep, drop, or relabel, and what becomes of the data.

A file counts rows from 1, as the command and its page print them; a DataFrame says which it
means by the name of its column: ``position`` counts from 0, ``row`` from 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._utils._checks import missing_labels
from .._utils._extras import require
from .._utils._spelling import respelled

ACTIONS = ("keep", "drop", "relabel")
HEADER = ("row", "action", "label")


@dataclass(frozen=True)
class Decisions:
    """Checked decisions, one a row at most, in the order of the rows."""

    positions: np.ndarray  # from 0
    actions: np.ndarray
    labels: np.ndarray  # as text, "" where the action is not "relabel"

    def of(self, action: str) -> np.ndarray:
        """Positions of the rows with an action."""
        return self.positions[self.actions == action]


class CorrectedData(NamedTuple):
    """Rows and labels after the decisions, and where they were before."""

    X: Any
    y: Any
    kept: np.ndarray


def apply_decisions(X, y, decisions) -> CorrectedData:
    """Drop rows and replace labels as a person decided.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n, n_features)
        Rows, as they were passed to the `fit` that was reviewed.
    y : array-like of shape (n,)
        Their labels.
    decisions : str, path-like or DataFrame
        A file ``decisions.csv``, or a table with a column ``position`` (from 0) or ``row``
        (from 1), and the columns ``action`` (``"keep"``, ``"drop"`` or ``"relabel"``) and
        ``label`` (of ``"relabel"``; one of the labels in `y`, as itself or as text).

    Returns
    -------
    corrected : CorrectedData
        ``X`` and ``y`` of the rows that were not dropped, in their order and of their types,
        and ``kept``, their positions in the `X` that was passed, by which weights or groups
        follow. What was passed is not changed.

    Raises
    ------
    TypeError
        `decisions` is of another type.
    ValueError
        A row that is not in `X`, is decided twice, or has an unknown action or label.

    Examples
    --------
    >>> import pandas as pd
    >>> from skfi.review import apply_decisions
    >>> X, y = [[0.0], [1.0], [2.0]], ["a", "b", "b"]
    >>> decisions = pd.DataFrame(
    ...     {"position": [0, 1], "action": ["drop", "relabel"], "label": ["", "a"]}
    ... )
    >>> corrected = apply_decisions(X, y, decisions)
    >>> corrected.X, corrected.y.tolist(), corrected.kept.tolist()
    ([[1.0], [2.0]], ['a', 'b'], [1, 2])
    """
    n = _num_samples(X)
    if _num_samples(y) != n:
        raise ValueError(f"X has {n} rows and y has {_num_samples(y)} labels.")
    labels = np.array(y)  # a copy
    known = {str(label): label for label in np.unique(labels[~missing_labels(labels)])}
    checked = check_decisions(decisions, n, known)
    relabelled = checked.of("relabel")
    labels[relabelled] = [known[text] for text in checked.labels[checked.labels != ""]]
    kept = np.setdiff1d(np.arange(n), checked.of("drop"))
    if hasattr(y, "iloc"):
        series = y.copy()
        series.iloc[relabelled] = labels[relabelled]
        return CorrectedData(_safe_indexing(X, kept), series.iloc[kept], kept)
    return CorrectedData(_safe_indexing(X, kept), labels[kept], kept)


def read_decisions(path):
    r"""Read a file of decisions.

    Parameters
    ----------
    path : str or path-like
        A CSV file in UTF-8 with the columns ``row`` (from 1), ``action`` and ``label``, as the
        report page saves it.

    Returns
    -------
    decisions : pandas.DataFrame
        Columns ``position`` (from 0), ``action`` and ``label`` ("" where there is none).

    Raises
    ------
    ValueError
        The file has other columns, a row that is no whole number from 1 or comes twice, an
        unknown action, or a relabelling without a label.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skfi.review import read_decisions
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "decisions.csv"
    ...     _ = path.write_text("row,action,label\n3,relabel,spam\n")
    ...     print(read_decisions(path))
       position   action label
    0         2  relabel  spam
    """
    pd = require("pandas", "read_decisions()")
    checked = check_decisions(path)
    return pd.DataFrame(
        {"position": checked.positions, "action": checked.actions, "label": checked.labels}
    )


def check_decisions(
    decisions, n: int | None = None, known: Iterable[str] | None = None
) -> Decisions:
    """Decisions of a file or a table, each looked at.

    Parameters
    ----------
    decisions : str, path-like or DataFrame
        See `apply_decisions`.
    n : int, default=None
        Number of rows that there are; None does not ask.
    known : iterable of str, default=None
        Labels that there are, as text; None does not ask.
    """
    if isinstance(decisions, str | Path) or hasattr(decisions, "__fspath__"):
        name = str(decisions)
        columns = _read_columns(Path(decisions), name)
    elif hasattr(decisions, "columns") and hasattr(decisions, "__getitem__"):
        name = "decisions"
        columns = {str(key): list(decisions[key]) for key in decisions.columns}
    else:
        raise TypeError(
            f"decisions must be a DataFrame or the path of a CSV file, and is a "
            f"{type(decisions).__name__}."
        )
    return _checked(columns, name, n, None if known is None else list(known))


def _read_columns(path: Path, name: str) -> dict[str, list[str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ValueError(f"{name} is not UTF-8 text: {problem}.") from None
    try:
        records = [
            record
            for record in csv.reader(io.StringIO(text, newline=""), strict=True)
            if record
        ]
    except csv.Error as problem:
        raise ValueError(f"{name} is not a CSV file: {problem}.") from None
    header = tuple(cell.strip() for cell in records[0]) if records else ()
    if header != HEADER:
        raise ValueError(
            f"{name} has the columns {list(header)}; decisions have {list(HEADER)}, in this "
            "order."
        )
    wrong = [k for k, record in enumerate(records, 1) if len(record) != len(header)]
    if wrong:
        raise ValueError(
            f"{name}, record {wrong[0]}: {len(records[wrong[0] - 1])} cells instead of 3."
        )
    return dict(
        zip(header, map(list, zip(*records[1:], strict=True)), strict=bool(records[1:]))
    )


def _checked(
    columns: Mapping[str, list[Any]], name: str, n: int | None, known: list[str] | None
) -> Decisions:
    first = 0 if "position" in columns else 1
    places = ("position", "row")[first]
    if {"position", "row"} <= set(columns):
        raise ValueError(
            f"{name} has a column 'position' (rows count from 0) and a column 'row' (from 1); "
            "leave one out."
        )
    if not columns:  # a file of a header alone
        return Decisions(np.empty(0, np.intp), np.empty(0, object), np.empty(0, object))
    missing = [key for key in (places, "action", "label") if key not in columns]
    if missing:
        raise ValueError(f"{name} has no column {missing[0]!r}.")
    positions, actions, labels = [], [], []
    cells = zip(columns[places], columns["action"], columns["label"], strict=True)
    for given, action, label in cells:
        row = _whole(given)
        if row is None or row < first:
            raise ValueError(
                f"{name}: {places} {given!r} is not a whole number from {first} on."
            )
        where = f"{name}, {places} {row}"
        if n is not None and row - first >= n:
            last = n - 1 + first
            raise ValueError(f"{where}: there are {n} rows, so the last is {last}.")
        text = _text(label)
        action = str(action).strip()
        if action not in ACTIONS:
            raise ValueError(f"{where}: action {action!r} is not one of {list(ACTIONS)}.")
        if action == "relabel" and not text:
            raise ValueError(f"{where}: 'relabel' needs a label.")
        if action == "relabel" and known is not None and text not in known:
            text = _respelled(text, known, where)
        positions.append(row - first)
        actions.append(action)
        labels.append(text if action == "relabel" else "")
    order = np.argsort(positions, kind="stable")
    ordered = np.array(positions, dtype=np.intp)[order]
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise ValueError(f"{name}: {places} {twice[0] + first} is decided more than once.")
    return Decisions(
        ordered, np.array(actions, dtype=object)[order], np.array(labels, dtype=object)[order]
    )


def _respelled(text: str, known: list[str], where: str) -> str:
    same = respelled([text], known)
    if text in same:
        return same[text]
    listed = ", ".join(repr(label) for label in known[:10]) + ", …" * (len(known) > 10)
    raise ValueError(f"{where}: {text!r} is not a label of the data, which has {listed}.")


def _whole(value: Any) -> int | None:
    try:
        number = int(str(value).strip()) if isinstance(value, str) else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isinstance(value, str) or number == value else None


def _text(value: Any) -> str:
    """A label as text; what says nothing is empty."""
    if value is None or value != value:
        return ""
    return str(value).strip()
