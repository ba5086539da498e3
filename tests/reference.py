"""The measure as it is defined: loops, d×d pseudo-inverses, float64. For tests only.

Everything is in the classifier's own parameters (one weight vector for two classes,
K for more), nothing is reduced, blocked or simplified, so that it shares no step with
the package.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Definition:
    """A linear classifier with its training objective Σ s L + ½ Σ l2 β² (+ L1)."""

    coef: np.ndarray  # (1, d) or (K, d)
    intercept: np.ndarray | None  # (1,) or (K,)
    l2: float
    l2_intercept: float = 0.0
    kind: str = "softmax"  # or "ovr"; one row of coef is a sigmoid

    def __post_init__(self):
        self.outputs, self.d = self.coef.shape
        self.beta = self.coef
        if self.intercept is not None:
            self.beta = np.column_stack([self.coef, self.intercept])
        self.p = self.beta.shape[1]

    def extend(self, x):
        return np.append(x, 1.0) if self.intercept is not None else np.asarray(x)

    def proba(self, x):
        """(P, ∂ log P / ∂ z) at one row."""
        z = self.beta @ self.extend(x)
        if self.outputs == 1:
            q = 1 / (1 + np.exp(-z[0]))
            return np.array([1 - q, q]), np.array([[-q], [1 - q]])
        if self.kind == "softmax":
            e = np.exp(z - z.max())
            P = e / e.sum()
            return P, np.eye(len(z)) - P[None, :]
        q = 1 / (1 + np.exp(-z))
        P = q / q.sum()
        return P, (np.eye(len(z)) - P[None, :]) * (1 - q)[None, :]

    def loss_derivatives(self, x, y):
        """r and S, derivatives of the training loss in z."""
        z = self.beta @ self.extend(x)
        if self.outputs == 1:
            q = 1 / (1 + np.exp(-z))
            return q - y, np.diag(q * (1 - q))
        target = np.eye(self.outputs)[y]
        if self.kind == "softmax":
            P, _ = self.proba(x)
            return P - target, np.diag(P) - np.outer(P, P)
        q = 1 / (1 + np.exp(-z))
        return q - target, np.diag(q * (1 - q))

    def hessian(self, X, y, weight):
        m = self.outputs * self.p
        H = np.zeros((m, m))
        for x, label, w in zip(X, y, weight, strict=True):
            _, S = self.loss_derivatives(x, label)
            S = np.sqrt(np.outer(w, w)) * S if np.ndim(w) else w * S
            xt = self.extend(x)
            H += np.kron(S, np.outer(xt, xt))
        penalty = np.full((self.outputs, self.p), self.l2)
        if self.intercept is not None:
            penalty[:, -1] = self.l2_intercept
        return H + np.diag(penalty.ravel())

    def mixed(self, x, y, w):
        """∂_x ∂_θ (w L), m×d, entry by entry."""
        r, S = self.loss_derivatives(x, y)
        xt = self.extend(x)
        w = np.broadcast_to(w, (self.outputs,))
        out = np.zeros((self.outputs, self.p, self.d))
        for c in range(self.outputs):
            for entry in range(self.p):
                for j in range(self.d):
                    out[c, entry, j] = w[c] * (
                        (S[c] @ self.coef[:, j]) * xt[entry] + r[c] * (entry == j)
                    )
        return out.reshape(self.outputs * self.p, self.d)

    def validation_gradient(self, X, y, weight, loss="log_loss"):
        u = np.zeros(self.outputs * self.p)
        for x, label, w in zip(X, y, weight, strict=True):
            P, E = self.proba(x)
            factor = P[label] if loss == "expected_error" else 1.0
            u += w * np.kron(-factor * E[label], self.extend(x))
        return u / np.sum(weight)

    def ingredients(self, X, y, weight, moved, u, active=None):
        """g (n, d) and D (n, K, d)."""
        H = self.hessian(X, y, weight)
        if active is None:
            inverse = np.linalg.pinv(H, rcond=1e-13, hermitian=True)
        else:
            inverse = np.zeros_like(H)
            inverse[np.ix_(active, active)] = np.linalg.pinv(
                H[np.ix_(active, active)], rcond=1e-13, hermitian=True
            )
        g, D = [], []
        for x, label, w in zip(X, y, moved, strict=True):
            J = -inverse @ self.mixed(x, label, w)
            _, E = self.proba(x)
            g.append(u @ J)
            D.append(E @ (np.kron(np.eye(self.outputs), self.extend(x)) @ J + self.coef))
        return np.array(g), np.array(D)

    def fi(self, X, y, weight, moved, u, active=None, root=None):
        g, D = self.ingredients(X, y, weight, moved, u, active)
        out = []
        for i, x in enumerate(X):
            P, _ = self.proba(x)
            gi, Di = g[i], D[i]
            if root is not None:
                gi, Di = gi @ root, Di @ root
            G = sum(P[c] * np.outer(Di[c], Di[c]) for c in range(len(P)))
            out.append(gi @ np.linalg.pinv(G, rcond=1e-14, hermitian=True) @ gi)
        return np.array(out)


def definition_of(estimator, n_rows):
    """The definition behind a fitted scikit-learn classifier with an L2 penalty."""
    from skfi.bridge import read_penalty

    name = type(estimator).__name__
    intercept = estimator.intercept_ if estimator.fit_intercept else None
    if name == "SGDClassifier":
        l2, kind = estimator.alpha * n_rows, "ovr"
    else:
        C, ratio = read_penalty(estimator)
        l2, kind = float(((1 - ratio) / C)[0]), "softmax"
    scaled = name != "SGDClassifier" and estimator.solver == "liblinear"
    l2_intercept = l2 / estimator.intercept_scaling**2 if scaled else 0.0
    return Definition(estimator.coef_, intercept, l2, l2_intercept, kind)
