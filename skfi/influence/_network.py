"""A network whose parameters move as they were chosen, with the curvature of its objective."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .._utils._user_warnings import warn_user
from ..bridge._base import as_given
from ..bridge._network import Choices, NetworkBridge
from ..linear._losses import ValidationLoss
from ._curved import InfluenceDetails, one_copy
from ._rows import Rows

if TYPE_CHECKING:
    from ..network._curvature import Curvature as NetworkCurvature
    from ..network._network import Network, Theta


@dataclass(frozen=True)
class NetworkReading:
    """Checked rows of a network, whose curvature is still to be summed up."""

    fitted: NetworkBridge
    network: Network
    train: Rows
    held_out: Rows | None
    choices: Choices
    pairs: bool  # whether the root of H⁻¹ is needed

    def curve(self) -> CurvedNetwork:
        """Sum up and invert the curvature of the objective."""
        from ..network._network import Labelled
        from ..network._scores import curve_network

        fitted, network, train, choices = self.fitted, self.network, self.train, self.choices
        weight = fitted.loss_weight(train.codes, train.weight)
        if fitted.loss_weight is as_given:  # of a sum; the network's objective is a mean
            share = len(weight) / weight.sum()
            weight = weight * share
            penalty = {name: value * share for name, value in network.penalty.items()}
            network = replace(network, penalty=penalty)
        curvature, facts = curve_network(
            network,
            Labelled(train.X, train.codes, weight),
            choices.curvature,
            choices.damping,
            low_rank=choices.approximation is not None,
            pairs=self.pairs,
        )
        smallest = getattr(curvature, "smallest", 0.0)
        if smallest < 0:
            warn_user(
                "The network is not at a minimum: its Hessian has eigenvalues down to "
                f"{smallest:.2g}. Scores then describe a stationary point that training would "
                'leave. Use curvature="ggn", or more damping than so far by that much.'
            )
        copy = one_copy(weight, train.weight)
        details = InfluenceDetails(**facts, penalty_known=fitted.penalty_known)
        return CurvedNetwork(fitted, network, choices, train, weight, copy, curvature, details)


@dataclass(frozen=True)
class CurvedNetwork:
    """A network whose parameters move as they were chosen, with its curvature."""

    fitted: NetworkBridge
    network: Network
    choices: Choices
    train: Rows
    weight: np.ndarray
    copy: np.ndarray
    curvature: NetworkCurvature
    details: InfluenceDetails

    def perturbed_weight(self, unit: str) -> np.ndarray:
        """Weights of what is perturbed: one copy of each row, or the row with all of them."""
        return self.copy if unit == "copy" else self.weight

    def root(self) -> np.ndarray:
        """R with R Rᵀ the covariance of what is perturbed."""
        from ..network._scores import metric_root

        return metric_root(self.network, self.train.X, self.train.weight)

    def solve(self, held_out: Rows | None, loss: ValidationLoss) -> SolvedNetwork:
        """Solve for the gradient of the mean loss over held-out rows."""
        from ..network._network import Labelled
        from ..network._scores import solve_for

        assert held_out is not None  # the data was checked with them
        data = Labelled(held_out.X, held_out.codes, held_out.weight)
        return SolvedNetwork(self, solve_for(self.network, self.curvature, data, loss))


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
        from ..network._network import Labelled
        from ..network._scores import score_network

        curved, train, choices = self.curved, self.curved.train, self.curved.choices
        return score_network(
            curved.network,
            curved.curvature,
            self.h,
            Labelled(train.X, train.codes, curved.perturbed_weight(unit)),
            curved.root() if metric == "mahalanobis" else None,
            rank=choices.n_components if choices.approximation else None,
            seed=choices.random_state,
        )

    def gain(self) -> np.ndarray:
        """First-order decrease of the validation loss when each copy goes."""
        from ..network._network import Labelled
        from ..network._scores import gain_network

        curved = self.curved
        rows = Labelled(curved.train.X, curved.train.codes, curved.copy)
        return gain_network(curved.network, self.h, rows)
