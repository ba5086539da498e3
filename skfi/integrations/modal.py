"""skfi's query strategies for modAL's `ActiveLearner`.

modAL takes any callable ``(learner, X_pool, ...)`` for a query strategy. It is not imported
here: all that is needed of it comes with the learner.
"""

from __future__ import annotations

from inspect import signature

from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator

from .._sampler import FIActiveSampler

__all__ = ["ModALQueryStrategy"]


class ModALQueryStrategy(BaseEstimator):
    """A query strategy of skfi, as modAL calls one.

    Pass it to ``modAL.models.ActiveLearner(estimator, query_strategy=...)``. At each query the
    strategy is fitted on the learner's `X_training` and `y_training`, with its `estimator` as
    it is.

    Parameters
    ----------
    strategy : skfi.queries.QueryStrategy, default=None
        The strategy; it is cloned, and its `estimator` and `batch_size` are not looked at.
        None is `skfi.FIActiveSampler()`.

    Notes
    -----
    modAL 0.4.2 unpacks ``(indices, metrics)``, 0.4.1 takes indices alone. The learner's own
    `query` tells which is wanted.

    modAL's `teach` and `fit` fail with scikit-learn 1.8 and newer: modAL 0.4.1 and 0.4.2.1
    (the last) pass `force_all_finite` to `sklearn.utils.check_X_y`, which has called it
    `ensure_all_finite` since 1.6. Making a learner and asking it work. So, in place of
    ``learner.teach(X_new, y_new)``, make a new one of all labelled rows, which is what
    `teach` amounts to::

        learner = ActiveLearner(
            estimator,
            query_strategy=ModALQueryStrategy(),
            X_training=np.concatenate([learner.X_training, X_new]),
            y_training=np.concatenate([learner.y_training, y_new]),
        )

    The learner must have been trained on the rows it holds, all of them
    (``bootstrap=False``). Rows go to the estimator as they are; a Pipeline transforms them
    itself, whatever `on_transformed` is. modAL's `Committee` has several estimators and its
    `DeepActiveLearner` keeps no rows: neither can be asked.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.integrations.modal import ModALQueryStrategy
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> learner = SimpleNamespace(  # stands for ActiveLearner(LogisticRegression(), ...)
    ...     estimator=LogisticRegression().fit(X[:100], y[:100]),
    ...     X_training=X[:100],
    ...     y_training=y[:100],
    ... )
    >>> ModALQueryStrategy()(learner, X[100:], n_instances=5).shape
    (5,)
    """

    def __init__(self, strategy=None):
        self.strategy = strategy

    def __call__(self, learner, X_pool, n_instances=1):
        """Choose the rows to label next.

        Parameters
        ----------
        learner : modAL.models.ActiveLearner
            Holds the fitted classifier and the rows it was trained on.
        X_pool : {array-like, sparse matrix, DataFrame} of shape (n_pool, n_features)
            Unlabelled rows.
        n_instances : int, default=1
            Rows to ask for.

        Returns
        -------
        indices : ndarray of shape (n_instances,)
            Positions in `X_pool`, best first.
        metrics : ndarray of shape (n_instances,)
            Their scores; only for a learner of modAL 0.4.2.

        Raises
        ------
        TypeError
            The learner has no estimator, or keeps no training rows; the strategy does not
            take its estimator.
        ValueError
            The learner has no training rows yet.
        """
        for name in ("estimator", "X_training", "y_training"):
            if not hasattr(learner, name):
                raise TypeError(
                    f"{type(self).__name__} asks a learner for its estimator and the rows it "
                    f"was trained on, and {type(learner).__name__} has no {name}. Use modAL's "
                    "ActiveLearner."
                )
        if learner.X_training is None:
            raise ValueError(
                "The learner has no training rows (X_training is None), on which a strategy is "
                "fitted. Pass X_training and y_training to ActiveLearner."
            )
        given = FIActiveSampler() if self.strategy is None else self.strategy
        strategy = clone(given).set_params(estimator=FrozenEstimator(learner.estimator))
        if "random_state" in strategy.get_params(deep=False):
            # A clone's RandomState would give the same draws at each query.
            strategy.set_params(random_state=given.random_state)
        strategy.fit(learner.X_training, learner.y_training)
        indices, scores = strategy.query(X_pool, n_instances, return_utilities=True)
        return (indices, scores[indices]) if _wants_metrics(learner) else indices


def _wants_metrics(learner) -> bool:
    """Whether its `query` unpacks a pair, as it does where it can return metrics."""
    queries = [vars(kind)["query"] for kind in type(learner).__mro__ if "query" in vars(kind)]
    return any("return_metrics" in signature(query).parameters for query in queries)
