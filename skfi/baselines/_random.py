"""Random order: what dropping that many rows does when nothing is known of them."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples, check_consistent_length

from .._utils._checks import check_in_memory


def random(estimator, X, y, X_val=None, y_val=None, *, random_state=None) -> np.ndarray:
    """Ranks of a random permutation; higher goes first.

    Parameters
    ----------
    estimator : ignored
        Here so that all baselines are called alike.
    X : array-like of shape (n, n_features)
        Training rows; only their number is used.
    y : array-like of shape (n,)
        Training labels; only their number is used.
    X_val, y_val : ignored
        Here so that all baselines are called alike.
    random_state : int, RandomState instance or None, default=None
        Seed of the permutation.

    Returns
    -------
    score : ndarray of shape (n,)
        The numbers 0 to n - 1 in random order, no ties and no unit.

    Raises
    ------
    ValueError
        `X` and `y` differ in length.

    Examples
    --------
    >>> from skfi.baselines import random
    >>> random(None, [[0], [1], [2]], [0, 1, 1], random_state=0)
    array([2., 1., 0.])
    """
    check_in_memory(X, "X")
    check_in_memory(y, "y")
    check_consistent_length(X, y)
    order = check_random_state(random_state).permutation(_num_samples(X))
    return order.astype(np.float64)
