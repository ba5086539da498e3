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
`BALD`                   rows on which posterior draws disagree      a prediction a draw
=======================  ==========================================  =======================

`StablePredictions` is a rule that stops labelling.

`skfi.integrations.skactiveml.SkactivemlStrategy` makes one of any strategy of scikit-activeml:
BADGE, core set, TypiClust, BatchBALD and others.
"""

from ._bald import BALD
from ._base import QueryStrategy
from ._stopping import StablePredictions
from ._uncertainty import Entropy, LeastConfident, Margin, PowerMargin, Random

__all__ = [
    "BALD",
    "Entropy",
    "LeastConfident",
    "Margin",
    "PowerMargin",
    "QueryStrategy",
    "Random",
    "StablePredictions",
]
