"""FI of pairs against its definition: loops over pairs and 2d×2d pseudo-inverses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.linear_model import LogisticRegression, SGDClassifier

from examples.paper._pairs import PairScores, _Binary, _joint_by_svd, fi_joint, fi_paired
from skfi import fi_util
from skfi.bridge import bridge
from skfi.linear._losses import log_loss
from skfi.linear._objective import fit_curvature
from skfi.linear._softmax import validation_gradient
from tests.data import TIGHT, fitted_split, make_split
from tests.reference import definition_of


def all_pairs(naive, X, y, weight, moved, u, root=None):
    """FI of every pair of copies (n, n), the diagonal for two copies of a row."""
    inverse = np.linalg.pinv(naive.hessian(X, y, weight), rcond=1e-13, hermitian=True)
    J = [-inverse @ naive.mixed(x, c, w) for x, c, w in zip(X, y, moved, strict=True)]
    P, E = zip(*(naive.proba(x) for x in X), strict=True)
    theta = [E[i] @ np.kron(np.eye(naive.outputs), naive.extend(x)) for i, x in enumerate(X)]
    R = np.eye(X.shape[1]) if root is None else root
    out = np.zeros((len(X), len(X)))
    for i in range(len(X)):
        for j in range(len(X)):
            Di = np.hstack([(theta[i] @ J[i] + E[i] @ naive.coef) @ R, theta[i] @ J[j] @ R])
            Dj = np.hstack([theta[j] @ J[i] @ R, (theta[j] @ J[j] + E[j] @ naive.coef) @ R])
            # The joint distribution of both labels, label pair by label pair.
            G = sum(
                P[i][a] * P[j][b] * np.outer(Di[a] + Dj[b], Di[a] + Dj[b])
                for a in range(len(P[i]))
                for b in range(len(P[j]))
            )
            g = np.concatenate([u @ J[i] @ R, u @ J[j] @ R])
            out[i, j] = g @ np.linalg.pinv(G, rcond=1e-13, hermitian=True) @ g
    return out


def best_other(pairs, again=False):
    np.fill_diagonal(pairs, np.where(again, np.diagonal(pairs).copy(), 0))
    return pairs.max(axis=1)


def assert_is_definition(model, X, y, X_val, y_val, root=None, rtol=1e-6, **options):
    naive, one = definition_of(model, len(X)), np.ones(len(X))
    loss = options.get("validation_loss", "log_loss")
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)), loss)
    expected = best_other(all_pairs(naive, X, y, one, one, u, root))
    actual = fi_paired(model, X, y, X_val, y_val, **options)
    np.testing.assert_allclose(actual, expected, rtol=rtol)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [1e-2, 1.0, 1e2])
def test_equals_definition(n_classes, fit_intercept, C):
    X, y, X_val, y_val, _ = make_split(n_classes, n=24, d=4)
    y[:n_classes] = np.arange(n_classes)
    model = LogisticRegression(C=C, fit_intercept=fit_intercept, **TIGHT).fit(X, y)
    assert_is_definition(model, X, y, X_val, y_val)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", ["log_loss", "expected_error"])
def test_equals_definition_mahalanobis(n_classes, loss):
    X, y, X_val, y_val, _ = make_split(n_classes, n=24, d=4)
    X, X_val = X * [10, 1, 0.1, 1], X_val * [10, 1, 0.1, 1]
    model = LogisticRegression(**TIGHT).fit(X, y)
    root = np.linalg.cholesky(np.cov(X.T, bias=True))
    options = {"metric": "mahalanobis", "validation_loss": loss}
    assert_is_definition(model, X, y, X_val, y_val, root, **options)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_equals_definition_with_weights(n_classes):
    X, y, X_val, y_val, weight = make_split(n_classes, n=24, d=4)
    weight[:3] = 0
    class_weight = {0: 1.0, 1: 3.0, 2: 0.5}
    model = LogisticRegression(class_weight=class_weight, **TIGHT).fit(X, y, weight)
    actual = fi_paired(model, X, y, X_val, y_val, sample_weight=weight)
    kept = weight > 0
    factor = np.array([1.0, 3.0, 0.5])[y[kept]]
    naive = definition_of(model, kept.sum())
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)))
    pairs = all_pairs(naive, X[kept], y[kept], weight[kept] * factor, factor, u)
    assert (actual[:3] == 0).all()
    expected = best_other(pairs, weight[kept] >= 2)
    np.testing.assert_allclose(actual[kept], expected, rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_are_copies(n_classes):
    X, y, X_val, y_val, weight = make_split(n_classes, n=20, d=4)
    copies = weight.astype(int)
    model = LogisticRegression(**TIGHT).fit(X, y, weight)
    actual = fi_paired(model, X, y, X_val, y_val, sample_weight=weight)
    X_rep, y_rep = X.repeat(copies, axis=0), y.repeat(copies)
    expected = fi_paired(
        LogisticRegression(**TIGHT).fit(X_rep, y_rep), X_rep, y_rep, X_val, y_val
    )
    np.testing.assert_allclose(actual.repeat(copies), expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore")  # the default schedule stops early
def test_one_versus_rest():
    X, y, X_val, y_val, _ = make_split(3, n=24, d=4)
    model = SGDClassifier(loss="log_loss", alpha=0.05, random_state=0).fit(X, y)
    assert_is_definition(model, X, y, X_val, y_val)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_twins(n_classes):
    """Rows that are the same, and a row that has the other label."""
    X, y, X_val, y_val, _ = make_split(n_classes, n=24, d=4)
    X[10:14], y[10:14] = X[3], y[3]
    X[14], y[14] = X[4], 1 - y[4] % 2
    model = LogisticRegression(**TIGHT).fit(X, y)
    assert_is_definition(model, X, y, X_val, y_val)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_dependent_rows_take_the_pseudo_inverse(n_classes):
    """One feature: for K > 2 there are more contrasts than directions to move in."""
    X, y, X_val, y_val, _ = make_split(n_classes, n=16, d=4)
    y[:n_classes] = np.arange(n_classes)
    X, X_val = X[:, :1], X_val[:, :1]
    model = LogisticRegression(**TIGHT).fit(X, y)
    assert_is_definition(model, X, y, X_val, y_val, rtol=1e-5)


def pairs_of(model, X, y, X_val, y_val, root=None):
    linear = bridge(model).make_model(len(X))
    curvature = fit_curvature(linear, X, y, np.ones(len(X))).hessian.invert(linear)
    u = validation_gradient(linear, X_val, y_val, np.ones(len(y_val)), log_loss)
    again = np.zeros(len(X), dtype=bool)
    return PairScores(linear, X, y, np.ones(len(X)), curvature, curvature.solve(u), again, root)


@pytest.mark.parametrize("whitened", [False, True])
def test_fast_form_for_two_classes_equals_the_explicit_one(whitened):
    root = np.diag([1.0, 2.0, 3.0, 0.5, 0.1]) if whitened else None
    pairs = pairs_of(*fitted_split(n=60), root)
    first, second = slice(0, 25), slice(10, 60)
    fast, full = _Binary(pairs).block(first, second), pairs.explicit(first, second)
    np.testing.assert_allclose(fast, full, rtol=1e-8)
    irregular = np.zeros((25, 50), dtype=bool)
    irregular[3, 4] = irregular[20, 49] = True
    fixed = np.zeros((25, 50))
    _Binary(pairs)._mend(fixed, irregular, first, second)
    np.testing.assert_allclose(fixed[irregular], full[irregular])
    assert (fixed[~irregular] == 0).all()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("side", [1, 7, 30, 100])
def test_any_block_size(n_classes, side):
    pairs = pairs_of(*fitted_split(n_classes, n=30, d=4))
    np.testing.assert_allclose(pairs.maxima(side), pairs.maxima(), rtol=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_order_memory_and_sparsity_change_nothing(n_classes):
    model, X, y, X_val, y_val = fitted_split(n_classes, n=40, d=4)
    expected = fi_paired(model, X, y, X_val, y_val)
    order = np.random.default_rng(0).permutation(len(X))
    actual = fi_paired(model, X[order], y[order], X_val, y_val)
    np.testing.assert_allclose(actual, expected[order], rtol=1e-7)
    with config_context(working_memory=0.01):
        np.testing.assert_allclose(fi_paired(model, X, y, X_val, y_val), expected, rtol=1e-7)
    actual = fi_paired(model, sparse.csr_array(X), y, X_val, y_val)
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_both_pseudo_inverses_agree():
    rng = np.random.default_rng(0)
    g, Z = rng.standard_normal((6, 8)), rng.standard_normal((6, 4, 8))
    log_p = np.log(rng.dirichlet(np.ones(3), size=(6, 2)))
    np.testing.assert_allclose(fi_joint(g, Z, log_p), _joint_by_svd(g, Z, log_p), rtol=1e-9)


@pytest.mark.filterwarnings("ignore")  # the coefficients are not at a minimum
@pytest.mark.parametrize("n_classes", [2, 3])
def test_sure_rows_stay_finite(n_classes):
    X, y, X_val, y_val, _ = make_split(n_classes, n=40, d=4)
    X[0] *= 1e3
    model = LogisticRegression(C=1e3, **TIGHT).fit(X, y)
    model.coef_ *= 50
    score = fi_paired(model, X, y, X_val, y_val)
    assert np.isfinite(score).all()
    assert (score >= 0).all()


def test_far_rows_have_about_their_own_fi():
    """With many rows a second one moves little of the first: FI_ij is near FI_i + FI_j."""
    model, X, y, X_val, y_val = fitted_split(n=800, d=3, n_val=100)
    alone, paired = (f(model, X, y, X_val, y_val) for f in (fi_util, fi_paired))
    best = np.argmax(alone)
    others = np.delete(np.arange(len(X)), best)
    ratio = paired[others] / (alone[others] + alone[best])
    assert np.median(np.abs(ratio - 1)) < 0.1


@pytest.mark.filterwarnings("ignore")  # nor is it the minimum of this row
def test_rows_without_a_partner_are_refused():
    X, y, X_val, y_val, weight = make_split()
    weight[1:], weight[0] = 0, 1
    model = LogisticRegression().fit(X, y, weight + 1e-6)
    with pytest.raises(ValueError, match="needs two"):
        fi_paired(model, X, y, X_val, y_val, sample_weight=weight)
