"""The measure's derivatives for torch modules, without a matrix of parameters × inputs.

Everything the measure asks of a row contracts the mixed derivative ``M_i = ∂_θ∂_ω L_i``
(m×d) with a vector, and that is one more backward pass:

- ``v·∂_θ L_i`` differentiated in ω is ``vᵀM_i`` (g with v = H⁻¹u, and the parts of D);
- ``w·∂_ω L_i`` differentiated in θ is ``M_i w`` (B_i).

ω is added to the module's input, or to the input of its last layer. All derivatives are
reverse mode: backward over forward mode is wrong in torch, without a word, for fused layers
such as LayerNorm (torch 2.13).

The loss is a mean here: ``(1/n) Σ s_i L_i + ½ Σ penalty θ²`` with Σ s_i = n, and H its
Hessian or what stands for it, so that ``J_i = -(s_i/n) H⁻¹ M_i``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.linalg import helmert
from sklearn import get_config
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import softplus

from ..linear._links import Sigmoid, Softmax
from ..linear._losses import ValidationLoss, checked_loss

Theta = dict[str, Tensor]
# Blocks of rows with g, the share of the row's loss along h, and Z, as float64.
Perturbed = Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]
_MAX_ROWS = 4096


@dataclass(frozen=True)
class Network:
    """A trained module as a function of its parameters and of a perturbation."""

    module: torch.nn.Module  # a copy of our own, in evaluation mode, needing no gradients
    theta: Theta  # parameters that move
    head: str | None  # layer whose input is perturbed; None: the module's own input
    read: Callable[[Tensor], Tensor]  # module output -> scores z (b, n_outputs)
    link: Sigmoid | Softmax
    penalty: Theta  # what the penalty ½ Σ penalty θ² has for each parameter
    contrasts: Tensor = field(init=False)  # (K - 1, n_outputs): scores -> orthonormal log-odds
    one_by_one: bool = field(init=False, default=False)  # does torch.func not take the module?

    def __post_init__(self) -> None:
        if isinstance(self.link, Sigmoid):
            matrix = -np.sqrt([[0.5]])  # of scores (0, z)
        else:
            matrix = helmert(self.link.n_classes)
        object.__setattr__(self, "contrasts", torch.as_tensor(matrix, **self.like))

    def take_one_by_one(self) -> None:
        """Leave `torch.func` alone from now on."""
        object.__setattr__(self, "one_by_one", True)

    def leaves(self) -> Theta:
        """The parameters that move, as the leaves of a new graph."""
        return {name: t.detach().requires_grad_() for name, t in self.theta.items()}

    @property
    def like(self) -> dict:
        """Dtype and device, as keyword arguments."""
        first = next(iter(self.theta.values()))
        return {"dtype": first.dtype, "device": first.device}

    @property
    def n_parameters(self) -> int:
        return sum(t.numel() for t in self.theta.values())

    def scores(self, theta: Theta, x: Tensor, omega: Tensor | None = None) -> Tensor:
        """Z (b, n_outputs) of rows whose input, or last layer's input, moves by ω."""
        if omega is None:
            return self._call(theta, x)
        if self.head is None:
            return self._call(theta, x + omega)

        def shift(layer, args):
            return (args[0] + omega, *args[1:])

        handle = self.module.get_submodule(self.head).register_forward_pre_hook(shift)
        try:
            return self._call(theta, x)
        finally:
            handle.remove()

    def _call(self, theta: Theta, x: Tensor) -> Tensor:
        with _attributes_kept(self.module):
            buffers = dict(self.module.named_buffers())
            return self.read(functional_call(self.module, {**buffers, **theta}, (x,)))

    def row_loss(self, z: Tensor, y: Tensor) -> Tensor:
        """The training loss L of each row (b,)."""
        if isinstance(self.link, Sigmoid):
            return softplus(z[:, 0]) - y * z[:, 0]
        log_p = torch.log_softmax(z, 1)
        loss = -log_p.gather(1, y[:, None])[:, 0]
        smoothing = self.link.smoothing
        if smoothing:
            loss = (1.0 - smoothing) * loss - smoothing * log_p.mean(1)
        return loss

    def rows(self, X, block: slice) -> Tensor:
        """A block of rows on the module's device; integers stay integers."""
        return as_tensor(X[block], **self.like)

    def codes(self, y: np.ndarray, block: slice) -> Tensor:
        codes = torch.as_tensor(y[block], device=self.like["device"])
        return codes.to(self.like["dtype"]) if isinstance(self.link, Sigmoid) else codes.long()

    def block(
        self, X, y: np.ndarray, weight: np.ndarray, block: slice
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, codes and s_i/n of a block."""
        share = torch.as_tensor(weight[block] / len(X), **self.like)
        return self.rows(X, block), self.codes(y, block), share

    def still(self, x: Tensor) -> Tensor:
        """ω = 0 for a block."""
        if self.head is None:
            return torch.zeros_like(x)
        with torch.no_grad():  # of two rows, as a module may squeeze the axis of one
            shape = _head_input(self, x[[0, -1]]).shape
        return torch.zeros((len(x), *shape[1:]), **self.like)


@contextmanager
def _attributes_kept(module: torch.nn.Module) -> Iterator[None]:
    """Forget what a forward pass keeps on the module: its tensors belong to one graph."""
    before = [(part, dict(vars(part))) for part in module.modules()]
    try:
        yield
    finally:
        for part, attributes in before:
            vars(part).clear()
            vars(part).update(attributes)


def _head_input(network: Network, x: Tensor) -> Tensor:
    seen = []
    layer = network.module.get_submodule(str(network.head))
    handle = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        network.module(x)
    finally:
        handle.remove()
    return seen[0]


def as_tensor(X, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Rows as a tensor of a floating dtype; integers stay integers."""
    if isinstance(X, np.ndarray) and not X.flags.writeable:
        X = X.copy()  # torch has no read-only tensors, and warns
    x = torch.as_tensor(X, device=device)
    return x.to(dtype) if x.is_floating_point() else x


def as_numpy(t: Tensor) -> np.ndarray:
    """Numbers in float64 on the CPU."""
    return t.detach().double().cpu().numpy()


def blocks(
    n_rows: int, bytes_per_row: float, chunk: int | None = None, largest: int = _MAX_ROWS
) -> Iterator[slice]:
    """Blocks of rows whose temporaries stay under scikit-learn's ``working_memory``."""
    if chunk is None:
        chunk = int(get_config()["working_memory"] * 2**20 // max(bytes_per_row, 1))
        chunk = min(max(chunk, 1), largest)
    for start in range(0, n_rows, chunk):
        yield slice(start, min(start + chunk, n_rows))


def features(network: Network, X, chunk: int | None = None) -> np.ndarray:
    """What ω is added to, flat (n, d) in float64."""
    if network.head is None:
        return np.asarray(X, dtype=np.float64).reshape(len(X), -1)
    parts = []
    with torch.no_grad():
        size = 3.0 * activations(network.module, network.rows(X, slice(0, 1)))
        for block in blocks(len(X), size, chunk):
            part = _head_input(network, network.rows(X, block))
            parts.append(part.flatten(1).double().cpu().numpy())
    return np.concatenate(parts)


def activations(module: torch.nn.Module, x: Tensor) -> int:
    """Bytes of the input and of all layers' outputs for one row."""
    total = [x[:1].numel()]

    def count(layer, args, output):
        if isinstance(output, Tensor):
            total[0] += output.numel()

    handles = [layer.register_forward_hook(count) for layer in module.modules()]
    try:
        with torch.no_grad():
            module(x[:1])
    finally:
        for handle in handles:
            handle.remove()
    return total[0] * x.element_size()


def flat(theta: Theta, leading: int = 0) -> Tensor:
    """Parameters as one vector, behind ``leading`` common dimensions."""
    return torch.cat([t[..., None].flatten(leading) for t in theta.values()], dim=-1)


def unflat(network: Network, vector: Tensor) -> Theta:
    """The other way round; (…, m) becomes a tensor (…, *shape) for each parameter."""
    sizes = [t.numel() for t in network.theta.values()]
    parts = vector.split(sizes, dim=-1)
    leading = vector.shape[:-1]
    return {
        name: part.reshape((*leading, *t.shape))
        for (name, t), part in zip(network.theta.items(), parts, strict=True)
    }


def scores_all(network: Network, X, chunk: int | None = None) -> np.ndarray:
    """Z of all rows as float64 (n, n_outputs)."""
    parts = []
    with torch.no_grad():
        size = 3.0 * activations(network.module, network.rows(X, slice(0, 1)))
        for block in blocks(len(X), size, chunk):
            z = network.scores(network.theta, network.rows(X, block))
            parts.append(z.double().cpu().numpy())
    return np.concatenate(parts)


def _pulled_back(network: Network, X, cotangent: np.ndarray, chunk: int | None) -> Theta:
    """Σ_i cotangent_i · ∂_θ z_i, one backward pass a block."""
    total = {name: torch.zeros_like(t) for name, t in network.theta.items()}
    size = 6.0 * activations(network.module, network.rows(X, slice(0, 1)))
    for block in blocks(len(X), size, chunk):
        theta, towards = network.leaves(), torch.as_tensor(cotangent[block], **network.like)
        with torch.enable_grad():
            z = network.scores(theta, network.rows(X, block))
        parts = differentiate(z, list(theta.values()), towards)
        for name, part in zip(theta, parts, strict=True):
            total[name] += part
    return total


def validation_gradient(
    network: Network,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    loss: ValidationLoss,
    chunk: int | None = None,
) -> Theta:
    """u, the gradient of the weighted mean of the validation loss."""
    z = scores_all(network, X, chunk)
    gradient = checked_loss(loss, y, network.link.log_proba(z))
    cotangent = network.link.pull_back(z, gradient) * (weight / weight.sum())[:, None]
    return _pulled_back(network, X, cotangent, chunk)


def objective_gradient(
    network: Network, X, y: np.ndarray, weight: np.ndarray, chunk: int | None = None
) -> Theta:
    """Gradient of the trained objective, which vanishes at an optimum."""
    z = scores_all(network, X, chunk)
    residual = network.link.residual(z, y) * (weight / len(weight))[:, None]
    total = _pulled_back(network, X, residual, chunk)
    return {name: t + network.penalty[name] * network.theta[name] for name, t in total.items()}


def inner(a: Theta, b: Theta) -> Tensor:
    """Their inner product."""
    return sum((a[name] * b[name]).sum() for name in a)  # type: ignore[return-value]


def differentiate(
    output: Tensor,
    inputs: Sequence[Tensor],
    start: Tensor | None = None,
    create_graph: bool = False,
) -> tuple[Tensor, ...]:
    """Gradients of ``start · output``; zeros in what it does not depend on."""
    if not output.requires_grad:
        return tuple(torch.zeros_like(t) for t in inputs)
    gradients = torch.autograd.grad(
        output,
        inputs,
        start,
        retain_graph=True,
        create_graph=create_graph,
        materialize_grads=True,
    )
    if create_graph:
        _check_twice(gradients)
    return gradients


def _check_twice(gradients: Sequence[Tensor]) -> None:
    """Refuse gradients that pass through `once_differentiable`.

    Their graph ends in a node that raises, but not where a derivative has no need to visit it:
    a part of the result would be missing without a word.
    """
    todo, known = [t.grad_fn for t in gradients], set()
    while todo:
        node = todo.pop()
        if node is None or node in known:
            continue
        if type(node).__name__ in ("Error", "DelayedError"):
            raise NotImplementedError("trying to differentiate twice a function")
        known.add(node)
        todo.extend(before for before, _ in node.next_functions)


def along(
    network: Network, x: Tensor, y: Tensor, share: Tensor, h: Theta, omega: Tensor | None = None
) -> Tensor:
    """``share h·∂_θL_i`` (b,) for one direction h = H⁻¹u common to all rows."""
    return _along(network, x, y, share, h, omega)[0]


def along_moved(
    network: Network, x: Tensor, y: Tensor, share: Tensor, h: Theta
) -> tuple[Tensor, Tensor]:
    """The gradient g (b, d) of minus `along` in ω, and `along` itself (b,)."""
    omega = network.still(x).requires_grad_()
    change, slope = _along(network, x, y, share, h, omega)
    return -slope.flatten(1), change


@torch.enable_grad()
def _along(
    network: Network, x: Tensor, y: Tensor, share: Tensor, h: Theta, omega: Tensor | None
) -> tuple[Tensor, ...]:
    # The gradient's product with h is linear in the rows' shares: its derivative in them is
    # what each row counts.
    theta, share = network.leaves(), share.detach().requires_grad_()
    loss = share @ network.row_loss(network.scores(theta, x, omega), y)
    slopes = differentiate(loss, list(theta.values()), create_graph=True)
    change = inner(dict(zip(theta, slopes, strict=True)), h)
    per_share, *rest = differentiate(change, [share] if omega is None else [share, omega])
    return share.detach() * per_share, *rest
