"""Which linear layer is a module's last, and what the module makes of it.

Both are judged by what the module computes, on a copy in float64 whose last layer gets other
weights and other inputs, so that it does not matter what the training made of either.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ._network import NoLastLayer
from ._torch_copy import copy_module
from ._torch_loss import Output, log_of_probabilities


class LastLinear:
    """The last linear layer that a module calls, on a few rows ``x``."""

    def __init__(self, module: nn.Module, output: Output, x: Tensor) -> None:
        self.output = output
        self.module, self.x = module, x
        with torch.no_grad():
            try:
                # Where module or device need their own dtype, that one has to do.
                self.module = copy_module(module).double().eval()
                self.x = x.double() if x.is_floating_point() else x
                self._find()
            except (RuntimeError, TypeError):
                self.module, self.x = copy_module(module).eval(), x
                self._find()

    def _find(self) -> None:
        """Its name, and its input where it is called once."""
        calls: list[tuple[str, Tensor]] = []

        def note(name: str, _: nn.Module, args: tuple[Any, ...]) -> None:
            calls.append((name, args[0]))

        with ExitStack() as hooks:
            for name, layer in self.module.named_modules():
                if isinstance(layer, nn.Linear):
                    hooks.enter_context(layer.register_forward_pre_hook(partial(note, name)))
            self.scores = self.output.read(self.module(self.x))
        if not calls:
            raise NoLastLayer(
                "The module has no linear layer to take as its last.",
                'Choose parameters by name (params=[...]) and perturbation="input".',
            )
        self.name, self.inputs = calls[-1]
        self.once = [name for name, _ in calls].count(self.name) == 1
        layer = self.module.get_submodule(self.name)
        assert isinstance(layer, nn.Linear)
        self.layer = layer

    @torch.no_grad()
    def check_passed(self) -> None:
        """Refuse scores that are not a function of the layer's input, by its weights."""
        if not self._is_passed():
            raise NoLastLayer(
                "The module's scores depend on more than the input of its last linear layer "
                f"{self.name!r}, so perturbing that input does not perturb all that the module "
                "makes of a row.",
                'Set perturbation="input", and choose parameters by name (params=[...]) or '
                '"all".',
            )

    def _is_passed(self) -> bool:
        f = self.inputs
        if not self.once or f.dim() != 2 or len(f) != len(self.x):
            return False
        if not self._same(self._run(f.roll(1, 0))[0], self.scores.roll(1, 0)):
            return False
        own = list(self.layer.parameters())
        for parameter in self.module.parameters():
            if parameter.dim() > 1 and not any(parameter is p for p in own):
                parameter.mul_(2.0)
        return self._same(self._run(f)[0], self.scores)

    @torch.no_grad()
    def check_linear(self) -> None:
        """Refuse scores that are not the layer's own, whatever its weights and inputs."""
        if not self._is_linear():
            raise NoLastLayer(
                f"The module does more with its last linear layer {self.name!r} than turn its "
                "scores into probabilities, so that layer on its features is not the model.",
                'Choose parameters by name (params=[...]) or params="all": the module is then '
                "differentiated as it is.",
            )

    def _is_linear(self) -> bool:
        layer, f = self.layer, self.inputs
        if not self.once or f.dim() != 2 or len(f) != len(self.x) or self._shared():
            return False
        generator = torch.Generator().manual_seed(0)

        def draw(like: Tensor, scale: float) -> Tensor:
            noise = torch.randn(like.shape, generator=generator, dtype=torch.float64)
            return scale * noise.to(like)

        size = float(f.square().mean().sqrt()) or 1.0
        others = draw(f, size)
        # Scores as they are, small ones (no class is certain) and large ones.
        for scale in (None, 1.0, 30.0):
            if scale is not None:
                layer.weight.copy_(draw(layer.weight, scale / (size * f.shape[1] ** 0.5)))
                if layer.bias is not None:
                    layer.bias.copy_(draw(layer.bias, scale))
            for replaced in (None, others):
                z, inputs = self._run(replaced)
                expected = nn.functional.linear(inputs, layer.weight, layer.bias)
                usual = f if replaced is None else replaced
                if not self._same(inputs, usual) or not self._agree(z, expected):
                    return False
        return True

    def _shared(self) -> bool:
        """Whether its weight is another layer's too, or computed from other parameters."""
        weight = self.layer._parameters.get("weight")
        layers = self.module.modules()
        owners = [m for m in layers if any(p is weight for p in m._parameters.values())]
        return weight is None or len(owners) > 1

    def _run(self, inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        """Scores, and the layer's input, which may be replaced."""
        used: list[Tensor] = []

        def replace(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            used.append(args[0] if inputs is None else inputs)
            return (used[0], *args[1:])

        with self.layer.register_forward_pre_hook(replace):
            return self.output.read(self.module(self.x)), used[0]

    def _agree(self, z: Tensor, scores: Tensor) -> bool:
        if scores.shape != z.shape:
            return False
        if self.output.read is log_of_probabilities:
            return self._same(z, self.output.read(scores.softmax(1)))
        if not self.output.binary:  # a softmax does not change with what all scores have
            z, scores = z - z.mean(1, keepdim=True), scores - scores.mean(1, keepdim=True)
        return self._same(z, scores)

    def _same(self, a: Tensor, b: Tensor) -> bool:
        eps = max(torch.finfo(t.dtype).eps for t in (a, b))
        size = 1.0 + float(b.abs().max())
        return bool(((a - b).abs() <= eps**0.5 * size).all())
