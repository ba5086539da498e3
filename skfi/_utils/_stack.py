"""Rows under rows, whatever holds them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from scipy import sparse


def stack_rows(X: Any, below: Any) -> Any:
    """The rows of both, in the kind of the first.

    Parameters
    ----------
    X, below : array, sparse matrix, DataFrame or list
        Rows with the same columns. Columns of a DataFrame are found by name, and those of an
        array under a DataFrame by their place.

    Returns
    -------
    rows : of the kind of X, (n + n_below, …)
        A copy.

    Raises
    ------
    TypeError
        Rows of this kind cannot be put together.
    ValueError
        Rows without a column that the others have.
    """
    if hasattr(X, "iloc"):
        return _stack_pandas(X, below)
    if hasattr(X, "columns"):
        polars: Any = sys.modules["polars"]  # imported by whoever made X
        below = _named(below, list(X.columns), polars.DataFrame)
        return polars.concat([X, below], how="vertical_relaxed")
    if sparse.issparse(X) or sparse.issparse(below):
        parts = [sparse.csr_array(part) for part in (X, below)]
        if sparse.isspmatrix(X):
            return sparse.csr_matrix(sparse.vstack(parts, format="csr"))
        return sparse.vstack(parts, format="csr")
    if isinstance(X, list):
        return [*X, *below]
    if isinstance(X, tuple):
        return (*X, *below)
    if hasattr(X, "new_tensor"):
        torch: Any = sys.modules["torch"]
        return torch.cat([X, torch.as_tensor(below, dtype=X.dtype, device=X.device)])
    if hasattr(X, "__array__"):
        return np.concatenate([np.asarray(X), np.asarray(below)])
    raise TypeError(
        f"Rows of type {type(X).__name__} and {type(below).__name__} cannot be put under each "
        "other. Pass both as arrays, sparse matrices or DataFrames."
    )


def _stack_pandas(X: Any, below: Any) -> Any:
    import pandas as pd

    if X.ndim == 1:  # texts
        return pd.concat([X, pd.Series(below)])
    below = _named(below, list(X.columns), pd.DataFrame).copy(deep=False)
    X = X.copy(deep=False)
    for place, kinds in enumerate(zip(X.dtypes, below.dtypes, strict=True)):
        # Of unequal categories pandas would make objects.
        if kinds[0] != kinds[1] and all(isinstance(k, pd.CategoricalDtype) for k in kinds):
            both = kinds[0].categories.union(kinds[1].categories, sort=False)
            kind = pd.CategoricalDtype(both, ordered=kinds[0].ordered)
            for part in (X, below):
                part.isetitem(place, part.iloc[:, place].astype(kind))
    return pd.concat([X, below])


def _named(rows: Any, names: list[Any], kind: Any) -> Any:
    """Rows as a DataFrame with these columns, in this order."""
    given = list(getattr(rows, "columns", names))
    missing = [name for name in names if name not in given]
    if missing:
        raise ValueError(
            f"X_val has no column {missing[:5]}, which X has. Its rows are put under those of "
            "X and need their columns."
        )
    if isinstance(rows, kind):
        return rows if given == names else rows[names]
    values = rows.toarray() if sparse.issparse(rows) else np.asarray(rows)
    frame = kind(values, columns=given) if hasattr(kind, "isetitem") else kind(values, given)
    return frame[names]
