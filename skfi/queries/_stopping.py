"""When to stop labelling: the predictions of one round are those of the round before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d


@dataclass(frozen=True)
class StablePredictions:
    """Rule that stops labelling when predictions no longer change from round to round.

    Two classifiers trained one round apart predict the same unlabelled rows, and Cohen's kappa
    measures how far they agree beyond chance. Labelling stops when the mean of the last
    `window` kappas is at least `threshold`. No labels are needed for it.

    Parameters
    ----------
    threshold : float, default=0.99
        Mean kappa at which labelling stops, in (0, 1]. Lower stops earlier.
    window : int, default=3
        Kappas that are averaged; fewer rounds than this never stop.
    n_rows : int, default=2000
        Most unlabelled rows that `active_learning_curve` draws to predict, once for each
        repeat.

    Raises
    ------
    ValueError
        A parameter is out of its range.

    See Also
    --------
    skfi.active_learning_curve : Takes the rule as its `stopping`.

    Notes
    -----
    Stable predictions are not good ones: a strategy that overlooks a part of the pool makes
    the classifier stable there too. The kappas of small batches are larger than those of large
    ones, so that a threshold holds for one batch size.

    References
    ----------
    M. Bloodgood, K. Vijay-Shanker: "A Method for Stopping Active Learning Based on Stabilizing
    Predictions and the Need for User-Adjustable Stopping", CoNLL 2009.

    Examples
    --------
    >>> from skfi.queries import StablePredictions
    >>> rule = StablePredictions(threshold=0.9, window=2)
    >>> rule.agreement(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.5
    >>> rule.reached([0.5, 0.9]), rule.reached([0.5, 0.9, 0.95])
    (False, True)
    """

    threshold: float = 0.99
    window: int = 3
    n_rows: int = 2000

    def __post_init__(self):
        threshold: Any = self.threshold
        flag = isinstance(threshold, bool)
        if flag or not isinstance(threshold, Real) or not 0 < float(threshold) <= 1:
            raise ValueError(f"threshold={self.threshold!r} must be a number in (0, 1].")
        for name in ("window", "n_rows"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name}={value!r} must be an integer of at least 1.")

    def agreement(self, before, after) -> float:
        """Cohen's kappa of two predictions of the same rows.

        Parameters
        ----------
        before, after : array-like of shape (n,)
            Predicted labels of one round and the next.

        Returns
        -------
        kappa : float
            1 where all are equal, 0 for chance; at most 1.
        """
        before, after = column_or_1d(before), column_or_1d(after)
        check_consistent_length(before, after)
        classes, codes = np.unique(np.concatenate([before, after]), return_inverse=True)
        if len(classes) == 1:
            return 1.0
        counts = [np.bincount(part, minlength=len(classes)) for part in np.split(codes, 2)]
        chance = float(counts[0] @ counts[1]) / len(before) ** 2
        return float((np.mean(before == after) - chance) / (1.0 - chance))

    def reached(self, agreements: Sequence[float]) -> bool:
        """Whether to stop after these kappas, in the order of the rounds.

        Parameters
        ----------
        agreements : sequence of float
            Kappa of each round with the one before; NaN where there was none.

        Returns
        -------
        stop : bool
            Whether the last `window` of them have a mean of at least `threshold`.
        """
        last = np.asarray(agreements, dtype=np.float64)[-self.window :]
        return len(last) == self.window and bool(last.mean() >= self.threshold)
