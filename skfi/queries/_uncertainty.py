"""Strategies that read nothing but the classifier's probabilities, and random order."""

from __future__ import annotations

from numbers import Real

import numpy as np
from scipy.special import entr
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _num_samples

from ._base import QueryStrategy
from ._select import select_power


class Random(QueryStrategy):
    """Rows in random order.

    The score of every row is 0. The rows are not read, so a pool may be of any kind.

    Parameters
    ----------
    estimator : estimator, default=None
        Ignored; present for the API of all strategies.
    batch_size, random_state : default=1, None
        As in `QueryStrategy`.

    Examples
    --------
    >>> from skfi.queries import Random
    >>> strategy = Random(random_state=0).fit([[0.0], [1.0]], [0, 1])
    >>> sorted(strategy.query([[2.0], [3.0], [4.0]], batch_size=3).tolist())
    [0, 1, 2]
    """

    _needs_model = False
    _needs_proba = False

    def _fitted_model(self, X, y):
        return None

    def _score(self, X_pool) -> np.ndarray:
        return np.zeros(_num_samples(X_pool))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        for name in ("allow_nan", "string", "categorical", "three_d_array"):
            setattr(tags.input_tags, name, True)
        return tags


class Margin(QueryStrategy):
    """Rows whose two most probable classes are closest.

    The score is ``1 - (p_1 - p_2)``, p_1 and p_2 the two largest probabilities of the row.
    It is in [0, 1]; 1 is a tie of two classes.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier with `predict_proba`, as in `QueryStrategy`.
    batch_size, random_state : default=1, None
        As in `QueryStrategy`.

    See Also
    --------
    PowerMargin : Draws the batch at random by this score.

    Notes
    -----
    For two classes margin, entropy and least confidence put the rows in the same order.

    References
    ----------
    T. Scheffer, C. Decomain, S. Wrobel: "Active Hidden Markov Models for Information
    Extraction", IDA 2001.

    Examples
    --------
    >>> from skfi.queries import Margin
    >>> strategy = Margin().fit([[0.0], [1.0]], [0, 1])
    >>> strategy.query([[-1.0], [0.6], [3.0]])
    array([1])
    """

    def _score(self, X_pool) -> np.ndarray:
        return 1.0 - margin(self._proba(X_pool))


class Entropy(QueryStrategy):
    """Rows over whose classes the model spreads its probability most.

    The score is the entropy ``-Σ_c p_c log p_c`` in nats, in [0, log K].

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier with `predict_proba`, as in `QueryStrategy`.
    batch_size, random_state : default=1, None
        As in `QueryStrategy`.

    References
    ----------
    B. Settles: "Active Learning Literature Survey", University of Wisconsin-Madison, 2009,
    section 3.1.

    Examples
    --------
    >>> from skfi.queries import Entropy
    >>> strategy = Entropy().fit([[0.0], [1.0]], [0, 1])
    >>> strategy.score_samples([[0.5]]).round(3)
    array([0.693])
    """

    def _score(self, X_pool) -> np.ndarray:
        return entr(self._proba(X_pool)).sum(axis=1)


class LeastConfident(QueryStrategy):
    """Rows whose most probable class is least probable.

    The score is ``1 - max_c p_c``, the probability by the model's own account that its
    prediction is wrong; in [0, 1 - 1/K].

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier with `predict_proba`, as in `QueryStrategy`.
    batch_size, random_state : default=1, None
        As in `QueryStrategy`.

    References
    ----------
    D. D. Lewis, W. A. Gale: "A Sequential Algorithm for Training Text Classifiers",
    SIGIR 1994.

    Examples
    --------
    >>> from skfi.queries import LeastConfident
    >>> strategy = LeastConfident().fit([[0.0], [1.0]], [0, 1])
    >>> strategy.score_samples([[0.5]]).round(3)
    array([0.5])
    """

    def _score(self, X_pool) -> np.ndarray:
        return 1.0 - self._proba(X_pool).max(axis=1)


class PowerMargin(Margin):
    """A random batch, drawn by the margin.

    The best rows by margin are often near-duplicates. The batch is drawn without repetition,
    each row in proportion to ``(1 - (p_1 - p_2))^exponent``. The score is that of `Margin`.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier with `predict_proba`, as in `QueryStrategy`.
    exponent : float, default=1.0
        Above 0. The larger, the closer to the best rows of `Margin`; towards 0 the draw
        becomes `Random`.
    batch_size, random_state : default=1, None
        As in `QueryStrategy`.

    See Also
    --------
    Margin : Takes the best rows.

    References
    ----------
    A. Kirsch, S. Farquhar, P. Atighehchian, A. Jesson, F. Branchaud-Charron, Y. Gal:
    "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning", TMLR 2023
    (the power variant).

    Examples
    --------
    >>> from skfi.queries import PowerMargin
    >>> strategy = PowerMargin(exponent=50, random_state=0).fit([[0.0], [1.0]], [0, 1])
    >>> strategy.query([[-9.0], [0.5], [9.0]])
    array([1])
    """

    _parameter_constraints: dict = {
        **QueryStrategy._parameter_constraints,
        "exponent": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, estimator=None, *, exponent=1.0, batch_size=1, random_state=None):
        super().__init__(estimator, batch_size=batch_size, random_state=random_state)
        self.exponent = exponent

    def _select(
        self, X_pool, scores: np.ndarray, size: int, rng: np.random.RandomState
    ) -> np.ndarray:
        return select_power(scores, size, rng, self.exponent)


def margin(proba: np.ndarray) -> np.ndarray:
    """Difference of the two largest probabilities of each row (n,)."""
    if proba.shape[1] == 1:
        return np.ones(len(proba))
    two = np.partition(proba, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]
