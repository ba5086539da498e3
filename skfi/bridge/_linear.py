"""scikit-learn's logistic regressions: the one place that reads their parameters.

Every way scikit-learn states the same objective is brought to one form,
``Σ_i s_i L_i + ½ Σ l2 β² + Σ l1 |β|``, here and nowhere else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    SGDClassifier,
)
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from ._base import Bridge, bridge


def read_penalty(estimator: Any) -> tuple[np.ndarray, np.ndarray]:
    """(C, l1_ratio) of a fitted logistic regression, whatever the version calls them.

    Until scikit-learn 1.7 `penalty` says which penalty is meant; from 1.8 on it reads
    "deprecated" unless set, and `C` (infinite: none) and `l1_ratio` say it.

    Parameters
    ----------
    estimator : LogisticRegression or LogisticRegressionCV
        Fitted for the latter, whose `C_` and `l1_ratio_` are what was used.

    Returns
    -------
    C : ndarray of shape (1,) or (n_outputs,)
        Inverse strength of the penalty, infinite for none.
    l1_ratio : ndarray of shape (1,) or (n_outputs,)
        Share of the L1 penalty, 0 for pure L2.

    Raises
    ------
    AttributeError
        The estimator has no `C` and `l1_ratio`, or is a `LogisticRegressionCV` that is not
        fitted.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.bridge import read_penalty
    >>> read_penalty(LogisticRegression(C=2.0))
    (array([2.]), array([0.]))
    """
    if isinstance(estimator, LogisticRegressionCV):
        C = np.ravel(np.asarray(estimator.C_, dtype=np.float64))
        ratio = np.ravel(np.asarray(estimator.l1_ratio_, dtype=object))
        l1_ratio = np.array([0.0 if r is None else float(r) for r in ratio])
    else:
        C = np.array([float(estimator.C)])
        given = estimator.l1_ratio
        l1_ratio = np.array([0.0 if given is None else float(given)])
    penalty = estimator.penalty
    if penalty is None:
        C, l1_ratio = np.array([np.inf]), np.zeros(1)
    elif penalty in ("l1", "l2"):
        l1_ratio = np.full_like(l1_ratio, 1.0 if penalty == "l1" else 0.0)
    return C, l1_ratio


def _is_one_vs_rest(estimator: LogisticRegression) -> bool:
    """Whether several classes were fitted one against the rest (until 1.7 only)."""
    how = getattr(estimator, "multi_class", "deprecated")
    if len(estimator.classes_) == 2:
        if how == "multinomial":
            raise TypeError(
                "LogisticRegression(multi_class='multinomial') on two classes fits a "
                "softmax that scikit-learn has deprecated. Leave multi_class at its "
                "default."
            )
        return False
    return how == "ovr" or estimator.solver == "liblinear"


class _ClassWeight:
    """``class_weight`` as scikit-learn's solvers apply it; a class, so that it pickles."""

    def __init__(
        self, class_weight: Any, classes: np.ndarray, weighted: bool, mode: str
    ) -> None:
        self.class_weight = class_weight
        self.classes = classes
        self.weighted = weighted  # does "balanced" count sample weights?
        self.mode = mode  # "rows", or one-versus-rest's "positives" or "each"

    def __call__(self, codes: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
        n_classes = len(self.classes)
        balancing = sample_weight if self.weighted else None
        if self.mode == "each":
            # Each binary problem is balanced by itself.
            weight = np.empty((len(codes), n_classes))
            for k in range(n_classes):
                positive = (codes == k).astype(int)
                pair = compute_class_weight(
                    "balanced", classes=np.arange(2), y=positive, sample_weight=balancing
                )
                weight[:, k] = pair[positive] * sample_weight
            return weight
        factors = compute_class_weight(
            self.class_weight,
            classes=self.classes,
            y=self.classes[codes],
            sample_weight=balancing,
        )
        if self.mode == "positives":
            # SGD and liblinear weigh a class only in its own one-versus-rest problem.
            weight = np.repeat(sample_weight[:, None], n_classes, axis=1)
            weight[np.arange(len(codes)), codes] *= factors[codes]
            return weight
        return factors[codes] * sample_weight


def balances(fitted: Bridge) -> bool:
    """Whether class weights are to be taken from all rows."""
    rule = fitted.loss_weight
    return isinstance(rule, _ClassWeight) and isinstance(rule.class_weight, str)


def balanced(fitted: Bridge, mass: np.ndarray) -> Bridge:
    """The bridge with the class weights that balance rows which are not all at hand.

    ``mass`` (2, K) holds what there is of each class: rows, and their sample weights.
    """
    rule = fitted.loss_weight
    assert isinstance(rule, _ClassWeight)
    if rule.mode == "each":
        raise ValueError(
            "class_weight='balanced' is another weight in each one-versus-rest problem, "
            "which is known of rows in memory only. Pass class_weight as a dict."
        )
    counted = mass[int(rule.weighted)]
    if not (counted > 0).all():
        raise ValueError("class_weight='balanced': there are classes without rows.")
    factors = counted.sum() / (len(counted) * counted)
    given = dict(zip(rule.classes.tolist(), factors.tolist(), strict=True))
    return replace(
        fitted, loss_weight=_ClassWeight(given, rule.classes, rule.weighted, rule.mode)
    )


def _loss_weight(estimator: Any, *, weighted: bool, mode: str) -> dict[str, Any]:
    if estimator.class_weight is None:
        return {}
    return {
        "loss_weight": _ClassWeight(estimator.class_weight, estimator.classes_, weighted, mode)
    }


@bridge.register(LogisticRegression)
def _logistic_regression(estimator: LogisticRegression) -> Bridge:
    check_is_fitted(estimator)
    C, l1_ratio = read_penalty(estimator)
    one_vs_rest = _is_one_vs_rest(estimator)
    l2, l1 = (1.0 - l1_ratio) / C, l1_ratio / C
    if not one_vs_rest:
        l2, l1 = l2[:1], l1[:1]
    mode = "rows"
    if one_vs_rest:
        # liblinear weighs a class in its own problem only; other solvers balance each
        # problem by itself, and apply given weights to rows.
        balanced = estimator.class_weight == "balanced"
        mode = (
            "positives" if estimator.solver == "liblinear" else "each" if balanced else "rows"
        )
    intercept = estimator.intercept_ if estimator.fit_intercept else None
    penalised = {}
    if estimator.solver == "liblinear" and intercept is not None:
        # liblinear's intercept is the weight of a column that holds
        # intercept_scaling, and is penalised like any other weight.
        scaling = float(estimator.intercept_scaling)
        penalised = {"l2_intercept": l2 / scaling**2, "l1_intercept": l1 / scaling}
    return Bridge.linear(
        estimator.coef_,
        intercept,
        classes=estimator.classes_,
        l2=l2,
        l1=l1,
        one_vs_rest=one_vs_rest,
        **penalised,
        **_loss_weight(estimator, weighted=True, mode=mode),
    )


@bridge.register(SGDClassifier)
def _sgd(estimator: SGDClassifier) -> Bridge:
    check_is_fitted(estimator)
    if estimator.loss != "log_loss":
        raise TypeError(
            f"SGDClassifier(loss={estimator.loss!r}) gives no class probabilities to "
            'differentiate. Use loss="log_loss".'
        )
    l1_ratio = {"l1": 1.0, "l2": 0.0, "elasticnet": estimator.l1_ratio}.get(
        estimator.penalty, 0.0
    )
    alpha = 0.0 if estimator.penalty is None else float(estimator.alpha)
    several = len(estimator.classes_) > 2
    return Bridge.linear(
        estimator.coef_,
        estimator.intercept_ if estimator.fit_intercept else None,
        classes=estimator.classes_,
        l2=alpha * (1.0 - l1_ratio),
        l1=alpha * l1_ratio,
        l2_per_row=True,
        one_vs_rest=True,
        **_loss_weight(estimator, weighted=False, mode="positives" if several else "rows"),
    )
