"""Data Shapley by truncated Monte Carlo: what a row adds to random subsets of the others.

The fairest question and the dearest answer: thousands of fits. It is here because FI was
published against it, and because it works for every classifier and every metric.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples, check_is_fitted, column_or_1d

from .._utils._checks import check_in_memory, check_weight, encode_labels, predicted_labels
from .._utils._in_place import own_rows
from .._utils._progress import progress_bar
from .._utils._user_warnings import warn_user
from .._utils._warning_scopes import ignored
from .._utils._workers import workers
from ..bridge._refusals import check_classifier
from ._loss import labels_and_codes
from ._refit import fit_on, prior_on, with_all_classes

_WINDOW = 100  # permutations over which the values must have come to rest


def tmc_shapley(
    estimator,
    X,
    y,
    X_val,
    y_val,
    *,
    sample_weight=None,
    sample_weight_val=None,
    scoring=None,
    truncation=0.01,
    tolerance=0.05,
    max_permutations=1000,
    batch_size=10,
    n_jobs=None,
    random_state=None,
    verbose=0,
) -> np.ndarray:
    """Minus the Data Shapley value of each training row; higher goes first.

    The game: training rows S earn v(S), the validation score of a clone of the
    estimator that is fitted on S. A row's value is what it adds to v when it joins,
    averaged over the orders in which rows may come; random orders are drawn, and one
    is cut short where v is close to that of all rows.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier of any kind. Clones are fitted, a Pipeline as a whole.
    X : array-like of shape (n, n_features)
        Training rows, as the estimator takes them.
    y : array-like of shape (n,)
        Training labels.
    X_val : array-like of shape (n_val, n_features)
        Validation rows.
    y_val : array-like of shape (n_val,)
        Validation labels.
    sample_weight : array-like of shape (n,), default=None
        Weights for the fits, passed to the steps of a Pipeline that take them. A row
        joins with all of its weight; rows of weight 0 take no part.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights for the validation score.
    scoring : str, callable or None, default=None
        Validation score, higher is better: a name or scorer of scikit-learn, called
        with `sample_weight` only where `sample_weight_val` is passed. None is accuracy.
    truncation : float, default=0.01
        An order is cut short, and the rows still to come add nothing, as soon as v is
        less than this away from v of all rows. In units of v; 0 cuts nothing.
    tolerance : float, default=0.05
        Permutations are drawn until the values change by less than this share over
        100 of them: Σ|change| / Σ|value|. (The paper takes the mean of each row's own
        relative change, which rows with values next to zero rule.) 0 draws
        `max_permutations`.
    max_permutations : int, default=1000
        Most permutations drawn.
    batch_size : int, default=10
        Permutations drawn between two looks at `tolerance`, and at most at once.
    n_jobs : int, default=None
        Permutations worked on at once, see joblib. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed of the permutations, and of clones whose `random_state` is not set.
    verbose : int, default=0
        Above 0: a progress bar, where tqdm is installed.

    Returns
    -------
    score : ndarray of shape (n,)
        Minus the estimated value, in units of v. Without truncation the scores add up
        to v(no rows) - v(all rows). Positive: the row lowers the validation score.

    Raises
    ------
    ValueError
        Labels the classifier never saw, an option out of range, or weights that the
        classifier does not take.

    Warns
    -----
    ConvergenceWarning
        The values have not come to rest after `max_permutations`.
    UserWarning
        The labels' frequencies alone score as well as the classifier, to within
        `truncation`: all values are then 0.

    Notes
    -----
    No rows predict the training labels' frequencies (so the most frequent class; the
    first in order of those that tie). So do rows of a single class, which most
    classifiers refuse, and subsets that the estimator refuses with a ValueError (too
    few neighbours, say), with the frequencies of their own labels. A subset that lacks
    classes gives them probability 0.

    References
    ----------
    A. Ghorbani, J. Zou: "Data Shapley: Equitable Valuation of Data for Machine
    Learning", ICML 2019, Algorithm 1.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skfi.baselines import tmc_shapley
    >>> X, y = [[0.0], [1.0], [4.0], [5.0], [5.5]], [0, 0, 1, 1, 0]
    >>> model = GaussianNB().fit(X, y)
    >>> X_val, y_val = [[0.5], [1.5], [4.5], [5.2]], [0, 0, 1, 1]
    >>> options = {"tolerance": 0, "max_permutations": 50, "random_state": 0}
    >>> int(tmc_shapley(model, X, y, X_val, y_val, **options).argmax())
    4
    """
    _check_options(truncation, tolerance, max_permutations, batch_size)
    check_classifier(estimator, "estimator")
    check_is_fitted(estimator)
    for value, name in ((X, "X"), (X_val, "X_val"), (y_val, "y_val")):
        check_in_memory(value, name)
    y, codes = labels_and_codes(estimator, y, _num_samples(X))
    weight = None
    if sample_weight is not None:
        weight = check_weight(sample_weight, codes, "sample_weight")
    y_val = column_or_1d(y_val, warn=True)
    if _num_samples(X_val) != len(y_val):
        raise ValueError(
            f"X_val has {_num_samples(X_val)} rows and y_val {len(y_val)}; they must match."
        )
    classes = np.asarray(estimator.classes_)
    encode_labels(y_val, classes, "y_val")
    if sample_weight_val is not None:
        sample_weight_val = check_weight(sample_weight_val, y_val, "sample_weight_val")
    scorer = None if scoring in (None, "accuracy") else check_scoring(estimator, scoring)
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=4)
    game = _Game(
        estimator, X, y, weight, X_val, y_val, sample_weight_val, scorer, classes, int(seed[0])
    )
    return -_estimate(
        game,
        np.random.SeedSequence(seed.tolist()),
        float(truncation),
        float(tolerance),
        int(max_permutations),
        int(batch_size),
        n_jobs,
        verbose,
    )


@dataclass(frozen=True)
class _Game:
    """The utility v of a set of training rows."""

    estimator: Any
    X: Any
    y: np.ndarray
    weight: np.ndarray | None
    X_val: Any
    y_val: np.ndarray
    weight_val: np.ndarray | None
    scorer: Any  # None: accuracy
    classes: np.ndarray
    seed: int

    @property
    def players(self) -> np.ndarray:
        return np.arange(len(self.y)) if self.weight is None else np.flatnonzero(self.weight)

    def all(self) -> float:
        """Utility of all rows; here the estimator's own errors are not caught."""
        return self._score(
            fit_on(self.estimator, self.X, self.y, self.weight, self.players, self.seed)
        )

    def none(self) -> float:
        return self._score(prior_on(self.y, self.weight, self.players))

    def some(self, rows: np.ndarray) -> float:
        """Utility of a part of the rows, in any order."""
        rows = np.sort(rows)  # so that rounding does not tell orders apart
        if not (self.y[rows] == self.y[rows[0]]).all():
            try:
                return self._score(
                    fit_on(self.estimator, self.X, self.y, self.weight, rows, self.seed)
                )
            except ValueError:
                pass
        return self._score(prior_on(self.y, self.weight, rows))

    def _score(self, model) -> float:
        if self.scorer is None:
            right = predicted_labels(model, self.X_val) == self.y_val
            return float(np.average(right, weights=self.weight_val))
        model = with_all_classes(model, self.classes)
        params = {} if self.weight_val is None else {"sample_weight": self.weight_val}
        X_val = own_rows(model, self.X_val)
        return float(self.scorer(model, X_val, self.y_val, **params))


def _added(game: _Game, order, empty: float, full: float, truncation: float) -> np.ndarray:
    """What each row adds when rows come in this order (n,)."""
    added = np.zeros(len(game.y))
    before = empty
    for count, row in enumerate(order, start=1):
        if abs(full - before) < truncation:
            break
        now = full if count == len(order) else game.some(order[:count])
        added[row] = now - before
        before = now
    return added


def _run(game: _Game, seed, empty: float, full: float, truncation: float) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(game.players)
    # A solver that stops early on a handful of rows is nobody's concern.
    with ignored(ConvergenceWarning):
        return _added(game, order, empty, full, truncation)


def _estimate(
    game: _Game,
    seeds: np.random.SeedSequence,
    truncation: float,
    tolerance: float,
    max_permutations: int,
    batch_size: int,
    n_jobs,
    verbose: int,
) -> np.ndarray:
    empty, full = game.none(), game.all()
    if abs(full - empty) < truncation:
        warn_user(
            f"The labels' frequencies score {empty:.4g} on the validation rows and the "
            f"classifier {full:.4g}: no more than truncation={truncation:g} apart, so that "
            "all values are 0. Use a smaller truncation or another scoring.",
        )
        return np.zeros(len(game.y))
    total, drawn, change = np.zeros(len(game.y)), 0, np.inf
    # Means after each batch, as far back as the window reaches.
    past: deque[np.ndarray] = deque(maxlen=-(-_WINDOW // batch_size) + 1)
    with (
        progress_bar(max_permutations, "TMC-Shapley", verbose > 0, " permutations") as report,
        workers(n_jobs) as run,
    ):
        while drawn < max_permutations and change >= tolerance:
            batch = seeds.spawn(min(batch_size, max_permutations - drawn))
            jobs = [(game, seed, empty, full, truncation) for seed in batch]
            for added in run(_run, jobs):
                total += added
            drawn += len(batch)
            past.append(total / drawn)
            if len(past) == past.maxlen:
                change = _relative_change(past[0], past[-1])
            if report is not None:
                report(drawn)
    if 0 < tolerance <= change:
        if np.isfinite(change):
            state = f"still change by {100 * change:.2g} % over {_WINDOW} of them"
        else:
            state = f"cannot be judged, which takes more than {_WINDOW} of them"
        warn_user(
            f"After {drawn} permutations the values {state} (tolerance={tolerance:g}). "
            "Raise max_permutations or tolerance; tolerance=0 takes the values as they are.",
            ConvergenceWarning,
        )
    return total / drawn


def _relative_change(before: np.ndarray, after: np.ndarray) -> float:
    size = np.abs(after).sum()
    return float(np.abs(after - before).sum() / size) if size > 0 else 0.0


def _check_options(truncation, tolerance, max_permutations, batch_size) -> None:
    for name, value in (("truncation", truncation), ("tolerance", tolerance)):
        if not isinstance(value, Real) or not float(value) >= 0:
            raise ValueError(f"{name}={value!r} must be a number of at least 0.")
    for name, value in (("max_permutations", max_permutations), ("batch_size", batch_size)):
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name}={value!r} must be an int of at least 1.")
