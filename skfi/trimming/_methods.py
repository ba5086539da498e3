"""Which score the rows are removed by: FI, what it is compared with, or the user's own.

All share one call, ``(estimator, X, y, X_val, y_val, **options) -> scores``, higher goes
first. A method gets the options it names among its parameters, and no others.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from .. import baselines
from ..influence._measure import Measure
from ..influence._training import (
    InfluenceDetails,
    Scores,
    fi_and_gain,
    fi_signed,
    fi_util,
)

# What the trimmers pass by themselves.
_OWN_OPTIONS = {
    "sample_weight",
    "sample_weight_val",
    "groups",
    "validation_loss",
    "metric",
    "random_state",
    "n_jobs",
    "verbose",
}


_MEASURE = frozenset(choice.name for choice in fields(Measure))
_WEIGHTS = frozenset({"sample_weight", "sample_weight_val"})


class MethodScores(NamedTuple):
    """What a method says of the rows it scored, (n,) each."""

    scores: np.ndarray
    gain: np.ndarray | None  # the first-order gain of each removal, where known
    details: InfluenceDetails | None


@dataclass(frozen=True)
class Method:
    """A score and what it asks for."""

    name: str
    function: Callable
    needs_validation: bool = True
    needs_bridge: bool = False
    trains_on_validation: bool = False  # its own fits take the validation rows as well
    measure: frozenset[str] = frozenset()  # choices that the function takes as one `Measure`

    def options(self) -> set[str]:
        """Names of what the score takes beside the classifier and the data."""
        return set(self.measure | _WEIGHTS) if self.measure else _named_options(self.function)

    def arguments(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options that the function takes, as it takes them."""
        passed = {key: value for key, value in options.items() if key in self.options()}
        if not self.measure:
            return passed
        weights = {key: passed.pop(key) for key in _WEIGHTS & set(passed)}
        return weights | {"measure": Measure(**passed)}

    def read(self, result: Any, n_rows: int) -> MethodScores:
        """What the function returned, checked."""
        if isinstance(result, Scores):
            scores = _checked(result.scores, n_rows, self.name)
            return MethodScores(scores, result.gain, result.details)
        scores = _checked(result, n_rows, self.name)
        return MethodScores(scores, scores if self.name == "iv" else None, None)

    def check_params(self, influence_params: dict[str, Any] | None) -> dict[str, Any]:
        """Further arguments of the user's, refused where the score does not take them."""
        params = dict(influence_params or {})
        for key in params:
            if key in _OWN_OPTIONS:
                raise ValueError(
                    f"influence_params holds {key!r}, which is a parameter of the trimmer's "
                    "own. Set it there."
                )
        unknown = sorted(set(params) - self.options())
        if unknown:
            known = sorted(self.options() - _OWN_OPTIONS)
            raise ValueError(
                f"influence={self.name} does not take {unknown} of influence_params. "
                + (f"It takes {known}." if known else "It takes none.")
            )
        cv = params.get("cv", 2)
        if not (isinstance(cv, Integral) or hasattr(cv, "split")):
            raise ValueError(
                "influence_params holds splits as 'cv', and the rows that are left change "
                "with every step. Pass a number of folds or a splitter."
            )
        return params


METHODS = {
    method.name: method
    for method in (
        Method("fi", fi_and_gain, needs_bridge=True, measure=_MEASURE),
        Method(
            "fi_signed",
            partial(fi_and_gain, signed=True),
            needs_bridge=True,
            measure=_MEASURE - {"unit"},
        ),
        Method("iv", baselines.iv, needs_bridge=True),
        Method("loss", baselines.loss, needs_validation=False),
        Method(
            "self_confidence",
            baselines.self_confidence,
            needs_validation=False,
            trains_on_validation=True,
        ),
        Method("knn_shapley", baselines.knn_shapley),
        Method("tmc_shapley", baselines.tmc_shapley),
        Method("random", baselines.random, needs_validation=False),
    )
}
_FUNCTIONS = {method.function: method for method in METHODS.values()} | {
    fi_util: METHODS["fi"],
    fi_signed: METHODS["fi_signed"],
}


def resolve_method(influence: str | Callable) -> Method:
    """The method behind a name or a callable.

    Our own functions are known for what they are, inside ``functools.partial`` as well.
    """
    if isinstance(influence, str):
        if influence not in METHODS:
            raise ValueError(
                f"influence={influence!r} is not known. Use one of {sorted(METHODS)} or a "
                "callable (estimator, X, y, X_val, y_val) -> scores, higher goes first."
            )
        return METHODS[influence]
    inner = influence
    while isinstance(inner, partial):
        inner = inner.func
    known = _FUNCTIONS.get(inner) if inspect.isfunction(inner) else None
    if known is not None:
        if influence is inner:
            return known
        return replace(known, function=influence, measure=frozenset())
    return Method(getattr(inner, "__name__", type(inner).__name__), influence)


def _named_options(function: Callable) -> set[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some built-in callables have no signature
        return set()
    only, either = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    # The classifier and the data fill the first five, whatever their names.
    data = [p.name for p in parameters if p.kind in (only, either)][:5]
    return {
        p.name
        for p in parameters
        if p.kind in (either, inspect.Parameter.KEYWORD_ONLY) and p.name not in data
    }


def _checked(scores: Any, n_rows: int, name: str) -> np.ndarray:
    """Scores as float64 (n,); whoever wrote the callable learns what is wrong."""
    try:
        scores = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"influence={name} must return one number a row, got {type(scores).__name__}."
        ) from error
    if scores.shape != (n_rows,):
        raise ValueError(
            f"influence={name} returned scores of shape {scores.shape}; it must return one "
            f"a row of the X it was given, shape ({n_rows},)."
        )
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).sum())
        raise ValueError(
            f"influence={name} returned NaN or infinity for {bad} of {n_rows} rows. Rows "
            "are ordered by it, so every row needs a finite score; give those that must "
            "stay a low one."
        )
    return scores
