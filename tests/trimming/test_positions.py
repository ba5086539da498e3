"""Positions are those of the X that was passed, whichever part of it a fold holds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    PredefinedSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    train_test_split,
)

from skfi import FITrimmer, FITrimmerCV
from tests.conftest import make_split

BUDGETS = (0, 0.1, 0.2)


@pytest.fixture(scope="module")
def data():
    X, y, *_ = make_split()
    return X, y


def as_masks(splits, n_rows):
    return [tuple(np.isin(np.arange(n_rows), rows) for rows in pair) for pair in splits]


@pytest.fixture(scope="module")
def single_fold(data):
    X, y = data
    weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    train, test = train_test_split(np.arange(len(y)), test_size=0.3, random_state=1, stratify=y)
    trimmer = FITrimmerCV(
        cv=[(train, test)],
        refit=False,
        budgets=BUDGETS,
        step=None,
        validation=3,
        scoring=lambda model, X, y: -len(model.coef_) - model.score(X, y),
    )
    return trimmer.fit(X, y, weight), train, test, weight


class TestSingleFoldWithoutRefit:
    def test_rows_are_those_of_the_fold(self, data, single_fold):
        X, y = data
        trimmer, train, test, weight = single_fold
        assert trimmer.budget_ > 0
        alone = FITrimmer(budget=trimmer.budget_, step=None, validation=3)
        alone.fit(X[train], y[train], weight[train])
        np.testing.assert_array_equal(trimmer.trimmed_indices_, train[alone.trimmed_indices_])
        np.testing.assert_array_equal(trimmer.influence_[train], alone.influence_)
        np.testing.assert_array_equal(trimmer.support_[train], alone.support_)
        np.testing.assert_array_equal(trimmer.sample_weight_[train], alone.sample_weight_)
        np.testing.assert_array_equal(trimmer.ranking_[train], alone.ranking_)
        np.testing.assert_array_equal(trimmer.estimator_.coef_, alone.estimator_.coef_)
        # Rows that were held out are neither scored nor dropped.
        assert np.isnan(trimmer.influence_[test]).all()
        assert trimmer.support_[test].all()
        np.testing.assert_array_equal(trimmer.sample_weight_[test], weight[test])

    def test_what_is_made_of_them(self, data, single_fold):
        pd = pytest.importorskip("pandas")
        X, y = data
        trimmer, _, _, weight = single_fold
        frame = pd.DataFrame(X, columns=list("abcde")[: X.shape[1]])
        report = trimmer.report(frame=frame)
        np.testing.assert_array_equal(report["position"], trimmer.trimmed_indices_)
        np.testing.assert_array_equal(report["given_label"], y[trimmer.trimmed_indices_])
        np.testing.assert_array_equal(report[list(frame.columns)], X[trimmer.trimmed_indices_])
        X_kept, y_kept = trimmer.fit_resample(X, y, sample_weight=weight)
        np.testing.assert_array_equal(X_kept, X[trimmer.support_])
        assert len(y_kept) == len(y) - trimmer.n_trimmed_

    def test_page(self, data):
        pytest.importorskip("jinja2")
        pytest.importorskip("pandas")
        X, y = data
        trimmer = FITrimmerCV(cv=0.3, refit=False, budgets=(0, 5), random_state=0)
        assert trimmer.fit(X, y).to_html(frame=X).startswith("<!DOCTYPE html>")


class TestFixedSplits:
    def test_masks_are_positions(self, data):
        X, y = data
        splits = list(StratifiedKFold(3).split(X, y))
        listed = FITrimmer(validation=splits, budget=9).fit(X, y)
        masked = FITrimmer(validation=as_masks(splits, len(y)), budget=9).fit(X, y)
        np.testing.assert_array_equal(masked.influence_, listed.influence_)
        chosen = {"budgets": BUDGETS, "validation": 3}
        masked = FITrimmerCV(cv=as_masks(splits, len(y)), **chosen).fit(X, y)
        listed = FITrimmerCV(cv=splits, **chosen).fit(X, y)
        search = GridSearchCV(
            FITrimmer(validation=3), {"budget": BUDGETS}, cv=as_masks(splits, len(y))
        ).fit(X, y)
        for other in (listed, search):
            np.testing.assert_array_equal(
                masked.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"]
            )

    def test_within_folds_they_are_positions_in_x(self, data):
        """Each outer fold uses the rows of it that a split holds, and no others."""
        X, y = data
        X = np.column_stack([X, np.arange(len(y)) / len(y)])  # rows can be told apart
        inner = PredefinedSplit(np.arange(len(y)) % 2)
        seen = []

        def recording(estimator, X, y, X_val, y_val):
            seen.append([np.round(rows[:, -1] * 140).astype(int) for rows in (X, X_val)])
            return np.arange(len(y), dtype=float)

        for validation in (inner, list(inner.split()), as_masks(inner.split(), len(y))):
            seen.clear()
            FITrimmerCV(
                validation=validation, influence=recording, cv=2, step=None, budgets=(0, 5)
            ).fit(X, y)
            assert len(seen) == 6
            for fit_rows, val_rows in seen:
                assert len(set(fit_rows % 2)) == len(set(val_rows % 2)) == 1
                assert fit_rows[0] % 2 != val_rows[0] % 2

    def test_with_rows_of_weight_zero(self, data):
        X, y = data
        weight = np.ones(len(y))
        weight[:20] = 0
        splits = list(StratifiedKFold(3).split(X, y))
        trimmer = FITrimmer(validation=splits, budget=5, step=None).fit(X, y, weight)
        assert (trimmer.influence_[:20] == 0).all()
        present = [tuple(rows[rows >= 20] - 20 for rows in pair) for pair in splits]
        alone = FITrimmer(validation=present, budget=5, step=None).fit(X[20:], y[20:])
        np.testing.assert_allclose(trimmer.influence_[20:], alone.influence_, rtol=1e-3)

    @pytest.mark.parametrize("kind", [FITrimmer, FITrimmerCV])
    def test_what_does_not_fit_is_refused(self, data, kind):
        X, y = data
        with pytest.raises(ValueError, match=r"validation holds positions from 100 to 140"):
            kind(validation=[(np.arange(100), np.arange(100, 141))]).fit(X, y)
        mask = np.arange(141) < 100
        with pytest.raises(ValueError, match=r"validation holds a mask of 141 rows"):
            kind(validation=[(mask, ~mask)]).fit(X, y)
        with pytest.raises(ValueError, match="validation gives no splits"):
            kind(validation=iter([])).fit(X, y)


class TestIterators:
    @pytest.mark.parametrize("random_state", [None, 0])
    def test_of_splits_and_budgets(self, data, random_state):
        X, y = data
        splits = list(StratifiedKFold(3).split(X, y))
        params = {"random_state": random_state, "budgets": BUDGETS, "step": 0.1}
        listed = FITrimmerCV(cv=splits, validation=list(splits), **params).fit(X, y)
        params["budgets"] = (budget for budget in BUDGETS)
        trimmer = FITrimmerCV(cv=iter(splits), validation=(s for s in splits), **params)
        given = vars(trimmer).copy()
        trimmer.fit(X, y)
        assert all(vars(trimmer)[key] is given[key] for key in given)
        np.testing.assert_array_equal(
            trimmer.cv_results_["mean_test_score"], listed.cv_results_["mean_test_score"]
        )
        np.testing.assert_array_equal(trimmer.influence_, listed.influence_)

    def test_with_routing_and_weights(self, data):
        X, y = data
        splits = list(StratifiedKFold(3).split(X, y))
        weight = np.ones(len(y))
        with config_context(enable_metadata_routing=True):
            model = LogisticRegression().set_fit_request(sample_weight=True)
            listed = FITrimmer(model, validation=splits, budget=10).fit(X, y, weight)
            trimmer = FITrimmer(model, validation=iter(splits), budget=10).fit(X, y, weight)
        np.testing.assert_array_equal(trimmer.support_, listed.support_)


class TestFoldsOfOneClass:
    def test_the_fold_and_the_splitter_are_named(self, data):
        X, y = data
        order = np.argsort(y, kind="stable")
        splitter = TimeSeriesSplit(3)
        with pytest.raises(ValueError, match=r"Fold 1 of cv=TimeSeriesSplit.*of class 0 only"):
            FITrimmerCV(cv=splitter).fit(X[order], y[order])
        one = np.append(np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:1])
        with pytest.raises(ValueError, match=r"Fold 1 of cv=KFold\(n_splits=2.*class 0 only"):
            FITrimmerCV(cv=KFold(2), budgets=(0, 1)).fit(X[one[::-1]], y[one[::-1]])
        ordered = [(np.arange(30), np.arange(30, 100))]
        with pytest.raises(ValueError, match=r"Every fold of validation=the splits trains"):
            FITrimmer(validation=ordered).fit(X[order], y[order])


class TestTinyClasses:
    @pytest.mark.filterwarnings("ignore:The least populated class")
    def test_the_share_that_cv_holds_out_leaves_single_rows_to_training(self, data):
        X, y = data
        y = np.where(y == 1, "yes", "no ").astype(object)
        y[7] = "typo"
        for options in ({"refit": False}, {"validation": 0.3}):
            trimmer = FITrimmerCV(cv=0.3, budgets=(0, 5), random_state=0, **options)
            assert trimmer.fit(X, y).support_[7]
            assert "typo" in trimmer.classes_

    @pytest.mark.filterwarnings("ignore:The least populated class")
    def test_a_mistyped_label_does_not_stop_a_run(self, data):
        X, y = data
        y = np.where(y == 1, "yes", "no ").astype(object)
        y[17] = "unknown"
        with pytest.warns(UserWarning, match=r"last rows of class unknown \(row 17\)"):
            trimmer = FITrimmer(budget=14, influence="loss").fit(X, y)
        assert trimmer.support_[17]
        assert trimmer.n_trimmed_ == 14
        assert trimmer.classes_.tolist() == ["no ", "unknown", "yes"]

    def test_the_others_are_dropped_as_ever(self, data):
        X, y = data

        def worst_are_last(estimator, X, y, X_val, y_val):
            return X[:, -1]

        X = np.column_stack([X, np.arange(len(y))])
        y = np.where(np.arange(len(y)) >= len(y) - 4, 2, y)
        with pytest.warns(UserWarning, match=r"class 2 \(rows 136, 137\)"):
            trimmer = FITrimmer(
                LogisticRegression(max_iter=2000), budget=10, step=3, min_class_size=2,
                influence=worst_are_last, validation=3,
            ).fit(X, y)  # fmt: skip
        expected = [139, 138, *range(135, 127, -1)]
        np.testing.assert_array_equal(trimmer.trimmed_indices_, expected)

    def test_the_grid_search_says_the_same(self, data):
        X, y = data
        y = y.copy()
        y[[3, 70, 100]] = 2
        params = {"validation": 3, "influence": "loss", "step": 0.1}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = FITrimmerCV(budgets=BUDGETS, cv=3, **params).fit(X, y)
            search = GridSearchCV(FITrimmer(**params), {"budget": BUDGETS}, cv=3).fit(X, y)
        scores = ours.cv_results_["mean_test_score"]
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(scores, search.cv_results_["mean_test_score"])
        np.testing.assert_array_equal(ours.support_, search.best_estimator_.support_)


def test_nan_in_x_is_said_to_be_in_x(data):
    X, y = data
    for row in (0, 139):
        bad = X.copy()
        bad[row, 0] = np.nan
        with pytest.raises(ValueError, match="NaN") as error:
            FITrimmer(validation=2).fit(bad, y)
        assert "X_val" not in str(error.value)
