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

from ._torch_kinds import copy_trained

_COMPILED = "_orig_mod."  # what torch.compile puts before a parameter's name


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
    own = copy_trained(unwrap(module), memo)
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


def copy_input(module: nn.Module, args: tuple) -> tuple | None:
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


def _users_hooks(module: nn.Module) -> Iterator[tuple[dict, int]]:
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


def _copy_hook(hook: Any, memo: dict) -> Any:
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


def _copy_cell(cell: CellType, memo: dict) -> CellType:
    try:
        return CellType(_copy_value(cell.cell_contents, memo))
    except ValueError:  # empty
        return CellType()


def _copy_value(value: Any, memo: dict) -> Any:
    for copied in (partial(copy.deepcopy, memo=memo), copy.copy):
        try:
            return copied(value)
        except Exception:  # tensors with a graph, files, locks, Python modules
            continue
    return value
