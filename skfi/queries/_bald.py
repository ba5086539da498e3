"""BALD: rows whose label classifiers drawn from the posterior disagree about."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import rel_entr
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples, check_is_fitted

from ._base import QueryStrategy, pool_blocks
from ._posterior import POSTERIORS, draw_posterior

_ROUNDING = 1e-12  # nats; rows whose information is smaller tie


class BALD(QueryStrategy):
    """Rows whose label would be most informative about the classifier's parameters.

    The score is the mutual information of label and parameters given the labelled rows,
    ``H[E P(·|x, θ)] - E H[P(·|x, θ)]``: high where each draw of the parameters is sure and
    the draws contradict each other, low where all of them are unsure. Draws share their
    parameters over all rows of the pool and all queries of one fit.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier with `predict_proba`, as in `QueryStrategy`. Members of a committee are new
        fits of it, also where it is a `FrozenEstimator`.
    posterior : {"auto", "dropout", "laplace", "committee"}, default="auto"
        Where draws of the parameters come from.

        - "dropout": Monte-Carlo dropout of a torch network: its dropout modules are on,
          everything else (batch norm, say) stays in evaluation mode. A unit that a draw
          leaves out is left out for all rows, so that a draw is one network. Dropout that is
          no module of its own (``F.dropout``, that inside attention or an LSTM) stays off.
        - "laplace": a Gaussian around the coefficients of a logistic regression, or of a
          network's last layer, with the inverse Hessian of the training objective, penalty
          included, as its covariance. A softmax of more than 1,500 parameters takes K-FAC's
          covariance. A penalty is a prior: without one, directions that no row touches do
          not vary. Networks are damped as in `skfi.fi_util`.
        - "committee": new fits on bootstrap samples drawn within each class.
        - "auto": dropout for a network that calls a dropout module, else Laplace where
          there is a linear model of at most 2,000 columns to read, else a committee.
    n_draws : int, default=20
        Draws of the parameters, at least 2.
    batch_size, random_state : default=1, None
        As in `QueryStrategy`; `random_state` also draws the parameters.

    Attributes
    ----------
    posterior_ : {"dropout", "laplace", "committee"} or None
        Where the draws came from; None where there is no classifier.

    Notes
    -----
    Scores are in nats, from 0 to log K. Their memory is n_draws × K numbers a row of a block,
    under scikit-learn's `working_memory`.

    References
    ----------
    N. Houlsby, F. Huszár, Z. Ghahramani, M. Lengyel: "Bayesian Active Learning for
    Classification and Preference Learning", arXiv:1112.5745, 2011, Section 2. Y. Gal,
    R. Islam, Z. Ghahramani: "Deep Bayesian Active Learning with Image Data", ICML 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skfi.queries import BALD
    >>> X, y = make_classification(300, random_state=0)
    >>> strategy = BALD(batch_size=5, random_state=0).fit(X[:40], y[:40])
    >>> strategy.posterior_
    'laplace'
    >>> strategy.query(X[40:]).shape
    (5,)
    """

    _parameter_constraints: dict = {
        **QueryStrategy._parameter_constraints,
        "posterior": [StrOptions(set(POSTERIORS))],
        "n_draws": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        estimator=None,
        *,
        posterior="auto",
        n_draws=20,
        batch_size=1,
        random_state=None,
    ):
        super().__init__(estimator, batch_size=batch_size, random_state=random_state)
        self.posterior = posterior
        self.n_draws = n_draws

    def _prepare(self, model, X, y) -> dict[str, Any]:
        rng = check_random_state(self.random_state)
        drawn = draw_posterior(self.posterior, model, X, y, self.n_draws, rng)
        return {"_posterior": drawn}

    @property
    def posterior_(self) -> str | None:
        """Where the draws came from."""
        check_is_fitted(self)
        return None if self.estimator_ is None else self._posterior.name

    def _score(self, X_pool) -> np.ndarray:
        read = self._posterior.reader(self.estimator_, X_pool)
        shape = getattr(X_pool, "shape", (1, 1))
        width = 4 * int(np.prod(shape[1:], dtype=np.int64)) + 16
        width += 5 * self.n_draws * len(self.classes_)
        scores = np.empty(_num_samples(X_pool))
        for rows, part in pool_blocks(X_pool, width):
            scores[rows] = mutual_information(read(part))
        return scores


def mutual_information(proba: np.ndarray) -> np.ndarray:
    """Of label and draw, in nats (b,), for probabilities (n_draws, b, K).

    As the mean divergence from the mean, which does not cancel.
    """
    divergence = rel_entr(proba, proba.mean(axis=0)).sum(axis=2)
    information = divergence.mean(axis=0)
    return np.where(information > _ROUNDING, information, 0.0)
