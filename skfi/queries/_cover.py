"""Batches that cover the pool: greedy maximum of a weighted kernel coverage.

A candidate covers a witness, a row of the pool, by a Gaussian kernel of their distance, and a
batch by its nearest row; labelled rows cover it already. The gain of a candidate is what it
adds, weighted by how unsure the model is of each witness. Gains shrink as rows are chosen, so
that the greedy batch has at least 63 % of the largest coverage of that size.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.metrics import euclidean_distances
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._utils._chunks import one_blas_thread
from ..bridge._network import NoLastLayer
from ..influence._pairing import LinearPairing, NetworkPairing, row_batches
from ._base import representation
from ._uncertainty import margin

# The kernel's width is the median distance of a witness to its sixth nearest candidate.
_NEIGHBOUR = 5
# Witnesses of a larger pool are a random sample, smaller for long shortlists, as the kernel of
# both is in memory.
_MOST_WITNESSES, _LEAST_WITNESSES, _CELLS = 20_000, 1_000, 10_000_000
_ROUNDING = 1e-12


def n_witnesses(n_candidates: int) -> int:
    """Most rows of the pool that a batch is chosen to cover."""
    return min(max(_CELLS // n_candidates, _LEAST_WITNESSES), _MOST_WITNESSES)


def cover_cells(n_pool: int, size: int, shortlist: int = 5) -> int:
    """Doubles that choosing ``size`` rows of a pool takes."""
    n_candidates = min(shortlist * size, n_pool)
    return 4 * n_candidates * min(n_pool, n_witnesses(n_candidates))


class CoverSpace:
    """Where distances are taken: in the input of the classifier's last linear step.

    Columns that a linear classifier gets without steps before it are divided by their standard
    deviations in the pool.
    """

    def __init__(self, model, pairing: LinearPairing | NetworkPairing):
        self.model, self.pairing = model, pairing
        self.linear = isinstance(pairing, LinearPairing)
        self.scaler: StandardScaler | None = None

    def fit(self, rows) -> None:
        """Scale columns by rows of the pool, where that is needed."""
        if not isinstance(self.pairing, LinearPairing) or self.pairing.fitted.steps:
            return
        self.scaler = StandardScaler(with_mean=False)
        for batch in row_batches(rows, self.pairing.doubles_per_row):
            self.scaler.partial_fit(self.pairing.features(batch, "X_pool"))

    def place(self, rows):
        """Rows in this space (n, d), dense or CSR."""
        features = stacked_features(self.pairing, rows)
        return self._scaled(features) if self.linear else self._of_network(rows, features)

    def weighted(self, rows, n_distances: int) -> Iterator[tuple[Any, np.ndarray]]:
        """Blocks of rows in this space, and how unsure the model is of each row.

        ``n_distances`` is how many numbers are computed for a row.
        """
        doubles = self.pairing.doubles_per_row + n_distances
        for batch in row_batches(rows, doubles):
            features = self.pairing.features(batch, "X_pool")
            unsure = 1.0 - margin(np.exp(self.pairing.log_proba(features)))
            linear = self.linear
            yield (
                self._scaled(features) if linear else self._of_network(batch, features),
                unsure,
            )

    def _of_network(self, rows, features) -> np.ndarray:
        """The last layer's input; the network's own where that layer cannot be read."""
        try:
            return representation(self.model, rows)
        except NoLastLayer:
            return features.reshape(len(features), -1)

    def _scaled(self, features):
        return features if self.scaler is None else self.scaler.transform(features)


def stacked_features(pairing: LinearPairing | NetworkPairing, rows):
    """Rows where a pairing sees them, dense or CSR, read batch by batch."""
    batches = row_batches(rows, pairing.doubles_per_row)
    parts = [pairing.features(batch, "X_pool") for batch in batches]
    return sparse.vstack(parts, "csr") if sparse.issparse(parts[0]) else np.concatenate(parts)


def select_cover(
    space: CoverSpace, X_pool, X_labelled, best: np.ndarray, size: int, rng
) -> np.ndarray:
    """Positions in the shortlist ``best`` of the rows that cover the pool, best first."""
    n_pool = _num_samples(X_pool)
    most = n_witnesses(len(best))
    witnesses = X_pool
    if n_pool > most:
        witnesses = _safe_indexing(X_pool, np.sort(rng.choice(n_pool, most, replace=False)))
    space.fit(witnesses)
    candidates, labelled = space.place(_safe_indexing(X_pool, best)), space.place(X_labelled)
    blocks = space.weighted(witnesses, 3 * candidates.shape[0] + 2 * labelled.shape[0])
    with one_blas_thread():
        cover = cover_kernel(candidates, labelled, blocks, min(n_pool, most))
        return greedy_cover(*cover, size)


class Cover(NamedTuple):
    """How far candidates, and the labelled rows, cover witnesses."""

    kernel: np.ndarray  # (n_candidates, n_witnesses)
    covered: np.ndarray  # (n_witnesses,) largest kernel of a labelled row
    weight: np.ndarray  # (n_witnesses,)


def cover_kernel(
    candidates, labelled, blocks: Iterable[tuple[Any, np.ndarray]], n_rows: int
) -> Cover:
    """The kernel ``exp(-‖x_i - x_j‖² / 2h²)`` of candidates and ``n_rows`` witnesses.

    h² is the median over witnesses of the squared distance to the sixth nearest candidate.
    Rows are dense or sparse; blocks are of witnesses and their weights.
    """
    distance = np.empty((candidates.shape[0], n_rows))
    nearest, local, weight = np.empty((3, n_rows))
    rank = min(_NEIGHBOUR, len(distance) - 1)
    start = 0
    for block, weight_of_block in blocks:
        rows = slice(start, start := start + block.shape[0])
        part = euclidean_distances(candidates, block, squared=True)
        distance[:, rows], weight[rows] = part, weight_of_block
        local[rows] = np.partition(part, rank, axis=0)[rank]
        nearest[rows] = euclidean_distances(block, labelled, squared=True).min(axis=1)
    width = np.median(local) or distance.mean() or 1.0  # copies have no width of their own
    distance *= -0.5 / width
    return Cover(np.exp(distance, out=distance), np.exp(nearest * (-0.5 / width)), weight)


def greedy_cover(
    kernel: np.ndarray, covered: np.ndarray, weight: np.ndarray, size: int
) -> np.ndarray:
    """Candidates that add most coverage, one after the other (``size``,); ties in their order.

    A gain is computed again only if its last value is still the largest (lazy greedy, Minoux
    1978), which gives the same batch as computing all of them.
    """
    rounding = _ROUNDING * weight.sum()

    def key(i: int) -> tuple[float, int]:
        gain = float(weight @ np.maximum(kernel[i] - covered, 0.0))
        return -gain if gain > rounding else 0.0, i

    queue = [key(i) for i in range(len(kernel))]
    heapq.heapify(queue)
    chosen: list[int] = []
    while len(chosen) < size:
        best = key(heapq.heappop(queue)[1])
        if queue and queue[0] < best:
            heapq.heappush(queue, best)
            continue
        chosen.append(best[1])
        covered = np.maximum(covered, kernel[best[1]])
    return np.array(chosen, dtype=np.intp)
