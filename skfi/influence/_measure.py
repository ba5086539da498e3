"""The choices of the measure, which are passed whole."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .._utils._checks import check_choice
from ..bridge._network import Choices
from ..linear._losses import ValidationLoss


@dataclass(frozen=True)
class Measure(Choices):
    """How influence is measured; see `skfi.fi_util` for what each choice means."""

    validation_loss: str | ValidationLoss = "log_loss"
    metric: str = "euclidean"
    unit: str = "copy"

    def __post_init__(self) -> None:
        check_choice("metric", self.metric, ("euclidean", "mahalanobis"))
        check_choice("unit", self.unit, ("copy", "row"))
        # `Choices` has a value of its own for scores that move no row.
        check_choice("perturbation", self.perturbation, ("features", "input"))
        super().__post_init__()


NETWORK_CHOICES = [choice.name for choice in fields(Choices)]
