"""What objects and the process are like, to be compared before and after a call."""

from __future__ import annotations

import os
import random
import signal
import sys
import types
import warnings
from typing import Any

import numpy as np
from sklearn import get_config
from threadpoolctl import threadpool_info


def frozen(value, memo: dict | None = None) -> Any:
    """Everything a caller can see in an object, bytes included; random states excepted."""
    memo = {} if memo is None else memo
    if id(value) in memo:
        return "again"
    if isinstance(
        value, (str, bytes, int, float, complex, type(None), types.FunctionType, type)
    ):
        return value if value == value else "NaN"
    if isinstance(value, (types.FunctionType, type)):
        return value
    memo[id(value)] = value
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        return "random state"
    if isinstance(value, np.ndarray):
        content = value.tolist() if value.dtype == object else value.tobytes()
        return "array", value.dtype.str, value.shape, value.strides, content
    if isinstance(value, dict):
        return [(repr(k), frozen(v, memo)) for k, v in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value), [frozen(v, memo) for v in value]
    if hasattr(value, "iloc"):
        index = [repr(label) for label in value.index]
        columns = getattr(value, "columns", None)
        if columns is None:
            return index, value.name, frozen(value.to_numpy(), memo)
        return index, [(c, frozen(value[c].to_numpy().copy(), memo)) for c in columns]
    if type(value).__module__.startswith("torch") and hasattr(value, "requires_grad"):
        tensor = value.detach().cpu().numpy().copy()
        return value.requires_grad, frozen(value.grad, memo), frozen(tensor, memo)
    if hasattr(value, "__dict__") and not isinstance(value, types.ModuleType):
        return type(value), frozen(vars(value), memo)
    return type(value)


def process() -> dict[str, Any]:
    """State of the process that a call may not change."""
    state = {
        "filters": [f for f in warnings.filters if f[2] not in _UPSTREAM],
        "showwarning": (warnings.showwarning, warnings._showwarnmsg_impl),
        "threads": sorted((p["filepath"], p["num_threads"]) for p in threadpool_info()),
        "numpy": frozen(np.random.get_state()),  # noqa: NPY002
        "python": random.getstate(),
        "errors": np.geterr(),
        "print": np.get_printoptions(),
        "sklearn": get_config(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "path": list(sys.path),
        "streams": (sys.stdout, sys.stderr),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
    }
    if "matplotlib" in sys.modules:
        state["matplotlib"] = dict(sys.modules["matplotlib"].rcParams)
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        cudnn = torch.backends.cudnn
        state["torch"] = (
            torch.get_rng_state().tolist(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_num_threads(),
            torch.autograd.forward_ad._current_level,
            (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
        )
    return state


# scikit-learn's check_array and type_of_target put filters of these categories back in any
# order of threads.
_EXCEPTIONS = getattr(np, "exceptions", np)
_UPSTREAM = {_EXCEPTIONS.ComplexWarning, _EXCEPTIONS.VisibleDeprecationWarning}


def differences(before: dict, after: dict) -> list[str]:
    """Names of what differs."""
    return [name for name in before if before[name] != after.get(name, before[name])]
