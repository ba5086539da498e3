"""Fit and score: the part of trimming that does not depend on the budget.

It is one pure function of estimator and data, so that ``memory`` can keep its result
and a search over budgets scores each fold once a step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import (
    _check_method_params,
    _num_samples,
    check_array,
)

from .._utils._checks import check_weight
from .._utils._chunks import threads_to_fit
from .._utils._in_place import own_rows
from .._utils._trained_rows import fit_on_own_rows, keep_trained_rows
from .._utils._unseen import naming_unseen
from .._utils._workers import workers
from ..bridge import bridge
from ..bridge._network import TRIM_OTHERWISE, advising
from ..bridge._routing import model_weight, unwrapped
from ..influence._rows import through_steps
from ..influence._validation import Split, warn_if_out_of_scale
from ._leaves import reads_leaves
from ._methods import Method
from ._path import Scored

_SCALE_ROWS = 2000  # enough to see a column's scale


@dataclass(frozen=True)
class ScoringPlan:
    """How rows are scored: the classifier, the method, and the rows to score against."""

    estimator: Any
    method: Method
    options: dict[str, Any]  # what the method may ask for
    splits: list[Split] | None  # None: the given validation rows, or none at all
    given: tuple  # X_val, y_val, sample_weight_val
    prefit: bool = False  # the first scores come from the estimator as it is
    groups: Any = None  # of the rows of X, for scores that split them
    classes: Any = None  # labels in the order of their codes
    balance_classes: bool = False  # each class has the same say in the validation loss
    n_own: int | None = None  # where checked rows follow the training rows: number of these


def score_splits(
    plan: ScoringPlan,
    X,
    y: np.ndarray,
    codes: np.ndarray,
    fit_params: dict,
    present: np.ndarray,
    before: list | None,
    n_jobs: int | None,
) -> Scored:
    """Score the rows that are present by models that are fitted on them.

    Parameters
    ----------
    plan : ScoringPlan
    X, y, codes : array-like, ndarray, ndarray
        All rows with their labels and class codes, those that are gone included.
    fit_params : dict
        For the classifier's fit, as long as X; sample weights are those that are left.
    present : ndarray of bool of shape (n,)
        Rows that are not gone.
    before : list of estimators or None
        Models of the step before, to start from.
    n_jobs : int or None
        Jobs over the splits.

    Returns
    -------
    Scored
        Means over the models that trained on a row; NaN where none did.
    """
    n_rows = len(y)
    splits: list[Any]
    if plan.splits is None:
        rows = np.flatnonzero(present)
        start = before[0] if before else None
        result = _score_split(plan, X, y, codes, fit_params, rows, None, start, "X_val")
        splits, results = [(rows, None)], [result]
    else:
        # A row that is gone is no witness either.
        splits = [_left(codes, present, *split) for split in plan.splits]
        starts = before or [None] * len(splits)
        jobs = [
            (
                plan,
                X,
                y,
                codes,
                fit_params,
                *split,
                start,
                f"Fold {k} of {len(splits)} of validation",
            )
            for k, (split, start) in enumerate(zip(splits, starts, strict=True), start=1)
        ]
        with workers(n_jobs) as run:
            results = list(run(_score_split, jobs))
        fitted = [result[2] for result in results if result[2] is not None]
        if plan.n_own is not None and before is None and fitted and plan.method.needs_bridge:
            _check_scale(fitted[0], _sample(X, 0, plan.n_own), _sample(X, plan.n_own))
    influence = _mean(n_rows, splits, [r[0] for r in results])
    gains = [r[1] for r in results if r[1] is not None]
    gain = _mean(n_rows, splits, [r[1] for r in results]) if gains else None
    details = [r[3] for r in results]
    known = details if any(d is not None for d in details) else None
    return Scored(influence, gain, [r[2] for r in results], known)


def _left(codes, present, fit_rows, val_rows) -> Split:
    """What is left of a split; validation rows of a class that is not are left out."""
    fit_rows, val_rows = fit_rows[present[fit_rows]], val_rows[present[val_rows]]
    n_classes = int(codes.max()) + 1
    trained = np.bincount(codes[fit_rows], minlength=n_classes) > 0
    return fit_rows, val_rows[trained[codes[val_rows]]]


def _mean(n_rows: int, splits, parts) -> np.ndarray:
    total, count = np.zeros(n_rows), np.zeros(n_rows)
    for (rows, _), part in zip(splits, parts, strict=True):
        if part is not None:
            total[rows] += part
            count[rows] += 1
    return np.divide(total, count, out=np.full(n_rows, np.nan), where=count > 0)


@contextmanager
def _named_as_rows_of_X(held_out: bool) -> Iterator[None]:
    """Errors of held-out rows name X, as nobody passed an X_val."""
    try:
        yield
    except ValueError as error:
        text = re.sub(r"\b(X|y|sample_weight)_val\b", r"\1", str(error))
        if not held_out or text == str(error):
            raise
        raise ValueError(text) from error


def _score_split(plan, X, y, codes, fit_params, rows, val_rows, start, name):
    """Scores of some rows against others of X, or those that were passed."""
    if val_rows is None:
        X_val, y_val, sample_weight_val = plan.given
    elif len(val_rows) == 0 or (codes[rows] == codes[rows[0]]).all():
        return None, None, start, None  # nothing is left to train on, or to score against
    else:
        weight = model_weight(fit_params)
        sample_weight_val = None if weight is None else np.asarray(weight)[val_rows]
        X_val, y_val = _safe_indexing(X, val_rows), y[val_rows]
    if plan.balance_classes and y_val is not None:
        sample_weight_val = _balanced(y_val, sample_weight_val)
    labels = plan.classes[np.flatnonzero(np.bincount(codes[rows]))]
    if len(rows) == len(y):
        X_fit, y_fit, params = X, y, fit_params
    else:
        X_fit, y_fit = _safe_indexing(X, rows), y[rows]
        params = _check_method_params(X, fit_params, indices=rows)
    # A callable of the user's may predict both, and the rows are needed again.
    X_fit, X_val = own_rows(plan.estimator, X_fit), own_rows(plan.estimator, X_val)
    method = plan.method
    with _named_as_rows_of_X(val_rows is not None), naming_unseen(name), keep_trained_rows():
        with threads_to_fit(X_fit):
            model = _fit_model(plan, start, labels, X_fit, y_fit, unwrapped(params))
        if start is None:
            _check_classes(model, labels)
            if val_rows is None and method.needs_bridge:
                _check_scale(model, _sample(X_fit), _sample(X_val))
        checked = 0
        if plan.n_own is not None and method.trains_on_validation:
            own = np.flatnonzero(rows < plan.n_own)
            checked = len(rows) - len(own)
            params = _check_method_params(X_fit, params, indices=own)
            X_fit, y_fit, rows = _safe_indexing(X_fit, own), y_fit[own], rows[own]
        options = plan.options | {
            "sample_weight": model_weight(params),
            "groups": None if plan.groups is None else _safe_indexing(plan.groups, rows),
            "sample_weight_val": sample_weight_val,
        }
        arguments = method.arguments(options)
        with advising(TRIM_OTHERWISE):
            result = method.function(model, X_fit, y_fit, X_val, y_val, **arguments)
            scores, gain, details = method.read(result, len(y_fit))
        scores = np.concatenate([scores, np.full(checked, np.nan)])
    return scores, gain, model, details


def _balanced(y_val, weight) -> np.ndarray:
    """Weights of the validation rows (n_val,) that sum to the same for each class."""
    codes = np.unique(np.asarray(y_val), return_inverse=True)[1]
    weight = check_weight(weight, codes, "sample_weight_val")
    total = np.bincount(codes, weights=weight)
    share = np.divide(
        weight.sum() / len(total), total, out=np.zeros(len(total)), where=total > 0
    )
    return weight * share[codes]


def _fit_model(plan: ScoringPlan, start, labels: np.ndarray, X, y, params):
    if plan.prefit and start is None:
        return plan.estimator
    model = None if start is None else _continued(start, labels)
    if model is None:
        return fit_on_own_rows(clone(plan.estimator), X, y, **params)
    last = _last_step(model)
    given = last.warm_start
    last.set_params(warm_start=True)
    try:
        fit_on_own_rows(model, X, y, **params)
    except ValueError:  # e.g. a category is gone, and a column with it: start afresh
        return fit_on_own_rows(clone(plan.estimator), X, y, **params)
    last.set_params(warm_start=given)
    return model


def _last_step(model):
    return model.steps[-1][1] if isinstance(model, Pipeline) else model


def _continued(start, labels: np.ndarray):
    """A copy of the model before that can go on from where it is, or None.

    Only where going on reaches the same optimum sooner: for a forest or boosting
    ``warm_start`` means to add trees to those that are there.
    """
    last = _last_step(start)
    # liblinear has no warm start; in scikit-learn 1.7 newton-cholesky returns wrong intercepts
    # after one (three classes or more), and it needs few iterations anyway.
    fresh = ("liblinear", "newton-cholesky")
    goes_on = isinstance(last, LogisticRegression) and last.solver not in fresh
    if not goes_on or not hasattr(last, "warm_start") or reads_leaves(start):
        return None
    return deepcopy(start) if np.array_equal(last.classes_, labels) else None


def _check_classes(model, labels: np.ndarray) -> None:
    """An influence_estimator that was trained elsewhere may know other classes."""
    known = getattr(model, "classes_", None)
    if known is None:
        return
    if set(labels.tolist()) <= set(np.asarray(known).tolist()):
        return
    raise ValueError(
        f"The model that scores the rows, {type(model).__name__}, knows the classes "
        f"{np.asarray(known)[:10].tolist()}, but y holds {labels[:10].tolist()}. "
        "Pass an influence_estimator that is fitted on these rows, or not fitted at all."
    )


def _sample(X, start: int = 0, end: int | None = None):
    """Some of the rows: scores send all of them through the steps."""
    n_rows = (_num_samples(X) if end is None else end) - start
    rows = np.linspace(0, n_rows - 1, min(n_rows, _SCALE_ROWS)).astype(int)
    return _safe_indexing(X, start + np.unique(rows))


def _check_scale(model, X, X_val) -> None:
    """Warn of columns of X_val that lie far from those of X, as the last step sees them."""
    fitted = bridge(model)
    seen = []
    for part, name in ((X, "X"), (X_val, "X_val")):
        part = through_steps(fitted.transform, part, name)
        part = check_array(part, accept_sparse=True, ensure_all_finite=False, allow_nd=True)
        seen.append(part.reshape(len(part), -1) if part.ndim > 2 else part)
    if seen[0].shape[1] == seen[1].shape[1]:
        warn_if_out_of_scale(*seen)
