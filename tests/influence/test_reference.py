"""Three witnesses that the scores are right: definition, refits, automatic derivatives."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.linalg import helmert
from sklearn.linear_model import LogisticRegression, SGDClassifier

from skfi import fi_util
from skfi.bridge import bridge
from skfi.linear._covariance import covariance_root
from skfi.linear._losses import log_loss
from skfi.linear._objective import fit_curvature
from skfi.linear._scores import perturb_rows
from skfi.linear._softmax import validation_gradient
from tests.conftest import make_split
from tests.reference import definition_of

EXACT = dict(tol=1e-12, max_iter=10_000)


def full_D(link, z, Z):
    """∂_ω log P (b, K, d) from the derivatives of the scores."""
    p = np.exp(link.log_proba(z))
    if link.n_outputs == 1:
        return np.stack([-p[:, 1:] * Z[:, 0], p[:, :1] * Z[:, 0]], axis=1)
    D = np.matmul(helmert(link.n_classes).T, link.contrasts(z, Z))
    return D - np.einsum("bc,bcd->bd", p, D)[:, None, :]


def ingredients(estimator, X, y, weight, X_val, y_val, moved):
    """g, D and their parts from the package's kernels."""
    fitted = bridge(estimator)
    model = fitted.make_model(len(X))
    s = fitted.loss_weight(y, weight)
    curvature = fit_curvature(model, X, y, s).hessian.invert(model)
    u = validation_gradient(model, X_val, y_val, np.ones(len(y_val)), log_loss)
    scale = fitted.loss_weight(y, weight).T / weight * moved
    g, Z, z = perturb_rows(model, X, y, scale.T, curvature, curvature.solve(u))
    return g, full_D(model.link, z, Z)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("C", [1e-2, 1.0, 1e2, 1e4, np.inf])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_equals_definition(n_classes, C, fit_intercept):
    X, y, X_val, y_val, _ = make_split(n_classes)
    model = LogisticRegression(C=C, fit_intercept=fit_intercept, **EXACT).fit(X, y)
    one = np.ones(len(X))
    naive = definition_of(model, len(X))
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)))
    expected = naive.fi(X, y, one, one, u)
    np.testing.assert_allclose(fi_util(model, X, y, X_val, y_val), expected, rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("unit", ["copy", "row"])
@pytest.mark.parametrize("loss", ["log_loss", "expected_error"])
def test_equals_definition_with_weights(n_classes, unit, loss):
    X, y, X_val, y_val, weight = make_split(n_classes)
    weight_val = np.random.default_rng(1).random(len(y_val))
    model = LogisticRegression(**EXACT).fit(X, y, weight)
    naive = definition_of(model, len(X))
    u = naive.validation_gradient(X_val, y_val, weight_val, loss)
    moved = weight if unit == "row" else np.ones(len(X))
    expected = naive.fi(X, y, weight, moved, u)
    actual = fi_util(
        model,
        X,
        y,
        X_val,
        y_val,
        sample_weight=weight,
        sample_weight_val=weight_val,
        validation_loss=loss,
        unit=unit,
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_equals_definition_mahalanobis(n_classes):
    X, y, X_val, y_val, _ = make_split(n_classes)
    X, X_val = X * [10, 1, 0.1, 1, 1], X_val * [10, 1, 0.1, 1, 1]
    model = LogisticRegression(solver="newton-cholesky", **EXACT).fit(X, y)
    naive, one = definition_of(model, len(X)), np.ones(len(X))
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)))
    root = np.linalg.cholesky(np.cov(X.T, bias=True))
    expected = naive.fi(X, y, one, one, u, root=root)
    actual = fi_util(model, X, y, X_val, y_val, metric="mahalanobis")
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    np.testing.assert_allclose(
        (R := covariance_root(X, one)) @ R.T, np.cov(X.T, bias=True), rtol=1e-9
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_equals_definition_sgd(n_classes):
    X, y, X_val, y_val, _ = make_split(n_classes)
    model = SGDClassifier(loss="log_loss", alpha=0.05, random_state=0).fit(X, y)
    naive, one = definition_of(model, len(X)), np.ones(len(X))
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)))
    expected = naive.fi(X, y, one, one, u)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the default schedule stops early
        actual = fi_util(model, X, y, X_val, y_val)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_equals_definition_liblinear():
    X, y, X_val, y_val, _ = make_split()
    model = LogisticRegression(
        solver="liblinear", intercept_scaling=3.0, tol=1e-10, max_iter=10_000, C=0.1
    ).fit(X, y)
    naive, one = definition_of(model, len(X)), np.ones(len(X))
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)))
    expected = naive.fi(X, y, one, one, u)
    assert naive.l2_intercept == pytest.approx(10 / 9)
    np.testing.assert_allclose(fi_util(model, X, y, X_val, y_val), expected, rtol=1e-6)


REFITS = {
    "binary": dict(C=1.0),
    "binary, weak penalty": dict(C=1e4),
    "binary, strong penalty": dict(C=1e-2),
    "binary, no penalty": dict(C=np.inf),
    "binary, no intercept": dict(fit_intercept=False),
    "binary, balanced": dict(class_weight="balanced"),
    "binary, class weights": dict(class_weight={0: 1.0, 1: 3.0}),
    "liblinear": dict(solver="liblinear", intercept_scaling=3.0, tol=1e-13, max_iter=10**5),
    "three classes": dict(n_classes=3),
    "three classes, weak penalty": dict(n_classes=3, C=1e4),
    "three classes, balanced": dict(n_classes=3, class_weight="balanced"),
    "three classes, no intercept": dict(n_classes=3, fit_intercept=False),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", list(REFITS))
def test_ingredients_equal_refits(case, weighted):
    """g and D against scikit-learn's own estimator, fitted again on moved rows."""
    settings = dict(REFITS[case])
    X, y, X_val, y_val, weight = make_split(settings.pop("n_classes", 2), n=80, d=3)
    weight = weight if weighted else np.ones(len(X))
    settings = dict(solver="newton-cholesky", tol=1e-14, max_iter=1000) | settings

    def fit(X, y, weight):
        return LogisticRegression(**settings).fit(X, y, sample_weight=weight)

    def outcome(row, omega):
        """Validation loss and the moved copy's log P after a refit."""
        # One copy of the row moves; the others stay, with the rest of its weight.
        moved = X[row] + omega
        others = np.append(weight, 1.0)
        others[row] -= 1.0
        again = fit(np.vstack([X, moved]), np.append(y, y[row]), others)
        log_p = again.predict_log_proba(X_val)
        loss = -log_p[np.arange(len(y_val)), y_val].mean()
        return loss, again.predict_log_proba(moved[None])[0]

    g, D = ingredients(fit(X, y, weight), X, y, weight, X_val, y_val, moved=1.0)
    step = 1e-4
    for row in (0, 7, 33):
        g_refit, D_refit = np.empty(X.shape[1]), np.empty(D.shape[1:])
        for j in range(X.shape[1]):
            omega = step * np.eye(X.shape[1])[j]
            up, down = outcome(row, omega), outcome(row, -omega)
            g_refit[j] = (up[0] - down[0]) / (2 * step)
            D_refit[:, j] = (up[1] - down[1]) / (2 * step)
        assert np.abs(g[row] - g_refit).max() <= 1e-4 * np.abs(g_refit).max()
        assert np.abs(D[row] - D_refit).max() <= 1e-4 * np.abs(D_refit).max()


def test_whole_row_equals_refit():
    """unit="row" moves a row with all of its weight."""
    X, y, X_val, y_val, weight = make_split(n=80, d=3)
    settings = dict(solver="newton-cholesky", tol=1e-14)
    model = LogisticRegression(**settings).fit(X, y, weight)
    g, _ = ingredients(model, X, y, weight, X_val, y_val, moved=weight)

    def loss(omega):
        moved = X.copy()
        moved[5] += omega
        log_p = LogisticRegression(**settings).fit(moved, y, weight).predict_log_proba(X_val)
        return -log_p[np.arange(len(y_val)), y_val].mean()

    step = 1e-4 * np.eye(3)
    refit = [(loss(e) - loss(-e)) / 2e-4 for e in step]
    np.testing.assert_allclose(g[5], refit, atol=1e-4 * np.abs(refit).max())


@pytest.mark.parametrize("n_classes", [2, 3])
def test_equals_automatic_derivatives(n_classes):
    """The whole measure from torch's derivatives of nothing but the loss."""
    torch = pytest.importorskip("torch")
    hessian, jacrev = torch.func.hessian, torch.func.jacrev
    X, y, X_val, y_val, _ = make_split(n_classes, n=60, d=4)
    model = LogisticRegression(C=3.0, **EXACT).fit(X, y)
    tX, tX_val = torch.tensor(X), torch.tensor(X_val)
    ty, ty_val = torch.tensor(y), torch.tensor(y_val)
    beta = np.column_stack([model.coef_, model.intercept_])
    shape = beta.shape
    theta = torch.tensor(beta.ravel())
    n = len(X)

    def log_proba(theta, x):
        b = theta.reshape(shape)
        z = b[:, :-1] @ x + b[:, -1]
        z = torch.cat([torch.zeros(1, dtype=z.dtype), z]) if len(z) == 1 else z
        return torch.log_softmax(z, dim=0)

    def row_loss(theta, x, label):
        return -log_proba(theta, x)[label]

    def objective(theta):
        losses = [row_loss(theta, x, label) for x, label in zip(tX, ty, strict=True)]
        penalty = 0.5 / 3.0 * (theta.reshape(shape)[:, :-1] ** 2).sum()
        return (sum(losses) + penalty) / n

    inverse = torch.linalg.pinv(hessian(objective)(theta), rtol=1e-12)
    u = sum(
        jacrev(row_loss)(theta, x, label) for x, label in zip(tX_val, ty_val, strict=True)
    ) / len(ty_val)
    expected = []
    for x, label in zip(tX, ty, strict=True):
        mixed = jacrev(jacrev(row_loss), argnums=1)(theta, x, label)
        J = -inverse @ mixed / n
        D = jacrev(log_proba)(theta, x) @ J + jacrev(log_proba, argnums=1)(theta, x)
        G = D.T @ (torch.exp(log_proba(theta, x))[:, None] * D)
        g = u @ J
        expected.append(float(g @ torch.linalg.pinv(G, rtol=1e-12, hermitian=True) @ g))
    actual = fi_util(model, X, y, X_val, y_val)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
