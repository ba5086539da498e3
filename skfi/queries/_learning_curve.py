"""Scores of a classifier against the number of rows that query strategies had labelled.

Strategies share test rows, first labels, pool and the seeds of fits, so that their difference
is their own. A run that asks a person or refits a network often can stop and resume.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import check_scoring
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, indexable
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    validate_params,
)
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples

from .._utils._checkpoint import Checkpoint, data_setting, digest, setting
from .._utils._checks import check_in_memory
from .._utils._progress import progress_bar
from ..bridge._refusals import check_classifier
from ..bridge._skorch import given_or_default
from ._curve import ActiveLearningCurve
from ._labelling import Curve, Labels, Round, Rounds, Split, draw_splits, known_labels
from ._stopping import StablePredictions


@validate_params(
    {
        "estimator": [HasMethods(["fit"]), None],
        "y": ["array-like", None],
        "n_initial": [Interval(Integral, 2, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_rounds": [Interval(Integral, 1, None, closed="left"), None],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "y_test": ["array-like", None],
        "test_size": [
            Interval(RealNotInt, 0.0, 1.0, closed="neither"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "scoring": [str, callable, None],
        "oracle": [callable, None],
        "stopping": [StablePredictions, None],
        "checkpoint": [str, os.PathLike, None],
        "error_score": [StrOptions({"raise"}), Real],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=False,  # estimators check themselves when they are fitted
)
def active_learning_curve(
    estimator,
    X,
    y,
    strategies,
    *,
    n_initial=10,
    batch_size=10,
    n_rounds=10,
    n_repeats=5,
    X_test=None,
    y_test=None,
    test_size=0.3,
    scoring=None,
    oracle=None,
    stopping=None,
    checkpoint=None,
    error_score="raise",
    n_jobs=None,
    random_state=None,
    verbose=0,
):
    """Score a classifier as the rows that query strategies choose are labelled.

    The loop of active learning (Algorithm 4 of the paper), as `learning_curve` of
    scikit-learn has it for random rows. In each round the classifier is fitted on the
    labelled rows and scored on the test rows; the strategy gets the fitted classifier and
    the labelled rows, and queries a batch of the pool, which `y` or an oracle labels.

    The comparison is paired. In a repeat all strategies have the same test rows, first labels
    and pool, and a fit on as many rows has the same seed. All seeds follow from
    `random_state`, the repeat, the round and the strategy's name, so that a curve does not
    depend on the other strategies or on the number of jobs.

    Parameters
    ----------
    estimator : estimator or None
        Classifier; a clone is fitted in each round, with a seed for each `random_state`
        that is None. None is `LogisticRegression()`.
    X : {array-like, sparse matrix, DataFrame} of shape (n, n_features) or (n, ...)
        All rows: those labelled at first, the pool and, without `X_test`, the test rows.
    y : array-like of shape (n,) or None
        Their labels. With an `oracle`, None or NaN for rows whose label nobody knows yet,
        or None for all of them.
    strategies : QueryStrategy, list or dict of QueryStrategy
        Strategies to compare. A dict names them; otherwise they are named by their classes.
        The loop sets their `estimator`, `batch_size` and `random_state`.
    n_initial : int, default=10
        Rows labelled at first. They are drawn at random in proportion to the classes, and one
        is exchanged if all would be of one class. With an `oracle` they are all rows with a
        label in `y`, and if these are fewer the oracle labels further ones, drawn at random.
    batch_size : int, default=10
        Rows labelled in a round. The last batch is smaller where the pool is used up.
    n_rounds : int or None, default=10
        Rounds of labelling; fewer if the pool is used up before. None is until then.
    n_repeats : int, default=5
        Repeats, each with its own test rows (unless `X_test` is passed), first rows and
        seeds.
    X_test : {array-like, sparse matrix, DataFrame} of shape (n_test, ...), default=None
        Rows to score on in all repeats.
    y_test : array-like of shape (n_test,), default=None
        Their labels.
    test_size : float, int or None, default=0.3
        Without `X_test`, the share or number of the rows with labels that is held out to
        score on, in proportion to the classes. None holds out none, and all scores are NaN.
    scoring : str, callable or None, default=None
        What is scored; None is the classifier's `score`, its accuracy.
    oracle : callable, default=None
        ``oracle(X_rows, indices) -> labels`` for the rows of `X` at `indices` (b,). It may
        be a generator that yields label by label. No row is asked for twice, whatever the
        number of strategies and repeats. Runs in this process, so that it may ask a person;
        `n_jobs` must then be None or 1.
    stopping : StablePredictions, default=None
        Rule that ends a curve before `n_rounds` when another batch is not expected to change
        the predictions; no further rows of that curve are asked for. None never does.
    checkpoint : path-like, default=None
        Folder where the state is stored after each round, and the oracle's labels as soon as
        it gives them. The same call resumes a run that was stopped, and ends with the same
        result as one that was not; `n_rounds`, `n_repeats` and the strategies may differ. One
        run at a time may use a folder.
    error_score : "raise" or float, default="raise"
        If the score cannot be computed, as when a class is not labelled yet: raise, or warn
        and use this number.
    n_jobs : int, default=None
        Jobs over repeats and strategies.
    random_state : int, RandomState instance or None, default=None
        Where all seeds come from.
    verbose : int, default=0
        Show a progress bar, where tqdm is installed.

    Returns
    -------
    curve : ActiveLearningCurve
        With `n_labelled` and, by strategy, `scores`, `fit_seconds`, `query_seconds` and
        `indices`; see there. ``curve.area()`` sums up, ``curve.to_frame()`` is a table.

    Raises
    ------
    TypeError
        A strategy is none, or the classifier lacks what a strategy needs.
    ValueError
        Labels are missing without an oracle, or are of one class; too few rows; the oracle
        or a strategy returns what it must not; the checkpoint is one of other settings.

    Warns
    -----
    UserWarning
        A score could not be computed, with a number as `error_score`.

    See Also
    --------
    skfi.inspection.ActiveLearningCurveDisplay : Picture of the result.
    sklearn.model_selection.learning_curve : The same for random rows, cross-validated.

    Notes
    -----
    While an oracle has given labels of one class only, no classifier is fitted, the score is
    NaN, and the next rows are drawn at random, the same for all strategies.

    The checkpoint is JSON; ``answers.json`` holds the "rows" and "labels" that the oracle
    gave. Data, classifier, strategies and settings are recognised by hashes of their contents.

    References
    ----------
    :cite:t:`yu2025`, Algorithm 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi import active_learning_curve
    >>> from skfi.queries import Margin
    >>> X, y = load_iris(return_X_y=True)
    >>> curve = active_learning_curve(
    ...     LogisticRegression(max_iter=1000), X, y, Margin(),
    ...     n_initial=6, batch_size=4, n_rounds=3, n_repeats=2, random_state=0,
    ... )
    >>> curve.n_labelled.tolist()
    [6, 10, 14, 18]
    >>> curve.scores["Margin"].shape
    (2, 4)
    """
    for value, name in ((X, "X"), (y, "y"), (X_test, "X_test"), (y_test, "y_test")):
        check_in_memory(value, name)
    X, y = indexable(X, y)
    named = _named(strategies)
    check_classifier(estimator, "estimator")
    estimator = given_or_default(estimator)
    scorer = check_scoring(estimator, scoring=scoring)
    X_test, y_test = _check_test(X_test, y_test)
    values, known = known_labels(y, _num_samples(X), oracle)
    if oracle is not None and n_jobs not in (None, 1):
        raise ValueError(f"n_jobs={n_jobs}: an oracle is asked in this process; use n_jobs=1.")

    seed, store, digests = _seed(random_state), None, dict.fromkeys(named, "")
    if checkpoint is not None:
        settings: dict[str, Any] = {
            "estimator": clone(estimator),
            "n_initial": n_initial,
            "batch_size": batch_size,
            "test_size": test_size,
            "scoring": scoring,
            "error_score": error_score,
            "oracle": oracle is not None,
        }
        if stopping is not None:
            settings["stopping"] = stopping
        entries = {name: setting(value, name) for name, value in settings.items()}
        data = {"X": X, "y": y, "X_test": X_test, "y_test": y_test}
        entries |= {name: data_setting(value) for name, value in data.items()}
        digests = {name: digest(s, f"strategy {name!r}") for name, s in named.items()}
        store = Checkpoint(checkpoint)
        seed = store.open(entries, seed, any_seed=random_state is None)

    held_out = 0 if X_test is not None or test_size is None else test_size
    splits = draw_splits(
        seed, n_repeats, values, known, n_initial, held_out, oracle is not None
    )
    curves = [
        Curve(name, strategy, repeat, split, digests[name], [])
        for repeat, split in enumerate(splits)
        for name, strategy in named.items()
    ]
    if store is not None:
        # All are read before any is run, so that all errors are raised first.
        curves = [
            replace(
                c, done=[Round.from_json(r) for r in store.load(c.name, c.repeat, c.digest)]
            )
            for c in curves
        ]
    rounds = Rounds(
        estimator=estimator,
        scorer=scorer,
        X=X,
        labels=Labels(values, known, oracle, store),
        test=(X_test, y_test),
        n_labelled=_sizes(splits[0], batch_size, n_rounds),
        root=seed,
        error_score=error_score,
        store=store,
        stopping=stopping,
    )
    results = _run(rounds, curves, n_jobs, verbose)
    return _collect(rounds, splits, list(named), results, _scoring(estimator, scoring))


def _named(strategies) -> dict[str, Any]:
    """Unfitted strategies by name, without what the loop sets."""
    if isinstance(strategies, Mapping):
        named = dict(strategies)
    else:
        several = strategies if isinstance(strategies, (list, tuple)) else [strategies]
        names = [type(strategy).__name__ for strategy in several]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"strategies holds {twice[0]} more than once: pass a dict that names them."
            )
        named = dict(zip(names, several, strict=True))
    if not named:
        raise ValueError("strategies is empty: pass at least one QueryStrategy.")
    for name, strategy in named.items():
        methods = ("fit", "query", "get_params", "set_params")
        if isinstance(strategy, type) or not all(hasattr(strategy, m) for m in methods):
            raise TypeError(
                f"strategies holds {strategy!r}, which is no QueryStrategy, such as Margin()."
            )
        if not isinstance(name, str):
            raise TypeError(f"strategies has the name {name!r}: names must be strings.")
        unset = {"estimator": None, "batch_size": 1, "random_state": None}
        own = strategy.get_params(deep=False)
        if "estimator" not in own:
            raise TypeError(
                f"strategy {name!r} has no parameter estimator, through which it would be "
                "given the fitted classifier."
            )
        named[name] = clone(strategy).set_params(**{k: unset[k] for k in unset if k in own})
    return named


def _check_test(X_test, y_test):
    if (X_test is None) != (y_test is None):
        alone, missing = ("X_test", "y_test") if y_test is None else ("y_test", "X_test")
        raise ValueError(f"{alone} was passed without {missing}; pass both or neither.")
    if X_test is None:
        return None, None
    X_test, y_test = indexable(X_test, y_test)
    if _num_samples(X_test) == 0:
        raise ValueError("X_test has no rows; scores need at least one.")
    return X_test, y_test


def _seed(random_state) -> int:
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _sizes(split: Split, batch_size: int, n_rounds: int | None) -> np.ndarray:
    """Labelled rows at each fit."""
    n_batches = -(-len(split.pool) // batch_size)
    if n_rounds is not None:
        n_batches = min(n_rounds, n_batches)
    added = np.minimum(np.arange(n_batches + 1) * batch_size, len(split.pool))
    return len(split.start) + added


def _run(rounds: Rounds, curves: list[Curve], n_jobs, verbose) -> list[list[Round]]:
    """The rounds of all curves, in their order."""
    n_queried = int(rounds.n_labelled[-1] - rounds.n_labelled[0])
    results = []
    with progress_bar(n_queried * len(curves), "Labelling", verbose) as bar:
        report = bar or (lambda done: None)
        if rounds.labels.oracle is not None or effective_n_jobs(n_jobs) == 1:
            for number, curve in enumerate(curves):

                def on_progress(done: int, before: int = number * n_queried) -> None:
                    report(before + done)

                results.append(rounds.run(curve, on_progress))
            return results
        jobs = (delayed(rounds.run)(curve) for curve in curves)
        for result in Parallel(n_jobs=n_jobs, return_as="generator")(jobs):
            results.append(result)
            report(len(results) * n_queried)
    return results


def _collect(
    rounds: Rounds, splits: list[Split], names: list[str], results: list[list[Round]], scoring
) -> ActiveLearningCurve:
    """Arrays by strategy; strategies of a repeat follow one another."""
    n_points = len(rounds.n_labelled)
    n_queried = int(rounds.n_labelled[-1] - rounds.n_labelled[0])

    def table(entries, length: int, missing=np.nan) -> dict[str, np.ndarray]:
        """Entries of each curve, filled up where it was stopped."""
        out = {}
        for place, name in enumerate(names):
            lines = [list(entries(done))[:length] for done in results[place :: len(names)]]
            out[name] = np.array(
                [line + [missing] * (length - len(line)) for line in lines],
                dtype=type(missing),
            )
        return out

    agreement = stopped = None
    if rounds.stopping is not None:
        agreement = table(lambda done: [r.agreement for r in done], n_points)
        stopped = {
            name: np.array([
                rounds.n_labelled[len(done) - 1] if rounds.stopped(done) else 0
                for done in results[place :: len(names)]
            ])
            for place, name in enumerate(names)
        }  # fmt: skip
    return ActiveLearningCurve(
        n_labelled=rounds.n_labelled,
        scores=table(lambda done: [r.score for r in done], n_points),
        fit_seconds=table(lambda done: [r.fit_seconds for r in done], n_points),
        query_seconds=table(lambda done: [r.query_seconds for r in done], n_points - 1),
        indices=table(lambda done: chain(*(r.rows or () for r in done)), n_queried, -1),
        initial_indices=np.array([split.start for split in splits]),
        test_indices=np.array([split.test for split in splits]),
        answers=None if rounds.labels.oracle is None else dict(rounds.labels.answers),
        scoring=scoring,
        agreement=agreement,
        stopped=stopped,
    )


def _scoring(estimator, scoring):
    """Name of the scores; None if unknown."""
    if scoring is not None:
        return scoring
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    plain = getattr(type(estimator), "score", None) is ClassifierMixin.score
    return "accuracy" if plain else None
