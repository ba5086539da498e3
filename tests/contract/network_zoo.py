"""Small torch modules, each with one thing that is special, and what is expected of each.

All of them take rows of four numbers, or of four tokens. Where torch or the special thing gets
in the way of a dense reference, ``plain`` makes the same function without it.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

RIGHT = ""
NOT_TWICE = 'cannot differentiate .* twice.*"last_layer"'
MORE_THAN_A_LAST_LAYER = r"last linear layer .*params="


@dataclass(frozen=True)
class Entry:
    """How a module is made, and of what its scores are right or refused."""

    make: Callable[[], nn.Module]
    head: str = RIGHT  # the last layer on its features: right, or what the message matches
    every: str = RIGHT  # all parameters, the input perturbed (tokens: the features)
    plain: Callable[[], nn.Module] | None = None
    outputs: int = 3
    tokens: bool = False
    kind: type[Exception] = ValueError


class Function(nn.Module):
    """Any function of a row and of some layers or parameters."""

    def __init__(self, function, *parts, **named):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)
        for name, part in named.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x, *self.parts)


def body(*layers, last=None):
    return nn.Sequential(*layers, last or nn.Linear(4, 3))


def hidden(function, *parts, **named):
    """A special body in front of a usual last layer."""
    return body(Function(function, *parts, **named))


def tanh_linear(linear):
    return body(linear, nn.Tanh())


def sequence(layer, width):
    """The row as two steps of two numbers, and the mean over the layer's outputs."""

    def run(self, x, layer):
        return layer(x.reshape(-1, 2, 2))[0].mean(1)

    return nn.Sequential(Function(run, layer), nn.Linear(width, 3))


def old_weight_norm(linear):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(linear)


def pruned(linear):
    return prune.l1_unstructured(linear, "weight", amount=0.3)


def used_twice(self, x, inner):
    return torch.tanh(inner(torch.tanh(inner(x))))


def cosine(self, x, inner, last):
    x = F.normalize(torch.tanh(inner(x)), dim=1)
    return 3 * F.linear(x, F.normalize(last.weight, dim=1))


def attention_kept(self, x, inner):
    self.attention = torch.softmax(self.logits, 0)
    self.steps = [inner(x).mean()]
    return torch.tanh(inner(x) * self.attention)


def kept_graph():
    module = hidden(attention_kept, nn.Linear(4, 4), logits=nn.Parameter(torch.randn(4)))
    module(torch.randn(2, 4))  # the tensors that are kept belong to a graph now
    return module


def counted(self, x, inner):
    self.count += 1
    return torch.tanh(inner(x))


def averaged(self, x, inner):
    self.average = 0.9 * self.average + 0.1 * x.mean()
    return torch.tanh(inner(x))


def with_buffer(function, name, value):
    module = hidden(function, nn.Linear(4, 4))
    module[0].register_buffer(name, torch.tensor(value))
    return module


def in_checkpoint(**settings):
    def run(self, x, inner):
        if settings:
            return checkpoint(lambda x: torch.tanh(inner(x)), x, **settings)
        return torch.tanh(inner(x))

    return hidden(run, nn.Linear(4, 4))


def under_autocast(everything, enabled=True):
    def run(self, x, inner, last):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            h = torch.tanh(inner(x))
            if everything:
                return last(h)
        return last(h.to(x.dtype))

    return lambda: Function(run, nn.Linear(4, 4), nn.Linear(4, 3))


class Cube(torch.autograd.Function):
    """Differentiable twice, but not by torch.func."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3 / 3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x**2


class Once(torch.autograd.Function):
    """Differentiable once."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3 / 3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x**2


def branching(self, x, inner):
    h = inner(x)
    return torch.tanh(h) if h.detach().abs().max().item() < 1e9 else h


def batch_norm():
    module = body(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh())
    for _ in range(5):
        module(3 + 2 * torch.randn(20, 4))
    return module


def convolution(channels, *layers, width):
    return nn.Sequential(
        nn.Unflatten(1, (channels, 4 // channels)), *layers, nn.Flatten(), nn.Linear(width, 3)
    )


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(body(nn.Linear(4, 4), nn.Tanh()))


def bag(sparse):
    return nn.Sequential(nn.EmbeddingBag(9, 4, sparse=sparse), nn.Linear(4, 3))


def looked_up(sparse):
    mean = Function(lambda self, x, table: torch.tanh(table(x).mean(1)), nn.Embedding(9, 4))
    mean.parts[0].sparse = sparse
    return nn.Sequential(mean, nn.Linear(4, 3))


def beside(self, x, table, f):
    return torch.tanh(f(torch.cat([table(x[:, 0].abs().long()), x[:, 1:]], 1)))


def encoder():
    def run(self, x, layer):
        return layer(x.reshape(-1, 1, 4))[:, 0]

    return hidden(run, nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0, batch_first=True))


def attention():
    def run(self, x, layer):
        x = x.reshape(-1, 2, 2)
        return layer(x, x, x, need_weights=False)[0].flatten(1)

    return hidden(run, nn.MultiheadAttention(2, 1, batch_first=True))


def failing_hook():
    module = body(nn.Linear(4, 4), nn.Tanh())

    def hook(layer, args, output):
        if output.requires_grad:
            raise RuntimeError("the hook's own error, which mentions vmap")
        return 1.5 * output

    module[0].register_forward_hook(hook)
    return module


ZOO: dict[str, Entry] = {
    "plain": Entry(lambda: body(nn.Linear(4, 4), nn.Tanh())),
    "0-d parameter": Entry(
        lambda: hidden(
            lambda self, x, f: torch.tanh(f(x) * self.t), nn.Linear(4, 4),
            t=nn.Parameter(torch.tensor(1.5)),
        )
    ),
    "0-d parameter behind the last layer": Entry(
        lambda: Function(
            lambda self, x, f: f(torch.tanh(x)) * self.t, nn.Linear(4, 3),
            t=nn.Parameter(torch.tensor(1.5)),
        ),
        head=MORE_THAN_A_LAST_LAYER,
    ),
    "unused layer": Entry(
        lambda: hidden(lambda self, x, f, other: torch.tanh(f(x)), nn.Linear(4, 4),
                       nn.Linear(4, 2))
    ),
    "weight used as a function": Entry(
        lambda: Function(cosine, nn.Linear(4, 4), nn.Linear(4, 3, bias=False)),
        head=MORE_THAN_A_LAST_LAYER,
    ),
    "inner weight used as a function": Entry(
        lambda: hidden(lambda self, x, f: torch.tanh(F.linear(x, f.weight, f.bias)),
                       nn.Linear(4, 4))
    ),
    "layer used twice": Entry(lambda: hidden(used_twice, nn.Linear(4, 4))),
    "squeezed, binary": Entry(
        lambda: Function(lambda self, x, f, last: last(torch.tanh(f(x))).squeeze(),
                         nn.Linear(4, 4), nn.Linear(4, 1)),
        outputs=1,
    ),
    "squeezed last axis": Entry(
        lambda: Function(lambda self, x, f, last: last(torch.tanh(f(x))).squeeze(-1),
                         nn.Linear(4, 4), nn.Linear(4, 1)),
        outputs=1,
    ),
    "squeezed, three classes": Entry(
        lambda: Function(lambda self, x, f, last: last(torch.tanh(f(x))).squeeze(),
                         nn.Linear(4, 4), nn.Linear(4, 3))
    ),
    "squeezed features": Entry(
        lambda: hidden(lambda self, x, f: torch.tanh(f(x)[:, :, None]).squeeze(),
                       nn.Linear(4, 4))
    ),
    "graph tensor kept": Entry(kept_graph),
    "pruned body": Entry(lambda: tanh_linear(pruned(nn.Linear(4, 4)))),
    "pruned last layer": Entry(
        lambda: body(nn.Linear(4, 4), nn.Tanh(), last=pruned(nn.Linear(4, 3))),
        head=MORE_THAN_A_LAST_LAYER,
    ),
    "weight norm of old": Entry(lambda: tanh_linear(old_weight_norm(nn.Linear(4, 4)))),
    "weight norm of old, last layer": Entry(
        lambda: body(nn.Linear(4, 4), nn.Tanh(), last=old_weight_norm(nn.Linear(4, 3))),
        head=MORE_THAN_A_LAST_LAYER,
    ),
    "weight norm": Entry(lambda: tanh_linear(parametrizations.weight_norm(nn.Linear(4, 4)))),
    "weight norm, last layer": Entry(
        lambda: body(nn.Linear(4, 4), nn.Tanh(),
                     last=parametrizations.weight_norm(nn.Linear(4, 3))),
        head=MORE_THAN_A_LAST_LAYER,
    ),
    "spectral norm": Entry(
        lambda: tanh_linear(parametrizations.spectral_norm(nn.Linear(4, 4)))
    ),
    "bfloat16": Entry(lambda: tanh_linear(nn.Linear(4, 4)).bfloat16()),
    "float16": Entry(lambda: tanh_linear(nn.Linear(4, 4)).half()),
    "float64": Entry(lambda: tanh_linear(nn.Linear(4, 4)).double()),
    "bfloat16 body, float32 head": Entry(
        lambda: hidden(lambda self, x, f: torch.tanh(f(x.to(f.weight.dtype))).to(x.dtype),
                       nn.Linear(4, 4).bfloat16())
    ),
    "converts its input": Entry(
        lambda: hidden(lambda self, x, f: torch.tanh(f(x.float())), nn.Linear(4, 4)),
        plain=lambda: hidden(lambda self, x, f: torch.tanh(f(x)), nn.Linear(4, 4)),
    ),
    "converts its input to bfloat16": Entry(
        lambda: hidden(lambda self, x, f: torch.tanh(f(x.bfloat16())), nn.Linear(4, 4))
        .bfloat16(),
        head="converts", every="converts",
    ),
    "autocast body": Entry(under_autocast(False), plain=under_autocast(False, False)),
    "autocast": Entry(under_autocast(True), plain=under_autocast(True, False)),
    "LSTM": Entry(lambda: sequence(nn.LSTM(2, 3, batch_first=True), 3)),
    "GRU": Entry(lambda: sequence(nn.GRU(2, 3, batch_first=True), 3)),
    "RNN": Entry(lambda: sequence(nn.RNN(2, 3, batch_first=True, bidirectional=True), 6)),
    "buffer changed in place": Entry(lambda: with_buffer(counted, "count", 0.0)),
    "buffer replaced": Entry(lambda: with_buffer(averaged, "average", 0.0)),
    "checkpoint": Entry(
        lambda: in_checkpoint(use_reentrant=False), plain=in_checkpoint,
        every=r"no checkpoint where self\.training",
    ),
    "reentrant checkpoint": Entry(
        lambda: in_checkpoint(use_reentrant=True), plain=in_checkpoint,
        every=r"no checkpoint where self\.training",
    ),
    "function of one's own": Entry(
        lambda: hidden(lambda self, x, f: Cube.apply(f(x)), nn.Linear(4, 4)),
        plain=lambda: hidden(lambda self, x, f: f(x) ** 3 / 3, nn.Linear(4, 4)),
    ),
    "no second derivative": Entry(
        lambda: hidden(lambda self, x, f: Once.apply(f(x)), nn.Linear(4, 4)),
        plain=lambda: hidden(lambda self, x, f: f(x) ** 3 / 3, nn.Linear(4, 4)),
        every=NOT_TWICE,
    ),
    "branch on a number": Entry(lambda: hidden(branching, nn.Linear(4, 4))),
    "no gradient to the input": Entry(
        lambda: hidden(lambda self, x, f: torch.tanh(f(x.detach().sign())), nn.Linear(4, 4))
    ),
    "transformer encoder": Entry(encoder),
    "attention": Entry(attention),
    "batch norm": Entry(batch_norm),
    "layer norm": Entry(lambda: body(nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh())),
    "padding by name": Entry(
        lambda: convolution(1, nn.Conv1d(1, 2, 3, padding="same"), nn.Tanh(), width=8)
    ),
    "depthwise convolution": Entry(
        lambda: convolution(2, nn.Conv1d(2, 2, 2, groups=2), nn.Tanh(), width=2)
    ),
    "tuple": Entry(
        lambda: Function(lambda self, x, f, last: (last(torch.tanh(f(x))), x),
                         nn.Linear(4, 4), nn.Linear(4, 3))
    ),
    "embedding, sparse gradients": Entry(
        lambda: looked_up(True), plain=lambda: looked_up(False), tokens=True
    ),
    "embedding bag, sparse gradients": Entry(
        lambda: bag(True), plain=lambda: bag(False), tokens=True, every=NOT_TWICE
    ),
    "numbers beside what is looked up": Entry(
        lambda: hidden(beside, nn.Embedding(9, 2), nn.Linear(5, 4)),
        every='looks up integers. Use perturbation="features"',
    ),
    "other rows of the batch": Entry(
        lambda: hidden(lambda self, x, f: f(x) - f(x).mean(0), nn.Linear(4, 4)),
        head="depends on the other rows", every="depends on the other rows",
    ),
    "noise": Entry(
        lambda: hidden(lambda self, x, f: f(x) + torch.randn(4), nn.Linear(4, 4)),
        head="noise", every="noise",
    ),
    "frozen": Entry(
        lambda: body(nn.Linear(4, 4)).requires_grad_(False), head="Unfreeze", every="Unfreeze"
    ),
    "no parameters": Entry(nn.Identity, head="no parameters", every="no parameters"),
    "dictionary": Entry(
        lambda: Function(lambda self, x, f: {"z": f(x)}, nn.Linear(4, 3)),
        head="output is a dict", every="output is a dict", kind=TypeError,
    ),
    "scripted": Entry(scripted, head="TorchScript", every="TorchScript", kind=TypeError),
    "lazy": Entry(
        lambda: body(nn.LazyLinear(4), nn.Tanh()), head="LazyLinear", every="LazyLinear"
    ),
    "complex numbers": Entry(
        lambda: hidden(lambda self, x, f: f(x.to(torch.complex64)).abs(),
                       nn.Linear(4, 4, dtype=torch.complex64)),
        head="complex", every="complex", kind=TypeError,
    ),
    "cannot be copied": Entry(
        lambda: hidden(lambda self, x, f: torch.tanh(f(x)), nn.Linear(4, 4),
                       lock=threading.Lock()),
        head="copy.deepcopy", every="copy.deepcopy", kind=TypeError,
    ),
    "error in a hook": Entry(
        failing_hook, every="the hook's own error", kind=RuntimeError,
        plain=lambda: hidden(lambda self, x, f: torch.tanh(1.5 * f(x)), nn.Linear(4, 4)),
    ),
}  # fmt: skip
