"""How validation rows and weights travel through Pipelines, searches and routing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import FITrimmer, FITrimmerCV, fi_util
from skfi.bridge._base import innermost
from skfi.bridge._routing import _weight_names
from tests.conftest import classic


@pytest.fixture(scope="module")
def raw():
    """Columns far from mean 0 and scale 1, as data comes."""
    X, y = make_classification(400, 6, n_informative=4, flip_y=0.2, random_state=0)
    X = X * [100, 1, 10, 1, 1, 50] + [1000, 0, 50, 7, 0, 0]
    return X[:300], y[:300], X[300:], y[300:]


def expected_scores(raw):
    X, y, X_val, y_val = raw
    scaler = StandardScaler().fit(X)
    model = LogisticRegression().fit(scaler.transform(X), y)
    return fi_util(model, scaler.transform(X), y, scaler.transform(X_val), y_val)


class TestPipeline:
    def test_without_routing_raw_rows_are_noticed(self, raw):
        X, y, X_val, y_val = raw
        pipe = Pipeline([("scale", StandardScaler()), ("trim", classic())])
        with pytest.warns(UserWarning, match=r"X_val lie far .*transform_input"):
            pipe.fit(X, y, trim__X_val=X_val, trim__y_val=y_val)

    def test_transform_input_sends_them_through(self, raw):
        X, y, X_val, y_val = raw
        with config_context(enable_metadata_routing=True):
            trimmer = classic().set_fit_request(X_val=True, y_val=True)
            pipe = make_pipeline(StandardScaler(), trimmer, transform_input=["X_val"])
            pipe.fit(X, y, X_val=X_val, y_val=y_val)
        np.testing.assert_allclose(pipe[-1].influence_, expected_scores(raw), rtol=1e-9)

    def test_wrapped_pipeline_needs_no_routing(self, raw):
        X, y, X_val, y_val = raw
        trimmer = classic(make_pipeline(StandardScaler(), LogisticRegression()))
        trimmer.fit(X, y, X_val=X_val, y_val=y_val)
        np.testing.assert_allclose(trimmer.influence_, expected_scores(raw), rtol=1e-9)

    @pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
    def test_ordinary_rows_are_not_noticed(self, kind):
        rng = np.random.default_rng(0)
        X = np.column_stack(
            [
                rng.standard_normal(500) * 3 + 100,
                rng.standard_t(2, 500),
                rng.random(500) < 0.004,
                np.zeros(500),
            ]
        )
        X[:, 3] = 2.0
        y = (rng.random(500) < 0.4).astype(int)
        for rows in (slice(400, 500), slice(400, 403)):  # also where V is tiny
            classic(make_pipeline(StandardScaler(with_mean=False), LogisticRegression())).fit(
                kind(X[:400]), y[:400], X_val=kind(X[rows]), y_val=y[rows]
            )

    def test_sparse_raw_rows_are_noticed(self, raw):
        X, y, X_val, y_val = raw
        pipe = make_pipeline(StandardScaler(with_mean=False), classic())
        with pytest.warns(UserWarning, match="X_val lie far"):
            pipe.fit(
                sparse.csr_array(X),
                y,
                fitrimmer__X_val=sparse.csr_array(X_val),
                fitrimmer__y_val=y_val,
            )


class TestGridSearch:
    def test_one_tuple_arrives_whole(self, raw):
        """As long as X, it would be sliced to the fold's rows without a word."""
        X, y, X_val, y_val = raw
        rows = np.arange(300) % len(y_val)
        X_long, y_long = X_val[rows], y_val[rows]  # a validation set as long as X
        seen = []

        class Recording(FITrimmer):
            def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
                super().fit(X, y, sample_weight, X_val=X_val, y_val=y_val)
                seen.append(len(X_val[0]) if isinstance(X_val, tuple) else len(X_val))
                return self

        pipe = make_pipeline(StandardScaler(), LogisticRegression())
        search = GridSearchCV(Recording(pipe), {"budget": [5]}, cv=3, refit=False)
        search.fit(X, y, X_val=X_long, y_val=y_long)
        assert seen == [200] * 3  # what the one-tuple is for
        seen.clear()
        search.fit(X, y, X_val=(X_long,), y_val=(y_long,))
        assert seen == [300] * 3

    def test_one_tuple_gives_the_same_scores(self, raw):
        X, y, X_val, y_val = raw
        pipe = make_pipeline(StandardScaler(), LogisticRegression())
        one = classic(pipe).fit(X, y, X_val=X_val, y_val=y_val)
        two = classic(pipe).fit(
            X, y, X_val=(X_val,), y_val=(y_val,), sample_weight_val=(np.ones(len(y_val)),)
        )
        np.testing.assert_array_equal(one.influence_, two.influence_)


class TestMetadataRouting:
    def test_weights_must_be_requested(self, raw):
        X, y, _, _ = raw
        with (
            config_context(enable_metadata_routing=True),
            pytest.raises(UnsetMetadataPassedError, match="sample_weight"),
        ):
            classic(LogisticRegression()).fit(X, y, np.ones(len(y)))

    def test_requested_weights_reach_fit_and_scores(self, raw):
        X, y, X_val, y_val = raw
        X, X_val = StandardScaler().fit_transform(X), StandardScaler().fit_transform(X_val)
        weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
        expected = classic().fit(X, y, weight, X_val=X_val, y_val=y_val)
        with config_context(enable_metadata_routing=True):
            inner = LogisticRegression().set_fit_request(sample_weight=True)
            trimmer = classic(inner).fit(X, y, weight, X_val=X_val, y_val=y_val)
        np.testing.assert_array_equal(trimmer.influence_, expected.influence_)
        np.testing.assert_array_equal(trimmer.estimator_.coef_, expected.estimator_.coef_)

    def test_weights_the_classifier_declined_still_count_in_the_budget(self, raw):
        X, y, X_val, y_val = raw
        X, X_val = StandardScaler().fit_transform(X), StandardScaler().fit_transform(X_val)
        weight = np.full(len(y), 2.0)
        with config_context(enable_metadata_routing=True):
            inner = LogisticRegression().set_fit_request(sample_weight=False)
            trimmer = classic(inner, budget=6).fit(X, y, weight, X_val=X_val, y_val=y_val)
        assert trimmer.n_trimmed_ == 3
        plain = classic(budget=3).fit(X, y, X_val=X_val, y_val=y_val)
        np.testing.assert_array_equal(trimmer.influence_, plain.influence_)

    def test_search_routes_to_the_trimmer(self, raw):
        X, y, X_val, y_val = raw
        with config_context(enable_metadata_routing=True):
            trimmer = classic(
                make_pipeline(StandardScaler(), LogisticRegression())
            ).set_fit_request(X_val=True, y_val=True)
            search = GridSearchCV(trimmer, {"budget": [0, 10]}, cv=3)
            search.fit(X, y, X_val=X_val, y_val=y_val)
        assert search.best_estimator_.influence_.shape == (300,)

    @pytest.mark.parametrize("checked", [False, True], ids=["folds", "X_val"])
    def test_nothing_to_route(self, raw, checked):
        X, y, X_val, y_val = raw
        held = {"X_val": X_val, "y_val": y_val} if checked else {}
        model = make_pipeline(StandardScaler(), LogisticRegression())
        trimmer = FITrimmerCV(model, budgets=(0, 10), step=None, validation=2, cv=2)
        plain = trimmer.fit(X, y, **held).cv_results_["mean_test_score"]
        with config_context(enable_metadata_routing=True):
            routed = trimmer.fit(X, y, **held).cv_results_["mean_test_score"]
        np.testing.assert_array_equal(routed, plain)

    def test_groups_reach_the_splitter(self, raw):
        X, y, _, _ = raw
        groups = np.arange(len(y)) // 30
        pipe = make_pipeline(StandardScaler(), LogisticRegression())
        with config_context(enable_metadata_routing=True):
            trimmer = classic(pipe, validation=GroupKFold(3)).fit(X, y, groups=groups)
        plain = classic(pipe, validation=GroupKFold(3)).fit(X, y, groups=groups)
        np.testing.assert_array_equal(trimmer.influence_, plain.influence_)


def test_adult_in_a_pipeline(adult):
    """A DataFrame with categories, a grid over budget and C, a Pipeline around it."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    X, y = adult
    prepare = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (
            OneHotEncoder(handle_unknown="ignore", min_frequency=10),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    trimmer = classic(make_pipeline(prepare, LogisticRegression(max_iter=1000)), random_state=0)
    grid = {
        "budget": [0, 0.01, 0.05],
        "estimator__logisticregression__C": [0.1, 1],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search = GridSearchCV(trimmer, grid, cv=2).fit(X.iloc[:2000], y.iloc[:2000])
        pipe = make_pipeline(
            prepare, classic(LogisticRegression(max_iter=1000), random_state=0)
        )
        pipe.fit(X.iloc[:2000], y.iloc[:2000])
    assert search.score(X.iloc[2000:], y.iloc[2000:]) > 0.8
    assert pipe.score(X.iloc[2000:], y.iloc[2000:]) > 0.8
    assert pipe[-1].n_trimmed_ == 100


LOGISTIC = LogisticRegression(tol=1e-8)
WEIGHED = {
    "search": GridSearchCV(LOGISTIC, {"C": [0.3]}, cv=2),
    "search over a Pipeline": GridSearchCV(make_pipeline(StandardScaler(), LOGISTIC), {}, cv=2),
    "search in a Pipeline": make_pipeline(StandardScaler(), GridSearchCV(LOGISTIC, {}, cv=2)),
    "Pipeline in a Pipeline": make_pipeline(StandardScaler(), make_pipeline(LOGISTIC)),
    "vote": VotingClassifier([("a", LOGISTIC), ("b", GaussianNB())], voting="soft"),
    "stack": StackingClassifier([("a", LOGISTIC)], cv=2),
}


@pytest.mark.parametrize("name", WEIGHED)
def test_weights_reach_what_passes_them_on(raw, name):
    X, y, X_val, y_val = raw
    X, X_val = (StandardScaler().fit_transform(rows) for rows in (X[:60], X_val))
    y, weight = y[:60], np.arange(60) % 2 + 1
    trimmer = FITrimmer(
        WEIGHED[name], influence_estimator=LOGISTIC, budget=0, checked_rows="judge"
    )
    trimmer.fit(X, y, weight, X_val=X_val, y_val=y_val)
    estimator = WEIGHED[name]
    names = _weight_names(estimator)
    assert names
    plain = clone(estimator).fit(X, y, **dict.fromkeys(names, weight))
    unweighted = clone(estimator).fit(X, y)
    proba, expected, without = (m.predict_proba(X_val) for m in (trimmer, plain, unweighted))
    np.testing.assert_allclose(proba, expected, rtol=1e-9)
    assert np.abs(proba - without).max() > 1e-3


def test_weights_score_a_search(raw):
    X, y, X_val, y_val = raw
    weight = np.arange(len(y)) % 3 + 1.0
    data = {"X_val": X_val, "y_val": y_val}
    pipe = make_pipeline(StandardScaler(), LOGISTIC)
    trimmers = [
        FITrimmer(model, budget=6).fit(X, y, weight, **data)
        for model in (GridSearchCV(pipe, {}, cv=3), pipe)
    ]
    np.testing.assert_allclose(*(t.influence_ for t in trimmers), rtol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        GridSearchCV(KNeighborsClassifier(), {}),
        VotingClassifier([("a", LOGISTIC), ("b", KNeighborsClassifier())]),
    ],
    ids=["search", "vote"],
)
def test_weights_that_nobody_takes(raw, model):
    X, y, _, _ = raw
    name = type(innermost(model)).__name__
    trimmer = FITrimmer(model, influence_estimator=LOGISTIC)
    with pytest.raises(ValueError, match=f"sample_weight was passed, but {name} does not"):
        trimmer.fit(X, y, sample_weight=np.ones(len(y)))


class Recorder(LogisticRegression):
    """Keeps what its fit was passed, as libraries with early stopping take it."""

    seen: list = []

    def fit(self, X, y, sample_weight=None, **params):
        self.seen.append((len(y), params))
        return super().fit(X, y, sample_weight)


class TestParametersOfOtherRows:
    @pytest.mark.parametrize("in_pipeline", [False, True])
    @pytest.mark.parametrize("kind", [FITrimmer, FITrimmerCV])
    def test_those_named_so_are_passed_whole(self, raw, kind, in_pipeline):
        X, y = StandardScaler().fit_transform(raw[0]), raw[1]
        model = make_pipeline(StandardScaler(), Recorder()) if in_pipeline else Recorder()
        step = "recorder__" if in_pipeline else ""
        options = {"budget": 9} if kind is FITrimmer else {"budgets": (0, 9), "cv": 2}
        pair = (X, y)
        whole = {"eval_X": X, "eval_set": pair, "sample_weight_eval_set": (y,), "my_val": y}
        cut = {"cost": np.arange(300)}
        packed = {"table": (X,)}
        options |= {"influence": "loss", "influence_estimator": None, "step": None}
        Recorder.seen = []
        kind(model, **options).fit(
            X, y, **{step + key: value for key, value in (whole | cut | packed).items()}
        )
        assert len(Recorder.seen) > 1
        for n_rows, params in Recorder.seen:
            assert all(params[key] is value for key, value in whole.items())
            assert params["table"] is X
            assert len(params["cost"]) == n_rows
        assert min(n_rows for n_rows, _ in Recorder.seen) < 300

    def test_one_tuples_that_are_no_arrays_stay(self, raw):
        X, y = StandardScaler().fit_transform(raw[0]), raw[1]
        Recorder.seen = []
        callbacks = (print,)
        FITrimmer(Recorder(), budget=0, influence="loss").fit(X, y, callbacks=callbacks)
        assert all(params["callbacks"] is callbacks for _, params in Recorder.seen)
