"""A copy of a module that can be run without touching anything of the user's.

Layers may change their input in place, and forward hooks may write to lists, to globals or to
the module itself. The copy runs on copies of its inputs, and its hooks on copies of what they
write to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from types import CellType, CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

_COMPILED = "_orig_mod."  # what torch.compile puts before a parameter's name
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type)


def unwrap(module: nn.Module) -> nn.Module:
    """The module that torch.compile was called with; others as they are."""
    while isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
        module = inner
    return module


def plain_name(parameter: str) -> str:
    """A parameter's name where nothing is compiled."""
    return parameter.replace(_COMPILED, "")


def copy_module(module: nn.Module) -> nn.Module:
    """A deep copy, not compiled, whose hooks write to copies and whose inputs are copies."""
    memo: dict[int, Any] = {}
    own = _deep_copy(unwrap(module), memo)
    for part in list(own.modules()):
        part._modules.update({k: unwrap(m) for k, m in part._modules.items() if m is not None})
        part._backward_hooks.clear()  # they change or record gradients, never the outputs
        part._backward_pre_hooks.clear()
        for hooks in (part._forward_hooks, part._forward_pre_hooks):
            for key, hook in list(hooks.items()):
                if hook is copy_input:  # of a copy of a copy
                    del hooks[key]
                else:
                    hooks[key] = _copy_hook(hook, memo)
    own.register_forward_pre_hook(copy_input, prepend=True)
    for part in own.modules():
        # What follows a layer may change the layer's input, of which derivatives are taken.
        if isinstance(part, nn.Linear | nn.Conv2d) and part is not own:
            part.register_forward_pre_hook(copy_input)
    return own


def copy_input(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Forward pre-hook: what the layer sees is a copy."""
    if not args or not isinstance(args[0], Tensor):
        return None
    return (args[0].clone(), *args[1:])


def remove_idle_hooks(module: nn.Module, run: Callable[[nn.Module], Tensor]) -> None:
    """Remove the user's forward hooks from our copy where its outputs do not depend on them.

    They are compared at other parameters than the module's as well: a hook may compute a
    weight from parameters, and the module hold the result.
    """
    if not any(True for _ in _users_hooks(module)):
        return
    with torch.no_grad():
        for change in (0.0, 0.1):
            outputs = []
            for remove in (False, True):
                probe = copy_module(module)
                generator = torch.Generator().manual_seed(0)
                for p in probe.parameters():
                    noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
                    p.mul_(1.0 + change * noise.to(p))
                if remove:
                    _remove_users_hooks(probe)
                try:
                    outputs.append(run(probe))
                except Exception:
                    if remove:
                        return
                    raise
            if not torch.equal(*outputs):
                return
    _remove_users_hooks(module)


def _users_hooks(module: nn.Module) -> Iterator[tuple[dict[int, Any], int]]:
    for part in module.modules():
        for hooks in (part._forward_hooks, part._forward_pre_hooks):
            for key, hook in hooks.items():
                # torch's own are those of weight_norm, spectral_norm and pruning.
                home = str(getattr(hook, "__module__", "")).partition(".")[0]
                if home != "torch" and hook is not copy_input:
                    yield hooks, key


def _remove_users_hooks(module: nn.Module) -> None:
    for hooks, key in list(_users_hooks(module)):
        del hooks[key]


def _copy_hook(hook: Any, memo: dict[int, Any]) -> Any:
    """A hook that writes to copies; bound methods and objects are copied with the module."""
    if isinstance(hook, partial):
        return partial(_copy_hook(hook.func, memo), *hook.args, **hook.keywords)
    if not isinstance(hook, FunctionType) or hook.__module__.partition(".")[0] == "torch":
        return hook
    names = set(_names(hook.__code__)) & set(hook.__globals__)
    own = hook.__globals__ | {n: _copy_value(hook.__globals__[n], memo) for n in names}
    cells = tuple(_copy_cell(cell, memo) for cell in hook.__closure__ or ())
    defaults = _copy_value(hook.__defaults__, memo)
    out = FunctionType(hook.__code__, own, hook.__name__, defaults, cells)
    out.__kwdefaults__ = _copy_value(hook.__kwdefaults__, memo)
    out.__module__ = hook.__module__
    return out


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _copy_cell(cell: CellType, memo: dict[int, Any]) -> CellType:
    try:
        return CellType(_copy_value(cell.cell_contents, memo))
    except ValueError:  # empty
        return CellType()


def _copy_value(value: Any, memo: dict[int, Any]) -> Any:
    for copied in (partial(copy.deepcopy, memo=memo), copy.copy):
        try:
            return copied(value)
        except Exception:  # tensors with a graph, files, locks, Python modules
            continue
    return value


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


def _deep_copy(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A deep copy; tensors that the module keeps of a graph are copied as numbers."""
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

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Any = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, tuple | list) else (out,):
            if isinstance(t, Tensor) and t.is_floating_point() and t.dtype.itemsize < 4:
                self.noted = True
        return out
