"""Binary classifiers that scikit-learn joins: one versus rest, one versus one.

Each is read by its own bridge, so class weights, solvers and searches need no second
reading here. Joined, they are one model whose outputs do not mix, and whose rows count
differently from output to output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    _ConstantPredictor,
)
from sklearn.utils.validation import check_is_fitted

from ..linear._links import OneVsOne, OneVsRest, Sigmoid
from ..linear._softmax import SoftmaxLinear
from ._base import Bridge, LossWeight, bridge, steps_inside


@bridge.register(OneVsRestClassifier)
def _one_vs_rest(estimator: OneVsRestClassifier) -> Bridge:
    """P_c is the sigmoid of class c against the rest over the sum of all of them."""
    check_is_fitted(estimator)
    if estimator.multilabel_:
        raise TypeError(
            "OneVsRestClassifier was fitted on several labels a row, and influence is "
            "defined for one. Score each of its estimators_ with its own column of y."
        )
    classes = np.asarray(estimator.classes_)
    inner = _binary_bridges(estimator)
    if len(classes) == 2:
        return replace(inner[0], classes=classes)
    weight = _OneVsRestWeight(tuple(part.loss_weight for part in inner))
    return Bridge(_stacked(inner, OneVsRest(len(classes))), classes, weight)


@bridge.register(OneVsOneClassifier)
def _one_vs_one(estimator: OneVsOneClassifier) -> Bridge:
    """P_c is proportional to the product of c's probabilities against each other class.

    scikit-learn's one-versus-one only votes; this is a smooth form of its votes.
    """
    check_is_fitted(estimator)
    classes = np.asarray(estimator.classes_)
    inner = _binary_bridges(estimator)
    if len(classes) == 2:
        return replace(inner[0], classes=classes)
    link = OneVsOne(len(classes))
    weight = _OneVsOneWeight(
        tuple(zip(link.first.tolist(), link.second.tolist(), strict=True)),
        tuple(part.loss_weight for part in inner),
        tuple(_is_per_row(part) for part in inner),
    )
    return Bridge(_stacked(inner, link), classes, weight)


def _binary_bridges(estimator: OneVsRestClassifier | OneVsOneClassifier) -> list[Bridge]:
    """The bridges of all binary models, which must fit together."""
    name = type(estimator).__name__
    bridges = []
    for part in estimator.estimators_:
        if isinstance(part, _ConstantPredictor):
            raise ValueError(
                f"{name} holds a constant instead of a classifier, since one of its "
                "binary problems had rows of one class only. Fit it on rows of two "
                "classes or more."
            )
        read = bridge(part)
        if not isinstance(read, Bridge):
            raise TypeError(
                f"skfi cannot compute influence for {name} over {type(part).__name__}: each of "
                f"its networks has features of its own. Use {type(part).__name__} by itself, "
                "which knows several classes."
            )
        if read.steps:
            raise TypeError(steps_inside(estimator))
        model = read.make_model(1)
        if not isinstance(model.link, Sigmoid):
            raise TypeError(
                f"{name} joins binary models with one score each, and "
                f"{type(part).__name__} has {model.link.n_outputs} for two classes. Use "
                "LogisticRegression inside."
            )
        bridges.append(read)
    if len({read.make_model(1).fit_intercept for read in bridges}) > 1:
        raise TypeError(
            f"Some classifiers inside {name} have an intercept and some have none. Set "
            "fit_intercept for all of them, outside of the search that chose it."
        )
    return bridges


def _stacked(
    inner: Sequence[Bridge], link: OneVsRest | OneVsOne
) -> Callable[[int], SoftmaxLinear]:
    def make_model(n_rows: int) -> SoftmaxLinear:
        models = [part.make_model(n_rows) for part in inner]
        beta, l2, l1 = (
            np.concatenate([getattr(model, name) for model in models])
            for name in ("beta", "l2", "l1")
        )
        return SoftmaxLinear(beta, link, models[0].fit_intercept, l2, l1)

    return make_model


def _is_per_row(part: Bridge) -> bool:
    """Whether a model states its penalty against the mean of the losses."""
    one, two = part.make_model(1), part.make_model(2)
    return not (np.array_equal(one.l2, two.l2) and np.array_equal(one.l1, two.l1))


@dataclass(frozen=True)
class _OneVsRestWeight:
    """Weights (n, n_classes) of every row in every class's problem."""

    inner: tuple[LossWeight, ...]

    def __call__(self, codes: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
        return np.column_stack(
            [
                weigh((codes == k).astype(np.intp), sample_weight)
                for k, weigh in enumerate(self.inner)
            ]
        )


@dataclass(frozen=True)
class _OneVsOneWeight:
    """Weights (n, n_pairs), 0 for the rows a pair never saw."""

    pairs: tuple[tuple[int, int], ...]
    inner: tuple[LossWeight, ...]
    per_row: tuple[bool, ...]

    def __call__(self, codes: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
        weight = np.zeros((len(codes), len(self.pairs)))
        for k, (i, j) in enumerate(self.pairs):
            rows = np.flatnonzero((codes == i) | (codes == j))
            positive = (codes[rows] == j).astype(np.intp)
            weight[rows, k] = self.inner[k](positive, sample_weight[rows])
            if self.per_row[k] and len(rows):
                # The penalty will be counted for all rows, and belongs to the pair's.
                # Scaling a whole objective moves no optimum.
                weight[rows, k] *= len(codes) / len(rows)
        return weight
