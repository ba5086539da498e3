"""Draws of a classifier's parameters given the labelled rows, as probabilities of any rows.

Each of three posteriors gives probabilities (n_draws, b, K) of a block of rows, and a draw is
one classifier for all rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing

from .._utils._chunks import one_blas_thread
from .._utils._in_place import own_rows
from .._utils._user_warnings import warn_user
from .._utils._warning_scopes import ignored
from ..baselines._refit import fresh
from ..bridge import Bridge, bridge
from ..bridge._base import innermost
from ..bridge._network import Choices, NetworkBridge, linear_part, of_other_rows
from ..bridge._torch_classifier import TorchClassifier
from ..influence._curved import CurvedLinear
from ..influence._reading import curve_fitted
from ..influence._rows import linear_features
from ..linear._softmax import SoftmaxLinear

POSTERIORS = ("auto", "dropout", "laplace", "committee")
# Parameters whose covariance is worked out in full; more are taken by K-FAC, where outputs
# are coupled (others have a covariance each).
_LARGEST_EXACT = 1500
# "auto" leaves models of more columns to a committee: a matrix of columns by columns is
# decomposed, by K-FAC too.
_MOST_COLUMNS = 2000

# A block of rows, as it comes -> probabilities (n_draws, b, K)
Reader = Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class Laplace:
    """A Gaussian around the coefficients of a softmax-linear model."""

    model: SoftmaxLinear
    beta: np.ndarray  # (n_draws, n_outputs, p)
    name = "laplace"

    def reader(self, classifier, X) -> Reader:
        linear = linear_part(classifier, X)
        return lambda part: self.proba(linear_features(linear, part, "X"))

    def proba(self, X) -> np.ndarray:
        """Probabilities of rows as the model sees them (n_draws, b, K)."""
        n_draws, n_outputs, p = self.beta.shape
        z = self.model.affine(X, self.beta.reshape(-1, p).T)
        log_p = self.model.link.log_proba(z.reshape(-1, n_outputs))
        return np.exp(log_p).reshape(X.shape[0], n_draws, -1).swapaxes(0, 1)


@dataclass(frozen=True)
class Committee:
    """Classifiers fitted on bootstrap samples."""

    members: list[Any]
    name = "committee"

    def reader(self, classifier, X) -> Reader:
        def proba(part) -> np.ndarray:
            votes = [member.predict_proba(own_rows(member, part)) for member in self.members]
            return np.stack(votes).astype(np.float64, copy=False)

        return proba


@dataclass(frozen=True)
class Dropout:
    """A network with units left out at random, the same for all rows of a draw."""

    seeds: np.ndarray  # (n_draws,)
    name = "dropout"

    def reader(self, classifier, X) -> Reader:
        from ._dropout import DropoutDraws

        with of_other_rows():
            fitted = bridge(classifier)
        assert isinstance(fitted, NetworkBridge)
        draws = DropoutDraws(fitted.network(_WHOLE, X), self.seeds)
        return lambda part: draws.proba(fitted.transform(part))


Posterior = Laplace | Committee | Dropout
_WHOLE = Choices(params="all", perturbation=None)


def draw_posterior(
    kind: str, classifier, X, y: np.ndarray, n_draws: int, rng: np.random.RandomState
) -> Posterior:
    """Draw ``n_draws`` classifiers around a fitted one; see `BALD` for the kinds."""
    if kind in ("auto", "dropout"):
        if _has_dropout(classifier, X):
            return Dropout(rng.randint(np.iinfo(np.int32).max, size=n_draws))
        if kind == "dropout":
            raise ValueError(
                'posterior="dropout" needs a torch network that calls a dropout layer with '
                f"p > 0 (nn.Dropout and the like), and {_name(classifier)} has none. Use "
                '"laplace", "committee" or "auto".'
            )
    if kind == "laplace":
        return _laplace(_require_linear(classifier, X), classifier, X, y, n_draws, rng)
    if kind == "auto":
        try:
            linear = linear_part(classifier, X)
        except (TypeError, ValueError):  # no bridge, or no linear last layer
            linear = None
        if linear is not None and _columns(linear, len(y)) <= _MOST_COLUMNS:
            return _laplace(linear, classifier, X, y, n_draws, rng)
    return _committee(classifier, X, y, n_draws, rng)


def _name(classifier) -> str:
    inner = innermost(classifier)
    if isinstance(inner, FrozenEstimator):
        return _name(inner.estimator)
    return type(inner).__name__


def _has_dropout(classifier, X) -> bool:
    if "torch" not in sys.modules:  # whoever has a torch network has imported it
        return False
    try:
        with of_other_rows():
            fitted = bridge(classifier)
    except TypeError:
        return False
    if not isinstance(fitted, NetworkBridge):
        return False
    from ._dropout import DropoutDraws, has_dropout

    network = fitted.network(_WHOLE, X)
    if not has_dropout(network.module):
        return False
    return DropoutDraws(network, [0]).reaches(fitted.transform(_safe_indexing(X, [0])))


def _require_linear(classifier, X) -> Bridge:
    try:
        return linear_part(classifier, X)
    except TypeError as error:
        raise TypeError(
            'posterior="laplace" needs a logistic regression or a network with a linear '
            f"last layer, and {_name(classifier)} is neither. Use "
            '"committee", which takes any classifier.'
        ) from error


def _columns(linear: Bridge, n_rows: int) -> int:
    return linear.make_model(n_rows).beta.shape[1]


def _laplace(
    linear: Bridge, classifier, X, y: np.ndarray, n_draws: int, rng: np.random.RandomState
) -> Laplace:
    model = linear.make_model(len(y))
    alike = model.active is None and (model.l2 == model.l2[0]).all()
    large = model.link.coupled and alike and model.beta.size > _LARGEST_EXACT
    # A Gaussian fits an early stop as well as it does the optimum.
    with of_other_rows(), ignored(ConvergenceWarning):
        choices = Choices(curvature="kfac" if large else "exact")
        curved = curve_fitted(classifier, (X, y, None), choices)
    assert isinstance(curved, CurvedLinear)
    model = curved.model
    noise = rng.standard_normal((n_draws, *model.beta.shape))
    with one_blas_thread(unless=model.beta.size > _LARGEST_EXACT):
        return Laplace(model, model.beta + curved.curvature.half_solve(noise))


def _committee(
    classifier, X, y: np.ndarray, n_draws: int, rng: np.random.RandomState
) -> Committee:
    # The settings that a search chose: a new search would have copies of a row on both sides
    # of its splits.
    template = getattr(classifier, "best_estimator_", classifier)
    inner = template.estimator if isinstance(template, FrozenEstimator) else template
    if not hasattr(inner, "fit") or isinstance(inner, TorchClassifier):
        raise TypeError(
            f"A committee is made of new fits, and {_name(classifier)} cannot be fitted. Use "
            'posterior="laplace", or "dropout" for a network that has such layers.'
        )
    groups = [np.flatnonzero(y == label) for label in np.unique(y)]
    if len(groups) == 1:  # a frozen classifier, or there would be none
        warn_user(
            "All labels are of one class, so no committee can be fitted: every member is the "
            "frozen classifier, and rows are drawn at random until there are two classes.",
        )
        return Committee([classifier] * n_draws)
    members = []
    for seed in rng.randint(np.iinfo(np.int32).max, size=n_draws):
        # Within each class, so that none goes missing.
        draws = [group[rng.randint(len(group), size=len(group))] for group in groups]
        rows = np.sort(np.concatenate(draws))
        with ignored(ConvergenceWarning):
            member = _reseeded(fresh(template, int(seed)), int(seed))
            members.append(member.fit(_safe_indexing(X, rows), y[rows]))
    return Committee(members)


def _reseeded(estimator, seed: int):
    """With a seed of its own for all it draws, where one was set too, as in a bagging."""
    names = [key for key in estimator.get_params() if key.rpartition("__")[2] == "random_state"]
    return estimator.set_params(**dict.fromkeys(names, seed))
