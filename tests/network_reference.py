"""The measure of a torch network as it is defined, dense and in loops. For tests only.

Full Hessians, full mixed derivatives, pseudo-inverses of d×d matrices, one row at a time,
by ``torch.autograd.functional`` in float64; it shares no step with the package.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


@dataclass
class DenseNetwork:
    """A module, the names of the parameters that move, and how rows are perturbed.

    The objective is ``(1/T) Σ s_i L_i + ½ Σ penalty θ²`` with T = Σ s_i.
    """

    module: torch.nn.Module
    names: list[str]
    penalty: dict[str, float] = field(default_factory=dict)
    features: bool = False  # perturb the last layer's input, of a Sequential
    smoothing: float = 0.0
    damping: float = 0.0
    outputs: int | None = None  # of a module that is no Sequential

    def __post_init__(self):
        parameters = dict(self.module.named_parameters())
        self.shapes = [parameters[name].shape for name in self.names]
        self.theta = torch.cat([parameters[n].detach().flatten() for n in self.names])
        self.binary = (self.outputs or self.module[-1].out_features) == 1

    def _named(self, theta):
        sizes = [shape.numel() for shape in self.shapes]
        parts = zip(self.names, theta.split(sizes), self.shapes, strict=True)
        return {name: part.reshape(shape) for name, part, shape in parts}

    def scores(self, theta, x, omega=None):
        """z of one row."""
        named = self._named(theta)
        if not self.features or omega is None:
            x = x if omega is None else x + omega
            z = functional_call(self.module, named, (x[None],))
            return (z[0] if isinstance(z, tuple) else z).reshape(-1)
        last = len(self.module) - 1
        body = {k: v for k, v in named.items() if not k.startswith(f"{last}.")}
        head = {k.split(".")[1]: v for k, v in named.items() if k.startswith(f"{last}.")}
        phi = functional_call(self.module[:-1], body, (x[None],))
        return functional_call(self.module[-1], head, (phi + omega,))[0]

    def log_proba(self, theta, x, omega=None):
        z = self.scores(theta, x, omega)
        if self.binary:
            return torch.nn.functional.logsigmoid(torch.cat([-z, z]))
        return torch.log_softmax(z, 0)

    def loss(self, theta, x, y, omega=None):
        z = self.scores(theta, x, omega)
        if self.binary:
            return binary_cross_entropy_with_logits(z[0], torch.as_tensor(float(y)).to(z))
        return cross_entropy(z, torch.as_tensor(int(y)), label_smoothing=self.smoothing)

    def objective(self, theta, X, y, weight):
        total = sum(s * self.loss(theta, x, c) for x, c, s in zip(X, y, weight, strict=True))
        named = self._named(theta)
        decay = sum(0.5 * v * (named[k] ** 2).sum() for k, v in self.penalty.items())
        return total / weight.sum() + decay

    def hessian(self, X, y, weight):
        """Of the whole objective, damping included."""
        H = hessian(lambda t: self.objective(t, X, y, weight), self.theta)
        return H.detach() + self.damping * torch.eye(len(H))

    def gauss_newton(self, X, weight):
        """(1/n) Σ s Jᵀ S J, penalty and damping included."""
        H = torch.diag(self.penalty_vector() + self.damping)
        for x, s in zip(X, weight, strict=True):
            J = jacobian(lambda t, x=x: self.scores(t, x), self.theta)
            p = self.log_proba(self.theta, x).exp()
            S = torch.diag(p) - torch.outer(p, p)
            H = H + s / weight.sum() * J.T @ (S[1:, 1:] if self.binary else S) @ J
        return H.detach()

    def penalty_vector(self):
        values = [
            torch.full(
                (shape.numel(),), float(self.penalty.get(name, 0.0)), dtype=torch.float64
            )
            for name, shape in zip(self.names, self.shapes, strict=True)
        ]
        return torch.cat(values)

    def still(self, x):
        if not self.features:
            return torch.zeros_like(x)
        return torch.zeros(self.module[-1].in_features, dtype=self.theta.dtype)

    def validation_gradient(self, X, y, error=False):
        def mean(theta):
            losses = []
            for x, c in zip(X, y, strict=True):
                log_p = self.log_proba(theta, x)[int(c)]
                losses.append(1 - log_p.exp() if error else -log_p)
            return torch.stack(losses).mean()

        return jacobian(mean, self.theta).detach()

    def mixed(self, x, y):
        """∂_θ∂_ω L (m, d)."""

        def gradient(theta):
            return jacobian(
                lambda o: self.loss(theta, x, y, o), self.still(x), create_graph=True
            ).flatten()

        return jacobian(gradient, self.theta).T

    def ingredients(self, inverse, u, X, y, weight):
        """g (n, d) and D (n, K, d) for a given H⁻¹."""
        g, D = [], []
        for x, c, s in zip(X, y, weight, strict=True):
            J = -s / weight.sum() * inverse @ self.mixed(x, c)
            by_theta = jacobian(lambda t, x=x: self.log_proba(t, x), self.theta)
            by_omega = jacobian(
                lambda o, x=x: self.log_proba(self.theta, x, o), self.still(x)
            ).flatten(1)
            g.append(u @ J)
            D.append(by_theta @ J + by_omega)
        return torch.stack(g).detach().numpy(), torch.stack(D).detach().numpy()

    def fi(self, inverse, u, X, y, weight):
        """FI of each row through its d×d metric tensor."""
        out = []
        for g, D, x in zip(*self.ingredients(inverse, u, X, y, weight), X, strict=True):
            p = self.log_proba(self.theta, x).exp().detach().numpy()
            G = np.einsum("c,ci,cj->ij", p, D, D)
            out.append(g @ np.linalg.pinv(G, rcond=1e-12, hermitian=True) @ g)
        return np.array(out)


def make_network(outputs=3, d=4, width=5, seed=0, activation=torch.nn.Tanh):
    """A small float64 network and data for it: module, X, y, V, labels of V, weights."""
    generator = torch.Generator().manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Linear(d, width, dtype=torch.float64),
        activation(),
        torch.nn.Linear(width, outputs, dtype=torch.float64),
    )
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.7 * noise)
    rng = np.random.default_rng(seed)
    X, V = rng.normal(size=(24, d)), rng.normal(size=(9, d))
    n_classes = max(outputs, 2)
    y, w = rng.integers(0, n_classes, 24), rng.integers(0, n_classes, 9)
    return module, X, y, V, w, rng.integers(1, 4, 24).astype(float)
