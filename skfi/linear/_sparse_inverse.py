"""The inverse of a sparse positive definite matrix, dense, sooner than by LAPACK alone.

Of texts most columns are of rare words, which meet few others. A set of columns that never
meet each other has a diagonal block D in ``H = [D Fᵀ; F C]``, and costs nothing but sparse
products to eliminate:

    (C - F D⁻¹ Fᵀ)⁻¹ = P,   H⁻¹ = [D⁻¹ + D⁻¹FᵀPFD⁻¹, -D⁻¹FᵀP; -PFD⁻¹, P].

Sets are eliminated while they are large; LAPACK inverts what is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

# Sets of a smaller share of the columns are not worth a pass over the matrix, and columns that
# meet more others fill it.
_SMALLEST_SHARE, _MOST_MET = 0.1, 200


def sparse_inverse(H: sparse.csr_array, invert_in_place: Any) -> tuple[np.ndarray, np.ndarray]:
    """H⁻¹ (p, p), dense, in another order of columns, of which the last stays last; the order.

    ``invert_in_place`` inverts a dense matrix.
    """
    order = np.arange(H.shape[0])
    eliminated = []
    done = 0
    while True:
        apart = _apart(H)
        if apart.sum() < max(1, _SMALLEST_SHARE * len(apart)):
            break
        D = 1.0 / H.diagonal()[apart]
        F = H[~apart][:, apart]
        H = sparse.csr_array(H[~apart][:, ~apart] - (F * D[None, :]) @ F.T)
        columns = order[done:].copy()
        order[done:] = np.concatenate([columns[apart], columns[~apart]])
        done += len(D)
        eliminated.append((done, columns[~apart], D, sparse.csr_array(F.T * D[:, None])))
    core = H.toarray(order="C")
    invert_in_place(core)
    if not eliminated:
        return core, order
    P = np.empty((len(order), len(order)))
    P[done:, done:] = core
    place = np.empty(len(order), dtype=np.intp)
    for done, columns, D, Ft in reversed(eliminated):
        own, rest = slice(done - len(D), done), slice(done, None)
        place[columns] = np.arange(len(columns))
        Ft = Ft[:, place[order[rest]]]
        P[own, rest] = -(Ft @ P[rest, rest])
        P[rest, own] = P[own, rest].T
        P[own, own] = -(Ft @ P[rest, own])
        diagonal = np.einsum("ii->i", P[own, own])
        diagonal += D
    return P, order


def _apart(H: sparse.csr_array) -> np.ndarray:
    """Columns that never meet each other, those that meet few first; not the last (p,) bool."""
    n_met = np.diff(H.indptr)
    free, apart = n_met <= _MOST_MET, np.zeros(len(n_met), dtype=bool)
    free[-1:] = False
    indices, starts = H.indices, H.indptr.tolist()
    for column in np.argsort(n_met, kind="stable")[: int(free.sum())].tolist():
        if free[column]:
            apart[column] = True
            free[indices[starts[column] : starts[column + 1]]] = False
    return apart
