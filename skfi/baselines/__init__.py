"""The scores that FI is compared with: one call, one score a row, higher goes first.

Each is ``score(estimator, X, y, X_val, y_val, *, options) -> ndarray of shape (n,)`` for
a classifier that is fitted on ``X`` and ``y``; those that need no validation rows ignore
them. Scores of different functions have different units: only their order compares.

========================  =====================================  ======================
score                     asks                                   costs
========================  =====================================  ======================
`iv`                      what does removing the row do?         one Hessian
`loss`                    does the model fit the row?            one prediction
`self_confidence`         do models without the row expect it?   a fit a fold
`knn_shapley`             do its neighbours need it?             a sort a validation row
`tmc_shapley`             what does it add to random subsets?    thousands of fits
`random`                  nothing                                nothing
========================  =====================================  ======================
"""

from ._iv import iv
from ._knn_shapley import knn_shapley
from ._loss import loss
from ._random import random
from ._self_confidence import self_confidence
from ._tmc_shapley import tmc_shapley

__all__ = [
    "iv",
    "knn_shapley",
    "loss",
    "random",
    "self_confidence",
    "tmc_shapley",
]
