"""Copies of rows for estimators that may write into the rows they are passed.

``copy=False`` of a scaler, or a function that edits its frame, prepares rows in place. Rows
that are fitted and then scored or predicted would be prepared twice, and the caller's own
rows would change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer


def parts(value: Any) -> Iterator[Any]:
    """An estimator and all estimators in its parameters."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from parts(item)
    elif hasattr(value, "get_params") and not isinstance(value, type):
        yield value
        yield from parts(value.get_params(deep=False))


def may_write(estimator: Any) -> bool:
    """Whether the estimator, or one inside it, may write into its input."""
    return any(map(_writes, parts(estimator)))


def _writes(estimator: Any) -> bool:
    if isinstance(estimator, FunctionTransformer):
        return estimator.func is not None and not isinstance(estimator.func, np.ufunc)
    if type(estimator).__module__.partition(".")[0] in ("sklearn", "skfi"):
        own = estimator.get_params(deep=False)
        return any(name.startswith("copy") and not value for name, value in own.items())
    return hasattr(type(estimator), "transform")  # somebody else's: nothing is known of it


def own_rows(estimator: Any, X: Any) -> Any:
    """X, or a copy of it where the estimator may write into it."""
    return _copied(X) if may_write(estimator) else X


def _copied(X: Any) -> Any:
    if isinstance(X, np.ndarray):
        return np.array(X, subok=True)  # keeps the order in memory, which copy() does not
    if isinstance(X, Mapping):
        return {key: _copied(value) for key, value in X.items()}
    if not isinstance(X, list | tuple):
        for name in ("copy", "clone"):  # pandas and SciPy; polars and torch
            if hasattr(X, name):
                return getattr(X, name)()
    return deepcopy(X)
