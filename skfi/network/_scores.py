"""The measure for torch modules: curvature, one solve, and passes over the rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any, NamedTuple

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
from ._kfsvd import Seed, perturb_low_rank
from ._layers import LayerCurvature, along_layers, layer_curvature
from ._misuse import check_layers
from ._network import (
    Labelled,
    Network,
    PerturbedRows,
    Theta,
    along,
    as_numpy,
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


def curve_network(
    network: Network,
    train: Labelled,
    kind: str,
    damping: float | str,
    low_rank: bool = False,
    pairs: bool = False,
) -> tuple[Curvature, dict[str, Any]]:
    """The curvature, and what to report of it; ``pairs`` need the root of its inverse."""
    with differentiable_twice(network):
        if kind == "auto":
            kind = _choose_curvature(network, train.X, low_rank, pairs)
        try:
            curvature = build_curvature(network, train, kind, damping)
        except KroneckerError as error:
            raise KroneckerError(error.reason, error.names, pairs) from error
        gradient = flat(objective_gradient(network, train).values())
    facts = {
        "curvature": kind,
        "damping": curvature.damping,
        "n_parameters": network.n_parameters,
        "gradient_norm": float(gradient.norm()),
    }
    return curvature, facts


def _choose_curvature(network: Network, X: Any, low_rank: bool, pairs: bool) -> str:
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
    network: Network, curvature: Curvature, validation: Labelled, loss: ValidationLoss
) -> Theta:
    """``h = H⁻¹u``, u the gradient of the mean validation loss."""
    with differentiable_twice(network):
        u = flat(validation_gradient(network, validation, loss).values())
        return unflat(network, curvature.solve(u[None])[0])


def build_curvature(
    network: Network, data: Labelled, kind: str, damping: float | str
) -> Curvature:
    """The curvature by name."""
    if kind == "cg":
        return cg_curvature(network, data, damping)
    if kind in ("exact", "ggn"):
        return dense_curvature(network, data, kind, damping)
    return layer_curvature(network, data, kind, damping)


def perturbed(
    network: Network,
    curvature: Curvature,
    h: Theta,
    data: Labelled,
    rank: int | None = None,
    seed: Seed = None,
) -> Iterator[PerturbedRows]:
    """What moving each row does, by the cheapest passes there are."""
    if rank is not None:
        return perturb_low_rank(network, data, curvature, h, rank, seed)
    if isinstance(curvature, LayerCurvature):
        return along_layers(curvature, data, h)
    return perturb_all(network, data, curvature.solve, h)


class NetworkScores(NamedTuple):
    """FI of each row, and the first-order decrease of the validation loss without it."""

    fi: np.ndarray
    gain: np.ndarray


def score_network(
    network: Network,
    curvature: Curvature,
    h: Theta,
    data: Labelled,
    root: np.ndarray | None = None,
    rank: int | None = None,
    seed: Seed = None,
) -> NetworkScores:
    """Scores of all rows.

    The weights are those of what moves: one copy, or the whole row. ``root`` is that of
    `skfi.linear._softmax.score_rows`.
    """
    fi, gain = np.empty(len(data.X)), np.empty(len(data.X))
    with differentiable_twice(network):
        log_p = network.link.log_proba(scores_all(network, data.X))
        for block, g, change, Z in perturbed(network, curvature, h, data, rank, seed):
            if root is not None:
                g, Z = g @ root, Z @ root
            fi[block] = fi_multiclass(g, Z, log_p[block])
            gain[block] = -change
    return NetworkScores(fi, gain)


def gain_network(network: Network, h: Theta, data: Labelled) -> np.ndarray:
    """The gain of `score_network` by itself, one pass."""
    with differentiable_twice(network):
        blocks = network.blocks(data.X, 10.0)
        parts = [along(network, *network.block(data, block), h) for block in blocks]
    return -np.concatenate([as_numpy(part) for part in parts])


def metric_root(network: Network, X: Any, weight: np.ndarray) -> np.ndarray:
    """R with R Rᵀ the covariance of what is perturbed."""
    if network.head is None:
        return covariance_root(np.asarray(X).reshape(len(X), -1), weight)
    return covariance_root(features(network, X), weight)
