"""Checks of rows, labels and weights that need no classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    _num_samples,
    column_or_1d,
)

from ._in_place import own_rows


def check_sliceable(X: Any, name: str, *, batches: bool = False) -> None:
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


def check_in_memory(value: Any, name: str) -> None:
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


def checked_labels(y: Any, estimator: Any, remedy: str) -> np.ndarray:
    """Labels (n,) as scikit-learn checks them, none of them missing."""
    check_in_memory(y, "y")
    if isinstance(y, list | tuple) and any(isinstance(label, str) for label in y):
        y = np.array(y, dtype=object)  # numpy would make a text of NaN
    y = column_or_1d(y, warn=True)
    check_all_labelled(y, remedy)  # of objects: scikit-learn would not name y
    return _check_y(y, estimator=estimator)


def check_no_missing_labels(y: np.ndarray, remedy: str = "Drop these rows.") -> None:
    """Refuse rows without a label."""
    missing = missing_labels(y)
    if missing.any():
        raise ValueError(
            f"y holds None or NaN instead of a label for {missing.sum()} of {len(y)} rows. "
            + remedy
        )


def is_missing(label: Any) -> bool:
    """Whether a label stands for none."""
    return label is None or is_scalar_nan(label) or is_pandas_na(label)


def check_all_labelled(y: np.ndarray, remedy: str) -> None:
    """Refuse rows without a label among objects, and labels that do not order.

    scikit-learn sees NaN among floats.
    """
    if y.dtype == object:
        check_no_missing_labels(y, remedy)
        kinds = {isinstance(label, str): type(label).__name__ for label in y.tolist()}
        if len(kinds) > 1:
            raise ValueError(
                f"y mixes labels of types {' and '.join(sorted(kinds.values()))}. Make all of "
                "one type, e.g. [str(label) for label in y]."
            )


def sliceable(X: Any) -> Any:
    """Rows that can be taken apart: sparse formats without slices become CSR."""
    if sparse.issparse(X) and X.format in ("coo", "dia", "bsr"):
        return X.tocsr()
    return X


def check_weight(sample_weight: Any, X: Any, name: str) -> np.ndarray:
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
        if any(map(is_missing, unknown)):
            remedy = "None and NaN are no labels: pass the rows with a label alone."
        elif isinstance(unknown[0], str) != isinstance(known[0], str):
            kinds = f"{type(unknown[0]).__name__} and {type(known[0]).__name__}"
            remedy = f"The types differ ({kinds}): convert {name} to that of the classes."
        raise ValueError(
            f"{name} has labels the classifier never saw: {unknown[:5]}. Its classes "
            f"are {known[:10]}. {remedy}"
        )
    return codes


def predicted_labels(model: Any, X: Any) -> np.ndarray:
    """Labels that a fitted classifier predicts (n,); X stays as it is.

    Some classifiers return a column (CatBoost of three classes or more).
    """
    labels = np.asarray(model.predict(own_rows(model, X)))
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def check_choice(name: str, value: Any, allowed: tuple[str | None, ...]) -> None:
    """Refuse a value that is not among the names."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not known; use one of {list(allowed)}.")


def check_rows(X: Any, name: str, otherwise: str = "") -> None:
    """Refuse rows that a network does not take: sparse ones, and inputs in several parts.

    Parameters
    ----------
    X : object
        What was passed for rows, or what a Pipeline's steps made of them.
    name : str
        Of the argument, as the message is to begin with it.
    otherwise : str, default=""
        What else helps, as a sentence with a space before it.

    Raises
    ------
    TypeError
        X is sparse, a mapping such as a dict or skorch's SliceDict, or a torch Dataset.
    """
    if sparse.issparse(X):  # those by keys are mappings, too
        raise TypeError(
            f"{name} is sparse, and networks take dense rows. Pass {name}.toarray(). In a "
            "Pipeline put a step before the network that returns dense rows: "
            "TruncatedSVD(100), or FunctionTransformer(to_dense) with a function "
            f"def to_dense(X): return X.toarray().{otherwise}"
        )
    if isinstance(X, Mapping):
        raise TypeError(
            f"{name} is a {type(X).__name__}, and must be one array with a row for each "
            f"sample. Put the parts side by side, np.column_stack(list({name}.values())), and "
            "take them apart in the module: X[:, :5], X[:, 5:]."
        )
    kinds = {base.__module__ for base in type(X).__mro__}
    if "torch.utils.data.dataset" in kinds:
        raise TypeError(
            f"{name} is a {type(X).__name__}, and must be one array with a row for each "
            "sample. Pass the array or tensor of its rows, and its labels as y."
        )


def floats_looked_up(X: np.ndarray) -> str:
    """Why a module cannot look up these rows of floats, and what to do."""
    integers = ""
    if (np.trunc(X) == X).all():
        integers = "Where it looks up all columns, pass integers: X.astype(int). Otherwise c"
    return (
        f"The module looks up values of X in an nn.Embedding, and X holds {X.dtype}. "
        f"{integers or 'C'}ast the columns that it looks up in its forward, X[:, :2].long(), "
        "and use columns of numbers as they are."
    )


def check_exact(X: np.ndarray, cast: np.ndarray) -> None:
    """Refuse rows, of a module that may look them up, whose whole numbers a cast rounds."""
    if X.dtype.kind != "f" or cast.dtype.itemsize >= X.dtype.itemsize:
        return
    if ((np.trunc(X) == X) & (cast != X)).any():
        raise ValueError(
            f"X holds whole numbers that {cast.dtype}, the module's dtype, rounds, so that its "
            "nn.Embedding might look up others. Scale columns of numbers, or keep the module "
            "in a dtype with more digits."
        )
