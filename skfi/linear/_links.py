"""How a linear score becomes probabilities, and how the training loss sees it.

scikit-learn fits four kinds of softmax-linear classifier: one score through a
sigmoid (binary), K scores through a softmax (multinomial), K independent sigmoids
normalised afterwards (one-versus-rest), and K(K-1)/2 independent sigmoids, one a
pair of classes (one-versus-one). A link gives what the measure needs of each, as
functions of the scores ``z``:

- ``residual``: first derivative of the training loss, r (b, n_outputs);
- ``curvature``: second derivative S, its diagonal (b, n_outputs) or the whole
  matrix (b, n_outputs, n_outputs);
- ``curvature_sum``: their weighted sum over the rows, a matrix over the classes of a
  softmax and over the outputs of all else;
- ``log_proba``: log P (b, n_classes), and ``pull_back``, the derivative of log P
  applied to a gradient: what a validation loss needs;
- ``class_scores``: derivatives of the scores turned into those of log P, up to what is
  common to all classes;
- ``contrasts``: the same as n_classes - 1 independent log-odds, which is where the metric
  tensor has a closed form.

Residuals and curvatures are computed without the cancellation in ``1 - p``: scores of
confident rows divide one tiny number by another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import helmert
from scipy.special import expit, log_expit


def _log_softmax(z: np.ndarray) -> np.ndarray:
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _sum_to_zero(S: np.ndarray) -> None:
    """Set the diagonals so that all rows do, without the cancellation in ``p (1 - p)``."""
    diagonal = np.einsum("...kk->...k", S)
    diagonal[...] = 0.0
    diagonal[...] = -S.sum(axis=-1)


def curve(p: np.ndarray, top: np.ndarray, v: np.ndarray) -> np.ndarray:
    """``(diag(p) - ppᵀ) v`` of each row, from a softmax's p and its likeliest class (b,)."""
    rows = np.arange(len(p)), top
    v = v - v[rows][:, None]  # whose p would cancel with 1
    v -= np.einsum("bc,bc->b", p, v)[:, None]
    v *= p
    v[rows] -= v.sum(axis=1)  # nothing is left, however p is rounded
    return v


def curve_columns(p: np.ndarray, top: np.ndarray, v: np.ndarray) -> np.ndarray:
    """`curve` of each column of p and v (K, b): quicker, as sums go over whole rows."""
    columns = top, np.arange(p.shape[1])
    out = v - v[columns]
    out -= np.einsum("cb,cb->b", p, out)
    out *= p
    out[columns] -= out.sum(axis=0)
    return out


class _Sigmoids(ABC):
    """Scores through a sigmoid each, in which the training loss is a sum."""

    coupled = False  # is S more than its diagonal?

    @abstractmethod
    def _sign(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """-1 where an output should say yes, else 1; broadcasts to z."""

    def loss(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return -log_expit(-self._sign(z, y) * z)  # one column an output

    def residual(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        sign = self._sign(z, y)
        return sign * expit(sign * z)  # p - y

    def curvature(self, z: np.ndarray) -> np.ndarray:
        return expit(z) * expit(-z)  # p (1 - p)


@dataclass(frozen=True)
class Sigmoid(_Sigmoids):
    """One score z; P(1) = sigmoid(z)."""

    n_classes: int = 2
    n_outputs: int = 1

    def _sign(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(y == 1, -1.0, 1.0)[:, None]

    def log_proba(self, z: np.ndarray) -> np.ndarray:
        return np.concatenate([log_expit(-z), log_expit(z)], axis=1)

    def pull_back(self, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return gradient[:, 1:] * expit(-z) - gradient[:, :1] * expit(z)

    def contrasts(self, z: np.ndarray, dz: np.ndarray) -> np.ndarray:
        return dz

    def class_scores(self, z: np.ndarray, dz: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros_like(dz), dz], axis=1)


@dataclass(frozen=True)
class Softmax:
    """K scores; P = softmax(z). Parameters live in ``basis``.

    A common shift of all scores changes nothing, so the parameters are written as
    ``basis`` times K - 1 free ones (orthonormal contrasts): the Hessian loses its
    null directions and a share of its size. ``reduced=False`` keeps all K, which
    an L1 active set needs. ``smoothing`` is the training loss's label smoothing: that
    share of each label is spread over all classes.
    """

    n_classes: int
    reduced: bool = True
    smoothing: float = 0.0
    basis: np.ndarray = field(init=False, repr=False)  # U (K, n_outputs)
    helmert: np.ndarray = field(init=False, repr=False)  # (K, K - 1)

    def __post_init__(self) -> None:
        contrasts = helmert(self.n_classes).T
        basis = contrasts if self.reduced else np.eye(self.n_classes)
        object.__setattr__(self, "helmert", contrasts)
        object.__setattr__(self, "basis", basis)

    @property
    def n_outputs(self) -> int:
        return self.basis.shape[1]

    @property
    def coupled(self) -> bool:
        return self.n_outputs > 1

    def _scores(self, z: np.ndarray) -> np.ndarray:
        return z @ self.basis.T

    def loss(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        log_p = self.log_proba(z)
        loss = -log_p[np.arange(len(y)), y]
        if self.smoothing:
            loss += self.smoothing * (-loss - log_p.mean(axis=1))
        return loss

    def residual(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.class_residual(np.exp(self.log_proba(z)), y) @ self.basis

    def class_residual(self, p: np.ndarray, y: np.ndarray) -> np.ndarray:
        """First derivative in the scores of all classes (b, n_classes), from P."""
        r = p.copy()
        rows = np.arange(len(y))
        r[rows, y] = 0.0
        r[rows, y] = -r.sum(axis=1)
        if self.smoothing:
            r -= self.smoothing / self.n_classes
            r[rows, y] += self.smoothing
        return r

    def curvature(self, z: np.ndarray) -> np.ndarray:
        p = np.exp(self.log_proba(z))
        if not self.reduced:
            S = -p[:, :, None] * p[:, None, :]
            _sum_to_zero(S)
            return S
        # Contrast a sets classes up to a against class a + 1, and contrast b > a is the same
        # in all of them: S_ab is a product of two means. No term below is negative.
        U, scale, size = self.basis, self.basis[0], np.arange(1.0, self.n_classes)
        before, behind = (U > 0) * scale, (U == 0) * scale
        mean, rest = p @ U, p @ (scale - U)
        variance = p @ ((size + 1) ** 2 * scale * before + size**2 * scale * behind)
        variance *= p[:, 1:]
        variance += (p @ before) * (p @ behind)
        S = np.empty((len(p), self.n_outputs, self.n_outputs))
        for a in range(self.n_outputs):
            S[:, a, a] = variance[:, a]
            np.multiply(mean[:, a, None], rest[:, a + 1 :], out=S[:, a, a + 1 :])
            S[:, a + 1 :, a] = S[:, a, a + 1 :]
        return S if self.coupled else S[:, 0]

    def curvature_sum(self, z: np.ndarray, weight: np.ndarray) -> np.ndarray:
        p = np.exp(self.log_proba(z))
        S = -(weight[:, None] * p).T @ p
        _sum_to_zero(S)
        return S

    def log_proba(self, z: np.ndarray) -> np.ndarray:
        return _log_softmax(self._scores(z))

    def pull_back(self, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        total = gradient.sum(axis=1, keepdims=True)
        if total.any():  # not of contrasts, whose probabilities are not needed
            gradient = gradient - np.exp(self.log_proba(z)) * total
        return gradient @ self.basis

    def contrasts(self, z: np.ndarray, dz: np.ndarray) -> np.ndarray:
        if self.reduced:
            return dz
        return np.matmul(self.helmert.T, dz)

    def class_scores(self, z: np.ndarray, dz: np.ndarray) -> np.ndarray:
        return np.matmul(self.basis, dz) if self.reduced else dz


@dataclass(frozen=True)
class OneVsRest(_Sigmoids):
    """K independent sigmoids; P is their normalised value."""

    n_classes: int
    helmert: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "helmert", helmert(self.n_classes).T)

    @property
    def n_outputs(self) -> int:
        return self.n_classes

    def _sign(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        sign = np.ones_like(z)
        sign[np.arange(len(y)), y] = -1.0
        return sign

    def log_proba(self, z: np.ndarray) -> np.ndarray:
        return _log_softmax(log_expit(z))

    def pull_back(self, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        p = np.exp(self.log_proba(z))
        return (gradient - p * gradient.sum(axis=1, keepdims=True)) * expit(-z)

    def class_scores(self, z: np.ndarray, dz: np.ndarray) -> np.ndarray:
        return expit(-z)[:, :, None] * dz

    def contrasts(self, z: np.ndarray, dz: np.ndarray) -> np.ndarray:
        return np.matmul(self.helmert.T, self.class_scores(z, dz))


@dataclass(frozen=True)
class OneVsOne(_Sigmoids):
    """A sigmoid for every pair of classes; ``P_c ∝ Π_b sigmoid(c against b)``.

    Output k is the score of class j against class i for the k-th pair i < j in
    lexical order, trained on the rows of these two classes. Rows of other classes
    count as class i here: their weight in the output is meant to be 0. One-versus-one
    itself only votes; the product of the pairwise probabilities is its log-linear
    coupling, smooth in the scores.
    """

    n_classes: int
    first: np.ndarray = field(init=False, repr=False)  # class i of each pair
    second: np.ndarray = field(init=False, repr=False)  # class j
    helmert: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        first, second = np.triu_indices(self.n_classes, 1)
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "second", second)
        object.__setattr__(self, "helmert", helmert(self.n_classes).T)

    @property
    def n_outputs(self) -> int:
        return len(self.first)

    def _sign(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(y[:, None] == self.second, -1.0, 1.0)

    def log_proba(self, z: np.ndarray) -> np.ndarray:
        classes = np.arange(self.n_classes)
        lost = log_expit(-z) @ (self.first[:, None] == classes).astype(np.float64)
        won = log_expit(z) @ (self.second[:, None] == classes).astype(np.float64)
        return _log_softmax(lost + won)

    def pull_back(self, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        p = np.exp(self.log_proba(z))
        centred = gradient - p * gradient.sum(axis=1, keepdims=True)
        return centred[:, self.second] * expit(-z) - centred[:, self.first] * expit(z)

    def contrasts(self, z: np.ndarray, dz: np.ndarray) -> np.ndarray:
        # The normaliser is common to all classes and drops out of every contrast.
        up = self.helmert[self.second].T * expit(-z)[:, None, :]
        up -= self.helmert[self.first].T * expit(z)[:, None, :]
        return np.matmul(up, dz)

    def class_scores(self, z: np.ndarray, dz: np.ndarray) -> np.ndarray:
        return np.matmul(self.helmert, self.contrasts(z, dz))


Link = Sigmoid | Softmax | OneVsRest | OneVsOne
