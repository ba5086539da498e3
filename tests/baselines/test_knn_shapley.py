"""KNN-Shapley against every coalition of small games."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi.baselines import knn_shapley
from skfi.baselines._knn_shapley import _values
from tests.baselines.enumeration import shapley
from tests.conftest import make_split


def utility(X, y, X_val, y_val, k, weight=None):
    """The share of the K nearest rows' votes for the right label; ties by row order."""
    distance = ((X_val[:, None] - X[None]) ** 2).sum(axis=2)

    def value(rows):
        rows = np.sort(rows)
        votes = [
            (y[rows[np.argsort(row[rows], kind="stable")[:k]]] == label).sum() / k
            for row, label in zip(distance, y_val, strict=True)
        ]
        return np.average(votes, weights=weight)

    return value


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 7),
    n_val=st.integers(1, 4),
    k=st.integers(1, 9),
    n_classes=st.sampled_from([2, 3]),
    grid=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_equals_enumeration(n, n_val, k, n_classes, grid, seed):
    rng = np.random.default_rng(seed)
    X, X_val = rng.standard_normal((n, 2)), rng.standard_normal((n_val, 2))
    if grid:  # many ties
        X, X_val = np.round(X), np.round(X_val)
    y, y_val = rng.integers(n_classes, size=n), rng.integers(n_classes, size=n_val)
    weight = rng.random(n_val) + 0.1
    model = DummyClassifier().fit(np.zeros((n_classes, 2)), np.arange(n_classes))
    value = utility(X, y, X_val, y_val, k, weight)
    expected = shapley(n, value)
    actual = -knn_shapley(model, X, y, X_val, y_val, n_neighbors=k, sample_weight_val=weight)
    np.testing.assert_allclose(actual, expected, atol=1e-12)
    assert actual.sum() == pytest.approx(value(np.arange(n)), abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5, 7, 8, 20])
def test_eight_rows(k):
    X, y, X_val, y_val, _ = make_split(3)
    X, y, X_val, y_val = X[:8], y[:8], X_val[:6], y_val[:6]
    model = DummyClassifier().fit(np.zeros((3, 5)), np.arange(3))
    value = utility(X, y, X_val, y_val, k)
    actual = knn_shapley(model, X, y, X_val, y_val, n_neighbors=k)
    np.testing.assert_allclose(actual, -shapley(8, value), atol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 10, 500])
def test_values_add_up(k):
    X, y, X_val, y_val, _ = make_split(3)
    model = LogisticRegression().fit(X, y)
    score = knn_shapley(model, X, y, X_val, y_val, n_neighbors=k)
    value = utility(X, y, X_val, y_val, k)
    assert -score.sum() == pytest.approx(value(np.arange(len(X))), abs=1e-12)


def test_total_is_the_classifiers_vote():
    """v(all rows) is the mean probability that scikit-learn's classifier gives."""
    X, y, X_val, y_val, _ = make_split()
    model = KNeighborsClassifier(5).fit(X, y)
    mean = model.predict_proba(X_val)[np.arange(len(y_val)), y_val].mean()
    assert -knn_shapley(model, X, y, X_val, y_val).sum() == pytest.approx(mean, abs=1e-12)


def test_order_and_blocks_change_nothing():
    X, y, X_val, y_val, _ = make_split(3)
    model = LogisticRegression().fit(X, y)
    expected = knn_shapley(model, X, y, X_val, y_val)
    order = np.random.default_rng(0).permutation(len(X))
    actual = knn_shapley(model, X[order], y[order], X_val[::-1], y_val[::-1])
    np.testing.assert_allclose(actual, expected[order], atol=1e-14)
    with config_context(working_memory=1e-3):
        actual = knn_shapley(model, X, y, X_val, y_val)
    np.testing.assert_allclose(actual, expected, atol=1e-14)
    share = np.full(len(y_val), 1 / len(y_val))
    for chunk in (1, 7, 1000):
        actual = -_values(X, y, X_val, y_val, share, 5, chunk=chunk)
        np.testing.assert_allclose(actual, expected, atol=1e-14)


@pytest.mark.parametrize("which", ["both", "X", "X_val"])
def test_sparse_rows(which):
    X, y, X_val, y_val, _ = make_split()
    X, X_val = np.where(X > 0.5, X, 0), np.where(X_val > 0.5, X_val, 0)
    X[:, 0], X_val[:, 0] = np.arange(len(X)), np.arange(len(X_val)) + 0.3  # no ties
    model = LogisticRegression(max_iter=1000).fit(X, y)
    expected = knn_shapley(model, X, y, X_val, y_val)
    rows = X if which == "X_val" else sparse.csr_matrix(X)
    rows_val = X_val if which == "X" else sparse.csr_matrix(X_val)
    actual = knn_shapley(model, rows, y, rows_val, y_val)
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_distances_are_those_of_the_last_steps_space():
    pd = pytest.importorskip("pandas")
    X, y, X_val, y_val, _ = make_split()
    X, X_val = X * [100, 1, 1, 1, 1], X_val * [100, 1, 1, 1, 1]
    names = np.array(["no", "yes"])
    scaler = StandardScaler().fit(X)
    plain = LogisticRegression().fit(scaler.transform(X), y)
    expected = knn_shapley(plain, scaler.transform(X), y, scaler.transform(X_val), y_val)
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    columns = list("abcde")
    frame, frame_val = pd.DataFrame(X, columns=columns), pd.DataFrame(X_val, columns=columns)
    search = GridSearchCV(pipe, {"logisticregression__C": [1.0]}, cv=2)
    for model in (pipe, make_pipeline(pipe), search):
        model.fit(frame, names[y])
        actual = knn_shapley(model, frame, pd.Series(names[y]), frame_val, names[y_val])
        np.testing.assert_allclose(actual, expected, atol=1e-12)
    frozen = FrozenEstimator(pipe)
    actual = knn_shapley(frozen, frame, names[y], frame_val, names[y_val])
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_errors_say_what_is_wrong():
    X, y, X_val, y_val, _ = make_split()
    model = LogisticRegression().fit(X, y)
    for k in (0, 2.5):
        with pytest.raises(ValueError, match="n_neighbors"):
            knn_shapley(model, X, y, X_val, y_val, n_neighbors=k)
    with pytest.raises(ValueError, match=r"X_val has 4 features"):
        knn_shapley(model, X, y, X_val[:, :4], y_val)
    with pytest.raises(ValueError, match=r"y_val has labels"):
        knn_shapley(model, X, y, X_val, y_val + 1)
    with pytest.raises(ValueError, match=r"X_val has 40 rows and y_val 39"):
        knn_shapley(model, X, y, X_val, y_val[1:])
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        knn_shapley(model, X, y, X_val, y_val)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_in_another_order_are_refused(library):
    frames = pytest.importorskip(library)
    rng = np.random.RandomState(0)
    table = {"a": rng.normal(size=30), "b": 100 * rng.normal(size=30)}
    X, y = frames.DataFrame(table), (table["a"] > 0).astype(int)
    model = LogisticRegression(max_iter=1000).fit(X, y)
    for rows, rows_val, name in ((X, X[["b", "a"]], "X_val"), (X[["b", "a"]], X, "X")):
        with pytest.raises(ValueError, match=rf"{name} must have the columns .* same order"):
            knn_shapley(model, rows, y, rows_val, y)


def test_steps_by_name_take_columns_in_any_order():
    pd = pytest.importorskip("pandas")
    rng = np.random.RandomState(0)
    X = pd.DataFrame({"a": rng.normal(size=30), "b": rng.normal(size=30)})
    y = (X["a"] > 0).astype(int).to_numpy()
    steps = make_column_transformer((StandardScaler(), ["b"]), ("passthrough", ["a"]))
    model = make_pipeline(steps, LogisticRegression()).fit(X, y)
    expected = knn_shapley(model, X, y, X, y)
    assert_array_equal(knn_shapley(model, X, y, X[["b", "a"]], y), expected)


@pytest.mark.parametrize("name", ["X", "X_val"])
def test_values_whose_squares_overflow_are_refused_by_column(name):
    X, y, X_val, y_val, _ = make_split()
    model = LogisticRegression().fit(X, y)
    {"X": X, "X_val": X_val}[name][3, 2] = 1e200
    with pytest.raises(ValueError, match=rf"^{name} holds values up to .* in column 2"):
        knn_shapley(model, X, y, X_val, y_val)
