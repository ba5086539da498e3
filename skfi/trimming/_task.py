"""What one fit of a trimmer works on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from ..bridge._routing import unwrapped
from ._checked import JoinedRows, deal_out, join_rows, take_given
from ._methods import Method

_WITNESSES = 2  # rows that a held-out checked row counts as


@dataclass(frozen=True)
class Task:
    """Checked data and settings of one fit."""

    estimator: Any  # trained in the end
    scorer: Any | None  # scores the rows, where it is another
    method: Method
    X: Any
    y: np.ndarray
    weight: np.ndarray
    weighted: bool
    given: tuple  # X_val, y_val, sample_weight_val
    classes: np.ndarray
    codes: np.ndarray
    params: dict[str, Any]
    rows: np.ndarray | None = None  # positions in the X that was passed; None is all of it
    n_passed: int = 0  # rows of that X
    prefit: bool = False
    role: str | None = None  # of the given rows: "train", "folds" or "judge"

    @cached_property
    def joined(self) -> JoinedRows | None:
        """The rows with the checked ones after them, where these are trained on."""
        if self.role in (None, "judge"):
            return None
        return join_rows(
            self.X, self.y, self.codes, self.weight, self.weighted, self.params, self.classes,
            self.given,
        )  # fmt: skip

    def take(self, rows: np.ndarray, **changes: Any) -> Task:
        """The same on some of the rows."""
        return replace(
            self,
            **changes,
            X=_safe_indexing(self.X, rows),
            y=self.y[rows],
            weight=self.weight[rows],
            codes=self.codes[rows],
            params=_check_method_params(self.X, self.params, indices=rows),
            rows=rows if self.rows is None else self.rows[rows],
        )


def folds_of_both(
    task: Task, rows: JoinedRows, splits: list, score_params: dict[str, Any]
) -> list[tuple[Task, tuple]]:
    """Tasks to walk and rows to judge by, checked rows split with the others.

    A held-out checked row counts as several in the judging: its label is right.
    """
    n_own, folds = len(task.y), []
    for (train, test), out in zip(splits, deal_out(splits, rows.codes[n_own:]), strict=True):
        given = take_given(task.given, np.flatnonzero(~out))
        part = task.take(train, given=given, role=None if given[0] is None else task.role)
        judges = np.concatenate([test, n_own + np.repeat(np.flatnonzero(out), _WITNESSES)])
        extra = unwrapped(score_params)
        if "sample_weight" in extra:
            extra["sample_weight"] = rows.weight[judges]
        elif task.given[2] is not None:  # weights of the checked rows alone
            own = np.ones(n_own)
            extra["sample_weight"] = np.concatenate([own, rows.weight[n_own:]])[judges]
        folds.append((part, (_safe_indexing(rows.X, judges), rows.y[judges], extra)))
    return folds
