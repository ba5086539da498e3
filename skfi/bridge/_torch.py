"""skorch nets and torch modules: what they were trained on, read off their parts.

Importing this module imports torch; it is imported when the first network is seen.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._utils._checks import check_exact, check_rows, floats_looked_up
from .._utils._user_warnings import warn_user
from ..linear._links import Sigmoid, Softmax
from ..network._network import Network, activations, as_tensor, blocks, scores_all
from ._base import Bridge, bridge
from ._network import Choices, NetworkBridge
from ._skorch import SkorchClassifier
from ._torch_classifier import TorchClassifier
from ._torch_copy import (
    LowPrecision,
    check_kind,
    copy_module,
    in_precision,
    plain_name,
    precision,
    remove_idle_hooks,
    unwrap,
)
from ._torch_head import LastLinear
from ._torch_loss import (
    MeanWeights,
    Output,
    first_output,
    log_of_probabilities,
    log_probabilities,
    read_criterion,
    read_weight_decay,
)
from ._torch_random import random_state_kept

_SAMPLE = 8  # rows on which a module is tried out


def takes_tokens(module: nn.Module) -> bool:
    """Whether it looks up integers."""
    return any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in module.modules())


class Trained:
    """A trained module with its loss: everything both bridges are made of."""

    def __init__(
        self,
        module: nn.Module,
        output: Output,
        classes: np.ndarray,
        decay: dict[str, Tensor] | None,
    ) -> None:
        self.output, self.classes = output, np.asarray(classes)
        self.decay = {} if decay is None else decay
        self.penalty_known = decay is not None
        if next(module.parameters(), None) is None:
            raise ValueError("The module has no parameters, so no row has influence on it.")
        check_kind(unwrap(module))
        # A copy of our own: modes, gradients and hooks of the user's stay as they are.
        self.module = in_precision(copy_module(module).eval(), precision(module))
        self.moving = {name for name, p in self.module.named_parameters() if p.requires_grad}
        if not self.moving:
            raise ValueError(
                "All parameters of the module are frozen (requires_grad=False), so no row has "
                "influence on them. Unfreeze those that were trained."
            )
        self._head: str | None = None

    @property
    def like(self) -> dict[str, Any]:
        first = next(p for p in self.module.parameters())
        return {"dtype": first.dtype, "device": first.device}

    @property
    def _cuda(self) -> list[torch.device]:
        device = self.like["device"]
        return [device] if device.type == "cuda" else []

    def prepare(self, X: Any) -> np.ndarray | Tensor:
        """Rows as an array or tensor in the module's dtype; tokens stay integers."""
        check_rows(X, "X")
        if not isinstance(X, list) and not hasattr(X, "shape"):
            raise TypeError(
                f"X is a {type(X).__name__}; networks are read with one array (or tensor) "
                "of inputs, rows first."
            )
        if isinstance(X, Tensor):
            X = X.detach().cpu().numpy()
        X = check_array(
            X, accept_sparse=False, allow_nd=True, dtype=None, input_name="X", order="C"
        )
        tokens = takes_tokens(self.module)
        if tokens and X.dtype.kind in "iu":
            return X.astype(np.int64, copy=False)
        cast = X.astype(self._numpy_dtype(), copy=False)
        if tokens:  # the module casts the columns that it looks up
            check_exact(X, cast)
        return cast

    def tensor(self, X: Any, rows: Any) -> Tensor:
        return as_tensor(X[rows], **self.like)

    def in_dtype(self, dtype: str | None) -> Trained:
        """The same in another floating dtype; None keeps it."""
        if dtype is None or getattr(torch, dtype) == self.like["dtype"]:
            return self
        other = copy.copy(self)
        other.module = in_precision(copy_module(self.module), getattr(torch, dtype))
        return other

    def try_out(self, X: Any) -> None:
        """Refuse a module whose output is not a function of each row by itself."""
        self._settle_precision(X)
        x = self.tensor(X, slice(0, _SAMPLE))
        with torch.no_grad(), random_state_kept(self._cuda):
            remove_idle_hooks(self.module, lambda module: first_output(module(x)))
            first, second = (first_output(self.module(x)) for _ in range(2))
        self._check_output(first)
        tolerance = 1e-3 * float(first.abs().max()) + 1e-6
        if not torch.allclose(first, second, rtol=0.0, atol=tolerance):
            raise ValueError(
                "Called twice on the same rows in evaluation mode the module gives two "
                "outputs, so it has noise of its own. Switch it off where self.training is "
                "False."
            )
        self._check_alone(x, first, tolerance)

    def _settle_precision(self, X: Any) -> None:
        """Compute in float64 where the module autocasts: that leaves float64 as it is."""
        for dtype in (self.like["dtype"], torch.float64):
            if dtype != self.like["dtype"]:
                self.module = in_precision(copy_module(self.module), dtype)
            x = self.tensor(X, slice(0, _SAMPLE))
            try:
                with torch.no_grad(), random_state_kept(self._cuda), LowPrecision() as low:
                    self.module(x)
            except RuntimeError as error:
                if "indices" in str(error) and x.is_floating_point():
                    raise ValueError(floats_looked_up(X)) from error
                if "type" not in str(error):  # those of two dtypes in one operation say so
                    raise
                raise ValueError(_converts(dtype)) from error
            if not low.noted:
                return
        raise ValueError(_converts(dtype))

    def _check_alone(self, x: Tensor, together: Tensor, tolerance: float) -> None:
        message = (
            "The module's output for a row depends on the other rows of its batch, even in "
            "evaluation mode (BatchNorm with track_running_stats=False does so). Influence "
            "needs an output for each row by itself."
        )
        try:
            with torch.no_grad(), random_state_kept(self._cuda):
                alone = torch.cat(
                    [first_output(self.module(row[None])).reshape(1, -1) for row in x]
                )
        except ValueError as error:  # batch statistics of a single row
            raise ValueError(message) from error
        if not torch.allclose(
            together, alone.reshape(together.shape), rtol=0.0, atol=tolerance
        ):
            raise ValueError(message)

    def _check_output(self, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"The module's output is a {type(output).__name__}; networks are read by one "
                "tensor of scores, or a tuple with the scores first."
            )
        n_classes = len(self.classes)
        shape = tuple(output.shape[1:])
        if self.output.binary:
            if n_classes != 2 or shape not in ((), (1,)):
                raise ValueError(
                    f"BCEWithLogitsLoss needs one score a row for two classes; the module "
                    f"gives outputs of shape (n, {', '.join(map(str, shape))}) and there are "
                    f"{n_classes} classes."
                )
            return
        if shape != (n_classes,):
            raise ValueError(
                f"The module gives outputs of shape {tuple(output.shape)} for "
                f"{len(output)} rows and {n_classes} classes; its criterion needs one output "
                "a class, (n, K)."
            )
        if self.output.read is log_of_probabilities:
            sums = output.sum(1)
            if (output < 0).any() or not torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
                raise ValueError(
                    "With NLLLoss skorch takes the logarithm of the module's output, and this "
                    "module's are no probabilities (non-negative, summing to 1). End it in a "
                    "Softmax, or train scores by CrossEntropyLoss."
                )
        if self.output.read is log_probabilities:
            sums = output.logsumexp(1)
            if not torch.allclose(sums, torch.zeros_like(sums), atol=1e-3):
                raise ValueError(
                    "NLLLoss takes logarithms of probabilities, and this module's outputs are "
                    "none (their exponentials do not sum to 1). End it in a LogSoftmax, or "
                    "train scores by CrossEntropyLoss."
                )

    def head(self, X: Any) -> str:
        """Name of the last linear layer, whose scores the output must be."""
        if self._head is None:
            with random_state_kept(self._cuda):
                last = self._find_last(X)
                last.check_linear()
            self._head = last.name
        return self._head

    def shifted(self, X: Any) -> str:
        """Name of the last linear layer, through whose input all scores must pass."""
        if self._head is not None:
            return self._head
        with random_state_kept(self._cuda):
            last = self._find_last(X)
            last.check_passed()
        return last.name

    def _find_last(self, X: Any) -> LastLinear:
        return LastLinear(self.module, self.output, self.tensor(X, slice(0, _SAMPLE)))

    def features(self, X: Any) -> np.ndarray:
        """The last layer's input (n, d), one forward pass."""
        name = self.head(X)
        layer = self._linear(name)
        out = np.empty((len(X), layer.in_features), self._numpy_dtype())
        inputs: list[Tensor] = []
        note = layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        with note, torch.no_grad():
            size = 3.0 * activations(self.module, self.tensor(X, slice(0, 1)))
            for block in blocks(len(X), size):
                self.module(self.tensor(X, block))
                out[block] = inputs.pop().cpu().numpy()
        return out

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, K) in float64."""
        X = self.prepare(X)
        network = self.network(Choices(params="all", perturbation=None), X)
        return np.exp(network.link.log_proba(scores_all(network, X)))

    def _numpy_dtype(self) -> np.dtype:
        return torch.empty(0, dtype=self.like["dtype"]).numpy().dtype

    def last_layer(self, X: Any, dtype: str | None = None) -> Bridge:
        """The last layer as a linear classifier on its input; X finds the layer."""
        if dtype is not None:
            return self.in_dtype(dtype).last_layer(X)
        self.try_out(X)
        name = self.head(X)
        prefix = f"{name}." if name else ""
        layer = self._linear(name)
        names = [f"{prefix}weight"] + ([f"{prefix}bias"] if layer.bias is not None else [])
        self._require_moving(names, "last_layer")
        weight, *bias = (
            layer.get_parameter(n.removeprefix(prefix)).detach().double().cpu().numpy()
            for n in names
        )
        l2 = [self._decay_of(n) for n in names]
        linear = Bridge.linear(
            weight,
            bias[0] if bias else None,
            classes=self.classes,
            l2=l2[0],
            l2_intercept=l2[1] if bias else 0.0,
            l2_per_row=True,
            label_smoothing=self.output.smoothing,
            loss_weight=self.loss_weight,
        )
        return replace(linear, steps=(self.features,))

    def _linear(self, name: str) -> nn.Linear:
        layer = self.module.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        return layer

    def _decay_of(self, name: str) -> float | np.ndarray:
        value = self.decay.get(name)
        return 0.0 if value is None else value.double().cpu().numpy()

    def network(self, choices: Choices, X: Any) -> Network:
        """The module as a function of the parameters that were chosen."""
        trained = self.in_dtype(choices.dtype)
        if trained is not self:
            return trained.network(replace(choices, dtype=None), X)
        self.try_out(X)
        if choices.perturbation == "input" and takes_tokens(self.module):
            raise ValueError(
                'perturbation="input" moves the input a little, and the module looks up '
                'integers. Use perturbation="features".'
            )
        module = copy_module(self.module)
        head = self.shifted(X) if choices.perturbation == "features" else None
        names = self._chosen(choices, X)
        like = next(module.parameters())
        zero = torch.zeros((), dtype=like.dtype, device=like.device)
        theta = {}
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name in names)
            if name in names:
                theta[name] = parameter.detach()
        link: Sigmoid | Softmax
        if self.output.binary:
            link = Sigmoid()
        else:
            link = Softmax(len(self.classes), reduced=False, smoothing=self.output.smoothing)
        penalty = {name: self.decay.get(name, zero).to(zero) for name in theta}
        return Network(module, theta, head, self.output.read, link, penalty)

    def _chosen(self, choices: Choices, X: Any) -> set[str]:
        params, known = choices.params, [name for name, _ in self.module.named_parameters()]
        if isinstance(params, str) and params == "all":
            return self.moving
        if isinstance(params, str):
            head = self.head(X)
            names = [n for n in known if n.rpartition(".")[0] == head]
        elif callable(params):
            names = [n for n in known if n in self.moving and params(n)]
        else:
            first = {id(p): name for name, p in self.module.named_parameters()}
            every = self.module.named_parameters(remove_duplicate=False)
            shared = {name: first[id(p)] for name, p in every}  # one parameter, many names
            names = [shared.get(plain_name(name), name) for name in params]
            unknown = [n for n in names if n not in known]
            if unknown:
                raise ValueError(
                    f"params names what the module does not have: {unknown[:5]}. Its "
                    f"parameters are {known[:20]}."
                )
        self._require_moving(names, params)
        if not names:
            raise ValueError(
                f"params={params!r} chooses no parameter; those that move are "
                f"{sorted(self.moving)[:20]}."
            )
        return set(names)

    @property
    def loss_weight(self) -> MeanWeights:
        return MeanWeights(self.output.weight, self.output.normalised)

    def _require_moving(self, names: Iterable[str], params: Any) -> None:
        still = [name for name in names if name not in self.moving]
        if still:
            raise ValueError(
                f"params={params!r} asks for frozen parameters: {still[:5]}. Unfreeze them "
                "(requires_grad) if they were trained, or leave them out."
            )


def _converts(dtype: torch.dtype) -> str:
    return (
        "The module converts rows or parameters to another dtype by itself, and cannot compute "
        f"in {str(dtype).removeprefix('torch.')}. Convert to the dtype of its parameters, "
        "x.to(self.layer.weight.dtype), or not at all."
    )


def network_bridge(trained: Trained, weighted: bool) -> NetworkBridge:
    """Both ways to read a trained module."""
    return NetworkBridge(
        lambda choices, X: trained.last_layer(X, choices.dtype),
        lambda choices, X, n_rows: trained.network(choices, X),
        trained.classes,
        trained.prepare,
        trained.loss_weight,
        weighted,
        penalty_known=trained.penalty_known,
    )


@bridge.register(nn.Module)
def _module(module: nn.Module) -> NetworkBridge:
    raise TypeError(
        f"A torch module alone ({type(module).__name__}) does not say by which loss it was "
        "trained. Wrap it: skfi.bridge.TorchClassifier(module, criterion, classes=...)."
    )


def read_torch_classifier(estimator: TorchClassifier) -> Trained:
    """The module of a `TorchClassifier` with its loss."""
    output = read_criterion(estimator.criterion, probabilities=False)
    decay: dict[str, Tensor] = {}
    if estimator.weight_decay:
        for name, p in estimator.module.named_parameters():
            strength = float(estimator.weight_decay)
            decay[plain_name(name)] = torch.tensor(
                strength, dtype=torch.float64, device=p.device
            )
    return Trained(estimator.module, output, estimator.classes_, decay)


@bridge.register(TorchClassifier)
def _torch_classifier(estimator: TorchClassifier) -> NetworkBridge:
    return network_bridge(read_torch_classifier(estimator), weighted=True)


def _skorch(net: Any) -> NetworkBridge:
    if not getattr(net, "initialized_", False) or not hasattr(net, "module_"):
        raise NotFittedError(
            f"This {type(net).__name__} instance is not fitted yet. Call 'fit' with "
            "appropriate arguments before using this estimator."
        )
    try:
        classes = np.asarray(net.classes_)
    except AttributeError as error:
        raise NotFittedError(
            f"This {type(net).__name__} instance is initialised but was not fitted, so its "
            "classes are unknown. Call 'fit', or pass classes=[...] to it."
        ) from error
    if isinstance(net.train_split, ValidSplit):
        warn_user(
            "The net keeps some of its training rows for its own validation (train_split) and "
            "never trains on them; their scores are those they would have had otherwise. Set "
            "train_split=None to train on all rows.",
        )
    output = read_criterion(net.criterion_, probabilities=True)
    decay = read_weight_decay(net.module_, net.optimizer_)
    return network_bridge(Trained(net.module_, output, classes, decay), weighted=False)


@bridge.register(SkorchClassifier)
def _wrapped(estimator: SkorchClassifier) -> NetworkBridge:
    check_is_fitted(estimator)
    # The net itself was trained on codes.
    return replace(_skorch(estimator.net_), classes=estimator.classes_)


try:
    from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
    from skorch.dataset import ValidSplit
except ImportError:  # torch alone
    pass
else:
    bridge.register(NeuralNetClassifier, _skorch)
    bridge.register(NeuralNetBinaryClassifier, _skorch)
