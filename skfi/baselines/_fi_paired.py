"""FI of pairs: rows that hide one another show when they move together.

Of two rows that err alike, each may look harmless as long as the other is there (the
masking effect). The paper's answer is to perturb two rows at once; it found the result no
better than FI and much dearer, which is what this is here to be checked against.
"""

from __future__ import annotations

import numpy as np

from .._rows import check_choice
from .._solved import SolvedLinear, solve_fitted
from ..bridge._network import Choices
from ..kernels._chunks import one_blas_thread
from ..kernels._pairs import PairScores


def fi_paired(
    estimator,
    X,
    y,
    X_val,
    y_val,
    *,
    sample_weight=None,
    sample_weight_val=None,
    validation_loss="log_loss",
    metric="euclidean",
) -> np.ndarray:
    """FI^util of the best pair each training row is part of; higher goes first.

    Rows i and j move by ω = (ω_i, ω_j) at once. The measure is that of `skfi.fi_util`
    with ``g = (g_i, g_j)`` and the metric tensor of both rows' joint log probability,
    which includes how moving row j moves the probability of row i through the
    parameters. Pairs are ranked, and a row goes when its best pair goes: its score is
    the largest FI_ij over j.

    Parameters
    ----------
    estimator : estimator
        Classifier fitted on exactly `X`, `y` and `sample_weight`, of a kind that
        `skfi.fi_util` takes.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Training rows.
    y : array-like of shape (n,)
        Training labels.
    X_val : {array-like, sparse matrix} of shape (n_val, n_features)
        Validation rows, not used in training.
    y_val : array-like of shape (n_val,)
        Validation labels, all of classes the estimator knows.
    sample_weight : array-like of shape (n,), default=None
        Weights the estimator was fitted with. One copy of each row moves, as with
        ``unit="copy"`` of `skfi.fi_util`; a row of weight 2 or more forms a pair with
        another copy of itself as well. Rows of weight 0 are in no pair.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows in the mean.
    validation_loss : {"log_loss", "expected_error"} or callable, default="log_loss"
        Loss on the validation rows, as in `skfi.fi_util`.
    metric : {"euclidean", "mahalanobis"}, default="euclidean"
        Coordinates of the pseudo-inverse, as in `skfi.fi_util`.

    Returns
    -------
    score : ndarray of shape (n,)
        ``max_j FI_ij``, non-negative: squared change of the mean validation loss per
        unit of squared Fisher length of the pair. No sign, as for FI. 0 for rows of
        weight 0.

    Raises
    ------
    TypeError
        There is no bridge for the classifier; the message lists what has one.
    ValueError
        Fewer than two rows with weight, or what `skfi.fi_util` refuses.

    Warns
    -----
    ConvergenceWarning
        The classifier is not at the optimum of these rows and weights.

    Notes
    -----
    All n(n - 1)/2 pairs are looked at. For two classes that is two products of n rows
    with n rows and some thirty passes over n² numbers: 10,000 rows of 50 features take
    about 3 s on two cores. For more, each pair has small matrices of its own, and a
    hundred times the cost: 1,000 rows of three classes take about 4 s. Blocks of pairs
    stay under scikit-learn's `working_memory`, beside a few dense copies of X.

    References
    ----------
    "Enhancing Prediction Performance through Influence Measure", ICLR 2025 (FI-paired;
    the published version only).

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.baselines import fi_paired
    >>> X, y = make_classification(200, random_state=0)
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> fi_paired(model, X[:100], y[:100], X[100:], y[100:]).shape
    (100,)
    """
    check_choice("metric", metric, ("euclidean", "mahalanobis"))
    solved = solve_fitted(
        estimator,
        X,
        y,
        X_val,
        y_val,
        sample_weight,
        sample_weight_val,
        validation_loss,
        Choices(curvature="exact"),  # of a network: its last layer
    )
    assert isinstance(solved, SolvedLinear)
    curved, train = solved.curved, solved.curved.train
    assert isinstance(curved.inverse, np.ndarray)
    present = np.flatnonzero(train.weight > 0)
    weight = train.weight[present]
    again = weight >= 2
    if len(present) < 2 and not again.any():
        raise ValueError(
            f"X has {len(present)} rows with weight; fi_paired needs at least two."
        )
    root = curved.root() if metric == "mahalanobis" else None
    score = np.zeros(train.X.shape[0])
    with one_blas_thread():
        score[present] = PairScores(
            curved.model,
            train.X[present],
            train.codes[present],
            curved.copy[present],
            curved.inverse,
            solved.h,
            again,
            root,
        ).maxima()
    return score
