"""``uᵀCu`` of many vectors of rank one, ``u = c ⊗ x̃``: the mean of FI over training rows.

A product with C or its root costs m² or m²/2 a row, m = K p. But the form is bilinear in the
products ``c_a c_b`` and ``x̃_s x̃_t``, each symmetric, so that

    uᵀCu = Σ_{a≤b} c_a c_b Σ_{s≤t} x̃_s x̃_t Γ_{st,ab}

is a matrix product of p(p + 1)/2 by K(K + 1)/2 numbers: m²/4 a row. Where K is small that
product is a thin one, and the products x̃_s x̃_t themselves cost more: ``x̃ᵀC_ab x̃`` for each
pair a ≤ b, m²/2 a row, takes less time. Where C is of low rank its root is cheaper still.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from sklearn import get_config

from .._utils._chunks import n_threads, row_blocks
from ._active import gradients

# Bytes of a block's products, which are read once: they should stay in the cache.
_BLOCK_BYTES = 4_000_000
# Rows of a block of forms of pairs, which want a nearer cache.
_MOST_ROWS = 256
# The products' share of a thread's working memory; the rest holds the rows.
_BLOCK_SHARE = 0.5
# Up to as many outputs each pair's form by itself takes less time than the table.
_FEW_OUTPUTS = 5


@dataclass
class Quadratic:
    """``uᵀCu`` for a fixed C = L Lᵀ, of which one is given."""

    n_outputs: int
    C: np.ndarray | None = None  # (m, m), symmetric, not negative
    root: np.ndarray | None = None  # L (m, rank)
    # Γᵀ; for few outputs the C_ab side by side, (p, p K(K + 1)/2)
    table: np.ndarray | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.root is not None:
            self.root = np.ascontiguousarray(self.root)
            return
        assert self.C is not None
        K = self.n_outputs
        p = len(self.C) // K
        pack = _side_by_side if self._few else _packed
        self.table = pack(self.C.reshape(K, p, K, p))

    @property
    def _few(self) -> bool:
        return self.n_outputs <= _FEW_OUTPUTS

    @property
    def doubles_per_row(self) -> int:
        """Temporaries of a row, beside which the products have a share of their own."""
        if self.root is not None:
            return sum(self.root.shape)
        assert self.C is not None
        # As much again as the row and these take: room for the products.
        return 2 * len(self.C) // self.n_outputs + 16 * self.n_outputs

    def times(self, u: np.ndarray) -> np.ndarray:
        """``C u`` of one vector (m,)."""
        if self.root is not None:
            return self.root @ (self.root.T @ u)
        assert self.C is not None
        return self.C @ u

    def __call__(self, X: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Of a block of rows, extended, with their c (b,)."""
        if self.root is not None:
            e = gradients(X, c) @ self.root
            return np.einsum("br,br->b", e, e)
        by_blocks = self._by_pairs if self._few else self._by_products
        out = by_blocks(X, c, _block_bytes() // 8)
        return np.maximum(out, 0.0, out=out)

    def _by_pairs(self, X: np.ndarray, c: np.ndarray, numbers: int) -> np.ndarray:
        """A form of x̃ for each pair of outputs."""
        assert self.table is not None
        out = np.empty(len(X))
        first, second = np.triu_indices(c.shape[1])
        wide = self.table.shape[1]
        size = min(len(X), _MOST_ROWS, max(32, numbers // wide))
        products = np.empty((size, wide))
        for rows in row_blocks(len(X), size):
            x, own = X[rows], c[rows]
            Cx = np.matmul(x, self.table, out=products[: len(x)])
            Cx = Cx.reshape(len(x), len(first), -1)
            forms = np.matmul(Cx, x[:, :, None])[:, :, 0]
            forms *= own[:, first] * own[:, second]
            out[rows] = forms.sum(axis=1)
        return out

    def _by_products(self, X: np.ndarray, c: np.ndarray, numbers: int) -> np.ndarray:
        """Products of the columns, times the table."""
        assert self.table is not None
        out = np.empty(len(X))
        p, n_products = X.shape[1], self.table.shape[1]
        size = min(len(X), max(32, numbers // n_products))
        # Where few rows fill a block already, the products of a part of the columns at a time.
        wide = min(n_products, max(p, numbers // size))
        first, second = np.triu_indices(c.shape[1])
        products = np.empty((wide, size))
        for rows in row_blocks(len(X), size):
            Xt: np.ndarray = np.ascontiguousarray(X[rows].T)
            ct: np.ndarray = c[rows].T
            part = products[:, : Xt.shape[1]]
            forms: np.ndarray = np.zeros((len(self.table), Xt.shape[1]))
            done = at = 0
            for s in range(p):
                if at + p - s > wide:
                    forms += self.table[:, done : done + at] @ part[:at]
                    done, at = done + at, 0
                np.multiply(Xt[s], Xt[s:], out=part[at : at + p - s])
                at += p - s
            forms += self.table[:, done : done + at] @ part[:at]
            forms *= ct[first] * ct[second]
            out[rows] = forms.sum(axis=0)
        return out


def _block_bytes() -> int:
    """Bytes that a block's products may take in one of the threads at work."""
    allowed = _BLOCK_SHARE * get_config()["working_memory"] * 2**20 / n_threads()
    return int(min(_BLOCK_BYTES, allowed))


def cheaper_by_root(m: int, n_outputs: int, rank: int) -> bool:
    """Whether a root of this many columns costs less a row than the table."""
    p, K = m // n_outputs, n_outputs
    inputs = p * p if K <= _FEW_OUTPUTS else p * (p + 1) // 2
    return m * rank <= inputs * (K * (K + 1) // 2)


def principal_root(
    C: np.ndarray | None, L: np.ndarray | None, A: np.ndarray, white: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Root (m, rank) of C, or of L Lᵀ, by falling variance of its coordinates; the variances.

    A and its inverse ``white`` are those of `skfi.linear._operators.Root`: gradients that
    scatter as H has it are white in ``Aᵀu``, in which axes are found. These are the same in all
    coordinates of the parameters, and so is what counts as none.
    """
    S = white @ C @ white.T if L is None else None
    if S is None:
        M = white @ L
        S = M @ M.T
    variance, Q = np.linalg.eigh(S)
    kept = variance > len(S) * np.finfo(np.float64).eps * variance.max(initial=0.0)
    variance, Q = variance[kept][::-1], Q[:, kept][:, ::-1]
    return A @ (Q * np.sqrt(variance)), variance


def _side_by_side(C: np.ndarray) -> np.ndarray:
    """The C_ab, a ≤ b, of C (K, p, K, p) beside each other (p, p K(K + 1)/2)."""
    a, b = np.triu_indices(len(C))
    double = np.where(a == b, 1.0, 2.0)[:, None]
    # One axis for the pairs: (p, pairs, p).
    return (C.transpose(1, 0, 2, 3)[:, a, b] * double).reshape(C.shape[1], -1)


def _packed(C: np.ndarray) -> np.ndarray:
    """Γᵀ (K(K + 1)/2, p(p + 1)/2) of C (K, p, K, p)."""
    K, p = C.shape[:2]
    a, b = np.triu_indices(K)
    s, t = np.triu_indices(p)
    out = np.empty((len(a), len(s)))
    for row, (i, j) in enumerate(zip(a, b, strict=True)):
        block = C[i, :, j, :]
        out[row] = block[s, t] + block[t, s]
        out[row, s == t] /= 2.0
        if i != j:
            out[row] *= 2.0
    return out
