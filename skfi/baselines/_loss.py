"""The training loss of each row: the free baseline that any trimming has to beat.

A row that the classifier gets wrong though it was trained on it is the first suspect.
No validation rows, no derivatives; any classifier with probabilities.
"""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted, column_or_1d

from .._utils._checks import check_in_memory, encode_labels
from .._utils._in_place import own_rows
from .._utils._trained_rows import last_of, trained_rows, unfrozen, warn_of_unequal_step
from ..bridge._refusals import check_classifier

_TINY = np.finfo(np.float64).tiny


def require_proba(estimator, name: str) -> None:
    """Refuse a classifier without probabilities, or one that is not fitted."""
    check_classifier(estimator, "estimator")
    check_is_fitted(estimator)
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"{name} needs predict_proba, which {type(estimator).__name__} does not have "
            "as it is set. Use a classifier with probabilities, or wrap it in "
            "CalibratedClassifierCV."
        )


def probabilities(estimator, X) -> np.ndarray:
    """``predict_proba`` in float64 (n, K), refused where it holds NaN."""
    check_in_memory(X, "X")
    proba = np.asarray(estimator.predict_proba(own_rows(estimator, X)), dtype=np.float64)
    if np.isnan(proba).any():
        raise ValueError(
            f"predict_proba of {type(estimator).__name__} returned NaN: the fit diverged. "
            "Scale the features or penalise more."
        )
    return proba


def labels_and_codes(estimator, y, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and their positions among the estimator's classes (n,)."""
    check_in_memory(y, "y")
    y = column_or_1d(y, warn=True)
    if len(y) != n_rows:
        raise ValueError(f"X has {n_rows} rows and y {len(y)}; they must match.")
    return y, encode_labels(y, np.asarray(estimator.classes_), "y")


def loss(estimator, X, y, X_val=None, y_val=None) -> np.ndarray:
    """Log loss of each training row under the fitted classifier; higher goes first.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier with `predict_proba`; a Pipeline counts as one.
    X : array-like of shape (n, n_features)
        Training rows, as the estimator takes them.
    y : array-like of shape (n,)
        Training labels.
    X_val, y_val : ignored
        Here so that all baselines are called alike.

    Returns
    -------
    score : ndarray of shape (n,)
        ``-log P(y_i|x_i)`` in nats, non-negative. A probability of zero counts as the
        smallest normal float64, so the score is at most 708.4.

    Raises
    ------
    TypeError
        The classifier has no `predict_proba`.
    ValueError
        Labels the classifier never saw, lengths that differ, or probabilities of NaN.

    See Also
    --------
    self_confidence : The same idea, judged by models that did not train on the row.

    References
    ----------
    B. Han, Q. Yao, X. Yu, G. Niu, M. Xu, W. Hu, I. Tsang, M. Sugiyama: "Co-teaching: Robust
    Training of Deep Neural Networks with Extremely Noisy Labels", NeurIPS 2018 (rows with a
    small loss are taken for clean).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.baselines import loss
    >>> X, y = [[-2.0], [-1.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b", "a"]
    >>> model = LogisticRegression().fit(X, y)
    >>> int(loss(model, X, y).argmax())  # the last row's label is odd
    4
    """
    require_proba(estimator, "loss")
    prepared = trained_rows(estimator, X)
    if prepared is None:
        warn_of_unequal_step(estimator, X, y)
        proba = probabilities(estimator, X)
    else:
        proba = probabilities(last_of(unfrozen(estimator)), prepared)
    _, codes = labels_and_codes(estimator, y, len(proba))
    own = proba[np.arange(len(proba)), codes]
    return -np.log(np.clip(own, _TINY, 1.0)) + 0.0  # no negative zeros
