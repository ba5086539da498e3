"""Influence on rows that some other system holds: Spark, a database, workers of your own.

All that is asked of the rows are sums over blocks, and scores of blocks. You write ``reduce``,
which calls what it is given on every block and adds up what comes back; skfi does the rest.
`skfi.outofcore` and `skfi.integrations.dask` stand on the same two functions.
"""

from __future__ import annotations

from . import _sums as _passes
from ._sums import Scorer, Totals

__all__ = ["Scorer", "Totals", "fit_linear", "make_scorer"]


def fit_linear(
    reduce,
    n_features,
    classes,
    *,
    C=1.0,
    fit_intercept=True,
    class_weight=None,
    tol=1e-10,
    max_iter=50,
    start=None,
):
    """Logistic regression on rows that are anywhere, by Newton's method.

    Each step is one pass: the sums of the objective, its gradient and Hessian. Six or seven
    passes are the rule.

    Parameters
    ----------
    reduce : callable
        ``reduce(part) -> Totals``. It calls ``part(X, y, sample_weight)`` for every block of
        rows, here or on another machine, and returns the sum of what comes back (``a + b``, in
        any order). ``sample_weight`` may be None. `part` and `Totals` can be pickled, `part`
        by cloudpickle.
    n_features : int
        Columns of a block.
    classes : array-like of shape (K,)
        All labels there are, sorted.
    C : float, default=1.0
        Inverse strength of the L2 penalty beside the sum of the losses, as in
        scikit-learn.
    fit_intercept : bool, default=True
        Whether there is an intercept, which is not penalised.
    class_weight : dict, "balanced" or None, default=None
        As in scikit-learn; "balanced" takes a pass of its own.
    tol : float, default=1e-10
        Ends where the next step would lower the objective by less than this share of it.
    max_iter : int, default=50
        Most steps.
    start : estimator, default=None
        A fitted linear classifier of the same columns and classes, such as that of
        yesterday's rows: the steps begin at its coefficients, and fewer are needed. None
        begins at zero. Both end within `tol` of the same minimum.

    Returns
    -------
    estimator : LogisticRegression
        Fitted, as if by its own solver.

    Raises
    ------
    TypeError
        `start` has no coefficients.
    ValueError
        `C` is not positive, `start` has other columns or classes, there are fewer than two
        classes, or a block holds NaN, other columns or labels that are not among the classes.

    Warns
    -----
    ConvergenceWarning
        `max_iter` steps were not enough.

    References
    ----------
    The objective is that of the logistic regressions in :cite:t:`yu2025`, Section 4.

    Examples
    --------
    >>> from functools import reduce as fold
    >>> from operator import add
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from skfi.passes import fit_linear
    >>> X, y = make_classification(3000, n_features=10, random_state=0)
    >>> blocks = [(X[i : i + 500], y[i : i + 500]) for i in range(0, 3000, 500)]
    >>> def everywhere(part):
    ...     return fold(add, (part(rows, labels, None) for rows, labels in blocks))
    >>> fit_linear(everywhere, 10, classes=[0, 1]).coef_.shape
    (1, 10)
    """
    return _passes.fit_linear(
        reduce,
        n_features,
        classes,
        C=C,
        fit_intercept=fit_intercept,
        class_weight=class_weight,
        tol=tol,
        max_iter=max_iter,
        start=start,
        stacklevel=4,
    )


def make_scorer(
    reduce,
    estimator,
    X_val,
    y_val,
    sample_weight_val=None,
    *,
    validation_loss="log_loss",
    metric="euclidean",
    unit="copy",
):
    """One pass over the training rows, and what scores them in the next.

    Parameters
    ----------
    reduce : callable
        ``reduce(part) -> Totals``, see `fit_linear`.
    estimator : estimator
        Linear classifier fitted on these rows, or a Pipeline that ends in one: its steps are
        applied to each block.
    X_val : {array-like, sparse matrix} of shape (n_val, n_features)
        Validation rows, in memory; not used in training.
    y_val : array-like of shape (n_val,)
        Validation labels.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows in the mean.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, \
            default="log_loss"
        See `skfi.fi_util`.
    metric : {"euclidean", "mahalanobis"}, default="euclidean"
        See `skfi.fi_util`.
    unit : {"copy", "row"}, default="copy"
        See `skfi.fi_util`.

    Returns
    -------
    scorer : Scorer
        ``scorer(X, y, sample_weight)`` gives FI^util of each row of a block (b,), and what the
        removal of one copy of it gains (b,), positive where the loss would be lower without
        it. Small, and can be pickled by cloudpickle.

    Raises
    ------
    TypeError
        skfi cannot compute influence for the classifier, or it is a network.
    ValueError
        As for `skfi.fi_util`, of any block.

    Warns
    -----
    ConvergenceWarning
        The classifier is not at its optimum on these rows.

    References
    ----------
    :cite:t:`yu2025`, Section 3, Algorithm 1.

    Examples
    --------
    >>> from functools import reduce as fold
    >>> from operator import add
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from skfi import fi_util
    >>> from skfi.passes import fit_linear, make_scorer
    >>> X, y = make_classification(3000, n_features=10, random_state=0)
    >>> blocks = [(X[i : i + 500], y[i : i + 500]) for i in range(0, 2500, 500)]
    >>> def everywhere(part):
    ...     return fold(add, (part(rows, labels, None) for rows, labels in blocks))
    >>> model = fit_linear(everywhere, 10, classes=[0, 1])
    >>> scorer = make_scorer(everywhere, model, X[2500:], y[2500:])
    >>> influence = np.concatenate([scorer(rows, labels)[0] for rows, labels in blocks])
    >>> expected = fi_util(model, X[:2500], y[:2500], X[2500:], y[2500:])
    >>> bool(np.allclose(influence, expected, rtol=1e-8))
    True
    """
    scorer, _ = _passes.make_scorer(
        reduce,
        estimator,
        X_val,
        y_val,
        sample_weight_val,
        validation_loss=validation_loss,
        metric=metric,
        unit=unit,
        what="make_scorer",
        stacklevel=4,
    )
    return scorer
