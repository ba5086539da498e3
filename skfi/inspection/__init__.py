"""Pictures of which rows score high, and of what dropping them does to the model.

Scores and cross-validation results are long lists of numbers; where to cut them is
decided by eye first. The displays work as scikit-learn's do, and import matplotlib
(``pip install "skfi[plot]"``) only when they draw.
"""

from ._influence import InfluenceDisplay
from ._learning_curve import ActiveLearningCurveDisplay
from ._query import QueryDisplay
from ._trimming_curve import TrimmingCurveDisplay

__all__ = [
    "ActiveLearningCurveDisplay",
    "InfluenceDisplay",
    "QueryDisplay",
    "TrimmingCurveDisplay",
]
