"""The softmax-linear part of a fitted classifier, as strategies with a closed form read it.

A logistic regression is one itself; of a network it is the last layer on its features.
"""

from __future__ import annotations

from sklearn.frozen import FrozenEstimator

from ..bridge import Bridge
from ..bridge._base import innermost
from ..influence import _rows


def linear_features(linear: Bridge, X):
    """Rows as the linear model sees them, dense or CSR (n, d)."""
    return _rows.linear_features(linear, X, "X")


def is_frozen(model) -> bool:
    """Whether fitting the classifier again would leave it as it is."""
    return isinstance(model, FrozenEstimator) or isinstance(innermost(model), FrozenEstimator)
