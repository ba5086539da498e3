"""Wide data: the form over rows is the one over columns, and never makes one of its size."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_info, threadpool_limits

import skfi.influence._curved as curved
from skfi import FITrimmer, fi_active, fi_pairwise, fi_util
from skfi.baselines import iv
from skfi.bridge import Bridge, bridge
from skfi.linear import _by_rows, _memory
from skfi.linear._by_rows import sum_by_rows
from skfi.linear._covariance import Whitening
from skfi.linear._losses import log_loss
from skfi.linear._memory import by_rows, check_fits
from skfi.linear._objective import fit_curvature
from skfi.linear._removal import removal_all
from skfi.linear._softmax import validation_gradient

from ..reference import definition_of

KINDS = {
    "intercept": {"solver": "newton-cholesky"},
    "penalised intercept": {"solver": "liblinear"},
    "no intercept": {"solver": "newton-cholesky", "fit_intercept": False},
}


def data(n, d, n_val=40):
    X, y = make_classification(
        n + n_val, d, n_informative=8, n_redundant=0, flip_y=0.2, random_state=0
    )
    return X[:n], y[:n], X[n:], y[n:]


def fitted(X, y, weight=None, C=1.0, solver="newton-cholesky", fit_intercept=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # liblinear never reaches such a tolerance
        model = LogisticRegression(
            C=C, solver=solver, fit_intercept=fit_intercept, tol=1e-12, max_iter=5000
        )
        return model.fit(X, y, weight)


def words(n, n_words=400, seed=0, length=30):
    """Texts of words by Zipf's law, whose tone tells the class of most."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, n_words + 1)
    drawn = rng.choice(n_words, (n, length), p=share / share.sum())
    tone = np.random.default_rng(1).normal(size=n_words)
    y = (tone[drawn].sum(axis=1) + rng.normal(size=n) > 0).astype(int)
    return [" ".join(f"w{word}" for word in row) for row in drawn], y


def both_forms(model, X, y, weight, moved, metric, X_val, y_val, damping=0.0):
    """(h, FI, gain) by columns, and by rows."""
    u = validation_gradient(model, X_val, y_val, np.ones(len(y_val)), log_loss)
    whitening = Whitening(X, weight) if metric == "mahalanobis" else None
    for sum_up in (fit_curvature, sum_by_rows):
        curvature = sum_up(model, X, y, weight).hessian.invert(model, damping)
        h, residual = curvature.refined(u)
        assert (residual or 0.0) < 1e-9
        assert curvature.error_of_rows < 1e-8
        fi = curvature.influence(model, X, y, moved, h, whitening)
        yield h, fi, removal_all(model, X, y, moved, h)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(40, 120), (120, 30)], ids=["wide", "long"])
@pytest.mark.parametrize("C", [1e-2, 1.0, 1e2, 1e4])
def test_rows_are_the_columns(kind, shape, C):
    X, y, X_val, y_val = data(*shape)
    weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    model = bridge(fitted(X, y, weight, C, **KINDS[kind])).make_model(len(y))
    for metric in ("euclidean", "mahalanobis"):
        for moved in (weight, np.ones(len(y))):
            columns, rows = both_forms(model, X, y, weight, moved, metric, X_val, y_val)
            for ours, theirs in zip(rows, columns, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-11)
            np.testing.assert_allclose(rows[1], columns[1], rtol=1e-8)


@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis"])
@pytest.mark.parametrize("case", ["sure", "copies", "rare", "damped"])
def test_hard_rows(metric, case):
    """Rows of probability 1, copies, weights of a millionth, and more on the diagonal."""
    X, y, X_val, y_val = data(40, 120)
    weight = np.ones(40)
    if case == "sure":
        X[:5] *= 1000
        y[4] = 1 - y[4]
    if case == "copies":
        X[1::2] = X[::2]
    if case == "rare":
        weight[:5] = 1e-6
    model = bridge(fitted(X, y, weight)).make_model(40)
    if case == "sure":
        assert model.link.curvature(model.scores(X)).min() < 1e-100
    one = np.ones(40)
    damping = 0.3 if case == "damped" else 0.0
    columns, rows = both_forms(model, X, y, weight, one, metric, X_val, y_val, damping)
    for ours, theirs in zip(rows, columns, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-12)


def test_objective_and_trace():
    X, y, _, _ = data(40, 120)
    X[:, 7] = 0.0
    model = bridge(fitted(X, y)).make_model(40)
    total = fit_curvature(model, X, y, np.ones(40))
    rows = sum_by_rows(model, sparse.csr_array(X), y, np.ones(40))
    assert rows.loss == pytest.approx(total.loss)
    np.testing.assert_allclose(rows.gradient, total.gradient, atol=1e-12)
    trace = total.hessian.trace_of_loss(model)
    assert rows.hessian.trace_of_loss(model) == pytest.approx(trace)
    assert len(rows.hessian.rows.columns) == 119  # no row has an entry in the other
    by_rows, by_columns = (part.hessian.invert(model) for part in (rows, total))
    vectors = np.random.default_rng(0).normal(size=(3, 1, 121))
    expected = vectors[:, 0] @ total.hessian.blocks[0]
    np.testing.assert_allclose(by_rows.factor_times(vectors[:, 0]), expected)
    np.testing.assert_allclose(by_rows.solve(vectors), by_columns.solve(vectors), rtol=1e-8)
    root, _ = by_rows.root()
    np.testing.assert_allclose(root @ root.T, by_columns.blocks[0], rtol=1e-8, atol=1e-12)
    r, S = model.link.residual(model.scores(X), y), model.link.curvature(model.scores(X))
    Z = [curvature.score_jacobian(model, X, r, S) for curvature in (by_rows, by_columns)]
    np.testing.assert_allclose(*Z, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis"])
def test_sparse_is_dense_and_rows_without_weight_are_left_out(monkeypatch, metric):
    X, y, X_val, y_val = data(60, 200)
    X[np.abs(X) < 1.5] = 0.0
    X[:, ::5] = 0.0
    weight = np.random.default_rng(0).integers(0, 3, 60).astype(float)
    model = fitted(X, y, weight)
    model.coef_[0, 5] = 0.01  # a weight on an empty column, which the fit would not leave
    rest = {"sample_weight": weight, "metric": metric}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, details = fi_util(model, X, y, X_val, y_val, **rest, return_details=True)
        assert details.residual < 1e-12
        assert (found[weight == 0] == 0).all()
        for form in (sparse.csr_array, sparse.csc_matrix):
            other = fi_util(model, form(X), y, form(X_val), y_val, **rest)
            np.testing.assert_allclose(other, found, rtol=1e-9)
        other = fi_util(model, X.astype(np.float32), y, X_val, y_val, **rest)
        np.testing.assert_allclose(other, found, rtol=1e-3)
        monkeypatch.setattr(curved, "by_rows", lambda *_: False)
        other, details = fi_util(model, X, y, X_val, y_val, **rest, return_details=True)
    assert details.residual is None
    np.testing.assert_allclose(other, found, rtol=1e-9)


def test_all_that_stands_on_a_solved_fit(monkeypatch):
    X, y, X_val, y_val = data(50, 80)
    weight = np.random.default_rng(0).integers(1, 3, 50).astype(float)
    model = LogisticRegression(class_weight={0: 2.0, 1: 0.5}, solver="newton-cholesky")
    model.set_params(tol=1e-10).fit(X, y, weight)
    rows = X, y, X_val, y_val

    def scores():
        yield fi_util(model, *rows, sample_weight=weight)
        yield fi_util(model, *rows, sample_weight=weight, unit="row", curvature="exact")
        yield fi_util(model, *rows, sample_weight=weight, damping=0.01)
        yield iv(model, *rows, sample_weight=weight, validation_loss="expected_error")
        yield fi_active(model, X, y, X_val, sample_weight=weight)

    found = list(scores())
    monkeypatch.setattr(curved, "by_rows", lambda *_: False)
    for ours, theirs in zip(found, scores(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8)


def test_who_goes_by_rows():
    X, y, _, _ = data(40, 120)
    model = bridge(fitted(X, y)).make_model(40)
    assert by_rows(model, 40)
    assert not by_rows(model, 121)
    assert not by_rows(replace(model, l2=0 * model.l2), 40)
    assert not by_rows(replace(model, l1=model.l2), 40)
    uneven = model.l2.copy()
    uneven[0, 0] = 2.0
    assert not by_rows(replace(model, l2=uneven), 40)
    three = Bridge.linear(np.ones((3, 120)), np.zeros(3), classes=[0, 1, 2], l2=1.0)
    assert not by_rows(three.make_model(40), 40)
    # A Hessian of more than 2 GiB, though there are more rows than columns.
    large = Bridge.linear(np.ones((1, 20_000)), [0.0], classes=[0, 1], l2=1.0).make_model(1)
    assert by_rows(large, 25_000)
    assert not by_rows(large, 200_000)


def test_a_lost_solve_is_told(monkeypatch):
    """Copies of rows beside a tiny penalty: the matrix of rows is singular but for it."""
    X, y, X_val, y_val = data(40, 120)
    X[1::2] = X[::2]
    model = fitted(X, y, C=1e4)
    faint = bridge(model).make_model(40)
    faint = replace(faint, l2=faint.l2 * 1e-9)
    curvature = sum_by_rows(faint, X, y, np.ones(40)).hessian.invert(faint)
    assert curvature.error_of_rows > 1e-8
    monkeypatch.setattr(_memory, "_LARGEST_RESIDUAL", 0.0)
    monkeypatch.setattr(
        _memory, "_physical_memory", lambda: 2.0**18
    )  # rows fit, columns do not
    message = r"relative error of .*Scale the columns.*drop copies.*few digits"
    with pytest.warns(UserWarning, match=message) as told:
        fi_util(model, X, y, X_val, y_val)
    assert told[0].filename == __file__


def unscaled(n_classes=2):
    """More columns than rows, one of which is large beside the others."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(14, 14)), rng.lognormal(10, 1, 14)])
    y = (X[:, 0] + rng.normal(size=14) > 0).astype(int)
    y[:4] = [0, 1, 0, 1]
    y[4:6] = n_classes - 1
    return X[:10], y[:10], X[10:], y[10:]


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_one_large_column_has_the_scores_of_the_definition(scale):
    """Through the rows their digits are lost, or there is no solution at all."""
    X, y, X_val, y_val = unscaled()
    model = fitted(X, y)
    X[:, -1] *= scale
    X_val[:, -1] *= scale
    model.coef_[0, -1] /= scale
    definition = definition_of(model, 10)
    # The definition on one scale, in which the perturbation is as long as before.
    unit = np.append(np.ones(14), X[:, -1].std())
    definition.coef, root = model.coef_ * unit, np.diag(1 / unit)
    definition.beta = np.append(definition.coef, model.intercept_)[None]
    definition.l2 = np.append(unit**-2, 0.0)
    u = definition.validation_gradient(X_val / unit, y_val, np.ones(4))
    expected = definition.fi(X / unit, y, np.ones(10), np.ones(10), u, root=root)
    found, details = fi_util(model, X, y, X_val, y_val, return_details=True)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert details.residual is None
    pairs = [fi_pairwise(model, X, y, X_val[[k]], y_val[[k]])[0] for k in range(4)]
    singly = [fi_util(model, X, y, X_val[[k]], y_val[[k]]) for k in range(4)]
    np.testing.assert_allclose(singly, pairs, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The classifier is not at its optimum")
def test_one_large_column_of_several_classes_takes_the_columns():
    X, y, X_val, y_val = unscaled(3)
    X[:, -1] *= 1e3
    X_val[:, -1] *= 1e3
    model = fitted(X, y)
    found, details = fi_util(
        model, X, y, X_val[:1], y_val[:1], curvature="kfac", return_details=True
    )
    pairs = fi_pairwise(model, X, y, X_val[:1], y_val[:1], curvature="kfac")[0]
    np.testing.assert_allclose(found, pairs, rtol=1e-6)
    assert details.residual is None


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_a_large_column_is_refused_where_no_memory_holds_the_columns(monkeypatch, scale):
    X, y, X_val, y_val = unscaled()
    model = fitted(X, y)
    X[:, -1] *= scale
    X_val[:, -1] *= scale
    model.coef_[0, -1] /= scale
    monkeypatch.setattr(_memory, "_physical_memory", lambda: 2.0**12)
    with pytest.raises(np.linalg.LinAlgError, match="Scale the columns"):
        fi_util(model, X, y, X_val, y_val)


def test_too_large_says_what_to_do(monkeypatch):
    monkeypatch.setattr(_memory, "_physical_memory", lambda: 8 * 2.0**30)
    d = 2**20
    two = Bridge.linear(np.ones((1, d)), [0.0], classes=[0, 1], l2=1.0).make_model(1)
    check_fits(two, 5_000, rows=True)
    with pytest.raises(
        MemoryError, match=r"1 x 1,048,577 parameters takes 8 TiB.*TruncatedSVD"
    ):
        check_fits(two, 5_000, rows=False, remedy=curved._FEWER_COLUMNS)
    with pytest.raises(MemoryError, match=r"100,000 rows by rows takes 74.5 GiB"):
        check_fits(two, 100_000, rows=True)
    three = Bridge.linear(np.ones((3, d)), np.zeros(3), classes=[0, 1, 2], l2=1.0)
    with pytest.raises(MemoryError, match=r"only where there are two classes.*influence_esti"):
        check_fits(three.make_model(1), 10, rows=False, remedy=curved._FEWER_COLUMNS)
    rng, y = np.random.default_rng(0), np.arange(12) % 3
    entries = np.repeat(np.arange(12), 8), rng.integers(0, d, 96)
    X = sparse.csr_array((rng.random(96), entries), shape=(12, d))
    model = LogisticRegression(C=1e-3).fit(X, y)
    with pytest.raises(
        MemoryError, match=r"HashingVectorizer\(n_features=2\*\*12\).*influence_esti"
    ):
        fi_util(model, X[:6], y[:6], X[6:], y[6:], curvature="exact")


def test_too_many_classes_take_kfac(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 8)), np.arange(300) % 40
    model = LogisticRegression(C=0.1, tol=1e-8).fit(X[:200], y[:200])
    data = X[:200], y[:200], X[200:], y[200:]
    monkeypatch.setattr(_memory, "_physical_memory", lambda: 2.0**20)
    with pytest.raises(MemoryError, match=r'^The Hessian.*L1\. Pass curvature="kfac".*Cut'):
        fi_util(model, *data)
    assert np.isfinite(fi_util(model, *data, curvature="kfac")).all()
    # What decides are the classes: a matrix of columns by columns would fit.
    monkeypatch.setattr(_memory, "_physical_memory", lambda: 2.0**14)
    with pytest.raises(MemoryError, match=r"^The Hessian.*L1\. Cut"):
        fi_util(model, *data)
    with pytest.raises(MemoryError, match=r"39 x 9 parameters takes 13.1 KiB"):
        fi_util(model, *data, curvature="kfac")


def test_a_million_columns_make_no_matrix_of_columns():
    """Nor is a row ever dense, except for the few whose solves are checked."""
    texts, y = words(120)
    X = HashingVectorizer(n_features=2**20).fit_transform(texts)
    model = LogisticRegression().fit(X[:80], y[:80])
    tracemalloc.start()
    found = fi_util(model, X[:80], y[:80], X[80:], y[80:], metric="mahalanobis")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() > 0
    assert peak < 80 * 2**20 * 8  # all rows, dense


def test_sparse_gradient_is_the_dense_one():
    X, y, _, _ = data(40, 120)
    model = bridge(fitted(X, y)).make_model(40)
    weight = np.arange(1.0, 41.0)
    dense = validation_gradient(model, X, y, weight, log_loss)
    found = validation_gradient(model, sparse.csr_matrix(X), y, weight, log_loss)
    np.testing.assert_allclose(found, dense, rtol=1e-12, atol=1e-15)


def test_texts_are_trimmed_through_a_pipeline():
    texts, y = words(300, 3000, length=60)
    wrong = np.random.default_rng(2).random(300) < 0.1
    given = np.where(wrong, 1 - y, y)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    assert len(TfidfVectorizer().fit(texts).vocabulary_) > 1000
    trimmer = FITrimmer(model, budget=0.1, random_state=0).fit(texts, given)
    assert trimmer.n_trimmed_ == 30
    assert wrong[trimmer.trimmed_indices_].mean() > wrong.mean()
    assert all(d.residual < 1e-10 for d in trimmer.influence_details_)


def test_a_matrix_of_two_gib_is_factored_by_one_thread(monkeypatch):
    """Several threads of SciPy's BLAS crash there; here the limit is set to nothing."""
    seen = []
    factor = _by_rows.lapack.dpotrf

    def watched(*args, **kwargs):
        seen.append([i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"])
        return factor(*args, **kwargs)

    monkeypatch.setattr(_by_rows, "_MOST_SHARED", 0)
    monkeypatch.setattr(_by_rows.lapack, "dpotrf", watched)
    A = np.random.default_rng(0).normal(size=(30, 30))
    B = np.eye(30) + A @ A.T
    expected = np.linalg.inv(B)
    with threadpool_limits(2, user_api="blas"):
        _by_rows.invert_in_place(B)
    np.testing.assert_allclose(B, expected, rtol=1e-9)
    assert {threads for pools in seen for threads in pools} == {1}
