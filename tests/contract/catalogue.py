"""Every public name of skfi, found by itself, and how it is called.

Calls are derived from signatures: each argument has a value by its name. A new public name is
held to the rules of this folder as soon as it is in an ``__all__``; where a required argument
has no value here, the tests fail until it has one.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import skfi
from skfi.queries import Margin, QueryStrategy, Random
from tests.contract import data

# Every public name is called with everything that it can do.
for package in ("torch", "skorch", "jinja2", "pandas"):
    pytest.importorskip(package, reason=f"{package} is not installed: names that need it fail")

# What is passed although it has a default: data, seeds, and what keeps calls quick.
OPTIONAL = {
    "X_labelled", "X_test", "X_val", "ax", "batch_size", "budget", "budgets", "columns", "cv",
    "estimator", "labelled", "labels", "max_permutations", "n_draws", "n_initial",
    "n_neighbors", "n_repeats", "n_rounds", "n_samples", "names", "proba", "random_state",
    "regressor", "sample_weight", "sample_weight_val", "scores", "step", "support",
    "validation", "y_labelled", "y_query", "y_test", "y_val",
}  # fmt: skip
# Names of which a call has nothing to be held to, and why.
EXEMPT = {
    "skfi.bridge.register_bridge": "It changes the registry of bridges; that is its purpose.",
}


class NoRecipe(TypeError):
    """How to call a public name cannot be derived."""


@dataclass(frozen=True)
class Call:
    """How a public name is called with values by argument name."""

    name: str
    kind: str  # "function", "strategy", "estimator", "display" or "rows"
    target: Any
    run: Callable[[dict], dict[str, Any]]

    def __str__(self) -> str:
        return self.name

    @property
    def refits(self) -> bool:
        """Whether it takes an unfitted classifier, which it fits."""
        return self.kind in ("strategy", "estimator") or self.name.endswith(
            ("active_learning_curve", "to_label_studio")
        )


@cache
def public() -> dict[str, Any]:
    """Public objects by their shortest name."""
    found: dict[int, tuple[str, Any]] = {}
    modules = ["skfi", *(m.name for m in pkgutil.walk_packages(skfi.__path__, "skfi."))]
    for module_name in modules:
        if any(part.startswith("_") for part in module_name.split(".")):
            continue
        try:
            module = importlib.import_module(module_name)
        except ImportError:  # an extra that is not installed
            continue
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            full = f"{module_name}.{name}"
            known = found.setdefault(id(value), (full, value))
            if full.count(".") < known[0].count("."):
                found[id(value)] = full, value
    return dict(sorted(found.values()))


def calls() -> list[Call]:
    """A call of each public name; those that no recipe fits raise when they are run."""
    out = []
    for name, value in public().items():
        if name not in EXEMPT:
            out += _calls(name, value)
    return out


def _calls(name: str, value) -> list[Call]:
    if not inspect.isclass(value):
        if next(iter(inspect.signature(value).parameters)) == "path":
            return []  # reads files, and takes no rows
        return [Call(name, "function", value, partial(_call, value, _adapter(value)))]
    if inspect.isabstract(value):
        return []  # its subclasses are held to the rules
    if issubclass(value, QueryStrategy):
        return [Call(name, "strategy", value, partial(_ask, value))]
    if "clf" in inspect.signature(getattr(value, "query", len)).parameters:
        return [Call(name, "function", value, partial(_ask_for_skactiveml, value))]
    if hasattr(value, "fit"):
        return [Call(name, "estimator", value, partial(_fit, value))]
    if dataclasses.is_dataclass(value) and not hasattr(value, "__post_init__"):
        return []  # a container: held to the rules where a call returns one
    makers = [m for m in vars(value) if m.startswith("from_")]
    if makers:
        run = partial(_draw, value)
        return [Call(f"{name}.{m}", "display", value, partial(run, m)) for m in makers]
    return [Call(name, "rows", value, partial(_call, value, None))]


def numbers(results: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arrays of scores and positions among the results of a call."""
    names = ("result", "batch", "utilities", "scores", "support_", "trimmed_indices_")
    kept = {name: results.get(name) for name in (*names, "influence_")}
    return {name: value for name, value in kept.items() if isinstance(value, np.ndarray)}


def arguments(function, values: dict) -> dict[str, Any]:
    """Values of a function's arguments, by name."""
    chosen = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        required = parameter.default is parameter.empty
        if required and name not in values:
            raise NoRecipe(
                f"{getattr(function, '__qualname__', function)} needs {name!r}, of which "
                "tests/contract knows no value: add one to `values` of data.py, or a recipe to "
                "catalogue.py."
            )
        if name in values and (required or name in OPTIONAL):
            chosen[name] = values[name]
    return chosen


def _adapter(function) -> Callable | None:
    return _in_dask if function.__module__.startswith("skfi.integrations._dask") else None


def _in_dask(chosen: dict) -> dict:
    import dask.array as da

    rows = {"X_pool"} if "X_pool" in chosen else {"X", "y", "sample_weight", "scores"}

    def chunked(value):
        value = value if sparse.issparse(value) else np.asarray(value)
        return da.from_array(value, chunks=(16, *value.shape[1:]), asarray=False)

    return {k: chunked(v) if k in rows else v for k, v in chosen.items()}


def _call(function, adapt, values: dict) -> dict[str, Any]:
    if "trimmer" in inspect.signature(function).parameters:
        values = values | {"trimmer": _trimmer(function, values)}
    chosen = arguments(function, values)
    chosen = adapt(chosen) if adapt else chosen
    # A singledispatch function takes its first argument by position only.
    leading = next(iter(inspect.signature(function).parameters))
    first = [chosen.pop(leading)] if leading in chosen else []
    result = function(*first, **chosen)
    out = {"result": _computed(result)}
    if type(result).__module__.startswith("skfi."):
        out |= methods(result, values)
    return out


def _computed(result):
    return result.compute() if hasattr(result, "compute") else result


def methods(fitted, values: dict) -> dict[str, Any]:
    """Results of the public methods whose arguments have values."""
    out = {}
    for name in sorted(dir(type(fitted))):
        refits = name.startswith(("fit", "get_", "set_", "partial_", "from_", "plot"))
        if name.startswith("_") or refits or not hasattr(fitted, name):
            continue
        method = getattr(fitted, name)
        if not callable(method):
            continue
        try:
            chosen = arguments(method, values | {"estimator": None})
        except (NoRecipe, ValueError):
            continue
        out[name] = _computed(method(**{k: v for k, v in chosen.items() if k != "batch_size"}))
    return out


def _ask(kind, values: dict) -> dict[str, Any]:
    strategy = kind(**arguments(kind, values | {"estimator": values["unfitted"]}))
    strategy.fit(values["X"], values["y"])
    batch, utilities = strategy.query(values["X_pool"], 4, return_utilities=True)
    return {
        "batch": batch,
        "utilities": utilities,
        "scores": strategy.score_samples(values["X_pool"]),
    }


def _ask_for_skactiveml(kind, values: dict) -> dict[str, Any]:
    from skactiveml.classifier import SklearnClassifier

    strategy = kind(**arguments(kind, values | {"strategy": Margin()}))
    y = np.array(values["y"], dtype=float)
    y[10:] = np.nan
    classifier = SklearnClassifier(values["unfitted"], classes=[0, 1])
    batch, scores = strategy.query(
        values["X"], y, classifier, batch_size=4, return_utilities=True
    )
    return {"batch": batch, "utilities": scores}


def _fit(kind, values: dict) -> dict[str, Any]:
    values = values | {"estimator": values["unfitted"]}
    fitted = kind(**arguments(kind, values))
    if getattr(fitted, "module", None) is None:  # a TorchClassifier is trained elsewhere
        chosen = arguments(fitted.fit, values)
        if hasattr(fitted, "net"):
            X = chosen["X"] if sparse.issparse(chosen["X"]) else np.asarray(chosen["X"])
            chosen["X"] = X.astype(np.float32)
        fitted.fit(**chosen)
    out = {k: v for k, v in vars(fitted).items() if k.endswith("_") and k[0] != "_"}
    out |= methods(fitted, values)
    if hasattr(fitted, "fit_resample"):
        out["fit_resample"] = fitted.fit_resample(values["X"], values["y"])
    return out


def _draw(kind, maker: str, values: dict) -> dict[str, Any]:
    from matplotlib.figure import Figure

    def ax():
        return Figure().subplots()

    function = getattr(kind, maker)
    needed = inspect.signature(function).parameters
    values = values | {"ax": ax()}
    for name, make in (("trimmer", _trimmer), ("strategy", _strategy), ("results", _curve)):
        if name in needed:
            values[name] = make(kind, values)
    if "cv_results" in needed:
        values["cv_results"] = _trimmer(kind, values).cv_results_
    if "estimator" in needed:
        values["estimator"] = values["unfitted"]
    chosen = arguments(function, values)
    if "strategies" in needed:  # passes the rest on
        chosen |= arguments(skfi.active_learning_curve, values)
    display = function(**chosen)
    display.plot(ax=ax())
    return {k: v for k, v in vars(display).items() if isinstance(v, np.ndarray)}


def _trimmer(kind, values: dict):
    make = skfi.FITrimmerCV if "Curve" in kind.__name__ else skfi.FITrimmer
    trimmer = make(**arguments(make, values | {"estimator": values["unfitted"]}))
    return trimmer.fit(values["X"], values["y"])


def _strategy(kind, values: dict):
    strategy = Margin(values["unfitted"], batch_size=3, random_state=0)
    return strategy.fit(values["X"], values["y"])


def _curve(kind, values: dict):
    chosen = arguments(skfi.active_learning_curve, values | {"estimator": values["unfitted"]})
    return skfi.active_learning_curve(**chosen)


def values_of(call: Call, form: str = "C", model: str = "plain", folder=None) -> dict:
    """Values by argument name: rows in a form, and a classifier."""
    values = data.values(form, model)
    values["strategies"] = {"random": Random(), "margin": Margin()}
    if call.refits:
        values["estimator"] = values["unfitted"]
    if call.name.endswith("flip_columns"):
        values = data.binary(values)
    if call.name.endswith("ParquetRows"):
        values |= data.parquet(folder) | {"sample_weight": None}
    if call.name.endswith("QueryDisplay"):
        values |= {"coordinates": np.zeros((5, 2)), "batch": np.array([1, 3])}
    return values
