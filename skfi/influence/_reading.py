"""From a fitted classifier and rows as they come to checked rows where the model sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from sklearn.pipeline import Pipeline

from .._utils._checks import check_rows, check_sliceable
from .._utils._trained_rows import trained_rows, unfrozen, warn_of_unequal_step
from .._utils._user_warnings import warn_user
from ..bridge import Bridge, bridge
from ..bridge._network import SPARSE_LAYER, Choices, NetworkBridge
from ._curved import CurvedLinear, LinearReading, own_class
from ._network import CurvedNetwork, NetworkReading
from ._rows import (
    Rows,
    check_names,
    check_same_columns,
    column_names,
    labelled,
    linear_rows,
    through_steps,
)

_PENALTY_UNKNOWN = (
    "The penalty of the network is not known: skfi cannot read the weight_decay of its "
    "optimizer. Scores are computed without a penalty (penalty_known=False in the "
    "InfluenceDetails), with damping in its place. Train by torch.optim.SGD, Adam or AdamW, or "
    "another that the documentation of networks lists, or with weight_decay=0."
)

_AnyBridge = TypeVar("_AnyBridge", Bridge, NetworkBridge)
LabelledData = tuple[Any, Any, Any]  # rows, labels and weights, as they come


def read_fitted(
    estimator: Any,
    training: LabelledData,
    choices: Choices,
    held_out: LabelledData | None = None,
    wide: bool = False,
    pairs: bool = False,
) -> LinearReading | NetworkReading:
    """Check the data, and read the classifier.

    ``wide`` lets the rows stand for H where there are fewer of them than columns. ``pairs``
    need the root of H⁻¹.
    """
    X, y, sample_weight = training
    fitted, names = bridge(estimator), column_names(estimator)
    named = [(X, "X")] if held_out is None else [(X, "X"), (held_out[0], "X_val")]
    for rows, name in named:
        check_sliceable(rows, name)
    for rows, name in named:
        check_names(names, rows, name)
    prepared = trained_rows(estimator, X)
    unlike = prepared is None and warn_of_unequal_step(estimator, X, y)
    if not isinstance(fitted, NetworkBridge):
        choices.check_linear(type(estimator).__name__)
        layer = _with_prepared(fitted, estimator, X, prepared)
        train, others = _linear_data(layer, training, held_out)
        return LinearReading(
            fitted, train, others, choices, own_class(estimator),
            at_optimum=not unlike, wide=wide,
        )  # fmt: skip
    fitted.check_weight(sample_weight)
    if not fitted.penalty_known:
        warn_user(_PENALTY_UNKNOWN)
    reading = _with_prepared(fitted, estimator, X, prepared)
    if choices.closed_form:
        linear = fitted.last_layer(choices, X)
        layer = linear if prepared is None else reading.last_layer(choices, X)
        train, others = _linear_data(layer, training, held_out)
        return LinearReading(
            linear, train, others, choices,
            network=True, wide=wide, penalty_known=fitted.penalty_known,
        )  # fmt: skip
    train = _network_rows(reading, training, "")
    network = reading.network(choices, X)  # says so where there is no torch
    others = None if held_out is None else _network_rows(reading, held_out, "_val")
    if others is not None:
        check_same_columns(train, others)
    return NetworkReading(fitted, network, train, others, choices, pairs)


def curve_fitted(
    estimator: Any,
    training: LabelledData,
    choices: Choices | None = None,
    pairs: bool = False,
) -> CurvedLinear | CurvedNetwork:
    """A fitted classifier with the curvature of its objective over the training rows."""
    choices = Choices() if choices is None else choices
    return read_fitted(estimator, training, choices, pairs=pairs).curve()


def _with_prepared(fitted: _AnyBridge, estimator: Any, X: Any, prepared: Any) -> _AnyBridge:
    """The bridge, with the rows that the last step was fitted on instead of X."""
    if prepared is None:
        return fitted
    n_steps: int = 0
    inner = unfrozen(estimator)
    while isinstance(inner, Pipeline):
        n_steps += len(inner.steps) > 1
        inner = inner.steps[-1][1]
    before = fitted.steps[:n_steps]

    def prepare(rows: Any) -> Any:
        if rows is X:
            return prepared
        for step in before:
            rows = step(rows)
        return rows

    return replace(fitted, steps=(prepare, *fitted.steps[n_steps:]))


def _linear_data(
    fitted: Bridge, training: LabelledData, held_out: LabelledData | None
) -> tuple[Rows, Rows | None]:
    train = linear_rows(fitted, *training)
    others = None if held_out is None else linear_rows(fitted, *held_out, "_val")
    if others is not None:
        check_same_columns(train, others)
    return train, others


def _network_rows(fitted: NetworkBridge, data: tuple[Any, Any, Any], suffix: str) -> Rows:
    X, y, sample_weight = data
    X = through_steps(fitted.transform, X, f"X{suffix}")
    check_rows(X, f"X{suffix}", SPARSE_LAYER)
    return labelled(X, y, sample_weight, fitted.classes, suffix)
