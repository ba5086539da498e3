"""What the last step of a Pipeline was fitted on, as scores of its training rows need it.

``fit_transform`` of a step may give other values than its ``transform``: scikit-learn's
TargetEncoder cross-fits in the former. Where skfi fits the Pipeline, the prepared rows are
kept while it scores; of a Pipeline that was fitted elsewhere such a step is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from ._in_place import own_rows, parts
from ._user_warnings import warn_user
from ._warning_scopes import ignored

# Fitted Pipelines, the rows they were fitted on, and what their last step was fitted on.
_Kept = list[tuple[Any, Any, Any]]
_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)

# Of scikit-learn's own, all others give the same up to rounding.
_UNEQUAL = {
    "DictionaryLearning",
    "LocallyLinearEmbedding",
    "MiniBatchNMF",
    "NMF",
    "TargetEncoder",
}
_SAMPLE = 500  # rows on which a step is fitted to compare the two
_UNLIKE = 0.01  # a difference that matters, in units of the column's largest value


@contextmanager
def keep_trained_rows(*known: tuple[Any, Any, Any]) -> Iterator[None]:
    """Keep what the last step of each Pipeline is fitted on, for `trained_rows`.

    ``fit_transform`` of a step may give other values than its ``transform`` (TargetEncoder).
    ``known`` are triples of an earlier fit: model, rows, and what its last step was fitted on.
    """
    token = _kept.set([*(_kept.get() or []), *known])
    try:
        yield
    finally:
        _kept.reset(token)


def fit_on_own_rows(estimator: Any, X: Any, y: Any, **params: Any) -> Any:
    """``estimator.fit`` that leaves X as it is."""
    rows, kept, last = own_rows(estimator, X), _kept.get(), last_of(estimator)
    resamples = any(hasattr(part, "fit_resample") for part in parts(estimator))
    if kept is None or last is estimator or resamples or not hasattr(last, "fit"):
        return estimator.fit(rows, y, **params)
    fit, prepared = last.fit, []

    @wraps(fit)
    def keep(X_last: Any, *args: Any, **kwargs: Any) -> Any:
        prepared.append(X_last)
        return fit(X_last, *args, **kwargs)

    last.fit = keep
    try:
        model = estimator.fit(rows, y, **params)
    finally:
        del last.fit
    kept.append((model, X, prepared[-1]))
    return model


def trained_rows(estimator: Any, X: Any) -> Any:
    """What the last step of a Pipeline was fitted on where X was passed to its fit, or None."""
    inner = unfrozen(estimator)
    for model, rows, prepared in reversed(_kept.get() or []):
        if model is inner and rows is X:
            return prepared
    return None


def unfrozen(estimator: Any) -> Any:
    """The estimator inside a FrozenEstimator; another one itself."""
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def last_of(estimator: Any) -> Any:
    """The last step of a Pipeline, through nested ones; another estimator itself."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def pipelines_of(estimator: Any) -> list[Pipeline]:
    """The fitted Pipelines with steps before the last, outermost first."""
    found = []
    while True:
        if isinstance(estimator, Pipeline):
            if len(estimator.steps) > 1:
                found.append(estimator)
            estimator = estimator.steps[-1][1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return found


def unequal_steps(estimator: Any) -> list[tuple[str, Any]]:
    """Steps before the last whose ``fit_transform`` may differ from their ``transform``."""
    return [
        (name, step)
        for pipeline in pipelines_of(estimator)
        for name, step in pipeline.steps[:-1]
        if any(map(_may_differ, parts(step)))
    ]


def _may_differ(transformer: Any) -> bool:
    kind = type(transformer)
    if kind.__module__.partition(".")[0] in ("sklearn", "skfi"):
        return kind.__name__ in _UNEQUAL
    own = getattr(kind, "fit_transform", None)
    return own is not None and own is not TransformerMixin.fit_transform


def warn_of_unequal_step(estimator: Any, X: Any, y: Any) -> bool:
    """Warn where training rows cannot be prepared as they were; whether it did."""
    suspects = unequal_steps(estimator)
    if not suspects:
        return False
    sample = np.linspace(0, _num_samples(X) - 1, min(_num_samples(X), _SAMPLE)).astype(int)
    rows, labels = _safe_indexing(X, sample), np.asarray(y)[sample]
    for pipeline in pipelines_of(estimator):
        for name, step in pipeline.steps[:-1]:
            if (name, step) in suspects and _differs(step, rows, labels):
                inner = " or ".join(
                    type(part).__name__ for part in parts(step) if _may_differ(part)
                )
                warn_user(
                    f"The step {name!r} ({inner}) gives training rows other values in "
                    "fit_transform than in transform. The classifier was trained on the "
                    "former, which a fitted Pipeline cannot give again, so the scores of the "
                    "training rows are off. Use FITrimmer, which fits the Pipeline itself and "
                    "scores what its last step was trained on."
                )
                return True
            if step not in ("passthrough", None):
                rows = step.transform(own_rows(step, rows))
    return False


def _differs(step: Any, X: Any, y: Any) -> bool:
    """Whether a new fit of the step gives its training rows other values than transform."""
    fresh = clone(step)
    unset = [key for key, value in fresh.get_params().items() if value is None]
    seeds = [key for key in unset if key.rpartition("__")[2] == "random_state"]
    fresh.set_params(**dict.fromkeys(seeds, 0))
    with ignored():
        try:
            fitted = _numbers(fresh.fit_transform(own_rows(step, X), y))
            after = _numbers(fresh.transform(own_rows(step, X)))
        except Exception:  # too few rows for this step, say: nothing is known
            return False
    if fitted.shape != after.shape:
        return True
    size = np.maximum(np.abs(fitted).max(axis=0), np.abs(after).max(axis=0))
    return bool((np.abs(fitted - after).max(axis=0) > _UNLIKE * size).any())


def _numbers(X: Any) -> np.ndarray:
    X = X.toarray() if sparse.issparse(X) else X
    return np.nan_to_num(np.asarray(X, dtype=np.float64))
