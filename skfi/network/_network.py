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

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
_MAX_ROWS = 4096


class Labelled(NamedTuple):
    """Rows with their class codes and weights."""

    X: Any  # (n, ...) as the module takes them
    y: np.ndarray
    weight: np.ndarray


class PerturbedRows(NamedTuple):
    """What moving each of a block of rows does, in float64."""

    rows: slice
    g: np.ndarray  # (b, d)
    change: np.ndarray  # s_i/n h·∂_θL_i (b,)
    Z: np.ndarray  # of the row's own log-odds, the refit included (b, K - 1, d)


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
    def like(self) -> dict[str, Any]:
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

        def shift(_: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (args[0] + omega, *args[1:])

        with self.module.get_submodule(self.head).register_forward_pre_hook(shift):
            return self._call(theta, x)

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

    def rows(self, X: Any, block: slice) -> Tensor:
        """A block of rows on the module's device; integers stay integers."""
        return as_tensor(X[block], **self.like)

    def block(self, data: Labelled, block: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, codes and s_i/n of a block."""
        codes = torch.as_tensor(data.y[block], device=self.like["device"])
        binary = isinstance(self.link, Sigmoid)
        codes = codes.to(self.like["dtype"]) if binary else codes.long()
        share = torch.as_tensor(data.weight[block] / len(data.X), **self.like)
        return self.rows(data.X, block), codes, share

    def blocks(self, X: Any, passes: float, beside: float = 0.0) -> Iterator[slice]:
        """Blocks of rows that take ``passes`` times their activations, and ``beside`` bytes."""
        size = passes * activations(self.module, self.rows(X, slice(0, 1)))
        return blocks(len(X), size + beside)

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
    inputs: list[Tensor] = []
    layer = network.module.get_submodule(str(network.head))
    with layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0])):
        network.module(x)
    return inputs[0]


def as_tensor(X: Any, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Rows as a tensor of a floating dtype; integers stay integers."""
    if isinstance(X, np.ndarray) and not X.flags.writeable:
        X = X.copy()  # torch has no read-only tensors, and warns
    x = torch.as_tensor(X, device=device)
    return x.to(dtype) if x.is_floating_point() else x


def as_numpy(t: Tensor) -> np.ndarray:
    """Numbers in float64 on the CPU."""
    return t.detach().double().cpu().numpy()


def blocks(n_rows: int, bytes_per_row: float, largest: int = _MAX_ROWS) -> Iterator[slice]:
    """Blocks of rows whose temporaries stay under scikit-learn's ``working_memory``."""
    rows = int(get_config()["working_memory"] * 2**20 // max(bytes_per_row, 1))
    rows = min(max(rows, 1), largest)
    for start in range(0, n_rows, rows):
        yield slice(start, min(start + rows, n_rows))


@torch.no_grad()
def features(network: Network, X: Any) -> np.ndarray:
    """What ω is added to, flat (n, d) in float64."""
    if network.head is None:
        return np.asarray(X, dtype=np.float64).reshape(len(X), -1)
    parts = (_head_input(network, network.rows(X, b)) for b in network.blocks(X, 3.0))
    return np.concatenate([as_numpy(part.flatten(1)) for part in parts])


@torch.no_grad()
def activations(module: torch.nn.Module, x: Tensor) -> int:
    """Bytes of the input and of all layers' outputs for one row."""
    sizes = [x[:1].numel()]

    def count(_: torch.nn.Module, args: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    with ExitStack() as hooks:
        for layer in module.modules():
            hooks.enter_context(layer.register_forward_hook(count))
        module(x[:1])
    return sum(sizes) * x.element_size()


def flat(parts: Iterable[Tensor], leading: int = 0) -> Tensor:
    """Tensors of all parameters as one vector, behind ``leading`` common dimensions."""
    return torch.cat([t[..., None].flatten(leading) for t in parts], dim=-1)


def unflat(network: Network, vector: Tensor) -> Theta:
    """The other way round; (…, m) becomes a tensor (…, *shape) for each parameter."""
    sizes = [t.numel() for t in network.theta.values()]
    parts = torch.split(vector, sizes, dim=-1)
    leading = vector.shape[:-1]
    return {
        name: part.reshape((*leading, *t.shape))
        for (name, t), part in zip(network.theta.items(), parts, strict=True)
    }


@torch.no_grad()
def scores_all(network: Network, X: Any) -> np.ndarray:
    """Z of all rows as float64 (n, n_outputs)."""
    theta = network.theta
    parts = (network.scores(theta, network.rows(X, b)) for b in network.blocks(X, 3.0))
    return np.concatenate([as_numpy(z) for z in parts])


def _pulled_back(network: Network, X: Any, cotangent: np.ndarray) -> Theta:
    """Σ_i cotangent_i · ∂_θ z_i, one backward pass a block."""
    total = {name: torch.zeros_like(t) for name, t in network.theta.items()}
    for block in network.blocks(X, 6.0):
        theta, towards = network.leaves(), torch.as_tensor(cotangent[block], **network.like)
        with torch.enable_grad():
            z = network.scores(theta, network.rows(X, block))
        parts = differentiate(z, list(theta.values()), towards)
        for name, part in zip(theta, parts, strict=True):
            total[name] += part
    return total


def validation_gradient(network: Network, data: Labelled, loss: ValidationLoss) -> Theta:
    """u, the gradient of the weighted mean of the validation loss."""
    z = scores_all(network, data.X)
    gradient = checked_loss(loss, data.y, network.link.log_proba(z))
    share = data.weight / data.weight.sum()
    return _pulled_back(network, data.X, network.link.pull_back(z, gradient) * share[:, None])


def objective_gradient(network: Network, data: Labelled) -> Theta:
    """Gradient of the trained objective, which vanishes at an optimum."""
    residual = network.link.residual(scores_all(network, data.X), data.y)
    total = _pulled_back(network, data.X, residual * (data.weight / len(data.X))[:, None])
    return {name: t + network.penalty[name] * network.theta[name] for name, t in total.items()}


def inner(a: Theta, b: Theta) -> Tensor:
    """Their inner product."""
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()


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
    a part of the result would be missing without a word. torch has no public type for these
    nodes, and visiting all of them costs another backward pass, so they are known by name;
    the zoo's "no second derivative" fails where torch renames them.
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


def along_perturbed(
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
