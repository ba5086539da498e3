"""Labelled rows as the measure takes them: checked, encoded, weighted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _get_feature_names,
    check_array,
    check_consistent_length,
    column_or_1d,
)

from .._utils._checks import check_in_memory, check_weight, encode_labels
from .._utils._trained_rows import pipelines_of
from ..bridge import Bridge
from ..bridge._base import has_steps, transform_before_last
from ..linear._softmax import LARGEST


@dataclass(frozen=True)
class Rows:
    """Labelled rows in the space the model sees."""

    X: Any  # ndarray or CSR (n, d); for a network as its module takes them, (n, ...)
    codes: np.ndarray  # class codes (n,)
    weight: np.ndarray  # sample weights (n,)


def linear_rows(fitted: Bridge, X: Any, y: Any, sample_weight: Any, suffix: str = "") -> Rows:
    """Rows as a softmax-linear model sees them."""
    X = linear_features(fitted, X, f"X{suffix}")
    return labelled(X, y, sample_weight, fitted.classes, suffix)


def linear_features(fitted: Bridge, X: Any, name: str) -> Any:
    """Features as a softmax-linear model sees them (n, d), checked; CSR stays CSR."""
    names = None if fitted.steps else _get_feature_names(X)
    X = check_array(
        through_steps(fitted.transform, X, name),
        accept_sparse="csr",
        dtype=(np.float64, np.float32),
        input_name=name,
    )
    check_magnitude(X, name, names)
    return X


def check_magnitude(X: Any, name: str, names: np.ndarray | None = None) -> None:
    """Refuse values whose squares overflow; rows are dense or CSR (n, d)."""
    values = X.data if sparse.issparse(X) else X
    if not values.size or max(float(values.max()), -float(values.min())) <= LARGEST:
        return
    column = int(np.asarray(abs(X).max(axis=0).argmax()).ravel()[0])
    where = f"column {column}" if names is None else f"column {names[column]!r}"
    largest = float(abs(X[:, [column]]).max())
    raise ValueError(
        f"{name} holds values up to {largest:.2g} in {where}, whose "
        f"squares overflow. Values must lie within ±{LARGEST:.0e}: divide the column by a "
        "constant, or scale it with MaxAbsScaler."
    )


def through_steps(transform: Callable[[Any], Any], X: Any, name: str) -> Any:
    """Rows as the model sees them; what a step refuses is said of the argument."""
    try:
        return transform(X)
    except ValueError as error:
        if name == "X":
            raise
        raise ValueError(f"{name} was refused. {error}") from error


def labelled(X: Any, y: Any, sample_weight: Any, classes: np.ndarray, suffix: str) -> Rows:
    """Rows with their labels encoded and their weights checked."""
    check_in_memory(y, f"y{suffix}")
    y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    weight = check_weight(sample_weight, X, f"sample_weight{suffix}")
    return Rows(X, encode_labels(y, classes, f"y{suffix}"), weight)


def check_same_columns(train: Rows, validation: Rows) -> None:
    """Refuse validation rows of another shape than the training rows."""
    own, other = train.X.shape[1:], validation.X.shape[1:]
    if own == other:
        return
    if len(own) == len(other) == 1:
        check_equal_widths(own[0], other[0])
    raise ValueError(f"Rows of X_val have shape {other}, but those of X {own}.")


def check_equal_widths(width: int, width_val: int) -> None:
    """Refuse validation rows of more or fewer columns than the training rows."""
    if width_val != width:
        raise ValueError(
            f"X_val has {width_val} features, but X has {width}: both must have the same "
            "columns in the same order."
        )


def check_columns(estimator: Any, X: Any, name: str) -> None:
    """Refuse rows of other columns than the estimator was fitted on.

    Unless the steps of its fitted Pipeline, which may find their columns by name, take them.
    """
    rows = np.asarray(X[:1]) if isinstance(X, list | tuple) else X
    numbers = getattr(getattr(rows, "dtype", None), "kind", "O") in "biufc"
    if numbers and len(rows.shape) == 1:  # a list of texts is one, too
        raise ValueError(
            f"Expected 2D array, got 1D array instead: {name}. Reshape your data either using "
            "array.reshape(-1, 1) if your data has a single feature or array.reshape(1, -1) if "
            "it contains a single sample."
        )
    try:
        _check_feature_names(estimator, X, reset=False)
        _check_n_features(estimator, X, reset=False)
    except ValueError as error:
        if _steps_take(getattr(estimator, "estimator_", None), X):
            return
        raise ValueError(
            f"{name} must have the columns that fit saw, in the same order. {error}"
        ) from error


def _steps_take(model: Any, X: Any) -> bool:
    """Whether a fitted Pipeline has steps, and these transform a row of X."""
    model = getattr(model, "estimator", model) if isinstance(model, FrozenEstimator) else model
    model = getattr(model, "best_estimator_", model)
    if not isinstance(model, Pipeline) or not has_steps(model):
        return False
    try:
        transform_before_last(model, _safe_indexing(X, [0]))
    except ValueError:
        return False
    return True


def column_names(estimator: Any) -> np.ndarray | None:
    """Names of the columns the classifier was fitted on, where it sees them itself.

    Steps before it know their own columns, and may put them in another order.
    """
    return None if pipelines_of(estimator) else getattr(estimator, "feature_names_in_", None)


def check_names(names: np.ndarray | None, X: Any, name: str) -> None:
    """Refuse a DataFrame whose columns are others, or in another order."""
    check_equal_names(names, _get_feature_names(X), name)


def check_equal_names(names: Any, own: Any, name: str) -> None:
    """Refuse rows whose column names are not those of the fit; None where there are none."""
    if names is not None and own is not None and not np.array_equal(names, own):
        raise ValueError(
            f"{name} must have the columns that the classifier was fitted on, in the same "
            f"order: {list(names[:10])}; got {list(own[:10])}."
        )
