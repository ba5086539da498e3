"""FI of pairs for K-FAC with fewer columns than contrasts: a pair's d components at once.

The response of row j to row i (see `_active_kronecker`) is then short when it is written in
the columns,

    -B_i u_j = κ P_iO c_j + ρ F_i a_j,   F_i (d×d),   P_i = F_i Wᵀ S_i,

which takes d(K + d) multiplications a pair, and no matrix of K×K a row: F_i comes from the
derivatives of all classes, and ``S v = p ∘ (v - pᵀv)``. Where c_j sets one class against
another, as the flip ratio's does, P_iO c_j is the difference of two columns, and d² are left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from sklearn import get_config

from .._utils._chunks import block_rows, dense_rows, map_blocks, one_blas_thread, row_blocks
from ._active import _KEPT, _MAX
from ._active_kronecker import KroneckerPairs, TrainFeatures
from ._geometry import factor_few_columns
from ._kronecker_rows import KroneckerRows, kronecker_rows
from ._links import Softmax, curve_columns

# Doubles of a tile's components, and its other rows: so many that calls cost little beside.
_TILE, _OTHERS = 256_000, 256
# Numbers that differ by less come from the same contrast.
_ROUNDING = 1e-13


class _Other(NamedTuple):
    """Features of the rows looked at."""

    kappa: np.ndarray  # I x̃
    rho: np.ndarray  # O c
    c: np.ndarray  # of all classes
    pair: tuple[np.ndarray, np.ndarray] | None  # classes that c sets against each other
    parts: np.ndarray  # room for the components of a tile, twice


@dataclass(frozen=True)
class _Components(TrainFeatures):
    """Both parts of the components, and what κ and ρ are products with."""

    sr: np.ndarray
    PO: np.ndarray  # of all classes (K, b, rank)
    F: np.ndarray  # (b, rank, d)

    def take(self, rows: slice) -> _Components:
        return _Components(self.x[rows], self.sr[rows], self.PO[:, rows], self.F[rows])

    def fill(self, j: Any, out: np.ndarray) -> None:
        rank, d = self.F.shape[1:]
        flat = len(self.x) * rank
        # The same room for all tiles: to clear fresh memory costs as much as to fill it.
        parts, rest = j.parts[:, : len(out) * flat].reshape(2, len(out), flat)
        shape = (*out.shape, rank)
        columns = self.PO.reshape(len(self.PO), -1)
        with np.errstate(over="ignore", invalid="ignore"):
            if j.pair is None:
                np.matmul(j.c, columns, out=parts)
            else:
                first, second = j.pair
                np.take(columns, first, axis=0, out=parts, mode="clip")
                np.take(columns, second, axis=0, out=rest, mode="clip")
                parts -= rest
            parts = parts.reshape(shape)
            parts *= (j.kappa @ self.x.T)[:, :, None]
            np.matmul(j.kappa[:, :d], self.F.reshape(-1, d).T, out=rest)
            rest = rest.reshape(shape)
            rest *= (j.rho @ self.sr.T)[:, :, None]
            parts += rest
            np.minimum(np.einsum("bnr,bnr->bn", parts, parts), _MAX, out=out)


@dataclass
class FewColumnPairs(KroneckerPairs):
    """`KroneckerPairs` of fewer columns than contrasts."""

    _digits_left = True  # nothing is squared out

    @property
    def _tile(self) -> tuple[int, int]:
        return max(1, _TILE // (_OTHERS * self.model.n_features)), _OTHERS

    @property
    def _doubles_kept(self) -> int:
        outputs, p = self.model.beta.shape
        return (p + 1) * (outputs + 1 + p)

    def _block(self) -> int:
        K, d = self.model.link.n_classes, self.model.n_features
        return self.chunk or block_rows(8 * K * (d + 1))

    @cached_property
    def _kept_features(self) -> None:
        """Nothing in one piece, see `_kept_tiles`."""

    @cached_property
    def _kept_tiles(self) -> list[tuple[slice, _Components]] | None:
        """The features of all training rows tile by tile, where they fit."""
        numbers = self.n_rows * self._doubles_kept
        if 8 * numbers > _KEPT * get_config()["working_memory"] * 2**20:
            return None
        size = min(self._block(), self._tile[0])
        blocks = map_blocks(self._train, self.n_rows, size)
        return list(zip(row_blocks(self.n_rows, size), blocks, strict=True))

    def _features(self) -> Iterator[tuple[slice, TrainFeatures]]:
        if self._kept_tiles is not None:
            yield from self._kept_tiles
            return
        yield from super()._features()

    def keep(self) -> FewColumnPairs:
        """Sum up what is kept now, not in one of several threads that each would."""
        with one_blas_thread():
            _ = self._scorer, self._kept_tiles
        return self

    def other_rows(self) -> int:
        """How many rows `pairs` takes at a time at best."""
        p, K = self.model.beta.shape[1], self.model.link.n_classes
        return min(_OTHERS, block_rows(2 * p + 6 * K + 3 * self.n_rows))

    def _other(self, X: np.ndarray, c: np.ndarray) -> _Other:
        classes = c @ self._link.basis.T
        kappa, rho = X @ self.curvature.inputs, c @ self.curvature.outputs
        first, second = classes.argmax(axis=1), classes.argmin(axis=1)
        rest, rows = classes.copy(), np.arange(len(c))
        rest[rows, first] -= 1.0
        rest[rows, second] += 1.0
        contrast = float(np.abs(rest).max(initial=0.0)) <= _ROUNDING
        tile = min(self.n_rows, max(self._tile[0], self._block()))
        room = np.empty((2, len(c) * tile * self.model.n_features))
        return _Other(kappa, rho, classes, (first, second) if contrast else None, room)

    @property
    def _link(self) -> Softmax:
        link = self.model.link
        assert isinstance(link, Softmax)
        return link

    @cached_property
    def _scorer(self) -> KroneckerRows:
        W = self.model.W if self.root is None else self.model.W @ self.root
        return kronecker_rows(self._link, self.curvature.outputs, W, np.zeros_like(W))

    def _train(self, rows: slice) -> _Components:
        model, root, link = self.model, self.root, self._link
        d, block = model.n_features, dense_rows(self.X, rows)
        T = self.curvature.lifted(model, block)
        t = T[:, :d] if root is None else T[:, :d] @ root
        z, leverage = model.scores(block), model.along(block, T)
        data = z, self.y[rows], self.weight[rows], leverage, np.zeros_like(z), t
        terms = self._scorer.terms(*data)
        F = factor_few_columns(self._scorer.jacobian(terms, of_classes=True), terms.log_p)
        if root is not None:
            F = F @ root.T
        b, rank = F.shape[:2]
        P = link.basis @ model.W @ F.reshape(b * rank, d).T  # classes first
        P = curve_columns(np.repeat(terms.p.T, rank, axis=1), np.repeat(terms.top, rank), P)
        P *= np.repeat(self.weight[rows], rank)
        PO = (self._scorer.O @ P).reshape(-1, b, rank)  # O is symmetric
        return _Components(model.extended(block), terms.sr @ link.basis, PO, F)
