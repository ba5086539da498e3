"""The column that is to be predicted: text, whatever its type in the file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from ._columns import as_text
from ._console import CommandError, Console, listed, shown
from ._tables import Table

# "None" and "NA" may be names of classes.
_NO_LABEL = {"", "nan", "<na>"}


def read_labels(table: Table, target: str) -> np.ndarray:
    """Labels of all rows (n,), without blanks around them.

    Raises
    ------
    CommandError
        There is no such column, or a row has no label.
    """
    table.require(target, "--target")
    why = table.unusable(target)
    if why is not None:
        raise CommandError(f"{table.label}, column {shown(target)!r} holds {why}, no labels.")
    text, _ = as_text(table.column(target))
    missing = np.array([label.casefold() in _NO_LABEL for label in text])
    if missing.any():
        rows = np.flatnonzero(missing)
        raise CommandError(
            f"{table.label}, column {shown(target)!r}: no label on {table.places(rows)}. Label "
            "these rows or take them out."
        )
    return text.astype(str)


def check_classes(table: Table, target: str, y: np.ndarray, console: Console) -> np.ndarray:
    """The classes (K,), if they are such as a classifier can learn."""
    classes = np.unique(y)
    column = f"{table.label}, column {shown(target)!r}"
    if len(classes) == 1:
        raise CommandError(
            f"{column}: all {len(y)} labels are {shown(classes[0])!r}; a classifier needs at "
            "least two classes."
        )
    if len(classes) > max(2, len(y) / 2):
        raise CommandError(
            f"{column} has {len(classes)} different values in {len(y)} rows, so it does not "
            "hold classes. Is it the right column?"
        )
    alike = defaultdict(list)
    for label in classes:
        alike[label.casefold()].append(label)
    for labels in alike.values():
        if len(labels) > 1:
            console.note(
                f"{column}: {listed(map(repr, labels))} count as different classes, and differ "
                "by capital letters alone."
            )
    return classes


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


def check_known(table: Table, target: str, y: np.ndarray, classes: Iterable[str], source: str):
    """Refuse labels that training lacks."""
    unknown = ~np.isin(y, list(classes))
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise CommandError(
            f"{table.where(row, target)}: class {shown(y[row])!r} does not occur in {source}, "
            f"which has {listed(classes)}."
        )
