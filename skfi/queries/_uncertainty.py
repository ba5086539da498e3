"""What the model is unsure of: the strategies that read nothing but its probabilities."""

from __future__ import annotations

import numpy as np

from ._base import QueryStrategy


class Margin(QueryStrategy):
    """Rows whose two most probable classes are closest.

    The score is ``1 - (p_1 - p_2)``, in [0, 1].
    """

    def _score(self, X_pool) -> np.ndarray:
        return 1.0 - margin(self._proba(X_pool))


def margin(proba: np.ndarray) -> np.ndarray:
    """Difference of the two largest probabilities of each row (n,)."""
    if proba.shape[1] == 1:
        return np.ones(len(proba))
    two = np.partition(proba, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]
