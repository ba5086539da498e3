"""Which modules can be differentiated, and what is changed on our copy of one for that."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type)


def check_kind(module: nn.Module) -> None:
    """Refuse a module that torch cannot differentiate in its parameters."""
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError(
            "The module is compiled by TorchScript (torch.jit), whose parameters cannot be "
            "replaced. Pass the module that it was made from."
        )
    tensors = [*module.named_parameters(), *module.named_buffers()]
    lazy = [name for name, t in tensors if is_lazy(t)]
    if lazy:
        raise ValueError(
            f"The module's tensors {lazy[:5]} have no shape yet (LazyLinear and the like). "
            "Call the module on some rows, and train it."
        )
    if any(t.is_complex() for _, t in tensors):
        raise TypeError(
            "The module has complex parameters, and influence is defined for real ones. Keep "
            "real and imaginary parts as two parameters (torch.view_as_real)."
        )


def copy_trained(module: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A deep copy; tensors that the module keeps of a graph are copied as numbers."""
    memo = {} if memo is None else memo
    for t in _kept(module, set()):
        memo.setdefault(id(t), t.detach().clone())
    try:
        own = copy.deepcopy(module, memo)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise TypeError(
            f"skfi works on a copy of the module, and copy.deepcopy(module) fails: {error}. "
            "Remove from the module what cannot be copied."
        ) from error
    for part in own.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            part.sparse = False  # the same gradients, in a form that has derivatives
    return own


def _kept(value: Any, known: set[int]) -> Iterator[Tensor]:
    """Tensors that belong to a graph, which copy.deepcopy refuses."""
    if isinstance(value, _PLAIN) or id(value) in known:
        return
    known.add(id(value))
    if isinstance(value, Tensor):
        if not value.is_leaf:
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _kept(part, known)
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from _kept(part, known)
    elif hasattr(value, "__dict__"):
        yield from _kept(vars(value), known)


def precision(module: nn.Module) -> torch.dtype:
    """What to compute in: the highest of the parameters', float32 at least."""
    kinds = [p.dtype for p in module.parameters() if p.is_floating_point()]
    return max([torch.float32, *kinds], key=lambda kind: kind.itemsize)


def in_precision(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The module in a dtype, with the tensors beside its parameters; it is changed."""
    for part in module.to(dtype).modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor) and value.is_floating_point():
                vars(part)[name] = value.to(dtype)
    return module


class LowPrecision(TorchFunctionMode):
    """Notes whether an operation's result has less than float32."""

    def __init__(self) -> None:
        super().__init__()
        self.noted = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, tuple | list) else (out,):
            if isinstance(t, Tensor) and t.is_floating_point() and t.dtype.itemsize < 4:
                self.noted = True
        return out
