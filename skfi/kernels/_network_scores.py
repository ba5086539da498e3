"""The measure for torch modules: curvature, one solve, and passes over the rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ._covariance import covariance_root
from ._geometry import fi_multiclass
from ._kfsvd import perturb_low_rank
from ._losses import ValidationLoss
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
    perturb_all,
    scores_all,
    unflat,
    validation_gradient,
)
from ._network_curvature import Curvature, cg_curvature, dense_curvature
from ._network_layers import LayerCurvature, along_layers, layer_curvature
from ._network_watch import unknown_to_kfac

_LARGEST_DENSE = 1000  # parameters; beyond, "auto" means K-FAC


@contextmanager
def differentiable_twice(network: Network) -> Iterator[None]:
    """Attention by kernels that have second derivatives; say so where a layer has none."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    except (RuntimeError, NotImplementedError) as error:
        missing = re.search(r"derivative for '?([\w:]+)'? is not implemented", str(error))
        batching = re.search(r"[Bb]atching rule not implemented for ([\w:.]+)", str(error))
        found = missing or batching
        recurrent = any(isinstance(m, torch.nn.RNNBase) for m in network.module.modules())
        if found is None and "vmap" not in str(error) and not recurrent:
            raise
        what = found.group(1) if found else "one of its operations"
        kind = "second derivative" if missing else "form in which rows have gradients each"
        raise ValueError(
            f"torch has no {kind} for {what}, which the module uses. For an LSTM or GRU on a "
            "GPU switch cuDNN's kernel off: with torch.backends.cudnn.flags(enabled=False). "
            "For fused attention: with torch.nn.attention.sdpa_kernel(SDPBackend.MATH). "
            'Otherwise leave params and perturbation at "last_layer" and "features", which '
            "needs no derivative of the layers before."
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


Labelled = tuple[Any, np.ndarray, np.ndarray]  # rows, class codes, weights


def curve_network(
    network: Network,
    train: Labelled,
    kind: str,
    damping: float | str,
    low_rank: bool = False,
    chunk: int | None = None,
) -> tuple[Curvature, dict]:
    """The curvature, and what to tell of it."""
    if kind == "auto":
        small = network.n_parameters <= _LARGEST_DENSE and not low_rank
        kind = "ggn" if small else "cg" if unknown_to_kfac(network) else "kfac"
    with differentiable_twice(network):
        curvature = build_curvature(network, *train, kind, damping, chunk)
        gradient = flat(objective_gradient(network, *train, chunk))
    facts = {
        "curvature": kind,
        "damping": curvature.damping,
        "n_parameters": network.n_parameters,
        "gradient_norm": float(gradient.norm()),
    }
    return curvature, facts


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
        return cg_curvature(network, X, y, weight, damping, chunk)
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
    `skfi.kernels._softmax.score_rows`.
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
