"""Fit, score, leave out the rows with the highest influence, and fit again, out of core."""

from __future__ import annotations

from contextlib import nullcontext
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from .._utils._budget import budget_rows, check_budget
from .._utils._checks import check_choice, encode_labels
from .._utils._classes import warn_if_class_shrank, warn_of_spared
from ..passes._sums import SCORES
from ..passes._trimmed import (
    LastRows,
    TrimResult,
    check_min_class_size,
    choose_others,
    classes_are_short,
    last_rows,
    present_first,
)
from ._fit import fit_on, fit_transformer
from ._scores import score_rows
from ._select import select_top
from ._source import RowSource, check_source, named


def trim(
    rows: Any,
    X_val: Any,
    y_val: Any,
    *,
    budget: float,
    sample_weight_val: Any = None,
    transformer: Any = None,
    C: float = 1.0,
    fit_intercept: bool = True,
    class_weight: Any = None,
    classes: Any = None,
    tol: float = 1e-10,
    max_iter: int = 50,
    influence: str = "fi_signed",
    validation_loss: Any = "expected_error",
    metric: str = "mahalanobis",
    min_class_size: int = 1,
    out: Any = None,
    overwrite: bool = False,
    verbose: bool | int = 0,
) -> TrimResult:
    """Fit, score, leave out the rows with the highest influence, and fit again.

    What `skfi.FITrimmer` does of a logistic regression with ``step=None``, `X_val` and
    ``checked_rows="judge"``, for rows of any number: the whole budget goes at once. Rows that
    go get weight 0 in the second fit and are not copied.

    Parameters
    ----------
    rows : ArrayRows, ParquetRows or BatchRows
        Training rows.
    X_val : {array-like, sparse matrix, DataFrame} of shape (n_val, n_features)
        Validation rows to score against, not used in training. They are held in memory.
    y_val : array-like of shape (n_val,)
        Their labels.
    budget : int or float
        How many rows go: a number (int), or a share in [0, 1) rounded down. A row counts as
        one whatever its weight, and goes as a whole.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows.
    transformer : transformer, default=None
        What the features go through first, as in `fit_logistic`; fitted once, on all rows.
    C, fit_intercept, class_weight, classes, tol, max_iter : \
            default=1.0, True, None, None, 1e-10, 50
        As in `fit_logistic`.
    influence : {"fi_signed", "fi", "gain"}, default="fi_signed"
        What rows are ordered by, the highest first, as in `fi_util`.
    validation_loss, metric : default="expected_error", "mahalanobis"
        As in `skfi.FITrimmer`.
    min_class_size : int, default=1
        Rows of each class that are kept. Where the budget reaches the last ones of a class,
        the rows with the next highest scores are dropped instead, and a warning names them.
    out : path-like, default=None
        A .npy file for the scores, as in `fi_util`. A run that was killed fits again, and
        goes on with the scores where it was.
    overwrite : bool, default=False
        Whether `out` may be replaced.
    verbose : bool or int, default=0
        Show a progress bar for each pass, where tqdm is installed.

    Returns
    -------
    trimmed : TrimResult
        With `estimator_`, fitted without the dropped rows; `full_estimator_`, fitted on
        all; `support_`, a mask (n,) that is True for rows that were kept; `influence_`, the
        scores (n,); and `n_trimmed_`.

    Raises
    ------
    FileExistsError
        `out` is there already.
    FileNotFoundError
        The folder of `out` is not there.
    TypeError
        `rows` is no source of rows.
    ValueError
        The budget takes more rows than classes can spare, rows cannot be used, or what lies
        beside `out` is of a run with other settings.

    Warns
    -----
    UserWarning
        More than half of a class was dropped, or its last rows were kept although the budget
        reached them.
    ConvergenceWarning
        A fit has not converged.

    See Also
    --------
    skfi.FITrimmer : The same of rows in memory, in steps, cross-fitted or for any classifier.

    Notes
    -----
    Nobody has chosen the budget here: compare `estimator_` and `full_estimator_` on rows that
    neither of them has seen, and that are not in `X_val`.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skfi.outofcore import ArrayRows, trim
    >>> X, y = make_classification(500, random_state=0)
    >>> y[:20] = 1 - y[:20]  # wrong labels
    >>> trimmed = trim(ArrayRows(X[:300], y[:300]), X[300:], y[300:], budget=20)
    >>> trimmed.n_trimmed_
    20
    >>> int((~trimmed.support_[:20]).sum())  # wrong labels among those that went
    10
    """
    check_source(rows)
    check_budget(budget)
    check_min_class_size(min_class_size)
    check_choice("influence", influence, tuple(SCORES))
    _check_left(budget, rows.n_rows)
    classes = rows.classes() if classes is None else np.asarray(classes)
    fit = dict(
        C=C, fit_intercept=fit_intercept, class_weight=class_weight, tol=tol, max_iter=max_iter
    )
    step = None if transformer is None else fit_transformer(rows, transformer, verbose)
    full = fit_on(rows, step, classes, fit, verbose, "Fit")
    held_out = X_val, y_val, sample_weight_val
    settings = dict(
        validation_loss=validation_loss, metric=metric, unit="copy", influence=influence
    )
    scores, journal = score_rows(full, rows, held_out, settings, out, overwrite, verbose)
    with journal or nullcontext():
        _check_left(budget, len(scores))
        order = _present_first(rows, scores)
        gone = select_top(order, budget)
        n_trimmed = int(gone.sum())
        kept = full
        if n_trimmed:
            (before, after), counts = _class_weights(rows, gone, classes)
            if classes_are_short(counts[0], counts[1], min_class_size):
                last = _last_rows(rows, scores, min_class_size)

                def choose(number: int) -> Any:
                    top = select_top(order, number)
                    return top, top[last.rows]

                gone, spared = choose_others(choose, last, n_trimmed, len(scores))
                gone[last.rows] = False
                warn_of_spared(last.rows[spared], last.labels[spared], min_class_size)
                (before, after), _ = _class_weights(rows, gone, classes)
            warn_if_class_shrank(np.arange(len(classes)), classes, before, after)
            kept = fit_on(rows.without(gone), step, classes, fit, verbose, "Fit without them")
    return TrimResult(kept, full, ~gone, scores, n_trimmed)


def _check_left(budget: float, n_rows: int | None) -> None:
    if n_rows is not None and budget_rows(budget, n_rows) >= n_rows:
        raise ValueError(
            f"budget={budget} would leave none of the {n_rows:,} rows; use a smaller number, "
            "or a share such as 0.05."
        )


def _present_first(rows: RowSource, scores: np.ndarray) -> np.ndarray:
    """Scores by which rows without weight are dropped last, by a pass over the labels."""
    order = scores
    for block in rows._labels(rows._block_rows()):
        weight = block.sample_weight
        if weight is not None and not (weight > 0).all():
            if order is scores:
                order = np.array(scores)  # the scores themselves stay, and may be on disk
            part = slice(block.start, block.stop)
            order[part] = present_first(order[part], weight)
    return order


def _class_weights(rows: RowSource, gone: np.ndarray, classes: np.ndarray) -> Any:
    """Weight, and rows with weight, of each class before and after, by a pass over labels."""
    mass, counts = np.zeros((2, len(classes))), np.zeros((2, len(classes)))
    for block in rows._labels(rows._block_rows()):
        with named(block.where):
            codes = encode_labels(block.y, classes, "y")
        weight = np.ones(len(codes)) if block.sample_weight is None else block.sample_weight
        kept = weight * ~gone[block.start : block.stop]
        for k, part in enumerate((weight, kept)):
            mass[k] += np.bincount(codes, part, minlength=len(classes))
            counts[k] += np.bincount(codes, part > 0, minlength=len(classes))
    return mass, counts


def _last_rows(rows: RowSource, scores: np.ndarray, size: int) -> LastRows:
    """The rows with weight that each class would lose last, by a pass over the labels."""
    parts = []
    for block in rows._labels(rows._block_rows()):
        weight = np.ones(len(block.y)) if block.sample_weight is None else block.sample_weight
        here = np.arange(block.start, block.stop)[weight > 0]
        parts.append(last_rows(size, block.y[weight > 0], np.asarray(scores[here]), here))
        parts = [reduce(add, parts)]
    return parts[0]
