"""FIActiveSampler: what it scores, how it chooses, and what it refuses."""

from __future__ import annotations

import pickle
from itertools import product

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier
from sklearn.svm import SVC

from skfi import FIActiveSampler, fi_active, fi_pairwise
from tests.conftest import make_split

PAPER = dict(
    utility="fi",
    selection="top",
    aggregate="trimmed_mean",
    validation_loss="log_loss",
    curvature="kfac",
)
EXACT = dict(tol=1e-12, max_iter=10_000)


@pytest.fixture(scope="module")
def data():
    X, y, V, _, _ = make_split(3, n=60, n_val=90)
    return X, y, V


def test_algorithm_2(data):
    X, y, pool = data
    sampler = FIActiveSampler(**PAPER, batch_size=7).fit(X, y)
    scores = fi_active(sampler.estimator_, X, y, pool, curvature="kfac")
    np.testing.assert_allclose(sampler.score_samples(pool), scores, rtol=1e-12)
    asked, utilities = sampler.query(pool, return_utilities=True)
    np.testing.assert_array_equal(asked, np.argsort(-scores)[:7])
    np.testing.assert_allclose(utilities, scores, rtol=1e-12)
    assert sampler.influence_details_.curvature == "kfac"


def test_algorithm_4(data):
    """A random share is scored, a forest learns their ranks and predicts all rows'."""
    X, y, pool = data
    sampler = FIActiveSampler(**PAPER, subsample=0.3, random_state=3).fit(X, y)
    found = sampler.score_samples(pool)
    rng = np.random.RandomState(3)
    drawn = np.flatnonzero(rng.uniform(size=len(pool)) < 0.3)
    scores = fi_active(sampler.estimator_, X, y, pool[drawn], curvature="kfac")
    ranks = np.argsort(np.argsort(scores)) + 1
    forest = RandomForestRegressor(random_state=rng).fit(pool[drawn], ranks)
    np.testing.assert_allclose(found, forest.predict(pool))
    asked = sampler.query(pool, 5)
    assert set(asked) == set(np.argsort(-found)[:5])
    few = FIActiveSampler(**PAPER, subsample=1e-9, random_state=0).fit(X, y)
    assert np.isfinite(few.score_samples(pool)).all()


@pytest.mark.parametrize("aggregate", ["row_trimmed_mean", "trimmed_mean"])
def test_fi_margin(data, aggregate):
    X, y, pool = data
    settings = dict(aggregate=aggregate, validation_loss="expected_error")
    sampler = FIActiveSampler(utility="fi_margin", **settings).fit(X, y)
    proba = np.sort(sampler.estimator_.predict_proba(pool), axis=1)
    fi = fi_active(sampler.estimator_, X, y, pool, **settings)
    expected = fi * (1 - (proba[:, -1] - proba[:, -2]))
    np.testing.assert_allclose(sampler.score_samples(pool), expected, rtol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_flip_ratio(n_classes):
    """FI of log P_1 - log P_2 is that of two losses' difference: seen by refits."""
    X, y, pool, _, _ = make_split(n_classes, n=40, n_val=12)
    model = LogisticRegression(**EXACT).fit(X, y)
    sampler = FIActiveSampler(FrozenEstimator(model), utility="flip_ratio", aggregate="mean")
    found = sampler.fit(X, y).score_samples(pool)
    log_p = model.predict_log_proba(pool)
    order = np.argsort(-log_p, axis=1)
    apart = np.take_along_axis(log_p, order[:, :2], 1)
    # A loss whose gradient in log P is e_1 - e_2 at the two most probable classes.

    def difference(codes, log_proba):
        gradient = np.zeros_like(log_proba)
        top = np.argsort(-log_proba, axis=1)
        rows = np.arange(len(codes))
        gradient[rows, top[:, 0]], gradient[rows, top[:, 1]] = 1.0, -1.0
        return np.zeros(len(codes)), gradient

    pairs = fi_pairwise(model, X, y, pool, validation_loss=difference)
    expected = np.sqrt(pairs.mean(axis=1)) / (apart[:, 0] - apart[:, 1])
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_diverse_batches_hold_no_duplicates(data):
    """The paper's top repeats a row as often as the pool does; a spread batch does not."""
    X, y, pool = data
    repeated = np.repeat(pool[:30], 5, axis=0)
    top = FIActiveSampler(selection="top", batch_size=5, random_state=0).fit(X, y)
    assert len(np.unique(top.query(repeated) // 5)) == 1
    for utility, selection in product(("fi", "flip_ratio"), ("cover", "diverse")):
        settings = dict(utility=utility, selection=selection, batch_size=20, random_state=0)
        sampler = FIActiveSampler(**settings).fit(X, y)
        asked = sampler.query(repeated)
        assert len(np.unique(asked // 5)) == 20
    everything = sampler.query(repeated, len(repeated))
    np.testing.assert_array_equal(np.sort(everything), np.arange(len(repeated)))


@pytest.mark.parametrize("utility", ["fi", "fi_margin", "flip_ratio"])
def test_diverse_starts_at_the_highest_score(data, utility):
    X, y, pool = data
    sampler = FIActiveSampler(utility=utility, selection="diverse", random_state=0).fit(X, y)
    scores = sampler.score_samples(pool)
    assert sampler.query(pool)[0] == scores.argmax()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("aggregate", ["trimmed_mean", "mean"])
def test_diverse_batches_of_enormous_scores(aggregate):
    """Of a fit that is sure of its rows; they must not overflow when squared."""
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(C=1e6, max_iter=10_000)
    sampler = FIActiveSampler(model, batch_size=5, aggregate=aggregate, random_state=0)
    sampler.set_params(selection="diverse", shortlist=None).fit(X[::2], y[::2])
    assert sampler.score_samples(X[1::2]).max() > 1e120
    assert len(set(sampler.query(X[1::2]))) == 5


def test_power_draws_by_score(data):
    X, y, pool = data
    sampler = FIActiveSampler(selection="power", batch_size=9).fit(X, y)
    scores = sampler.score_samples(pool)
    rng = np.random.RandomState(0)
    sampler.set_params(random_state=rng)
    times = np.zeros(len(pool))
    for _ in range(400):
        times[sampler.query(pool, 1)] += 1
    np.testing.assert_allclose(times / 400, scores / scores.sum(), atol=0.06)
    expected = scores / scores.sum()
    assert np.corrcoef(times, expected)[0, 1] > 0.8  # 0 for uniform draws


@pytest.mark.filterwarnings("error")
def test_a_loaded_sampler_gives_no_warning_again(data):
    X, y, pool = data
    with pytest.warns(ConvergenceWarning):
        sampler = FIActiveSampler(LogisticRegression(max_iter=2), random_state=0).fit(X, y)
    pickle.loads(pickle.dumps(sampler)).query(pool)


def test_one_versus_one_has_a_bridge_and_needs_no_probabilities(data):
    X, y, pool = data
    sampler = FIActiveSampler(OneVsOneClassifier(LogisticRegression()), batch_size=3)
    assert len(set(sampler.fit(X, y).query(pool))) == 3


def test_a_refit_on_one_class_keeps_nothing(data):
    X, y, pool = data
    sampler = FIActiveSampler(random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="All labels are of one class"):
        sampler.fit(X[:3], [1, 1, 1])
    assert not hasattr(sampler, "influence_details_")
    assert len(sampler.query(pool)) == 1


@pytest.mark.parametrize("form", ["coo", "bsr", "dia"])
def test_sparse_formats_without_slices(data, form):
    X, y, pool = data
    sampler = FIActiveSampler(batch_size=5, random_state=0).fit(X, y)
    expected = sampler.query(pool)
    sparse_pool = sparse.csr_array(pool).asformat(form)
    np.testing.assert_array_equal(sampler.query(sparse_pool), expected)
    with config_context(working_memory=0.01):
        found = fi_active(sampler.estimator_, X, y, sparse_pool)
    np.testing.assert_allclose(found, fi_active(sampler.estimator_, X, y, pool), rtol=1e-9)


def test_it_helps_on_digits():
    """Twenty rounds of ten: ahead of random draws, on average over a few seeds."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    ahead = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(y))
        test, pool = order[:600], order[600:]
        areas = []
        for asks in (True, False):
            labelled = list(pool[:20])
            rng, area = np.random.default_rng(seed), []
            for _ in range(8):
                model = LogisticRegression(max_iter=500).fit(X[labelled], y[labelled])
                area.append(model.score(X[test], y[test]))
                left = np.setdiff1d(pool, labelled)
                sampler = FIActiveSampler(
                    FrozenEstimator(model), batch_size=10, random_state=seed
                ).fit(X[labelled], y[labelled])
                asked = sampler.query(X[left]) if asks else rng.permutation(len(left))[:10]
                labelled += list(left[asked])
            areas.append(np.mean(area))
        ahead.append(areas[0] - areas[1])
    assert np.mean(ahead) > 0.01


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (dict(utility="margin"), ValueError, "'utility' parameter"),
        (dict(selection="best"), ValueError, "'selection' parameter"),
        (dict(aggregate="middle"), ValueError, "aggregate='middle'"),
        (dict(curvature="cg"), ValueError, "'curvature' parameter"),
        (dict(batch_size=0), ValueError, "'batch_size' parameter"),
        (dict(selection="diverse", subsample=0.2), ValueError, "needs vectors"),
        (dict(subsample=1.5), ValueError, "'subsample' parameter"),
        (dict(validation_loss="hinge"), ValueError, "validation_loss='hinge'"),
        (dict(damping=-1.0), ValueError, "damping=-1.0"),
        (dict(approximation="kfsvd", n_components=2), ValueError, "is for networks"),
        (dict(approximation="kfsvd"), ValueError, "n_components=None"),
        (dict(estimator=RandomForestClassifier()), TypeError, "Query by .* train RandomFor"),
        (dict(estimator=SVC()), TypeError, "SVC"),
    ],
)
def test_refusals_leave_nothing_behind(data, settings, error, message):
    X, y, pool = data
    sampler = FIActiveSampler(**settings)
    with pytest.raises(error, match=message):
        sampler.fit(X, y)
    with pytest.raises(NotFittedError):
        sampler.query(pool)
    assert not [name for name in vars(sampler) if name.endswith("_")]


def test_pools_that_are_refused(data):
    X, y, pool = data
    sampler = FIActiveSampler().fit(X, y)
    with pytest.raises(TypeError, match="X_pool must be the rows of a pool, got list_iter"):
        sampler.query(iter([pool]))
    with pytest.raises(TypeError, match="X_pool must be the rows of a pool, got NoneType"):
        sampler.score_samples(None)
    with pytest.raises(ValueError, match="1D array"):
        sampler.query(pool[0])


def test_the_settings_of_the_paper_are_in_the_docstring():
    doc = " ".join(FIActiveSampler.__doc__.split())
    assert all(f'{key}="{value}"' in doc for key, value in PAPER.items())
