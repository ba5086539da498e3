"""FI of a torch module as it is defined: its criterion differentiated twice, densely.

Nothing is shared with the package: the objective is the criterion itself on all rows, class
weights and their mean included, plus the penalty, and its Hessian and mixed derivatives are
those of `torch.autograd.functional`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call


def _log_softmax(z):
    return torch.log_softmax(z, 1)


def _log_sigmoid(z):
    z = z.reshape(-1, 1)
    return torch.nn.functional.logsigmoid(torch.cat([-z, z], 1))


def dense_fi(module, criterion, X, y, X_val, y_val, *, decay=0.0, damping=0.0, theta=None):
    """FI of each row, its input perturbed.

    ``decay`` is a number or one by parameter name; ``theta`` are the names that move (all).
    A criterion of one output is given floats, as BCEWithLogitsLoss wants them.
    """
    module = module.eval()
    start = {n: p.detach() for n, p in module.named_parameters() if theta is None or n in theta}
    if not isinstance(decay, dict):
        decay = dict.fromkeys(start, decay)
    X, X_val = (torch.as_tensor(rows, dtype=torch.float64) for rows in (X, X_val))
    y, y_val = torch.as_tensor(y), torch.as_tensor(y_val)
    binary = isinstance(criterion, torch.nn.BCEWithLogitsLoss)
    log_proba = _log_sigmoid if binary else _log_softmax
    target = y.double() if binary else y
    flat = torch.cat([p.flatten() for p in start.values()])
    m, shape, d = len(flat), X.shape[1:], X[0].numel()

    def scores(v, x):
        parts = v.split([p.numel() for p in start.values()])
        moved = {n: q.reshape(p.shape) for (n, p), q in zip(start.items(), parts, strict=True)}
        z = functional_call(module, moved, (x,))
        return z.reshape(-1) if binary else z

    def objective(v, x):
        parts = v.split([p.numel() for p in start.values()])
        sizes = zip(start, parts, strict=True)
        penalty = sum((decay.get(n, 0.0) * part**2).sum() for n, part in sizes)
        return criterion(scores(v, x), target) + 0.5 * penalty

    def moved(i):
        def of_both(both):
            rows = torch.cat([X[:i], both[m:].reshape(1, *shape), X[i + 1 :]])
            return objective(both[:m], rows)

        return of_both

    def validation(v):
        return -log_proba(scores(v, X_val)).gather(1, y_val[:, None]).mean()

    H = hessian(lambda v: objective(v, X), flat) + damping * torch.eye(m, dtype=torch.float64)
    u = jacobian(validation, flat)
    inverse = torch.linalg.pinv(H, rtol=1e-12, hermitian=True)
    fi = []
    for i in range(len(X)):
        both = torch.cat([flat, X[i].flatten()])
        M = hessian(moved(i), both)[:m, m:]
        J = -inverse @ M

        def own(both):
            return log_proba(scores(both[:m], both[m:].reshape(1, *shape)))[0]

        D = jacobian(own, both)
        D = D[:, m:] + D[:, :m] @ J
        G = torch.einsum("c,cd,ce->de", own(both).exp(), D, D)
        g, G = (t.detach().numpy() for t in (u @ J, G))
        fi.append(g @ np.linalg.pinv(G, rcond=1e-12, hermitian=True) @ g)
    assert G.shape == (d, d)
    return np.array(fi)
