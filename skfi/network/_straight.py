"""K-FAC's passes for networks that are linear in pieces, by one backward pass a class.

With ReLU, max pooling and the like a small move of the input moves scores in a straight line,
``∂_ω z`` and ``∂_o z`` at each layer's output o do not change with ω, and the mixed derivative
``M_i`` has two parts only: the residual's change with the scores, and the layers' inputs'.
For ``V = H⁻¹ ∂_θ c_k`` of a row's log-odds contrast c_k,

    M_iᵀ V = Jᵀ C t_k + Σ_layers (∂_ω ũ)ᵀ Vᵀ e,    t_jk = ∂_θ c_j · H⁻¹ ∂_θ c_k,

with J = ∂_ω c and C the loss's Hessian in the contrasts. What comes back to the layers from
each contrast gives J, t and V in one pass; no gradient is differentiated again. In a layer
that has one position, Vᵀe is a number times ``A⁻¹ũ`` whatever k: one more pass serves all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._curvature import hessian_root
from ._network import Network, Theta, activations
from ._watch import Layer, channels_last, once, operation, watched

# Operations, by their names in torch's graph: those linear in pieces, and products, which are
# linear where one factor does not depend on what is perturbed.
_STRAIGHT = {
    *("AdaptiveAvgPool2D", "Add", "Alias", "AvgPool2D", "Cat", "Clone", "ConstantPadNd"),
    *("Expand", "Hardtanh", "LeakyRelu", "MaxPool2DWithIndices", "Mean", "Neg", "Permute"),
    *("Relu", "ReshapeAlias", "Select", "Slice", "Split", "SplitWithSizes", "Squeeze"),
    *("Stack", "Sub", "Sum", "T", "Threshold", "ToCopy", "Transpose", "Unbind"),
    *("UnsafeView", "Unsqueeze", "View"),
    *("_ConvolutionBackward", "_UsualBackward"),  # of `watched`
}
Pair = tuple[Tensor, Tensor]
_PRODUCTS = {"Addmm", "Bmm", "Convolution", "Mm", "Mul", "PreluKernel"}


def linear_in_pieces(z: Tensor) -> bool:
    """Whether scores are, as a function of what their graph begins with."""
    todo, known = [z.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in known:
            continue
        if not _straight(node):
            return False
        known.add(node)
        todo.extend(before for before, _ in node.next_functions)
    return True


def _straight(node: Any) -> bool:
    name = operation(node)
    moves = [before is not None for before, _ in node.next_functions]
    if name == "NativeBatchNorm":
        return not node._saved_training
    if name == "Div":
        return moves[0] and sum(moves) == 1
    if name in _PRODUCTS:
        return sum(moves) == 1
    return name in _STRAIGHT or name.endswith("AccumulateGrad")


class _Part:
    """A block's part in one layer; u, e and δ are rows (b, positions, …).

    H⁻¹'s inner products of two contrasts' gradients are those of two ``sides``, each of the
    smallest form there is: by positions, or explicit (n_outputs, n_inputs).
    """

    def __init__(
        self, layer: Layer, factors: Pair, h: Tensor, u: Tensor, e: Tensor, q: int, once: bool
    ):
        self.layer, self.S, self.A = layer, *factors
        self.once = once  # does `common` go on by itself, in the end?
        self.u, self.e = u, e
        self.Q = (u.flatten(0, 1) @ self.A).reshape(u.shape)
        b, positions, n_inputs = u.shape
        self.single = positions == 1
        self.explicit = positions**2 > n_inputs * len(self.S)
        if not self.explicit:
            self.gram = u @ self.Q.transpose(1, 2)
        # The weight's columns: what goes on to the layer's input. (Products of many small
        # matrices are also slow where a width is odd.)
        self.weight = slice(0, n_inputs - layer.bias)
        shape = (len(self.S), n_inputs) if self.explicit else e.shape[1:]
        self.sides = u.new_empty(2, b, q, *shape)
        self.numbers = u.new_empty(b, q)
        # The largest of what each contrast needs anew.
        self.down, self.space = u.new_empty(self.common.shape), u.new_empty(0)
        up = u @ h.T
        self.change = (up * e).sum((1, 2))  # h·∂_θL_i
        self.along_h = h.expand(b, *h.shape) if self.explicit else up
        self.down_h = e @ h[:, self.weight]

    def take(self, k: int, delta: Tensor) -> Tensor:
        """``Vᵀe`` of contrast k. In a single position it is one of `numbers` times `common`."""
        left, right = self.sides[:, :, k]
        if self.explicit:
            G = delta.transpose(1, 2) @ self.u
            V = (self.S @ G) @ self.A
            left.copy_(G)
            right.copy_(V)
            return torch.bmm(self.e, V[..., self.weight], out=self.down)
        left.copy_(delta)
        p = (delta.flatten(0, 1) @ self.S).reshape(delta.shape)
        if not self.single:
            right.copy_(self.gram @ p)
            return torch.bmm(self.e @ p.transpose(1, 2), self.common, out=self.down)
        right.copy_(p * self.gram)
        self.numbers[:, k] = (p * self.e).sum((1, 2))
        if self.once:
            return self.down
        return torch.mul(self.numbers[:, k, None, None], self.common, out=self.down)

    @property
    def common(self) -> Tensor:
        """What of ``Vᵀe`` is the same for all contrasts in a single position."""
        return self.Q[..., self.weight]

    def inner(self) -> tuple[Tensor, Tensor]:
        """``∂_θc_j · H⁻¹ ∂_θc_k`` (b, q, q), and ``∂_θc_j · h`` (b, q, 1)."""
        left, right = self.sides.flatten(3)
        return left @ right.transpose(1, 2), left @ self.along_h.flatten(1)[:, :, None]


@dataclass(frozen=True)
class Straight:
    """A network linear in pieces with K-FAC's factors, and how blocks of rows go through it."""

    network: Network
    layers: list[Layer]  # in the order of their use
    factors: list[Pair]  # S⁻¹ and A⁻¹, the latter in the layers' `order`
    h: list[Tensor]  # likewise
    last: frozenset[torch.nn.Module]
    common: int  # so many layers at the end have a pass of their own, for all contrasts
    bytes_per_row: float

    @torch.enable_grad()
    def block(
        self, x: Tensor, y: Tensor, share: Tensor
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """The perturbation's g (b, d), ``share h·∂_θL_i`` (b,) and Z (b, K - 1, d).

        None where a module that branches on its rows takes these another way.
        """
        network, layers = self.network, self.layers
        omega = network.still(x).requires_grad_()
        z, seen = watched(network, layers, x, omega, last=self.last)
        usual = [place for place, _, _ in seen] == list(range(len(layers)))
        if not (usual and linear_in_pieces(z)):
            return None
        inputs, outputs = [a for _, a, _ in seen], [o for _, _, o in seen]
        loss = (share * network.row_loss(z, y)).sum()
        errors = torch.autograd.grad(loss, outputs, retain_graph=True, materialize_grads=True)
        own = z @ network.contrasts.T
        q = own.shape[1]
        apart = len(layers) - self.common
        parts = [
            _Part(layer, pair, h, layer.input_rows(a), layer.output_rows(e), q, place >= apart)
            for place, (layer, pair, h, a, e) in enumerate(
                zip(layers, self.factors, self.h, inputs, errors, strict=True)
            )
        ]

        def send(rows: list[Tensor], first: int = 0) -> Tensor:
            """What these, at the inputs of layers from the first on, send to ω (b, d)."""
            pairs = [
                (a, part.layer.input_gradient(row, a, part.space))
                for part, a, row in zip(parts[first:], inputs[first:], rows, strict=False)
                if part.layer.weight and a.requires_grad
            ]
            if not pairs:
                return torch.zeros_like(omega).flatten(1)
            nodes, starts = zip(*pairs, strict=True)
            (out,) = torch.autograd.grad(
                nodes, omega, starts, retain_graph=True, materialize_grads=True
            )
            return out.flatten(1)

        J, D = omega.new_empty(2, len(x), q, omega[0].numel())
        for k in range(q):
            *back, slope = torch.autograd.grad(
                own[:, k].sum(), [*outputs, omega], retain_graph=True, materialize_grads=True
            )
            J[:, k] = slope.flatten(1)
            rows = [
                part.take(k, part.layer.output_rows(delta))
                for part, delta in zip(parts, back, strict=True)
            ]
            D[:, k] = send(rows[:apart])
        for place, part in enumerate(parts[apart:], apart):
            D += part.numbers[:, :, None] * send([part.common], place)[:, None]
        inner = [part.inner() for part in parts]
        t, towards = (torch.stack(each).sum(0) for each in zip(*inner, strict=True))
        half = torch.linalg.pinv(network.contrasts).T @ hessian_root(network, z.detach())
        C = share[:, None, None] * (half @ half.transpose(1, 2))
        g = send([part.down_h for part in parts]) + ((C @ towards) * J).sum(1)
        change = torch.stack([part.change for part in parts]).sum(0)
        return -g, change, torch.baddbmm(J - D, (C @ t).transpose(1, 2), J, alpha=-1)


def straight(
    network: Network,
    layers: list[Layer],
    factors: list[Pair],
    h: Theta,
    x: Tensor,
) -> Straight | None:
    """How blocks go through a network, found by a row x; None if it is not linear in pieces."""
    with torch.enable_grad():
        omega = network.still(x).requires_grad_()
        z, seen = watched(network, layers, x, omega)
    if not linear_in_pieces(z):
        return None
    places = [place for place, _, _ in once(layers, seen)]
    layers, factors = [layers[i] for i in places], [factors[i] for i in places]
    orders = [layer.order for layer in layers]
    costs, singles, numbers, before = [], [], 0.0, 0.0
    q = len(network.contrasts)
    for layer, (S, _), (_, a, _) in zip(layers, factors, seen, strict=True):
        positions, n_inputs, n_outputs = *layer.input_rows(a).shape[1:], len(S)
        costs.append(before)
        singles.append(positions == 1)
        before += positions * n_inputs * n_outputs
        side, gram = (
            min(positions, n_inputs) * n_outputs,
            min(positions**2, n_inputs * n_outputs),
        )
        numbers += positions * (4 * n_inputs + 5 * n_outputs) + 2 * q * side + gram
    numbers += 5 * q * omega.numel()
    return Straight(
        network,
        layers,
        [(S, _in_order(A, order)) for (S, A), order in zip(factors, orders, strict=True)],
        [layer.join(h)[:, order] for layer, order in zip(layers, orders, strict=True)],
        channels_last(network, layers, x),
        _common(costs, singles, q),
        numbers * network.like["dtype"].itemsize + 8.0 * activations(network.module, x),
    )


def _in_order(A: Tensor, order: Tensor) -> Tensor:
    usual = torch.equal(order, torch.arange(len(A), device=order.device))
    return A if usual else A[order][:, order]


def _common(costs: list[float], singles: list[bool], q: int) -> int:
    """How many layers at the end are served by a pass each, rather than in those of q classes.

    ``costs`` are those of a pass from each layer's input back to ω.
    """
    best, found = q * costs[-1], 0
    for count in range(1, len(costs) + 1):
        if not singles[-count]:
            break
        rest = q * costs[-count - 1] if count < len(costs) else 0.0
        if rest + sum(costs[-count:]) <= best:
            best, found = rest + sum(costs[-count:]), count
    return found
