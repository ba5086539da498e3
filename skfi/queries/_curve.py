"""What `active_learning_curve` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import trapezoid

from .._utils._extras import require


@dataclass(frozen=True)
class ActiveLearningCurve:
    """What `active_learning_curve` found.

    Attributes
    ----------
    n_labelled : ndarray of shape (n_points,)
        Labelled rows at each fit. There are n_rounds + 1 points, or fewer where the pool
        was used up before.
    scores : dict of ndarrays of shape (n_repeats, n_points)
        Score on the test rows, by strategy.
    fit_seconds : dict of ndarrays of shape (n_repeats, n_points)
        Seconds each fit took.
    query_seconds : dict of ndarrays of shape (n_repeats, n_points - 1)
        Seconds each choice of a batch took: the strategy's `fit` and `query`, without the
        classifier's fit.
    indices : dict of ndarrays of shape (n_repeats, n_asked)
        Positions in `X` of the rows that were asked for, in this order. Those that the
        fit at point p had beside the first ones are
        ``indices[:, : n_labelled[p] - n_labelled[0]]``.
    initial_indices : ndarray of shape (n_repeats, n_labelled[0])
        Rows that were labelled at first, the same for all strategies of a repeat.
    test_indices : ndarray of shape (n_repeats, n_test)
        Rows that were held out; none where test rows were passed.
    answers : dict or None
        Row -> label, all that the oracle gave; None without an oracle.
    scoring : str, callable or None
        What the scores are; None where only the classifier's `score` knows.
    agreement : dict of ndarrays of shape (n_repeats, n_points) or None
        Cohen's kappa of the predictions of each fit with those of the one before, NaN at the
        first; None without a stopping rule.
    stopped : dict of ndarrays of shape (n_repeats,) or None
        Labelled rows at which the rule stopped each curve, 0 where it did not. Later scores
        and seconds of such a curve are NaN, later `indices` are -1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi import active_learning_curve
    >>> from skfi.queries import Margin, Random
    >>> curve = active_learning_curve(
    ...     LogisticRegression(max_iter=1000), *load_iris(return_X_y=True),
    ...     [Margin(), Random()], n_rounds=2, n_repeats=3, random_state=0,
    ... )
    >>> {name: area.shape for name, area in curve.area().items()}
    {'Margin': (3,), 'Random': (3,)}
    """

    n_labelled: np.ndarray
    scores: dict[str, np.ndarray]
    fit_seconds: dict[str, np.ndarray]
    query_seconds: dict[str, np.ndarray]
    indices: dict[str, np.ndarray]
    initial_indices: np.ndarray
    test_indices: np.ndarray
    answers: dict[int, Any] | None
    scoring: Any
    agreement: dict[str, np.ndarray] | None = None
    stopped: dict[str, np.ndarray] | None = None

    def area(self) -> dict[str, np.ndarray]:
        """Normalised area under each curve: its mean height, in the scores' unit.

        Returns
        -------
        area : dict of ndarrays of shape (n_repeats,)
            By the trapezoidal rule over the number of labelled rows, divided by their
            range. NaN where a score of the curve is.
        """
        return {
            name: normalised_area(self.n_labelled, scores)
            for name, scores in self.scores.items()
        }

    def to_frame(self):
        """One line for each strategy, repeat and point.

        Returns
        -------
        frame : pandas.DataFrame
            Columns strategy, repeat, round, n_labelled, score, fit_seconds and
            query_seconds, which is NaN at the last point.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        pd = require("pandas", f"{type(self).__name__}.to_frame")

        parts = []
        for name, scores in self.scores.items():
            repeat, number = np.indices(scores.shape)
            queries = np.pad(self.query_seconds[name], ((0, 0), (0, 1)), constant_values=np.nan)
            part = {
                "repeat": repeat.ravel(),
                "round": number.ravel(),
                "n_labelled": self.n_labelled[number.ravel()],
                "score": scores.ravel(),
                "fit_seconds": self.fit_seconds[name].ravel(),
                "query_seconds": queries.ravel(),
            }
            parts.append(pd.DataFrame({"strategy": name, **part}))
        return pd.concat(parts, ignore_index=True)


def normalised_area(n_labelled: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Mean height of curves over their last axis."""
    if len(n_labelled) == 1:
        return scores[..., 0]
    return trapezoid(scores, n_labelled, axis=-1) / (n_labelled[-1] - n_labelled[0])
