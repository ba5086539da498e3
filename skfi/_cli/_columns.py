"""How the columns of a table become features: decided by the training rows, and printed.

Numbers, dates, categories and texts are encoded by skrub's `TableVectorizer`, which is fitted
once, on all training rows and no labels: texts in every fold would take most of the time.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .._utils._spelling import respelled
from ..linear._softmax import LARGEST
from ._cells import as_numbers, as_text
from ._console import CommandError, Console, listed, require, shown
from ._memory import check_memory, text_bytes
from ._tables import Table, with_points

RARE = 5  # of --categorical: values of fewer rows than that share a column
_COMPONENTS, _ROWS = 30, 20  # of a text at most, and rows for each of them
_ALMOST = 0.9  # this share of numbers makes text worth a word
_CODE = re.compile(r"[+-]?0\d+")  # 007 is no number
# What the commands write, and what pandas writes for an index without a name.
_OURS = ("skfi_row", "skfi_line", "skfi_score")
_INDEX = re.compile(r"__index_level_\d+__")
_KEY = re.compile(r"(?:^|[\W_])(?i:id|key|uuid)$|[a-z]I[dD]$")
_ONE_WORD = re.compile(r"[!-~]{1,80}")
_NUMBERS, _DATES, _TEXT = "f", "M", "O"  # kinds of arrays
_HOLD = {_NUMBERS: "numbers", _DATES: "dates or times", _TEXT: "text"}
# The names that skrub gives to what it takes columns for, and what is printed of them.
_KINDS = {
    "numeric": ("numbers", "mean for missing ones and a flag, scaled"),
    "datetime": ("dates", "year, season, time and a flag for missing ones, scaled"),
    "low_cardinality": ("categories", "one-hot"),
    "specific": ("categories", "one-hot"),
    "high_cardinality": ("texts", "components of their letter sequences"),
}


@dataclass
class Plan:
    """Which column is taken for what."""

    source: str
    columns: dict[str, str] = field(default_factory=dict)  # name to kind of array
    left_out: dict[str, str] = field(default_factory=dict)  # name to reason
    categorical: list[str] = field(default_factory=list)  # by --categorical
    formats: dict[str, Any] = field(default_factory=dict)  # fitted ToDatetime of dates in text
    typed_text: set[str] = field(default_factory=set)  # text by the file's own types
    values: dict[str, set[str]] = field(default_factory=dict)  # of text
    commas: list[str] = field(default_factory=list)  # text that is numbers with a comma
    encoder: Any = None  # fitted on the training rows
    X: Any = None  # the training rows, encoded (n, width)

    def kinds(self) -> dict[str, list[str]]:
        """Columns by what they are taken for."""
        names: dict[str, list[str]] = {kind: [] for kind, _ in _KINDS.values()}
        for name, kind in self.columns.items():
            names[_KINDS["numeric" if kind == _NUMBERS else self._kind(name)][0]].append(name)
        return names

    def lines(self) -> list[str]:
        """The plan as it is printed."""
        how = dict(_KINDS.values())
        told = [
            f"  {kind} ({len(names)}; {how[kind]}): {listed(names, 60)}"
            for kind, names in self.kinds().items()
            if names
        ]
        told += [
            f"  left out: {shown(k) or '(no name)'} ({why})" for k, why in self.left_out.items()
        ]
        return told

    def as_json(self) -> dict[str, Any]:
        return {**self.kinds(), "left_out": self.left_out}

    def rows(self, table: Table, console: Console) -> np.ndarray:
        """Rows of another table, encoded as the training rows (n, width).

        Raises
        ------
        CommandError
            A column that is not there or of another type, or an infinite number.
        """
        cells: dict[str, Any] = {}
        for name, kind in self.columns.items():
            table.require(name, f"a feature of {self.source}")
            self._check_type(table, name)
            given = table.column(name)
            if kind == _NUMBERS:
                cells[name] = _finite(table, name, given, self.source)
            elif given.dtype.kind == _DATES:
                cells[name] = given
            elif kind == _DATES:
                cells[name] = self._dates(table, name, given)
            else:
                cells[name] = self._known(table, name, given, console)
        return _encoded(self.encoder.transform, cells)

    def encode(self, table: Table, cells: dict[str, Any], seed: int) -> None:
        """Fit the encoders on the training rows."""
        n_bytes = max((text_bytes(cells[name].dropna()) for name in self.values), default=0.0)
        remedy = "Leave columns of long texts out with --ignore."
        check_memory(n_bytes, f"{table.label}: encoding its texts", remedy)
        n_components = min(_COMPONENTS, max(1, table.n_rows // _ROWS))
        numbers = [name for name, kind in self.columns.items() if kind == _NUMBERS]
        others = [name for name in self.columns if name not in numbers]
        parts = {"numbers": numbers, "others": others}
        encoders = _encoders(n_components, self.categorical, seed)
        self.encoder = ColumnTransformer(
            [(part, encoders[part], names) for part, names in parts.items() if names],
            sparse_threshold=0.0,
        )
        self.X = _encoded(self.encoder.fit_transform, cells)

    def _kind(self, name: str) -> str:
        return self.encoder.named_transformers_["others"].column_to_kind_[name]

    def _check_type(self, table: Table, name: str) -> None:
        why, wanted = table.unusable(name), self.columns[name]
        if why is None:
            kind = table.column(name).dtype.kind
            typed = wanted == _DATES or name in self.typed_text
            if kind != wanted and (kind == _DATES or (kind == _NUMBERS and typed)):
                why = _HOLD[kind]
        if why is not None:
            raise CommandError(
                f"{table.label}, column {shown(name)!r} holds {why}, and {_HOLD[wanted]} in "
                f"{self.source}."
            )

    def _dates(self, table: Table, name: str, given: np.ndarray) -> Any:
        text, missing = as_text(given)
        found = self.formats[name].transform(_series(text, missing))
        bad = np.flatnonzero(found.isna().to_numpy() & ~missing)
        if len(bad):
            raise CommandError(
                f"{table.where(bad[0], name)}: {shown(given[bad[0]])!r} is no date as in "
                f"{self.source} ({self.formats[name].format_})."
            )
        return found

    def _known(self, table: Table, name: str, given: np.ndarray, console: Console) -> Any:
        text, missing = as_text(given)
        known, present = self.values[name], set(text[~missing])
        other = respelled(present, known)
        text = np.array([other.get(one, one) for one in text], dtype=object)
        is_text = self._kind(name) == "high_cardinality"
        if not is_text and present and not {other.get(one, one) for one in present} & known:
            console.note(
                f"{table.label}: no value of column {shown(name)!r} occurs in "
                f"{self.source}, {shown(min(present))!r} for one."
            )
        return _series(text, missing).astype("category")


def _encoders(n_components: int, categorical: list[str], seed: int) -> dict[str, Any]:
    """What encodes numbers, all at once, and what other columns, by their kind."""
    from skrub import DatetimeEncoder, StringEncoder, TableVectorizer

    scaled = [StandardScaler(), SimpleImputer(add_indicator=True)]
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=RARE, sparse_output=False
    )
    vectorizer = TableVectorizer(
        datetime=make_pipeline(DatetimeEncoder(periodic_encoding="circular"), *scaled),
        high_cardinality=StringEncoder(n_components, random_state=seed),
        specific_transformers=[(one_hot, categorical)] if categorical else [],
    )
    return {"numbers": make_pipeline(*scaled), "others": vectorizer}


def plan_columns(
    table: Table,
    target: str,
    ignore: Sequence[str],
    categorical: Sequence[str],
    seed: int,
    console: Console,
) -> Plan:
    """Decide by the training rows what each column is, and encode them."""
    require("skrub")
    for option, names in (("--ignore", ignore), ("--categorical", categorical)):
        for name in names:
            table.require(name, option)
    plan = Plan(table.label)
    cells: dict[str, Any] = {}
    for name in table.names:
        if name == target:
            continue
        if name in ignore:
            plan.left_out[name] = "--ignore"
        elif name in _OURS:
            plan.left_out[name] = "written by skfi"
        else:
            found = _decide(plan, table, name, name in categorical, console)
            if isinstance(found, str):
                plan.left_out[name] = found
            else:
                plan.columns[name], cells[name] = found
    if plan.commas:
        console.note(
            f"{table.label}: columns {listed(plan.commas)} hold numbers with a decimal comma, "
            "and are taken as text. --decimal , reads them as numbers."
        )
    if not plan.columns:
        raise CommandError(
            f"{table.label} has no column to learn from. "
            + "; ".join(f"{shown(k)}: {why}" for k, why in list(plan.left_out.items())[:5])
        )
    plan.encode(table, cells, seed)
    return plan


def _decide(
    plan: Plan, table: Table, name: str, forced: bool, console: Console
) -> tuple[str, Any] | str:
    """The kind of a column and its cells, or why it is left out."""
    why = table.unusable(name)
    if why is not None:
        return why
    cells = table.column(name)
    text, missing = as_text(cells)
    present = text[~missing]
    values = set(present)
    if not values:
        return "empty"
    if len(values) == 1 and not missing.any():
        return "always the same"
    if not forced and not table.is_category(name):
        codes = any(map(_CODE.fullmatch, values))
        kind = cells.dtype.kind
        if kind == _NUMBERS or (kind == _TEXT and not codes and not as_numbers(cells)[1].any()):
            return _number(table, name, cells, console)
        dates = cells if kind == _DATES else _as_dates(plan, name, text, missing)
        if dates is not None and not codes:
            return _DATES, dates
        _say_if_nearly_numbers(plan, table, name, cells, len(present), console)
        if table.line(0) is None:
            plan.typed_text.add(name)
    if forced:
        counts = np.unique(present.astype(str), return_counts=True)[1]
        if counts.max() < RARE and missing.sum() < RARE:
            return f"no value of it is in {RARE} rows, so it tells nothing"
        plan.categorical.append(name)
    elif len(values) > max(2, len(present) / 2) and all(map(_ONE_WORD.fullmatch, values)):
        return "one word, nearly always another: it names the rows"
    plan.values[name] = values
    return _TEXT, _series(text, missing).astype("category")


def _number(
    table: Table, name: str, cells: np.ndarray, console: Console
) -> tuple[str, Any] | str:
    values = _finite(table, name, cells, table.label)
    if _counts_rows(values) or _INDEX.fullmatch(name):
        return "counts the rows"
    if (values == values[0]).all():
        return "numbers that are equal to 16 digits"
    whole = np.isfinite(values).all() and (values == np.floor(values)).all()
    if whole and _KEY.search(name) and len(np.unique(values)) == len(values) >= 10:
        console.note(
            f"{table.label}, column {shown(name)!r}: whole numbers, all different. If they "
            "only name the rows, leave the column out with --ignore."
        )
    return _NUMBERS, values


def _as_dates(plan: Plan, name: str, text: np.ndarray, missing: np.ndarray) -> Any:
    """Dates of a column of text, or None."""
    from skrub import ToDatetime

    reader = ToDatetime()
    try:
        dates = reader.fit_transform(_series(text, missing))
    except ValueError:  # no format that all cells have
        return None
    plan.formats[name] = reader
    return dates


def _finite(table: Table, name: str, cells: np.ndarray, source: str) -> np.ndarray:
    values, bad = as_numbers(cells)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise CommandError(
            f"{table.where(row, name)}: {shown(cells[row])!r} is no number, and "
            f"{source} has only numbers there."
        )
    large = np.abs(values) > LARGEST
    if large.any():
        row = int(np.flatnonzero(large)[0])
        why = f"too large to compute with (beyond ±{LARGEST:.0e})"
        why = "infinite" if np.isinf(values[row]) else why
        raise CommandError(
            f"{table.where(row, name)}: {shown(cells[row])!r} is {why}. Correct the cell, "
            "leave it empty if the value is not known, or leave the column out with --ignore."
        )
    return values


def _say_if_nearly_numbers(
    plan: Plan, table: Table, name: str, cells: np.ndarray, n_present: int, console: Console
) -> None:
    bad = np.flatnonzero(as_numbers(cells)[1])
    if 0 < len(bad) < (1 - _ALMOST) * n_present:
        more = len(bad) - 1
        others = "is 1 more cell" if more == 1 else f"are {more} more cells"
        console.note(
            f"{table.where(bad[0], name)}: {shown(cells[bad[0]])!r} is no number"
            + (f", nor {others}" if more else "")
            + ", so the column is taken as text."
        )
    elif len(bad) and not as_numbers(with_points(cells))[1].any():
        plan.commas.append(name)  # told of all of them at once


def _counts_rows(values: np.ndarray) -> bool:
    """Whether the numbers are k, k + 1, … in some order: a row number, no feature."""
    n = len(values)
    if n < 10 or not np.isfinite(values).all() or (values != np.floor(values)).any():
        return False
    return values.max() - values.min() == n - 1 and len(np.unique(values)) == n


def _series(text: np.ndarray, missing: np.ndarray) -> Any:
    import pandas as pd

    return pd.Series(text, dtype=object).where(~missing, None)


def _encoded(encode: Callable[[Any], Any], cells: dict[str, Any]) -> np.ndarray:
    import pandas as pd

    with warnings.catch_warnings():  # of short texts and unknown categories
        warnings.simplefilter("ignore", UserWarning)
        return encode(pd.DataFrame(cells)).astype(np.float64, copy=False)
