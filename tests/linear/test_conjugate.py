"""H⁻¹u by conjugate gradients beside K-FAC's metric, against the dense Hessian."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from skfi import fi_signed, fi_util
from skfi.baselines import iv
from skfi.bridge import bridge
from skfi.linear._conjugate import ConjugateCurvature, exact_is_cheap, takes_kfac
from skfi.linear._losses import resolve_validation_loss
from skfi.linear._objective import fit_curvature
from skfi.linear._softmax import validation_gradient
from tests.data import sparse_logistic

X, Y = make_classification(
    160, 7, n_informative=6, n_redundant=0, n_classes=4, flip_y=0.2, random_state=0
)
WEIGHT = np.random.default_rng(0).integers(1, 4, 120).astype(float)
TRAIN, HELD_OUT = (X[:120], Y[:120]), (X[120:], Y[120:])


def curvatures(C=1.0, damping=0.0, form=np.asarray, weight=WEIGHT):
    """The model, the exact H⁻¹ and the one by conjugate gradients."""
    model = LogisticRegression(C=C, max_iter=1000).fit(*TRAIN, weight)
    read = bridge(model)
    linear = read.make_model(len(weight))
    exact = fit_curvature(linear, *TRAIN, weight).hessian.invert(linear, damping)
    factors = fit_curvature(linear, *TRAIN, weight, kronecker=True).hessian
    metric = factors.invert(linear, damping)
    iterative = ConjugateCurvature(metric, linear, form(X[:120]), weight, damping)
    return linear, exact, iterative


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, np.float32], ids=str)
@pytest.mark.parametrize(("C", "damping"), [(1.0, 0.0), (0.01, 0.0), (100.0, 3.0)])
def test_a_solve_is_that_of_the_dense_hessian(C, damping, form):
    model, exact, iterative = curvatures(C, damping, form)
    u = np.random.default_rng(1).standard_normal(model.beta.shape)
    h, residual = iterative.refined(u)
    assert residual <= 1e-8
    rtol = 1e-3 if form is np.float32 else 1e-6
    np.testing.assert_allclose(h, exact.solve(u), rtol=rtol, atol=rtol * np.abs(h).max())
    with config_context(working_memory=1e-3):
        again = iterative.refined(u)
    np.testing.assert_allclose(again.h, h, atol=1e-7 * np.abs(h).max())
    assert iterative.refined(np.zeros_like(u)).residual == 0


def test_solves_of_rows_are_the_metrics():
    model, _, iterative = curvatures()
    vectors = np.random.default_rng(2).standard_normal((5, *model.beta.shape))
    np.testing.assert_array_equal(iterative.solve(vectors), iterative.metric.solve(vectors))


@pytest.fixture(scope="module")
def many_classes():
    """So many parameters that exact scores would cost more than the fit."""
    rows, labels = make_classification(
        800, 130, n_informative=60, n_redundant=0, n_classes=16, n_clusters_per_class=1,
        flip_y=0.1, random_state=0,
    )  # fmt: skip
    train, held_out = (rows[:600], labels[:600]), (rows[600:], labels[600:])
    return LogisticRegression(max_iter=1000).fit(*train), train, held_out


def test_the_sign_and_the_influence_value_are_exact(many_classes):
    model, train, held_out = many_classes
    gain = iv(model, *train, *held_out)
    exact = iv(model, *train, *held_out, curvature="exact")
    np.testing.assert_allclose(gain, exact, rtol=0, atol=1e-7 * np.abs(exact).max())
    score = fi_signed(model, *train, *held_out)
    np.testing.assert_array_equal(np.sign(score), np.sign(exact))


def test_the_metric_is_kfacs_and_the_details_say_why(many_classes):
    """FI = gᵀG⁺g with g by the exact h, and G of K-FAC's factors."""
    model, train, held_out = many_classes
    fi, details = fi_util(model, *train, *held_out, return_details=True)
    assert details.curvature == "kfac"
    assert details.residual <= 1e-8
    assert "times the operations of 100 steps" in details.reason
    exact, asked = fi_util(model, *train, *held_out, curvature="exact", return_details=True)
    assert asked.reason == ""
    assert np.corrcoef(np.log(fi), np.log(exact))[0, 1] > 0.9
    read = bridge(model)
    linear = read.make_model(600)
    kfac = fit_curvature(linear, *train, np.ones(600), kronecker=True).hessian.invert(linear)
    dense = fit_curvature(linear, *train, np.ones(600)).hessian.invert(linear)
    loss = resolve_validation_loss("log_loss")
    u = validation_gradient(linear, *held_out, np.ones(200), loss)
    own = kfac.row_scorer(linear, dense.solve(u), None).score(*train, np.ones(600))
    np.testing.assert_allclose(fi, own, rtol=1e-6)


def test_small_problems_and_other_penalties_stay_exact():
    for model in (
        LogisticRegression(),
        sparse_logistic(),
    ):
        fitted = model.fit(*TRAIN)
        details = fi_util(fitted, *TRAIN, *HELD_OUT, return_details=True)[1]
        assert details.curvature == "exact"
        assert details.reason == ""


def test_the_choice_follows_the_operations():
    def model(d, n_classes, one_vs_rest=False):
        rows = np.zeros((n_classes, d))
        fitted = LogisticRegression().fit(np.eye(n_classes, d), np.arange(n_classes))
        fitted.coef_, fitted.intercept_ = rows[: len(fitted.coef_)], np.zeros(len(fitted.coef_))
        return bridge(fitted).make_model(100)

    assert exact_is_cheap(model(100, 3), 30_000)
    assert not exact_is_cheap(model(100, 10), 30_000)
    assert not exact_is_cheap(model(384, 20), 3_000)
    assert not takes_kfac(model(1000, 2), np.ones(5))  # one output: the factors are H itself
    assert takes_kfac(model(384, 20), np.ones(5))
    assert not takes_kfac(model(384, 20), np.ones((5, 20)))
