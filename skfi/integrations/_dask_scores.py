"""FI of dask collections: one pass on the spot, and the scores lazily."""

from __future__ import annotations

from functools import partial

import numpy as np
from dask.base import is_dask_collection
from sklearn.utils.validation import _num_features

from .._utils._checks import check_choice
from ..influence._active import score_pool
from ..influence._measure import Measure
from ..influence._pairing import pair_fitted
from ..influence._rows import check_equal_widths, check_names, column_names
from ..linear._aggregate import resolve_aggregate
from ..passes._sums import SCORES, Scorer, linear_bridge, make_scorer
from ..passes._totals import Part, Reduce, Totals
from ._dask_blocks import SPLIT_EVERY, Blocks, compute_now, in_blocks, map_blocks, sum_blocks


def fi_util(
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
    unit="copy",
    influence="fi",
    split_every=SPLIT_EVERY,
    return_details=False,
):
    """Influence of each training row on the loss over a validation set, FI^util, on dask.

    The call sums up the curvature, in one pass over the rows, or two where class weights
    balance. The result is lazy and scores each chunk by itself.

    Parameters
    ----------
    estimator : estimator
        Linear classifier fitted on exactly `X`, `y` and `sample_weight`, of a kind that
        `skfi.fi_util` takes: that of `fit_logistic`, say, or a Pipeline of fitted steps that
        ends in one. Each chunk goes through the steps as it is: an array, or of a DataFrame
        a pandas DataFrame.
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n, n_features)
        Training rows. Chunk lengths may be unknown. Several chunks of columns are joined
        in every pass.
    y : dask.array.Array or dask.dataframe.Series of shape (n,)
        Training labels, chunked as `X`; where all lengths are known they are brought to
        that.
    X_val : {array-like, sparse matrix, DataFrame} of shape (n_val, n_features)
        Validation rows, in memory, not used in training.
    y_val : array-like of shape (n_val,)
        Their labels.
    sample_weight : dask.array.Array or dask.dataframe.Series of shape (n,), default=None
        Weights the estimator was fitted with.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows in the mean.
    validation_loss, metric, unit : default="log_loss", "euclidean", "copy"
        As in `skfi.fi_util`.
    influence : {"fi", "fi_signed", "gain"}, default="fi"
        Which score: FI; the first-order gain of removing one copy of the row
        (`skfi.baselines.iv`); or the root of FI times that gain, as the trimmers rank.
    split_every : int, default=8
        Sums of chunks that one task adds up. Each holds two square matrices, of a side of
        (K − 1)(d + 1) for d columns and K classes, and of d.
    return_details : bool, default=False
        Also return how the scores came about.

    Returns
    -------
    influence : dask.array.Array of shape (n,)
        Lazy, in the chunks of `X`: non-negative for "fi"; for the others positive where a
        row does harm.
    details : skfi.influence.InfluenceDetails
        Only if `return_details`.

    Raises
    ------
    TypeError
        `X`, `y` or `sample_weight` is no dask collection, `X_val` or `y_val` is one;
        skfi cannot compute influence for the classifier, or it is a network.
    ValueError
        NaN or infinity, labels the classifier does not know, chunks of `X` and `y` that
        differ in length: the message names the chunk. Widths that differ, or no weight at
        all.

    Warns
    -----
    ConvergenceWarning
        The classifier is not at the optimum of these rows and weights.

    See Also
    --------
    skfi.fi_util : For rows in memory; networks as well.
    trim : Fits, scores, drops the worst rows and fits again.

    Notes
    -----
    The lazy result carries the inverse curvature and a root of the covariance: a graph of
    both passes would hold every chunk of `X` from the first to the second.

    References
    ----------
    :cite:t:`yu2025`, Section 3, Algorithm 1.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.datasets import make_classification
    >>> from skfi.integrations.dask import fi_util, fit_logistic
    >>> X, y = make_classification(200, random_state=0)
    >>> rows, labels = da.from_array(X[:100], chunks=(30, 20)), da.from_array(y[:100])
    >>> model = fit_logistic(rows, labels)
    >>> influence = fi_util(model, rows, labels, X[100:], y[100:])
    >>> influence.chunks
    ((30, 30, 30, 10),)
    >>> bool((influence.compute() >= 0).all())
    True
    """
    blocks = in_blocks(X=X, y=y, sample_weight=sample_weight)
    held_out = X_val, y_val, sample_weight_val
    scores, details = score_blocks(
        estimator,
        blocks,
        X,
        held_out,
        influence,
        split_every,
        validation_loss=validation_loss,
        metric=metric,
        unit=unit,
    )
    return (scores, details) if return_details else scores


def score_blocks(estimator, blocks: Blocks, X, held_out, influence, split_every, **options):
    """`fi_util` of rows that are in blocks already."""
    fitted = linear_bridge(estimator, "fi_util")
    check_scoring(X, held_out, influence, of_any_width=bool(fitted.steps))
    check_names(column_names(estimator), getattr(X, "_meta", X), "X")
    reduce = reducer(blocks, split_every)
    scorer = make_scorer(reduce, estimator, *held_out, **options)
    function = partial(_score, scorer, influence)
    return map_blocks(blocks, function, "skfi-influence", np.float64), scorer.details


def check_scoring(X, held_out, influence, of_any_width: bool = False) -> None:
    """Refuse what cannot be scored before there is a pass."""
    check_choice("influence", influence, tuple(SCORES))
    check_in_memory(X_val=held_out[0], y_val=held_out[1], sample_weight_val=held_out[2])
    check_columns(X, "X")
    if not of_any_width:
        check_equal_widths(X.shape[1], _num_features(held_out[0]))


def reducer(blocks: Blocks, split_every: int) -> Reduce:
    """A pass over the blocks."""

    def reduce(part: Part) -> Totals:
        total = compute_now(sum_blocks(blocks, part, "skfi-pass", split_every))
        if total is None:
            raise ValueError("X has no rows.")
        return total

    return reduce


def _score(scorer: Scorer, influence: str, X, y, sample_weight) -> np.ndarray:
    return SCORES[influence](*scorer(X, y, sample_weight))


def check_in_memory(**values) -> None:
    """Refuse dask collections where rows have to be at hand."""
    for name, value in values.items():
        if is_dask_collection(value):
            raise TypeError(
                f"{name} is a dask {type(value).__name__}; these rows are few, and needed in "
                f"memory. Pass {name}.compute()."
            )


def check_columns(X, name: str) -> None:
    """Refuse rows without columns."""
    if X.ndim != 2:
        raise ValueError(f"{name} must have rows and columns, and has {X.ndim} dimensions.")


def fi_active(
    estimator,
    X,
    y,
    X_pool,
    *,
    aggregate="trimmed_mean",
    sample_weight=None,
    validation_loss="log_loss",
    metric="euclidean",
    unit="copy",
    params="last_layer",
    perturbation="features",
    curvature="auto",
    damping="auto",
    approximation=None,
    n_components=None,
    dtype=None,
    random_state=None,
):
    """Influence of the training rows on the prediction for each row of a dask pool, FI^active.

    The labelled rows are in memory, and prepared once by the call. The result is lazy and
    scores each chunk of the pool by itself.

    Parameters
    ----------
    estimator : estimator
        Classifier fitted on exactly `X`, `y` and `sample_weight`, of a kind that
        `skfi.fi_util` takes.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Labelled rows the classifier was trained on, in memory.
    y : array-like of shape (n,)
        Their labels.
    X_pool : dask.array.Array or dask.dataframe.DataFrame of shape (n_pool, n_features)
        Unlabelled rows. Chunk lengths may be unknown.
    aggregate : {"trimmed_mean", "mean", "median", "lower_quartile", "row_trimmed_mean"} or \
            callable, default="trimmed_mean"
        From FI through each training row to one number, as in `skfi.fi_active`.
    sample_weight : array-like of shape (n,), default=None
        Weights the estimator was fitted with.
    validation_loss, metric, unit, params, perturbation : \
            default="log_loss", "euclidean", "copy", "last_layer", "features"
        As in `skfi.fi_active`.
    curvature, damping, approximation, n_components, dtype, random_state : \
            default="auto", "auto", None, None, None, None
        As in `skfi.fi_active`.

    Returns
    -------
    influence : dask.array.Array of shape (n_pool,)
        Lazy, in the chunks of `X_pool`. Non-negative.

    Raises
    ------
    TypeError
        `X_pool` is no dask collection, or `X` or `y` is one; skfi cannot compute
        influence for the classifier.
    ValueError
        What `skfi.fi_active` refuses; of a row of the pool when the scores are computed, with
        the chunk's number.

    Warns
    -----
    ConvergenceWarning
        The classifier is not at the optimum of these rows and weights.

    See Also
    --------
    skfi.fi_active : For a pool in memory or in batches.
    select_top : The rows to label.

    References
    ----------
    :cite:t:`yu2025`, Section 4, Algorithm 2.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.integrations.dask import fi_active, select_top
    >>> X, y = make_classification(1000, random_state=0)
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> pool = da.from_array(X[100:], chunks=(300, 20))
    >>> influence = fi_active(model, X[:100], y[:100], pool)
    >>> pool[select_top(influence, 10)].compute().shape
    (10, 20)
    """
    blocks = in_blocks(X_pool=X_pool)
    check_in_memory(X=X, y=y, sample_weight=sample_weight)
    aggregate = resolve_aggregate(aggregate)
    measure = Measure(
        params, perturbation, curvature, damping, approximation, n_components, dtype,
        random_state, validation_loss, metric, unit,
    )  # fmt: skip
    pairing = pair_fitted(estimator, (X, y, sample_weight), measure)
    function = partial(_score_pool, pairing, pairing.active(aggregate))
    return map_blocks(blocks, function, "skfi-active", np.float64)


def _score_pool(pairing, score, X_pool) -> np.ndarray:
    return score_pool(pairing, X_pool, score)
