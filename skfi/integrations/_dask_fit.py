"""Logistic regression of dask collections, and trimming by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import _get_feature_names, column_or_1d

from .._utils._budget import check_budget
from .._utils._checks import check_no_missing_labels
from .._utils._classes import warn_if_class_shrank, warn_of_spared
from ..passes._sums import fit_linear
from ..passes._trimmed import (
    LastRows,
    TrimResult,
    check_min_class_size,
    choose_others,
    classes_are_short,
    last_rows,
    present_first,
)
from ._dask_blocks import (
    SPLIT_EVERY,
    Blocks,
    combine,
    compute_now,
    each_block,
    in_blocks,
    map_blocks,
    split,
    sum_blocks,
)
from ._dask_scores import check_columns, check_scoring, reducer, score_blocks
from ._dask_select import select_top


def fit_logistic(
    X,
    y,
    *,
    sample_weight=None,
    classes=None,
    C=1.0,
    fit_intercept=True,
    class_weight=None,
    tol=1e-10,
    max_iter=50,
    split_every=SPLIT_EVERY,
):
    """Logistic regression by Newton's method on dask collections.

    Each step is one pass, in which the chunks' objective, gradient and Hessian are added up as
    a tree; most fits take about eight. Persist rows that fit into the workers' memory.

    Parameters
    ----------
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n, n_features)
        Training rows, numbers. Chunk lengths may be unknown. Several chunks of columns are
        joined in every pass.
    y : dask.array.Array or dask.dataframe.Series of shape (n,)
        Labels, chunked as `X`; where all lengths are known they are brought to that.
    sample_weight : dask.array.Array or dask.dataframe.Series of shape (n,), default=None
        Weights of the rows.
    classes : array-like of shape (K,), default=None
        The labels that there are. None looks them up, in a pass over `y`.
    C : float, default=1.0
        Inverse strength of the penalty, as in `LogisticRegression`.
    fit_intercept : bool, default=True
        Whether the model has an intercept, which is not penalised.
    class_weight : dict or "balanced", default=None
        As in `LogisticRegression`; "balanced" takes a pass over the rows.
    tol : float, default=1e-10
        Ends where the next step would lower the objective by no more than this share.
    max_iter : int, default=50
        Steps at most.
    split_every : int, default=8
        Sums of chunks that one task adds up.

    Returns
    -------
    estimator : sklearn.linear_model.LogisticRegression
        Fitted, in memory, as if by its own solver.

    Raises
    ------
    TypeError
        `X`, `y` or `sample_weight` is no dask collection.
    ValueError
        NaN or infinity, a label that is missing or not among `classes`, chunks of `X` and
        `y` that differ in length: the message names the chunk. Fewer than two classes.

    Warns
    -----
    ConvergenceWarning
        There were too few steps.

    See Also
    --------
    fi_util : What each row has to say in the fit.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.datasets import make_classification
    >>> from skfi.integrations.dask import fit_logistic
    >>> X, y = make_classification(200, random_state=0)
    >>> model = fit_logistic(da.from_array(X, chunks=(50, 20)), da.from_array(y))
    >>> model.predict(X).shape
    (200,)
    """
    blocks = in_blocks(X=X, y=y, sample_weight=sample_weight)
    settings = dict(
        C=C, fit_intercept=fit_intercept, class_weight=class_weight, tol=tol, max_iter=max_iter
    )
    if classes is None:
        classes = _label_mass(blocks, split_every).labels
    return _fitted(blocks, X, split_every, np.unique(np.asarray(classes)), settings)


def _fitted(
    blocks: Blocks, X, split_every: int, classes, settings: dict[str, Any]
) -> LogisticRegression:
    check_columns(X, "X")
    reduce = reducer(blocks, split_every)
    estimator = fit_linear(reduce, X.shape[1], classes, **settings)
    names = _get_feature_names(getattr(X, "_meta", X))
    if names is not None:
        estimator.feature_names_in_ = names
    return estimator


@dataclass(frozen=True)
class _LabelMass:
    """Weight of each label; adds up over blocks."""

    labels: np.ndarray
    weight: np.ndarray
    rows: np.ndarray  # those with weight

    def __add__(self, other: _LabelMass) -> _LabelMass:
        labels, place = np.unique(
            np.concatenate([self.labels, other.labels]), return_inverse=True
        )
        return _LabelMass(
            labels,
            np.bincount(place, [*self.weight, *other.weight]),
            np.bincount(place, [*self.rows, *other.rows]),
        )


def _weigh_labels(y, sample_weight) -> _LabelMass:
    y = np.asarray(column_or_1d(y))
    check_no_missing_labels(y)
    labels, place = np.unique(y, return_inverse=True)
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
    return _LabelMass(labels, np.bincount(place, weight), np.bincount(place, weight > 0))


def _label_mass(blocks: Blocks, split_every: int) -> _LabelMass:
    """Weight of each label of all rows; without a look at X."""
    labels = blocks.without_first()
    mass = compute_now(sum_blocks(labels, _weigh_labels, "skfi-labels", split_every))
    if mass is None:
        raise ValueError("X has no rows.")
    return mass


def trim(
    X,
    y,
    X_val,
    y_val,
    *,
    budget,
    sample_weight=None,
    sample_weight_val=None,
    influence="fi_signed",
    validation_loss="expected_error",
    metric="mahalanobis",
    min_class_size=1,
    classes=None,
    C=1.0,
    fit_intercept=True,
    class_weight=None,
    tol=1e-10,
    max_iter=50,
    split_every=SPLIT_EVERY,
):
    """Fit, score, drop the rows with the highest influence, and fit again, on dask.

    ``FITrimmer(LogisticRegression(), step=None, checked_rows="judge")`` with `X_val`, for rows
    on many machines.
    Dropped rows get weight 0. The two arrays of the result are persisted: nine bytes a row.

    Parameters
    ----------
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n, n_features)
        Training rows, numbers. Chunk lengths may be unknown.
    y : dask.array.Array or dask.dataframe.Series of shape (n,)
        Labels, chunked as `X`.
    X_val : {array-like, sparse matrix, DataFrame} of shape (n_val, n_features)
        Validation rows, in memory, not among the training rows.
    y_val : array-like of shape (n_val,)
        Their labels.
    budget : int or float
        How many rows to drop, or a share in [0, 1) of all rows, rounded down. Rows are
        counted once whatever their weight, and go as a whole.
    sample_weight : dask.array.Array or dask.dataframe.Series of shape (n,), default=None
        Weights of the rows. Those of weight 0 are left alone.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows in the mean.
    influence : {"fi_signed", "fi", "gain"}, default="fi_signed"
        What rows are ordered by, as in `fi_util`.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, \
            default="expected_error"
        Loss on the validation rows, as in `skfi.fi_util`.
    metric : {"euclidean", "mahalanobis"}, default="mahalanobis"
        Metric of the perturbations, as in `skfi.fi_util`.
    min_class_size : int, default=1
        Rows of each class that are kept. Where the budget reaches the last ones of a class,
        the rows with the next highest scores are dropped instead, and a warning names them.
    classes, C, fit_intercept, class_weight, tol, max_iter : \
            default=None, 1.0, True, None, 1e-10, 50
        The classifier, as in `fit_logistic`.
    split_every : int, default=8
        Sums of chunks that one task adds up.

    Returns
    -------
    result : TrimResult
        Both classifiers, the scores, and which rows were kept.

    Raises
    ------
    TypeError
        `X`, `y` or `sample_weight` is no dask collection, or `X_val` or `y_val` is one.
    ValueError
        A budget of more rows than classes can spare, or that is none; what `fit_logistic`
        and `fi_util` refuse.

    Warns
    -----
    UserWarning
        More than half of a class was dropped, or its last rows were kept although the budget
        reached them.
    ConvergenceWarning
        There were too few steps.

    See Also
    --------
    skfi.FITrimmer : For rows in memory; drops them in steps, and finds validation rows.

    Notes
    -----
    The budget is not chosen here: compare `estimator_` and `full_estimator_` on other held-out
    rows.

    References
    ----------
    :cite:t:`yu2025`, Section 3, Algorithms 1 and 3.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.datasets import make_classification
    >>> from skfi.integrations.dask import trim
    >>> X, y = make_classification(600, random_state=0)
    >>> y[:15] = 1 - y[:15]  # wrong labels
    >>> rows, labels = da.from_array(X[:300], chunks=(90, 20)), da.from_array(y[:300])
    >>> result = trim(rows, labels, X[300:], y[300:], budget=15)
    >>> result.n_trimmed_
    15
    >>> int((~result.support_[:15]).sum().compute())  # wrong labels among those dropped
    11
    """
    check_budget(budget)
    check_min_class_size(min_class_size)
    held_out = X_val, y_val, sample_weight_val
    blocks = in_blocks(X=X, y=y, sample_weight=sample_weight)
    check_scoring(X, held_out, influence)  # before a fit
    settings = dict(
        C=C, fit_intercept=fit_intercept, class_weight=class_weight, tol=tol, max_iter=max_iter
    )
    before = _label_mass(blocks, split_every)
    known = before.labels if classes is None else np.unique(np.asarray(classes))
    full = _fitted(blocks, X, split_every, known, settings)
    choices = dict(validation_loss=validation_loss, metric=metric)
    scores, _ = score_blocks(full, blocks, X, held_out, influence, split_every, **choices)
    scores = order = scores.persist()
    if sample_weight is not None:
        weighted = in_blocks(scores=scores, sample_weight=sample_weight)
        order = map_blocks(weighted, present_first, "skfi-order", np.float64)
    top = select_top(order, budget, split_every=split_every).persist()
    weight, after = _weight_without(top, X, y, sample_weight, split_every)
    number = int(top.sum().compute())
    if classes_are_short(before.rows, after.rows, min_class_size):
        top, last = _without_last_rows(
            order, y, sample_weight, min_class_size, number, before, split_every
        )
        warn_of_spared(last.rows, last.labels, min_class_size)
        weight, after = _weight_without(top, X, y, sample_weight, split_every)
    labels = before.labels
    warn_if_class_shrank(np.arange(len(labels)), labels, before.weight, after.weight)
    kept = in_blocks(X=X, y=y, sample_weight=weight)
    final = _fitted(kept, X, split_every, known, settings) if budget else full
    return TrimResult(final, full, ~top, scores, number)


def _weight_without(top, X, y, sample_weight, split_every: int):
    """Weights of the rows, 0 for those of a mask, and what each class keeps."""
    dropped = in_blocks(dropped=top, sample_weight=sample_weight)
    weight = map_blocks(dropped, _weight_kept, "skfi-weight", np.float64).persist()
    return weight, _label_mass(in_blocks(X=X, y=y, sample_weight=weight), split_every)


def _without_last_rows(order, y, sample_weight, size: int, number: int, before, split_every):
    """The rows to drop, without the last of each class; and those of them that were reached."""
    blocks = in_blocks(order=order, y=y, sample_weight=sample_weight)
    counts = each_block(blocks, _count_rows, "skfi-rows", rows_needed=False)
    starts = split(combine(_starts, "skfi-starts", counts), len(counts))
    of_block = partial(_last_of_block, size)
    last = compute_now(sum_blocks(blocks, of_block, "skfi-last", split_every, given=[starts]))

    def choose(wanted: int):
        top = in_blocks(top=select_top(order, wanted, split_every=split_every).persist())
        among = partial(_among, last.rows)
        chosen = sum_blocks(top, among, "skfi-among", split_every, given=[starts])
        kept = partial(_taken_out, last.rows)
        mask = map_blocks(top, kept, "skfi-dropped", np.bool_, given=[starts])
        return mask, compute_now(chosen).astype(bool)

    mask, spared = choose_others(choose, last, number, int(before.rows.sum()))
    return mask.persist(), replace(last, rows=last.rows[spared], labels=last.labels[spared])


def _count_rows(order, *_) -> int:
    return len(order)


def _starts(counts: list[int]) -> list[int]:
    return [0, *np.cumsum(counts[:-1]).tolist()]


def _last_of_block(size: int, order, y, sample_weight, start: int) -> LastRows:
    present = (
        np.ones(len(order), bool) if sample_weight is None else np.asarray(sample_weight) > 0
    )
    rows = start + np.flatnonzero(present)
    return last_rows(size, np.asarray(y)[present], np.asarray(order)[present], rows)


def _among(rows: np.ndarray, top, start: int) -> np.ndarray:
    """Which of the rows are chosen in this block, as 0 and 1."""
    here = (rows >= start) & (rows < start + len(top))
    chosen = np.zeros(len(rows), dtype=int)
    chosen[here] = np.asarray(top)[rows[here] - start]
    return chosen


def _taken_out(rows: np.ndarray, top, start: int) -> np.ndarray:
    return np.asarray(top) & ~np.isin(start + np.arange(len(top)), rows)


def _weight_kept(dropped: np.ndarray, sample_weight) -> np.ndarray:
    return np.where(dropped, 0.0, 1.0 if sample_weight is None else sample_weight)
