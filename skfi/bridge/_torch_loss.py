"""What a torch network was trained on: its criterion and its optimizer, read as numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ._torch_copy import plain_name, unwrap


@dataclass(frozen=True)
class Output:
    """How a criterion reads a module's output."""

    binary: bool  # one score, or one a class
    read: Callable[[Tensor], Tensor]  # output -> scores (b, n_outputs)
    weight: np.ndarray | None = None  # of each class's loss
    normalised: bool = True  # is the mean one of weights?
    smoothing: float = 0.0


class MeanWeights:
    """Weights of rows in a mean: they sum to n, and class weights do where theirs does."""

    def __init__(self, weight: np.ndarray | None, normalised: bool) -> None:
        self.weight, self.normalised = weight, normalised

    def __call__(self, codes: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
        weight = sample_weight
        if self.weight is not None:
            weight = self.weight[codes] * sample_weight
        total = weight.sum() if self.normalised else sample_weight.sum()
        return weight * (len(codes) / total)


def first_output(output: Any) -> Tensor:
    # skorch: of several outputs the first is the prediction.
    return output[0] if isinstance(output, tuple) else output


def read_scores(output: Any) -> Tensor:
    """Outputs (b, K); that of a single row may come without the rows' axis."""
    z = first_output(output)
    return z[None] if z.dim() == 1 else z


def log_probabilities(output: Any) -> Tensor:
    return read_scores(output)  # they are scores as well


def log_of_probabilities(output: Any) -> Tensor:
    p = read_scores(output)
    return torch.log(p + torch.finfo(p.dtype).eps)  # as skorch does for NLLLoss


def read_single(output: Any) -> Tensor:
    z = first_output(output)
    return z.reshape(-1, 1) if z.dim() < 2 else z


def read_criterion(criterion: nn.Module, *, probabilities: bool) -> Output:
    """The loss a module was trained by.

    With ``probabilities`` NLLLoss is fed probabilities, of which skorch takes the logarithm.
    """
    criterion = unwrap(criterion)
    name = type(criterion).__name__
    supported = (nn.CrossEntropyLoss, nn.NLLLoss, nn.BCEWithLogitsLoss)
    if type(criterion) not in supported:
        hint = ""
        if isinstance(criterion, nn.BCELoss):
            hint = " Leave out the sigmoid and train by BCEWithLogitsLoss: it is the same loss."
        raise TypeError(
            f"The criterion {name} is not one whose likelihood is known. Supported are "
            f"CrossEntropyLoss, NLLLoss and BCEWithLogitsLoss.{hint}"
        )
    if criterion.reduction != "mean":
        raise ValueError(
            f"The criterion's reduction is {criterion.reduction!r}; with it the balance of "
            "loss and weight decay depends on the batch size. Train with "
            'reduction="mean".'
        )
    if isinstance(criterion, nn.BCEWithLogitsLoss):
        if criterion.weight is not None:
            raise ValueError(
                "BCEWithLogitsLoss(weight=...) weighs the rows of a batch by position, so it "
                "is no weight of a row. Use pos_weight for classes."
            )
        weight = None
        positive: Any = criterion.pos_weight
        if positive is not None:
            if positive.numel() != 1:
                raise ValueError("BCEWithLogitsLoss takes one pos_weight for one output.")
            weight = np.array([1.0, float(positive)])
        return Output(True, read_single, weight, normalised=False)
    known: Any = criterion
    if known.ignore_index >= 0:
        raise ValueError(
            f"{name}(ignore_index={known.ignore_index}) never trains on the rows of a class. "
            "Drop these rows, and leave ignore_index at -100."
        )
    weight = None
    if known.weight is not None:
        weight = known.weight.detach().double().cpu().numpy()
    if isinstance(criterion, nn.NLLLoss):
        return Output(
            False, log_of_probabilities if probabilities else log_probabilities, weight
        )
    smoothing = float(known.label_smoothing)
    if smoothing and weight is not None:
        raise ValueError(
            "CrossEntropyLoss with both label_smoothing and class weights weighs each row's "
            "smoothed label class by class, and that has no closed form here. Use one of them."
        )
    return Output(False, read_scores, weight, smoothing=smoothing)


# Optimizers of torch.optim that add weight_decay θ to the gradient, so that they rest where a
# penalty beside the loss has them rest.
_IN_GRADIENT = (
    "SGD", "ASGD", "Adam", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop"
)  # fmt: skip
# Those whose decoupled weight decay amounts to a penalty that is known.
_DECOUPLED = ("AdamW", "Adam", "NAdam")


def read_weight_decay(
    module: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor] | None:
    """λ of the penalty ``½ Σ λ θ²`` beside the mean loss, by parameter name.

    Decoupled weight decay (AdamW) shrinks parameters in their own steps, which are divided by
    the root of the gradient's second moment v: at rest ``∇L + λ (√v + ε) θ = 0``, so the
    penalty is λ (√v + ε), with v as the optimizer left it. None where the optimizer is another
    and decays weights: what penalty that amounts to is not known.
    """
    names = {id(p): plain_name(name) for name, p in module.named_parameters()}
    kind = _kind(optimizer)
    decay: dict[str, Tensor] = {}
    for group in optimizer.param_groups:
        # ASGD's own decay, lambd, is one more.
        strength = float(group.get("weight_decay", 0.0)) + float(group.get("lambd", 0.0))
        decoupled = bool(group.get("decoupled_weight_decay", False)) or kind == "AdamW"
        if strength and kind not in (_DECOUPLED if decoupled else _IN_GRADIENT):
            return None
        for parameter in group["params"]:
            if id(parameter) not in names or not strength:
                continue
            value = torch.tensor(strength, dtype=torch.float64, device=parameter.device)
            if decoupled:
                value = _decoupled(optimizer, group, parameter, strength)
            decay[names[id(parameter)]] = value
    return decay


def _kind(optimizer: torch.optim.Optimizer) -> str:
    """Name of the optimizer of torch.optim whose steps it takes; empty for others."""
    step = type(optimizer).step  # a subclass may have its own
    known = step.__module__.startswith("torch.optim.")
    return step.__qualname__.partition(".")[0] if known else ""


def _decoupled(
    optimizer: torch.optim.Optimizer, group: dict[str, Any], parameter: Tensor, strength: float
) -> Tensor:
    state = optimizer.state.get(parameter, {})
    if "exp_avg_sq" not in state:
        raise ValueError(
            f"{type(optimizer).__name__} decays weights apart from the loss, and without its "
            "state (the net was not trained here, or was loaded without its optimizer) what "
            "penalty that amounts to is unknown. Load the optimizer too, or set weight_decay "
            "to 0 and use damping."
        )
    steps = float(state["step"])
    second = state.get("max_exp_avg_sq", state["exp_avg_sq"])  # the maximum with amsgrad
    second = second / (1.0 - group["betas"][1] ** max(steps, 1.0))
    return strength * (second.sqrt() + group["eps"]).detach()
