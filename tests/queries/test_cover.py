"""Batches that cover the pool: the rule by a naive loop, its bounds, and the sampler's use."""

from __future__ import annotations

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import load_digits, make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import FIActiveSampler
from skfi.queries import _cover
from skfi.queries._cover import cover_kernel, greedy_cover


def naive_kernel(candidates, labelled, witnesses):
    """Squared distances pair by pair; (candidates, witnesses) and (witnesses,)."""
    D = np.array([[((a - b) ** 2).sum() for b in witnesses] for a in candidates])
    E = np.array([min(((a - b) ** 2).sum() for b in labelled) for a in witnesses])
    width = np.median(np.sort(D, axis=0)[min(5, len(candidates) - 1)])
    return np.exp(-D / (2 * width)), np.exp(-E / (2 * width))


def naive_batch(kernel, covered, weight, size):
    """Every gain of every candidate in every step."""
    chosen, gains = [], []
    for _ in range(size):
        gain = [
            -1.0
            if i in chosen
            else sum(w * max(0.0, k - c) for w, k, c in zip(weight, row, covered, strict=True))
            for i, row in enumerate(kernel)
        ]
        chosen.append(int(np.argmax(gain)))
        gains.append(max(gain))
        covered = np.maximum(covered, kernel[chosen[-1]])
    return chosen, gains


def draw(seed, n_candidates=12, n_labelled=6, n_rows=40, width=3):
    rng = np.random.default_rng(seed)
    witnesses = rng.normal(size=(n_rows, width))
    labelled = rng.normal(size=(n_labelled, width)) * 0.3
    return witnesses[:n_candidates], labelled, witnesses, rng.random(n_rows)


def in_blocks(witnesses, weight, size):
    for start in range(0, len(weight), size):
        yield witnesses[start : start + size], weight[start : start + size]


def coverage(kernel, covered, weight, chosen):
    return weight @ np.maximum(covered, kernel[list(chosen)].max(axis=0)) - weight @ covered


@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_blocks_are_the_naive_loop(size, form):
    for seed in range(5):
        candidates, labelled, witnesses, weight = draw(seed)
        blocks = in_blocks(form(witnesses), weight, size)
        kernel, covered, found = cover_kernel(form(candidates), form(labelled), blocks, 40)
        expected = naive_kernel(candidates, labelled, witnesses)
        np.testing.assert_allclose(kernel, expected[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(covered, expected[1], rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(found, weight)
        batch = naive_batch(*expected, weight, 8)[0]
        np.testing.assert_array_equal(greedy_cover(kernel, covered, weight, 8), batch)


def test_gains_shrink_and_are_never_negative_and_a_batch_begins_with_smaller_ones():
    for seed in range(20):
        candidates, labelled, witnesses, weight = draw(seed)
        kernel, covered = naive_kernel(candidates, labelled, witnesses)
        batch = greedy_cover(kernel, covered, weight, 12)
        assert sorted(batch) == list(range(12))
        gains = naive_batch(kernel, covered, weight, 12)[1]
        assert (np.array(gains) >= 0).all()
        assert (np.diff(gains) <= 1e-12).all()
        for size in (1, 5, 11):
            np.testing.assert_array_equal(
                greedy_cover(kernel, covered, weight, size), batch[:size]
            )


def test_the_greedy_batch_is_near_the_best_of_its_size():
    """At least 1 - 1/e of the largest coverage (Nemhauser et al. 1978)."""
    for seed in range(5):
        candidates, labelled, witnesses, weight = draw(seed)
        cover = *naive_kernel(candidates, labelled, witnesses), weight
        best = max(coverage(*cover, chosen) for chosen in combinations(range(12), 3))
        assert coverage(*cover, greedy_cover(*cover, 3)) >= (1 - np.exp(-1)) * best


def test_rows_that_add_nothing_come_last_in_their_order():
    candidates, labelled, witnesses, weight = draw(0)
    rows = np.vstack([candidates[:3], candidates[:3], labelled[:1], candidates[3:]])
    kernel, covered = naive_kernel(rows, labelled, witnesses)
    batch = greedy_cover(kernel, covered, weight, len(rows))
    assert batch[-4:].tolist() == sorted(batch[-4:])
    assert 6 in batch[-4:]
    np.testing.assert_array_equal(greedy_cover(kernel, covered, 0 * weight, 4), range(4))


# --- The sampler ---


@pytest.fixture(scope="module")
def data():
    X, y = make_classification(
        330, 8, n_informative=6, n_redundant=0, n_classes=3, random_state=0
    )
    return X[:30], y[:30], X[30:]


def expected_batch(sampler, features, labelled, pool, size):
    """The rule as it is documented, of the sampler's own scores and probabilities."""
    scores = sampler.score_samples(pool)
    p = np.sort(sampler.estimator_.predict_proba(pool), axis=1)
    best = np.argsort(-scores)[: 5 * size]
    kernel, covered = naive_kernel(features(pool)[best], features(labelled), features(pool))
    return best[naive_batch(kernel, covered, 1 - (p[:, -1] - p[:, -2]), size)[0]]


@pytest.mark.parametrize("size", [1, 5, 20])
def test_batches_are_the_naive_loop_where_the_classifier_sees_the_rows(data, size):
    X, y, pool = data
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    for model, step in ((LogisticRegression(), 0), (scaled, 1)):
        sampler = FIActiveSampler(model, batch_size=size, random_state=0).fit(X, y)
        steps = sampler.estimator_[0].transform if step else lambda X: X / pool.std(axis=0)
        expected = expected_batch(sampler, steps, X, pool, size)
        asked, utilities = sampler.query(pool, return_utilities=True)
        np.testing.assert_array_equal(asked, expected)
        np.testing.assert_array_equal(utilities, sampler.score_samples(pool))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("params", ["last_layer", "all"])
def test_networks_measure_distances_before_the_last_layer(data, params):
    pytest.importorskip("torch")
    X, y, pool = (part[:60] for part in data)
    model = MLPClassifier(6, activation="tanh", max_iter=50, random_state=0).fit(X, y)
    sampler = FIActiveSampler(FrozenEstimator(model), params=params, batch_size=4)
    sampler.fit(X, y)

    def features(rows):
        return np.tanh(rows @ model.coefs_[0] + model.intercepts_[0])

    expected = expected_batch(sampler, features, X, pool, 4)
    np.testing.assert_array_equal(sampler.query(pool), expected)


def test_pools_of_copies(data):
    X, y, pool = data
    sampler = FIActiveSampler(batch_size=10, random_state=0).fit(X, y)
    copies = np.repeat(pool[:2], 30, axis=0)
    asked = sampler.query(copies)
    assert len(set(asked)) == 10
    assert set(asked[:2] // 30) == {0, 1}
    assert len(set(sampler.query(np.repeat(pool[:1], 30, axis=0)))) == 10


@pytest.fixture
def few_witnesses(monkeypatch):
    monkeypatch.setattr(_cover, "_MOST_WITNESSES", 800)
    monkeypatch.setattr(_cover, "_CELLS", 0)
    monkeypatch.setattr(_cover, "_LEAST_WITNESSES", 800)


def test_a_sample_of_the_pool_stands_for_it(few_witnesses):
    """A batch that covers 800 of 1,647 rows covers most of what one for all of them does."""
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    X, y, pool = X[:150], y[:150], X[150:]
    sampler = FIActiveSampler(LogisticRegression(max_iter=500), batch_size=20, random_state=3)
    asked = sampler.fit(X, y).query(pool)
    np.testing.assert_array_equal(asked, sampler.query(pool))
    p = np.sort(sampler.estimator_.predict_proba(pool), axis=1)
    weight = 1 - (p[:, -1] - p[:, -2])
    best = np.argsort(-sampler.score_samples(pool))[:100]
    scale = pool.std(axis=0) + (pool.std(axis=0) == 0)
    cover = cover_kernel(pool[best] / scale, X / scale, [(pool / scale, weight)], len(pool))
    position = {row: i for i, row in enumerate(best)}
    whole = coverage(*cover, greedy_cover(*cover, 20))
    assert coverage(*cover, [position[row] for row in asked]) > 0.8 * whole
    with config_context(working_memory=0.05):
        np.testing.assert_array_equal(asked, sampler.query(pool))


def test_memory_is_a_few_numbers_a_row_of_the_pool(few_witnesses):
    """At the same shortlist and sample a row adds its score, its place and its draw."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), np.arange(40) % 2
    pool = rng.normal(size=(60_000, 4))
    sampler = FIActiveSampler(aggregate="mean", batch_size=20, random_state=0).fit(X, y)
    peaks = []
    with config_context(working_memory=1):
        for size in (20_000, 60_000):
            sampler.query(pool[:size])
            tracemalloc.start()
            sampler.query(pool[:size])
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < 40_000 * 64
    assert peaks[1] < 8 * 2**20
