"""skfi's query strategies as scikit-activeml's own, and its strategies as skfi's.

scikit-activeml asks with all rows at once, those without a label among them, and hands the
classifier over with each query; skfi's strategies are fitted on labelled rows and then shown a
pool. What lies between the two is here. Importing this module needs scikit-activeml.
"""

from __future__ import annotations

import copy
from abc import abstractmethod

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .._utils._extras import missing
from .._utils._in_place import own_rows
from .._utils._versioned import VersionedState
from ..bridge._base import bridge
from ..queries._base import QueryStrategy
from ..queries._sampler import FIActiveSampler

try:
    from skactiveml import classifier as _classifiers
    from skactiveml.base import SingleAnnotatorPoolQueryStrategy, SkactivemlClassifier
    from skactiveml.utils import (
        MISSING_LABEL,
        check_equal_missing_label,
        check_type,
        is_labeled,
        simple_batch,
    )
except ImportError as error:
    raise ImportError(missing("skactiveml", __name__)) from error

from .._utils._user_warnings import warn_user
from ._foreign_strategy import SkactivemlStrategy

__all__ = ["FIQueryStrategy", "SkactivemlStrategy", "SkfiQueryStrategy"]


class _PoolStrategy(VersionedState, SingleAnnotatorPoolQueryStrategy):
    """Asks a strategy of skfi in the way scikit-activeml asks its own."""

    @abstractmethod
    def _make_strategy(self) -> QueryStrategy:
        """A new strategy, for one query."""

    def query(
        self,
        X,
        y,
        clf,
        fit_clf=True,
        sample_weight=None,
        candidates=None,
        batch_size=1,
        return_utilities=False,
    ):
        """Choose the rows to label next.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            All rows, labelled or not.
        y : array-like of shape (n_samples,)
            Their labels, `missing_label` where there is none.
        clf : skactiveml.base.SkactivemlClassifier
            The classifier. Of a `SklearnClassifier` the strategy sees the estimator inside.
        fit_clf : bool, default=True
            Whether to fit a clone of `clf` on `X` and `y`; otherwise `clf` is fitted already,
            on the labelled ones of these rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows where `clf` is fitted. The strategy sees the classifier that
            comes of them, and counts each labelled row once.
        candidates : None, array-like of int of shape (n_candidates,) or array-like of shape \
                (n_candidates, n_features) or (n_candidates, ...), default=None
            The rows that may be asked for: None for all without a label, positions in `X`, or
            the rows themselves.
        batch_size : int, default=1
            Rows to ask for.
        return_utilities : bool, default=False
            Also return the scores.

        Returns
        -------
        query_indices : ndarray of shape (batch_size,)
            Positions in `X`, or in `candidates` where these are rows; best first.
        utilities : ndarray of shape (batch_size, n_samples) or (batch_size, n_candidates)
            Only if `return_utilities`: the strategy's scores, NaN for rows that are no
            candidates and, from one line to the next, for those already chosen. A strategy
            that spreads its batch out does not always take the highest of a line.

        Raises
        ------
        TypeError
            `clf` is no scikit-activeml classifier, or not one that the strategy can read.
        ValueError
            Rows or labels that do not fit together, or no candidates.
        sklearn.exceptions.NotFittedError
            `fit_clf` is False and `clf` is not fitted.

        Warns
        -----
        UserWarning
            There are fewer candidates than `batch_size`: all of them are returned.

        Notes
        -----
        Before two classes are labelled, rows are drawn at random and the utilities are 0.
        """
        X, y, candidates, batch_size, return_utilities = self._validate_data(
            X, y, candidates, batch_size, return_utilities, reset=True
        )
        pool, mapping = self._transform_candidates(candidates, X, y)
        check_type(clf, "clf", SkactivemlClassifier)
        check_equal_missing_label(clf.missing_label, self.missing_label_)
        check_type(fit_clf, "fit_clf", bool)
        strategy = self._make_strategy()
        strategy._validate_params()
        if len(pool) == 0:
            raise ValueError("There are no candidates: every row has a label.")
        if fit_clf:
            weights = () if sample_weight is None else (sample_weight,)
            clf = clone(clf).fit(own_rows(clf, X), y, *weights)
        model = _frozen(clf)
        labelled = is_labeled(y, self.missing_label_)
        if not labelled.any() or (model is None and strategy._needs_model):
            chosen = simple_batch(np.zeros(len(pool)), self.random_state_, batch_size)
            scores = np.zeros(len(pool))
        else:
            strategy.set_params(estimator=model)
            if self.random_state is not None and "random_state" in strategy.get_params(False):
                seed = self.random_state_.randint(np.iinfo(np.int32).max)
                strategy.set_params(random_state=seed)
            # With None for a missing label, labels come as Python objects.
            strategy.fit(X[labelled], np.asarray(y[labelled].tolist()))
            chosen, scores = strategy.query(pool, batch_size, return_utilities=True)
        if mapping is not None:
            chosen, everywhere = mapping[chosen], np.full(len(X), np.nan)
            everywhere[mapping] = scores
            scores = everywhere
        if not return_utilities:
            return chosen
        utilities = np.tile(scores, (batch_size, 1))
        line, earlier = np.tril_indices(batch_size, -1)
        utilities[line, chosen[earlier]] = np.nan
        return chosen, utilities


class SkfiQueryStrategy(_PoolStrategy):
    """Any query strategy of skfi, as a strategy of scikit-activeml.

    Parameters
    ----------
    strategy : skfi.queries.QueryStrategy
        The strategy. Its `estimator` and `batch_size` are not looked at: each query brings
        its own classifier and number of rows.
    missing_label : scalar, str, None or np.nan, default=np.nan
        What stands for a label that is not there.
    random_state : int, RandomState instance or None, default=None
        Draws, and the order of ties. As in all of scikit-activeml, the same query gives the
        same rows, and another number of unlabelled rows another draw. None leaves it to the
        strategy's own `random_state`.

    See Also
    --------
    FIQueryStrategy : The same for `skfi.FIActiveSampler`, with its parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from skactiveml.classifier import SklearnClassifier
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.integrations.skactiveml import SkfiQueryStrategy
    >>> from skfi.queries import Margin
    >>> X = np.array([[-2.0], [-1.0], [0.1], [1.0], [2.0]])
    >>> y = np.array([0, np.nan, np.nan, np.nan, 1])
    >>> clf = SklearnClassifier(LogisticRegression(), classes=[0, 1])
    >>> SkfiQueryStrategy(Margin(), random_state=0).query(X, y, clf)
    array([2])
    """

    def __init__(self, strategy, missing_label=MISSING_LABEL, random_state=None):
        super().__init__(missing_label=missing_label, random_state=random_state)
        self.strategy = strategy

    def _make_strategy(self) -> QueryStrategy:
        check_type(self.strategy, "strategy", QueryStrategy)
        strategy = clone(self.strategy)
        if "random_state" in strategy.get_params(deep=False):
            # A clone's RandomState would give the same draws at each query.
            strategy.set_params(random_state=self.strategy.random_state)
        return strategy


class FIQueryStrategy(_PoolStrategy):
    """`skfi.FIActiveSampler`, as a strategy of scikit-activeml.

    The classifier comes with each query: a `SklearnClassifier` around an estimator of a kind
    that `skfi.fi_util` takes, or a `SkorchClassifier` whose module's first output is its
    scores.

    Parameters
    ----------
    utility : {"flip_ratio", "fi", "fi_margin"}, default="flip_ratio"
        What rows are scored by; "fi" is the paper's FI^active.
    selection : {"cover", "diverse", "top", "power"}, default="cover"
        How a batch is chosen by the scores; "top" is the paper's.
    shortlist, aggregate, validation_loss, metric : default=5, "median", "log_loss", "euclidean"
        As in `skfi.FIActiveSampler`.
    curvature, damping, params, perturbation, dtype : \
            default="auto", "auto", "last_layer", "features", None
        As in `skfi.FIActiveSampler`.
    approximation, n_components, subsample : default=None
        As in `skfi.FIActiveSampler`.
    missing_label : scalar, str, None or np.nan, default=np.nan
        What stands for a label that is not there.
    random_state : int, RandomState instance or None, default=None
        Draws, and the order of ties. As in all of scikit-activeml, the same query gives the
        same rows, and another number of unlabelled rows another draw.

    See Also
    --------
    skfi.FIActiveSampler : The parameters, with what they mean.
    SkfiQueryStrategy : The same for any other strategy of skfi.

    References
    ----------
    :cite:t:`yu2025`, Section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from skactiveml.classifier import SklearnClassifier
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.integrations.skactiveml import FIQueryStrategy
    >>> X, y_true = load_digits(return_X_y=True)
    >>> X, y = X / 16, np.full(len(y_true), np.nan)
    >>> y[:100] = y_true[:100]
    >>> clf = SklearnClassifier(LogisticRegression(), classes=range(10))
    >>> strategy = FIQueryStrategy(random_state=0)
    >>> asked, utilities = strategy.query(X, y, clf, batch_size=5, return_utilities=True)
    >>> asked.shape, utilities.shape
    ((5,), (5, 1797))
    """

    def __init__(
        self,
        utility="flip_ratio",
        selection="cover",
        shortlist=5,
        aggregate="median",
        validation_loss="log_loss",
        metric="euclidean",
        curvature="auto",
        damping="auto",
        params="last_layer",
        perturbation="features",
        dtype=None,
        approximation=None,
        n_components=None,
        subsample=None,
        missing_label=MISSING_LABEL,
        random_state=None,
    ):
        super().__init__(missing_label=missing_label, random_state=random_state)
        self.utility = utility
        self.selection = selection
        self.shortlist = shortlist
        self.aggregate = aggregate
        self.validation_loss = validation_loss
        self.metric = metric
        self.curvature = curvature
        self.damping = damping
        self.params = params
        self.perturbation = perturbation
        self.dtype = dtype
        self.approximation = approximation
        self.n_components = n_components
        self.subsample = subsample

    def _make_strategy(self) -> QueryStrategy:
        chosen = self.get_params(deep=False)
        del chosen["missing_label"], chosen["random_state"]
        return FIActiveSampler(**chosen)


def _frozen(clf):
    """The fitted classifier as a strategy of skfi takes it; None where there is none yet.

    scikit-activeml's `SklearnClassifier` counts as fitted without two classes, and then
    predicts how often each label occurs.
    """
    check_is_fitted(clf)
    if not isinstance(clf, _classifiers.SklearnClassifier):
        return FrozenEstimator(clf)
    if not clf.is_fitted_ or len(clf.estimator_.classes_) < 2:
        return None
    return FrozenEstimator(clf.estimator_)


def _read_skorch(clf):
    """scikit-activeml's `SkorchClassifier`: a plain skorch net on the codes of the labels."""
    from ..bridge._torch import Trained, network_bridge
    from ..bridge._torch_loss import read_criterion, read_weight_decay

    check_is_fitted(clf)
    net = clf.neural_net_
    if net.train_split is not None:
        warn_user(
            "The net keeps some of its training rows for its own validation (train_split) and "
            "never trains on them; their scores are those they would have had otherwise. Set "
            'neural_net_param_dict={"train_split": None} to train on all rows.',
        )
    output = read_criterion(_plain(net.criterion_), probabilities=False)
    decay = read_weight_decay(net.module_, net.optimizer_)
    trained = Trained(net.module_, output, clf.classes_, decay)
    return network_bridge(trained, weighted=False)


def _plain(criterion):
    """The loss itself, without scikit-activeml's choice among a module's outputs."""
    if not hasattr(criterion, "_criterion_output_selector"):
        return criterion
    if criterion._criterion_output_selector != 0:
        raise ValueError(
            "The loss of this SkorchClassifier takes the module's output "
            f"{criterion._criterion_output_selector}; a network is read by its first. Put the "
            "scores first (index 0 in forward_outputs)."
        )
    plain = copy.copy(criterion)
    plain.__class__ = type(criterion).__mro__[1]
    return plain


if hasattr(_classifiers, "SkorchClassifier"):  # it is only there with skorch
    bridge.register(_classifiers.SkorchClassifier, _read_skorch)
