"""KFSVD, the paper's approximation: each row's mixed derivative cut to rank k.

``M_i = ∂_θ∂_ωL_i ≈ U Λ Vᵀ`` with U (m×k), Λ (k) and V (d×k), which takes (m + d + 1)k numbers
a row where M_i has m·d; the curvature is K-FAC's (Section 4 and Algorithm 2 of the paper).
The factors come from randomised subspace iteration (Halko, Martinsson & Tropp 2011) on the
products ``M_i w`` and ``vᵀM_i``, a double backward pass each; the matrix is never formed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from ._curvature import Curvature
from ._network import Labelled, Network, PerturbedRows, Theta, along, as_numpy, flat
from ._rows import direct_jacobian, mixed, mixed_transposed, own_jacobian

Seed = int | np.random.RandomState | None
_OVERSAMPLING = 4
_ITERATIONS = 3


@dataclass(frozen=True)
class LowRank:
    """``M_i ≈ U diag(Λ) Vᵀ`` of a block of rows."""

    U: Tensor  # (b, m, k)
    values: Tensor  # Λ (b, k)
    V: Tensor  # (b, d, k)

    def transposed(self, vectors: Tensor) -> Tensor:
        """``vᵀM_i`` (b, q, d) of vectors (b, q, m)."""
        return ((vectors @ self.U) * self.values[:, None]) @ self.V.transpose(1, 2)

    def times(self, W: Tensor) -> Tensor:
        """``M_i w`` (b, q, m) of vectors (b, q, d)."""
        return ((W @ self.V) * self.values[:, None]) @ self.U.transpose(1, 2)

    @property
    def numbers(self) -> int:
        """How many numbers a row takes: (m + d + 1) k."""
        return (self.U[0].numel() + self.V[0].numel()) + self.values[0].numel()


def low_rank(
    network: Network, x: Tensor, y: Tensor, rank: int, generator: torch.Generator
) -> LowRank:
    """Truncated singular value decomposition of each row's mixed derivative."""
    d = network.still(x[:1]).numel()
    width = min(d, network.n_parameters, rank + _OVERSAMPLING)
    start = torch.randn(1, width, d, generator=generator, dtype=torch.float64)
    start = start.expand(len(x), width, d).to(**network.like)
    Q = _orthonormal(mixed(network, x, y, start))
    for _ in range(_ITERATIONS):
        back = _orthonormal(mixed_transposed(network, x, y, Q.transpose(1, 2)))
        Q = _orthonormal(mixed(network, x, y, back.transpose(1, 2)))
    small = mixed_transposed(network, x, y, Q.transpose(1, 2))
    left, values, Vt = torch.linalg.svd(small, full_matrices=False)
    return LowRank(Q @ left[:, :, :rank], values[:, :rank], Vt[:, :rank].transpose(1, 2))


def _orthonormal(vectors: Tensor) -> Tensor:
    """Orthonormal columns (b, length, q) that span rows (b, q, length)."""
    return torch.linalg.qr(vectors.transpose(1, 2))[0]


def start_low_rank(seed: Seed) -> torch.Generator:
    """Where the iteration starts: the same for all rows, however they are cut in blocks."""
    number = int(check_random_state(seed).randint(np.iinfo(np.int32).max))
    return torch.Generator().manual_seed(number)


def perturb_block(
    network: Network,
    x: Tensor,
    y: Tensor,
    share: Tensor,
    curvature: Curvature,
    rank: int,
    generator: torch.Generator,
) -> tuple[LowRank, Tensor]:
    """The factors of a block's M_i, and Z (b, K - 1, d) by them."""
    M = low_rank(network, x, y, rank, generator)
    V = curvature.solve(own_jacobian(network, x))
    return M, direct_jacobian(network, x) - share[:, None, None] * M.transposed(V)


@torch.no_grad()
def perturb_low_rank(
    network: Network, data: Labelled, curvature: Curvature, h: Theta, rank: int, seed: Seed
) -> Iterator[PerturbedRows]:
    """`skfi.network._rows.perturb_all` with M_i cut to a rank."""
    generator = start_low_rank(seed)
    state = generator.get_state()
    width = rank + _OVERSAMPLING
    vectors = (width + len(network.contrasts)) * network.n_parameters
    beside = 4.0 * vectors * network.like["dtype"].itemsize
    for block in network.blocks(data.X, 8.0 * width, beside):
        x, codes, share = network.block(data, block)
        generator.set_state(state)
        M, Z = perturb_block(network, x, codes, share, curvature, rank, generator)
        direction = flat(h.values())[None, None].expand(len(x), 1, -1)
        g = -share[:, None] * M.transposed(direction)[:, 0]
        change = along(network, x, codes, share, h)
        yield PerturbedRows(block, as_numpy(g), as_numpy(change), as_numpy(Z))
