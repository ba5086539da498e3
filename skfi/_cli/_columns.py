"""How the columns of a table become features, by rules that are printed before they are used.

The rules are those a first look would follow, after skrub's `TableVectorizer`: numbers are
numbers, text of few values is a category. What would need more thought (free text, dates) is
left out by name, not encoded in silence. Whatever is learnt from rows (medians, scales,
categories) is learnt inside the Pipeline, from the rows of each fit alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .._utils._spelling import respelled
from ..linear._softmax import LARGEST
from ._console import CommandError, Console, listed, shown
from ._tables import Table, with_points

MOST_CATEGORIES = 100  # text of more values than that is no category
RARE = 5  # values of fewer rows than that share a column
_ALMOST = 0.9  # this share of numbers makes text worth a word
_MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "?"}
_NOTHING = "(missing)"
_CODE = r"[+-]?0\d+"  # 007 is no number
_DATE = (
    r"(?:\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}([./-])\d{1,2}\1\d{2,4}"
    r"|\d{1,2}\.?[ -][^\W\d]{3,9}\.?[ ,-]{1,2}\d{2,4}|[^\W\d]{3,9}\.? \d{1,2},? \d{4})"
    r"(?:[T ].*)?"
)
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
# What the commands write, and what pandas writes for an index without a name.
_OURS = ("skfi_row", "skfi_line", "skfi_score")
_INDEX = r"__index_level_\d+__"
# Squares of larger numbers, added up over the rows, may be infinite.
_LARGEST = 1e150
_KEY = r"(?:^|[\W_])(?i:id|key|uuid)$|[a-z]I[dD]$"


@dataclass
class Plan:
    """Which column is taken for what."""

    source: str
    numbers: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  # name to reason
    typed_text: set[str] = field(default_factory=set)  # text by the file's own types
    codes: dict[str, dict[str, int]] = field(default_factory=dict)  # of categories
    commas: list[str] = field(default_factory=list)  # text that is numbers with a comma

    @property
    def used(self) -> list[str]:
        return self.numbers + self.categories

    def lines(self) -> list[str]:
        """The plan as it is printed."""
        told = []
        if self.numbers:
            told.append(
                f"  numbers ({len(self.numbers)}; median for missing ones and a flag, scaled): "
                f"{listed(self.numbers, 60)}"
            )
        if self.categories:
            told.append(
                f"  categories ({len(self.categories)}; one-hot, values of fewer than {RARE} "
                f"rows together): {listed(self.categories, 60)}"
            )
        told += [
            f"  left out: {shown(k) or '(no name)'} ({why})" for k, why in self.left_out.items()
        ]
        return told

    def as_json(self) -> dict[str, Any]:
        return {
            "numbers": self.numbers,
            "categories": self.categories,
            "left_out": self.left_out,
        }

    def preprocessing(self) -> ColumnTransformer:
        """What stands before the classifier."""
        number = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
            StandardScaler(),
        )
        category = OneHotEncoder(
            handle_unknown="infrequent_if_exist", min_frequency=RARE, sparse_output=False
        )
        places = np.arange(len(self.used))
        first = len(self.numbers)
        return ColumnTransformer(
            [("number", number, places[:first]), ("category", category, places[first:])],
            sparse_threshold=0.0,
        )

    def rows(self, table: Table, console: Console) -> np.ndarray:
        """The used columns of a table (n, len(used)); of categories a number for each value.

        An array of numbers is encoded faster than text. The numbers say nothing:
        they are one-hot encoded, and a value gets its own by when it is first met.

        Raises
        ------
        CommandError
            A column that is not there or of another type, or an infinite number.
        """
        columns = []
        for name in self.used:
            table.require(name, f"a feature of {self.source}")
            self._check_type(table, name)
            cells = table.column(name)
            if name in self.numbers:
                columns.append(self._finite(table, name, cells))
                continue
            text, missing = as_text(cells)
            values = set(text[~missing])
            if name in self.codes:
                other = respelled(values, self.codes[name])
                text = np.array([other.get(one, one) for one in text], dtype=object)
                values = set(text[~missing])
            if name in self.codes and values and not values & self.codes[name].keys():
                console.note(
                    f"{table.label}: no value of column {shown(name)!r} occurs in "
                    f"{self.source}, {shown(min(values))!r} for one."
                )
            codes = self.codes.setdefault(name, {})
            filled = np.where(missing, _NOTHING, text)
            columns.append(np.array([codes.setdefault(one, len(codes)) for one in filled]))
        return np.column_stack(columns).astype(np.float64)

    def width(self, X: np.ndarray) -> int:
        """Columns after the preprocessing of rows that `rows` gave."""
        numbers = X[:, : len(self.numbers)]
        width = numbers.shape[1] + int(np.isnan(numbers).any(axis=0).sum())
        for codes in X[:, numbers.shape[1] :].T:
            counts = np.unique(codes, return_counts=True)[1]
            width += int((counts >= RARE).sum()) + bool((counts < RARE).any())
        return width

    def _check_type(self, table: Table, name: str) -> None:
        why = table.unusable(name)
        if why is None and name in self.typed_text and table.column(name).dtype.kind == "f":
            why = "numbers"
        if why is not None:
            kind = "numbers" if name in self.numbers else "text"
            raise CommandError(
                f"{table.label}, column {shown(name)!r} holds {why}, and {kind} in "
                f"{self.source}."
            )

    def _finite(self, table: Table, name: str, cells: np.ndarray) -> np.ndarray:
        values, bad = as_numbers(cells)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise CommandError(
                f"{table.where(row, name)}: {shown(cells[row])!r} is no number, and "
                f"{self.source} has only numbers there."
            )
        large = np.abs(values) > _LARGEST
        if large.any():
            row = int(np.flatnonzero(large)[0])
            why = "infinite" if np.isinf(values[row]) else "too large to compute with"
            raise CommandError(
                f"{table.where(row, name)}: {shown(cells[row])!r} is {why}. Leave the cell "
                "empty if the value is not known, or leave the column out with --ignore."
            )
        large = np.abs(values) > LARGEST
        if large.any():
            row = int(np.flatnonzero(large)[0])
            raise CommandError(
                f"{table.where(row, name)}: {shown(cells[row])!r} is too large to compute with "
                f"(beyond ±{LARGEST:.0e}). Correct the cell, leave it empty if the value is "
                "not known, or leave the column out with --ignore."
            )
        return values


def plan_columns(
    table: Table,
    target: str,
    ignore: Sequence[str],
    categorical: Sequence[str],
    console: Console,
) -> Plan:
    """Decide by the training rows what each column is."""
    for option, names in (("--ignore", ignore), ("--categorical", categorical)):
        for name in names:
            table.require(name, option)
    plan = Plan(table.label)
    for name in table.names:
        if name == target:
            continue
        if name in ignore:
            plan.left_out[name] = "--ignore"
        elif name in _OURS:
            plan.left_out[name] = "written by skfi"
        else:
            _decide(plan, table, name, name in categorical, console)
    if plan.commas:
        console.note(
            f"{table.label}: columns {listed(plan.commas)} hold numbers with a decimal comma, "
            "and are taken as text. --decimal , reads them as numbers."
        )
    if not plan.used:
        raise CommandError(
            f"{table.label} has no column to learn from. "
            + "; ".join(f"{shown(k)}: {why}" for k, why in list(plan.left_out.items())[:5])
        )
    return plan


def _decide(plan: Plan, table: Table, name: str, forced: bool, console: Console) -> None:
    why = table.unusable(name)
    if why is not None:
        plan.left_out[name] = why
        return
    cells = table.column(name)
    typed = cells.dtype.kind == "f"
    text, missing = as_text(cells)
    present = text[~missing]
    distinct = len(set(present))
    if distinct == 0:
        plan.left_out[name] = "empty"
    elif distinct == 1 and not missing.any():
        plan.left_out[name] = "always the same"
    elif forced or table.is_category(name):
        _decide_text(plan, table, name, text, missing, forced, console)
    elif typed or not (as_numbers(cells)[1].any() or _all_match(present, _CODE, some=True)):
        values = as_numbers(cells)[0]
        if _counts_rows(values) or _all_match(np.array([name]), _INDEX):
            plan.left_out[name] = "counts the rows"
        elif not missing.any() and (values == values[0]).all():
            plan.left_out[name] = "numbers that are equal to 16 digits"
        else:
            plan.numbers.append(name)
            _say_if_key(table, name, values, console)
    elif are_dates(present):
        plan.left_out[name] = "dates or times"
    else:
        _say_if_nearly_numbers(plan, table, name, cells, len(present), console)
        _decide_text(plan, table, name, text, missing, forced, console)
        if name in plan.categories and table.line(0) is None:
            plan.typed_text.add(name)


def _decide_text(
    plan: Plan,
    table: Table,
    name: str,
    text: np.ndarray,
    missing: np.ndarray,
    forced: bool,
    console: Console,
) -> None:
    """A category, or why not; ``forced`` takes text of many values as well."""
    counts = Counter(text[~missing])
    distinct, n_present = len(counts), len(text) - int(missing.sum())
    frequent = sum(count >= RARE for count in counts.values())
    if not forced and distinct > max(2, n_present / 2):
        plan.left_out[name] = "text, nearly all of it different"
    elif not forced and distinct > MOST_CATEGORIES:
        plan.left_out[name] = f"text of {distinct} values; --categorical takes it in"
    elif frequent == 0 and missing.sum() < RARE:
        plan.left_out[name] = f"no value of it is in {RARE} rows, so it tells nothing"
    else:
        plan.categories.append(name)
        n_rare = sum(count for count in counts.values() if count < RARE)
        if n_rare > n_present / 2:
            console.note(
                f"{table.label}, column {shown(name)!r}: {distinct - frequent} of its "
                f"{distinct} values are in fewer than {RARE} rows each; they count as "
                f"one value, that of {n_rare} of {n_present} rows."
            )


def _say_if_key(table: Table, name: str, values: np.ndarray, console: Console) -> None:
    """A name that says key, over whole numbers of which none comes twice."""
    whole = np.isfinite(values).all() and (values == np.floor(values)).all()
    if whole and re.search(_KEY, name) and len(np.unique(values)) == len(values) >= 10:
        console.note(
            f"{table.label}, column {shown(name)!r}: whole numbers, all different. If they "
            "only name the rows, leave the column out with --ignore."
        )


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


def are_dates(texts: np.ndarray) -> bool:
    """Whether all texts look like dates, or all like times of day."""
    return _all_match(texts, _DATE) or _all_match(texts, _TIME)


def as_numbers(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,), NaN where missing or no number; and which are no number (n,)."""
    if cells.dtype.kind == "f":
        return cells, np.zeros(len(cells), dtype=bool)
    plain = _plain_numbers(cells)
    if plain is not None:
        return plain, np.zeros(len(cells), dtype=bool)
    import pandas as pd

    text, missing = as_text(cells)
    cleaned = pd.Series(text, dtype=object).mask(missing)
    values = pd.to_numeric(cleaned, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    return values, np.isnan(values) & ~missing


def _plain_numbers(cells: np.ndarray) -> np.ndarray | None:
    """Values (n,) where every cell is a finite number: far quicker than to look at each."""
    try:
        values = cells.astype(np.float64)
    except ValueError:
        return None
    # Python's numbers may have underscores.
    return values if np.isfinite(values).all() and "_" not in "".join(cells) else None


def as_text(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Text without blanks around it (n,), and which cells say nothing (n,)."""
    if cells.dtype.kind == "f":
        missing = np.isnan(cells)
        texts = [str(int(v)) if v.is_integer() else str(v) for v in cells.tolist()]
        return np.array(texts, dtype=object), missing
    stripped = [cell.strip() for cell in cells]
    missing = np.array([cell.casefold() in _MISSING for cell in stripped], dtype=bool)
    return np.array(stripped, dtype=object), missing


def _counts_rows(values: np.ndarray) -> bool:
    """Whether the numbers are k, k + 1, … in some order: a row number, no feature."""
    n = len(values)
    if n < 10 or not np.isfinite(values).all() or (values != np.floor(values)).any():
        return False
    return values.max() - values.min() == n - 1 and len(np.unique(values)) == n


def _all_match(texts: np.ndarray, pattern: str, some: bool = False) -> bool:
    """Whether all texts (or ``some``) match a pattern in full."""
    matches = re.compile(pattern).fullmatch
    return (any if some else all)(matches(text) for text in texts)
