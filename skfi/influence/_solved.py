"""A fitted classifier with its curvature and the solved validation gradient.

Whatever is asked of a row afterwards (its influence, what its removal gains) stands on the
same H⁻¹u.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .._utils._chunks import one_blas_thread
from ..bridge._network import Choices
from ..linear._losses import resolve_validation_loss
from ..linear._memory import check_residual
from ..linear._removal import removal_all
from ..linear._softmax import validation_gradient
from ._curved import LARGE, CurvedLinear, CurvedNetwork, InfluenceDetails, curve_fitted

if TYPE_CHECKING:
    from ..network._network import Theta


@dataclass(frozen=True)
class SolvedLinear:
    """A softmax-linear model, solved."""

    curved: CurvedLinear
    h: np.ndarray  # H⁻¹u, u the gradient of the mean validation loss

    @property
    def details(self) -> InfluenceDetails:
        return self.curved.details

    def influence(self, metric: str, unit: str) -> np.ndarray:
        """FI of each row."""
        curved, train = self.curved, self.curved.train
        whitening = curved.whitening if metric == "mahalanobis" else None
        data = curved.model, train.X, train.codes, curved.moved(unit)
        with one_blas_thread(unless=curved.model.beta.size > LARGE):
            return curved.curvature.influence(*data, self.h, whitening)

    def influence_and_gain(self, metric: str, unit: str) -> tuple[np.ndarray, np.ndarray]:
        """FI of each row, and what the removal of what moves gains."""
        with one_blas_thread(unless=self.curved.model.beta.size > LARGE):
            return self.influence(metric, unit), self.gain(self.curved.moved(unit))

    def gain(self, moved: np.ndarray | None = None) -> np.ndarray:
        """First-order decrease of the validation loss when each row goes."""
        curved = self.curved
        moved = curved.copy if moved is None else moved
        return removal_all(curved.model, curved.train.X, curved.train.codes, moved, self.h)


@dataclass(frozen=True)
class SolvedNetwork:
    """A network, solved."""

    curved: CurvedNetwork
    h: Theta

    @property
    def details(self) -> InfluenceDetails:
        return self.curved.details

    def influence(self, metric: str, unit: str) -> np.ndarray:
        """FI of each row."""
        return self.influence_and_gain(metric, unit)[0]

    def influence_and_gain(self, metric: str, unit: str) -> tuple[np.ndarray, np.ndarray]:
        """FI of each row, and what the removal of what moves gains."""
        from ..network._scores import score_network

        curved, train, choices = self.curved, self.curved.train, self.curved.choices
        return score_network(
            curved.network,
            curved.curvature,
            self.h,
            train.X,
            train.codes,
            curved.copy if unit == "copy" else curved.weight,
            curved.root() if metric == "mahalanobis" else None,
            rank=choices.n_components if choices.approximation else None,
            seed=choices.random_state,
        )

    def gain(self) -> np.ndarray:
        """First-order decrease of the validation loss when each copy goes."""
        from ..network._scores import gain_network

        curved = self.curved
        rows = curved.train.X, curved.train.codes, curved.copy
        return gain_network(curved.network, self.h, *rows)


def solve_fitted(
    estimator,
    X,
    y,
    X_val,
    y_val,
    sample_weight,
    sample_weight_val,
    validation_loss,
    choices: Choices | None = None,
    stacklevel: int = 4,
) -> SolvedLinear | SolvedNetwork:
    """Check the data, sum up the objective's curvature, and solve for V's gradient."""
    loss = resolve_validation_loss(validation_loss)
    held_out = X_val, y_val, sample_weight_val
    training = estimator, X, y, sample_weight
    curved, rows = curve_fitted(*training, choices, held_out, stacklevel + 1, wide=True)
    assert rows is not None
    if isinstance(curved, CurvedNetwork):
        from ..network._scores import solve_for

        data = rows.X, rows.codes, rows.weight
        return SolvedNetwork(curved, solve_for(curved.network, curved.curvature, data, loss))
    with one_blas_thread(unless=curved.model.beta.size > LARGE):
        u = validation_gradient(curved.model, rows.X, rows.codes, rows.weight, loss)
        h, residual = curved.curvature.refined(u)
        if residual is not None and curved.columns_instead(residual):
            curved = curved.by_columns()
            h, residual = curved.curvature.refined(u)
    if residual is not None:
        check_residual(residual, stacklevel)
        curved = replace(curved, details=replace(curved.details, residual=residual))
    return SolvedLinear(curved, h)
