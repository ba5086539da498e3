"""The toy sets and the hard pools: sizes, shares, where rows come from, seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import norm
from sklearn.datasets import load_digits, make_moons

from skfi.datasets import (
    make_crescents,
    make_redundant,
    make_repeated,
    make_two_gaussians,
    make_unbalanced,
)

TOYS = (make_two_gaussians, make_crescents)


def labelled(n=90, seed=0):
    """Rows that hold their own position, and names of three classes in thirds."""
    X = np.arange(2.0 * n).reshape(n, 2)
    y = np.random.default_rng(seed).permutation(np.repeat(["a", "b", "c"], n // 3))
    return X, y


@pytest.mark.parametrize("seed", [0, 3])
def test_crescents_are_the_moons(seed):
    for actual, expected in zip(
        make_crescents(600, noise=0.2, random_state=seed),
        make_moons(600, noise=0.2, random_state=seed),
        strict=True,
    ):
        np.testing.assert_array_equal(actual, expected)
    X, _ = make_crescents(random_state=seed)
    np.testing.assert_array_equal(X, make_moons(1000, noise=0.35, random_state=seed)[0])


@pytest.mark.parametrize(("separation", "std"), [(3.55, 1.0), (1.0, 0.5), (2.0, 3.0)])
def test_gaussians_have_the_stated_moments_and_accuracy(separation, std):
    X, y = make_two_gaussians(100_000, separation=separation, std=std, random_state=0)
    means = np.array([X[y == label].mean(axis=0) for label in (0, 1)])
    np.testing.assert_allclose(means[0], -means[1], atol=0.03 * std)
    assert np.linalg.norm(means[1] - means[0]) == pytest.approx(separation * std, rel=0.02)
    for label in (0, 1):
        cov = np.cov(X[y == label].T)
        np.testing.assert_allclose(cov, std**2 * np.eye(2), atol=0.03 * std**2)
    right = ((X.sum(axis=1) > 0) == y).mean()
    assert right == pytest.approx(norm.cdf(separation / 2), abs=0.005)


def test_default_gaussians_have_the_papers_accuracy():
    assert norm.cdf(3.55 / 2) == pytest.approx(0.9622, abs=5e-4)


@settings(max_examples=20, deadline=None)
@given(maker=st.sampled_from(TOYS), n=st.integers(1, 60), seed=st.integers(0, 9))
def test_toys_have_shapes_and_seeds(maker, n, seed):
    X, y = maker(n, random_state=seed)
    assert X.shape == (n, 2)
    assert np.bincount(y, minlength=2).tolist() == [n // 2, n - n // 2]
    again, _ = maker(n, random_state=np.random.RandomState(seed))
    np.testing.assert_array_equal(X, again)
    other, _ = maker(n, random_state=seed + 1)
    assert (other != X).any()


@pytest.mark.parametrize("maker", TOYS)
def test_toys_take_a_count_for_each_class(maker):
    _, y = maker((7, 20), random_state=0)
    assert np.bincount(y).tolist() == [7, 20]
    assert (np.diff(y) < 0).any()  # shuffled
    for wrong in ((1, 2, 3), (-1, 4), (0, 0), (1.5, 2)):
        with pytest.raises(ValueError, match="n_samples"):
            maker(wrong)


@pytest.mark.parametrize(
    ("maker", "params"),
    [
        (make_two_gaussians, {"n_samples": 0}),
        (make_two_gaussians, {"separation": -1.0}),
        (make_two_gaussians, {"std": 0.0}),
        (make_crescents, {"n_samples": 2.5}),
        (make_crescents, {"noise": -0.1}),
    ],
)
def test_toys_refuse_settings_out_of_range(maker, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        maker(**params)


def test_unbalanced_has_the_papers_shares():
    X, y = load_digits(return_X_y=True)
    ratios = [1] * 5 + [10] * 5
    X_new, y_new, rows = make_unbalanced(X, y, ratios, n_samples=550, random_state=0)
    assert np.bincount(y_new).tolist() == [10] * 5 + [100] * 5
    np.testing.assert_array_equal(X_new, X[rows])
    np.testing.assert_array_equal(y_new, y[rows])
    assert (np.diff(rows) > 0).all()
    _, _, again = make_unbalanced(X, y, ratios, n_samples=550, random_state=0)
    _, _, other = make_unbalanced(X, y, ratios, n_samples=550, random_state=1)
    assert (rows == again).all()
    assert (rows != other).any()


@settings(max_examples=30, deadline=None)
@given(
    ratios=st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any),
    seed=st.integers(0, 99),
)
def test_unbalanced_takes_as_many_as_there_are(ratios, seed):
    X, y = labelled()
    _, y_new, rows = make_unbalanced(X, y, ratios, random_state=seed)
    counts = np.array([(y_new == label).sum() for label in "abc"])
    assert counts.max() == 30  # classes are of one size, so the largest share is the limit
    off = counts - 30 * np.array(ratios) / max(ratios)
    assert np.abs(off).max() <= 0.5 + 1e-9  # either way at one half
    assert len(np.unique(rows)) == len(rows)


def test_unbalanced_by_label():
    X, y = labelled()
    _, y_new, _ = make_unbalanced(X, y, {"c": 2, "a": 1}, n_samples=30, random_state=0)
    assert (y_new == "c").sum() == 20
    assert (y_new == "a").sum() == 10


def test_each_row_is_as_likely_as_others():
    X, y = labelled(30)
    drawn = np.zeros(30)
    for seed in range(400):
        drawn[make_unbalanced(X, y, [1, 1, 1], n_samples=15, random_state=seed)[2]] += 1
    assert np.abs(drawn / 400 - 0.5).max() < 0.1  # four standard errors


def test_redundant_keeps_two_classes_and_calls_the_rest_neither():
    X, y = load_digits(return_X_y=True)
    X_new, y_new, rows = make_redundant(X, y, [7, 1], random_state=0)
    fewest = min((y == 1).sum(), (y == 7).sum())
    assert [(y_new == label).sum() for label in (1, 7)] == [fewest, fewest]
    assert (y_new == -1).sum() == (~np.isin(y, [1, 7])).sum()
    np.testing.assert_array_equal(X_new, X[rows])
    np.testing.assert_array_equal(y_new, np.where(np.isin(y[rows], [1, 7]), y[rows], -1))


def test_redundant_with_names():
    X, y = labelled()
    X, y = X[:-5], y[:-5]
    for params in ({}, {"other_label": "something else"}):
        name = params.get("other_label", "neither")
        _, y_new, rows = make_redundant(X, y, ["b"], n_other=11, random_state=0, **params)
        assert (y_new == name).sum() == 11
        assert (y_new == "b").sum() == (y == "b").sum()
        np.testing.assert_array_equal(y_new == "b", y[rows] == "b")
    everything = make_redundant(X, y, ["a", "b", "c"])[1]
    assert np.unique(everything).tolist() == ["a", "b", "c"]


def test_repeated_puts_copies_behind_the_rows():
    X, y = labelled()
    X_new, y_new, rows = make_repeated(X, y, 3, noise=[0.1, 0.5], random_state=0)
    assert X_new.shape == (360, 2)
    np.testing.assert_array_equal(rows, np.tile(np.arange(90), 4))
    np.testing.assert_array_equal(y_new, y[rows])
    np.testing.assert_array_equal(X_new[:90], X)
    np.testing.assert_allclose((X_new - X[rows])[90:].std(axis=0), [0.1, 0.5], rtol=0.15)
    np.testing.assert_array_equal(make_repeated(X, y, 0)[0], X)


def test_repeated_images_and_sparse_rows():
    images = np.zeros((6, 4, 5), dtype=np.float32)
    X_new, *_ = make_repeated(images, np.arange(6) % 2, random_state=0)
    assert X_new.shape == (18, 4, 5)
    assert X_new.dtype == np.float32
    assert (X_new[6:] != 0).all()
    X = sparse.csc_array(sparse.random(6, 9, density=0.4, random_state=0))
    X_new, *_ = make_repeated(X, np.arange(6) % 2, 1, random_state=0)
    assert X_new.shape == (12, 9)
    np.testing.assert_array_equal(X_new.toarray()[6:] != 0, X.toarray() != 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda X, y: make_unbalanced(X, y, [1, 2, 3], random_state=0),
        lambda X, y: make_redundant(X, y, ["a"], n_other=9, random_state=0),
        lambda X, y: make_repeated(X, y, random_state=0),
    ],
)
def test_pools_leave_their_input_and_keep_containers(call):
    pd = pytest.importorskip("pandas")
    X, y = labelled()
    before = X.copy(), y.copy()
    plain, labels, rows = call(X, y)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    frame = pd.DataFrame({"u": X[:, 0], "v": X[:, 1]}).assign(name=y)
    kept = frame.copy()
    new, new_labels, new_rows = call(frame, pd.Series(y, name="label"))
    pd.testing.assert_frame_equal(frame, kept)
    assert new.columns.tolist() == ["u", "v", "name"]
    pd.testing.assert_series_equal(new.dtypes, frame.dtypes)
    assert new["name"].tolist() == y[rows].tolist()
    np.testing.assert_array_equal(new_rows, rows)
    np.testing.assert_array_equal(new_labels, labels)
    n = len(y)
    np.testing.assert_array_equal(new[["u", "v"]][:n].to_numpy(), plain[:n])
    as_lists = call(X.tolist(), y.tolist())
    np.testing.assert_array_equal(as_lists[0], plain)
    np.testing.assert_array_equal(as_lists[1], labels)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda X, y: make_unbalanced(X, y, [1, 2]), "ratios has shape"),
        (lambda X, y: make_unbalanced(X, y, [1, -2, 3]), "ratios must be"),
        (lambda X, y: make_unbalanced(X, y, [0, 0, 0]), "ratios must be"),
        (lambda X, y: make_unbalanced(X, y, {"d": 1}), "ratios names"),
        (lambda X, y: make_unbalanced(X, y, [1, 1, 8], n_samples=60), "48 rows of class 'c'"),
        (lambda X, y: make_unbalanced(X[:-1], y, [1, 1, 1]), "inconsistent"),
        (lambda X, y: make_redundant(X, y, ["d"]), "relevant holds"),
        (lambda X, y: make_redundant(X, y, []), "relevant is empty"),
        (lambda X, y: make_redundant(X, y, ["a"], other_label="b"), "other_label='b' is a"),
        (lambda X, y: make_redundant(X, y, ["a"], other_label=-1), "not of the type"),
        (lambda X, y: make_redundant(X, y, ["a"], n_other=61), "n_other=61"),
        (lambda X, y: make_repeated(X, y, -1), "n_copies"),
        (lambda X, y: make_repeated(X, y, noise=-1.0), "noise must be"),
        (lambda X, y: make_repeated(X, y, noise=[1.0, 2.0, 3.0]), "noise must be"),
    ],
)
def test_pools_name_what_is_wrong(call, told):
    with pytest.raises(ValueError, match=told):
        call(*labelled())
