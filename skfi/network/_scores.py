"""The measure for torch modules: curvature, one solve, and passes over the rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from .._utils._warning_scopes import raised
from ..linear._covariance import covariance_root
from ..linear._geometry import fi_multiclass
from ..linear._losses import ValidationLoss
from ._curvature import (
    LARGEST_MATRIX,
    Curvature,
    cg_curvature,
    dense_curvature,
)
from ._kfsvd import perturb_low_rank
from ._layers import LayerCurvature, along_layers, layer_curvature
from ._misuse import check_layers
from ._network import (
    Network,
    Perturbed,
    Theta,
    activations,
    along,
    as_numpy,
    blocks,
    features,
    flat,
    objective_gradient,
    scores_all,
    unflat,
    validation_gradient,
)
from ._rows import perturb_all
from ._watch import KroneckerError, find_layers

_LARGEST_DENSE = 1000  # parameters; beyond, "auto" means K-FAC


# What torch says of operations that it differentiates once, or not at all.
_MISSING = r"derivative for '?([\w:]+)'? is not implemented|differentiate twice a function"


class _Off:
    """A switch of torch's, which is one for the whole process: off while anybody is inside."""

    def __init__(self, get: Callable[[], bool], set_to: Callable[[bool], None]):
        self.get, self.set_to = get, set_to
        self.lock, self.users, self.before = Lock(), 0, True

    def __enter__(self) -> None:
        with self.lock:
            if not self.users:
                self.before = self.get()
                self.set_to(False)
            self.users += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.users -= 1
            if not self.users:
                self.set_to(self.before)


def _enabled(backend: Any) -> _Off:
    return _Off(lambda: backend.enabled, lambda value: setattr(backend, "enabled", value))


_fast_attention = _Off(
    torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled
)
_recurrent = [_enabled(torch.backends.mkldnn), _enabled(torch.backends.cudnn)]


@contextmanager
def differentiable_twice(network: Network) -> Iterator[None]:
    """Kernels that have second derivatives; an error that says what to do where none has."""
    recurrent = any(isinstance(m, torch.nn.RNNBase) for m in network.module.modules())
    try:
        with ExitStack() as scope:
            for switch in (_fast_attention, *(_recurrent if recurrent else [])):
                scope.enter_context(switch)
            scope.enter_context(sdpa_kernel(SDPBackend.MATH))
            scope.enter_context(raised(UserWarning, "None of the inputs have requires_grad"))
            yield
    except (RuntimeError, NotImplementedError, UserWarning) as error:
        text = str(error)
        if "torch.utils.checkpoint" in text or "None of the inputs have requires" in text:
            raise ValueError(
                "The module computes a part of its forward pass again in the backward pass "
                "(torch.utils.checkpoint), by which it has no second derivatives. Use no "
                "checkpoint where self.training is False."
            ) from error
        if "modified by an inplace operation" in text:
            raise ValueError(
                "The module changes a tensor in place that its gradients need. Replace the "
                "operation by one that returns a new tensor (f = f * 2 for f *= 2), or choose "
                'params="last_layer" and perturbation="features".'
            ) from error
        missing = re.search(_MISSING, text)
        if missing is None:
            raise
        what = missing.group(1) or "an operation"
        raise ValueError(
            f"torch cannot differentiate {what} twice, which the module uses. Leave params and "
            'perturbation at "last_layer" and "features", which needs no derivative of the '
            "layers before, or replace the operation."
        ) from error


Labelled = tuple[Any, np.ndarray, np.ndarray]  # rows, class codes, weights


def curve_network(
    network: Network,
    train: Labelled,
    kind: str,
    damping: float | str,
    low_rank: bool = False,
    pairs: bool = False,
    chunk: int | None = None,
) -> tuple[Curvature, dict]:
    """The curvature, and what to tell of it; ``pairs`` need the root of its inverse."""
    if kind == "auto":
        with differentiable_twice(network):
            kind = _choose_curvature(network, train[0], low_rank, pairs)
    with differentiable_twice(network):
        try:
            curvature = build_curvature(network, *train, kind, damping, chunk)
        except KroneckerError as error:
            raise KroneckerError(error.reason, error.names, pairs) from error
        gradient = flat(objective_gradient(network, *train, chunk))
    facts = {
        "curvature": kind,
        "damping": curvature.damping,
        "n_parameters": network.n_parameters,
        "gradient_norm": float(gradient.norm()),
    }
    return curvature, facts


def _choose_curvature(network: Network, X, low_rank: bool, pairs: bool) -> str:
    m = network.n_parameters
    if m <= _LARGEST_DENSE and not low_rank:
        return "ggn"
    try:
        check_layers(network, find_layers(network), X)
    except KroneckerError as error:
        if not pairs:
            return "cg"
        if m <= LARGEST_MATRIX:
            return "ggn"
        raise ValueError(
            f"{m} parameters are too many for a matrix, and for {error.names[:5]} there is no "
            "K-FAC. Leave these out: params takes names, a function of a name, or "
            '"last_layer".'
        ) from error
    return "kfac"


def solve_for(
    network: Network,
    curvature: Curvature,
    validation: Labelled,
    loss: ValidationLoss,
    chunk: int | None = None,
) -> Theta:
    """``h = H⁻¹u``, u the gradient of the mean validation loss."""
    with differentiable_twice(network):
        u = validation_gradient(network, *validation, loss, chunk)
        return unflat(network, curvature.solve(flat(u)[None])[0])


def build_curvature(
    network: Network,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    kind: str,
    damping: float | str,
    chunk: int | None = None,
) -> Curvature:
    """What stands for H⁻¹, by name."""
    if kind == "cg":
        return cg_curvature(network, X, weight, damping, chunk)
    build: Callable = dense_curvature if kind in ("exact", "ggn") else layer_curvature
    return build(network, X, y, weight, kind, damping, chunk)


def perturbed(
    network: Network,
    curvature: Curvature,
    h: Theta,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    rank: int | None = None,
    seed=None,
    chunk: int | None = None,
) -> Perturbed:
    """Blocks of rows with g, ``s_i/n h·∂_θL_i`` and Z, by the cheapest passes there are."""
    if rank is not None:
        return perturb_low_rank(network, X, y, weight, curvature, h, rank, seed, chunk)
    if isinstance(curvature, LayerCurvature):
        return along_layers(curvature, X, y, weight, h, chunk)
    return perturb_all(network, X, y, weight, curvature.solve, h, chunk)


def score_network(
    network: Network,
    curvature: Curvature,
    h: Theta,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    root: np.ndarray | None = None,
    rank: int | None = None,
    seed=None,
    chunk: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """FI of each row, and the first-order decrease of the validation loss when it goes.

    ``weight`` is that of what moves: one copy, or the whole row. ``root`` is that of
    `skfi.linear._softmax.score_rows`.
    """
    fi, gain = np.empty(len(X)), np.empty(len(X))
    with differentiable_twice(network):
        log_p = network.link.log_proba(scores_all(network, X, chunk))
        for block, g, change, Z in perturbed(
            network, curvature, h, X, y, weight, rank, seed, chunk
        ):
            if root is not None:
                g, Z = g @ root, Z @ root
            fi[block] = fi_multiclass(g, Z, log_p[block])
            gain[block] = -change
    return fi, gain


def gain_network(
    network: Network, h: Theta, X, y: np.ndarray, weight: np.ndarray, chunk: int | None = None
) -> np.ndarray:
    """The second of `score_network`'s results by itself, one pass."""
    gain = np.empty(len(X))
    size = 10.0 * activations(network.module, network.rows(X, slice(0, 1)))
    with differentiable_twice(network):
        for block in blocks(len(X), size, chunk):
            x, codes, share = network.block(X, y, weight, block)
            gain[block] = -as_numpy(along(network, x, codes, share, h))
    return gain


def metric_root(network: Network, X, weight: np.ndarray) -> np.ndarray:
    """R with R Rᵀ the covariance of what is perturbed."""
    if network.head is None:
        flat_rows = np.asarray(X).reshape(len(X), -1)
    else:
        flat_rows = features(network, X)
    return covariance_root(flat_rows, weight)
