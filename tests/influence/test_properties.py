"""What must not change a score: order, names, blocks, copies, coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skfi import fi_util
from skfi.linear._objective import fit_curvature
from skfi.linear._scores import score_all
from tests.conftest import make_split

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**16)
class_counts = st.sampled_from([2, 3, 4])
options = st.fixed_dictionaries(
    {
        "metric": st.sampled_from(["euclidean", "mahalanobis"]),
        "validation_loss": st.sampled_from(["log_loss", "expected_error"]),
    }
)


def problem(n_classes, seed, **settings):
    X, y, X_val, y_val, weight = make_split(n_classes, n=70, d=4, n_val=30, seed=seed)
    if len(np.unique(y)) < n_classes:
        y[:n_classes] = np.arange(n_classes)
    settings = dict(solver="newton-cholesky", tol=1e-13, max_iter=500) | settings
    return LogisticRegression(**settings), X, y, X_val, y_val, weight


@quick
@given(n_classes=class_counts, seed=seeds, options=options)
def test_permuted_rows(n_classes, seed, options):
    model, X, y, X_val, y_val, _ = problem(n_classes, seed)
    rng = np.random.default_rng(seed)
    order, order_val = rng.permutation(len(y)), rng.permutation(len(y_val))
    expected = fi_util(model.fit(X, y), X, y, X_val, y_val, **options)
    model.fit(X[order], y[order])
    actual = fi_util(model, X[order], y[order], X_val[order_val], y_val[order_val], **options)
    np.testing.assert_allclose(actual, expected[order], rtol=1e-6)


@quick
@given(n_classes=class_counts, seed=seeds, options=options)
def test_permuted_classes(n_classes, seed, options):
    model, X, y, X_val, y_val, _ = problem(n_classes, seed)
    names = np.random.default_rng(seed).permutation(n_classes)
    expected = fi_util(model.fit(X, y), X, y, X_val, y_val, **options)
    actual = fi_util(model.fit(X, names[y]), X, names[y], X_val, names[y_val], **options)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@quick
@given(n_classes=class_counts, seed=seeds, options=options)
def test_weights_are_copies(n_classes, seed, options):
    model, X, y, X_val, y_val, weight = problem(n_classes, seed)
    copies = weight.astype(int)
    model.fit(X, y, weight)
    actual = fi_util(model, X, y, X_val, y_val, sample_weight=weight, **options)
    X_rep, y_rep = X.repeat(copies, axis=0), y.repeat(copies)
    expected = fi_util(model.fit(X_rep, y_rep), X_rep, y_rep, X_val, y_val, **options)
    np.testing.assert_allclose(actual.repeat(copies), expected, rtol=1e-6)


@quick
@given(seed=seeds, factor=st.floats(0.01, 100))
def test_scale_of_weights_with_their_penalty(seed, factor):
    """Whole rows: all weights times c and C over c is the same problem."""
    model, X, y, X_val, y_val, weight = problem(3, seed, C=2.0)
    model.fit(X, y, weight)
    expected = fi_util(model, X, y, X_val, y_val, sample_weight=weight, unit="row")
    model.set_params(C=2.0 / factor).fit(X, y, weight * factor)
    actual = fi_util(model, X, y, X_val, y_val, sample_weight=weight * factor, unit="row")
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@quick
@given(n_classes=class_counts, seed=seeds, loss=options)
def test_mahalanobis_is_affine_invariant(n_classes, seed, loss):
    """Every invertible affine map of the features, for a model without penalty."""
    model, X, y, X_val, y_val, _ = problem(n_classes, seed, C=np.inf)
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((4, 4)) + 3 * np.eye(4), rng.standard_normal(4)
    loss = loss["validation_loss"]
    kwargs = {"metric": "mahalanobis", "validation_loss": loss}
    model.fit(X, y)
    # Classes that can be told apart have no optimum without a penalty.
    assume(model.predict_proba(X).min() > 1e-9)
    expected = fi_util(model, X, y, X_val, y_val, **kwargs)
    model.coef_ = np.linalg.solve(A, model.coef_.T).T
    model.intercept_ = model.intercept_ - model.coef_ @ b
    actual = fi_util(model, X @ A + b, y, X_val @ A + b, y_val, **kwargs)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_euclidean_is_not_affine_invariant():
    """The paper's Theorem 1 does not hold for the pseudo-inverse as it stands."""
    model, X, y, X_val, y_val, _ = problem(3, 0, C=np.inf)
    scale = np.array([10, 1, 0.1, 1])
    expected = fi_util(model.fit(X, y), X, y, X_val, y_val)
    model.coef_ = model.coef_ / scale
    actual = fi_util(model, X * scale, y, X_val * scale, y_val)
    assert np.abs(actual / expected - 1).max() > 0.05


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("chunk", [1, 7, 70, 1000])
def test_any_block_size(n_classes, chunk):
    from skfi.bridge import bridge

    model, X, y, _, _, weight = problem(n_classes, 0)
    fitted = bridge(model.fit(X, y, weight)).make_model(len(y))
    whole = fit_curvature(fitted, X, y, weight, chunk=70)
    blocks = fit_curvature(fitted, X, y, weight, chunk=chunk)
    np.testing.assert_allclose(
        blocks.hessian.blocks, whole.hessian.blocks, rtol=1e-12, atol=1e-12
    )
    inverse, h = whole.hessian.invert(fitted), np.ones_like(fitted.beta)
    np.testing.assert_allclose(
        score_all(fitted, X, y, weight, inverse, h, chunk=chunk),
        score_all(fitted, X, y, weight, inverse, h, chunk=70),
        rtol=1e-9,
    )
