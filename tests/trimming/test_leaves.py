"""Rows scored by a logistic regression on the leaves of the classifier's own trees."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skfi import FITrimmer, FITrimmerCV
from skfi.trimming._leaves import MOST_LEAVES, MOST_TREES, LeafEncoder

BOOSTING = HistGradientBoostingClassifier(max_iter=10, random_state=0)
FAMILIES = {
    "HistGradientBoosting": BOOSTING,
    "GradientBoosting": GradientBoostingClassifier(n_estimators=10, random_state=0),
    "RandomForest": RandomForestClassifier(20, random_state=0),
    "ExtraTrees": ExtraTreesClassifier(20, random_state=0),
    "DecisionTree": DecisionTreeClassifier(min_samples_leaf=10, random_state=0),
    "Bagging": BaggingClassifier(max_features=0.8, random_state=0),
    "AdaBoost": AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=9),
    "Pipeline": make_pipeline(StandardScaler(), BOOSTING),
}


@pytest.fixture(scope="module")
def flipped():
    """Three classes on which trees do well, a fifth of the labels wrong."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = (X[:, 0] * X[:, 1] > 0).astype(int) + 2 * (X[:, 2] > 1)
    y = np.minimum(y, 2)
    wrong = rng.random(300) < 0.2
    return X, np.where(wrong, (y + rng.integers(1, 3, 300)) % 3, y), wrong


def trim(model, **options):
    options = {"budget": 0.1, "validation": 3, "random_state": 0} | options
    return FITrimmer(model, influence_estimator="leaves", **options)


@pytest.mark.parametrize("name", FAMILIES)
def test_wrong_labels_are_dropped_first(flipped, name):
    X, y, wrong = flipped
    trimmer = trim(FAMILIES[name]).fit(X, y)
    assert trimmer.n_trimmed_ == 30
    assert wrong[trimmer.trimmed_indices_].mean() > 0.5  # random rows: 0.2
    assert type(trimmer.estimator_) is type(FAMILIES[name])


def test_a_linear_classifier_misses_what_only_trees_see(flipped):
    X, _, wrong = flipped
    y = (X[:, 0] * X[:, 1] > 0) ^ wrong
    linear = FITrimmer(BOOSTING, influence_estimator=LogisticRegression(), budget=0.1)
    by_leaves = trim(BOOSTING)
    shares = [wrong[t.fit(X, y).trimmed_indices_].mean() for t in (linear, by_leaves)]
    assert shares[0] < 0.4
    assert shares[1] > 0.6


@pytest.mark.parametrize("name", FAMILIES)
def test_one_column_a_tree(flipped, name):
    X, y, _ = flipped
    encoder = LeafEncoder(FAMILIES[name], random_state=0).fit(X, y)
    leaves = encoder.transform(X)
    assert leaves.shape == (300, encoder.n_trees_)
    assert encoder.n_trees_ <= MOST_TREES
    assert max(len(np.unique(leaf)) for leaf in leaves.T) <= MOST_LEAVES
    # A leaf is one whatever rows it is looked up with.
    np.testing.assert_array_equal(encoder.transform(X[:9]), leaves[:9])


def test_leaves_of_boosting_are_its_trees_values(flipped):
    """Rows that reach the same leaves of all trees have the same decision values."""
    X, y, _ = flipped
    encoder = LeafEncoder(BOOSTING).fit(X, y)
    by_row = encoder.estimator_.decision_function(X)
    for row in np.unique(encoder.transform(X), axis=0):
        same = (encoder.transform(X) == row).all(axis=1)
        np.testing.assert_allclose(np.ptp(by_row[same], axis=0), 0, atol=1e-9)


def test_trees_are_as_many_as_can_be_scored(flipped):
    X, y, _ = flipped
    many = HistGradientBoostingClassifier(max_iter=500, min_samples_leaf=2)
    encoder = LeafEncoder(many).fit(X, y)
    assert encoder.estimator_.n_iter_ * 3 == encoder.n_trees_ == MOST_TREES  # of each class
    labels = np.arange(300) % 100
    forest = RandomForestClassifier(60, random_state=0)
    encoder = LeafEncoder(forest).fit(X, labels)
    assert 1 <= encoder.n_trees_ < 10  # 99 parameters a leaf
    assert forest.n_estimators == 60
    assert many.max_iter == 500


class TestColumnsTreesTakeThemselves:
    def test_missing_values(self, flipped):
        X, y, wrong = flipped
        X = X.copy()
        X[::7, 3] = np.nan
        for model in (BOOSTING, FAMILIES["RandomForest"]):
            trimmer = trim(model).fit(X, y, X_val=X[:150], y_val=y[:150])
            assert wrong[trimmer.trimmed_indices_].mean() > 0.4

    def test_categories(self, flipped):
        pd = pytest.importorskip("pandas")
        X, y, wrong = flipped
        table = pd.DataFrame(X, columns=list("abcd"))
        table["d"] = pd.Categorical(np.where(X[:, 2] > 1, "high", "low"))
        model = HistGradientBoostingClassifier(
            max_iter=10, categorical_features="from_dtype", random_state=0
        )
        trimmer = trim(model).fit(table, y)
        assert wrong[trimmer.trimmed_indices_].mean() > 0.4
        with config_context(transform_output="pandas"):
            again = trim(model).fit(table, y)
        np.testing.assert_array_equal(again.trimmed_indices_, trimmer.trimmed_indices_)

    def test_tags_are_those_of_the_classifier(self):
        tags = FITrimmer(BOOSTING, influence_estimator="leaves").__sklearn_tags__()
        assert tags.input_tags.allow_nan


class TestWeights:
    @pytest.mark.parametrize("in_pipeline", [False, True])
    def test_both_fits_take_them(self, flipped, in_pipeline):
        """A weight of two is two copies, in trees and in scores."""
        X, y, _ = flipped
        # The one whose leaves do not depend on how many rows the copies are.
        model = DecisionTreeClassifier(max_leaf_nodes=8, random_state=0)
        model = make_pipeline(model) if in_pipeline else model
        X_val, y_val = X[200:], y[200:]
        X, y = X[:200], y[:200]
        weight = np.random.default_rng(0).integers(1, 3, len(y))
        copies = np.repeat(np.arange(len(y)), weight)
        trimmer = trim(model, budget=0, checked_rows="judge")
        weighted = clone(trimmer).fit(X, y, weight, X_val=X_val, y_val=y_val)
        repeated = clone(trimmer).fit(X[copies], y[copies], X_val=X_val, y_val=y_val)
        np.testing.assert_allclose(
            weighted.influence_[copies], repeated.influence_, rtol=1e-3, atol=1e-6
        )

    def test_routed(self, flipped):
        X, y, _ = flipped
        weight = np.arange(len(y)) % 3 + 1.0
        plain = trim(BOOSTING).fit(X, y, weight)
        with config_context(enable_metadata_routing=True):
            model = clone(BOOSTING).set_fit_request(sample_weight=True)
            routed = trim(model).set_fit_request(sample_weight=True)
            routed.fit(X, y, sample_weight=weight)
            pipeline = make_pipeline(
                StandardScaler().set_fit_request(sample_weight=True), model
            )
            stepwise = trim(pipeline).set_fit_request(sample_weight=True)
            stepwise.fit(X, y, sample_weight=weight)
            apart = trim(clone(BOOSTING).set_fit_request(sample_weight=False))
            apart.set_fit_request(sample_weight=False).fit(X, y)
        np.testing.assert_allclose(routed.influence_, plain.influence_)
        unweighted = trim(BOOSTING).fit(X, y)
        assert not np.allclose(plain.influence_, unweighted.influence_)
        np.testing.assert_allclose(apart.influence_, unweighted.influence_)
        assert np.corrcoef(stepwise.influence_, plain.influence_)[0, 1] > 0.9

    def test_refused_where_nobody_takes_them(self, flipped):
        X, y, _ = flipped

        class NoWeights(DecisionTreeClassifier):
            def fit(self, X, y):
                return super().fit(X, y)

        with pytest.raises(
            ValueError, match=r"sample_weight was passed, but NoWeights does not"
        ):
            trim(NoWeights()).fit(X, y, np.ones(len(y)))


def test_random_state_decides(flipped):
    X, y, _ = flipped
    forest = RandomForestClassifier(10)
    scores = [trim(forest, random_state=s).fit(X, y).influence_ for s in (0, 0, 1)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])
    # That of the classifier itself comes first.
    seeded = clone(forest).set_params(random_state=3)
    shuffled = {"validation": [(np.arange(200), np.arange(200, 300))]}
    scores = [trim(seeded, random_state=s, **shuffled).fit(X, y).influence_ for s in (0, 1)]
    np.testing.assert_array_equal(scores[0], scores[1])


def test_the_budget_is_chosen(flipped):
    X, y, wrong = flipped
    trimmer = FITrimmerCV(
        BOOSTING, influence_estimator="leaves", budgets=(0, 0.1, 0.2), cv=3, random_state=0
    ).fit(X, y)
    assert wrong[trimmer.trimmed_indices_].mean() > 0.5


def test_other_scores_see_the_leaves(flipped):
    X, y, wrong = flipped
    trimmer = trim(BOOSTING, influence="knn_shapley", step=None).fit(X, y)
    assert wrong[trimmer.trimmed_indices_].mean() > 0.4


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (None, "LogisticRegression"),
        (GaussianNB(), "GaussianNB"),
        (make_pipeline(StandardScaler(), GaussianNB()), "GaussianNB"),
        (GridSearchCV(BOOSTING, {}), "GridSearchCV"),
        (BaggingClassifier(GaussianNB()), "BaggingClassifier over GaussianNB"),
    ],
)
def test_others_are_refused(flipped, model, name):
    X, y, _ = flipped
    message = f'^influence_estimator="leaves" .* can read none in {name}\\. .*make_pipeline'
    with pytest.raises(TypeError, match=message):
        trim(model).fit(X, y)


def test_resampling_is_refused(flipped):
    X, y, _ = flipped
    imblearn = pytest.importorskip("imblearn")
    from imblearn.under_sampling import RandomUnderSampler

    pipeline = imblearn.pipeline.make_pipeline(RandomUnderSampler(), BOOSTING)
    with pytest.raises(TypeError, match="The Pipeline resamples its rows in fit"):
        trim(pipeline).fit(X, y)


def test_unknown_names_are_refused(flipped):
    X, y, _ = flipped
    with pytest.raises(ValueError, match="'influence_estimator' parameter"):
        FITrimmer(BOOSTING, influence_estimator="leafs").fit(X, y)


@pytest.mark.parametrize(
    ("library", "kind", "options"),
    [
        ("lightgbm", "LGBMClassifier", {"verbose": -1}),
        ("xgboost", "XGBClassifier", {"early_stopping_rounds": 5}),
        ("catboost", "CatBoostClassifier", {"verbose": 0, "allow_writing_files": False}),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_other_libraries(flipped, library, kind, options, n_classes):
    X, y, wrong = flipped
    model = getattr(pytest.importorskip(library), kind)(random_state=0, **options)
    y = np.minimum(y, n_classes - 1)
    params = {"eval_set": [(X[:50], y[:50])]} if library == "xgboost" else {}
    trimmer = trim(model).fit(X, y, **params)
    assert wrong[trimmer.trimmed_indices_].mean() > 0.4
    encoder = LeafEncoder(model).fit(X, y)
    assert encoder.transform(X).shape == (300, encoder.n_trees_)


class LGBMClassifier(RandomForestClassifier):
    """Stands for a library that may not be installed: leaves by ``predict``."""

    def predict(self, X, pred_leaf=False):
        return self.apply(X) if pred_leaf else super().predict(X)


class CatBoostClassifier(DecisionTreeClassifier):
    """Another: leaves by a method of its own, and a default number of trees."""

    def __init__(self, iterations=None):
        super().__init__(max_leaf_nodes=9)
        self.iterations = iterations

    def calc_leaf_indexes(self, X):
        return self.apply(X)[:, None]


@pytest.mark.parametrize("model", [LGBMClassifier(99), CatBoostClassifier()])
def test_names_of_other_libraries(flipped, model):
    X, y, wrong = flipped
    trimmer = trim(model).fit(X, y)
    assert wrong[trimmer.trimmed_indices_].mean() > 0.4
    encoder = trimmer.initial_estimators_[0].steps[0][1]
    fitted = encoder.estimator_
    n_trees = getattr(fitted, "iterations", None) or fitted.n_estimators
    assert n_trees <= MOST_TREES
