"""Influence value against refits, the dense formula, and what must not change it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skfi.baselines import iv
from tests.conftest import make_split
from tests.reference import definition_of

TIGHT = dict(solver="newton-cholesky", tol=1e-14, max_iter=1000)


def dense_formula(model, X, y, X_val, y_val, weight, weight_val, loss):
    """-(∂_θ L_i)ᵀ H⁻¹ u, row by row."""
    naive = definition_of(model, len(X))
    inverse = np.linalg.pinv(naive.hessian(X, y, weight), rcond=1e-13, hermitian=True)
    u = naive.validation_gradient(X_val, y_val, weight_val, loss)
    return np.array(
        [
            -np.kron(naive.loss_derivatives(x, c)[0], naive.extend(x)) @ inverse @ u
            for x, c in zip(X, y, strict=True)
        ]
    )


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", ["log_loss", "expected_error"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_equals_dense_formula(n_classes, loss, fit_intercept):
    X, y, X_val, y_val, weight = make_split(n_classes)
    weight_val = np.random.default_rng(0).random(len(y_val))
    model = LogisticRegression(fit_intercept=fit_intercept, **TIGHT).fit(X, y, weight)
    actual = iv(
        model,
        X,
        y,
        X_val,
        y_val,
        sample_weight=weight,
        sample_weight_val=weight_val,
        validation_loss=loss,
    )
    expected = dense_formula(model, X, y, X_val, y_val, weight, weight_val, loss)
    np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(C=1e-2),
        dict(C=np.inf),
        dict(fit_intercept=False),
        dict(class_weight={0: 1.0, 1: 3.0}),
        dict(n_classes=3),
        dict(n_classes=3, class_weight={0: 1.0, 1: 3.0, 2: 0.5}),
        dict(solver="liblinear", intercept_scaling=3.0, tol=1e-13, max_iter=10**5),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_refits(settings, weighted):
    """The derivative of the validation loss in the row's sample weight."""
    settings = dict(settings)
    X, y, X_val, y_val, weight = make_split(settings.pop("n_classes", 2), n=80, d=3)
    weight = weight if weighted else np.ones(len(X))
    settings = TIGHT | settings

    def outcome(row, change):
        moved = weight.copy()
        moved[row] += change
        again = LogisticRegression(**settings).fit(X, y, sample_weight=moved)
        return -again.predict_log_proba(X_val)[np.arange(len(y_val)), y_val].mean()

    model = LogisticRegression(**settings).fit(X, y, sample_weight=weight)
    actual = iv(model, X, y, X_val, y_val, sample_weight=weight)
    step = 1e-3
    rows = np.argsort(-np.abs(actual))[[0, 1, 20, 40]]
    refit = [(outcome(i, step) - outcome(i, -step)) / (2 * step) for i in rows]
    np.testing.assert_allclose(actual[rows], refit, rtol=1e-4, atol=1e-4 * np.abs(refit).max())


def test_orders_rows_as_leaving_them_out_does():
    X, y, X_val, y_val, _ = make_split(n=60, d=3)
    keep = ~np.eye(len(X), dtype=bool)

    def loss_of(rows):
        log_p = LogisticRegression(**TIGHT).fit(X[rows], y[rows]).predict_log_proba(X_val)
        return -log_p[np.arange(len(y_val)), y_val].mean()

    every = np.ones(len(X), dtype=bool)
    decrease = loss_of(every) - np.array([loss_of(rows) for rows in keep])
    model = LogisticRegression(**TIGHT).fit(X, y)
    assert np.corrcoef(iv(model, X, y, X_val, y_val), decrease)[0, 1] > 0.99


@pytest.mark.parametrize("n_classes", [2, 3])
def test_ranking_is_the_papers(n_classes):
    """g_iᵀ H⁻¹ Σ_V ∇L, most negative first, for sums over rows."""
    X, y, X_val, y_val, _ = make_split(n_classes)
    model = LogisticRegression(fit_intercept=False, C=0.3, **TIGHT).fit(X, y)
    naive = definition_of(model, len(X))
    one = np.ones(len(X))
    total = naive.validation_gradient(X_val, y_val, np.ones(len(y_val))) * len(y_val)
    solved = np.linalg.pinv(naive.hessian(X, y, one), rcond=1e-13, hermitian=True) @ total
    paper = [
        np.kron(naive.loss_derivatives(x, c)[0], x) @ solved for x, c in zip(X, y, strict=True)
    ]
    actual = iv(model, X, y, X_val, y_val)
    np.testing.assert_array_equal(np.argsort(-actual), np.argsort(paper))


def test_weights_are_copies():
    X, y, X_val, y_val, weight = make_split(3)
    copies = weight.astype(int)
    actual = iv(
        LogisticRegression(**TIGHT).fit(X, y, weight), X, y, X_val, y_val, sample_weight=weight
    )
    X_rep, y_rep = X.repeat(copies, axis=0), y.repeat(copies)
    expected = iv(LogisticRegression(**TIGHT).fit(X_rep, y_rep), X_rep, y_rep, X_val, y_val)
    np.testing.assert_allclose(actual.repeat(copies), expected, rtol=1e-8, atol=1e-14)


def test_weight_zero_scores_zero_and_changes_nothing():
    X, y, X_val, y_val, weight = make_split()
    weight[:5] = 0
    model = LogisticRegression(**TIGHT).fit(X, y, weight)
    actual = iv(model, X, y, X_val, y_val, sample_weight=weight)
    rest = iv(model, X[5:], y[5:], X_val, y_val, sample_weight=weight[5:])
    assert (actual[:5] == 0).all()
    np.testing.assert_allclose(actual[5:], rest, rtol=1e-10)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_order_blocks_and_sparsity_change_nothing(n_classes):
    X, y, X_val, y_val, _ = make_split(n_classes)
    model = LogisticRegression(**TIGHT).fit(X, y)
    expected = iv(model, X, y, X_val, y_val)
    order = np.random.default_rng(0).permutation(len(X))
    close = dict(rtol=1e-9, atol=1e-14)
    actual = iv(model, X[order], y[order], X_val[::-1], y_val[::-1])
    np.testing.assert_allclose(actual, expected[order], **close)
    with config_context(working_memory=1e-3):
        np.testing.assert_allclose(iv(model, X, y, X_val, y_val), expected, **close)
    rows = sparse.csr_array(X)
    np.testing.assert_allclose(iv(model, rows, y, X_val, y_val), expected, **close)


def test_one_versus_rest_and_l1():
    X, y, X_val, y_val, _ = make_split(3)
    model = SGDClassifier(loss="log_loss", alpha=0.05, random_state=0, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the default schedule may stop early
        assert np.isfinite(iv(model.fit(X, y), X, y, X_val, y_val)).all()
    X, y, X_val, y_val, _ = make_split(2)
    l1 = {"penalty": "l1"} if LogisticRegression().penalty == "l2" else {"l1_ratio": 1.0}
    settings = dict(solver="saga", C=0.02, tol=1e-10, max_iter=10**5, random_state=0)
    model = LogisticRegression(**settings, **l1).fit(X, y)
    dropped = np.flatnonzero(model.coef_[0] == 0)
    assert len(dropped)
    expected = iv(model, X, y, X_val, y_val)
    X_other = X_val.copy()
    X_other[:, dropped] = 7.0  # what has no coefficient has no say
    np.testing.assert_allclose(iv(model, X, y, X_other, y_val), expected, rtol=1e-9)


def test_pipeline_with_frame_and_names():
    pd = pytest.importorskip("pandas")
    X, y, X_val, y_val, _ = make_split(3)
    names = np.array(["no", "perhaps", "yes"])
    columns = list("abcde")
    frame, frame_val = pd.DataFrame(X, columns=columns), pd.DataFrame(X_val, columns=columns)
    model = make_pipeline(StandardScaler(), LogisticRegression(**TIGHT))
    model.fit(frame, pd.Series(names[y]))
    actual = iv(model, frame, pd.Series(names[y]), frame_val, names[y_val])
    scaler = model[0]
    inner = LogisticRegression(**TIGHT).fit(scaler.transform(frame), y)
    expected = iv(inner, scaler.transform(frame), y, scaler.transform(frame_val), y_val)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-14)
    assert actual.dtype == np.float64


def test_errors_say_what_is_wrong():
    X, y, X_val, y_val, _ = make_split()
    model = LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match=r"X_val has 4 features"):
        iv(model, X, y, X_val[:, :4], y_val)
    with pytest.raises(ValueError, match=r"fitted on 5"):
        iv(model, X[:, :4], y, X_val[:, :4], y_val)
    with pytest.raises(ValueError, match=r"y_val has labels"):
        iv(model, X, y, X_val, y_val + 5)
    with pytest.raises(ValueError, match="validation_loss"):
        iv(model, X, y, X_val, y_val, validation_loss="hinge")
    with pytest.raises(TypeError, match="cannot compute influence for"):
        iv(SVC().fit(X, y), X, y, X_val, y_val)
    with pytest.warns(ConvergenceWarning, match="not at its optimum"):
        iv(model, X, 1 - y, X_val, y_val)
