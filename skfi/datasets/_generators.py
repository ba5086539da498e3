"""The paper's toy sets, and its hard pools made of any labelled rows.

The paper names shapes and sizes of the toy sets but no settings. Those here are chosen by the
accuracy alone.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.datasets import make_moons
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from .._utils._checks import sliceable
from ._noise import as_rows, with_noise

_N_SAMPLES = [Interval(Integral, 1, None, closed="left"), tuple]


@validate_params(
    {
        "n_samples": _N_SAMPLES,
        "separation": [Interval(Real, 0, None, closed="left")],
        "std": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_two_gaussians(n_samples=850, *, separation=3.55, std=1.0, random_state=None):
    """Two isotropic Gaussians in the plane, one for each class.

    The means lie on the diagonal, symmetric about the origin: the best boundary is
    ``x_0 + x_1 = 0``. Its accuracy on balanced classes is Φ(separation / 2), by default the
    96.2 % of the paper's Table 1, which publishes neither means nor variances.

    Parameters
    ----------
    n_samples : int or tuple of two ints, default=850
        Rows in all, half of them of class 1 (rounded up), or rows of class 0 and of class 1.
        The paper has 150 for training, 100 for validation and 600 for testing.
    separation : float, default=3.55
        Distance of the means in standard deviations.
    std : float, default=1.0
        Standard deviation of either class in each coordinate.
    random_state : int, RandomState instance or None, default=None
        Source of the draws.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        The rows, shuffled.
    y : ndarray of shape (n_samples,)
        Classes, 0 or 1.

    Raises
    ------
    ValueError
        A parameter out of its range.

    References
    ----------
    :cite:t:`yu2025`, Section 5.1, Table 1 and Figure 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skfi.datasets import make_two_gaussians
    >>> X, y = make_two_gaussians(random_state=0)
    >>> X_train, X_val, X_test = np.split(X, [150, 250])
    >>> X_train.shape, X_val.shape, X_test.shape
    ((150, 2), (100, 2), (600, 2))
    >>> round(float(np.mean((X.sum(axis=1) > 0) == y)), 2)
    0.97
    """
    counts = _class_counts(n_samples)
    rng = check_random_state(random_state)
    y = rng.permutation(np.repeat([0, 1], counts))
    offset = std * separation / np.sqrt(8.0)  # of either mean, in each coordinate
    X = std * rng.standard_normal((len(y), 2)) + offset * (2 * y - 1)[:, None]
    return X, y


@validate_params(
    {
        "n_samples": _N_SAMPLES,
        "noise": [Interval(Real, 0, None, closed="left"), None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_crescents(n_samples=1000, *, noise=0.35, random_state=None):
    """Two interleaving crescents in the plane, one for each class.

    They are scikit-learn's `make_moons`. With the default noise a network of two layers of 16
    units has a test accuracy of 88 to 91 %; the paper, which publishes no formula, has 88 to
    90 % after trimming.

    Parameters
    ----------
    n_samples : int or tuple of two ints, default=1000
        Rows in all, half of them of class 1 (rounded up), or rows of class 0 and of class 1.
        The paper has 500 for training, 250 for validation and 250 for testing.
    noise : float or None, default=0.35
        Standard deviation of the noise on each coordinate; the half circles have radius 1.
    random_state : int, RandomState instance or None, default=None
        Source of the draws.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        The rows, shuffled.
    y : ndarray of shape (n_samples,)
        Classes, 0 or 1.

    Raises
    ------
    ValueError
        A parameter out of its range.

    References
    ----------
    :cite:t:`yu2025`, Section 5.1, Table 2 and Figure 9.

    Examples
    --------
    >>> import numpy as np
    >>> from skfi.datasets import make_crescents
    >>> X, y = make_crescents(random_state=0)
    >>> X_train, X_val, X_test = np.split(X, [500, 750])
    >>> X_train.shape, X_val.shape, X_test.shape
    ((500, 2), (250, 2), (250, 2))
    """
    _class_counts(n_samples)
    return make_moons(n_samples, noise=noise, random_state=random_state)


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "y": ["array-like"],
        "ratios": [dict, "array-like"],
        "n_samples": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_unbalanced(X, y, ratios, *, n_samples=None, random_state=None):
    """Draw rows so that classes have unequal shares.

    Parameters
    ----------
    X : {array-like, sparse matrix, DataFrame} of shape (n, n_features) or (n, ...)
        Rows.
    y : array-like of shape (n,)
        Their labels.
    ratios : dict or array-like of shape (K,)
        Share of each class, up to a common factor, in the order of sorted labels or by
        label; a class that a dict leaves out gets no rows. The paper has 1 for each of the
        digits 0 to 4 and 10 for 5 to 9.
    n_samples : int, default=None
        Rows in all; shares of it are rounded. The paper has 27,500. None takes as many as
        the rows of the scarcest class allow.
    random_state : int, RandomState instance or None, default=None
        Source of the draws.

    Returns
    -------
    X_unbalanced : ndarray, sparse matrix or DataFrame of shape (m, n_features) or (m, ...)
        Rows, each drawn at most once, in the order of `X`.
    y_unbalanced : ndarray or Series of shape (m,)
        Their labels.
    rows : ndarray of shape (m,)
        Their positions in `X`.

    Raises
    ------
    ValueError
        Ratios of no or other classes, or more rows of a class than there are.

    References
    ----------
    :cite:t:`yu2025`, Appendix D.2, Unbalanced MNIST.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skfi.datasets import make_unbalanced
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y, rows = make_unbalanced(X, y, [1] * 5 + [10] * 5, n_samples=880, random_state=0)
    >>> np.bincount(y)
    array([ 16,  16,  16,  16,  16, 160, 160, 160, 160, 160])
    """
    X, y, labels, codes = _labelled(X, y)
    if isinstance(ratios, dict):
        unknown = [label for label in ratios if label not in labels.tolist()]
        if unknown:
            raise ValueError(f"ratios names {unknown[:5]}, which y does not have.")
        ratios = [ratios.get(label, 0) for label in labels.tolist()]
    shares = np.asarray(ratios, dtype=np.float64)
    if shares.shape != labels.shape:
        raise ValueError(f"ratios has shape {shares.shape}, but y has {len(labels)} classes.")
    if not (np.isfinite(shares) & (shares >= 0)).all() or not shares.any():
        raise ValueError("ratios must be finite, none negative and not all 0.")
    available, shares = np.bincount(codes, minlength=len(labels)), shares / shares.sum()
    if n_samples is None:
        asked = shares > 0
        most = np.min(available[asked] / shares[asked])
        wanted = np.minimum(np.rint(most * shares).astype(int), available)
    else:
        wanted = np.rint(n_samples * shares).astype(int)
    short = np.flatnonzero(wanted > available)
    if len(short):
        first = short[0]
        raise ValueError(
            f"n_samples={n_samples} with these ratios takes {wanted[first]} rows of class "
            f"{labels.tolist()[first]!r}, of which y has {available[first]}."
        )
    rows = _draw(codes, wanted, check_random_state(random_state))
    return _safe_indexing(X, rows), _safe_indexing(y, rows), rows


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "y": ["array-like"],
        "relevant": ["array-like"],
        "n_other": [Interval(Integral, 0, None, closed="left"), None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_redundant(X, y, relevant, *, other_label=None, n_other=None, random_state=None):
    """Merge all classes but some into one: a pool with redundant rows.

    Parameters
    ----------
    X : {array-like, sparse matrix, DataFrame} of shape (n, n_features) or (n, ...)
        Rows.
    y : array-like of shape (n,)
        Their labels.
    relevant : array-like of shape (n_relevant,)
        Classes that are kept, each with as many rows as the scarcest of them. The paper has
        the digits 1 and 7.
    other_label : str or number, default=None
        Label of the other rows. None is "neither" where labels are text, and -1 where they
        are numbers.
    n_other : int, default=None
        Rows of other classes; None keeps all of them.
    random_state : int, RandomState instance or None, default=None
        Source of the draws.

    Returns
    -------
    X_redundant : ndarray, sparse matrix or DataFrame of shape (m, n_features) or (m, ...)
        Rows, each drawn at most once, in the order of `X`.
    y_redundant : ndarray of shape (m,)
        Their labels: those in `relevant`, and `other_label`.
    rows : ndarray of shape (m,)
        Their positions in `X`.

    Raises
    ------
    ValueError
        Classes that `y` does not have, a label for the others that is taken, or more other
        rows than there are.

    See Also
    --------
    make_repeated : A pool that is redundant because of near-duplicates.

    References
    ----------
    :cite:t:`yu2025`, Appendix D.2, Redundant MNIST.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skfi.datasets import make_redundant
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y, rows = make_redundant(X, y, [1, 7], random_state=0)
    >>> np.unique(y, return_counts=True)
    (array([-1,  1,  7]), array([1436,  179,  179]))
    """
    X, y, labels, codes = _labelled(X, y)
    unknown = [v for v in np.asarray(relevant).tolist() if v not in labels.tolist()]
    if unknown or len(np.asarray(relevant)) == 0:
        fault = f"holds {unknown[:5]}, which y does not have" if unknown else "is empty"
        raise ValueError(f"relevant {fault}; name classes of y.")
    if other_label is None:
        other_label = "neither" if isinstance(labels.tolist()[0], str) else -1
    if other_label in labels.tolist():
        raise ValueError(f"other_label={other_label!r} is a label in y; choose another.")
    if isinstance(other_label, str) != isinstance(labels.tolist()[0], str):
        raise ValueError(f"other_label={other_label!r} is not of the type of the labels in y.")
    asked = np.isin(labels, relevant)
    n_groups = int(asked.sum())
    groups = np.where(asked, np.cumsum(asked) - 1, n_groups)[codes]
    available = np.bincount(groups, minlength=n_groups + 1)
    wanted = np.full(n_groups + 1, available[:-1].min())
    wanted[-1] = available[-1] if n_other is None else n_other
    if wanted[-1] > available[-1]:
        raise ValueError(f"n_other={n_other}, but y has {available[-1]} rows of other classes.")
    rows = _draw(groups, wanted, check_random_state(random_state))
    kept = labels[codes[rows]]
    dtype = np.result_type(kept, np.asarray(other_label)) if kept.dtype != object else object
    new = kept.astype(dtype)
    new[groups[rows] == n_groups] = other_label
    return _safe_indexing(X, rows), new, rows


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "y": ["array-like"],
        "n_copies": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_repeated(X, y, n_copies=2, *, noise=0.1, random_state=None):
    """Put noisy copies of all rows beside them: a pool with near-duplicates.

    Parameters
    ----------
    X : {array-like, sparse matrix, DataFrame} of shape (n, n_features) or (n, ...)
        Rows of numbers.
    y : array-like of shape (n,)
        Their labels.
    n_copies : int, default=2
        Copies of each row beside itself.
    noise : float or array-like of shape (n_features,), default=0.1
        Standard deviation of Gaussian noise on the copies, as `scale` in
        `add_feature_noise`, which says what becomes of DataFrames and sparse matrices.
    random_state : int, RandomState instance or None, default=None
        Source of the noise.

    Returns
    -------
    X_repeated : ndarray, sparse matrix or DataFrame of shape ((n_copies + 1) * n, ...)
        All rows as they are, then all copies, copy after copy.
    y_repeated : ndarray or Series of shape ((n_copies + 1) * n,)
        Their labels.
    rows : ndarray of shape ((n_copies + 1) * n,)
        The positions in `X` that they are copies of.

    Raises
    ------
    ValueError
        Noise that is negative or of another length, or features that are not numbers.

    References
    ----------
    Kirsch, van Amersfoort and Gal 2019, "BatchBALD: Efficient and diverse batch acquisition
    for deep Bayesian active learning", NeurIPS: a pool in the manner of Repeated MNIST.

    Examples
    --------
    >>> from skfi.datasets import make_repeated
    >>> X, y, rows = make_repeated([[0.0], [1.0]], ["a", "b"], random_state=0)
    >>> rows
    array([0, 1, 0, 1, 0, 1])
    """
    X, y, _, codes = _labelled(as_rows(X), y)
    n = len(codes)
    rows = np.tile(np.arange(n), n_copies + 1)
    X = with_noise(
        _safe_indexing(X, rows),
        np.arange(len(rows)) >= n,
        noise,
        None,
        check_random_state(random_state),
        name="noise",
    )
    return X, _safe_indexing(y, rows), rows


def _labelled(X, y) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Rows and labels that can be indexed, the sorted classes and codes of labels."""
    check_consistent_length(X, y)
    check_classification_targets(y)
    labels, codes = np.unique(column_or_1d(y), return_inverse=True)
    X = sliceable(X) if hasattr(X, "shape") else np.asarray(X)
    return X, y if hasattr(y, "iloc") else np.asarray(y), labels, codes


def _draw(groups: np.ndarray, wanted: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """That many rows of each group, without repetition, sorted."""
    order = rng.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    sizes = np.bincount(groups, minlength=len(wanted))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[rank < np.repeat(wanted, sizes)])


def _class_counts(n_samples) -> tuple[int, int]:
    """Rows of class 0 and of class 1."""
    if not isinstance(n_samples, tuple):
        return n_samples // 2, n_samples - n_samples // 2
    whole = all(isinstance(count, int | np.integer) and count >= 0 for count in n_samples)
    if len(n_samples) != 2 or not whole or not any(n_samples):
        raise ValueError(
            f"n_samples={n_samples!r}: a tuple holds the rows of class 0 and of class 1, "
            "two whole numbers that are not both 0."
        )
    return n_samples
