"""Influence value: what a row's removal does to the validation loss, to first order.

The classical influence function, used for trimming by Chhabra et al. (2024), and the
baseline that FI was published against. It knows a direction (help or harm) where FI knows
an amount only, for the same Hessian and one product with a vector.
"""

from __future__ import annotations

import numpy as np

from ..bridge._network import Choices
from ..influence._reading import read_fitted
from ..linear._losses import resolve_validation_loss


def iv(
    estimator,
    X,
    y,
    X_val,
    y_val,
    *,
    sample_weight=None,
    sample_weight_val=None,
    validation_loss="log_loss",
    params="last_layer",
    curvature="auto",
    damping="auto",
    dtype=None,
) -> np.ndarray:
    """Influence value of each training row (Chhabra et al. 2024); higher goes first.

    By how much would the mean validation loss fall if one copy of the row were taken
    away and the classifier trained again? The answer to first order is
    ``-uᵀ H⁻¹ ∂_θ L_i``, with u the gradient of the mean validation loss, L_i the row's
    training loss and H the Hessian of the whole objective (sums over rows, penalty
    and weights included).

    The paper's value is ``∂_θ L_iᵀ H⁻¹ Σ_V ∂_θ L_v``, and rows with the most negative
    value go first there. This is that value with its sign turned, divided by the
    validation rows (their weights): the ranking is the paper's.

    Parameters
    ----------
    estimator : estimator
        Classifier fitted on exactly `X`, `y` and `sample_weight`, of a kind that
        `skfi.fi_util` takes: a logistic regression, a network, or a Pipeline, search or
        `FrozenEstimator` that holds one.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Training rows.
    y : array-like of shape (n,)
        Training labels.
    X_val : {array-like, sparse matrix} of shape (n_val, n_features)
        Validation rows, not used in training.
    y_val : array-like of shape (n_val,)
        Validation labels, all of classes the estimator knows.
    sample_weight : array-like of shape (n,), default=None
        Weights the estimator was fitted with. A weight of w counts as w copies, of
        which one is taken away.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows in the mean.
    validation_loss : {"log_loss", "expected_error"} or callable, default="log_loss"
        Loss on the validation rows, as in `skfi.fi_util`. The paper's is the log loss.
    params, curvature, damping, dtype : optional
        Which parameters of a network move, what stands for H, and in which precision, as
        in `skfi.fi_util`.

    Returns
    -------
    score : ndarray of shape (n,)
        First-order decrease of the mean validation loss when one copy of the row is
        removed, in units of that loss. Positive: the row does harm. 0 for rows of
        weight 0. Class weights keep their fitted values (``"balanced"`` is not
        balanced again), and so does a penalty that is stated per row.

    Raises
    ------
    TypeError
        skfi cannot compute influence for the classifier; the message says what to do.
    ValueError
        NaN or infinity, widths that differ, labels the classifier does not know, or
        no weight at all.

    Warns
    -----
    ConvergenceWarning
        The classifier is not at the optimum of these rows and weights.

    References
    ----------
    A. Chhabra, P. Li, P. Mohapatra, H. Liu: "What Data Benefits My Classifier?
    Enhancing Model Performance and Interpretability through Influence-Based Data
    Selection", ICLR 2024, Section 3. P. W. Koh, P. Liang: "Understanding Black-box
    Predictions via Influence Functions", ICML 2017, Section 2.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.baselines import iv
    >>> X, y = make_classification(200, random_state=0)
    >>> y[0] = 1 - y[0]  # a wrong label
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> score = iv(model, X[:100], y[:100], X[100:], y[100:])
    >>> score.shape, bool(score[0] > 0)
    ((100,), True)
    """
    choices = Choices(params, None, curvature, damping, dtype=dtype)
    training, held_out = (X, y, sample_weight), (X_val, y_val, sample_weight_val)
    loss = resolve_validation_loss(validation_loss)
    reading = read_fitted(estimator, training, choices, held_out, wide=True)
    return reading.curve().solve(reading.held_out, loss).gain()
