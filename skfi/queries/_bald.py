"""BALD and BatchBALD: rows on whose label classifiers that are all possible disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import rel_entr
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._utils._chunks import block_rows, row_blocks
from ._base import QueryStrategy, pool_blocks
from ._posterior import POSTERIORS, Reader, draw_posterior

# Information (in nats) below which it is rounding, and rows are equals.
_NOTHING = 1e-12
_TINY = np.finfo(np.float64).tiny
# Rows looked at between two questions whether the next can still be best. Not a matter of
# memory: with sampled labels the answer would depend on it.
_LOOK = 256


class BALD(QueryStrategy):
    """Rows whose label tells most about the classifier's parameters.

    The score is the mutual information of label and parameters given the labelled rows,
    ``H[E P(·|x, θ)] - E H[P(·|x, θ)]``: high where each draw of the parameters is sure and
    the draws contradict each other, low where all of them are unsure. Draws share their
    parameters over all rows of the pool and all queries of one fit.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier with `predict_proba`; a clone of it is fitted on the labelled rows. A
        `FrozenEstimator` around a trained one is used as it is (members of a committee are
        new fits of what is inside). None is `LogisticRegression()`. A skorch net is wrapped
        in a `skfi.bridge.SkorchClassifier`.
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
    batch_size : int, default=1
        Rows a query asks for.
    random_state : int, RandomState instance or None, default=None
        Draws of the parameters, and the order of ties. With an int each query of the same
        pool is the same.

    Attributes
    ----------
    posterior_ : {"dropout", "laplace", "committee"} or None
        Where the draws came from; None where there is no classifier.
    estimator_ : estimator or None
        The fitted classifier; None where the labelled rows are of one class and it could not
        be fitted.
    classes_ : ndarray of shape (K,)
        Its class labels.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` has string column names.

    See Also
    --------
    BatchBALD : Takes into account what the rows of a batch tell together.

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
        scores = np.empty(_num_samples(X_pool))
        for rows, proba in self._draws(read, X_pool):
            scores[rows] = mutual_information(proba)
        return scores

    def _draws(self, read: Reader, X_pool) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of the pool with their probabilities (n_draws, b, K)."""
        shape = getattr(X_pool, "shape", (1, 1))
        width = 4 * int(np.prod(shape[1:], dtype=np.int64)) + 16
        width += 5 * self.n_draws * len(self.classes_)
        for rows, part in pool_blocks(X_pool, width):
            yield rows, read(part)


class BatchBALD(BALD):
    """Batches of rows whose labels together tell most about the classifier's parameters.

    BALD asks for the best rows one by one, so that near copies of one row make a batch. Here
    rows are added greedily by the mutual information of the parameters and the labels of the
    whole batch: a row counts for what its label tells beyond those chosen before it.

    Parameters
    ----------
    estimator : estimator, default=None
        As in `BALD`.
    posterior : {"auto", "dropout", "laplace", "committee"}, default="auto"
        As in `BALD`.
    n_draws : int, default=20
        Draws of the parameters, at least 2. What a batch can tell is which of the draws is
        right, log(n_draws) nats at most: a large batch needs many.
    n_samples : int, default=1000
        As long as the labels of the batch have no more than `n_samples` configurations,
        K^rows, joint entropies are exact; then so many configurations are drawn from their
        joint distribution.
    batch_size : int, default=1
        Rows a query asks for.
    random_state : int, RandomState instance or None, default=None
        As in `BALD`, and the sampled configurations.

    Attributes
    ----------
    posterior_ : {"dropout", "laplace", "committee"} or None
        Where the draws came from; None where there is no classifier.
    estimator_ : estimator or None
        The fitted classifier; None where the labelled rows are of one class and it could not
        be fitted.
    classes_ : ndarray of shape (K,)
        Its class labels.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` has string column names.

    See Also
    --------
    BALD : The same row by row; `score_samples` gives its scores here as well.

    Notes
    -----
    What a row adds can only fall as the batch grows, so a row is looked at again only while
    what it last added is ahead of the best row found (lazy greedy, Minoux 1978): with exact
    entropies the batch is that of looking at all of them. Memory is n_samples × (n_draws + K)
    numbers beside the blocks.

    References
    ----------
    A. Kirsch, J. van Amersfoort, Y. Gal: "BatchBALD: Efficient and Diverse Batch Acquisition
    for Deep Bayesian Active Learning", NeurIPS 2019, Section 3.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skfi.queries import BatchBALD
    >>> X, y = make_classification(300, random_state=0)
    >>> strategy = BatchBALD(n_draws=50, batch_size=5, random_state=0).fit(X[:40], y[:40])
    >>> strategy.query(X[40:]).shape
    (5,)
    """

    _parameter_constraints: dict = {
        **BALD._parameter_constraints,
        "n_samples": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator=None,
        *,
        posterior="auto",
        n_draws=20,
        n_samples=1000,
        batch_size=1,
        random_state=None,
    ):
        super().__init__(
            estimator,
            posterior=posterior,
            n_draws=n_draws,
            batch_size=batch_size,
            random_state=random_state,
        )
        self.n_samples = n_samples

    def _select(
        self, X_pool, scores: np.ndarray, size: int, rng: np.random.RandomState
    ) -> np.ndarray:
        priority = rng.permutation(len(scores))  # among equals
        read = self._posterior.reader(self.estimator_, X_pool)
        labels = Configurations.none(self.n_draws)
        added = scores.copy()  # by each row when it was last looked at, so no less than now
        chosen: list[int] = []
        while True:
            chosen.append(self._best(X_pool, read, labels, added, priority, not chosen))
            added[chosen[-1]] = -np.inf
            if len(chosen) == size:
                return np.array(chosen, dtype=np.intp)
            ((_, proba),) = self._draws(read, _rows(X_pool, chosen[-1:]))
            labels = labels.extended(proba[:, 0], self.n_samples, rng)

    def _best(self, X_pool, read: Reader, labels, added, priority, first: bool) -> int:
        """The row that adds most; what rows add is set anew where they are looked at."""
        order = np.lexsort((priority, -added))
        order = order[: np.count_nonzero(added > -np.inf)]
        if first:
            return int(order[0])
        seen = 0
        best = -np.inf
        while seen < len(order) and added[order[seen]] >= best:
            look = order[seen : seen + _LOOK]
            for rows, proba in self._draws(read, _rows(X_pool, look)):
                added[look[rows]] = labels.information(proba)
            best = max(best, float(added[look].max()))
            seen += len(look)
        looked_at = order[:seen]
        return int(looked_at[np.lexsort((priority[looked_at], -added[looked_at]))[0]])


def _rows(X, rows):
    return X[rows] if sparse.issparse(X) else _safe_indexing(X, rows)


def mutual_information(proba: np.ndarray) -> np.ndarray:
    """Of label and draw, in nats (b,), for probabilities (n_draws, b, K).

    As the mean divergence from the mean, which does not cancel.
    """
    divergence = rel_entr(proba, proba.mean(axis=0)).sum(axis=2)
    return _without_rounding(divergence.mean(axis=0))


def entropy(proba: np.ndarray) -> np.ndarray:
    """In nats along the last axis; by NumPy's logarithm, twice as fast as SciPy's `entr`."""
    log_p = np.maximum(proba, _TINY)
    return -np.einsum("...k,...k->...", proba, np.log(log_p, out=log_p))


def _without_rounding(information: np.ndarray) -> np.ndarray:
    return np.where(information > _NOTHING, information, 0.0)


@dataclass(frozen=True)
class Configurations:
    """Labels that the chosen rows may have together, and what each says of the draws.

    With P(t | m) the probability of draw t after labels m, ``P(m) Σ_t P(t|m) p_t`` is the
    joint distribution of these labels and another row's, and all that is ever needed of
    it; products of many probabilities, which underflow, are not formed.
    """

    share: np.ndarray  # P(m), (M,)
    draws: np.ndarray  # P(t | m), (M, n_draws)
    exact: bool  # are all labels here?

    @classmethod
    def none(cls, n_draws: int) -> Configurations:
        """Before a row is chosen."""
        return cls(np.ones(1), np.full((1, n_draws), 1.0 / n_draws), True)

    def information(self, proba: np.ndarray) -> np.ndarray:
        """I(label; draw | labels of the chosen rows) of rows (b,), from (n_draws, b, K)."""
        n_draws, n_rows, n_classes = proba.shape
        out = np.empty(n_rows)
        own = (self.share @ self.draws) @ entropy(proba)
        for rows in row_blocks(n_rows, block_rows(3 * len(self.share) * n_classes)):
            mixed = self.draws @ proba[:, rows].reshape(n_draws, -1)
            total = entropy(mixed.reshape(len(mixed), -1, n_classes))
            out[rows] = self.share @ total - own[rows]
        return _without_rounding(out)

    def extended(
        self, proba: np.ndarray, n_samples: int, rng: np.random.RandomState
    ) -> Configurations:
        """With one more row, of probabilities (n_draws, K) under the draws."""
        mixed = self.draws @ proba
        if self.exact and mixed.size <= n_samples:
            share = self.share[:, None] * mixed
            possible = share > 0
            draws = (self.draws[:, None, :] * proba.T)[possible]
            return Configurations(share[possible], _normalised(draws), True)
        draws = self.draws
        if self.exact:
            # As often as expected, to within one.
            spread = (np.arange(n_samples) + rng.uniform()) / n_samples
            total = np.cumsum(self.share)
            drawn = np.searchsorted(total, spread * total[-1], side="right")
            drawn = np.minimum(drawn, len(total) - 1)
            draws, mixed = draws[drawn], mixed[drawn]
        # One label for each, given those before: together a draw from the joint distribution.
        mass = np.cumsum(mixed, axis=1)
        point = rng.uniform(size=(len(mass), 1)) * mass[:, -1:]
        label = np.minimum((mass <= point).sum(axis=1), mixed.shape[1] - 1)
        share = np.full(len(mass), 1.0 / len(mass))
        return Configurations(share, _normalised(draws * proba[:, label].T), False)


def _normalised(draws: np.ndarray) -> np.ndarray:
    return draws / draws.sum(axis=1, keepdims=True)
