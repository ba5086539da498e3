"""Planted noise: how much, where, of what kind, and that inputs stay as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import spearmanr

from skfi.datasets import add_feature_noise, flip_columns, flip_labels

NAMES = np.array(["cat", "dog", "horse"])


def three(n=3000, seed=0):
    return NAMES[np.random.default_rng(seed).integers(0, 3, n)]


def confusion(y, y_noisy):
    return np.array([[((y == a) & (y_noisy == b)).sum() for b in NAMES] for a in NAMES])


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 80),
    rate=st.floats(0, 1),
    kind=st.sampled_from(["uniform", "pairwise", "instance"]),
    seed=st.integers(0, 99),
)
def test_exactly_the_share_is_flipped(n, rate, kind, seed):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 4) * 10
    k = len(np.unique(y))
    proba = rng.dirichlet(np.ones(k), n) if kind == "instance" else None
    before = y.copy()
    y_noisy, flipped = flip_labels(y, rate, kind=kind, proba=proba, random_state=seed)
    np.testing.assert_array_equal(y, before)
    np.testing.assert_array_equal(flipped, y_noisy != y)
    assert flipped.sum() == round(rate * n)
    assert set(y_noisy) <= set(y)
    assert y_noisy.dtype == y.dtype
    again, _ = flip_labels(y, rate, kind=kind, proba=proba, random_state=seed)
    np.testing.assert_array_equal(again, y_noisy)


def test_uniform_takes_rows_and_other_classes_alike():
    y = three()
    y_noisy, flipped = flip_labels(y, 0.5, random_state=0)
    counts = confusion(y, y_noisy)
    shares = counts / counts.sum(axis=1, keepdims=True)
    expected = np.where(np.eye(3, dtype=bool), 0.5, 0.25)
    np.testing.assert_allclose(shares, expected, atol=0.06)  # four standard errors
    other = flip_labels(y, 0.5, random_state=1)[1]
    assert (flipped != other).any()


def test_pairwise_goes_to_the_class_that_follows():
    y = three()
    y_noisy, flipped = flip_labels(y, 0.3, kind="pairwise", random_state=0)
    following = {"cat": "dog", "dog": "horse", "horse": "cat"}
    assert y_noisy[flipped].tolist() == [following[label] for label in y[flipped]]


def test_class_conditional_follows_the_matrix():
    y = three(12_000)
    T = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.1, 0.5, 0.4]])
    y_noisy, flipped = flip_labels(y, kind="class_conditional", transition=T, random_state=0)
    counts = confusion(y, y_noisy)
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), T, atol=0.03)
    assert (counts[T == 0] == 0).all()
    np.testing.assert_array_equal(flipped, y_noisy != y)


def test_classes_give_the_order_of_the_matrix():
    T = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    order = ["horse", "cat", "dog"]
    y_noisy, _ = flip_labels(
        ["cat", "horse", "cat"], kind="class_conditional", transition=T, classes=order
    )
    assert y_noisy.tolist() == ["dog", "cat", "dog"]
    only, flipped = flip_labels(["a", "a"], 1.0, classes=["a", "a longer name"])
    assert only.tolist() == 2 * ["a longer name"]
    assert flipped.all()


def test_instance_noise_grows_towards_the_boundary():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([0.6, 0.6, 0.6], 60)
    y = NAMES[rng.integers(0, 3, 60)]
    often = np.zeros(60)
    for seed in range(1000):
        y_noisy, flipped = flip_labels(y, 0.2, kind="instance", proba=proba, random_state=seed)
        often += flipped
        for i in np.flatnonzero(flipped):
            others = [j for j in range(3) if NAMES[j] != y[i]]
            assert y_noisy[i] == NAMES[max(others, key=lambda j, i=i: proba[i, j])]
    margin = np.diff(np.sort(proba, axis=1)[:, -2:], axis=1).ravel()
    assert spearmanr(often, margin).statistic < -0.95


def test_instance_noise_takes_sure_rows_last():
    proba = np.array(5 * [[0.4, 0.6]] + 5 * [[0.0, 1.0]])
    for size in (5, 7):
        y = np.arange(10) % 2
        _, flipped = flip_labels(y, size / 10, kind="instance", proba=proba, random_state=0)
        assert flipped[:5].all()
        assert flipped.sum() == size


@pytest.mark.parametrize("dtype", [None, "category", "string"])
def test_series_of_labels_stay_series(dtype):
    pd = pytest.importorskip("pandas")
    y = pd.Series(three(40), index=np.arange(40)[::-1], name="animal", dtype=dtype)
    before = y.copy()
    y_noisy, flipped = flip_labels(y, 0.25, random_state=0)
    pd.testing.assert_series_equal(y, before)
    assert y_noisy.dtype == y.dtype
    assert y_noisy.name == "animal"
    assert y_noisy.index.equals(y.index)
    assert (y_noisy != y).sum() == flipped.sum() == 10
    plain, mask = flip_labels(three(40), 0.25, random_state=0)
    assert y_noisy.tolist() == plain.tolist()
    np.testing.assert_array_equal(flipped, mask)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"rate": 1.5}, "rate"),
        ({"kind": "symmetric"}, "kind"),
        ({"kind": "class_conditional"}, "transition is needed"),
        ({"kind": "instance"}, "proba is needed"),
        ({"transition": np.eye(3)}, "transition is not used"),
        ({"proba": np.ones((6, 3)) / 3}, "proba is not used"),
        ({"kind": "class_conditional", "transition": np.eye(2)}, "transition has shape"),
        ({"kind": "class_conditional", "transition": 2 * np.eye(3)}, "of transition must"),
        ({"kind": "instance", "proba": np.ones((5, 3)) / 3}, "proba has shape"),
        ({"kind": "instance", "proba": [[2.0, -1.0, 0.0]] * 6}, "of proba must"),
        ({"classes": ["cat", "dog"]}, "classes lacks"),
        ({"classes": ["cat", "dog", "horse", "dog"]}, "classes has a label twice"),
        ({"y": ["cat", "cat"]}, "labels \\['cat'\\] only"),
        ({"y": [0.5, 0.2, 1.7]}, "continuous"),
    ],
)
def test_flip_labels_names_what_is_wrong(params, told):
    with pytest.raises(ValueError, match=told):
        flip_labels(**{"y": np.tile(NAMES, 2), **params})


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 5)),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_feature_noise_touches_exactly_the_share(shape, share, seed):
    X = np.random.default_rng(seed).normal(size=shape)
    before = X.copy()
    X_noisy, noisy = add_feature_noise(X, share, random_state=seed)
    np.testing.assert_array_equal(X, before)
    assert noisy.sum() == round(share * len(X))
    np.testing.assert_array_equal((X_noisy != X).all(axis=1), noisy)
    np.testing.assert_array_equal((X_noisy != X).any(axis=1), noisy)
    again, _ = add_feature_noise(X, share, random_state=seed)
    np.testing.assert_array_equal(X_noisy, again)


def test_feature_noise_has_the_papers_variance():
    X = np.zeros((5000, 20), dtype=np.float32)
    X_noisy, noisy = add_feature_noise(X, random_state=0)
    assert noisy.sum() == 500
    assert X_noisy.dtype == np.float32
    assert X_noisy[noisy].var() == pytest.approx(0.1, rel=0.06)
    assert abs(X_noisy[noisy].mean()) < 0.015
    assert abs(np.corrcoef(X_noisy[noisy].T)[0, 1]) < 0.2


def test_feature_noise_on_some_columns_with_their_scales():
    X = np.zeros((4000, 3), dtype=int)
    for columns, scale in (([0, -1], [0.5, 2.0]), ([2, 0], [2.0, 0.5])):
        for rows in (X, sparse.csr_array(X + 1)):
            X_noisy, _ = add_feature_noise(rows, 1.0, scale, columns=columns, random_state=0)
            assert X_noisy.dtype == np.float64
            dense = X_noisy.toarray() if sparse.issparse(X_noisy) else X_noisy
            np.testing.assert_allclose(dense.std(axis=0), [0.5, 0.0, 2.0], rtol=0.05)


def test_rows_are_drawn_evenly():
    X = np.resize([0, 1], (12, 1))
    drawn = np.zeros((2, 12))
    for seed in range(400):
        drawn[0] += add_feature_noise(X, 0.25, random_state=seed)[1]
        drawn[1] += flip_columns(X, 1, 0.25, random_state=seed)[1]
    assert np.abs(drawn / 400 - 0.25).max() < 0.09  # four standard errors


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_feature_noise_keeps_zeros_of_sparse_rows(form):
    X = sparse.csr_array(sparse.random(400, 30, density=0.3, random_state=0)).asformat(form)
    before = X.toarray()
    X_noisy, noisy = add_feature_noise(X, 0.5, 2.0, columns=np.arange(29), random_state=0)
    np.testing.assert_array_equal(X.toarray(), before)
    assert sparse.issparse(X_noisy)
    change = X_noisy.toarray() - before
    hit = noisy[:, None] & (before != 0)
    hit[:, 29] = False
    np.testing.assert_array_equal(change != 0, hit)
    assert change[hit].std() == pytest.approx(2.0, rel=0.07)


def test_sparse_values_stored_in_parts_get_one_noise():
    n = 4000
    starts = np.arange(0, 2 * n + 1, 2)
    X = sparse.csr_array((np.ones(2 * n), np.zeros(2 * n, dtype=int), starts), shape=(n, 1))
    X_noisy, _ = add_feature_noise(X, 1.0, 1.0, random_state=0)
    assert X.nnz == 2 * n
    assert X_noisy.toarray().std() == pytest.approx(1.0, rel=0.05)


def test_feature_noise_keeps_columns_of_frames():
    pd = pytest.importorskip("pandas")
    n = 60
    frame = pd.DataFrame(
        {
            "age": np.arange(n),
            "height": np.linspace(1, 2, n).astype(np.float32),
            "town": np.resize(["Ulm", "Bonn"], n),
            "member": np.resize([True, False], n),
            "gap": pd.array(np.resize([1.5, np.nan], n), dtype="Float64"),
        },
        index=np.arange(n) + 100,
    )
    before = frame.copy()
    new, noisy = add_feature_noise(frame, 0.5, 0.3, random_state=0)
    pd.testing.assert_frame_equal(frame, before)
    assert new.columns.equals(frame.columns)
    assert new.index.equals(frame.index)
    assert new.dtypes.drop("age").equals(frame.dtypes.drop("age"))
    assert new["age"].dtype == np.float64
    pd.testing.assert_frame_equal(new[["town", "member"]], frame[["town", "member"]])
    for name in ("age", "height"):
        np.testing.assert_array_equal(new[name] != frame[name], noisy)
    np.testing.assert_array_equal(new["gap"].isna(), frame["gap"].isna())
    named, _ = add_feature_noise(frame, 1.0, columns=["height"], random_state=0)
    pd.testing.assert_frame_equal(named.drop(columns="height"), frame.drop(columns="height"))
    for columns in (["town"], ["size"]):
        with pytest.raises(ValueError, match=f"columns holds .*{columns[0]}"):
            add_feature_noise(frame, columns=columns)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"share": -0.1}, "share"),
        ({"scale": -1.0}, "scale"),
        ({"scale": [1.0, 2.0]}, "scale must be a number, or one for each of 3"),
        ({"scale": [1.0, np.nan, 1.0]}, "scale must be"),
        ({"columns": [3]}, "columns holds \\[3\\]"),
        ({"columns": ["u"]}, "columns must be"),
        ({"columns": [0, -3]}, "columns names a column twice"),
        ({"X": np.zeros((4, 2, 2)), "scale": [1.0, 2.0]}, "scale must be one number"),
    ],
)
def test_feature_noise_names_what_is_wrong(params, told):
    with pytest.raises(ValueError, match=told):
        add_feature_noise(**{"X": np.zeros((4, 3)), **params})


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 9)),
    low=st.sampled_from([-1, 0]),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    form=st.sampled_from([np.asarray, sparse.csr_array, sparse.csc_matrix, sparse.coo_array]),
)
def test_flipped_columns_and_rows_are_those_told(shape, low, share, seed, form):
    rng = np.random.default_rng(seed)
    X = np.where(rng.random(shape) < 0.5, low, 1).astype(np.int8)
    X[0, 0] = low  # all ones would count as 0 and 1
    size = int(rng.integers(1, shape[1] + 1))
    given_rows = form(X)
    flipped, rows, columns = flip_columns(given_rows, size, share, random_state=seed)
    assert sparse.issparse(flipped) == sparse.issparse(given_rows)
    dense = flipped.toarray() if sparse.issparse(flipped) else flipped
    after = given_rows.toarray() if sparse.issparse(given_rows) else given_rows
    assert (after == X).all()
    assert dense.dtype == X.dtype
    assert rows.sum() == round(share * len(X))
    assert len(columns) == size
    expected = X.copy()
    for i in np.flatnonzero(rows):
        for j in columns:
            expected[i, j] = low if X[i, j] == 1 else 1
    np.testing.assert_array_equal(dense, expected)
    again = flip_columns(form(X), size, share, random_state=seed)
    np.testing.assert_array_equal(again[1], rows)
    np.testing.assert_array_equal(again[2], columns)


def test_columns_are_drawn_evenly():
    X = np.resize([-1, 1], (2, 8))
    drawn = np.zeros(8)
    for seed in range(400):
        drawn[flip_columns(X, 0.25, random_state=seed)[2]] += 1
    assert drawn.sum() == 800
    assert np.abs(drawn / 400 - 0.25).max() < 0.09  # four standard errors


def test_flipped_frames_keep_columns_and_types():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "whole": [0, 1, 1],
            "truth": [True, False, True],
            "float": np.array([0, 0, 1], dtype=np.float32),
            "group": pd.Categorical([1, 0, 1]),
            "age": [31, 40, 22],
        },
        index=[5, 6, 7],
    )
    before = frame.copy()
    binary = ["whole", "truth", "float", "group"]
    flipped, _, columns = flip_columns(frame, binary)
    pd.testing.assert_frame_equal(frame, before)
    assert flipped.dtypes.equals(frame.dtypes)
    assert flipped.index.equals(frame.index)
    assert columns.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(flipped[binary].astype(int), 1 - frame[binary].astype(int))
    assert (flipped["age"] == frame["age"]).all()
    with pytest.raises(ValueError, match="Column 4 of X"):
        flip_columns(frame, 2)
    with pytest.raises(ValueError, match="Column 'town'"):
        flip_columns(frame.assign(town="Ulm"), ["town"])


def test_boolean_arrays_stay_boolean():
    X = np.array([[True, False], [False, False]])
    flipped, *_ = flip_columns(X, [0])
    assert flipped.tolist() == [[False, False], [True, False]]
    assert flipped.dtype == bool


@pytest.mark.parametrize(
    ("X", "columns", "told"),
    [
        ([[0, 1], [1, 0]], 3, "columns=3, but X has 2"),
        ([[0, 1], [1, 0]], 1.5, "columns"),
        ([[0, 1], [1, 0]], [2], "columns holds \\[2\\]"),
        ([[0, 2], [1, 0]], 1, "Column 1 of X"),
        ([[0, -1], [1, 1]], 1, "both -1 and 0"),
        ([[0, np.nan], [1, 1]], [1], "Column 1 of X"),
        (np.zeros((2, 2, 2)), [0], "X has shape"),
    ],
)
def test_flip_columns_names_what_is_wrong(X, columns, told):
    with pytest.raises(ValueError, match=told):
        flip_columns(X, columns)
