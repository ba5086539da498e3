"""Rows that a person decided on: checked rows, which a further run of ``skfi trim`` keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..review._decisions import ACTIONS, Decisions, check_decisions
from ._console import CommandError, shown
from ._tables import Table


def read_decided(path: str, table: Table, y: np.ndarray) -> Decisions:
    """The decisions of a file about the rows of a table."""
    try:
        return check_decisions(path, table.n_rows, np.unique(y).tolist())
    except FileNotFoundError:
        raise CommandError(f"{shown(path, 200)}: there is no such file.") from None
    except OSError as problem:
        raise CommandError(f"{shown(path, 200)} cannot be read: {problem}") from problem


@dataclass(frozen=True)
class Decided:
    """The rows of a table by what was decided."""

    file: str
    left: np.ndarray  # positions that nobody decided on
    checked: np.ndarray  # positions to keep, as they are or with another label
    dropped: np.ndarray
    y: np.ndarray  # labels of all rows, corrected
    like: dict[int, int]  # row with another label -> a row that has this label
    counts: dict[str, int]

    def words(self) -> str:
        """What was decided, and what it is used for."""
        n = len(self.checked) + len(self.dropped)
        parts = ", ".join(f"{self.counts[a]} to {a}" for a in ACTIONS)
        return (
            f"{self.file}: {n} rows decided: {parts}. Those to keep or relabel count as "
            "checked: they train and judge, and are not dropped again."
        )


def split_decided(path: str, table: Table, y: np.ndarray) -> Decided:
    """Rows to score, checked rows with their labels, and rows to leave out."""
    decisions = read_decided(path, table, y)
    dropped, relabelled = decisions.of("drop"), decisions.of("relabel")
    labels = y.copy()
    labels[relabelled] = decisions.labels[decisions.actions == "relabel"]
    left = np.setdiff1d(np.arange(len(y)), decisions.positions)
    if len(np.unique(y[left])) < 2:
        raise CommandError(
            f"{shown(path, 200)} leaves {len(left)} rows of {table.label} undecided, of fewer "
            "than two classes: there is nothing left to score."
        )
    first = dict(zip(*np.unique(y, return_index=True), strict=True))
    changed = relabelled[labels[relabelled] != y[relabelled]]
    like = {int(row): int(first[labels[row]]) for row in changed}
    counts = {action: len(decisions.of(action)) for action in ACTIONS}
    checked = np.sort(np.concatenate([decisions.of("keep"), relabelled]))
    return Decided(path, left, checked, dropped, labels, like, counts)


def spread(trimmer, rows: np.ndarray, n_rows: int) -> None:
    """Let a trimmer that was fitted on some ``rows`` of a table tell of all of them.

    Rows that it was not given have no score and share the last rank.
    """

    def over_all(values, rest):
        whole = np.full(n_rows, rest, dtype=np.result_type(values, type(rest)))
        whole[rows] = values
        return whole

    trimmer.influence_ = over_all(trimmer.influence_, np.nan)
    if trimmer.removal_gain_ is not None:
        trimmer.removal_gain_ = over_all(trimmer.removal_gain_, np.nan)
    trimmer.ranking_ = over_all(trimmer.ranking_, len(rows) + 1)
    trimmer.support_ = over_all(trimmer.support_, True)
    trimmer.trimmed_indices_ = rows[trimmer.trimmed_indices_]
    trimmer._facts = trimmer._facts | {"index": trimmer.trimmed_indices_}
