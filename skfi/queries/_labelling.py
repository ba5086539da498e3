"""One run of labelling: its first rows, its labels, and its rounds.

Each random choice has a seed of its own, made of its purpose, so that no choice depends on
what else is run, in which order, or in how many parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing, column_or_1d
from sklearn.utils.extmath import _approximate_mode
from sklearn.utils.multiclass import check_classification_targets

from .._utils._checkpoint import Checkpoint
from .._utils._checks import is_missing, missing_labels
from .._utils._in_place import own_rows
from .._utils._trained_rows import fit_on_own_rows, keep_trained_rows, trained_rows
from .._utils._user_warnings import warn_user
from ._stopping import StablePredictions

_SPLIT, _FIT, _DRAW, _QUERY, _STOP = range(5)  # what a seed is for


def make_seed(root: int, *keys: int) -> int:
    """A seed that depends on all keys, and on nothing else."""
    return int(np.random.SeedSequence([root, *keys]).generate_state(1)[0])


def _words(name: str) -> list[int]:
    return list(hashlib.sha256(name.encode()).digest())


@dataclass(frozen=True)
class Split:
    """Positions of rows in X, each ascending."""

    test: np.ndarray
    start: np.ndarray
    pool: np.ndarray


def known_labels(y, n_rows: int, oracle) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,), as objects if an oracle may add to them, and which are known (n,)."""
    if y is None:
        if oracle is None:
            raise ValueError("y is None: pass labels, or an oracle that gives them.")
        return np.full(n_rows, None, dtype=object), np.zeros(n_rows, dtype=bool)
    y = column_or_1d(np.asarray(y), warn=True)
    known = ~missing_labels(y)
    if oracle is None and not known.all():
        raise ValueError(
            f"y lacks the labels of {n_rows - known.sum()} of {n_rows} rows (None or NaN): "
            "pass an oracle that gives them, or leave these rows out."
        )
    if oracle is not None and known.all():
        raise ValueError(
            "y has a label for every row, so there is nothing to ask the oracle: leave the "
            "oracle out, or set the labels of the pool to None or NaN."
        )
    # Strings that came as objects get the type classifiers know them by.
    labels = np.array(y[known].tolist()) if y.dtype == object else y[known]
    if len(labels):
        check_classification_targets(labels)
    if oracle is None:
        return labels, known
    values = np.full(n_rows, None, dtype=object)
    values[known] = labels.tolist()
    return values, known


def draw_splits(
    root: int, n_repeats: int, y, known, n_initial: int, test_size, oracle: bool
) -> list[Split]:
    """Test rows, first rows and pool of each repeat.

    With an oracle the first rows are all with a label, and others drawn at random where these
    are fewer than `n_initial`.
    """
    rows = np.flatnonzero(known)
    share = not isinstance(test_size, Integral)
    n_test = int(np.ceil(test_size * len(rows)) if share else test_size)
    if test_size and not len(rows):
        raise ValueError(
            "There are no rows with labels to hold out: pass X_test and y_test, or "
            "test_size=None for a run without scores."
        )
    if len(y) - n_test <= n_initial or n_test > len(rows):
        raise ValueError(
            f"X has {len(y)} rows, {len(rows)} of them with labels. With {n_test} test rows "
            f"and n_initial={n_initial} first rows no pool is left. Use fewer of either."
        )
    codes = np.unique(np.array(y[rows].tolist()), return_inverse=True)[1]
    splits = []
    for repeat in range(n_repeats):
        rng = np.random.RandomState(make_seed(root, _SPLIT, repeat))
        tested = _proportional(codes, n_test, rng)
        test, others = rows[tested], np.delete(rows, tested)
        if oracle:
            n_queried = max(0, n_initial - len(others))
            queried = rng.choice(np.flatnonzero(~known), n_queried, replace=False)
            start = np.union1d(others, queried)
        else:
            first = _proportional(np.delete(codes, tested), n_initial, rng, mixed=True)
            start = others[first]
        pool = np.setdiff1d(np.arange(len(y)), np.union1d(test, start))
        splits.append(Split(test, start, pool))
    return splits


def _proportional(codes, size: int, rng, mixed: bool = False) -> np.ndarray:
    """Positions of ``size`` rows in proportion to their classes, ascending.

    With ``mixed`` one is exchanged if all would be of one class.
    """
    counts = np.bincount(codes)
    if size == 0:
        return np.array([], dtype=np.intp)
    taken = _approximate_mode(counts, size, rng)
    if mixed and np.count_nonzero(taken) == 1:
        others = np.flatnonzero((counts > 0) & (taken == 0))
        if not len(others):
            raise ValueError(
                "y has one class only beside the test rows; a classifier needs two."
            )
        taken[taken > 0] -= 1
        taken[rng.choice(others, p=counts[others] / counts[others].sum())] = 1
    parts = [
        rng.choice(np.flatnonzero(codes == k), n, replace=False) for k, n in enumerate(taken)
    ]
    return np.sort(np.concatenate(parts))


class Labels:
    """Labels that are known, and the oracle, which is asked once for each of the others.

    The oracle maps ``(X_rows, indices)`` to labels; answers are stored as soon as they come.
    """

    def __init__(self, values, known, oracle, store: Checkpoint | None):
        self.values, self.known = values, known.copy()
        self.oracle, self.store = oracle, store
        self.answers: dict[int, Any] = {}
        if oracle is not None and store is not None:
            self.answers = store.load_answers()
            for row, label in self.answers.items():
                self.values[row], self.known[row] = label, True

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Labels of rows, in a type that classifiers know."""
        labels = self.values[rows]
        return labels if self.oracle is None else np.array(labels.tolist())

    def ask(self, X, rows: np.ndarray) -> None:
        """Have the oracle label those of the rows that have no label yet."""
        rows = rows[~self.known[rows]]
        if not len(rows):
            return
        answers = self.oracle(_safe_indexing(X, rows), rows.copy())
        n_answers = 0
        if isinstance(answers, Iterator):  # each is stored before the next is asked for
            for n_answers, answer in enumerate(answers, start=1):
                if n_answers > len(rows):
                    break
                self._add(rows[n_answers - 1 : n_answers], [answer])
        else:
            answers = np.asarray(answers, dtype=object)
            if answers.ndim != 1 and answers.shape != (len(rows), 1):
                returned = f"an array of shape {answers.shape}"
                raise ValueError(
                    f"The oracle was asked for {len(rows)} labels, and must return a list or "
                    "array of as many, also for a single row, or yield them one by one. It "
                    f"returned {returned if answers.ndim else repr(answers.item())}."
                )
            n_answers = len(answers)
            if n_answers == len(rows):
                self._add(rows, answers.ravel())
        if n_answers != len(rows):
            number = "more" if n_answers > len(rows) else n_answers
            raise ValueError(f"The oracle was asked for {len(rows)} labels and gave {number}.")

    def _add(self, rows: np.ndarray, answers) -> None:
        labels = [_plain(answer) for answer in answers]
        others = self.values[self.known]
        text = isinstance(others[0] if len(others) else labels[0], str)
        for label in labels:
            if isinstance(label, str) != text:
                raise ValueError(
                    f"The oracle gave the label {label!r}, and others are "
                    f"{'strings' if text else 'numbers'}: all must be of one type."
                )
        for row, label in zip(rows.tolist(), labels, strict=True):
            self.values[row], self.known[row], self.answers[row] = label, True, label
        if self.store is not None:
            self.store.save_answers(self.answers)


def _plain(label):
    """A label as Python's own bool, int, float or str."""
    label = label.item() if isinstance(label, (np.generic, np.ndarray)) else label
    if is_missing(label) or not isinstance(label, (bool, int, float, str)):
        raise ValueError(f"The oracle gave {label!r}, which is no label: no number or string.")
    return label


@dataclass(frozen=True)
class Round:
    """A fit and its score, and the rows queried next; None at the last fit."""

    score: float
    fit_seconds: float
    query_seconds: float | None = None
    rows: list[int] | None = None
    agreement: float | None = None  # of predictions with those of the round before

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Round:
        return cls(**{**entry, "score": np.nan if entry["score"] is None else entry["score"]})

    def to_json(self) -> dict[str, Any]:
        """With None for NaN, which JSON lacks."""
        return {**asdict(self), "score": None if np.isnan(self.score) else self.score}


@dataclass(frozen=True)
class Curve:
    """One strategy in one repeat, with the rounds that an earlier run completed."""

    name: str
    strategy: Any
    repeat: int
    split: Split
    digest: str
    done: list[Round]


@dataclass(frozen=True)
class Rounds:
    """Runs the rounds of curves; all curves share these settings."""

    estimator: Any
    scorer: Callable
    X: Any
    labels: Labels
    test: tuple[Any, Any]  # X_test, y_test; None for the rows of the split
    n_labelled: np.ndarray  # labelled rows at each fit
    root: int
    error_score: Any
    store: Checkpoint | None
    stopping: StablePredictions | None = None

    def run(
        self, curve: Curve, on_progress: Callable[[int], None] = lambda n_queried: None
    ) -> list[Round]:
        """Run the rounds of a curve that are not done yet."""
        rounds = list(curve.done[: len(self.n_labelled)])
        labelled, pool = curve.split.start, curve.split.pool
        self.labels.ask(self.X, labelled)
        predicted = None  # of the round before, where this run fitted it
        for number, size in enumerate(np.append(np.diff(self.n_labelled), 0)):
            stopped = self.stopped(rounds[: number + 1])
            if number == len(rounds) or (size and rounds[number].rows is None and not stopped):
                try:
                    new, predicted = self._round(
                        curve, number, labelled, pool, int(size), rounds[:number], predicted
                    )
                except Exception as error:
                    error.add_note(
                        f"In round {number} of strategy {curve.name!r}, repeat {curve.repeat}, "
                        f"with {len(labelled)} labelled rows."
                    )
                    raise
                if number < len(rounds):  # an earlier run ended here, before its query
                    old = rounds[number]
                    new = replace(new, score=old.score, fit_seconds=old.fit_seconds)
                rounds[number:] = [new]
                stopped = self.stopped(rounds)
                if self.store is not None:
                    entries = [done.to_json() for done in rounds]
                    self.store.save(curve.name, curve.repeat, curve.digest, entries)
            else:
                predicted = None
            if stopped:
                del rounds[number + 1 :]
                size = 0
            if size:
                rows = np.array(rounds[number].rows, dtype=np.intp)
                self.labels.ask(self.X, rows)
                labelled, pool = np.concatenate([labelled, rows]), np.setdiff1d(pool, rows)
            reached = self.n_labelled[-1 if stopped else number]
            on_progress(int(reached) - len(curve.split.start))
            if stopped:
                break
        return rounds

    def stopped(self, rounds: list[Round]) -> bool:
        """Whether the stopping rule ends the curve after these rounds."""
        if self.stopping is None:
            return False
        kappas = [np.nan if r.agreement is None else r.agreement for r in rounds]
        return self.stopping.reached(kappas)

    def _round(
        self, curve: Curve, number: int, labelled, pool, size: int, earlier, predicted
    ) -> tuple[Round, np.ndarray | None]:
        """A fit, its score and the next rows; and what it predicts for a stopping rule."""
        y = self.labels.of(labelled)
        if (y == y[0]).all():
            draw = np.random.RandomState(make_seed(self.root, _DRAW, curve.repeat, number))
            rows = draw.choice(pool, size, replace=False).tolist() if size else None
            return Round(np.nan, 0.0, 0.0 if size else None, rows), None
        X = _safe_indexing(self.X, labelled)
        start = perf_counter()
        model, prepared = self._fitted(curve, number, X, y)
        fit_seconds = perf_counter() - start
        found = Round(self._score(model, curve), fit_seconds)
        after = None
        if self.stopping is not None:
            if predicted is None and number:
                predicted = self._predicted_before(curve, number, labelled)
            after = self._predicted(model, curve)
            if predicted is not None:
                found = replace(found, agreement=self.stopping.agreement(predicted, after))
        if not size or self.stopped([*earlier, found]):
            return found, after
        seed = make_seed(self.root, _QUERY, curve.repeat, number, *_words(curve.name))
        strategy = clone(curve.strategy).set_params(estimator=FrozenEstimator(model))
        if "random_state" in strategy.get_params(deep=False):
            strategy.set_params(random_state=seed)
        X_pool = _safe_indexing(self.X, pool)
        start = perf_counter()
        with keep_trained_rows((model, X, prepared)):
            strategy.fit(X, y)
        positions = strategy.query(X_pool, batch_size=size)
        query_seconds = perf_counter() - start
        rows = pool[_checked(positions, size, len(pool))].tolist()
        return replace(found, query_seconds=query_seconds, rows=rows), after

    def _fitted(self, curve: Curve, number: int, X, y):
        model = seeded(self.estimator, make_seed(self.root, _FIT, curve.repeat, number))
        with keep_trained_rows():
            fit_on_own_rows(model, X, y)
            return model, trained_rows(model, X)

    def _predicted(self, model, curve: Curve) -> np.ndarray:
        """Labels of the rows that a stopping rule looks at, the same in all rounds."""
        assert self.stopping is not None
        rng = np.random.RandomState(make_seed(self.root, _STOP, curve.repeat))
        pool = curve.split.pool
        drawn = rng.choice(pool, min(self.stopping.n_rows, len(pool)), replace=False)
        return model.predict(own_rows(model, _safe_indexing(self.X, drawn)))

    def _predicted_before(self, curve: Curve, number: int, labelled) -> np.ndarray | None:
        """What the round before predicted, by its fit made again; None without two classes."""
        rows = labelled[: self.n_labelled[number - 1]]
        y = self.labels.of(rows)
        if (y == y[0]).all():
            return None
        model, _ = self._fitted(curve, number - 1, _safe_indexing(self.X, rows), y)
        return self._predicted(model, curve)

    def _score(self, model, curve: Curve) -> float:
        X_test, y_test = self.test
        if X_test is None:
            if not len(curve.split.test):
                return np.nan
            X_test = _safe_indexing(self.X, curve.split.test)
            y_test = self.labels.of(curve.split.test)
        try:
            return float(self.scorer(model, own_rows(model, X_test), y_test))
        except Exception as error:
            if isinstance(self.error_score, str):
                raise
            warn_user(
                f"The score could not be computed and is set to {self.error_score}: "
                f"{type(error).__name__}: {error}",
            )
            return float(self.error_score)


def seeded(estimator, seed: int):
    """A clone in which every `random_state` that is None has a seed."""
    estimator = clone(estimator)
    rng = np.random.RandomState(seed)
    seeds = {
        name: rng.randint(2**31 - 1)
        for name, value in sorted(estimator.get_params(deep=True).items(), key=lambda p: p[0])
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    return estimator.set_params(**seeds)


def _checked(positions, size: int, n_pool: int) -> np.ndarray:
    """What a strategy returned, if it is a batch of the pool."""
    positions = np.asarray(positions)
    if positions.shape != (size,) or positions.dtype.kind not in "iu":
        raise ValueError(
            f"query must return {size} positions in the pool, and returned an array of "
            f"shape {positions.shape} and type {positions.dtype}."
        )
    outside = (positions < 0) | (positions >= n_pool)
    if outside.any() or len(np.unique(positions)) < size:
        raise ValueError(
            f"query must return different positions in 0 to {n_pool - 1}, and returned "
            f"{positions.tolist()}."
        )
    return positions
