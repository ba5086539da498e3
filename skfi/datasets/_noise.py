"""Errors planted in labels and features, and where they are.

Of a share of rows exactly that many are drawn, so that seeds change which rows are wrong and
not how many.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions, validate_params
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from .._utils._checks import sliceable

_SHARE = [Interval(Real, 0, 1, closed="both")]


@validate_params(
    {
        "y": ["array-like"],
        "rate": _SHARE,
        "kind": [StrOptions({"uniform", "pairwise", "class_conditional", "instance"})],
        "transition": ["array-like", None],
        "proba": ["array-like", None],
        "classes": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def flip_labels(
    y,
    rate=0.2,
    *,
    kind="uniform",
    transition=None,
    proba=None,
    classes=None,
    random_state=None,
):
    """Give some rows a wrong label.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, of any type.
    rate : float, default=0.2
        Share of rows that get another label: exactly ``round(rate * n)`` of them. Not used
        by ``kind="class_conditional"``, whose rates are in `transition`.
    kind : {"uniform", "pairwise", "class_conditional", "instance"}, default="uniform"
        Which rows get which label:

        - "uniform": any row, any other class with the same probability;
        - "pairwise": any row, the class that follows its own, after the last the first;
        - "class_conditional": each row draws its label from its class's row of `transition`;
        - "instance": rows are drawn in proportion to 1 minus the margin of the two largest
          probabilities in `proba`, and get the most probable class other than their own.
    transition : array-like of shape (K, K), default=None
        For "class_conditional": ``transition[i, j]`` is the probability that a row of class
        i gets the label of class j. Rows sum to 1.
    proba : array-like of shape (n, K), default=None
        For "instance": probabilities by some classifier, as of its `predict_proba`. Rows
        with a margin of 1 are drawn only when there are no others left.
    classes : array-like of shape (K,), default=None
        The order of classes in `transition` and `proba`, and the labels a row can get. None
        is the sorted labels in `y`.
    random_state : int, RandomState instance or None, default=None
        Source of the draws.

    Returns
    -------
    y_noisy : ndarray or Series of shape (n,)
        Labels with errors; a Series where `y` is one, of the same type and index.
    flipped : ndarray of shape (n,)
        True where the label is another than in `y`.

    Raises
    ------
    ValueError
        Fewer than two classes, or a matrix that does not fit the kind or the classes.

    References
    ----------
    Pairwise noise: Han et al. 2018, "Co-teaching: Robust training of deep neural networks
    with extremely noisy labels", NeurIPS. Class-conditional noise: Natarajan et al. 2013,
    "Learning with noisy labels", NeurIPS.

    Examples
    --------
    >>> from skfi.datasets import flip_labels
    >>> y_noisy, flipped = flip_labels(["a", "b", "c", "a", "b"], 0.4, random_state=0)
    >>> int(flipped.sum())
    2

    Near the boundary, where people err as well:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.datasets import make_two_gaussians
    >>> X, y = make_two_gaussians(random_state=0)
    >>> proba = LogisticRegression().fit(X, y).predict_proba(X)
    >>> _, flipped = flip_labels(y, 0.1, kind="instance", proba=proba, random_state=0)
    >>> bool(proba[flipped].max(axis=1).mean() < proba[~flipped].max(axis=1).mean())
    True
    """
    for name, value, of in (
        ("transition", transition, "class_conditional"),
        ("proba", proba, "instance"),
    ):
        if (value is None) == (kind == of):
            use = "is needed" if value is None else "is not used"
            raise ValueError(f"{name} {use} with kind={kind!r}; it belongs to kind={of!r}.")
    codes, labels = _encode(y, classes)
    n, n_classes = len(codes), len(labels)
    rng = check_random_state(random_state)
    if kind == "class_conditional":
        matrix = _distributions(transition, "transition", (n_classes, n_classes))
        steps = np.cumsum(matrix, axis=1)
        steps = (steps / steps[:, -1:])[:, :-1]  # so that rounding reaches no class of 0
        new = (rng.random_sample(n)[:, None] >= steps[codes]).sum(axis=1)
    else:
        new, size = codes.copy(), round(rate * n)
        if kind == "instance":
            p = _distributions(proba, "proba", (n, n_classes))
            largest = np.partition(p, -2, axis=1)[:, -2:]
            closeness = np.maximum(1.0 - (largest[:, 1] - largest[:, 0]), 0.0)
            with np.errstate(divide="ignore"):
                # By the Gumbel trick, in proportion to closeness without repetition.
                noisy = np.log(closeness) + rng.gumbel(size=len(closeness))
            rows = np.lexsort((rng.permutation(len(noisy)), -noisy))[:size]
            others = p[rows]
            others[np.arange(size), codes[rows]] = -1.0
            new[rows] = others.argmax(axis=1)
        else:
            rows = rng.permutation(n)[:size]
            step = 1 if kind == "pairwise" else rng.randint(1, n_classes, size)
            new[rows] = (codes[rows] + step) % n_classes
    flipped = new != codes
    if not hasattr(y, "iloc") or y.ndim != 1:
        return labels[new], flipped
    noisy = y.copy()
    noisy.iloc[np.flatnonzero(flipped)] = labels[new[flipped]]
    return noisy, flipped


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "share": _SHARE,
        "scale": [Interval(Real, 0, None, closed="left"), "array-like"],
        "columns": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def add_feature_noise(X, share=0.1, scale=0.1**0.5, *, columns=None, random_state=None):
    """Add Gaussian noise to a share of the rows.

    Parameters
    ----------
    X : {array-like, sparse matrix, DataFrame} of shape (n, n_features) or (n, ...)
        Rows of numbers. Of a DataFrame, columns that are not numbers stay as they are.
    share : float, default=0.1
        Share of rows that get noise: exactly ``round(share * n)`` of them. The paper has
        500 of 5,000.
    scale : float or array-like of shape (n_features,), default=sqrt(0.1)
        Standard deviation of the noise, in units of the features, one for all or one for
        each of the columns that get noise, in their order. The paper has a variance of 0.1.
    columns : array-like of int or str of shape (n_columns,), default=None
        Columns that get noise, by position or, in a DataFrame, by name. None is all.
    random_state : int, RandomState instance or None, default=None
        Source of the draws.

    Returns
    -------
    X_noisy : ndarray, sparse matrix or DataFrame of the shape of X
        Rows with noise. Floats keep their type, whole numbers become float64. In a sparse
        matrix only stored values get noise, so that zeros stay zeros.
    noisy : ndarray of shape (n,)
        True where a row got noise.

    Raises
    ------
    ValueError
        Columns that are not there or not numbers, or a scale of another length.

    References
    ----------
    :cite:t:`yu2025`, Appendix D.1, noisy Adult, Bank and Jigsaw Toxicity.

    Examples
    --------
    >>> import numpy as np
    >>> from skfi.datasets import add_feature_noise
    >>> X_noisy, noisy = add_feature_noise(np.zeros((50, 3)), random_state=0)
    >>> int(noisy.sum()), bool((X_noisy[~noisy] == 0).all())
    (5, True)
    """
    X = as_rows(X)
    rng = check_random_state(random_state)
    noisy = _draw_rows(X.shape[0], share, rng)
    return with_noise(X, noisy, scale, columns, rng), noisy


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "columns": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
            "array-like",
        ],
        "share": _SHARE,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def flip_columns(X, columns=6, share=1.0, *, random_state=None):
    """Flip binary attributes: -1 and 1 change places, or 0 and 1.

    Parameters
    ----------
    X : {array-like, sparse matrix, DataFrame} of shape (n, n_features)
        Rows.
    columns : int, float or array-like of int or str of shape (n_columns,), default=6
        How many columns to draw, which share of them, or which ones, by position or, in a
        DataFrame, by name. To be drawn, all columns must be binary; of columns that are
        given, only they. The paper draws six.
    share : float, default=1.0
        Share of rows in which they are flipped: exactly ``round(share * n)``, the same rows
        in each column. The paper flips whole columns.
    random_state : int, RandomState instance or None, default=None
        Source of the draws.

    Returns
    -------
    X_flipped : ndarray, sparse matrix or DataFrame of shape (n, n_features)
        Rows with flipped attributes, of the same types.
    rows : ndarray of shape (n,)
        True where a row was flipped.
    columns : ndarray of shape (n_columns,)
        Positions of the flipped columns, sorted.

    Raises
    ------
    ValueError
        More columns than there are, or values other than -1 and 1 or 0 and 1. The coding is
        one for all columns; ones alone count as 0 and 1.

    References
    ----------
    :cite:t:`yu2025`, Appendix D.1, noisy CelebA.

    Examples
    --------
    >>> from skfi.datasets import flip_columns
    >>> X_flipped, _, columns = flip_columns([[-1, 1, 1], [1, 1, -1]], [0, 2])
    >>> X_flipped
    array([[ 1,  1, -1],
           [-1,  1,  1]])
    """
    X = as_rows(X)
    if X.ndim != 2:
        raise ValueError(f"X has shape {X.shape}; flip_columns needs rows of attributes.")
    n, n_features = X.shape
    rng = check_random_state(random_state)
    if isinstance(columns, Real):
        share_given = not isinstance(columns, Integral)
        size = max(1, round(float(columns) * (n_features if share_given else 1)))
        if size > n_features:
            raise ValueError(f"columns={columns}, but X has {n_features} columns.")
        checked = np.arange(n_features)
        chosen = np.sort(rng.permutation(n_features)[:size])
    else:
        checked = chosen = np.sort(_positions(X, columns))
    low = _lower_value(X, checked)
    rows = _draw_rows(n, share, rng)
    if hasattr(X, "iloc"):
        flipped = X.copy()
        for j in chosen:
            column = X.iloc[:, j]
            values = _numbers(column, j)
            values[rows] = low + 1.0 - values[rows]
            series = type(column)(values, index=column.index, name=column.name)
            flipped.isetitem(j, series.astype(column.dtype))
    elif sparse.issparse(X):
        block = X.tocsr()[:, chosen].toarray().astype(np.float64)
        change = np.where(rows[:, None], low + 1.0 - 2.0 * block, 0.0)
        at, which = np.nonzero(change)
        change = type(X.tocsr())((change[at, which], (at, chosen[which])), shape=X.shape)
        flipped = (X.tocsr().astype(np.float64) + change).astype(X.dtype)
        flipped.eliminate_zeros()
        flipped = flipped.asformat(X.format)
    else:
        flipped = X.copy()
        cells = np.ix_(rows, chosen)
        flipped[cells] = (low + 1.0 - X[cells].astype(np.float64)).astype(X.dtype)
    return flipped, rows, chosen


def with_noise(
    X, rows: np.ndarray, scale, columns, rng: np.random.RandomState, name: str = "scale"
) -> Any:
    """A copy of X (DataFrame, sparse or ndarray) with noise on the rows of a mask."""
    if hasattr(X, "iloc"):
        numeric = [dtype.kind in "iuf" for dtype in X.dtypes]
        noisy = np.flatnonzero(numeric) if columns is None else _positions(X, columns)
        scales = _scales(scale, len(noisy), name)
        X_noisy = X.copy()
        for j, width in zip(noisy, scales, strict=True):
            column = X.iloc[:, j]
            if not numeric[j]:
                raise ValueError(f"columns holds {column.name!r}, which is not of numbers.")
            values = column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
            values[rows] += width * rng.standard_normal(rows.sum())
            dtype = column.dtype if column.dtype.kind == "f" else np.float64
            series = type(column)(values, index=column.index, name=column.name)
            X_noisy.isetitem(j, series.astype(dtype))
        return X_noisy
    dtype = X.dtype if X.dtype.kind == "f" else np.dtype(np.float64)
    shape = X.shape[1:]
    chosen = None if columns is None else _positions(X, columns)
    size = shape[0] if chosen is None else len(chosen)
    if sparse.issparse(X):
        X_noisy = X.tocsr().astype(dtype, copy=True)
        X_noisy.sum_duplicates()  # else a value stored in parts gets noise for each
        widths = np.zeros(shape[0])
        widths[slice(None) if chosen is None else chosen] = _scales(scale, size, name)
        hit = np.flatnonzero(np.repeat(rows, np.diff(X_noisy.indptr)))
        noise = widths[X_noisy.indices[hit]] * rng.standard_normal(len(hit))
        X_noisy.data[hit] += noise.astype(dtype)
        return X_noisy.asformat(X.format)
    X_noisy = X.astype(dtype)  # a copy
    cells: Any = rows if chosen is None else np.ix_(rows, chosen)
    if not np.isscalar(scale) and len(shape) > 1:
        raise ValueError(f"{name} must be one number where rows of X have shape {shape}.")
    widths = _scales(scale, 1, name) if len(shape) != 1 else _scales(scale, size, name)
    X_noisy[cells] += (widths * rng.standard_normal(X_noisy[cells].shape)).astype(dtype)
    return X_noisy


def as_rows(X) -> Any:
    """DataFrames and sparse matrices as they are, anything else as an array of numbers."""
    if hasattr(X, "iloc") or sparse.issparse(X):
        return sliceable(X)
    return check_array(
        X, dtype="numeric", allow_nd=True, ensure_all_finite="allow-nan", input_name="X"
    )


def _draw_rows(n: int, share: float, rng: np.random.RandomState) -> np.ndarray:
    mask = np.zeros(n, dtype=bool)
    mask[rng.permutation(n)[: round(share * n)]] = True
    return mask


def _positions(X, columns) -> np.ndarray:
    """Positions of columns given by position or name, in the order given."""
    columns = np.asarray(columns)
    n_features = X.shape[1]
    if columns.dtype.kind in "iu" and columns.ndim == 1:
        wrong = columns[(columns < -n_features) | (columns >= n_features)]
        positions = columns % n_features
    elif hasattr(X, "columns") and columns.ndim == 1:
        positions = X.columns.get_indexer(columns)
        wrong = columns[positions < 0]
    else:
        raise ValueError(
            "columns must be a list of positions, or of names where X is a DataFrame."
        )
    if len(wrong):
        raise ValueError(f"columns holds {wrong[:5].tolist()}, which X does not have.")
    if len(np.unique(positions)) < len(positions):
        raise ValueError(f"columns names a column twice: {columns.tolist()}.")
    return positions


def _scales(scale, size: int, name: str) -> np.ndarray:
    """One standard deviation for each column that gets noise."""
    scales = np.asarray(scale, dtype=np.float64)
    if scales.shape not in ((), (size,)) or not (scales >= 0).all():
        raise ValueError(
            f"{name} must be a number, or one for each of {size} columns, none negative or "
            f"NaN; got shape {scales.shape}."
        )
    return np.broadcast_to(scales, (size,))


def _numbers(column, j) -> np.ndarray:
    """A DataFrame's column as float64, a copy."""
    try:
        return np.array(column.to_numpy(), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Column {column.name!r} (position {j}) is not binary.") from error


def _lower_value(X, checked: np.ndarray) -> float:
    """-1 or 0, whichever goes with 1 in these columns."""
    present: set[float] = set()
    by_column: Any = X.tocsc() if sparse.issparse(X) else None
    for j in checked:
        if hasattr(X, "iloc"):
            column = _numbers(X.iloc[:, j], j)
        elif sparse.issparse(X):
            column = by_column[:, [j]].toarray().ravel()
        else:
            column = X[:, j]
        values = set(np.unique(column).tolist())
        if not (values <= {-1, 1} or values <= {0, 1}):
            raise ValueError(
                f"Column {j} of X holds values other than -1 and 1 or 0 and 1. Name the binary "
                "columns in columns."
            )
        present |= values
    if {-1, 0} <= present:
        raise ValueError(
            "columns holds both -1 and 0; flip the columns of either coding in a call each."
        )
    return -1.0 if -1 in present else 0.0


def _encode(y, classes) -> tuple[np.ndarray, np.ndarray]:
    """Codes of labels (n,) and the classes they stand for (K,)."""
    check_classification_targets(y)
    present, codes = np.unique(column_or_1d(y), return_inverse=True)
    labels = present
    if classes is not None:
        labels = column_or_1d(classes)
        if labels.dtype.kind == present.dtype.kind and labels.dtype.kind in "iuf":
            labels = labels.astype(np.result_type(labels, present))
        position = {label: code for code, label in enumerate(labels.tolist())}
        missing = [label for label in present.tolist() if label not in position]
        if missing or len(position) < len(labels):
            fault = f"lacks {missing[:5]}, which y has" if missing else "has a label twice"
            raise ValueError(f"classes {fault}; list each label a row can have once.")
        codes = np.array([position[label] for label in present.tolist()], np.intp)[codes]
    if len(labels) < 2:
        raise ValueError(
            f"y has the labels {labels.tolist()} only; a label can be flipped where there are "
            "two or more. Pass classes to name those that y lacks."
        )
    return codes, labels


def _distributions(values, name: str, shape: tuple[int, int]) -> np.ndarray:
    """Rows of probabilities, float64, of this shape."""
    matrix = check_array(values, dtype=np.float64, input_name=name)
    if matrix.shape != shape:
        raise ValueError(f"{name} has shape {matrix.shape}; y and its classes need {shape}.")
    if (matrix < 0).any() or not np.allclose(matrix.sum(axis=1), 1.0, atol=1e-3):
        raise ValueError(f"Each row of {name} must be of probabilities that sum to 1.")
    return matrix
