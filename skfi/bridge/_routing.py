"""Who gets which fit parameters: the classifier, the one that scores, the splitter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import has_fit_parameter

from ._base import innermost
from ._skorch import SkorchClassifier

# Of fit parameters that belong to other rows than X: eval_set, eval_X, X_val, …
_OTHER_ROWS = re.compile(r"(^|_)(eval|val|valid|validation)(_|$)")


@dataclass(frozen=True)
class Whole:
    """A fit parameter that is not cut with the rows of X, whatever its length."""

    value: Any


def keep_whole(params: dict[str, Any]) -> dict[str, Any]:
    """Fit parameters, of which those that belong to other rows are kept whole.

    scikit-learn cuts whatever is as long as X. A one-tuple is kept whole as well, and
    unpacked; not so of parameters named eval, for which libraries take tuples.
    """
    kept = {}
    for key, value in params.items():
        name = key.rpartition("__")[2]
        packed = isinstance(value, tuple) and len(value) == 1 and hasattr(value[0], "shape")
        if packed and "eval" not in name:
            value = Whole(value[0])
        elif _OTHER_ROWS.search(name):
            value = Whole(value)
        kept[key] = value
    return kept


def unwrapped(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters as fit takes them."""
    return {key: v.value if isinstance(v, Whole) else v for key, v in params.items()}


def routed_params(
    trimmer: Any, estimator: Any, sample_weight: Any, params: Any, *, scorer: Any = None
) -> Bunch:
    """What goes to the fits of the classifier and of the one that scores, and to split.

    With metadata routing on, whatever they requested. With it off, other parameters go
    to the classifier; sample weights go to it as well, or, if it is a Pipeline, to each
    step that takes them, and to the one that scores.
    """
    if _routing_enabled():
        if sample_weight is not None:
            params = {**params, "sample_weight": sample_weight}
        routed = process_routing(trimmer, "fit", **params)
        splitter = routed.get("splitter", Bunch(split={}))
        own = dict(routed.estimator.fit)
        scores = own if scorer is None else dict(routed.influence_estimator.fit)
        return Bunch(estimator=own, scorer=scores, splitter=dict(splitter.split))
    params = dict(params)
    split = {"groups": params.pop("groups")} if "groups" in params else {}
    scores = {}
    if sample_weight is not None:
        params.update(weight_params(estimator, sample_weight))
        if scorer is not None:
            scores = weight_params(scorer, sample_weight)
    return Bunch(estimator=params, scorer=params if scorer is None else scores, splitter=split)


def weight_params(estimator: Any, sample_weight: Any) -> dict[str, Any]:
    """Fit parameters by which weights reach a classifier and the steps before it."""
    names = _weight_names(estimator)
    if names:
        return dict.fromkeys(names, sample_weight)
    last = innermost(estimator)
    name = type(last).__name__
    if isinstance(last, SkorchClassifier):
        name = f"skorch's {type(last.net).__name__}"
    raise ValueError(
        f"sample_weight was passed, but {name} does not take it in "
        "fit. Leave the weights out, wrap a classifier that takes them, or request them "
        "by metadata routing."
    )


def _weight_names(estimator: Any) -> list[str]:
    """Names of these parameters; none where the classifier takes no weights."""
    if isinstance(estimator, Pipeline):
        steps = {name: _weight_names(step) for name, step in estimator.steps}
        taken = bool(steps[estimator.steps[-1][0]])
        return [f"{step}__{name}" for step in steps for name in steps[step]] if taken else []
    if isinstance(estimator, BaseSearchCV):  # it passes on what its fit is passed
        return _weight_names(estimator.estimator)
    if isinstance(estimator, VotingClassifier | StackingClassifier):
        parts = [part for _, part in estimator.estimators if not isinstance(part, str)]
        parts += filter(None, [getattr(estimator, "final_estimator", None)])
        taken = all(_weight_names(part) == ["sample_weight"] for part in parts)
        return ["sample_weight"] if taken else []
    fits = hasattr(estimator, "fit")
    taken = fits and has_fit_parameter(estimator, "sample_weight")
    return ["sample_weight"] if taken or isinstance(estimator, FrozenEstimator) else []


def model_weight(fit_params: dict[str, Any]) -> Any:
    """The sample weights among an estimator's fit parameters, for its last step."""
    weights = [v for k, v in fit_params.items() if k.split("__")[-1] == "sample_weight"]
    return weights[-1] if weights else None
