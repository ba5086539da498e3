"""What flows through linear and convolutional layers: inputs, outputs, and their positions.

A convolution is a linear layer that is applied at each of its positions, so that a layer's
parameter gradient is a sum of outer products over positions, ``Σ_t δ_t ũ_tᵀ``. Products over
positions want them as rows of matrices, channels last in memory, which is also what torch's
convolutions are fastest with. The module itself keeps the usual layout where it needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d, pad, unfold

from ._network import Network, Theta, differentiate

# Under so many input channels a product and a sum over the kernel's places are faster than
# torch's gradient in a convolution's input.
_FEW_CHANNELS = 8


class Flow(NamedTuple):
    """A call of a layer."""

    place: int  # among the layers
    input: Tensor
    output: Tensor


@dataclass(frozen=True)
class Layer:
    """A layer some of whose parameters move."""

    name: str
    module: torch.nn.Linear | torch.nn.Conv2d
    weight: bool  # does its weight move?
    bias: bool

    def inputs(self, a: Tensor) -> Tensor:
        """ũ (b, n_inputs, positions)."""
        parts = []
        if isinstance(self.module, torch.nn.Conv2d):
            conv = self.module
            u = unfold(a, conv.kernel_size, conv.dilation, _padding(conv), conv.stride)
        else:
            u = _with_rows(a).transpose(1, 2)
        if self.weight:
            parts.append(u)
        if self.bias:
            parts.append(torch.ones_like(u[:, :1]))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def outputs(self, o: Tensor) -> Tensor:
        """(b, n_outputs, positions)."""
        if isinstance(self.module, torch.nn.Conv2d):
            return o.flatten(2)
        return _with_rows(o).transpose(1, 2)

    def input_rows(self, a: Tensor) -> Tensor:
        """ũ (b, positions, n_inputs) as numbers; their order is `order`."""
        a = a.detach()
        if isinstance(self.module, torch.nn.Conv2d):
            u = _patches(self.module, a)
            grid, inner = u.shape[1:3], u.shape[3:]
        else:
            u = _with_rows(a)
            grid, inner = u.shape[1:2], u.shape[2:]
        width = inner.numel() if self.weight else 0
        rows = a.new_ones(len(a), *grid, width + self.bias)
        if self.weight:
            torch.unflatten(rows[..., :width], -1, inner).copy_(u)
        return rows.flatten(1, -2)

    def output_rows(self, o: Tensor) -> Tensor:
        """(b, positions, n_outputs)."""
        if isinstance(self.module, torch.nn.Conv2d):
            return o.permute(0, 2, 3, 1).flatten(1, 2)
        return _with_rows(o)

    @property
    def order(self) -> Tensor:
        """Which of the layer's columns (`join`) each coordinate of `input_rows` is."""
        weight = self.module.weight
        column = torch.arange(weight[0].numel(), device=weight.device)
        if isinstance(self.module, torch.nn.Conv2d):
            column = column.reshape(weight.shape[1:]).permute(1, 2, 0).flatten()
        if not self.weight:
            return column[:1] * 0
        return torch.cat([column, column[:1] * 0 + len(column)]) if self.bias else column

    def join(self, theta: Theta, leading: int = 0) -> Tensor:
        """The layer's part of parameter vectors as (…, n_outputs, n_inputs)."""
        parts = []
        if self.weight:
            parts.append(theta[_of(self.name, "weight")].flatten(leading + 1))
        if self.bias:
            parts.append(theta[_of(self.name, "bias")][..., None])
        return torch.cat(parts, -1)

    def split(self, G: Tensor, like: Theta) -> Theta:
        """The other way round, for G (…, n_outputs, n_inputs)."""
        out = {}
        if self.bias:
            out[_of(self.name, "bias")] = G[..., -1]
        if self.weight:
            W = G[..., :-1] if self.bias else G
            name = _of(self.name, "weight")
            out[name] = W.reshape((*W.shape[:-2], *like[name].shape))
        return out


def _with_rows(a: Tensor) -> Tensor:
    """(b, positions, n) of a linear layer; a module may squeeze the axis of a single row."""
    return a.reshape(1 if a.dim() == 1 else len(a), -1, a.shape[-1])


def _of(layer: str, name: str) -> str:
    return f"{layer}.{name}" if layer else name


class KroneckerError(ValueError):
    """K-FAC has no form for some parameters."""

    def __init__(self, reason: str, names: list[str], pairs: bool = False):
        others = '"ggn"' if pairs else '"ggn" or "cg"'  # pairs refuse "cg"
        super().__init__(
            f"{reason}: {names[:5]}. Leave them out (params takes names or a predicate), or "
            f"use curvature={others}."
        )
        self.reason, self.names = reason, names


def find_layers(network: Network) -> list[Layer]:
    """Linear and convolutional layers that hold all parameters that move."""
    layers, special, known = [], [], set()
    for name, module in network.module.named_modules():
        weight, bias = _of(name, "weight") in network.theta, _of(name, "bias") in network.theta
        if not (weight or bias) or not isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            continue
        known |= {_of(name, "weight"), _of(name, "bias")}
        if isinstance(module, torch.nn.Conv2d) and not _plain_convolution(module):
            special.append(name)
        layers.append(Layer(name, module, weight, bias))
    others = [name for name in network.theta if name not in known]
    if others:
        raise KroneckerError(
            "K-FAC knows linear layers and two-dimensional convolutions, and these parameters "
            "are of other layers",
            others,
        )
    if special:
        raise KroneckerError(
            "K-FAC has no form for the grouped, padded by name or not zero-padded convolutions",
            special,
        )
    return layers


def once(layers: list[Layer], flows: list[Flow]) -> list[Flow]:
    """The flows, refused where a layer is used more than once."""
    places = [flow.place for flow in flows]
    again = [layer.name for place, layer in enumerate(layers) if places.count(place) > 1]
    if again:
        raise KroneckerError(
            "K-FAC has no form for layers that are used more than once in a forward pass", again
        )
    return flows


def _padding(conv: torch.nn.Conv2d) -> tuple[int, int]:
    padding = conv.padding
    assert not isinstance(padding, str)  # `find_layers` refuses names
    return padding[0], padding[1]


def _geometry(conv: torch.nn.Conv2d) -> list[tuple[int, int, int, int]]:
    """Padding, size of the kernel, stride and dilation, down and across."""
    return list(zip(_padding(conv), conv.kernel_size, conv.stride, conv.dilation, strict=True))


def _patches(conv: torch.nn.Conv2d, a: Tensor) -> Tensor:
    """What each position of a convolution sees: (b, height, width, *kernel, channels)."""
    (up, tall, down, apart), (left, wide, right, aside) = _geometry(conv)
    a = pad(a.permute(0, 2, 3, 1), (0, 0, left, left, up, up))
    u = a.unfold(1, apart * (tall - 1) + 1, down).unfold(2, aside * (wide - 1) + 1, right)
    return u[..., ::apart, ::aside].permute(0, 1, 2, 4, 5, 3)


def sum_patches(conv: torch.nn.Conv2d, rows: Tensor, shape: torch.Size) -> Tensor:
    """The adjoint of `_patches`: rows (b, positions, kernel · channels) to an input's shape."""
    (up, tall, down, apart), (left, wide, right, aside) = _geometry(conv)
    b, channels, height, width = shape
    across = (width + 2 * left - aside * (wide - 1) - 1) // right + 1
    patches = rows.reshape(b, -1, across, tall, wide, channels)
    out = rows.new_zeros(b, height + 2 * up, width + 2 * left, channels)
    for i in range(tall):
        lines = out[:, i * apart :: down][:, : patches.shape[1]]
        for j in range(wide):
            lines[:, :, j * aside :: right][:, :, :across] += patches[:, :, :, i, j]
    return out[:, up : up + height, left : left + width].permute(0, 3, 1, 2)


class _Convolution(torch.autograd.Function):
    """A convolution's output, channels last, and a quick gradient in its input alone."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, weight: Tensor, output: Tensor, conv: torch.nn.Conv2d
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.conv, ctx.shape, ctx.usual = conv, a.shape, a.is_contiguous()
        return output.contiguous(memory_format=torch.channels_last)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        conv = ctx.conv
        grad = grad.contiguous(memory_format=torch.channels_last)
        if conv.in_channels < _FEW_CHANNELS:
            rows = grad.permute(0, 2, 3, 1) @ weight.permute(0, 2, 3, 1).flatten(1)
            out = sum_patches(conv, rows, ctx.shape)
        else:
            # Not torch's gradient of a convolution: that copies an input it does not need.
            sizes = zip(ctx.shape[2:], grad.shape[2:], _geometry(conv), strict=True)
            uncovered = [
                size + 2 * margin - apart * (extent - 1) - 1 - step * (positions - 1)
                for size, positions, (margin, extent, step, apart) in sizes
            ]
            out = conv_transpose2d(
                grad, weight, None, conv.stride, _padding(conv), uncovered, 1, conv.dilation
            )
        return out.contiguous() if ctx.usual else out, None, None, None


class _Usual(torch.autograd.Function):
    """A copy in torch's usual layout, whose gradient has channels last again."""

    @staticmethod
    def forward(ctx: Any, output: Tensor) -> Tensor:
        return output.clone(memory_format=torch.contiguous_format)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.contiguous(memory_format=torch.channels_last)


_with_channels_last: Callable[..., Tensor] = _Convolution.apply
_usual: Callable[..., Tensor] = _Usual.apply


def _plain_convolution(module: torch.nn.Module) -> bool:
    return (
        isinstance(module, torch.nn.Conv2d)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


def forward_with_flows(
    network: Network,
    layers: list[Layer],
    x: Tensor,
    omega: Tensor | None = None,
    *,
    last: Collection[torch.nn.Module] = (),
    twice: bool = False,
) -> tuple[Tensor, list[Flow]]:
    """Scores, and the layers' calls in their order.

    Gradients may be taken ``twice``, or once by quicker convolutions. The outputs of those in
    ``last`` have channels last also for what follows, see `channels_last`.
    """
    flows: list[Flow] = []
    places = {layer.module: place for place, layer in enumerate(layers)}

    def note(module: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
        quick = not twice and _plain_convolution(module)
        if quick:
            output = _with_channels_last(args[0], module.weight, output.detach(), module)
        if module in places:
            if not output.requires_grad:
                output.requires_grad_()  # nothing before it depends on ω
            flows.append(Flow(places[module], args[0], output))
        # A copy in any case: what follows may work in place.
        return output.clone() if not quick or module in last else _usual(output)

    with ExitStack() as hooks:
        for module in network.module.modules():
            if module in places or (not twice and _plain_convolution(module)):
                hooks.enter_context(module.register_forward_hook(note))
        z = network.scores(network.theta, x, omega)  # detached: no gradients of weights
    return z, flows


def channels_last(
    network: Network, layers: list[Layer], x: Tensor
) -> frozenset[torch.nn.Module]:
    """Convolutions whose outputs may keep channels last for what follows.

    Between them the layout need not change to and fro. Some modules need torch's usual one (a
    view, memory that is read as it lies): scores and gradients of a row must not change.
    """

    @torch.enable_grad()
    def derivatives(last: frozenset[torch.nn.Module]) -> list[Tensor]:
        z, flows = forward_with_flows(network, layers, x, last=last)
        towards = torch.linspace(1.0, 2.0, z.numel(), **network.like).reshape(z.shape)
        return [z.detach(), *differentiate(z, [flow.output for flow in flows], towards)]

    def same(last: frozenset[torch.nn.Module]) -> bool:
        try:
            pairs = list(zip(derivatives(last), usual, strict=True))
        except Exception:  # of torch's, or of the module's own
            return False
        close = torch.finfo(network.like["dtype"]).eps ** 0.5
        return all((a - b).abs().max() <= close * b.abs().max() for a, b in pairs)

    convolutions = [m for m in network.module.modules() if _plain_convolution(m)]
    kept, every = frozenset[torch.nn.Module](), frozenset(convolutions)
    if not every:
        return every
    usual = derivatives(kept)
    if same(every):
        return every
    for convolution in convolutions:
        if same(kept | {convolution}):
            kept |= {convolution}
    return kept
