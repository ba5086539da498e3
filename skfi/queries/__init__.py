"""Strategies that choose which unlabelled rows to label next.

Each is a `QueryStrategy`: ``fit(X, y)`` on the labelled rows, then ``query(X_pool)``.
`skfi.FIActiveSampler` is one as well.

=======================  ==========================================  =======================
strategy                 asks for                                    a query costs
=======================  ==========================================  =======================
`Random`                 any row                                     nothing
`Margin`                 rows between two classes                    one prediction
`Entropy`                rows with spread-out probabilities          one prediction
`LeastConfident`         rows whose best class is not probable       one prediction
`PowerMargin`            a random draw by the margin                 one prediction
`GradientNorm`           rows with long gradients                    one prediction
`BADGE`                  long gradients that differ                  a pass for each row
`CoreSet`                rows far from all labelled ones             a pass for each row
`TypiClust`              typical rows of clusters without labels     a clustering
`BALD`                   rows on which posterior draws disagree      a prediction a draw
`BatchBALD`              the same, for a batch as a whole            many passes
`InfluenceValue`         rows whose label would help held-out rows   a fit a fold
`ShapleyRegression`      rows like labelled ones of high value       values, a regression
=======================  ==========================================  =======================
"""

from ._bald import BALD, BatchBALD
from ._base import QueryStrategy
from ._coverage import CoreSet, TypiClust
from ._gradient import BADGE, GradientNorm
from ._influence_value import InfluenceValue
from ._shapley import ShapleyRegression
from ._uncertainty import Entropy, LeastConfident, Margin, PowerMargin, Random

__all__ = [
    "BADGE",
    "BALD",
    "BatchBALD",
    "CoreSet",
    "Entropy",
    "GradientNorm",
    "InfluenceValue",
    "LeastConfident",
    "Margin",
    "PowerMargin",
    "QueryStrategy",
    "Random",
    "ShapleyRegression",
    "TypiClust",
]
