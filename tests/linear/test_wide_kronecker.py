"""Wide data of several classes: K-FAC by rows is that by columns, and none of its size."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

import skfi.influence._curved as curved
from skfi import FITrimmer, FITrimmerCV, fi_signed, fi_util
from skfi.baselines import iv
from skfi.bridge import Bridge, bridge
from skfi.linear import _memory, _row_scores
from skfi.linear._by_rows import sum_by_rows
from skfi.linear._covariance import Whitening
from skfi.linear._losses import log_loss
from skfi.linear._memory import by_rows, check_fits, kronecker_fits
from skfi.linear._objective import fit_curvature, mean_eigenvalue
from skfi.linear._softmax import validation_gradient

KFAC = {"curvature": "kfac"}


def data(n=40, d=60, K=4, n_val=30):
    X, y = make_classification(
        n + n_val,
        d,
        n_informative=8,
        n_redundant=0,
        n_classes=K,
        n_clusters_per_class=1,
        flip_y=0.2,
        random_state=0,
    )
    return X[:n], y[:n], X[n:], y[n:]


def fitted(X, y, weight=None, **params):
    return LogisticRegression(tol=1e-10, max_iter=3000).set_params(**params).fit(X, y, weight)


def check_both_forms(model, X, y, weight, X_val, y_val, damping=0.0, by_row=None, rtol=1e-8):
    """H⁻¹u and scores in both metrics and units, by columns and by rows."""
    u = validation_gradient(model, X_val, y_val, np.ones(len(y_val)), log_loss)
    total = fit_curvature(model, X, y, weight, kronecker=True)
    columns = total.hessian.invert(model, damping)
    h = columns.solve(u)
    objective = sum_by_rows(model, X if by_row is None else by_row, y, weight, kronecker=True)
    assert objective.loss == pytest.approx(total.loss)
    np.testing.assert_allclose(objective.gradient, total.gradient, atol=1e-11)
    mean = mean_eigenvalue(total, model, 1.0)
    assert mean_eigenvalue(objective, model, 1.0) == pytest.approx(mean)
    rows = objective.hessian.invert(model, damping)
    solution = rows.refined(u)
    assert solution.residual < 1e-9
    np.testing.assert_allclose(solution.h, h, rtol=1e-8, atol=1e-11 * np.abs(h).max())
    for moved in (weight, np.ones(len(y))):
        for whitening in (None, Whitening(X, weight)):
            data = model, X, y, moved
            expected = columns.influence(*data, h, whitening)
            for little in (_row_scores._LITTLE, np.inf):  # with τ written out for all
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(_row_scores, "_LITTLE", little)
                    found = rows.influence(*data, solution.h, whitening)
                np.testing.assert_allclose(found, expected, rtol=rtol)


@pytest.mark.parametrize("intercept", [True, False], ids=["intercept", "none"])
@pytest.mark.parametrize("C", [1e-6, 1e-2, 1.0, 1e4])
def test_rows_are_the_columns(intercept, C):
    X, y, X_val, y_val = data()
    weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    model = bridge(fitted(X, y, weight, C=C, fit_intercept=intercept)).make_model(len(y))
    check_both_forms(model, X, y, weight, X_val, y_val)


@pytest.mark.parametrize(
    "case", ["long", "few", "sure", "copies", "rare", "damped", "zeros", "the same", "faint"]
)
def test_hard_rows(case):
    """Copies, probabilities of 1, weights of a millionth, a validation row trained on, …"""
    X, y, X_val, y_val = data(*{"long": (120, 30), "few": (12, 60)}.get(case, ()))
    weight = np.ones(len(y))
    if case == "sure":
        X[:5] *= 1000
    if case == "copies":
        X[1::2] = X[::2]
    if case == "rare":
        weight[:5] = 1e-6
    if case == "zeros":
        X[:3] = 0.0
    if case == "the same":
        X_val, y_val = X[:1], y[:1]
    if case == "faint":
        X, X_val = 1e-5 * X, 1e-5 * X_val
    model = bridge(fitted(X, y, weight)).make_model(len(y))
    damping = 0.3 if case == "damped" else 0.0
    check_both_forms(model, X, y, weight, X_val, y_val, damping)


def test_copies_beside_a_small_penalty_keep_their_digits():
    """There ‖τ‖² is a difference of numbers a million times as large."""
    X, y, X_val, y_val = data()
    X[1::2] = X[::2]
    model = bridge(fitted(X, y, C=1e8)).make_model(len(y))
    total = sum_by_rows(model, X, y, np.ones(len(y)), kronecker=True)
    assert total.hessian.invert(model).own.max() > 1e4
    check_both_forms(model, X, y, np.ones(len(y)), X_val, y_val, rtol=1e-6)


@pytest.mark.parametrize("kind", ["one-versus-rest", "two classes", "penalised intercept"])
def test_other_outputs(kind):
    X, y, X_val, y_val = data(K=2 if kind == "two classes" else 4)
    rng = np.random.default_rng(0)
    classes, outputs = np.unique(y), 1 if kind == "two classes" else 4
    fit = Bridge.linear(
        rng.normal(size=(outputs, X.shape[1])) / 5,
        rng.normal(size=outputs),
        classes=classes,
        l2=0.7,
        l2_intercept=0.2 if kind == "penalised intercept" else 0.0,
        one_vs_rest=kind == "one-versus-rest",
    )
    X[:, ::7] = 0.0
    weight = rng.integers(1, 4, len(y)).astype(float)
    model = fit.make_model(len(y))
    assert model.W[:, ::7].all()  # weights on columns where no row has an entry
    check_both_forms(model, X, y, weight, X_val, y_val, by_row=sparse.csr_array(X))


@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis"])
def test_scores_are_those_of_columns(monkeypatch, metric):
    """Whatever the format, rows without weight among them."""
    X, y, X_val, y_val = data(60, 200)
    X[np.abs(X) < 1.0] = 0.0
    X[:, ::5] = 0.0
    weight = np.random.default_rng(0).integers(0, 3, 60).astype(float)
    model = fitted(X, y, weight, class_weight={0: 2.0, 1: 0.5})
    rest = {"sample_weight": weight, "metric": metric, **KFAC}
    found, details = fi_util(model, X, y, X_val, y_val, **rest, return_details=True)
    assert details.curvature == "kfac"
    assert details.residual < 1e-12
    assert (found[weight == 0] == 0).all()
    for form in (sparse.csr_array, sparse.csc_matrix):
        other = fi_util(model, form(X), y, form(X_val), y_val, **rest)
        np.testing.assert_allclose(other, found, rtol=1e-9)
    order = np.random.default_rng(1).permutation(60)
    mixed = rest | {"sample_weight": weight[order]}
    other = fi_util(model, X[order], y[order], X_val, y_val, **mixed)
    np.testing.assert_allclose(other, found[order], rtol=1e-9)

    rows = X, y, X_val, y_val

    def scores():
        yield fi_util(model, *rows, **rest)
        yield fi_util(model, *rows, **rest, unit="row")
        yield fi_util(model, *rows, **rest, damping=0.01)
        yield fi_signed(model, *rows, **rest)
        yield iv(model, *rows, sample_weight=weight, validation_loss="gce", **KFAC)

    found = list(scores())
    monkeypatch.setattr(curved, "by_rows", lambda *_: False)
    for ours, theirs in zip(found, scores(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8)
    _, narrow = fi_util(model, *rows, **rest, return_details=True)
    assert narrow.residual is None
    assert narrow.damping == details.damping
    assert narrow.gradient_norm == pytest.approx(details.gradient_norm, abs=1e-12)


def test_a_class_without_weight_counts_in_the_covariance_alone(monkeypatch):
    X, y, X_val, y_val = data(60, 200)
    X[np.abs(X) < 1.0] = 0.0
    X[y != 3, :10] = 0.0  # columns of that class
    model = fitted(X, y, class_weight={3: 0.0})
    rows = X, y, X_val[y_val != 3], y_val[y_val != 3]
    found = fi_util(model, *rows, metric="mahalanobis", **KFAC)
    assert (found[y == 3] == 0).all()
    monkeypatch.setattr(curved, "by_rows", lambda *_: False)
    other = fi_util(model, *rows, metric="mahalanobis", **KFAC)
    # Scores of 1e19 beside a class without weight: rounding shows in the eighth digit.
    np.testing.assert_allclose(found[y != 3], other[y != 3], rtol=1e-7)


def test_a_last_layer_of_more_features_than_rows(monkeypatch):
    X, y, X_val, y_val = data(30, 8)
    network = MLPClassifier((50,), max_iter=300, alpha=0.1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.fit(X, y)
    found, details = fi_util(network, X, y, X_val, y_val, **KFAC, return_details=True)
    assert details.damping > 0
    assert details.residual < 1e-12
    monkeypatch.setattr(curved, "by_rows", lambda *_: False)
    other = fi_util(network, X, y, X_val, y_val, **KFAC)
    np.testing.assert_allclose(found, other, rtol=1e-8)


def test_who_goes_by_rows():
    def model(l2=1.0, K=3, d=120, **more):
        fit = Bridge.linear(np.ones((K, d)), np.zeros(K), classes=range(K), l2=l2, **more)
        return fit.make_model(1)

    assert by_rows(model(), 40, True)
    assert not by_rows(model(), 40)
    assert not by_rows(model(), 121, True)
    assert not by_rows(model(0.0), 40, True)
    assert not by_rows(model(l1=0.1), 40, True)
    uneven = model(np.array([1.0, 1.0, 2.0]), one_vs_rest=True)
    assert not by_rows(uneven, 40, True)
    assert not kronecker_fits(uneven, 40)
    # A factor of more than 2 GiB, though there are more rows than columns.
    large = model(d=20_000)
    assert by_rows(large, 25_000, True)
    assert not by_rows(large, 200_000, True)


def test_weights_of_single_outputs_are_refused():
    X, y, _, _ = data()
    three = Bridge.linear(np.ones((4, 60)), np.zeros(4), classes=range(4), one_vs_rest=True)
    with pytest.raises(ValueError, match=r"one weight a row.*exact"):
        sum_by_rows(three.make_model(1), X, y, np.ones((40, 4)), kronecker=True)


def test_too_large_takes_kfac(monkeypatch):
    d = 2**17
    rng, y = np.random.default_rng(0), np.arange(12) % 3
    entries = np.repeat(np.arange(12), 8), rng.integers(0, d, 96)
    X = sparse.csr_array((rng.random(96), entries), shape=(12, d))
    rows = X[:6], y[:6], X[6:], y[6:]
    model = LogisticRegression(C=1e-3).fit(X[:6], y[:6])
    for settings in ({}, KFAC):  # by its cost, and as chosen
        for ask in (fi_util, iv):
            assert np.isfinite(ask(model, *rows, **settings)).all()
    with pytest.raises(MemoryError, match=r"none of L1\. Cut the columns"):
        fi_util(model, *rows, curvature="exact")
    large = Bridge.linear(np.ones((3, d)), np.zeros(3), classes=[0, 1, 2], l2=1.0)
    monkeypatch.setattr(_memory, "_physical_memory", lambda: 8 * 2.0**30)
    assert kronecker_fits(large.make_model(1), 5_000)
    assert not kronecker_fits(large.make_model(1), 100_000)
    with pytest.raises(MemoryError, match=r"128 GiB.*100,000 rows by rows takes 74.5 GiB"):
        check_fits(large.make_model(1), 100_000, rows=False, kronecker=True)
    free = Bridge.linear(np.ones((3, d)), np.zeros(3), classes=[0, 1, 2], l2=0.0)
    with pytest.raises(MemoryError, match="only where all classes share an L2"):
        check_fits(free.make_model(1), 5_000, rows=False, kronecker=True)


def test_a_lost_solve_is_told(monkeypatch):
    X, y, X_val, y_val = data()
    model = fitted(X, y)
    monkeypatch.setattr(_memory, "_LARGEST_RESIDUAL", 0.0)
    monkeypatch.setattr(_memory, "_fits", lambda model, n_rows, rows, kronecker: rows)
    with pytest.warns(UserWarning, match=r"relative error of .*penalise more") as told:
        fi_util(model, X, y, X_val, y_val, **KFAC)
    assert told[0].filename == __file__


def words(n, n_words=400, length=30, K=4):
    """Texts of words by Zipf's law, some of which a class likes more."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, n_words + 1)
    liked = np.where(np.arange(n_words) % K == np.arange(K)[:, None], 3 * share, share)
    liked /= liked.sum(axis=1, keepdims=True)
    y = rng.integers(0, K, n)
    drawn = [rng.choice(n_words, length, p=liked[label]) for label in y]
    return np.array([" ".join(f"w{word}" for word in row) for row in drawn]), y


@pytest.mark.parametrize(("metric", "C"), [("euclidean", 1e-6), ("mahalanobis", 1.0)])
def test_many_columns_make_no_matrix_of_columns(metric, C):
    """Nor are the rows ever dense, also where each has its τ written out (a tiny C)."""
    texts, y = words(350, 20_000, 60)
    X = HashingVectorizer(n_features=50_000).fit_transform(texts)
    model = LogisticRegression(C=C).fit(X[:300], y[:300])
    rows = X[:300], y[:300], X[300:], y[300:]
    tracemalloc.start()
    found = fi_util(model, *rows, metric=metric, **KFAC)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() > 0
    assert peak < 300 * 50_000 * 8 / 2


def test_texts_of_several_classes_are_trimmed():
    texts, y = words(300, 3000, 60)
    wrong = np.random.default_rng(2).random(300) < 0.15
    given = np.where(wrong, (y + 1) % 4, y)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    settings = {"influence_params": KFAC, "random_state": 0}
    trimmer = FITrimmer(model, budget=0.1, **settings).fit(texts, given)
    assert trimmer.n_trimmed_ == 30
    assert wrong[trimmer.trimmed_indices_].mean() > 2 * wrong.mean()
    assert all(d.residual < 1e-10 for d in trimmer.influence_details_)
    chosen = FITrimmerCV(model, budgets=[0.0, 0.1], step=None, cv=2, **settings)
    assert chosen.fit(texts[:150], given[:150]).n_trimmed_ in (0, 15)
