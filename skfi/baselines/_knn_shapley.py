"""KNN-Shapley: exact data values, for a neighbour classifier instead of one's own.

The Shapley value of a training row needs 2^n fits in general. For K nearest neighbours
it has a closed form over the rows sorted by distance, so it costs one sort for each
validation row, and no fit at all.
"""

from __future__ import annotations

from functools import partial
from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.metrics import euclidean_distances
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from .._utils._checks import check_in_memory, check_weight, encode_labels
from .._utils._chunks import block_rows, dense_rows, map_blocks
from .._utils._trained_rows import pipelines_of
from ..bridge._base import transform_before_last
from ..bridge._refusals import check_classifier
from ..influence._rows import (
    check_equal_widths,
    check_magnitude,
    check_names,
    column_names,
    through_steps,
)


def knn_shapley(
    estimator, X, y, X_val, y_val, *, n_neighbors=5, sample_weight_val=None
) -> np.ndarray:
    """Minus the exact KNN-Shapley value of each training row; higher goes first.

    The game: training rows S earn the share of votes that the K nearest of them give
    to the right label, on average over the validation rows,
    ``v(S) = mean_v (1/K) Σ_{j ≤ min(K, |S|)} 1[y_{α_j(S)} = y_v]``, with α_j(S) the j-th
    nearest row of S. The Shapley value shares v(all rows) out among the rows. For one
    validation row, with the training rows sorted by distance and a_i = 1 where labels
    agree (a_{n+1} = 0), it is ``Σ_{j ≥ i} (a_j - a_{j+1}) min(K, j) / (K j)``.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier. Only its class labels and, for a Pipeline, its steps but the
        last are used: distances are Euclidean in the space the last step sees.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Training rows.
    y : array-like of shape (n,)
        Training labels.
    X_val : {array-like, sparse matrix} of shape (n_val, n_features)
        Validation rows.
    y_val : array-like of shape (n_val,)
        Validation labels.
    n_neighbors : int, default=5
        K. It may exceed the number of rows; each neighbour's vote still counts 1/K.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows in the mean.

    Returns
    -------
    score : ndarray of shape (n,)
        Minus the Shapley value, in units of v (a share of votes). The scores add up to
        ``-v(all rows)``. Positive: the row takes votes from the right labels. Rows at
        the same distance are neighbours in the order of the rows.

    Raises
    ------
    ValueError
        NaN or infinity, widths that differ, labels the classifier never saw, or
        `n_neighbors` below 1.

    Notes
    -----
    O(n_val n (d + log n)) time, in blocks of validation rows under scikit-learn's
    `working_memory`. Sparse distances are computed by expanding the square, so ties
    among them hold to rounding only.

    References
    ----------
    R. Jia et al.: "Efficient Task-Specific Data Valuation for Nearest Neighbor
    Algorithms", PVLDB 12(11), 2019, Theorem 1 (with its last term for n < K as well).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.baselines import knn_shapley
    >>> X, y = [[0.0], [1.0], [2.0]], [0, 1, 1]
    >>> model = LogisticRegression().fit(X, y)
    >>> knn_shapley(model, X, y, [[0.0]], [1], n_neighbors=1).round(3)
    array([ 0.667, -0.333, -0.333])
    """
    if not isinstance(n_neighbors, Integral) or n_neighbors < 1:
        raise ValueError(f"n_neighbors={n_neighbors!r} must be an int of at least 1.")
    check_classifier(estimator, "estimator")
    check_is_fitted(estimator)
    X, codes = _labelled(estimator, X, y, "")
    X_val, codes_val = _labelled(estimator, X_val, y_val, "_val")
    check_equal_widths(X.shape[1], X_val.shape[1])
    weight = check_weight(sample_weight_val, codes_val, "sample_weight_val")
    return -_values(X, codes, X_val, codes_val, weight / weight.sum(), int(n_neighbors))


def _values(
    X,
    codes: np.ndarray,
    X_val,
    codes_val: np.ndarray,
    share: np.ndarray,
    k: int,
    chunk: int | None = None,
) -> np.ndarray:
    n_rows = X.shape[0]
    if chunk is None:
        chunk = block_rows(8 * n_rows)
    rank = np.arange(1, n_rows + 1)
    vote = np.minimum(k, rank) / (k * rank)

    def part(rows: slice) -> np.ndarray:
        order = np.argsort(_distances(X_val, rows, X), axis=1, kind="stable")
        agree = (codes[order] == codes_val[rows, None]).astype(np.float64)
        agree[:, :-1] -= agree[:, 1:]  # a_j - a_{j+1}, and 0 behind the last
        agree *= vote * share[rows, None]
        value = np.cumsum(agree[:, ::-1], axis=1)[:, ::-1]
        return np.bincount(order.ravel(), weights=value.ravel(), minlength=n_rows)

    total = np.zeros(n_rows)
    for block in map_blocks(part, X_val.shape[0], chunk):
        total += block
    return total


def _distances(X_val, rows: slice, X) -> np.ndarray:
    """Squared distances (block, n), the same for rows that are the same."""
    if sparse.issparse(X):
        block = sparse.csr_array(X_val[rows])
        return euclidean_distances(block, X, squared=True)
    # Not by expanding the square: rounding would break ties by chance.
    return cdist(dense_rows(X_val, rows), X, "sqeuclidean")


def _labelled(estimator, X, y, suffix: str):
    check_in_memory(X, f"X{suffix}")
    check_in_memory(y, f"y{suffix}")
    check_names(column_names(estimator), X, f"X{suffix}")
    for pipeline in pipelines_of(estimator):
        X = through_steps(partial(transform_before_last, pipeline), X, f"X{suffix}")
    X = check_array(X, accept_sparse="csr", dtype=np.float64, input_name=f"X{suffix}")
    check_magnitude(X, f"X{suffix}")
    y = column_or_1d(y, warn=True)
    if len(y) != X.shape[0]:
        raise ValueError(
            f"X{suffix} has {X.shape[0]} rows and y{suffix} {len(y)}; they must match."
        )
    return X, encode_labels(y, np.asarray(estimator.classes_), f"y{suffix}")
