"""Confident learning: would models that never saw the row expect its label.

The training loss flatters rows that the model has learnt by heart. Out-of-fold
probabilities do not, at the price of one fit a fold.
"""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import _num_samples

from .._utils._checks import check_in_memory, check_weight
from .._utils._stack import stack_rows
from .._utils._unseen import naming_unseen
from .._utils._warning_scopes import ignored
from .._utils._workers import workers
from ..influence._validation import Split, check_given, checked_splits
from ._loss import labels_and_codes, require_proba
from ._refit import fit_on, prior_on, with_all_classes


def self_confidence(
    estimator,
    X,
    y,
    X_val=None,
    y_val=None,
    *,
    sample_weight=None,
    sample_weight_val=None,
    groups=None,
    cv=5,
    n_jobs=None,
    random_state=None,
) -> np.ndarray:
    """One minus the out-of-fold probability of each row's label; higher goes first.

    The rows are split into folds; clones of the estimator, each trained without one
    fold, say how probable the labels of that fold are. Where cleanlab is installed its
    `get_label_quality_scores` does the last step, with the same result.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier with `predict_proba`; a Pipeline is refitted as a whole, a
        search searches again in every fold. The fit itself is used for the class
        labels only.
    X : array-like of shape (n, n_features)
        Training rows, as the estimator takes them.
    y : array-like of shape (n,)
        Training labels.
    X_val : array-like of shape (n_val, n_features), default=None
        Rows whose labels were checked: every fold trains on them as well. None are scored.
    y_val : array-like of shape (n_val,), default=None
        Their labels.
    sample_weight : array-like of shape (n,), default=None
        Weights for the fits, passed to the steps of a Pipeline that take them. Rows of
        weight 0 are scored but not trained on.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the rows of `X_val` in the fits; 1 each where only `sample_weight` is passed.
    groups : array-like of shape (n,), default=None
        Groups of the rows, passed to the splitter. With an int as `cv`, rows of one group
        are held out together.
    cv : int, splitter or iterable of splits, default=5
        An int is a number of shuffled stratified folds, fewer where no class has that
        many rows, or there are fewer groups. With a splitter that holds rows out more
        than once the mean probability counts.
    n_jobs : int, default=None
        Folds fitted at once, see joblib. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds, and of clones whose `random_state` is not set.

    Returns
    -------
    score : ndarray of shape (n,)
        ``1 - P(y_i|x_i)`` out of fold, in [0, 1]. A row whose class is nowhere else
        scores 1: the other rows give its label no probability.

    Raises
    ------
    TypeError
        The classifier has no `predict_proba`.
    ValueError
        Labels the classifier never saw, a number of folds below 2, no class with two
        rows, a splitter that holds some rows out never, or weights that the
        classifier does not take.

    See Also
    --------
    loss : The same without refits, judged by the model that trained on the row.

    References
    ----------
    C. Northcutt, L. Jiang, I. Chuang: "Confident Learning: Estimating Uncertainty in
    Dataset Labels", Journal of Artificial Intelligence Research 70, 2021, Section 3.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.baselines import self_confidence
    >>> X, y = load_iris(return_X_y=True)
    >>> y[0] = 2  # a wrong label
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> int(self_confidence(model, X, y, random_state=0).argmax())
    0
    """
    require_proba(estimator, "self_confidence")
    check_in_memory(X, "X")
    n_rows = _num_samples(X)
    y, codes = labels_and_codes(estimator, y, n_rows)
    classes = np.asarray(estimator.classes_)
    weight = None
    if sample_weight is not None:
        weight = check_weight(sample_weight, codes, "sample_weight")
    random_state = check_random_state(random_state)
    splits = _folds(cv, X, codes, groups, random_state)
    seeds = random_state.randint(np.iinfo(np.int32).max, size=len(splits))
    X_val, y_val, weight_val = check_given(X_val, y_val, sample_weight_val)
    checked = np.zeros(0, dtype=np.intp)
    if X_val is not None:
        y_val = labels_and_codes(estimator, y_val, _num_samples(X_val))[0]
        checked = n_rows + np.arange(len(y_val))
        if weight is not None or weight_val is not None:
            weights = (
                check_weight(weight, y, ""),
                check_weight(weight_val, y_val, "sample_weight_val"),
            )
            weight = np.concatenate(weights)
        X, y = stack_rows(X, X_val), np.concatenate([y, y_val])
    jobs = [
        (
            estimator,
            X,
            y,
            weight,
            classes,
            np.concatenate([fit_rows, checked]),
            rows,
            int(seed),
            f"Fold {k} of {len(splits)} of cv",
        )
        for k, ((fit_rows, rows), seed) in enumerate(zip(splits, seeds, strict=True), start=1)
    ]
    with workers(n_jobs) as run:
        parts = list(run(_held_out, jobs))
    proba, count = np.zeros((n_rows, len(classes))), np.zeros(n_rows)
    for (_, rows), part in zip(splits, parts, strict=True):
        proba[rows] += part
        count[rows] += 1
    if not count.all():
        raise ValueError(
            f"cv={cv!r} holds {int((count == 0).sum())} of {n_rows} rows out never, and "
            "they would have no score. Use a splitter whose test folds cover all rows."
        )
    return 1.0 - _label_quality(codes, np.clip(proba / count[:, None], 0.0, 1.0))


def _folds(cv, X, codes: np.ndarray, groups, random_state) -> list[Split]:
    if not isinstance(cv, Integral):
        splits = check_cv(cv, codes, classifier=True).split(X, codes, groups)
        return checked_splits(splits, len(codes), "cv")
    if cv < 2:
        raise ValueError(f"cv={cv!r}: the number of folds must be at least 2.")
    largest = int(np.bincount(codes).max())
    if largest < 2:
        raise ValueError(
            "No class in y has two rows, so nothing can be held out of its training. "
            "Pass more rows, or use the training loss (skfi.baselines.loss)."
        )
    n_folds, splitter = min(int(cv), largest), StratifiedKFold
    if groups is not None:
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                "groups holds one group only, and rows of one group are held out together. "
                "Pass at least two groups, or none."
            )
        n_folds, splitter = min(n_folds, n_groups), StratifiedGroupKFold
    folds = splitter(n_folds, shuffle=True, random_state=random_state)
    # Small classes are missing from some of the held-out folds, which does no harm.
    with ignored(UserWarning, "The least populated class"):
        splits = list(folds.split(np.zeros(len(codes)), codes, groups))
    return [(fit_rows, rows) for fit_rows, rows in splits if len(rows)]


def _held_out(estimator, X, y, weight, classes, fit_rows, rows, seed, name) -> np.ndarray:
    """Probabilities (rows, K) of a model that trained on ``fit_rows``."""
    if weight is not None:
        present = fit_rows[weight[fit_rows] > 0]
        if len(present) == 0:
            raise ValueError(
                "sample_weight is zero for all rows that a fold trains on. Use more "
                "folds, or leave out rows of weight 0."
            )
        fit_rows = present
    if (y[fit_rows] == y[fit_rows[0]]).all():  # most classifiers refuse a single class
        model = prior_on(y, weight, fit_rows)
    else:
        model = fit_on(estimator, X, y, weight, fit_rows, seed)
    with naming_unseen(name):
        return with_all_classes(model, classes).predict_proba(_safe_indexing(X, rows))


def _label_quality(codes: np.ndarray, proba: np.ndarray) -> np.ndarray:
    try:
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        return _own_probability(codes, proba)
    return np.asarray(
        get_label_quality_scores(
            codes, proba, method="self_confidence", adjust_pred_probs=False
        ),
        dtype=np.float64,
    )


def _own_probability(codes: np.ndarray, proba: np.ndarray) -> np.ndarray:
    return proba[np.arange(len(codes)), codes]
