"""Fit and score: the part of trimming that does not depend on the budget.

It is one pure function of estimator and data, so that ``memory`` can keep its result
and a search over budgets scores each fold once.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch, _safe_indexing
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_method_params,
    _num_samples,
    check_array,
    has_fit_parameter,
)

from ._validation import Split, warn_if_out_of_scale
from .bridge import bridge
from .influence import fi_util

_SCALE_ROWS = 2000  # enough to see a column's scale


def routed_params(trimmer, estimator, sample_weight, params) -> Bunch:
    """What goes to the wrapped estimator's fit and to the splitter's split.

    With metadata routing on, whatever they requested. With it off, other parameters go
    to the estimator; sample weights go to it as well, or, if it is a Pipeline, to each
    step that takes them.
    """
    if _routing_enabled():
        if sample_weight is not None:
            params = {**params, "sample_weight": sample_weight}
        routed = process_routing(trimmer, "fit", **params)
        splitter = routed.get("splitter", Bunch(split={}))
        return Bunch(estimator=dict(routed.estimator.fit), splitter=dict(splitter.split))
    params = dict(params)
    split = {"groups": params.pop("groups")} if "groups" in params else {}
    if sample_weight is not None:
        params.update(_weight_params(estimator, sample_weight))
    return Bunch(estimator=params, splitter=split)


def _weight_params(estimator, sample_weight) -> dict:
    if isinstance(estimator, Pipeline):
        taking = [
            name
            for name, step in estimator.steps
            if hasattr(step, "fit") and has_fit_parameter(step, "sample_weight")
        ]
        if estimator.steps[-1][0] in taking:
            return {f"{name}__sample_weight": sample_weight for name in taking}
    elif has_fit_parameter(estimator, "sample_weight"):
        return {"sample_weight": sample_weight}
    raise ValueError(
        f"sample_weight was passed, but {type(estimator).__name__} does not take it in "
        "fit. Leave the weights out, wrap a classifier that takes them, or request them "
        "by metadata routing."
    )


def model_weight(fit_params: dict):
    """The sample weights among an estimator's fit parameters, for its last step."""
    weights = [v for k, v in fit_params.items() if k.split("__")[-1] == "sample_weight"]
    return weights[-1] if weights else None


def score_splits(
    estimator,
    X,
    y,
    fit_params: dict,
    splits: list[Split] | None,
    given: tuple,
    validation_loss,
    metric: str,
    n_jobs: int | None,
) -> tuple[np.ndarray, list]:
    """Influence of each row (NaN where no model trained on it) and the models.

    ``splits`` None scores all rows against the ``given`` validation set.
    """
    n_rows = len(y)
    if splits is None:
        rows = np.arange(n_rows)
        influence, model = _score_split(
            estimator, X, y, fit_params, rows, given, validation_loss, metric
        )
        return influence, [model]
    results = Parallel(n_jobs=n_jobs)(
        delayed(_score_split)(
            estimator,
            X,
            y,
            fit_params,
            fit_rows,
            (_safe_indexing(X, val_rows), y[val_rows], _weight_of(fit_params, val_rows)),
            validation_loss,
            metric,
            held_out=True,
        )
        for fit_rows, val_rows in splits
    )
    total, count = np.zeros(n_rows), np.zeros(n_rows)
    for (fit_rows, _), (influence, _) in zip(splits, results, strict=True):
        total[fit_rows] += influence
        count[fit_rows] += 1
    mean = np.divide(total, count, out=np.full(n_rows, np.nan), where=count > 0)
    return mean, [model for _, model in results]


def _weight_of(fit_params: dict, rows: np.ndarray):
    weight = model_weight(fit_params)
    return None if weight is None else np.asarray(weight)[rows]


def _score_split(
    estimator, X, y, fit_params, rows, given, validation_loss, metric, held_out=False
):
    X_val, y_val, sample_weight_val = given
    if len(rows) == len(y):
        X_fit, y_fit, params = X, y, fit_params
    else:
        X_fit, y_fit = _safe_indexing(X, rows), y[rows]
        params = _check_method_params(X, fit_params, indices=rows)
    model = clone(estimator).fit(X_fit, y_fit, **params)
    if not held_out:
        _check_scale(model, X_fit, X_val)
    influence = fi_util(
        model,
        X_fit,
        y_fit,
        X_val,
        y_val,
        sample_weight=model_weight(params),
        sample_weight_val=sample_weight_val,
        validation_loss=validation_loss,
        metric=metric,
    )
    return influence, model


def _check_scale(model, X, X_val) -> None:
    """Compare a sample of the rows: the scores send all of them through the steps."""
    fitted = bridge(model)
    seen = []
    for part in (X, X_val):
        n_rows = _num_samples(part)
        sample = np.unique(np.linspace(0, n_rows - 1, min(n_rows, _SCALE_ROWS)).astype(int))
        part = fitted.transform(_safe_indexing(part, sample))
        seen.append(check_array(part, accept_sparse=True, ensure_all_finite=False))
    if seen[0].shape[1] == seen[1].shape[1]:
        warn_if_out_of_scale(*seen)
