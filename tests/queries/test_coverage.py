"""Strategies that look at distances, against loops over rows."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skfi.queries import _coverage
from skfi.queries._coverage import CoreSet, TypiClust

BOTH = [CoreSet, TypiClust]


def naive_core_set(labelled, pool, size):
    """Greedy k-centre by its definition; no ties in these data."""
    centres, chosen = list(labelled), []
    for _ in range(size):
        gaps = [min(np.linalg.norm(row - centre) for centre in centres) for row in pool]
        chosen.append(int(np.argmax(gaps)))
        centres.append(pool[chosen[-1]])
    return chosen


def naive_typicality(rows, i, k):
    others = np.delete(rows, i, axis=0)
    gaps = np.sort(np.linalg.norm(others - rows[i], axis=1))
    return 1 / gaps[:k].mean()


@pytest.mark.parametrize("seed", range(3))
def test_core_set_is_greedy_k_centre(seed):
    rng = np.random.default_rng(seed)
    labelled, pool = rng.standard_normal((4, 3)), rng.standard_normal((40, 3))
    strategy = CoreSet().fit(labelled, [0, 0, 1, 1])
    expected = naive_core_set(labelled, pool, 12)
    np.testing.assert_array_equal(strategy.query(pool, 12), expected)
    np.testing.assert_array_equal(
        CoreSet().fit(labelled[:1], [0]).query(pool, 12), naive_core_set(labelled[:1], pool, 12)
    )


def test_core_set_scores_by_distance_to_the_nearest_label():
    rng = np.random.default_rng(0)
    labelled, pool = rng.standard_normal((5, 3)), rng.standard_normal((20, 3))
    expected = [min(np.linalg.norm(row - z) for z in labelled) for row in pool]
    strategy = CoreSet().fit(labelled, [0, 0, 1, 1, 1])
    np.testing.assert_allclose(strategy.score_samples(pool), expected, rtol=1e-9)


def test_core_set_takes_copies_last():
    """Of labelled rows as of each other, and then in random order."""
    labelled = np.array([[0.0, 0.0]])
    pool = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
    batches = [CoreSet(random_state=s).fit(labelled, [0]).query(pool, 5) for s in range(30)]
    for batch in batches:
        assert batch[0] in (1, 2)
        assert batch[1] == 4
        assert sorted(batch) == [0, 1, 2, 3, 4]
    assert len({tuple(batch) for batch in batches}) > 6


def test_core_set_covers_at_most_twice_the_best():
    """The bound of greedy k-centre, against all batches of three."""
    from itertools import combinations

    rng = np.random.default_rng(1)
    labelled, pool = rng.standard_normal((2, 2)), rng.standard_normal((14, 2))
    gaps = np.linalg.norm(pool[:, None] - np.r_[labelled, pool], axis=2)

    def radius(batch):
        return gaps[:, [0, 1, *(2 + np.array(batch))]].min(axis=1).max()

    best = min(radius(batch) for batch in combinations(range(14), 3))
    assert radius(CoreSet().fit(labelled, [0, 1]).query(pool, 3)) <= 2 * best


def test_core_set_holds_no_matrix_of_distances():
    """2,000 labels and 20,000 rows would take 320 MB."""
    rng = np.random.default_rng(0)
    labelled, pool = rng.standard_normal((2000, 3)), rng.standard_normal((20000, 3))
    strategy = CoreSet().fit(labelled, np.arange(2000) % 2)
    tracemalloc.start()
    try:
        strategy.query(pool, 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_typiclust_scores_by_typicality_among_all_rows():
    rng = np.random.default_rng(0)
    labelled, pool = rng.standard_normal((4, 3)), rng.standard_normal((25, 3))
    rows = np.r_[labelled, pool]
    for k in (1, 5, 100):
        strategy = TypiClust(n_neighbors=k).fit(labelled, [0, 0, 1, 1])
        expected = [naive_typicality(rows, 4 + i, k) for i in range(25)]
        np.testing.assert_allclose(strategy.score_samples(pool), expected, rtol=1e-9)


SIZES = (30, 22, 16, 12, 9, 4)
BLOBS, BLOB = make_blobs(
    SIZES, centers=[[0, 0], [20, 0], [0, 20], [20, 20], [40, 0], [40, 40]], random_state=0
)


def blobs(*labelled_in):
    """Labelled rows, pool, and the blob of each row of the pool: one label for each given."""
    held = []
    for blob in labelled_in:
        held.append(next(i for i in np.flatnonzero(blob == BLOB) if i not in held))
    left = np.setdiff1d(np.arange(len(BLOBS)), held)
    return BLOBS[held], BLOBS[left], BLOB[left], left


@pytest.mark.parametrize(
    ("labelled_in", "expected"),
    [
        # As many clusters as blobs: the largest without a label first; the small one does
        # not even go before those that have one.
        ((0,), [1, 2, 3, 4, 0]),
        ((1, 3), [0, 2, 4, 1]),
        ((0, 1, 2, 3, 4), [0]),
        ((2, 2, 0, 4), [1, 3]),
    ],
)
def test_typiclust_visits_clusters_by_size(labelled_in, expected):
    labelled, pool, blob, _ = blobs(*labelled_in)
    strategy = TypiClust(random_state=0).fit(labelled, np.arange(len(labelled)) % 2)
    assert blob[strategy.query(pool, len(expected))].tolist() == expected


def test_typiclust_takes_the_most_typical_row_of_each():
    labelled, pool, blob, left = blobs(0)
    for k in (3, 20):
        strategy = TypiClust(n_neighbors=k, random_state=0).fit(labelled, [0])
        for row in strategy.query(pool, 5):
            members = np.flatnonzero(blob[row] == BLOB)
            typical = [naive_typicality(BLOBS[members], i, k) for i in range(len(members))]
            assert left[row] == members[np.argmax(typical)]


def test_typiclust_goes_round_where_there_are_more_rows_than_clusters():
    labelled, pool, blob, left = blobs(0, 1)
    strategy = TypiClust(max_clusters=6, random_state=0).fit(labelled, [0, 1])
    batch = strategy.query(pool, 14)
    assert blob[batch].tolist() == [2, 3, 4, 0, 1] * 2 + [2, 3, 4, 0]
    members = np.flatnonzero(BLOB == 2)
    typical = [naive_typicality(BLOBS[members], i, 20) for i in range(len(members))]
    best = members[np.argsort(typical)[::-1][:3]]
    assert left[batch[[0, 5, 10]]].tolist() == best.tolist()


def test_typiclust_takes_small_clusters_once_the_others_are_used_up():
    labelled, pool, blob, _ = blobs(0)
    strategy = TypiClust(max_clusters=6, random_state=0).fit(labelled, [0])
    batch = strategy.query(pool, len(pool))
    assert blob[batch[-4:]].tolist() == [5] * 4
    assert sorted(batch) == list(range(len(pool)))


@pytest.mark.filterwarnings("error")
def test_typiclust_with_more_clusters_than_distinct_rows():
    pool = np.repeat([[0.0], [1.0], [5.0]], 4, axis=0)
    strategy = TypiClust(random_state=0).fit([[0.0]], [0])
    assert np.isfinite(strategy.score_samples(pool)).all()
    assert sorted(strategy.query(pool, 12)) == list(range(12))


def test_typiclust_by_batches_of_rows(monkeypatch):
    """More than 50 clusters, by MiniBatchKMeans."""
    monkeypatch.setattr(_coverage, "KMeans", None)
    pool, blob = make_blobs(420, centers=60, center_box=(-500, 500), random_state=0)
    strategy = TypiClust(random_state=0).fit(pool[:1], [0])
    batch = strategy.query(pool[1:], 55)
    np.testing.assert_array_equal(strategy.query(pool[1:], 55), batch)
    assert len(set(batch)) == 55
    assert len(set(blob[1:][batch])) >= 45


def mlp():
    # A rough fit does: a fine one ends in the line search on some machines.
    return MLPClassifier(
        (6,), solver="lbfgs", alpha=1.0, tol=1e-2, max_iter=2000, random_state=0
    )


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("model", "space"),
    [
        (
            make_pipeline(StandardScaler(), LogisticRegression()),
            lambda model, X: model[0].transform(X),
        ),
        # No probabilities are needed.
        (make_pipeline(StandardScaler(), LinearSVC()), lambda model, X: model[0].transform(X)),
        (mlp(), lambda model, X: np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0)),
        (LogisticRegression(), lambda model, X: X),
    ],
    ids=["pipeline", "svc", "mlp", "linear"],
)
def test_distances_in_the_classifiers_space(kind, model, space):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 4)) * [1, 10, 0.1, 100]
    y = (X[:, 0] + X[:, 1] / 10 > 0).astype(int)
    model.fit(X[:30], y[:30])
    in_space = kind(FrozenEstimator(model), random_state=0).fit(X[:30], y[:30])
    Z = space(model, X)
    plain = kind(random_state=0).fit(Z[:30], y[:30])
    np.testing.assert_allclose(in_space.score_samples(X[30:]), plain.score_samples(Z[30:]))
    np.testing.assert_array_equal(in_space.query(X[30:], 8), plain.query(Z[30:], 8))


@pytest.mark.parametrize("kind", BOTH)
def test_labelled_rows_and_pool_may_differ_in_format(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5)) * (rng.random((60, 5)) < 0.6)
    y = np.arange(10) % 2
    expected = kind(random_state=0).fit(X[:10], y).query(X[10:], 8)
    for held in (X[:10], sparse.csr_array(X[:10]), sparse.csc_matrix(X[:10])):
        for pool in (X[10:], sparse.csr_matrix(X[10:]), sparse.coo_array(X[10:])):
            batch = kind(random_state=0).fit(held, y).query(pool, 8)
            np.testing.assert_array_equal(batch, expected)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_copies_of_labelled_rows_are_at_no_distance(form):
    X = np.random.default_rng(0).standard_normal((50, 20)) + 1e3
    strategy = CoreSet().fit(form(X), np.arange(50) % 2)
    assert (strategy.score_samples(form(X)) == 0).all()
    moved = X.copy()
    moved[:, 3] += 1e-3
    np.testing.assert_allclose(strategy.score_samples(form(moved)), 1e-3, rtol=1e-6)


@pytest.mark.parametrize("kind", BOTH)
def test_a_sparse_pool_is_never_dense(kind, monkeypatch):
    """Nor where the labelled rows are."""
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.random((300, 40)) * (rng.random((300, 40)) < 0.1))
    strategies = [
        kind(random_state=0).fit(X[:10], np.arange(10) % 2),
        kind(random_state=0).fit(X[:10].toarray(), np.arange(10) % 2),
    ]
    whole = sparse.csr_array.toarray

    def small(self, *args, **kwargs):
        assert self.shape[0] < 100 or self.shape[1] != 40  # distances may be
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(sparse.csr_array, "toarray", small)
    batches = [strategy.query(X[10:], 5) for strategy in strategies]
    np.testing.assert_array_equal(*batches)


@pytest.mark.parametrize(
    "params", [{"n_neighbors": 0}, {"max_clusters": 0}, {"n_neighbors": 2.0}]
)
def test_typiclust_refuses(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        TypiClust(**params).fit([[0.0]], [0])


@pytest.mark.parametrize("strategy", [CoreSet(), TypiClust()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("largest", [1e200, 1e308])
def test_values_whose_squares_overflow_are_refused_by_column(strategy, largest):
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(20, 3))
    pool[4, 1] = largest
    strategy = clone(strategy).fit(rng.normal(size=(6, 3)), [0, 1] * 3)
    with pytest.raises(ValueError, match=r"in column 1, whose squares overflow"):
        strategy.query(pool)
