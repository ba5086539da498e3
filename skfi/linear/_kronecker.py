"""K-FAC for softmax-linear models: H⁻¹ as one Kronecker product, in O(d² + K²) numbers.

The Hessian ``Σ s_i S_i ⊗ x̃_i x̃_iᵀ + λ`` is replaced by ``w S̄ ⊗ Ā`` with the weighted
means ``S̄`` of the S_i and ``Ā`` of the x̃x̃ᵀ, w the sum of weights. The penalty goes into both
factors as Martens & Grosse (2015, Section 6.3) put it there, so that the product stays a
product:

    (S̄ + (√λ/π) I) ⊗ (Ā + π √λ I),   π² = (tr Ā / p) / (tr S̄ / K).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from ._curvature import inverse_on_range


def balance(per_output: float, per_input: float) -> float:
    """π from the mean diagonal elements of S̄ and Ā."""
    return sqrt(per_input / per_output) if per_output > 0 < per_input else 1.0


@dataclass
class KroneckerSum:
    """Sums over rows of both factors; adds up over blocks."""

    outputs: np.ndarray  # Σ s S, (K, K): of a softmax in the scores of all classes
    inputs: np.ndarray  # Σ s x̃x̃ᵀ, (p, p)
    weight: float  # Σ s

    def __iadd__(self, other: KroneckerSum) -> KroneckerSum:
        self.outputs += other.outputs
        self.inputs += other.inputs
        self.weight += other.weight
        return self

    def trace(self) -> float:
        """Of ``w S̄ ⊗ Ā``."""
        return float(np.trace(self.outputs) * np.trace(self.inputs)) / self.weight

    def invert(self, penalty: np.ndarray, basis: np.ndarray | None) -> KroneckerInverse:
        """The inverse of ``w S̄ ⊗ Ā`` with ``penalty`` (p,), the same for every output.

        ``basis`` (K, q) has the outputs that a softmax is written in, as columns; on them the
        result is that of all K.
        """
        S, A = self.outputs / self.weight, self.inputs / self.weight
        n_outputs = len(S)
        if basis is not None:
            S = basis.T @ S @ basis
        share = penalty / self.weight
        strongest = float(share.max())
        if strongest > 0:
            pi = balance(np.trace(S) / n_outputs, np.trace(A) / len(A))
            S = S + np.sqrt(strongest) / pi * np.eye(len(S))
            A = A + np.diag(pi * share / np.sqrt(strongest))
        return KroneckerInverse(inverse_on_range(S) / self.weight, inverse_on_range(A))


@dataclass(frozen=True)
class KroneckerInverse:
    """H⁻¹ = outputs ⊗ inputs."""

    outputs: np.ndarray  # (q, q)
    inputs: np.ndarray  # (p, p)

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """H⁻¹ times a parameter vector of shape (q, p)."""
        return self.outputs @ gradient @ self.inputs

    def dense(self) -> np.ndarray:
        """The whole matrix (q·p, q·p)."""
        return np.kron(self.outputs, self.inputs)
