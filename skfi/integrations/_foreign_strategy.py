"""A query strategy of scikit-activeml as one of skfi's, for its loops and studies.

scikit-activeml is shown all rows at once, labels missing in the pool, and a classifier of its
own kind. It gets the rows as the classifier's last linear step sees them (a network: its last
layer), so that its distances and gradient embeddings are those of the model.
"""

from __future__ import annotations

import inspect

import numpy as np
from scipy import sparse
from skactiveml.base import SingleAnnotatorPoolQueryStrategy, SkactivemlClassifier
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods

from .._utils._checks import encode_labels
from ..bridge._base import bridge
from ..bridge._network import Choices, NetworkBridge, of_other_rows
from ..queries._base import QueryStrategy, representation


class SkactivemlStrategy(QueryStrategy):
    """Any pool-based query strategy of scikit-activeml, as a strategy of skfi.

    `skfi.active_learning_curve`, the displays and the studies take it as any other.

    Parameters
    ----------
    query_strategy : skactiveml.base.SingleAnnotatorPoolQueryStrategy
        The strategy. A clone of it is asked, with a ``random_state`` that is drawn from the one
        given here.
    estimator : estimator, default=None
        Classifier; a clone of it is fitted on the labelled rows. None is
        `LogisticRegression()`. The strategy is asked without fitting it again.
    query_params : dict, default=None
        Further arguments of the strategy's ``query``, such as ``ensemble``.
    batch_size, random_state : default=1, None
        As in `skfi.queries.QueryStrategy`, as are the attributes.

    See Also
    --------
    SkfiQueryStrategy : The other way round: a strategy of skfi in scikit-activeml's loops.

    Notes
    -----
    `score_samples` gives the utilities with which the first row of a batch is chosen; those of
    some strategies, such as BADGE, depend on the other rows of the pool. Rows become dense
    arrays, as scikit-activeml takes no others.

    Examples
    --------
    >>> from skactiveml.pool import Badge
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.integrations.skactiveml import SkactivemlStrategy
    >>> X, y = load_iris(return_X_y=True)
    >>> strategy = SkactivemlStrategy(
    ...     Badge(), LogisticRegression(max_iter=1000), batch_size=3, random_state=0
    ... )
    >>> strategy.fit(X[::10], y[::10]).query(X).shape
    (3,)
    """

    _parameter_constraints: dict = {
        **QueryStrategy._parameter_constraints,
        "query_strategy": [HasMethods(["query"])],
        "query_params": [dict, None],
    }
    _selects_by_score = False

    def __init__(
        self,
        query_strategy,
        estimator=None,
        *,
        query_params=None,
        batch_size=1,
        random_state=None,
    ):
        super().__init__(estimator, batch_size=batch_size, random_state=random_state)
        self.query_strategy = query_strategy
        self.query_params = query_params

    def _check_settings(self) -> None:
        if not isinstance(self.query_strategy, SingleAnnotatorPoolQueryStrategy):
            raise TypeError(
                "query_strategy must be a pool-based strategy of scikit-activeml for one "
                f"annotator, and is a {type(self.query_strategy).__name__}."
            )
        passed = {"X", "y", "clf", "fit_clf", "candidates", "batch_size", "return_utilities"}
        passed |= set(self.query_params or {})
        known = inspect.signature(self.query_strategy.query).parameters.values()
        needed = [
            parameter.name
            for parameter in known
            if parameter.default is parameter.empty
            and parameter.kind is not parameter.VAR_KEYWORD
            and parameter.name not in passed
        ]
        if needed:
            raise ValueError(
                f"{type(self.query_strategy).__name__}.query needs {needed[0]!r}; pass it in "
                "query_params."
            )

    def _asks_classifier(self) -> bool:
        return "clf" in inspect.signature(self.query_strategy.query).parameters

    def _check_proba(self, estimator) -> None:
        if self._asks_classifier():
            super()._check_proba(estimator)

    def _score(self, X_pool) -> np.ndarray:
        _, utilities = self._ask(X_pool, 1, check_random_state(self.random_state))
        return utilities[0]

    def _select(self, X_pool, scores, size, rng) -> np.ndarray:
        return self._ask(X_pool, size, rng)[0]

    def _ask(self, X_pool, size: int, rng) -> tuple[np.ndarray, np.ndarray]:
        """Positions in the pool (size,), and the utilities of each step (size, n_pool)."""
        labelled = _dense(representation(self.estimator_, self._X_labelled))
        with of_other_rows():
            pool = _dense(representation(self.estimator_, X_pool))
        codes = encode_labels(self._y_labelled, self.classes_, "y")
        y = np.concatenate([codes.astype(float), np.full(len(pool), np.nan)])
        strategy = clone(self.query_strategy).set_params(
            random_state=rng.randint(np.iinfo(np.int32).max)
        )
        classifier = {}
        if self._asks_classifier():
            fitted = _Fitted(_predictor(self.estimator_, X_pool), len(self.classes_))
            classifier = {"clf": fitted, "fit_clf": False}
        chosen, utilities = strategy.query(
            X=np.concatenate([labelled, pool]),
            y=y,
            candidates=len(labelled) + np.arange(len(pool)),
            batch_size=size,
            return_utilities=True,
            **classifier,
            **(self.query_params or {}),
        )
        # Some strategies choose a row again where all that are left are copies.
        batch = list(dict.fromkeys(np.asarray(chosen) - len(labelled)))
        rest = rng.permutation(np.setdiff1d(np.arange(len(pool)), batch))
        return np.array([*batch, *rest[: size - len(batch)]]), utilities[:, len(labelled) :]


class _Fitted(SkactivemlClassifier):
    """A fitted classifier, asked for probabilities of rows as its last step sees them."""

    def __init__(self, predict, n_classes):
        super().__init__(classes=np.arange(n_classes), missing_label=np.nan)
        self.predict = predict
        self.n_classes = n_classes
        self.classes_ = np.arange(n_classes)

    def fit(self, X, y, sample_weight=None):
        raise RuntimeError("The classifier is fitted already; pass fit_clf=False.")

    def predict_proba(self, X):
        return self.predict(X)


def _predictor(model, X):
    """Probabilities as a function of rows as the last step sees them; X as it comes."""
    try:
        with of_other_rows():
            fitted = bridge(model)
            if isinstance(fitted, NetworkBridge):
                fitted = fitted.last_layer(Choices(), X)
    except TypeError:
        return _last_step(model).predict_proba
    linear = fitted.make_model(1)
    return lambda rows: np.exp(linear.link.log_proba(linear.scores(rows)))


def _last_step(model):
    """The classifier behind the steps of a Pipeline, in a search or frozen."""
    inner = getattr(model, "best_estimator_", None)
    if isinstance(model, FrozenEstimator):
        inner = model.estimator
    elif isinstance(model, Pipeline):
        inner = model.steps[-1][1]
    return model if inner is None else _last_step(inner)


def _dense(X) -> np.ndarray:
    return X.toarray() if sparse.issparse(X) else np.asarray(X)
