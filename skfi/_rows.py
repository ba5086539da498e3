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
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    _check_y,
    _get_feature_names,
    _num_samples,
    check_array,
    check_consistent_length,
    column_or_1d,
)

from ._in_place import own_rows
from ._trained_rows import pipelines_of
from .bridge import Bridge
from .bridge._base import has_steps, transform_before_last
from .bridge._refusals import check_rows
from .kernels._softmax import LARGEST


@dataclass(frozen=True)
class Rows:
    """Labelled rows in the space the model sees."""

    X: Any  # ndarray or CSR (n, d); for a network as its module takes them, (n, ...)
    codes: np.ndarray  # class codes (n,)
    weight: np.ndarray  # sample weights (n,)


def linear_rows(fitted: Bridge, X, y, sample_weight, suffix: str = "") -> Rows:
    """Rows as a softmax-linear model sees them."""
    X = linear_features(fitted, X, f"X{suffix}")
    return labelled(X, y, sample_weight, fitted.classes, suffix)


def linear_features(fitted: Bridge, X, name: str):
    """Features as a softmax-linear model sees them (n, d), checked; CSR stays CSR."""
    names = None if fitted.steps else _get_feature_names(X)
    X = check_array(
        through_steps(fitted.transform, X, name),
        accept_sparse="csr",
        dtype=(np.float64, np.float32),
        input_name=name,
    )
    values = X.data if sparse.issparse(X) else X
    if values.size and max(float(values.max()), -float(values.min())) > LARGEST:
        column = int(np.asarray(abs(X).max(axis=0).argmax()).ravel()[0])
        where = f"column {column}" if names is None else f"column {names[column]!r}"
        largest = float(abs(X[:, [column]]).max())
        raise ValueError(
            f"{name} holds values up to {largest:.2g} in {where}, whose "
            f"squares overflow. Values must lie within ±{LARGEST:.0e}: divide the column by a "
            "constant, or scale it with MaxAbsScaler."
        )
    return X


def through_steps(transform: Callable[[Any], Any], X, name: str):
    """Rows as the model sees them; what a step refuses is said of the argument."""
    try:
        return transform(X)
    except ValueError as error:
        if name == "X":
            raise
        raise ValueError(f"{name} was refused. {error}") from error


def labelled(X, y, sample_weight, classes: np.ndarray, suffix: str) -> Rows:
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
        raise ValueError(
            f"X_val has {other[0]} features, but X has {own[0]}: both must have "
            "the same columns in the same order."
        )
    raise ValueError(f"Rows of X_val have shape {other}, but those of X {own}.")


def check_columns(estimator, X, name: str) -> None:
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


def _steps_take(model, X) -> bool:
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


def column_names(estimator) -> np.ndarray | None:
    """Names of the columns the classifier was fitted on, where it sees them itself.

    Steps before it know their own columns, and may put them in another order.
    """
    return None if pipelines_of(estimator) else getattr(estimator, "feature_names_in_", None)


def check_names(names: np.ndarray | None, X, name: str) -> None:
    """Refuse a DataFrame whose columns are others, or in another order."""
    given = None if names is None else _get_feature_names(X)
    if names is not None and given is not None and not np.array_equal(names, given):
        raise ValueError(
            f"{name} must have the columns that the classifier was fitted on, in the same "
            f"order: {list(names[:10])}; got {list(given[:10])}."
        )


def check_sliceable(X, name: str, *, batches: bool = False) -> None:
    """Refuse what can only be gone through once: iterators, and torch's DataLoader.

    With ``batches`` the message tells that an iterator of batches is taken.
    """
    check_in_memory(X, name)
    if hasattr(X, "__iter__") and not (
        hasattr(X, "__getitem__") or hasattr(X, "__array__") or sparse.issparse(X)
    ):
        taken = "an array, sparse matrix or DataFrame of rows"
        if batches:
            taken += (
                ", or an iterator of these: iter(list_of_batches), or of a DataLoader "
                "(batch[0].numpy() for batch in loader)"
            )
        raise TypeError(f"{name} is a {type(X).__name__}, and must be {taken}.")


def check_in_memory(value, name: str) -> None:
    """Refuse dicts, datasets and dask collections, known by name: imports would be slow."""
    if not sparse.issparse(value):
        check_rows(value, name)
    packages = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if packages & {"dask", "dask_expr", "dask_cudf"}:
        raise TypeError(
            f"{name} is a dask {type(value).__name__}, and is needed in memory here: pass "
            f"{name}.compute(). skfi.integrations.dask fits, scores, selects and trims dask "
            "collections chunk by chunk."
        )


def missing_labels(y: np.ndarray) -> np.ndarray:
    """Which labels are None or NaN (n,)."""
    if y.dtype.kind == "f":
        return np.isnan(y)
    if y.dtype != object:
        return np.zeros(len(y), dtype=bool)
    return np.fromiter(map(is_missing, y), dtype=bool, count=len(y))


def checked_labels(y, estimator, remedy: str) -> np.ndarray:
    """Labels (n,) as scikit-learn checks them, none of them missing."""
    check_in_memory(y, "y")
    if isinstance(y, list | tuple) and any(isinstance(label, str) for label in y):
        y = np.array(y, dtype=object)  # numpy would make a text of NaN
    y = column_or_1d(y, warn=True)
    check_all_labelled(y, remedy)  # of objects: scikit-learn would not name y
    return _check_y(y, estimator=estimator)


def is_missing(label) -> bool:
    """Whether a label stands for none."""
    return label is None or is_scalar_nan(label) or is_pandas_na(label)


def check_all_labelled(y: np.ndarray, remedy: str) -> None:
    """Refuse rows without a label among objects, and labels that do not order.

    scikit-learn sees NaN among floats.
    """
    unknown = missing_labels(y) if y.dtype == object else np.zeros(1, dtype=bool)
    if unknown.any():
        raise ValueError(
            f"y holds None or NaN in place of a label for {unknown.sum()} of {len(y)} rows. "
            + remedy
        )
    if y.dtype == object:
        kinds = {isinstance(label, str): type(label).__name__ for label in y.tolist()}
        if len(kinds) > 1:
            raise ValueError(
                f"y mixes labels of types {' and '.join(sorted(kinds.values()))}. Make all of "
                "one type, e.g. [str(label) for label in y]."
            )


def sliceable(X):
    """Rows that can be taken apart: sparse formats without slices become CSR."""
    if sparse.issparse(X) and X.format in ("coo", "dia", "bsr"):
        return X.tocsr()
    return X


def check_weight(sample_weight, X, name: str) -> np.ndarray:
    """Sample weights as float64 (n,), ones for None; no negatives, not all zero."""
    if sample_weight is None:
        return np.broadcast_to(1.0, _num_samples(X))  # one number, however many rows
    check_in_memory(sample_weight, name)
    if not np.any(np.asarray(sample_weight)):
        raise ValueError(f"{name} is zero for every row; leave out weights or rows.")
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)


def encode_labels(y: np.ndarray, classes: np.ndarray, name: str) -> np.ndarray:
    """Class codes of labels; unknown labels are an error that names them."""
    # A network's classes stand in the order of its outputs, which need not be sorted.
    by_search = classes.dtype.kind == y.dtype.kind and (classes[:-1] <= classes[1:]).all()
    position = np.searchsorted(classes, y) if by_search else None
    if position is None:
        lookup = {label: code for code, label in enumerate(classes.tolist())}
        codes = np.array([lookup.get(label, -1) for label in y.tolist()], dtype=np.intp)
    else:
        codes = np.minimum(position, len(classes) - 1, out=position)
        codes[classes[codes] != y] = -1
    if (codes < 0).any():
        unknown = sorted(set(y[codes < 0].tolist()), key=repr)
        known = classes.tolist()
        remedy = "Drop these rows or train on rows of these classes."
        if isinstance(unknown[0], str) != isinstance(known[0], str):
            kinds = f"{type(unknown[0]).__name__} and {type(known[0]).__name__}"
            remedy = f"The types differ ({kinds}): convert {name} to that of the classes."
        raise ValueError(
            f"{name} has labels the classifier never saw: {unknown[:5]}. Its classes "
            f"are {known[:10]}. {remedy}"
        )
    return codes


def predicted_labels(model, X) -> np.ndarray:
    """Labels that a fitted classifier predicts (n,); X stays as it is.

    Some classifiers return a column (CatBoost of three classes or more).
    """
    labels = np.asarray(model.predict(own_rows(model, X)))
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def check_choice(name: str, value, allowed: tuple[str | None, ...]) -> None:
    """Refuse a value that is not among the names."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not known; use one of {list(allowed)}.")
