"""fi_pairwise and fi_active against the definition, pair by pair."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import trim_mean
from sklearn import config_context
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import Quantile, TrimmedMean, fi_active, fi_pairwise, fi_util
from skfi.queries import Margin
from tests.conftest import make_split
from tests.reference import definition_of

EXACT = dict(tol=1e-12, max_iter=10_000)


def fitted(n_classes=3, weighted=False, **params):
    X, y, V, w, weight = make_split(n_classes, n=60, n_val=25)
    model = LogisticRegression(**EXACT, **params)
    model.fit(X, y, weight if weighted else None)
    return model, X, y, V, w, weight


def naive_pairs(model, X, y, V, labels, weight=None, moved=None, loss="log_loss", root=None):
    """FI of every pair by loops and d×d pseudo-inverses (n_query, n)."""
    naive, one = definition_of(model, len(X)), np.ones(len(X))
    weight = one if weight is None else weight
    moved = one if moved is None else moved
    rows = []
    for x, label in zip(V, labels, strict=True):
        u = naive.validation_gradient([x], [label], [1.0], loss)
        rows.append(naive.fi(X, y, weight, moved, u, root=root))
    return np.array(rows)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_pairs_equal_the_definition(n_classes, C, fit_intercept):
    model, X, y, V, w, _ = fitted(n_classes, C=C, fit_intercept=fit_intercept)
    V, w = V[:4], w[:4]
    np.testing.assert_allclose(
        fi_pairwise(model, X, y, V),
        naive_pairs(model, X, y, V, model.predict(V)),
        rtol=1e-6,
        atol=1e-18,
    )
    np.testing.assert_allclose(
        fi_pairwise(model, X, y, V, w), naive_pairs(model, X, y, V, w), rtol=1e-6, atol=1e-18
    )


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("unit", ["copy", "row"])
def test_pairs_with_weights_and_another_loss(n_classes, unit):
    model, X, y, V, w, weight = fitted(n_classes, weighted=True)
    V, w, moved = V[:4], w[:4], weight if unit == "row" else None
    expected = naive_pairs(model, X, y, V, w, weight, moved, "expected_error")
    found = fi_pairwise(
        model, X, y, V, w, sample_weight=weight, validation_loss="expected_error", unit=unit
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-18)


@pytest.mark.parametrize("curvature", ["exact", "kfac"])
@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_pair_is_fi_util_with_one_validation_row(n_classes, metric, curvature):
    """K-FAC's pairs have a form of their own, squared out; fi_util's has not."""
    model, X, y, V, w, weight = fitted(n_classes, weighted=True)
    settings = dict(sample_weight=weight, metric=metric, curvature=curvature)
    found = fi_pairwise(model, X, y, V, w, **settings)
    for j in range(4):
        expected = fi_util(model, X, y, V[j : j + 1], w[j : j + 1], **settings)
        np.testing.assert_allclose(found[j], expected, rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "make",
    [
        lambda: SGDClassifier(loss="log_loss", alpha=0.05, max_iter=5000, tol=1e-9),
        lambda: OneVsRestClassifier(LogisticRegression(**EXACT)),
        lambda: LogisticRegression(C=1.0, l1_ratio=1.0, solver="saga", **EXACT),
        lambda: make_pipeline(StandardScaler(), LogisticRegression(**EXACT)),
        lambda: MLPClassifier((6,), max_iter=30, random_state=0),
    ],
    ids=["sgd", "one-vs-rest", "l1", "pipeline", "mlp"],
)
def test_other_classifiers(make, n_classes):
    X, y, V, w, _ = make_split(n_classes, n=60, n_val=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make().fit(X, y)
        found = fi_pairwise(model, X, y, V, w)
        for j in range(len(V)):
            expected = fi_util(model, X, y, V[j : j + 1], w[j : j + 1])
            np.testing.assert_allclose(found[j], expected, rtol=1e-8, atol=1e-18)


@pytest.mark.parametrize("curvature", ["exact", "kfac"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_aggregates_are_those_of_the_pairs(n_classes, curvature):
    model, X, y, V, _, _ = fitted(n_classes)
    pairs = fi_pairwise(model, X, y, V, curvature=curvature)
    for aggregate, expected in [
        ("trimmed_mean", trim_mean(pairs, 0.1, axis=1)),
        (TrimmedMean(0.5), trim_mean(pairs, 0.25, axis=1)),
        ("median", np.median(pairs, axis=1)),
        (Quantile(0.9), np.quantile(pairs, 0.9, axis=1)),
        ("mean", pairs.mean(axis=1)),
        (lambda scores: scores.max(axis=1), pairs.max(axis=1)),
    ]:
        found = fi_active(model, X, y, V, aggregate=aggregate, curvature=curvature)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_row_trimmed_mean_leaves_training_rows_out_for_all_alike():
    """Those of largest and smallest mean FI over rows that scatter as the Hessian has it."""
    model, X, y, V, _, _ = fitted(3)
    # Expected FI: gradients whose second moment is the Hessian, its root's columns.
    naive, one = definition_of(model, len(X)), np.ones(len(X))
    H = naive.hessian(X, y, one)
    eigenvalue, Q = np.linalg.eigh(H)
    root = (Q * np.sqrt(np.clip(eigenvalue, 0, None)))[:, eigenvalue > 1e-9]
    expected = sum(naive.fi(X, y, one, one, u) for u in root.T)
    kept = np.argsort(expected)[6:-6]
    pairs = fi_pairwise(model, X, y, V)
    found = fi_active(model, X, y, V, aggregate="row_trimmed_mean")
    np.testing.assert_allclose(found, pairs[:, kept].mean(axis=1), rtol=1e-8)


@pytest.mark.parametrize("aggregate", ["trimmed_mean", "mean", "row_trimmed_mean", "median"])
@pytest.mark.parametrize("curvature", ["exact", "kfac"])
def test_weights_are_repetition(aggregate, curvature):
    model, X, y, V, _, weight = fitted(3, weighted=True)
    weight[:5] = 0.0
    model.fit(X, y, weight)
    times = weight.astype(int)
    settings = dict(aggregate=aggregate, curvature=curvature)
    found = fi_active(model, X, y, V, sample_weight=weight, **settings)
    again = fi_active(model, np.repeat(X, times, axis=0), np.repeat(y, times), V, **settings)
    np.testing.assert_allclose(found, again, rtol=1e-8)
    pairs = fi_pairwise(model, X, y, V, sample_weight=weight)
    assert (pairs[:, :5] == 0).all()
    assert (pairs[:, 5:] > 0).all()


@pytest.mark.parametrize("curvature", ["exact", "kfac"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_any_chunk_size(n_classes, curvature):
    model, X, y, V, w, _ = fitted(n_classes)
    settings = dict(curvature=curvature)
    whole = fi_pairwise(model, X, y, V, w, **settings)
    middle = {
        name: fi_active(model, X, y, V, aggregate=name, **settings)
        for name in ("trimmed_mean", "mean", "row_trimmed_mean")
    }
    for memory in (0.001, 0.02, 0.3):
        with config_context(working_memory=memory):
            found = fi_pairwise(model, X, y, V, w, **settings)
            np.testing.assert_allclose(found, whole, rtol=1e-9, atol=1e-20)
            for name, expected in middle.items():
                found = fi_active(model, X, y, V, aggregate=name, **settings)
                np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("aggregate", ["trimmed_mean", "mean"])
def test_pools_of_every_kind(aggregate, tmp_path):
    model, X, y, V, _, _ = fitted(3)
    V[np.abs(V) < 0.5] = 0.0
    expected = fi_active(model, X, y, V, aggregate=aggregate)
    mapped = np.lib.format.open_memmap(tmp_path / "pool.npy", "w+", shape=V.shape)
    mapped[:] = V
    for pool in (
        sparse.csr_matrix(V),
        sparse.csr_array(V),
        sparse.csc_matrix(V),
        mapped,
        V.tolist(),
        iter([V[:3], V[3:4], V[4:]]),
        (part for part in (sparse.csr_matrix(V[:7]), V[7:])),
    ):
        found = fi_active(model, X, y, pool, aggregate=aggregate)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = LogisticRegression(**EXACT).fit(frame, y)
    found = fi_active(model, frame, y, pd.DataFrame(V, columns=list("abcde")))
    assert found.shape == (len(V),)


def test_linear_classifiers_are_scored_in_float64():
    """float32 lost digits silently on ordinary data, such as iris at C=1e4."""
    model, X, y, V, _, _ = fitted(3)
    for call in (fi_active, fi_pairwise):
        with pytest.raises(ValueError, match=r'dtype="float32" is for networks'):
            call(model, X, y, V, dtype="float32")
        np.testing.assert_array_equal(
            call(model, X, y, V, dtype="float64"), call(model, X, y, V)
        )


def test_permutations_of_rows_and_classes():
    model, X, y, V, w, _ = fitted(3)
    pairs = fi_pairwise(model, X, y, V, w)
    rng = np.random.default_rng(0)
    order, other = rng.permutation(len(X)), rng.permutation(len(V))
    again = LogisticRegression(**EXACT).fit(X[order], y[order])
    found = fi_pairwise(again, X[order], y[order], V[other], w[other])
    np.testing.assert_allclose(found, pairs[np.ix_(other, order)], rtol=1e-5)
    names = np.array(["z", "m", "a"])
    renamed = LogisticRegression(**EXACT).fit(X, names[y])
    found = fi_pairwise(renamed, X, names[y], V, names[w])
    np.testing.assert_allclose(found, pairs, rtol=1e-5)


def test_mahalanobis_is_the_same_in_all_coordinates():
    X, y, V, _, _ = make_split(3, n=60, n_val=25)
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(5, 5)), rng.normal(size=5)
    model = LogisticRegression(C=np.inf, **EXACT)
    settings = dict(metric="mahalanobis")
    here = fi_active(model.fit(X, y), X, y, V, **settings)
    there = fi_active(model.fit(X @ A + b, y), X @ A + b, y, V @ A + b, **settings)
    np.testing.assert_allclose(here, there, rtol=1e-4)


def test_a_sure_model_gives_finite_scores():
    X = np.array([[0.0], [1.0], [10.0], [11.0]])
    y = [0, 0, 1, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=1e8, **EXACT).fit(X, y)
        model.coef_ *= 100
        model.intercept_ *= 100
        for aggregate in ("mean", "trimmed_mean", "row_trimmed_mean"):
            assert np.isfinite(fi_active(model, X, y, X + 0.5, aggregate=aggregate)).all()
        assert np.isfinite(fi_pairwise(model, X, y, X)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(aggregate="middle"), "aggregate='middle'"),
        (dict(aggregate=lambda s: s), "aggregate must return"),
        (dict(curvature="cg"), "need its root"),
        (dict(metric="manhattan"), "metric='manhattan'"),
        (dict(unit="gram"), "unit='gram'"),
        (dict(perturbation=None), "perturbation=None"),
        (dict(X_pool=np.zeros((0, 5))), "X_pool has no rows"),
        (dict(X_pool=iter([])), "X_pool has no batches"),
        (dict(X_pool=np.full((2, 5), np.nan)), "X_pool contains NaN"),
        (dict(X_pool=np.zeros((2, 4))), "X_pool has 4 features"),
        (dict(validation_loss="hinge"), "validation_loss='hinge'"),
        (dict(approximation="kfsvd", n_components=1), "is for networks"),
    ],
)
def test_refusals(change, message):
    model, X, y, V, _, _ = fitted(3)
    given = dict(X_pool=V) | change
    with pytest.raises(ValueError, match=message):
        fi_active(model, X, y, **given)


def test_columns_in_another_order_are_refused():
    pd = pytest.importorskip("pandas")
    X, y, V, w, _ = make_split(3, n=60, n_val=10)
    X, V = (pd.DataFrame(part, columns=list("abcde")) for part in (X, V))
    other = V[list("edcba")]
    model = LogisticRegression(**EXACT).fit(X, y)
    for call, name in [
        (lambda: fi_active(model, X, y, other), "X_pool"),
        (lambda: fi_pairwise(model, X, y, other), "X_query"),
        (lambda: fi_util(model, X, y, other, w), "X_val"),
        (lambda: fi_active(model, X[list("edcba")], y, V), "X"),
    ]:
        with pytest.raises(ValueError, match=f"^{name} must have the columns"):
            call()
    # A step that picks its columns by name puts them in order itself.
    picked = make_column_transformer(("passthrough", list("abcde")))
    pipeline = make_pipeline(picked, LogisticRegression(**EXACT)).fit(X, y)
    np.testing.assert_allclose(
        fi_active(pipeline, X, y, other), fi_active(model, X, y, V), rtol=1e-6
    )


@pytest.mark.parametrize("aggregate", ["trimmed_mean", "median", "row_trimmed_mean", "mean"])
def test_weights_that_are_not_whole_have_no_unit(aggregate):
    """Weights that sum to 1, with C to match, are the same model and the same pairs."""
    model, X, y, V, _, _ = fitted(3)
    settings = dict(aggregate=aggregate, unit="row")
    whole = fi_active(model, X, y, V, **settings)
    weight = np.full(len(X), 1 / len(X))
    model = LogisticRegression(C=len(X), **EXACT).fit(X, y, weight)
    found = fi_active(model, X, y, V, sample_weight=weight, **settings)
    np.testing.assert_allclose(found, whole, rtol=1e-5)


def test_squared_out_pairs_fall_back_where_they_cancel():
    """K-FAC on columns of very different scales, without a penalty."""
    X, y, V, w, _ = make_split(5, n=120, n_val=6)
    scale = 10.0 ** np.linspace(-3, 3, X.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=np.inf, solver="newton-cg", **EXACT).fit(X * scale, y)
        pairs = fi_pairwise(model, X * scale, y, V * scale, w, curvature="kfac")
        for j in range(3):
            one = slice(j, j + 1)
            expected = fi_util(model, X * scale, y, V[one] * scale, w[one], curvature="kfac")
            np.testing.assert_allclose(pairs[j], expected, rtol=2e-3)


def test_labels_that_are_refused():
    model, X, y, V, w, _ = fitted(3)
    with pytest.raises(ValueError, match="y_query has 3 labels"):
        fi_pairwise(model, X, y, V, w[:3])
    with pytest.raises(ValueError, match="never saw"):
        fi_pairwise(model, X, y, V, w + 7)
    with pytest.raises(ValueError, match=r"approximation=.sketch. is not known"):
        fi_util(model, X, y, V, w, approximation="sketch", n_components=3)


def test_what_is_gone_through_once():
    """Iterators and loaders are refused where the rows are needed more often."""
    model, X, y, V, w, _ = fitted(3)
    for call, name in (
        (lambda: fi_util(model, iter(X), y, V, w), "X"),
        (lambda: fi_util(model, X, y, iter(V), w), "X_val"),
        (lambda: fi_pairwise(model, X, y, iter(V)), "X_query"),
        (lambda: fi_active(model, (row for row in X), y, V), "X"),
    ):
        with pytest.raises(TypeError, match=rf"^{name} is a .*iterator|^{name} is a generator"):
            call()


def test_a_torch_loader_is_no_pool():
    torch = pytest.importorskip("torch")
    model, X, y, V, _, _ = fitted(3)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.tensor(V)), batch_size=10
    )
    with pytest.raises(TypeError, match=r"^X_pool is a DataLoader.*batch\[0\]\.numpy\(\)"):
        fi_active(model, X, y, loader)
    with pytest.raises(TypeError, match=r"^X_pool is a DataLoader"):
        Margin(model).fit(X, y).query(loader)
    found = fi_active(model, X, y, (batch[0].numpy() for batch in loader))
    np.testing.assert_allclose(found, fi_active(model, X, y, V))
