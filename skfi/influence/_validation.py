"""The rows that scores are computed against: held out, cross-fitted, or the user's own.

The training set cannot serve as its own validation set: at the optimum its gradient
vanishes, and with it every score.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.model_selection import PredefinedSplit, StratifiedShuffleSplit, check_cv
from sklearn.model_selection._split import _CVIterableWrapper
from sklearn.utils import _safe_indexing
from sklearn.utils.sparsefuncs import mean_variance_axis
from sklearn.utils.validation import _get_feature_names, _num_features, _num_samples

from .._utils._checks import check_in_memory
from .._utils._user_warnings import warn_user
from ..bridge._base import has_steps, innermost

# A column is out of scale when half of its validation rows lie this many training
# standard deviations from the training mean (Chebyshev: at most 3 % of rows do).
_FAR = 6.0
_BLOCK = 2**20  # numbers that are compared at once

Split = tuple[np.ndarray, np.ndarray]


def unpack(value: Any, name: str) -> Any:
    """The array in ``(array,)``.

    GridSearchCV slices every fit parameter that is as long as X. A tuple of one is
    not, and so arrives whole.
    """
    if isinstance(value, tuple):
        if len(value) != 1:
            raise ValueError(
                f"{name} is a tuple of {len(value)}; pass an array, or the one-tuple "
                f"({name},) to keep it whole in a cross-validated search."
            )
        return value[0]
    return value


def check_given(X_val: Any, y_val: Any, sample_weight_val: Any) -> tuple[Any, Any, Any]:
    """The user's validation set, unpacked, or three times None."""
    X_val = unpack(X_val, "X_val")
    y_val = unpack(y_val, "y_val")
    sample_weight_val = unpack(sample_weight_val, "sample_weight_val")
    if (X_val is None) != (y_val is None):
        passed, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
        raise ValueError(f"{passed} was passed without {missing}; pass both or neither.")
    if X_val is None:
        if sample_weight_val is not None:
            raise ValueError(
                "sample_weight_val was passed without X_val and y_val; pass all three."
            )
        return None, None, None
    for value, name in ((X_val, "X_val"), (y_val, "y_val")):
        check_in_memory(value, name)
    if sample_weight_val is not None:
        check_in_memory(sample_weight_val, "sample_weight_val")
    n_val = _num_samples(X_val)
    if n_val == 0:
        raise ValueError("X_val has no rows; scores need at least one.")
    if _num_samples(y_val) != n_val:
        raise ValueError(
            f"X_val has {n_val} rows and y_val {_num_samples(y_val)}; they must match."
        )
    return X_val, y_val, sample_weight_val


def check_splitter(value: Any, name: str) -> None:
    """Refuse rows where a splitter, or a list of splits, is to stand."""
    if isinstance(value, (Real, str)):
        return
    if not hasattr(value, "shape"):
        if hasattr(value, "split") or not hasattr(value, "__getitem__"):
            return
        if all(map(_is_split, value)):
            return
    raise ValueError(
        f"{name} must be a number, a splitter or a list of pairs of positions (train, test), "
        f"and is a {type(value).__name__} of something else. Rows of your own to score against "
        "go to fit: fit(X, y, X_val=X_val, y_val=y_val)."
    )


def _is_split(pair: Any) -> bool:
    if not isinstance(pair, (tuple, list, np.ndarray)) or len(pair) != 2:
        return False
    return all(np.ndim(rows) == 1 and np.asarray(rows).dtype.kind in "iub" for rows in pair)


def fixed_splits(value: Any, n_rows: int, name: str) -> list[Split] | None:
    """Splits that are fixed beforehand, as positions; None for a number or another splitter."""
    check_splitter(value, name)
    if isinstance(value, (PredefinedSplit, _CVIterableWrapper)):
        value = value.split()
    elif isinstance(value, (Real, str)) or value is None or hasattr(value, "split"):
        return None
    return checked_splits(value, n_rows, name)


def checked_splits(splits: Any, n_rows: int, name: str) -> list[Split]:
    """Pairs of positions in ``n_rows`` rows, of pairs of positions or boolean masks."""
    checked = [
        (_positions(fit_rows, n_rows, name), _positions(score_rows, n_rows, name))
        for fit_rows, score_rows in splits
    ]
    if not checked:
        raise ValueError(
            f"{name} gives no splits. An iterator gives its splits once: pass it as a list."
        )
    return checked


def _positions(rows: Any, n_rows: int, name: str) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if len(rows) != n_rows:
            raise ValueError(
                f"{name} holds a mask of {len(rows)} rows, and there are {n_rows} to split."
            )
        return np.flatnonzero(rows)
    rows = rows.astype(np.intp)
    if len(rows) and not (-n_rows <= rows.min() and rows.max() < n_rows):
        raise ValueError(
            f"{name} holds positions from {rows.min()} to {rows.max()}, and there are only "
            f"{n_rows} rows to split. Splits that are fixed beforehand do not fit folds of X: "
            "pass a splitter in a cross-validation of the whole trimmer."
        )
    return np.where(rows < 0, rows + n_rows, rows)


def check_columns_alike(X: Any, X_val: Any, estimator: Any) -> None:
    """Refuse validation rows of other columns than the training rows.

    The steps of a Pipeline see the rows first, and may find their columns by name: they
    refuse what they do not take.
    """
    if has_steps(estimator):
        return
    classifier = type(innermost(estimator)).__name__
    names, names_val = _get_feature_names(X), _get_feature_names(X_val)
    if names is not None and names_val is not None and not np.array_equal(names, names_val):
        raise ValueError(
            f"X_val must have the columns of X, on which {classifier} is fitted, in the same "
            f"order: {list(names[:10])}; got {list(names_val[:10])}."
        )
    try:
        width, width_val = _num_features(X), _num_features(X_val)
    except TypeError:  # texts, say: the classifier knows what it takes
        return
    if width != width_val:
        raise ValueError(
            f"X_val must have the columns of X in the same order: it has {width_val} features, "
            f"and X, on which {classifier} is fitted, has {width}."
        )
    if (names is None) != (names_val is None):
        with_names, without = ("X_val", "X") if names is None else ("X", "X_val")
        warn_user(
            f"{with_names} has names of columns and {without} has none. {classifier} is fitted "
            "on X, and the columns of X_val are taken to stand in the same order.",
        )


def warn_if_same_rows(X: Any, X_val: Any) -> None:
    """Warn where the training rows are passed as their own validation set."""
    if _same_rows(X, X_val):
        warn_user(
            "X_val holds the very rows of X. The gradient of their log loss is that of the "
            "training, which vanishes at the optimum except for the penalty; under others "
            "each row judges itself. Pass rows that are not trained on, or leave X_val out: "
            "the rows of X then take turns.",
        )


def _same_rows(X: Any, X_val: Any) -> bool:
    if X is X_val:
        return True
    if type(X) is not type(X_val) or getattr(X, "shape", ()) != getattr(X_val, "shape", ()):
        return False
    if hasattr(X, "iloc"):  # pandas
        return bool(X.iloc[:1].equals(X_val.iloc[:1]) and X.equals(X_val))
    if sparse.issparse(X):
        return X.nnz == X_val.nnz and not abs(X - X_val).nnz
    if not isinstance(X, np.ndarray) or X.dtype != X_val.dtype:
        return False
    nan = X.dtype.kind in "fc"
    size = max(1, _BLOCK // max(1, X[:1].size))
    # One row tells most apart; the rest in blocks, as X may be a memory map.
    starts = [(0, 1), *((k, k + size) for k in range(0, len(X), size))]
    return all(np.array_equal(X[a:b], X_val[a:b], equal_nan=nan) for a, b in starts)


def make_splits(
    validation: Any,
    X: Any,
    codes: np.ndarray,
    weight: np.ndarray,
    random_state: Any,
    split_params: Any,
    rows: Any = None,
    n_passed: Any = None,
) -> list[Split]:
    """Pairs of (rows to fit and score, rows to score against).

    A float holds out a stratified share once; an int or splitter cross-fits. Splits that
    are fixed beforehand are positions in the ``n_passed`` rows that were passed, of which
    X holds those at ``rows``. Rows of weight 0 take no part, and classes of a single row
    stay on the fitting side.
    """
    present = np.flatnonzero(weight > 0)
    y = codes[present]
    if (y == y[0]).all():
        raise ValueError(
            "y holds one class only (on the rows with weight); a classifier needs rows "
            "of at least two classes."
        )
    if isinstance(validation, Real) and not isinstance(validation, Integral):
        share = float(validation)
        if not 0 < share < 1:
            raise ValueError(
                f"validation={validation} must be a share in (0, 1), an int (the number "
                "of folds), a splitter, or left alone where X_val is passed."
            )
        fit_rows, score_rows = hold_out(share, y, random_state, "validation")
        return [(present[fit_rows], present[score_rows])]
    if isinstance(validation, Integral) and int(validation) < 2:  # booleans as well
        raise ValueError(
            f"validation={validation!r}: as an int it is a number of folds, at least 2; "
            "as a float it is the share held out."
        )
    if isinstance(validation, Integral):
        # No class has a row for each fold: as many folds as the largest can fill.
        validation = max(2, min(int(validation), int(np.bincount(y).max())))
    n_passed = len(codes) if n_passed is None else n_passed
    fixed = fixed_splits(validation, n_passed, "validation")
    if fixed is not None:
        here = np.full(n_passed, -1)
        here[present if rows is None else rows[present]] = present
        pairs = [(here[fit_rows], here[score_rows]) for fit_rows, score_rows in fixed]
        return _usable([(a[a >= 0], b[b >= 0]) for a, b in pairs], codes, validation)
    splitter = check_cv(validation, y, classifier=True)
    params = {
        key: value if _num_samples(value) != len(codes) else _safe_indexing(value, present)
        for key, value in split_params.items()
    }
    X_present = X if len(present) == len(codes) else _safe_indexing(X, present)
    splits = checked_splits(splitter.split(X_present, y, **params), len(y), "validation")
    return _usable([(present[a], present[b]) for a, b in splits], codes, validation)


def _usable(splits: Any, codes: np.ndarray, validation: Any) -> list[Split]:
    """Splits without validation rows of classes that their training rows lack."""
    usable = []
    for k, (fit_rows, score_rows) in enumerate(splits, start=1):
        if not len(fit_rows) or not len(score_rows):
            continue  # of fixed splits none of these rows may be left
        known = np.isin(codes[score_rows], codes[fit_rows])
        # A class with all of its rows in one fold cannot be judged by this model.
        if not known.any():
            raise ValueError(
                f"Fold {k} of validation={shown_splitter(validation)} holds only classes the "
                "other folds lack. Use a stratified splitter or fewer folds."
            )
        usable.append((fit_rows, score_rows[known]))
    if all((codes[fit_rows] == codes[fit_rows[0]]).all() for fit_rows, _ in usable):
        raise ValueError(
            f"Every fold of validation={shown_splitter(validation)} trains on rows of one "
            "class only, so that none can be scored. Use a splitter that keeps all classes in "
            "every fold, such as StratifiedKFold(5)."
        )
    return usable


def shown_splitter(value: Any) -> str:
    """What an error calls a splitter: its repr, unless that is a list of positions."""
    return repr(value) if isinstance(value, Real) or hasattr(value, "split") else "the splits"


def hold_out(share: float, y: np.ndarray, random_state: Any, name: str) -> Split:
    """A stratified share of the rows; classes of a single row stay on the fitting side."""
    codes, counts = np.unique(y, return_inverse=True, return_counts=True)[1:]
    single = counts[codes] < 2
    shared = np.flatnonzero(~single)
    splitter = StratifiedShuffleSplit(1, test_size=share, random_state=random_state)
    try:
        fit_rows, score_rows = next(splitter.split(shared, y[shared]))
    except ValueError as error:
        raise ValueError(
            f"{name}={share} cannot hold out a stratified share of n_samples={len(y)}: {error} "
            "Use a larger share, cross-fit with an int, or pass X_val and y_val."
        ) from error
    fit_rows = np.concatenate([shared[fit_rows], np.flatnonzero(single)])
    return np.sort(fit_rows), np.sort(shared[score_rows])


def warn_if_out_of_scale(X: Any, X_val: Any) -> None:
    """Warn where validation columns lie far from the training columns' scale.

    In a Pipeline without metadata routing ``step__X_val`` arrives as it was passed,
    not through the steps before. It then has the right width and the wrong numbers.
    """
    if sparse.issparse(X) or sparse.issparse(X_val):
        mean, var = mean_variance_axis(sparse.csr_array(X), axis=0)
        mean_val, var_val = mean_variance_axis(sparse.csr_array(X_val), axis=0)
        spread = np.sqrt(var + var_val)
        distance = np.abs(mean_val - mean)
    else:
        with np.errstate(all="ignore"):  # NaN and infinity are refused by the scores
            mean, spread = X.mean(axis=0), X.std(axis=0)
            distance = np.median(np.abs(X_val - mean), axis=0)
    far = np.flatnonzero((spread > 0) & (distance > _FAR * spread))
    if len(far):
        warn_user(
            f"{len(far)} columns of X_val lie far from the training columns' scale "
            f"(columns {', '.join(map(str, far[:5]))}). In a Pipeline X_val is not sent "
            "through the steps before unless metadata routing is on: use "
            'Pipeline(..., transform_input=["X_val"]) with '
            "set_fit_request(X_val=True, y_val=True), or wrap the whole Pipeline in "
            "FITrimmer.",
        )
