"""FI of rows that are not labelled yet: how a trained model would follow, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.utils.validation import _num_samples

from .._utils._checks import check_sliceable
from ..linear._aggregate import resolve_aggregate
from ..linear._losses import ValidationLoss
from ._measure import Measure
from ._pairing import LinearReader, NetworkPairing, pair_fitted, row_batches

__all__ = ["fi_active", "fi_pairwise"]


def fi_pairwise(
    estimator: Any,
    X: Any,
    y: Any,
    X_query: Any,
    y_query: Any = None,
    *,
    sample_weight: Any = None,
    validation_loss: str | ValidationLoss = "log_loss",
    metric: str = "euclidean",
    unit: str = "copy",
    params: Any = "last_layer",
    perturbation: str = "features",
    curvature: str = "auto",
    damping: float | str = "auto",
    approximation: str | None = None,
    n_components: int | None = None,
    dtype: str | None = None,
    random_state: Any = None,
) -> np.ndarray:
    """Influence of each training row on the loss of each of some other rows.

    How fast could the loss of row j change if the features of training row i moved a little
    and the classifier were fitted again, measured against how far the same move shifts row
    i's own predicted probabilities? This is `skfi.fi_util` with row j alone for validation
    set, for all pairs at once: nothing is approximated, and nothing looped over pairs.

    Parameters
    ----------
    estimator : estimator
        Classifier fitted on exactly `X`, `y` and `sample_weight`, of a kind that
        `skfi.fi_util` takes.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Training rows; for a network of any shape (n, ...).
    y : array-like of shape (n,)
        Training labels.
    X_query : {array-like, sparse matrix} of shape (n_query, n_features)
        Rows whose loss is followed.
    y_query : array-like of shape (n_query,), default=None
        Their labels; None takes those the classifier predicts, as active learning has it.
    sample_weight : array-like of shape (n,), default=None
        Weights the estimator was fitted with.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, \
            default="log_loss"
        Loss on these rows, as in `skfi.fi_util`.
    metric, unit, params, perturbation, curvature, damping : \
            default="euclidean", "copy", "last_layer", "features", "auto", "auto"
        As in `skfi.fi_util`. For a linear classifier of many classes ``curvature="kfac"``
        brings the cost of a pair from O(d K²) down to O(d + K²). "cg" has no root of the
        Hessian, which pairs need, and is refused.
    approximation, n_components, dtype, random_state : default=None, None, None, None
        As in `skfi.fi_util`. The products over pairs are in float64.

    Returns
    -------
    influence : ndarray of shape (n_query, n)
        Non-negative: squared change of row j's loss per unit of squared Fisher length of
        row i. No sign. 0 for training rows of weight 0.

    Raises
    ------
    TypeError
        skfi cannot compute influence for the classifier; the message says what to do.
    ValueError
        What `skfi.fi_util` refuses.

    Warns
    -----
    ConvergenceWarning
        The classifier is not at the optimum of these rows and weights.

    See Also
    --------
    fi_active : One number for each of the other rows.

    References
    ----------
    :cite:t:`yu2025`, Section 4.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi import fi_pairwise
    >>> X, y = make_classification(200, random_state=0)
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> fi_pairwise(model, X[:100], y[:100], X[100:]).shape
    (100, 100)
    """
    measure = Measure(
        params, perturbation, curvature, damping, approximation, n_components, dtype,
        random_state, validation_loss, metric, unit,
    )  # fmt: skip
    pairing = pair_fitted(estimator, (X, y, sample_weight), measure)
    check_sliceable(X_query, "X_query")
    features = pairing.features(X_query, "X_query")
    codes = None
    if y_query is not None:
        codes = pairing.codes(y_query, "y_query")
        if len(codes) != features.shape[0]:
            raise ValueError(
                f"y_query has {len(codes)} labels for the {features.shape[0]} rows of X_query."
            )
    return pairing.pairwise(features, codes)


def fi_active(
    estimator: Any,
    X: Any,
    y: Any,
    X_pool: Any,
    *,
    aggregate: str | Callable = "trimmed_mean",
    sample_weight: Any = None,
    validation_loss: str | ValidationLoss = "log_loss",
    metric: str = "euclidean",
    unit: str = "copy",
    params: Any = "last_layer",
    perturbation: str = "features",
    curvature: str = "auto",
    damping: float | str = "auto",
    approximation: str | None = None,
    n_components: int | None = None,
    dtype: str | None = None,
    random_state: Any = None,
) -> np.ndarray:
    """Influence of the training rows on the prediction for each unlabelled row, FI^active.

    A row scores high when small moves of many training rows would change the loss of the
    label that the model predicts for it: its prediction hangs on details of the training
    set. The paper labels such rows next.

    Parameters
    ----------
    estimator : estimator
        Classifier fitted on exactly `X`, `y` and `sample_weight`, of a kind that
        `skfi.fi_util` takes.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Labelled rows the classifier was trained on; for a network of any shape (n, ...).
    y : array-like of shape (n,)
        Their labels.
    X_pool : {array-like, sparse matrix} of shape (n_pool, n_features), or iterator of such
        Unlabelled rows. Memory maps and iterators of batches are read a piece at a time.
    aggregate : {"trimmed_mean", "mean", "median", "lower_quartile", "row_trimmed_mean"} or \
            callable, default="trimmed_mean"
        From FI through each training row to one number. "trimmed_mean" is the paper's mean
        of the middle 80 % (another share: `skfi.TrimmedMean`); "median", "lower_quartile", or
        any `skfi.Quantile`; a function of an array (b, n) that returns (b,). "mean" needs no
        pairs where the closed form holds (all but a network's inner parameters or input): it
        is a quadratic form, whose cost for a pool row does not depend on n.
        "row_trimmed_mean" is one too: it leaves out the tenth of the *training rows* with
        the largest expected FI and the tenth with the smallest, for the whole pool alike.
    sample_weight : array-like of shape (n,), default=None
        Weights the estimator was fitted with. A row of weight w counts as w copies in the
        named aggregates (weights that are not whole are scaled to a mean of 1 there); a
        callable sees each row once.
    validation_loss, metric, unit, params, perturbation : \
            default="log_loss", "euclidean", "copy", "last_layer", "features"
        As in `skfi.fi_pairwise`.
    curvature : {"auto", "exact", "ggn", "kfac", "ekfac"}, default="auto"
        What stands for the Hessian, as in `skfi.fi_util`: exact for a linear classifier
        while that costs about its fit at most, else K-FAC's.
        "kfac", the paper's, is the fast one where there are many classes.
    damping, approximation, n_components, dtype, random_state : \
            default="auto", None, None, None, None
        As in `skfi.fi_pairwise`.

    Returns
    -------
    influence : ndarray of shape (n_pool,)
        Non-negative, in the units of `skfi.fi_pairwise`.

    Raises
    ------
    TypeError
        skfi cannot compute influence for the classifier; the message says what to do.
    ValueError
        What `skfi.fi_util` refuses; an empty pool; an aggregate that returns nonsense.

    Warns
    -----
    ConvergenceWarning
        The classifier is not at the optimum of these rows and weights.

    See Also
    --------
    FIActiveSampler : Chooses which rows to label, by this and other scores.

    Notes
    -----
    For n training rows, d features, K classes and m parameters a pool row costs n(K-1)m
    multiplications with the exact Hessian, about n(2d + 2K²) with K-FAC, and m²/4
    (m²/2 for few classes) with "mean" and "row_trimmed_mean", once the training rows have
    been summed up.

    References
    ----------
    :cite:t:`yu2025`, Section 4, Algorithm 2 (which this is with
    ``curvature="kfac", approximation="kfsvd"``).

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi import fi_active
    >>> X, y = make_classification(200, random_state=0)
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> influence = fi_active(model, X[:100], y[:100], X[100:])
    >>> influence.shape
    (100,)
    """
    aggregate = resolve_aggregate(aggregate)
    measure = Measure(
        params, perturbation, curvature, damping, approximation, n_components, dtype,
        random_state, validation_loss, metric, unit,
    )  # fmt: skip
    pairing = pair_fitted(estimator, (X, y, sample_weight), measure)
    return score_pool(pairing, X_pool, pairing.active(aggregate))


def score_pool(
    pairing: LinearReader | NetworkPairing, X_pool: Any, score: Callable, name: str = "X_pool"
) -> np.ndarray:
    """A function of features over a pool of any size, batch by batch."""
    if not isinstance(X_pool, Iterator):
        check_sliceable(X_pool, name, batches=True)
        if _num_samples(X_pool) == 0:
            raise ValueError(
                f"Found array with 0 sample(s) (shape={getattr(X_pool, 'shape', ())}) while a "
                f"minimum of 1 is required: {name} has no rows."
            )
    parts = []
    for batch in row_batches(X_pool, pairing.doubles_per_row):
        parts.append(score(pairing.features(batch, name)))
    if not parts:
        raise ValueError(f"{name} has no batches.")
    return np.concatenate(parts)
