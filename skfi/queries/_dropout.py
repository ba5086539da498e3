"""Monte-Carlo dropout with one mask a draw, so that a draw is one network for all rows.

torch draws a mask for every row and every call, so that scores would depend on how the pool is
cut into blocks. Here the masks of a draw are made once, from a generator of their own, and
applied by hooks on a copy of the module in evaluation mode: batch norm keeps its statistics,
and the user's module and torch's global generator do not change.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from ..network._network import Network, activations, blocks

# SELU's value at minus infinity, which alpha dropout puts in the place of a unit.
_ALPHA = -1.7580993408473766
_WHOLE_CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)


def _active(module: nn.Module) -> list[_DropoutNd]:
    return [m for m in module.modules() if isinstance(m, _DropoutNd) and m.p > 0]


def has_dropout(module: nn.Module) -> bool:
    """Whether it holds a dropout layer that would leave anything out."""
    return bool(_active(module))


class DropoutDraws:
    """A network under fixed masks.

    Parameters
    ----------
    network : Network
        Its module is a copy of our own, and gets hooks.
    seeds : sequence of int
        One a draw.
    """

    def __init__(self, network: Network, seeds: Sequence[int] | np.ndarray):
        self.network, self.seeds = network, [int(seed) for seed in seeds]
        self.masks: list[list[Tensor]] | None = None  # of each draw, in order of the calls
        self._current: list[Tensor] = []
        self._generator: torch.Generator | None = None
        self._call = 0
        for layer in _active(network.module):
            layer.register_forward_hook(self._apply)

    def reaches(self, X) -> bool:
        """Whether a dropout layer is called at all; X are rows as the module takes them."""
        with _evaluating():
            self._make_masks(X)
        assert self.masks is not None
        return len(self.masks[0]) > 0

    def proba(self, X) -> np.ndarray:
        """Probabilities of rows as the module takes them (n_draws, b, K)."""
        network, parts = self.network, []
        with _evaluating():
            if self.masks is None:
                self._make_masks(X)
            assert self.masks is not None
            self._begin(self.masks[0])
            size = 3.0 * activations(network.module, network.rows(X, slice(0, 1)))
            for block in blocks(len(X), size):
                x = network.rows(X, block)
                parts.append(np.stack([self._forward(x, masks) for masks in self.masks]))
        return np.concatenate(parts, axis=1)

    def _forward(self, x: Tensor, masks: list[Tensor]) -> np.ndarray:
        self._begin(masks)
        z = self.network.read(self.network.module(x))
        return np.exp(self.network.link.log_proba(z.double().cpu().numpy()))

    def _make_masks(self, X) -> None:
        # On a single row, so that a mask can have but one entry for all rows.
        x = self.network.rows(X, slice(0, 1))
        self.masks = []
        for seed in self.seeds:
            self._begin([])
            self._generator = torch.Generator().manual_seed(seed)
            try:
                self.network.module(x)
            finally:
                self._generator = None
            self.masks.append(self._current)

    def _begin(self, masks: list[Tensor]) -> None:
        self._current, self._call = masks, 0

    def _apply(self, layer: _DropoutNd, args, output: Tensor) -> Tensor:
        if self._generator is not None:
            self._current.append(_draw(layer, output, self._generator))
        mask = self._current[self._call] if self._call < len(self._current) else None
        self._call += 1
        if mask is None or not _fits(mask, output):
            raise ValueError(
                f"A {type(layer).__name__} layer sees {tuple(output.shape)} for several rows, "
                "which a mask made for one row does not fit: rows need an axis of their own. "
                'Use posterior="laplace" or "committee".'
            )
        if isinstance(layer, nn.AlphaDropout | nn.FeatureAlphaDropout):
            kept = 1.0 - layer.p
            if kept == 0.0:
                return torch.zeros_like(output)
            stretch = ((1.0 + layer.p * _ALPHA**2) * kept) ** -0.5
            return stretch * (output * mask + _ALPHA * (1.0 - mask - layer.p))
        return output * mask / (1.0 - layer.p) if layer.p < 1.0 else output * mask


def _draw(layer: _DropoutNd, x: Tensor, generator: torch.Generator) -> Tensor:
    """1 where a unit is kept, 0 where it is dropped, for one row."""
    shape = list(x.shape)
    if isinstance(layer, _WHOLE_CHANNELS):
        shape[2:] = [1] * (x.dim() - 2)
    # On the CPU, so that a GPU gives the same draws.
    return (torch.rand(shape, generator=generator) >= layer.p).to(x)


def _fits(mask: Tensor, x: Tensor) -> bool:
    sizes = zip(mask.shape, x.shape, strict=False)
    return mask.dim() == x.dim() and all(m in (1, size) for m, size in sizes)


@contextmanager
def _evaluating() -> Iterator[None]:
    """Without gradients, and without the fast path that skips a Transformer's layers."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
