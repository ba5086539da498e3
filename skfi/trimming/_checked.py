"""Checked rows beside the training rows: in training and judging, never dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _is_arraylike, _num_samples

from .._utils._checks import check_weight, checked_labels, encode_labels
from .._utils._stack import stack_rows
from .._utils._user_warnings import warn_user
from ..bridge._routing import Whole
from ..influence._validation import Split

_OUT_OF_PROPORTION = 10.0  # times the weight of a checked row


@dataclass(frozen=True)
class JoinedRows:
    """The training rows, and after them the checked ones."""

    X: Any
    y: np.ndarray
    codes: np.ndarray
    weight: np.ndarray
    weighted: bool
    params: dict[str, Any]  # for fits; groups of checked rows are groups of their own
    n_own: int  # training rows among them


def join_rows(X, y, codes, weight, weighted, params, classes, given) -> JoinedRows:
    """Both as one set of rows.

    A weight of w counts as w copies, of training and of checked rows alike; a row without a
    weight counts as one.
    """
    X_val, y_val, weight_val = given
    n_own = len(y)
    codes_val = encode_labels(np.asarray(y_val), classes, "y_val")
    grouped = {
        key: _with_own_groups(value, len(codes_val)) if key == "groups" else value
        for key, value in params.items()
    }
    return JoinedRows(
        stack_rows(X, X_val),
        np.concatenate([y, classes[codes_val]]),
        np.concatenate([codes, codes_val]),
        np.concatenate([weight, check_weight(weight_val, codes_val, "sample_weight_val")]),
        weighted or weight_val is not None,
        grouped,
        n_own,
    )


def check_checked_labels(y_val: Any, classes: np.ndarray, estimator: Any) -> np.ndarray:
    """Labels of the checked rows (n_val,), all of them labels of y."""
    y_val = checked_labels(y_val, estimator, "Pass the rows with a label alone.")
    encode_labels(y_val, classes, "y_val")
    return y_val


def check_no_values_by_row(params: dict[str, Any], n_rows: int) -> None:
    """Refuse fit parameters with a value for each training row: checked rows have none."""
    by_row = [
        key
        for key, value in params.items()
        if key != "groups" and not isinstance(value, Whole)
        and _is_arraylike(value) and _num_samples(value) == n_rows
    ]  # fmt: skip
    if by_row:
        raise ValueError(
            f"{', '.join(by_row)} was passed with a value for each row of X, and the rows of "
            "X_val, which are trained on as well, have none. Set checked_rows='judge', with "
            "which X_val only judges, or leave it out."
        )


def warn_if_out_of_proportion(weight: np.ndarray) -> None:
    """Warn where checked rows, which count as one each, outweigh the others or vanish."""
    mean = float(weight[weight > 0].mean())
    if not 1 / _OUT_OF_PROPORTION <= mean <= _OUT_OF_PROPORTION:
        warn_user(
            f"The rows of X weigh {mean:.3g} on average, and those of X_val, which train as "
            "well, 1 each. Pass sample_weight_val on the scale of sample_weight, or set "
            "checked_rows='judge'.",
        )


def deal_out(splits: list[Split], codes_val: np.ndarray) -> list[np.ndarray]:
    """Which checked rows each split of the training rows holds out (n_val,).

    They are dealt out by class, in their order, to as many parts as a held-out part goes into
    the training rows; each split holds out the next part.
    """
    fit_rows, held_out = splits[0]
    n_parts = max(2, round((len(fit_rows) + len(held_out)) / max(1, len(held_out))))
    part = np.empty(len(codes_val), dtype=np.intp)
    part[np.argsort(codes_val, kind="stable")] = np.arange(len(codes_val)) % n_parts
    return [part == k % n_parts for k in range(len(splits))]


def join_splits(splits: list[Split], n_own: int, codes_val: np.ndarray) -> list[Split]:
    """Splits of the training rows, with the checked rows after them split alongside."""
    return [
        (
            np.concatenate([fit_rows, n_own + np.flatnonzero(~out)]),
            np.concatenate([held_out, n_own + np.flatnonzero(out)]),
        )
        for (fit_rows, held_out), out in zip(splits, deal_out(splits, codes_val), strict=True)
    ]


def take_given(given: tuple, rows: np.ndarray) -> tuple:
    """Some of the checked rows, or none: ``X_val, y_val, sample_weight_val``."""
    if not len(rows):
        return None, None, None
    X_val, y_val, weight_val = given
    weight = None if weight_val is None else np.asarray(weight_val)[rows]
    return _safe_indexing(X_val, rows), np.asarray(y_val)[rows], weight


def _with_own_groups(groups: Any, n_more: int) -> np.ndarray:
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    return np.concatenate([codes, codes.max() + 1 + np.arange(n_more)])
