"""The column that is to be predicted: text, whatever its type in the file."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np

from .._utils._spelling import meaning, respelled
from ._cells import as_numbers, as_text
from ._console import CommandError, Console, listed, shown
from ._tables import Table

# "None" and "NA" may be names of classes.
_NO_LABEL = {"", "nan", "<na>"}
# More classes than that, or than that of numbers, are hardly meant.
_MANY, _MANY_NUMBERS = 100, 30
_FEW_CLASSES = 10  # of which none is too small
_FEW = 5  # rows of a class, one for each fold
_COLUMNS = 5  # that could hold the labels instead
_DATE = re.compile(
    r"(?:\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}([./-])\d{1,2}\1\d{2,4}"
    r"|\d{1,2}\.?[ -][^\W\d]{3,9}\.?[ ,-]{1,2}\d{2,4}|[^\W\d]{3,9}\.? \d{1,2},? \d{4})"
    r"(?:[T ].*)?"
)
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?")


def read_labels(table: Table, target: str) -> np.ndarray:
    """Labels of all rows (n,), without blanks around them.

    Raises
    ------
    CommandError
        There is no such column, or a row has no label.
    """
    table.require(target, "--target")
    why = table.unusable(target)
    if why is None and table.column(target).dtype.kind == "M":
        why = "dates or times"
    if why is not None:
        raise _not_labels(table, target, f"holds {why}, not classes")
    text, _ = as_text(table.column(target))
    missing = np.array([label.casefold() in _NO_LABEL for label in text])
    if missing.any():
        rows = np.flatnonzero(missing)
        raise CommandError(
            f"{table.label}, column {shown(target)!r}: no label on {table.places(rows)}. Label "
            "these rows or take them out."
        )
    return text.astype(str)


def check_classes(
    table: Table, target: str, y: np.ndarray, force: bool, console: Console
) -> np.ndarray:
    """The classes (K,), if they are such as a classifier can learn.

    Raises
    ------
    CommandError
        One class, dates, or (without ``force``) more classes than a table usually has.
    """
    classes, counts = np.unique(y, return_counts=True)
    column = f"{table.label}, column {shown(target)!r}"
    if len(classes) == 1:
        raise CommandError(
            f"{column}: all {len(y)} labels are {shown(classes[0])!r}; a classifier needs at "
            "least two classes."
        )
    if any(all(map(pattern.fullmatch, classes)) for pattern in (_DATE, _TIME)):
        raise _not_labels(
            table, target, f"holds dates or times ({len(classes)} different ones), not classes"
        )
    if len(classes) > max(2, len(y) / 2):
        raise _not_labels(
            table, target, f"has {len(classes)} different values in {len(y)} rows, not classes"
        )
    why = _too_many(classes, counts)
    if why is not None and not force:
        raise _not_labels(
            table,
            target,
            f"has {len(classes)} different values in {len(y)} rows{why}",
            " --force takes them as classes; that can take hours.",
        )
    _note_alike(column, classes, console)
    return classes


def _too_many(classes: np.ndarray, counts: np.ndarray) -> str | None:
    """What makes so many values unlikely classes."""
    if len(classes) > _MANY:
        return ""
    if len(classes) > _FEW_CLASSES and (counts < _FEW).mean() > 0.5:
        return f", most of them in fewer than {_FEW} rows"
    numbers, bad = as_numbers(classes.astype(object))
    numbered = np.array_equal(np.sort(numbers), numbers.min() + np.arange(len(classes)))
    numbered = numbered and numbers.min() in (0, 1)  # as classes may be
    if len(classes) > _MANY_NUMBERS and not bad.any() and not numbered:
        return ", all of them numbers"
    return None


def _not_labels(table: Table, target: str, why: str, force: str = "") -> CommandError:
    """The refusal of a column, with those that could hold the labels instead."""
    counts = {}
    for name in table.names:
        if name != target and table.unusable(name) is None:
            text, missing = as_text(table.column(name))
            counts[name] = len(set(text[~missing]))
    few = {name: count for name, count in counts.items() if 2 <= count <= _FEW_CLASSES}
    likely = sorted(few, key=lambda name: few[name])[:_COLUMNS]
    of_few = [f"{shown(name)!r} ({few[name]})" for name in likely]
    hint = f" Columns of few different values: {', '.join(of_few)}." if likely else ""
    return CommandError(
        f"{table.label}, column {shown(target)!r} {why}. Pass the column of labels to "
        f"--target.{hint}{force}"
    )


def _note_alike(column: str, classes: np.ndarray, console: Console) -> None:
    """Tell of classes that are one class written in different ways, it seems."""
    alike = defaultdict(list)
    for label in map(str, classes):
        same = meaning(label)
        alike[same.casefold() if isinstance(same, str) else same].append(label)
    for labels in alike.values():
        if len(labels) > 1:
            differ = "capital letters"
            if len({label.casefold() for label in labels}) > 1:
                differ = "how a number is written"
            console.note(
                f"{column}: {listed(map(repr, labels))} count as different classes, and differ "
                f"only in {differ}."
            )


def note_rare(
    table: Table, target: str, y: np.ndarray, few: int, so: str, console: Console
) -> None:
    """Tell of classes of fewer than ``few`` rows, and what follows."""
    classes, counts = np.unique(y, return_counts=True)
    rare = classes[counts < few]
    if len(rare):
        console.note(
            f"{table.label}, column {shown(target)!r}: fewer than {few} rows of "
            f"{listed(rare)}. {so}"
        )


def as_known(
    table: Table,
    target: str,
    y: np.ndarray,
    classes: np.ndarray,
    source: str,
    console: Console,
) -> np.ndarray:
    """Labels (n,) in the spelling that they have in the training table.

    Raises
    ------
    CommandError
        A label that the training table lacks.
    """
    other = respelled(map(str, y), map(str, classes))
    if other:
        pairs = [f"{label!r} is {known!r}" for label, known in sorted(other.items())]
        console.note(
            f"{table.label}, column {shown(target)!r}: labels are written differently in "
            f"{source}: {listed(pairs)} there."
        )
        y = np.array([other.get(label, label) for label in y.tolist()], dtype=str)
    unknown = ~np.isin(y, classes)
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise CommandError(
            f"{table.where(row, target)}: class {shown(y[row])!r} does not occur in {source}, "
            f"which has {listed(classes)}."
        )
    return y
