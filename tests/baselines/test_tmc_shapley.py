"""Data Shapley against every order and every coalition of small games."""

from __future__ import annotations

import sys
import warnings
from itertools import permutations

import numpy as np
import pytest
from joblib import parallel_config
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skfi.baselines import tmc_shapley
from skfi.baselines._tmc_shapley import _added, _Game
from tests.baselines.enumeration import shapley
from tests.conftest import make_split


def small_game(n=5, n_classes=2, seed=0):
    X, y, X_val, y_val, _ = make_split(n_classes, n=n + 20, d=3, seed=seed, flip=0.1)
    rows = np.concatenate([[np.flatnonzero(y == c)[0] for c in range(n_classes)], range(n)])
    rows = np.unique(rows)[: max(n, n_classes)]
    y = y[rows].copy()
    y[:n_classes] = np.arange(n_classes)
    return X[rows], y, X_val, y_val


def constant(y, weight=None):
    """The most frequent label; of those that tie the first."""
    labels = np.unique(y)
    weight = np.ones(len(y)) if weight is None else weight
    return labels[np.argmax([weight[y == label].sum() for label in labels])]


def accuracy(model, X, y, X_val, y_val, weight=None, weight_val=None):
    """v, written again: fit, or the most frequent label."""

    def value(rows):
        part = rows if len(rows) else np.arange(len(y))
        w = None if weight is None else weight[part]
        predicted = np.full(len(y_val), constant(y[part], w))
        if len(rows) and len(np.unique(y[rows])) > 1:
            try:
                kwargs = {} if w is None else {"sample_weight": w}
                predicted = model.fit(X[rows], y[rows], **kwargs).predict(X_val)
            except ValueError:  # too few neighbours
                pass
        return np.average(predicted == y_val, weights=weight_val)

    return value


MODELS = {
    "logistic regression": LogisticRegression(),
    "naive Bayes": GaussianNB(),
    "one neighbour": KNeighborsClassifier(1),
    "three neighbours": KNeighborsClassifier(3),
}


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("n_classes", [2, 3])
def test_mean_over_all_orders_equals_enumeration(name, n_classes):
    model = MODELS[name]
    X, y, X_val, y_val = small_game(5, n_classes)
    expected = shapley(len(y), accuracy(model, X, y, X_val, y_val))
    game = _Game(model, X, y, None, X_val, y_val, None, None, np.arange(n_classes), 0)
    known = {}

    class Remembering(_Game):
        def some(self, rows):
            key = frozenset(rows)
            if key not in known:
                known[key] = super().some(rows)
            return known[key]

    game = Remembering(**vars(game))
    empty, full = game.none(), game.all()
    added = [_added(game, np.array(o), empty, full, 0.0) for o in permutations(range(len(y)))]
    np.testing.assert_allclose(np.mean(added, axis=0), expected, atol=1e-12)
    np.testing.assert_allclose(np.sum(added, axis=1), full - empty, atol=1e-12)


def test_estimate_comes_near_enumeration():
    X, y, X_val, y_val = small_game(5)
    model = GaussianNB().fit(X, y)
    weight_val = np.random.default_rng(0).random(len(y_val))
    value = accuracy(GaussianNB(), X, y, X_val, y_val, weight_val=weight_val)
    expected = shapley(len(y), value)
    actual = tmc_shapley(
        model,
        X,
        y,
        X_val,
        y_val,
        sample_weight_val=weight_val,
        truncation=0,
        tolerance=0,
        max_permutations=300,
        random_state=0,
    )
    np.testing.assert_allclose(-actual, expected, atol=0.04)
    gained = value(np.arange(5)) - value(np.array([], dtype=int))
    assert -actual.sum() == pytest.approx(gained, abs=1e-12)


def test_weights_reach_the_fits_and_rows_without_weight_stay_out():
    X, y, X_val, y_val = small_game(5)
    weight = np.array([1.0, 2.0, 3.0, 1.0, 0.5])
    model = GaussianNB().fit(X, y)
    expected = shapley(5, accuracy(GaussianNB(), X, y, X_val, y_val, weight))
    options = dict(truncation=0, tolerance=0, random_state=0)
    actual = tmc_shapley(
        model, X, y, X_val, y_val, sample_weight=weight, max_permutations=200, **options
    )
    np.testing.assert_allclose(-actual, expected, atol=0.05)
    X0, y0 = np.vstack([X, X[:1] + 50]), np.append(y, 1)
    actual = tmc_shapley(
        model, X0, y0, X_val, y_val, sample_weight=np.append(weight, 0.0),
        max_permutations=5, **options,
    )  # fmt: skip
    assert actual[5] == 0
    piped = make_pipeline(StandardScaler(), GaussianNB())
    for routing in (False, True):
        with config_context(enable_metadata_routing=routing):
            if routing:
                piped[0].set_fit_request(sample_weight=True)
                piped[1].set_fit_request(sample_weight=True)
            piped.fit(X, y)
            again = tmc_shapley(
                piped, X, y, X_val, y_val, sample_weight=weight, max_permutations=5, **options
            )
        assert np.isfinite(again).all()


def test_seed_and_jobs():
    X, y, X_val, y_val, _ = make_split(n=30)
    model = DecisionTreeClassifier(max_features=1).fit(X, y)  # has no seed of its own
    options = dict(truncation=0.05, tolerance=0, max_permutations=7, batch_size=3)
    first = tmc_shapley(model, X, y, X_val, y_val, random_state=1, **options)
    again = tmc_shapley(model, X, y, X_val, y_val, random_state=1, **options)
    np.testing.assert_array_equal(first, again)
    with parallel_config("threading"):
        threads = tmc_shapley(model, X, y, X_val, y_val, random_state=1, n_jobs=2, **options)
    np.testing.assert_array_equal(first, threads)
    other = tmc_shapley(model, X, y, X_val, y_val, random_state=2, **options)
    assert (first != other).any()


def test_processes_give_the_same():
    X, y, X_val, y_val, _ = make_split(n=10)
    model = GaussianNB().fit(X, y)
    options = dict(tolerance=0, max_permutations=3, batch_size=2, random_state=0)
    np.testing.assert_array_equal(
        tmc_shapley(model, X, y, X_val, y_val, n_jobs=2, **options),
        tmc_shapley(model, X, y, X_val, y_val, **options),
    )


def test_truncation_saves_fits_and_keeps_the_sum():
    X, y, X_val, y_val, _ = make_split(n=40, flip=0.0)
    model = GaussianNB().fit(X, y)
    game = _Game(model, X, y, None, X_val, y_val, None, None, model.classes_, 0)
    empty, full = game.none(), game.all()
    order = np.random.default_rng(0).permutation(40)
    short, whole = (_added(game, order, empty, full, t) for t in (0.05, 0.0))
    assert (short != 0).sum() < (whole != 0).sum()
    assert abs(short.sum() - (full - empty)) < 0.05
    assert whole.sum() == pytest.approx(full - empty)


def test_wrong_labels_come_first():
    X, y, X_val, y_val, _ = make_split(n=30, n_val=60, flip=0.0, seed=1)
    wrong = np.array([0, 7, 20])
    y[wrong] = 1 - y[wrong]
    score = tmc_shapley(
        GaussianNB().fit(X, y), X, y, X_val, y_val,
        truncation=0.01, tolerance=0, max_permutations=30, random_state=0,
    )  # fmt: skip
    assert score[wrong].mean() > np.delete(score, wrong).mean()


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "balanced_accuracy"])
def test_other_scores_on_subsets_without_all_classes(scoring):
    X, y, X_val, y_val = small_game(7, 3)
    names = np.array(["no", "perhaps", "yes"])
    model = GaussianNB().fit(X, names[y])
    y_val[:3] = np.arange(3)
    score = tmc_shapley(
        model, X, names[y], X_val, names[y_val], scoring=scoring,
        truncation=0, tolerance=0, max_permutations=4, random_state=0,
        sample_weight_val=np.ones(len(y_val)),
    )  # fmt: skip
    assert np.isfinite(score).all()
    assert score.any()


def test_stops_when_the_values_have_come_to_rest():
    X, y, X_val, y_val = small_game(4)
    model = GaussianNB().fit(X, y)
    options = dict(truncation=0, batch_size=60, random_state=0)
    early = tmc_shapley(model, X, y, X_val, y_val, tolerance=0.9, **options)
    fixed = dict(tolerance=0, max_permutations=180)
    np.testing.assert_array_equal(
        early, tmc_shapley(model, X, y, X_val, y_val, **fixed, **options)
    )


def test_warnings():
    X, y, X_val, y_val = small_game(5)
    model = GaussianNB().fit(X, y)
    with pytest.warns(ConvergenceWarning, match="After 5 permutations.*cannot be judged"):
        tmc_shapley(model, X, y, X_val, y_val, max_permutations=5, truncation=0)
    with pytest.warns(ConvergenceWarning, match="After 120 permutations.*still change by"):
        tmc_shapley(
            model, X, y, X_val, y_val, max_permutations=120, truncation=0, tolerance=1e-9
        )
    with pytest.warns(UserWarning, match="all values are 0") as caught:
        assert not tmc_shapley(model, X, y, X_val, y_val, truncation=1.0).any()
    assert caught[0].filename == __file__


def test_a_solver_that_stops_early_on_a_subset_is_quiet():
    X, y, X_val, y_val = small_game(5)
    model = LogisticRegression(max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
        game = _Game(model, X, y, None, X_val, y_val, None, None, model.classes_, 0)
        full = game.all()
    from skfi.baselines._tmc_shapley import _run

    _run(game, np.random.SeedSequence(0), game.none(), full, 0.0)


def test_progress_bar(capsys, monkeypatch):
    X, y, X_val, y_val = small_game(5)
    model = GaussianNB().fit(X, y)
    options = dict(tolerance=0, truncation=0, max_permutations=4, random_state=0)
    quiet = tmc_shapley(model, X, y, X_val, y_val, **options)
    assert capsys.readouterr().err == ""
    pytest.importorskip("tqdm")
    np.testing.assert_array_equal(
        quiet, tmc_shapley(model, X, y, X_val, y_val, verbose=1, **options)
    )
    assert "0/4" in capsys.readouterr().err  # it is quicker than tqdm draws again
    monkeypatch.setitem(sys.modules, "tqdm", None)
    np.testing.assert_array_equal(
        quiet, tmc_shapley(model, X, y, X_val, y_val, verbose=1, **options)
    )


def test_frames_with_names():
    pd = pytest.importorskip("pandas")
    X, y, X_val, y_val = small_game(6)
    names = np.array(["no", "yes"])
    options = dict(tolerance=0, truncation=0, max_permutations=6, random_state=0)
    plain = tmc_shapley(GaussianNB().fit(X, y), X, y, X_val, y_val, **options)
    frame, frame_val = pd.DataFrame(X).add_prefix("f"), pd.DataFrame(X_val).add_prefix("f")
    labels = pd.Series(names[y])
    model = GaussianNB().fit(frame, labels)
    actual = tmc_shapley(model, frame, labels, frame_val, names[y_val], **options)
    np.testing.assert_array_equal(actual, plain)


def test_errors_say_what_is_wrong():
    X, y, X_val, y_val = small_game(5)
    model = GaussianNB().fit(X, y)
    for name, value in {
        "truncation": -1,
        "tolerance": np.nan,
        "max_permutations": 0,
        "batch_size": 1.5,
    }.items():
        with pytest.raises(ValueError, match=name):
            tmc_shapley(model, X, y, X_val, y_val, **{name: value})
    with pytest.raises(ValueError, match="y_val has labels"):
        tmc_shapley(model, X, y, X_val, y_val + 1)
    with pytest.raises(ValueError, match="X_val has 40 rows and y_val 39"):
        tmc_shapley(model, X, y, X_val, y_val[1:])
    knn = KNeighborsClassifier(1).fit(X, y)
    with pytest.raises(ValueError, match="does not take it"):
        tmc_shapley(knn, X, y, X_val, y_val, sample_weight=np.ones(5))
    with pytest.raises(ValueError, match="n_neighbors"):  # the estimator's own, on all rows
        tmc_shapley(KNeighborsClassifier(9).fit(X, y), X, y, X_val, y_val)
