"""fi_util on every kind of classifier and input, and what it refuses."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import FITrimmer, fi_pairwise, fi_signed, fi_util
from skfi.baselines import iv
from tests.conftest import make_split
from tests.reference import definition_of

EXACT = dict(solver="newton-cholesky", tol=1e-12, max_iter=1000)


@pytest.fixture(scope="module", params=[2, 3], ids=["binary", "three classes"])
def problem(request):
    X, y, X_val, y_val, _ = make_split(request.param)
    model = LogisticRegression(**EXACT).fit(X, y)
    return model, X, y, X_val, y_val


def by_definition(model, X, y, X_val, y_val, **settings):
    naive, one = definition_of(model, len(X)), np.ones(len(X))
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)))
    return naive.fi(X, y, one, one, u, **settings)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky", "sag", "saga"])
def test_every_solver_gives_the_same(problem, solver):
    model, X, y, X_val, y_val = problem
    expected = fi_util(model, X, y, X_val, y_val)
    other = LogisticRegression(solver=solver, tol=1e-9, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(fi_util(other, X, y, X_val, y_val), expected, rtol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_l1_is_scored_on_active_coefficients(n_classes, l1_ratio):
    """Equal to the definition with the parameters that are zero held there."""
    X, y, X_val, y_val, _ = make_split(n_classes)
    settings = {"solver": "saga", "C": 0.03, "tol": 1e-10, "max_iter": 100_000}
    if "penalty" in LogisticRegression().get_params() and LogisticRegression().penalty == "l2":
        settings["penalty"] = "elasticnet"  # until scikit-learn 1.7
    model = LogisticRegression(l1_ratio=l1_ratio, **settings).fit(X, y)
    assert (model.coef_ == 0).any()
    assert (model.coef_ != 0).any()
    naive, rows = definition_of(model, len(X)), (model, X, y, X_val, y_val)
    assert naive.l2 == pytest.approx((1 - l1_ratio) / 0.03)
    expected = by_definition(*rows, active=(naive.beta != 0).ravel())
    np.testing.assert_allclose(fi_util(*rows), expected, rtol=1e-6)


def test_logistic_regression_cv_reads_the_chosen_penalty():
    X, y, X_val, y_val, _ = make_split()
    options = {"Cs": [0.03, 0.3], "tol": 1e-10, "max_iter": 10_000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecations differ by version
        model = LogisticRegressionCV(**options).fit(X, y)
    chosen = float(np.ravel(model.C_)[0])
    plain = LogisticRegression(C=chosen, **EXACT).fit(X, y)
    np.testing.assert_allclose(
        fi_util(model, X, y, X_val, y_val), fi_util(plain, X, y, X_val, y_val), rtol=1e-5
    )


@pytest.mark.parametrize("as_sparse", [sparse.csr_array, sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis"])
def test_sparse_equals_dense(problem, as_sparse, metric):
    model, X, y, X_val, y_val = problem
    expected = fi_util(model, X, y, X_val, y_val, metric=metric)
    actual = fi_util(model, as_sparse(X), y, as_sparse(X_val), y_val, metric=metric)
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_single_precision_and_lists_are_taken(problem):
    model, X, y, X_val, y_val = problem
    expected = fi_util(model, X, y, X_val, y_val)
    single = LogisticRegression(tol=1e-6).fit(X.astype(np.float32), y)
    actual = fi_util(single, X.astype(np.float32), y, X_val.astype(np.float32), y_val)
    np.testing.assert_allclose(actual, expected, rtol=0.05)
    lists = fi_util(model, X.tolist(), y.tolist(), X_val.tolist(), y_val.tolist())
    np.testing.assert_allclose(lists, expected, rtol=1e-12)


def test_string_labels(problem):
    model, X, y, X_val, y_val = problem
    names = np.array(["zebra", "ant", "mouse"])
    expected = fi_util(model, X, y, X_val, y_val)
    named = LogisticRegression(**EXACT).fit(X, names[y])
    actual = fi_util(named, X, names[y], X_val, names[y_val].astype(object))
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_wrappers_are_looked_through(problem):
    model, X, y, X_val, y_val = problem
    expected = fi_util(model, X, y, X_val, y_val)
    search = GridSearchCV(LogisticRegression(**EXACT), {"C": [1.0]}).fit(X, y)
    for wrapped in (FrozenEstimator(model), search, make_pipeline(model)):
        np.testing.assert_allclose(fi_util(wrapped, X, y, X_val, y_val), expected, rtol=1e-9)


def test_pipeline_is_scored_where_its_last_step_sees(problem):
    _, X, y, X_val, y_val = problem
    pipe = make_pipeline(StandardScaler(), LogisticRegression(**EXACT)).fit(X, y)
    scaler = pipe[0]
    expected = fi_util(pipe[1], scaler.transform(X), y, scaler.transform(X_val), y_val)
    np.testing.assert_array_equal(fi_util(pipe, X, y, X_val, y_val), expected)


def test_memory_limit_does_not_change_scores(problem):
    model, X, y, X_val, y_val = problem
    expected = fi_util(model, X, y, X_val, y_val)
    with config_context(working_memory=1e-3):
        actual = fi_util(model, X, y, X_val, y_val)
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_callable_loss_equals_named(problem):
    model, X, y, X_val, y_val = problem
    for name, own in (
        ("log_loss", lambda y, z: _softmax_loss(y, z)),
        ("expected_error", lambda y, z: _softmax_error(y, z)),
    ):
        np.testing.assert_allclose(
            fi_util(model, X, y, X_val, y_val, validation_loss=own),
            fi_util(model, X, y, X_val, y_val, validation_loss=name),
            rtol=1e-9,
        )


def _softmax_loss(y, logits):
    """Cross-entropy written for logits, as a user would."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    gradient = p.copy()
    gradient[np.arange(len(y)), y] -= 1
    return -np.log(p[np.arange(len(y)), y]), gradient


def _softmax_error(y, logits):
    loss, gradient = _softmax_loss(y, logits)
    return 1 - np.exp(-loss), gradient * np.exp(-loss)[:, None]


def test_validation_weights_are_repetition(problem):
    model, X, y, X_val, y_val = problem
    weight = np.random.default_rng(3).integers(0, 4, len(y_val))
    actual = fi_util(model, X, y, X_val, y_val, sample_weight_val=weight)
    repeated = fi_util(model, X, y, X_val.repeat(weight, axis=0), y_val.repeat(weight))
    np.testing.assert_allclose(actual, repeated, rtol=1e-9)


def test_one_vs_rest_balanced_class_weights():
    """Class weights of SGD count in each class's own problem only."""
    X, y, X_val, y_val, _ = make_split(3, n=400)
    kept = (y != 2) | (np.arange(len(y)) % 8 == 0)  # few of the last class
    X, y = X[kept], y[kept]
    balanced = SGDClassifier(
        loss="log_loss", alpha=0.05, class_weight="balanced", random_state=0, **_slow()
    ).fit(X, y)
    # At the optimum the gradient with these weights vanishes: no warning. A model
    # whose class weights are read wrongly is far from it.
    fi_util(balanced, X, y, X_val, y_val)
    balanced.class_weight = None
    with pytest.warns(ConvergenceWarning, match="not at its optimum"):
        fi_util(balanced, X, y, X_val, y_val)


def _slow():
    return {
        "learning_rate": "invscaling",
        "eta0": 0.5,
        "power_t": 0.6,
        "max_iter": 3000,
        "tol": None,
    }


class TestStationarity:
    def test_converged_defaults_are_quiet(self, problem):
        _, X, y, X_val, y_val = problem
        fi_util(LogisticRegression().fit(X, y), X, y, X_val, y_val)

    def test_stopped_early(self, problem):
        _, X, y, X_val, y_val = problem
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(max_iter=1).fit(X, y)
        with pytest.warns(ConvergenceWarning, match=r"larger max_iter, smaller tol"):
            fi_util(model, X, y, X_val, y_val)

    def test_other_rows(self, problem):
        model, X, y, X_val, y_val = problem
        with pytest.warns(ConvergenceWarning, match="that the classifier was fitted on"):
            fi_util(model, X[:60], y[:60], X_val, y_val)

    def test_forgotten_weights(self):
        X, y, X_val, y_val, weight = make_split()
        model = LogisticRegression(**EXACT).fit(X, y, weight * (1 + 9 * y))
        with pytest.warns(ConvergenceWarning, match="sample_weight"):
            fi_util(model, X, y, X_val, y_val)


class TestDegenerate:
    """Singular Hessians and probabilities of 0 or 1 still give finite scores."""

    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_separable_without_penalty(self, n_classes):
        rng = np.random.default_rng(0)
        y = np.arange(90) % n_classes
        X = rng.standard_normal((90, 3)) + 50.0 * np.eye(3)[y]
        model = LogisticRegression(C=1.0).fit(X, y)
        model.coef_ = model.coef_ * 1e4  # every p(1-p) underflows
        X[0] = 50.0 * np.eye(3)[(y[0] + 1) % n_classes]  # surely and wrongly
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            influence = fi_util(model, X, y, X[1:], y[1:])
        assert np.isfinite(influence).all()
        assert (influence >= 0).all()

    @pytest.mark.parametrize(
        ("n_classes", "n", "d", "columns", "C"),
        [(2, 30, 60, 60, 0.1), (3, 30, 60, 60, 0.1), (6, 140, 6, 2, 1.0)],
        ids=["wide", "wide, three classes", "fewer features than contrasts"],
    )
    def test_few_rows_or_columns(self, n_classes, n, d, columns, C):
        X, y, X_val, y_val, _ = make_split(n_classes, n=n, d=d)
        X, X_val = X[:, :columns], X_val[:, :columns]
        rows = LogisticRegression(C=C, **EXACT).fit(X, y), X, y, X_val, y_val
        np.testing.assert_allclose(fi_util(*rows), by_definition(*rows), rtol=1e-6)

    @pytest.mark.parametrize("C", [1.0, np.inf])
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_duplicated_and_constant_columns(self, n_classes, C):
        X, y, X_val, y_val, _ = make_split(n_classes)
        X, X_val = (np.column_stack([x, x[:, 0], np.zeros(len(x))]) for x in (X, X_val))
        model = LogisticRegression(C=C, tol=1e-12, max_iter=10_000).fit(X, y)
        rows = model, X, y, X_val, y_val
        np.testing.assert_allclose(fi_util(*rows), by_definition(*rows), rtol=1e-6)
        whitened = fi_util(model, X, y, X_val, y_val, metric="mahalanobis")
        assert np.isfinite(whitened).all()

    def test_zero_weights_are_absent_rows(self):
        X, y, X_val, y_val, weight = make_split()
        weight[:20] = 0
        model = LogisticRegression(**EXACT).fit(X, y, weight)
        for unit in ("copy", "row"):
            influence = fi_util(model, X, y, X_val, y_val, sample_weight=weight, unit=unit)
            rest = fi_util(
                model, X[20:], y[20:], X_val, y_val, sample_weight=weight[20:], unit=unit
            )
            assert (influence[:20] == 0).all()
            np.testing.assert_allclose(influence[20:], rest, rtol=1e-9)

    def test_badly_scaled_columns(self):
        X, y, X_val, y_val, _ = make_split()
        scale = np.array([1e-5, 1.0, 1e5, 1.0, 1e3])
        free = LogisticRegression(C=np.inf, **EXACT).fit(X, y)
        expected = fi_util(free, X, y, X_val, y_val, metric="mahalanobis")
        free.coef_ = free.coef_ / scale
        actual = fi_util(free, X * scale, y, X_val * scale, y_val, metric="mahalanobis")
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


class TestRefusals:
    @pytest.fixture
    def args(self, problem):
        return list(problem)

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (RandomForestClassifier(5), r"LogisticRegression, .*bridge\.register"),
            (SGDClassifier(), 'loss="log_loss"'),
            (GridSearchCV(LogisticRegression(), {"C": [1.0]}, refit=False), "refit=True"),
        ],
        ids=["forest", "hinge loss", "search without refit"],
    )
    def test_models(self, args, model, message):
        with pytest.raises(TypeError, match=message):
            fi_util(clone(model).fit(args[1], args[2]), *args[1:])

    def test_not_fitted(self, args):
        for unfitted in (LogisticRegression(), make_pipeline(LogisticRegression())):
            with pytest.raises(NotFittedError):
                fi_util(unfitted, *args[1:])

    @pytest.mark.parametrize(("position", "name"), [(1, "X"), (3, "X_val")])
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_nan_and_inf(self, args, position, name, bad):
        args[position] = args[position].copy()
        args[position][2, 1] = bad
        with pytest.raises(ValueError, match=rf"Input {name} contains"):
            fi_util(*args)

    def test_other_width(self, args):
        args[3] = args[3][:, :-1]
        with pytest.raises(ValueError, match="X_val has 4 features, but X has 5"):
            fi_util(*args)
        args[1] = args[1][:, :-1]
        with pytest.raises(ValueError, match="the model was fitted on 5"):
            fi_util(*args)

    def test_labels(self, args):
        *rest, y_val = args
        with pytest.raises(ValueError, match=r"y_val has labels .* never saw: \[7\]"):
            fi_util(*rest, np.append(y_val[1:], 7))
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            fi_util(*rest, y_val[:-1])

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"metric": "cosine"}, r"metric='cosine'.*mahalanobis"),
            ({"validation_loss": "hinge"}, "validation_loss='hinge'"),
            ({"unit": "both"}, "unit='both'"),
            ({"sample_weight": 0.0}, "sample_weight is zero for every row"),
            ({"sample_weight_val": 0.0}, "sample_weight_val is zero"),
            ({"sample_weight": -1.0}, r"[Nn]egative"),
        ],
    )
    def test_options(self, args, settings, message):
        length = {"sample_weight": len(args[2]), "sample_weight_val": len(args[4])}
        settings = {
            name: np.full(length[name], value) if name in length else value
            for name, value in settings.items()
        }
        with pytest.raises(ValueError, match=message):
            fi_util(*args, **settings)

    @pytest.mark.parametrize(
        ("loss", "message"),
        [
            (lambda y, z: z, "must return a tuple"),
            (lambda y, z: (y * 1.0, z[:, :1]), "gradient of shape"),
            (lambda y, z: (y * 1.0, np.full_like(z, np.nan)), "NaN or infinity"),
        ],
    )
    def test_callable_loss_that_returns_nonsense(self, args, loss, message):
        with pytest.raises(ValueError, match=message):
            fi_util(*args, validation_loss=loss)

    def test_coefficients_that_diverged(self, problem):
        _, X, y, X_val, y_val = problem
        broken = LogisticRegression().fit(X, y)
        broken.coef_ = np.full_like(broken.coef_, np.nan)
        with pytest.raises(ValueError, match="diverged"):
            fi_util(broken, X, y, X_val, y_val)


def test_small_probabilities_are_exact():
    """A class of probability 1e-13 counts as in exact arithmetic, not as rounding."""
    mpmath = pytest.importorskip("mpmath")
    from skfi.linear._geometry import fi_multiclass

    rng = np.random.default_rng(0)
    Z, g = rng.standard_normal((1, 2, 4)), rng.standard_normal((1, 4))
    p = np.array([[1 - 1e-6 - 1e-13, 1e-6, 1e-13]])
    with mpmath.workdps(60):
        P = [mpmath.mpf(1) - mpmath.mpf("1e-6") - mpmath.mpf("1e-13"), "1e-6", "1e-13"]
        P = mpmath.matrix([mpmath.mpf(q) for q in P])
        U = mpmath.matrix(3, 2)  # orthonormal contrasts, as scipy.linalg.helmert has them
        U[0, 0], U[1, 0] = 1 / mpmath.sqrt(2), -1 / mpmath.sqrt(2)
        for c, value in enumerate((1, 1, -2)):
            U[c, 1] = value / mpmath.sqrt(6)
        D = (mpmath.eye(3) - mpmath.ones(3, 1) * P.T) * U * mpmath.matrix(Z[0].tolist())
        A = mpmath.diag([mpmath.sqrt(q) for q in P]) * D
        gram = A * A.T  # 3×3 of rank 2
        values, vectors = mpmath.eigsy(gram)
        Ag = vectors.T * (A * mpmath.matrix(g[0].tolist()))
        exact = sum((Ag[k] / values[k]) ** 2 for k in range(3) if values[k] > 1e-40)
    actual = fi_multiclass(g, Z, np.log(p))[0]
    assert actual == pytest.approx(float(exact), rel=1e-7)


def test_labels_far_apart_in_confidence():
    """A sure and wrong row outranks all others, however small its probability."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 1))
    y = (rng.random(200) < expit(3 * X[:, 0])).astype(int)
    X[0], y[0] = 4.0, 0
    model = LogisticRegression(C=10.0, **EXACT).fit(X[:100], y[:100])
    influence = fi_util(model, X[:100], y[:100], X[100:], y[100:])
    assert influence.argmax() == 0


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis"])
def test_features_without_any_spread(n_classes, metric):
    """Nothing to whiten by: every score is 0, none is NaN."""
    X, y = np.full((30, 2), 4.0), np.arange(30) % n_classes
    model = LogisticRegression(fit_intercept=False, C=1e-3, **EXACT).fit(X, y)
    influence = fi_util(model, X, y, X[:5], y[:5], metric=metric)
    assert np.isfinite(influence).all()
    if metric == "mahalanobis":
        assert (influence == 0).all()


def test_signed_fi_is_the_trimmers_order():
    X, y, X_val, y_val, _ = make_split()
    model = LogisticRegression().fit(X, y)
    rule = {"validation_loss": "expected_error", "metric": "mahalanobis"}
    scores = fi_signed(model, X, y, X_val, y_val, **rule)
    expected = np.sqrt(fi_util(model, X, y, X_val, y_val, **rule))
    expected *= iv(model, X, y, X_val, y_val, validation_loss="expected_error")
    np.testing.assert_allclose(scores, expected, rtol=1e-10)
    trimmer = FITrimmer(budget=10, step=None, checked_rows="judge")
    trimmer.fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(np.argsort(-scores)[:10], trimmer.trimmed_indices_)
    by_name = clone(trimmer).set_params(influence=fi_signed)
    np.testing.assert_array_equal(
        by_name.fit(X, y, X_val=X_val, y_val=y_val).trimmed_indices_, trimmer.trimmed_indices_
    )


@pytest.mark.parametrize(("n_classes", "d"), [(3, 2), (4, 2)])
def test_metrics_agree_where_the_tensor_has_full_rank_whatever_the_units(n_classes, d):
    """There FI is the same in all coordinates, also of columns of very different scales."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, d)), np.arange(40) % n_classes
    unit = np.append(np.ones(d - 1), 1e-8)
    model = LogisticRegression(C=np.inf, **EXACT).fit(X, y)
    small = copy.deepcopy(model)
    small.coef_ = model.coef_ / unit
    for function in (fi_util, fi_pairwise):
        expected = function(model, X, y, X[:3], y[:3])
        for metric in ("euclidean", "mahalanobis"):
            found = function(small, X * unit, y, X[:3] * unit, y[:3], metric=metric)
            np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, "frame"])
def test_values_whose_squares_overflow_are_refused_by_column(problem, form):
    model, X, y, X_val, y_val = problem
    large, small = X.copy(), copy.deepcopy(model)
    large[3, 2], small.coef_[0, 2] = -1e155, 1e155
    where = "column 2"
    if form == "frame":
        pd = pytest.importorskip("pandas")
        names = [f"f{k}" for k in range(X.shape[1])]
        form, where = (lambda rows: pd.DataFrame(rows, columns=names)), "column 'f2'"
        model = LogisticRegression(**EXACT).fit(form(X), y)
    with pytest.raises(ValueError, match=rf"X holds values up to 1e\+155 in {where}"):
        fi_util(model, form(large), y, form(X_val), y_val)
    with pytest.raises(ValueError, match=rf"X_val holds values up to 1e\+155 in {where}"):
        fi_util(model, form(X), y, form(large), y)
    with pytest.raises(ValueError, match=rf"X_query holds .* in {where}"):
        fi_pairwise(model, form(X), y, form(large))
    with pytest.raises(ValueError, match=r"coefficients reach 1e\+155"):
        fi_util(small, X, y, X_val, y_val)


@pytest.mark.parametrize("C", [1.0, 1e6])
@pytest.mark.parametrize("scale", [1e-4, 1e-8])
def test_metrics_agree_on_a_penalised_column_that_is_small(C, scale):
    """With d = K - 1 the metric tensor has full rank, so that its coordinates do not matter."""
    X, y = load_iris(return_X_y=True)
    X, y = X[:, 2:] * [1.0, scale], y
    model = LogisticRegression(C=C, max_iter=2000, solver="newton-cholesky", tol=1e-10)
    rows = model.fit(X[::2], y[::2]), X[::2], y[::2], X[1::2], y[1::2]
    euclidean, mahalanobis = (fi_util(*rows, metric=m) for m in ("euclidean", "mahalanobis"))
    np.testing.assert_allclose(mahalanobis, euclidean, rtol=1e-9)
