"""Out-of-fold self-confidence: against cross_val_predict, cleanlab, and small classes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from joblib import parallel_config
from sklearn import config_context
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skfi import FITrimmer
from skfi.baselines import self_confidence
from skfi.baselines._self_confidence import _label_quality, _own_probability
from tests.conftest import make_split


@pytest.mark.parametrize("n_classes", [2, 3])
def test_equals_cross_val_predict(n_classes):
    X, y, *_ = make_split(n_classes)
    names = np.array(["no", "perhaps", "yes"])[y]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, names)
    folds = StratifiedKFold(4, shuffle=True, random_state=1)
    proba = cross_val_predict(model, X, names, cv=folds, method="predict_proba")
    expected = 1 - proba[np.arange(len(y)), y]
    actual = self_confidence(model, X, names, cv=folds)
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


def test_seed_and_jobs():
    X, y, *_ = make_split()
    model = RandomForestClassifier(3).fit(X, y)  # has no seed of its own
    first = self_confidence(model, X, y, random_state=0)
    with parallel_config("threading"):  # processes take seconds to start
        second = self_confidence(model, X, y, random_state=0, n_jobs=2)
    np.testing.assert_array_equal(first, second)
    assert (first != self_confidence(model, X, y, random_state=1)).any()


def test_wrong_labels_come_first():
    X, y, *_ = make_split(flip=0.0)
    wrong = np.random.default_rng(0).choice(len(y), 10, replace=False)
    y[wrong] = 1 - y[wrong]
    score = self_confidence(LogisticRegression().fit(X, y), X, y, random_state=0)
    assert score[wrong].mean() > np.delete(score, wrong).mean() + 0.3
    assert score.min() >= 0
    assert score.max() <= 1


def test_weights_reach_the_fits():
    X, y, *_, weight = make_split()
    weight[:20] = 0
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10)).fit(X, y)
    folds = list(KFold(4).split(X))
    actual = self_confidence(model, X, y, sample_weight=weight, cv=folds)
    expected = np.empty(len(y))
    for fit_rows, rows in folds:
        model.fit(
            X[fit_rows],
            y[fit_rows],
            standardscaler__sample_weight=weight[fit_rows],
            logisticregression__sample_weight=weight[fit_rows],
        )
        expected[rows] = 1 - model.predict_proba(X[rows])[np.arange(len(rows)), y[rows]]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    with config_context(enable_metadata_routing=True):
        asking = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=True),
            LogisticRegression(tol=1e-10).set_fit_request(sample_weight=True),
        ).fit(X, y)
        routed = self_confidence(asking, X, y, sample_weight=weight, cv=folds)
    np.testing.assert_allclose(routed, actual, rtol=1e-6)


def test_small_classes():
    X, y, *_ = make_split()
    y[:2], y[2] = 2, 3  # two rows of a class, and a single one
    model = LogisticRegression().fit(X, y)
    score = self_confidence(model, X, y, random_state=0)
    assert np.isfinite(score).all()
    assert score[2] == 1  # nowhere else
    assert (score[:2] < 1).all()


def test_fewer_folds_than_asked_for():
    X, y = np.arange(6.0)[:, None], np.array([0, 0, 0, 1, 1, 1])
    model = LogisticRegression().fit(X, y)
    expected = self_confidence(model, X, y, cv=3, random_state=0)
    np.testing.assert_array_equal(self_confidence(model, X, y, random_state=0), expected)


def test_a_fold_that_trains_on_one_class():
    X, y = np.arange(5.0)[:, None], np.array([0, 0, 0, 0, 1])
    score = self_confidence(LogisticRegression().fit(X, y), X, y, cv=[([0, 1, 2, 3], [4]),
                            ([4, 0], [1, 2, 3]), ([1, 4], [0])])  # fmt: skip
    assert score[4] == 1
    assert (score[:4] < 1).all()


def test_repeated_folds_take_the_mean():
    X, y, *_ = make_split()
    model = LogisticRegression().fit(X, y)
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)
    folds = list(cv.split(X, y))
    halves = [self_confidence(model, X, y, cv=part) for part in (folds[:3], folds[3:])]
    actual = self_confidence(model, X, y, cv=cv)
    np.testing.assert_allclose(actual, np.mean(halves, axis=0), rtol=1e-10)


def test_frozen_estimators_are_trained_again():
    X, y, *_ = make_split(flip=0.4)
    plain = KNeighborsClassifier(1)
    expected = self_confidence(plain.fit(X, y), X, y, random_state=0)
    assert expected.mean() > 0.2  # in sample it would be 0
    for frozen in (
        FrozenEstimator(plain),
        make_pipeline(FrozenEstimator(plain)),
    ):
        actual = self_confidence(frozen.fit(X, y), X, y, random_state=0)
        np.testing.assert_array_equal(actual, expected)


def test_cleanlab_says_the_same(monkeypatch):
    rank = pytest.importorskip("cleanlab.rank")
    X, y, *_ = make_split(3)
    model = LogisticRegression().fit(X, y)
    codes, proba = y, model.predict_proba(X)
    np.testing.assert_allclose(
        _own_probability(codes, proba),
        rank.get_label_quality_scores(codes, proba, method="self_confidence"),
        rtol=0,
        atol=1e-12,
    )
    with_cleanlab = self_confidence(model, X, y, random_state=0)
    monkeypatch.setitem(sys.modules, "cleanlab.rank", None)
    np.testing.assert_array_equal(_label_quality(codes, proba), _own_probability(codes, proba))
    without = self_confidence(model, X, y, random_state=0)
    np.testing.assert_allclose(without, with_cleanlab, rtol=0, atol=1e-12)


def test_without_cleanlab(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.rank", None)
    proba = np.array([[0.25, 0.75], [1.0, 0.0]])
    np.testing.assert_array_equal(_label_quality(np.array([0, 1]), proba), [0.25, 0.0])


def test_frames():
    pd = pytest.importorskip("pandas")
    X, y, *_ = make_split()
    frame = pd.DataFrame(X, index=np.arange(len(X)) + 7).add_prefix("f")
    names = pd.Series(y, index=frame.index).map({0: "a", 1: "b"})
    model = LogisticRegression().fit(frame, names)
    actual = self_confidence(model, frame, names, random_state=0)
    expected = self_confidence(LogisticRegression().fit(X, y), X, y, random_state=0)
    np.testing.assert_allclose(actual, expected)


def test_errors_say_what_is_wrong():
    X, y, *_ = make_split()
    model = LogisticRegression().fit(X, y)
    with pytest.raises(TypeError, match=r"self_confidence needs predict_proba"):
        self_confidence(LinearSVC().fit(X, y), X, y)
    with pytest.raises(ValueError, match="at least 2"):
        self_confidence(model, X, y, cv=1)
    with pytest.raises(ValueError, match="rows out never"):
        self_confidence(model, X, y, cv=ShuffleSplit(1, test_size=0.2, random_state=0))
    with pytest.raises(ValueError, match="No class in y has two rows"):
        self_confidence(model, X[:2], [0, 1])
    with pytest.raises(ValueError, match="never saw"):
        self_confidence(model, X, y + 1)
    knn = KNeighborsClassifier().fit(X, y)
    with pytest.raises(ValueError, match="does not take it"):
        self_confidence(knn, X, y, sample_weight=np.ones(len(y)))
    weight = np.zeros(len(y))
    weight[0] = 1
    with pytest.raises(ValueError, match="zero for all rows that a fold trains on"):
        self_confidence(model, X, y, sample_weight=weight)


class TestGroups:
    @pytest.fixture
    def copies(self):
        """Three copies of each row, which give each other away."""
        X, y, *_ = make_split(n=60)
        rows = np.repeat(np.arange(60), 3)
        return X[rows], y[rows], rows

    def test_they_are_held_out_together(self, copies):
        X, y, groups = copies
        model = KNeighborsClassifier(1).fit(X, y)
        splits = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(X, y, groups)
        expected = self_confidence(model, X, y, cv=list(splits))
        scores = self_confidence(model, X, y, groups=groups, random_state=0)
        np.testing.assert_array_equal(scores, expected)
        splitter = GroupKFold(4)
        scores = self_confidence(model, X, y, groups=groups, cv=splitter)
        expected = self_confidence(model, X, y, cv=list(splitter.split(X, y, groups)))
        np.testing.assert_array_equal(scores, expected)
        # Without groups a row is judged by its copies, and no label is ever doubted.
        alone = self_confidence(model, X, y, random_state=0)
        assert alone.mean() < scores.mean()

    def test_the_trimmer_passes_them_on(self, copies):
        X, y, groups = copies
        model = KNeighborsClassifier(1)
        trimmer = FITrimmer(
            model, influence="self_confidence", step=None, budget=9, random_state=0
        )
        trimmer.fit(X, y, groups=groups)
        expected = self_confidence(model.fit(X, y), X, y, groups=groups, random_state=0)
        np.testing.assert_array_equal(trimmer.influence_, expected)
        stepwise = trimmer.set_params(step=3, budget=6).fit(X, y, groups=groups)
        assert stepwise.n_trimmed_ == 6

    def test_refusals(self, copies):
        X, y, groups = copies
        model = KNeighborsClassifier(1).fit(X, y)
        with pytest.raises(ValueError, match="one group only"):
            self_confidence(model, X, y, groups=np.zeros(len(y)))
        splits = list(GroupKFold(3).split(X, y, groups))
        trimmer = FITrimmer(model, influence="self_confidence", influence_params={"cv": splits})
        with pytest.raises(ValueError, match="rows that are left change"):
            trimmer.fit(X, y)


def test_masks_are_positions():
    X, y, *_ = make_split()
    model = LogisticRegression().fit(X, y)
    weight = np.ones(len(y))
    splits = list(KFold(3).split(X))
    masks = [tuple(np.isin(np.arange(len(y)), rows) for rows in pair) for pair in splits]
    listed = self_confidence(model, X, y, cv=splits, sample_weight=weight)
    masked = self_confidence(model, X, y, cv=iter(masks), sample_weight=weight)
    np.testing.assert_array_equal(masked, listed)
