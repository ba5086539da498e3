"""Steps that write into their input leave scores, models and the caller's rows as they are."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler

from skfi import (
    FIActiveSampler,
    FIEmbedding,
    FITrimmer,
    FITrimmerCV,
    active_learning_curve,
    baselines,
    fi_active,
    fi_pairwise,
    fi_signed,
    fi_util,
    queries,
)
from skfi._utils._in_place import may_write, own_rows


def halve(X):
    X *= 0.5  # in place
    return X


def halved(X):
    return X * 0.5


def scaled(copy, last=None):
    last = LogisticRegression() if last is None else last
    return make_pipeline(StandardScaler(copy=copy), last)


@pytest.fixture(scope="module")
def data():
    X, y = load_breast_cancer(return_X_y=True)
    X, X_val, y, y_val = train_test_split(X, y, test_size=0.6, random_state=0)
    wrong = np.random.RandomState(0).uniform(size=len(y)) < 0.2
    return X, np.where(wrong, 1 - y, y), X_val, y_val


# What the class is fitted on, as a function of data and pipeline: all must not depend on copy.
SCORES = {
    "fi_util": fi_util,
    "fi_signed": fi_signed,
    "iv": baselines.iv,
    "loss": baselines.loss,
    "self_confidence": lambda *a: baselines.self_confidence(*a, cv=2, random_state=0),
    "knn_shapley": baselines.knn_shapley,
    "tmc_shapley": lambda m, X, y, X_val, y_val: baselines.tmc_shapley(
        m, X[:9], y[:9], X_val, y_val, tolerance=0, max_permutations=1, random_state=0
    ),
    "fi_active": lambda m, X, y, X_val, y_val: fi_active(m, X, y, X_val),
    "fi_pairwise": lambda m, X, y, X_val, y_val: fi_pairwise(m, X, y, X_val, y_val),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_do_not_depend_on_whether_a_step_works_in_place(data, name):
    X, y, X_val, y_val = data
    results = []
    for copy in (True, False):
        model = scaled(copy).fit(X.copy(), y)
        own, held_out = X.copy(), X_val.copy()
        results.append(SCORES[name](model, own, y, held_out, y_val))
        assert_array_equal(own, X)
        assert_array_equal(held_out, X_val)
    assert_allclose(results[1], results[0], rtol=1e-9)


@pytest.mark.parametrize("influence", ["fi_signed", "loss", "knn_shapley"])
@pytest.mark.parametrize("given", [False, True])
def test_a_trimmer_is_that_of_steps_that_copy(data, influence, given):
    X, y, X_val, y_val = data
    held_out = {"X_val": X_val, "y_val": y_val} if given else {}
    trimmers = []
    for copy in (True, False):
        own = X.copy()
        trimmer = FITrimmer(
            scaled(copy), budget=0.1, step=0.05, validation=2, influence=influence
        )
        trimmers.append(trimmer.fit(own, y, **held_out))
        assert_array_equal(own, X)
    assert_array_equal(trimmers[1].trimmed_indices_, trimmers[0].trimmed_indices_)
    assert_allclose(trimmers[1].influence_, trimmers[0].influence_)
    rows = X_val.copy()
    expected = trimmers[0].predict_proba(X_val)
    assert_allclose(trimmers[1].predict_proba(rows), expected)
    assert_allclose(trimmers[1].predict_log_proba(rows), np.log(expected))
    assert_array_equal(trimmers[1].predict(rows), trimmers[0].predict(X_val))
    assert_array_equal(rows, X_val)
    for left, right in zip(
        trimmers[1]._facts.values(), trimmers[0]._facts.values(), strict=True
    ):
        assert_array_equal(left, right)


def test_an_influence_callable_gets_rows_of_its_own(data):
    X, y, X_val, y_val = data

    def doubt(estimator, X, y, X_val, y_val):
        estimator.predict(X), estimator.predict(X_val)
        return np.arange(len(X), dtype=float)

    own, held_out = X.copy(), X_val.copy()
    trimmer = FITrimmer(scaled(False), budget=3, influence=doubt)
    trimmer.fit(own, y, X_val=held_out, y_val=y_val)
    assert_array_equal(own, X)
    assert_array_equal(held_out, X_val)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_a_budget_of_0_is_the_plain_classifier(data, kind, wrapped):
    X, y, X_val, _ = data
    step = FunctionTransformer(halve)
    if kind is sparse.csr_array:
        step = MaxAbsScaler(copy=False)
    model = make_pipeline(
        step, StandardScaler(with_mean=False), LogisticRegression(max_iter=2000)
    )
    if wrapped:
        model = GridSearchCV(model, {"logisticregression__C": [0.01, 0.02]}, cv=2)
    own = kind(X.copy())
    trimmer = FITrimmer(model, budget=0, validation=2).fit(own, y)
    # pandas 2 copies a frame in another order in memory, in which sums round differently.
    plain = model.fit(kind(X).copy(), y)
    assert abs(own - kind(X)).max().max() == 0
    expected = plain.predict_proba(kind(X_val).copy())
    assert_array_equal(trimmer.predict_proba(kind(X_val).copy()), expected)


def test_the_chosen_budget_is_that_of_steps_that_copy(data):
    X, y, X_val, y_val = data
    options = {"budgets": (0, 0.1), "cv": 2, "step": None, "validation": 2, "random_state": 0}
    for held_out in ({}, {"X_val": X_val, "y_val": y_val}):
        own = X.copy()
        one, other = (
            FITrimmerCV(scaled(copy), **options).fit(own, y, **held_out)
            for copy in (True, False)
        )
        assert_array_equal(own, X)
        assert_allclose(
            other.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"]
        )
        assert_array_equal(other.trimmed_indices_, one.trimmed_indices_)


STRATEGIES = [
    FIActiveSampler(batch_size=4, random_state=0),
    queries.Entropy(batch_size=4, random_state=0),
    queries.Margin(batch_size=4, random_state=0),
    queries.BALD(batch_size=4, random_state=0, posterior="committee", n_draws=2),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
def test_queries_do_not_depend_on_whether_a_step_works_in_place(data, strategy):
    X, y, X_pool, _ = data
    batches = []
    for copy in (True, False):
        own, pool = X[:60].copy(), X_pool[:150].copy()
        strategy.set_params(estimator=scaled(copy))
        batches.append(strategy.fit(own, y[:60]).query(pool, return_utilities=True))
        assert_array_equal(own, X[:60])
        assert_array_equal(pool, X_pool[:150])
    assert_array_equal(batches[1][0], batches[0][0])
    assert_allclose(batches[1][1], batches[0][1], rtol=1e-9)


def test_an_embedding_is_that_of_steps_that_copy(data):
    X, y, X_val, _ = data
    one, other = (FIEmbedding(scaled(copy), n_components=2).fit(X, y) for copy in (True, False))
    rows = X_val.copy()
    assert_allclose(abs(other.transform(rows)), abs(one.transform(X_val)), rtol=1e-6)
    assert_array_equal(rows, X_val)


def test_a_learning_curve_is_that_of_steps_that_copy(data):
    X, y, X_test, y_test = data
    options = {
        "n_initial": 20,
        "batch_size": 10,
        "n_rounds": 2,
        "n_repeats": 1,
        "random_state": 0,
    }
    strategies = {"entropy": queries.Entropy()}
    one, other = (
        active_learning_curve(
            scaled(copy), X, y, strategies, X_test=X_test, y_test=y_test, **options
        )
        for copy in (True, False)
    )
    assert_array_equal(other.scores["entropy"], one.scores["entropy"])


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (LogisticRegression(), False),
        (scaled(True), False),
        (scaled(False), True),
        (GridSearchCV(scaled(False), {}), True),
        (FrozenEstimator(scaled(False)), True),
        (make_pipeline(FeatureUnion([("pca", PCA(copy=False))]), LogisticRegression()), True),
        (make_pipeline(FunctionTransformer(), LogisticRegression()), False),
        (make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()), False),
        (make_pipeline(FunctionTransformer(halved), LogisticRegression()), True),
    ],
)
def test_rows_are_copied_only_for_estimators_that_may_write(estimator, expected):
    assert may_write(estimator) is expected
    X = np.ones((2, 2))
    assert (own_rows(estimator, X) is X) is not expected


@pytest.mark.parametrize(
    "X",
    [
        np.asfortranarray(np.ones((3, 2))),
        sparse.csr_array(np.eye(2)),
        pd.DataFrame({"a": [1.0, 2.0]}),
        [[1.0], [2.0]],
        {"a": np.ones(2)},
    ],
    ids=lambda X: type(X).__name__,
)
def test_a_copy_is_of_the_same_kind_and_shares_nothing(X):
    copied = own_rows(scaled(False), X)
    assert type(copied) is type(X)
    if isinstance(X, np.ndarray):
        assert copied.flags.f_contiguous
        assert not np.shares_memory(copied, X)
    elif sparse.issparse(X):
        assert not np.shares_memory(copied.data, X.data)
    elif isinstance(X, pd.DataFrame):
        copied.iloc[0, 0] = 5.0
        assert X.iloc[0, 0] == 1.0
    elif isinstance(X, list):
        assert copied[0] is not X[0]
    else:
        assert copied["a"] is not X["a"]
