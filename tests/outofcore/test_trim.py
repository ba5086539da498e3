"""`trim`: fit, score, choose and fit again, beside the same by hand in memory."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import skfi
from skfi import FITrimmer
from skfi.baselines import iv
from skfi.outofcore import ArrayRows, trim
from tests.conftest import make_split
from tests.outofcore.sources import in_blocks, source


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", ["array", "batches", "parquet"])
def test_equals_the_trimmer(n_classes, kind, tmp_path):
    X, y, V, w, _ = make_split(n_classes)
    found = trim(source(kind, X, y, None, tmp_path, 30), V, w, budget=15)
    exact = LogisticRegression(tol=1e-12, max_iter=10_000)
    trimmer = FITrimmer(exact, budget=15, step=None, checked_rows="judge").fit(
        X, y, X_val=V, y_val=w
    )
    np.testing.assert_allclose(found.influence_, trimmer.influence_, rtol=1e-4, atol=1e-12)
    np.testing.assert_array_equal(found.support_, trimmer.support_)
    np.testing.assert_allclose(
        found.estimator_.coef_, trimmer.estimator_.coef_, rtol=1e-4, atol=1e-6
    )
    full = trimmer.initial_estimator_
    np.testing.assert_allclose(found.full_estimator_.coef_, full.coef_, rtol=1e-4, atol=1e-6)
    assert found.n_trimmed_ == trimmer.n_trimmed_ == 15


@pytest.mark.parametrize("influence", ["fi", "fi_signed", "gain"])
def test_order_by_other_scores(influence):
    X, y, V, w, weight = make_split(3)
    rows = in_blocks(ArrayRows(X, y, weight), 50)
    found = trim(
        rows,
        V,
        w,
        budget=0.1,
        influence=influence,
        validation_loss="log_loss",
        metric="euclidean",
    )
    model = found.full_estimator_
    fi = skfi.fi_util(model, X, y, V, w, sample_weight=weight)
    gain = iv(model, X, y, V, w, sample_weight=weight)
    scores = {"fi": fi, "gain": gain, "fi_signed": np.sqrt(fi) * gain}[influence]
    np.testing.assert_allclose(found.influence_, scores, rtol=1e-8, atol=1e-14)
    gone = np.sort(np.argsort(-scores, kind="stable")[:14])
    np.testing.assert_array_equal(np.flatnonzero(~found.support_), gone)


def test_a_transformer_stays_as_it_was_fitted_on_all_rows(tmp_path):
    X, y, V, w, _ = make_split(2)
    rows = in_blocks(ArrayRows(X * 100, y), 50)
    found = trim(
        rows, V * 100, w, budget=9, transformer=StandardScaler(), out=tmp_path / "s.npy"
    )
    assert found.estimator_[0] is found.full_estimator_[0]
    scaler = StandardScaler().fit(X * 100)
    again = trim(
        ArrayRows(scaler.transform(X * 100), y), scaler.transform(V * 100), w, budget=9
    )
    np.testing.assert_array_equal(found.support_, again.support_)
    np.testing.assert_allclose(found.estimator_[-1].coef_, again.estimator_.coef_, rtol=1e-8)
    assert isinstance(found.influence_, np.memmap)
    assert [path.name for path in tmp_path.iterdir()] == ["s.npy"]


def test_nothing_goes():
    X, y, V, w, _ = make_split(2)
    found = trim(ArrayRows(X, y), V, w, budget=0)
    assert found.support_.all()
    assert found.estimator_ is found.full_estimator_


def test_blocks_that_go_as_a_whole():
    X, y, V, w, _ = make_split(2, flip=0.0)
    y[:30] = 1 - y[:30]
    found = trim(in_blocks(ArrayRows(X, y), 5), V, w, budget=45)
    blocks = found.support_.reshape(-1, 5)
    assert not blocks.any(axis=1).all()


def test_a_class_must_stay():
    X, y, V, w, _ = make_split(3)
    few = np.flatnonzero((y != 2) | (np.cumsum(y == 2) <= 8))
    X, y = X[few], y[few]
    with pytest.raises(ValueError, match=f"only {len(y) - 3} can be dropped"):
        trim(ArrayRows(X, y), V, w, influence="fi", budget=len(y) - 2)
    with pytest.warns(UserWarning, match="more than half of class"):
        trim(ArrayRows(X, y), V, w, influence="fi", budget=30)


@pytest.mark.filterwarnings("ignore:Trimming took more than half")
@pytest.mark.parametrize("min_class_size", [1, 3])
def test_the_last_rows_of_a_class_are_kept(min_class_size):
    X, y, V, w, _ = make_split(3)
    few = np.flatnonzero((y != 2) | (np.cumsum(y == 2) <= 5))
    X, y = X[few], y[few]
    options = dict(influence="fi", budget=60, min_class_size=min_class_size)
    with pytest.warns(UserWarning, match="last rows of class 2"):
        found = trim(in_blocks(ArrayRows(X, y), 20), V, w, **options)
    exact = LogisticRegression(tol=1e-12, max_iter=10_000)
    trimmer = FITrimmer(exact, step=None, checked_rows="judge", **options)
    with pytest.warns(UserWarning, match="last rows of class 2"):
        trimmer.fit(X, y, X_val=V, y_val=w)
    np.testing.assert_array_equal(found.support_, trimmer.support_)
    assert found.n_trimmed_ == 60
    with pytest.raises(ValueError, match="min_class_size=0 must be"):
        trim(ArrayRows(X, y), V, w, budget=3, min_class_size=0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(budget=140), "would leave none of the 140 rows"),
        (dict(budget=-1), "negative"),
        (dict(budget=5, influence="loss"), "influence='loss' is not known"),
    ],
)
def test_refusals(params, message):
    X, y, V, w, _ = make_split(2)
    with pytest.raises(ValueError, match=message):
        trim(ArrayRows(X, y), V, w, **params)


@pytest.mark.filterwarnings("ignore:Trimming took more than half")
@pytest.mark.parametrize("kind", ["array", "parquet"])
def test_rows_of_weight_0_take_up_no_budget(kind, tmp_path):
    """As in FITrimmer: dropped are rows that have a weight."""
    X, y, V, w, weight = make_split()
    weight[::3] = 0
    rows = source(kind, X, y, weight, tmp_path, 20)
    result = trim(rows, V, w, budget=70)
    assert (weight[~result.support_] > 0).all()
    without = weight > 0
    alone = trim(ArrayRows(X[without], y[without], weight[without]), V, w, budget=70)
    np.testing.assert_array_equal(result.support_[without], alone.support_)
