"""One-versus-rest and one-versus-one over binary models."""

from __future__ import annotations

import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import fi_util
from skfi.bridge import Bridge, bridge, register_bridge
from skfi.linear._softmax import SoftmaxLinear
from tests.conftest import classic, make_split
from tests.influence.test_reference import ingredients
from tests.reference import Definition

EXACT = dict(solver="newton-cholesky", tol=1e-12, max_iter=1000)
JOINED = [OneVsRestClassifier, OneVsOneClassifier]


class OneVsOneDefinition(Definition):
    """Pairs i < j in lexical order, a positive score for j; products over pairs."""

    def __post_init__(self):
        super().__post_init__()
        self.K = round((1 + np.sqrt(1 + 8 * self.outputs)) / 2)
        self.pairs = list(combinations(range(self.K), 2))

    def log_product(self, z):
        out = np.zeros(self.K)
        for score, (i, j) in zip(z, self.pairs, strict=True):
            out[i] += -np.log1p(np.exp(score))
            out[j] += -np.log1p(np.exp(-score))
        return out

    def proba(self, x):
        z = self.beta @ self.extend(x)
        P = np.exp(self.log_product(z))
        P /= P.sum()
        E = np.zeros((self.K, self.outputs))
        for k, (i, j) in enumerate(self.pairs):
            q = 1 / (1 + np.exp(-z[k]))
            E[i, k], E[j, k] = -q, 1 - q
        return P, E - P @ E

    def loss_derivatives(self, x, y):
        z = self.beta @ self.extend(x)
        q = 1 / (1 + np.exp(-z))
        target = np.array([float(y == j) for _, j in self.pairs])
        return q - target, np.diag(q * (1 - q))


def definition_and_weights(model, y, weight, class_weight=None):
    """The naive model behind a joined classifier, and its weights (n, outputs)."""
    coef = np.vstack([part.coef_ for part in model.estimators_])
    inner = model.estimators_[0]
    intercept = None
    if inner.fit_intercept:
        intercept = np.concatenate([part.intercept_ for part in model.estimators_])
    K = len(model.classes_)
    problems = [(None, k) for k in range(K)]
    kind = Definition
    if isinstance(model, OneVsOneClassifier):
        problems, kind = list(combinations(range(K), 2)), OneVsOneDefinition
    weights = np.zeros((len(y), len(problems)))
    for k, (i, j) in enumerate(problems):
        seen = [row for row in range(len(y)) if i is None or y[row] in (i, j)]
        for row in seen:
            factor = 1.0
            if class_weight == "balanced":
                alike = [r for r in seen if (y[r] == j) == (y[row] == j)]
                factor = weight[seen].sum() / (2 * weight[alike].sum())
            elif class_weight is not None:
                factor = class_weight[int(y[row] == j)]
            weights[row, k] = factor * weight[row]
    return kind(coef, intercept, 1 / inner.C, kind="ovr"), weights


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1.0, 1: 4.0}])
@pytest.mark.parametrize("n_classes", [3, 4])
@pytest.mark.parametrize("joined", JOINED)
def test_equals_definition(joined, n_classes, class_weight):
    X, y, X_val, y_val, _ = make_split(n_classes, n=90, n_val=20)
    kept = (y != 2) | (np.arange(len(y)) % 3 == 0)  # classes of unequal size
    X, y = X[kept], y[kept]
    inner = LogisticRegression(C=0.7, class_weight=class_weight, **EXACT)
    model = joined(inner).fit(X, y)
    naive, weights = definition_and_weights(model, y, np.ones(len(y)), class_weight)
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)))
    expected = naive.fi(X, y, weights, weights, u)
    np.testing.assert_allclose(fi_util(model, X, y, X_val, y_val), expected, rtol=1e-6)


@pytest.mark.parametrize("joined", JOINED)
@pytest.mark.parametrize(
    "options", [{}, {"unit": "row"}, {"validation_loss": "expected_error"}, {"whitened": True}]
)
def test_equals_definition_with_options(joined, options):
    """Sample weights, every option, labels that are strings, and no intercept."""
    X, y, X_val, y_val, weight = make_split(3, n=90, n_val=20)
    names = np.array(["ant", "bee", "cat"])
    inner = LogisticRegression(C=2.0, class_weight="balanced", fit_intercept=False, **EXACT)
    with config_context(enable_metadata_routing=True):
        model = joined(inner.set_fit_request(sample_weight=True))
        model.fit(X, names[y], sample_weight=weight)
    naive, weights = definition_and_weights(model, y, weight, "balanced")
    options = dict(options)
    loss = options.get("validation_loss", "log_loss")
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)), loss)
    moved = weights if options.get("unit") == "row" else weights / weight[:, None]
    root = None
    if options.pop("whitened", False):
        options["metric"] = "mahalanobis"
        root = np.linalg.cholesky(np.cov(X.T, bias=True, aweights=weight))
    expected = naive.fi(X, y, weights, moved, u, root=root)
    actual = fi_util(model, X, names[y], X_val, names[y_val], sample_weight=weight, **options)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def log_proba(model, X):
    """One-versus-one's from its members' own probabilities; else scikit-learn's."""
    if not isinstance(model, OneVsOneClassifier):
        return np.log(model.predict_proba(X))
    K = len(model.classes_)
    out = np.zeros((len(X), K))
    for part, (i, j) in zip(model.estimators_, combinations(range(K), 2), strict=True):
        out[:, [i, j]] += part.predict_log_proba(X)
    return out - np.log(np.exp(out).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("joined", JOINED)
def test_ingredients_equal_refits(joined, n_classes, class_weight):
    """g and D against central differences of scikit-learn's own refits."""
    X, y, X_val, y_val, _ = make_split(n_classes, n=70, d=3)

    def fit(X):
        inner = LogisticRegression(class_weight=class_weight, **(EXACT | {"tol": 1e-14}))
        return joined(inner).fit(X, y)

    one = np.ones(len(X))
    g, D = ingredients(fit(X), X, y, one, X_val, y_val, moved=1.0)
    step = 1e-4
    for row in (0, 7, 33):
        g_refit, D_refit = np.empty(3), np.empty(D.shape[1:])
        for j in range(3):
            losses, own = [], []
            for sign in (1, -1):
                moved = X.copy()
                moved[row, j] += sign * step
                again = fit(moved)
                losses.append(-log_proba(again, X_val)[np.arange(len(y_val)), y_val].mean())
                own.append(log_proba(again, moved[row : row + 1])[0])
            g_refit[j] = (losses[0] - losses[1]) / (2 * step)
            D_refit[:, j] = (own[0] - own[1]) / (2 * step)
        assert np.abs(g[row] - g_refit).max() <= 1e-4 * np.abs(g_refit).max()
        assert np.abs(D[row] - D_refit).max() <= 1e-4 * np.abs(D_refit).max()


@pytest.mark.parametrize("joined", JOINED)
def test_two_classes_are_the_one_model_inside(joined):
    X, y, X_val, y_val, _ = make_split()
    names = np.array(["no", "yes"])
    inner = LogisticRegression(C=0.3, class_weight={0: 1, 1: 3}, **EXACT)
    model = joined(inner).fit(X, names[y])
    expected = fi_util(inner.fit(X, y), X, y, X_val, y_val)
    actual = fi_util(model, X, names[y], X_val, names[y_val])
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_one_vs_rest_has_the_penalty_of_each_class():
    """Searches inside choose by class; the scores see what each has chosen."""
    X, y, X_val, y_val, _ = make_split(3)
    search = GridSearchCV(LogisticRegression(**EXACT), {"C": [0.01, 0.1, 1.0]}, cv=3)
    model = OneVsRestClassifier(search).fit(X, y)
    chosen = np.array([part.best_params_["C"] for part in model.estimators_])
    np.testing.assert_array_equal(bridge(model).make_model(5).l2[:, 0], 1 / chosen)
    naive = Definition(
        np.vstack([part.best_estimator_.coef_ for part in model.estimators_]),
        np.concatenate([part.best_estimator_.intercept_ for part in model.estimators_]),
        (1 / chosen)[:, None],
        kind="ovr",
    )
    one = np.ones(len(X))
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)))
    expected = naive.fi(X, y, one, one, u)
    np.testing.assert_allclose(fi_util(model, X, y, X_val, y_val), expected, rtol=1e-6)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_one_vs_rest_over_sgd_is_sgd(class_weight):
    """The same model, however it is put together."""
    X, y, X_val, y_val, _ = make_split(3)
    sgd = SGDClassifier(loss="log_loss", alpha=0.05, random_state=0)
    model, plain = OneVsRestClassifier(sgd).fit(X, y), sgd.fit(X, y)
    plain.coef_ = np.vstack([part.coef_ for part in model.estimators_])
    plain.intercept_ = np.concatenate([part.intercept_ for part in model.estimators_])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the default schedule stops early
        expected = fi_util(plain, X, y, X_val, y_val)
        actual = fi_util(model, X, y, X_val, y_val)
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_one_vs_one_over_sgd_counts_the_penalty_by_the_rows_of_a_pair():
    X, y, X_val, y_val, _ = make_split(3)
    alpha, pairs = 0.02, list(combinations(range(3), 2))
    sgd = OneVsOneClassifier(SGDClassifier(loss="log_loss", alpha=alpha)).fit(X, y)
    exact = [
        LogisticRegression(C=1 / (alpha * np.isin(y, pair).sum()), **EXACT).fit(
            X[np.isin(y, pair)], y[np.isin(y, pair)] == pair[1]
        )
        for pair in pairs
    ]
    for part, model in zip(sgd.estimators_, exact, strict=True):
        part.coef_, part.intercept_ = model.coef_, model.intercept_
    # The gradient vanishes at the optimum, or there would be a warning.
    actual = fi_util(sgd, X, y, X_val, y_val)
    naive = OneVsOneDefinition(
        np.vstack([model.coef_ for model in exact]),
        np.concatenate([model.intercept_ for model in exact]),
        np.array([[1 / model.C] for model in exact]),
    )
    weights = np.column_stack([np.isin(y, pair) for pair in pairs]).astype(float)
    u = naive.validation_gradient(X_val, y_val, np.ones(len(y_val)))
    np.testing.assert_allclose(actual, naive.fi(X, y, weights, weights, u), rtol=1e-6)


@pytest.mark.parametrize("joined", JOINED)
def test_sparse_rows_in_small_blocks(joined):
    X, y, X_val, y_val, _ = make_split(5, n=200)
    X = np.where(np.abs(X) > 0.5, X, 0)
    model = joined(LogisticRegression(**EXACT)).fit(X, y)
    expected = fi_util(model, X, y, X_val, y_val)
    with config_context(working_memory=1e-3):
        actual = fi_util(model, sparse.csr_array(X), y, sparse.csc_array(X_val), y_val)
    np.testing.assert_allclose(actual, expected, rtol=1e-8)


@pytest.mark.parametrize("joined", JOINED)
class TestOrder:
    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(seed=st.integers(0, 2**31), metric=st.sampled_from(["euclidean", "mahalanobis"]))
    def test_of_rows_does_not_matter(self, joined, seed, metric):
        X, y, X_val, y_val, _ = make_split(3, n=60, n_val=20)
        model = joined(LogisticRegression(class_weight="balanced", **EXACT)).fit(X, y)
        expected = fi_util(model, X, y, X_val, y_val, metric=metric)
        rng = np.random.default_rng(seed)
        rows, rows_val = rng.permutation(len(X)), rng.permutation(len(X_val))
        actual = fi_util(
            model, X[rows], y[rows], X_val[rows_val], y_val[rows_val], metric=metric
        )
        np.testing.assert_allclose(actual, expected[rows], rtol=1e-8)

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(new=st.permutations(range(4)))
    def test_of_classes_does_not_matter(self, joined, new):
        """Other names put the pairs into another order, and turn some round."""
        X, y, X_val, y_val, _ = make_split(4, n=80, n_val=20)
        new, inner = np.array(new), LogisticRegression(C=0.5, **EXACT)
        expected = fi_util(joined(inner).fit(X, y), X, y, X_val, y_val)
        model = joined(inner).fit(X, new[y])
        actual = fi_util(model, X, new[y], X_val, new[y_val])
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("joined", JOINED)
class TestTrimmer:
    def test_drops_the_highest(self, joined):
        X, y, X_val, y_val, _ = make_split(3)
        base = joined(LogisticRegression(**EXACT))
        trimmer = classic(base, budget=7).fit(X, y, X_val=X_val, y_val=y_val)
        scores = fi_util(joined(LogisticRegression(**EXACT)).fit(X, y), X, y, X_val, y_val)
        np.testing.assert_array_equal(trimmer.trimmed_indices_, np.argsort(-scores)[:7])
        again = joined(LogisticRegression(**EXACT)).fit(
            X[trimmer.support_], y[trimmer.support_]
        )
        np.testing.assert_array_equal(trimmer.predict(X_val), again.predict(X_val))

    def test_weights_by_routing(self, joined):
        X, y, X_val, y_val, weight = make_split(3)
        with config_context(enable_metadata_routing=True):
            inner = LogisticRegression(**EXACT).set_fit_request(sample_weight=True)
            trimmer = classic(joined(inner), budget=0).fit(
                X, y, sample_weight=weight, X_val=X_val, y_val=y_val
            )
        repeated = np.repeat(np.arange(len(X)), weight.astype(int))
        whole = joined(LogisticRegression(**EXACT)).fit(X[repeated], y[repeated])
        scores = fi_util(whole, X[repeated], y[repeated], X_val, y_val)
        np.testing.assert_allclose(trimmer.influence_[repeated], scores, rtol=1e-6)


def never(*args, **kwargs):
    raise AssertionError("fitted although it cannot be scored")


class TestRefusals:
    def test_several_labels_a_row(self):
        X, y, X_val, y_val, _ = make_split(3)
        model = OneVsRestClassifier(LogisticRegression()).fit(X, np.eye(3, dtype=int)[y])
        with pytest.raises(TypeError, match="own column of y"):
            fi_util(model, X, y, X_val, y_val)

    def test_one_class(self):
        X, _, X_val, y_val, _ = make_split()
        with pytest.warns(UserWarning, match="present in all training examples"):
            model = OneVsRestClassifier(LogisticRegression()).fit(X, np.zeros(len(X)))
        with pytest.raises(ValueError, match="rows of one class only"):
            fi_util(model, X, np.zeros(len(X)), X_val, np.zeros(len(y_val)))

    @pytest.mark.parametrize("joined", JOINED)
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_preprocessing_inside(self, joined, n_classes, monkeypatch):
        X, y, X_val, y_val, _ = make_split(n_classes)
        pipe = make_pipeline(StandardScaler(), LogisticRegression())
        for inner in (pipe, GridSearchCV(pipe, {})):
            model = joined(inner)
            with pytest.raises(TypeError, match=r"Put the steps in front: make_pipeline"):
                fi_util(joined(inner).fit(X, y), X, y, X_val, y_val)
            monkeypatch.setattr(joined, "fit", never)
            for outer in (model, make_pipeline(StandardScaler(), model)):
                with pytest.raises(TypeError, match=rf"{joined.__name__} over a Pipeline"):
                    classic(outer).fit(X, y)
            monkeypatch.undo()
        # A Pipeline of nothing but the classifier is no obstacle, nor is one outside.
        fi_util(joined(make_pipeline(LogisticRegression())).fit(X, y), X, y, X_val, y_val)
        outside = make_pipeline(StandardScaler(), joined(LogisticRegression()))
        assert classic(outside, budget=3, random_state=0).fit(X, y).n_trimmed_ == 3

    @pytest.mark.parametrize("joined", JOINED)
    def test_what_is_inside_needs_a_bridge(self, joined, monkeypatch):
        X, y, X_val, y_val, _ = make_split(3)
        model = joined(RandomForestClassifier(2, random_state=0))
        with pytest.raises(TypeError, match="influence for RandomForestClassifier"):
            fi_util(model.fit(X, y), X, y, X_val, y_val)
        monkeypatch.setattr(joined, "fit", never)
        with pytest.raises(TypeError, match="influence for RandomForestClassifier"):
            classic(model).fit(X, y)
        with pytest.raises(ValueError, match="never fits"):
            classic(joined(FrozenEstimator(LogisticRegression()))).fit(X, y)

    def test_intercepts_in_some(self):
        X, y, X_val, y_val, _ = make_split(3)
        model = OneVsRestClassifier(LogisticRegression()).fit(X, y)
        model.estimators_[1].fit_intercept = False
        with pytest.raises(TypeError, match="some have none"):
            fi_util(model, X, y, X_val, y_val)

    def test_models_of_two_scores(self):
        class TwoScores(LogisticRegression):
            pass

        @register_bridge(TwoScores)
        def _(estimator):
            read = Bridge.linear(np.ones((3, 5)), np.zeros(3), classes=range(3))
            return Bridge(read.make_model, estimator.classes_)

        X, y, X_val, y_val, _ = make_split(3)
        model = OneVsOneClassifier(TwoScores()).fit(X, y)
        with pytest.raises(TypeError, match="TwoScores has 2 for two classes"):
            fi_util(model, X, y, X_val, y_val)


def test_own_binary_classifier_inside():
    """Whatever has a binary bridge can be joined."""

    class Own(LogisticRegression):
        pass

    @register_bridge(Own)
    def _(estimator):
        return Bridge.linear(
            estimator.coef_, estimator.intercept_, classes=estimator.classes_, l2=2.0
        )

    X, y, X_val, y_val, _ = make_split(3)
    own = OneVsOneClassifier(Own(C=0.5, **EXACT)).fit(X, y)
    model = bridge(own).make_model(len(X))
    assert isinstance(model, SoftmaxLinear)
    assert model.beta.shape == (3, 6)
    plain = OneVsOneClassifier(LogisticRegression(C=0.5, **EXACT)).fit(X, y)
    np.testing.assert_array_equal(
        fi_util(own, X, y, X_val, y_val), fi_util(plain, X, y, X_val, y_val)
    )
