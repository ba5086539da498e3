"""FITrimmerCV: the grid search's answer for less, and what it refuses."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skfi import FITrimmer, FITrimmerCV
from tests.conftest import PAPER

BUDGETS = [0, 0.02, 0.05, 0.1, 0.2]


@pytest.fixture(scope="module")
def noisy():
    """Data of which a fifth of the training labels is wrong, and clean rows."""
    X, y = make_classification(600, 8, n_informative=5, class_sep=1.5, random_state=0)
    X, y, X_val, y_val = X[:300], y[:300], X[300:], y[300:]
    y = y.copy()
    y[:60] = 1 - y[:60]
    return X, y, X_val, y_val


class TestIsTheGridSearch:
    @pytest.mark.parametrize(
        ("params", "n_jobs"),
        [
            (PAPER, None),
            (PAPER, 2),
            ({"step": 0.03, "validation": 3}, None),
            ({"step": 7, "validation": 0.3, "influence": "iv"}, None),
            ({"step": 0.1, "influence": "loss"}, None),
            ({"step": 0.1, "influence": "random"}, None),
            ({"step": 0.1, "influence": "random"}, 2),
        ],
        ids=str,
    )
    def test_same_scores_choice_and_fit(self, noisy, params, n_jobs):
        X, y, X_val, _ = noisy
        ours = FITrimmerCV(budgets=BUDGETS, cv=3, random_state=0, n_jobs=n_jobs, **params)
        ours.fit(X, y)
        search = GridSearchCV(FITrimmer(random_state=0, **params), {"budget": BUDGETS}, cv=3)
        search.fit(X, y)
        for key, value in search.cv_results_.items():
            if "score" in key and "time" not in key:
                np.testing.assert_array_equal(ours.cv_results_[key], value, err_msg=key)
        assert set(ours.cv_results_) == set(search.cv_results_)
        assert ours.cv_results_["params"] == search.cv_results_["params"]
        assert ours.best_params_ == search.best_params_
        assert ours.best_score_ == search.best_score_
        assert ours.best_index_ == search.best_index_
        best = search.best_estimator_
        np.testing.assert_array_equal(ours.trimmed_indices_, best.trimmed_indices_)
        np.testing.assert_array_equal(ours.predict_proba(X_val), best.predict_proba(X_val))

    def test_row_blocks_do_not_matter(self, noisy):
        X, y, X_val, y_val = noisy
        trimmer = FITrimmerCV(cv=3, random_state=0)
        whole = clone(trimmer).fit(X, y, X_val=X_val, y_val=y_val)
        with config_context(working_memory=0.01):
            parts = clone(trimmer).fit(X, y, X_val=X_val, y_val=y_val)
        np.testing.assert_array_equal(whole.trimmed_indices_, parts.trimmed_indices_)
        np.testing.assert_array_equal(
            whole.cv_results_["mean_test_score"], parts.cv_results_["mean_test_score"]
        )

    def test_scores_a_fold_once_a_step(self, noisy, monkeypatch):
        import skfi.influence._curved

        X, y, _, _ = noisy
        calls = []
        original = skfi.influence._curved.fit_curvature
        monkeypatch.setattr(
            skfi.influence._curved,
            "fit_curvature",
            lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs),
        )
        trimmer = FITrimmerCV(budgets=BUDGETS, cv=3, step=0.05, validation=0.3, random_state=0)
        trimmer.fit(X, y)
        # Three folds and the last fit: a score for each step up to the (chosen) budget.
        last = max(1, int(np.ceil(trimmer.budget_ / 0.05 - 1e-9)))
        assert len(calls) == 3 * 4 + last


class TestChoice:
    @pytest.mark.parametrize("role", ["auto", "judge"])
    def test_wrong_labels_go_and_accuracy_rises(self, noisy, role):
        X, y, X_val, y_val = noisy
        mixed = np.random.default_rng(0).permutation(300)  # all wrong labels come first
        trimmer = FITrimmerCV(cv=3, random_state=0, checked_rows=role, scoring="neg_log_loss")
        trimmer.fit(X[mixed], y[mixed], X_val=X_val, y_val=y_val)
        assert trimmer.budget_ >= 0.05
        assert (mixed[trimmer.trimmed_indices_] < 60).mean() > 0.5
        plain = LogisticRegression().fit(X, y)
        assert trimmer.score(X_val, y_val) > plain.score(X_val, y_val)

    def test_log_losses_are_those_of_the_held_out_rows(self, noisy):
        X, y, _, _ = noisy
        trimmer = FITrimmerCV(cv=3, budgets=(0, 0.1), scoring="neg_log_loss").fit(X, y)
        np.testing.assert_allclose(
            trimmer.log_losses_, -trimmer.cv_results_["mean_test_score"], rtol=1e-9
        )
        unsure = FITrimmerCV(
            SVC(), influence_estimator=LogisticRegression(), cv=2, budgets=(0,)
        )
        assert np.isnan(unsure.fit(X, y).log_losses_).all()

    def test_zero_is_added_and_ties_go_to_the_smallest(self, noisy):
        X, y, _, _ = noisy
        flat = FITrimmerCV(budgets=[0.1, 3, 0.05], cv=3, scoring=lambda model, X, y: 0.5)
        flat.fit(X, y)
        assert [p["budget"] for p in flat.cv_results_["params"]] == [0, 0.1, 3, 0.05]
        assert flat.budget_ == 0
        assert flat.support_.all()
        np.testing.assert_array_equal(
            flat.estimator_.coef_, LogisticRegression().fit(X, y).coef_
        )

    def test_one_standard_error_is_never_bolder(self, noisy):
        X, y, X_val, y_val = noisy
        given = {"X_val": X_val, "y_val": y_val}
        best = FITrimmerCV(cv=4, random_state=0).fit(X, y, **given)
        rule = FITrimmerCV(cv=4, rule="one_standard_error", random_state=0).fit(X, y, **given)
        scores = np.array([best.cv_results_[f"split{k}_test_score"] for k in range(4)])
        target = best.best_score_ - scores[:, best.best_index_].std(ddof=1) / 2
        within = np.flatnonzero(scores.mean(axis=0) >= target)
        assert rule.budget_ == best.cv_results_["params"][within[0]]["budget"]
        assert rule.budget_ <= best.budget_
        with pytest.raises(ValueError, match="at least two folds"):
            FITrimmerCV(cv=0.3, rule="one_standard_error").fit(X, y)

    def test_scoring_and_its_direction(self, noisy):
        X, y, X_val, y_val = noisy
        trimmer = FITrimmerCV(cv=3, scoring="neg_log_loss", budgets=(0, 0.1, 0.2))
        trimmer.fit(X, y, X_val=X_val, y_val=y_val)
        assert (trimmer.cv_results_["mean_test_score"] < 0).all()
        assert trimmer.best_score_ == trimmer.cv_results_["mean_test_score"].max()

    def test_given_rows_never_score_and_choose_at_once(self, noisy):
        X, y, X_val, y_val = noisy
        seen = []

        def recording(estimator, X, y, X_val, y_val):
            seen.append(len(X_val))
            return np.arange(len(y), dtype=float)

        FITrimmerCV(
            cv=3, influence=recording, step=None, budgets=(0, 5), checked_rows="judge"
        ).fit(X, y, X_val=X_val, y_val=y_val)
        assert seen == [200, 200, 200, 300]  # the last fit is scored by all of them

    def test_any_classifier(self, noisy):
        X, y, X_val, y_val = noisy
        forest = RandomForestClassifier(10, random_state=0)
        trimmer = FITrimmerCV(
            forest, influence_estimator=LogisticRegression(), cv=2, budgets=(0, 0.2)
        ).fit(X, y, X_val=X_val, y_val=y_val)
        assert isinstance(trimmer.estimator_, RandomForestClassifier)
        assert isinstance(trimmer.initial_estimators_[0], LogisticRegression)
        assert trimmer.score(X_val, y_val) > forest.fit(X, y).score(X_val, y_val)

    def test_pipeline_pickle_and_nesting(self, noisy):
        X, y, X_val, _ = noisy
        pipe = make_pipeline(StandardScaler(), LogisticRegression())
        trimmer = FITrimmerCV(pipe, cv=2, validation=3, budgets=(0, 0.1))
        assert cross_val_score(trimmer, X, y, cv=2).shape == (2,)
        trimmer.fit(X, y)
        again = pickle.loads(pickle.dumps(trimmer))
        np.testing.assert_array_equal(again.predict(X_val), trimmer.predict(X_val))

    def test_groups_reach_both_splitters(self, noisy):
        X, y, _, _ = noisy
        groups = np.arange(len(y)) // 10
        trimmer = FITrimmerCV(cv=GroupKFold(3), validation=GroupKFold(2), budgets=(0, 5))
        assert trimmer.fit(X, y, groups=groups).n_splits_ == 3

    def test_random_state_none_and_weights(self, noisy):
        X, y, _, _ = noisy
        weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
        trimmer = FITrimmerCV(cv=2, validation=0.3, budgets=(0, 0.1, 0.2)).fit(X, y, weight)
        assert trimmer.sample_weight_.sum() == weight.sum() - np.floor(
            trimmer.budget_ * weight.sum() + 1e-9
        )


class TestPrefit:
    def test_same_rows_score_and_choose(self, noisy):
        X, y, X_val, y_val = noisy
        fitted = LogisticRegression().fit(X, y)
        trimmer = FITrimmerCV(fitted, cv="prefit", refit=False)
        with pytest.warns(UserWarning, match="same rows of X_val score"):
            trimmer.fit(X, y, X_val=X_val, y_val=y_val)
        assert trimmer.initial_estimator_ is fitted
        assert trimmer.best_score_ == trimmer.score(X_val, y_val)
        with pytest.warns(UserWarning, match="same rows"):
            trimmer.set_params(budgets=(0,)).fit(X, y, X_val=X_val, y_val=y_val)
        assert trimmer.estimator_ is fitted

    def test_contradictions(self, noisy):
        X, y, X_val, y_val = noisy
        given = {"X_val": X_val, "y_val": y_val}
        fitted = LogisticRegression().fit(X, y)
        with pytest.raises(ValueError, match="refit cannot be True"):
            FITrimmerCV(fitted, cv="prefit").fit(X, y, **given)
        with pytest.raises(ValueError, match="pass X_val and y_val"):
            FITrimmerCV(fitted, cv="prefit", refit=False).fit(X, y)
        with pytest.raises(NotFittedError, match="estimator must be fitted"):
            FITrimmerCV(LogisticRegression(), cv="prefit", refit=False).fit(X, y, **given)
        with pytest.raises(ValueError, match=r"several folds.*refit cannot be False"):
            FITrimmerCV(cv=3, refit=False).fit(X, y)

    def test_single_fold_without_refit(self, noisy):
        X, y, _, _ = noisy
        trimmer = FITrimmerCV(cv=0.25, refit=False, random_state=0, budgets=(0, 0.1))
        trimmer.fit(X, y)
        assert trimmer.n_splits_ == 1
        assert len(trimmer.support_) == 300
        assert np.isnan(trimmer.influence_).sum() == 75


class TestRefusals:
    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"budgets": ()}, "at least one"),
            ({"budgets": "0.1"}, "at least one"),
            ({"budgets": (0, -1)}, "negative"),
            ({"budgets": (0, 300)}, "leave nothing"),
            ({"step": 0}, "step=0 must be"),
            ({"step": 1.5}, "step=1.5 must be"),
            ({"step": True}, "step=True must be"),
            ({"cv": 1}, "cv|n_splits"),
            ({"cv": 1.5}, "cv"),
            ({"rule": "boldest"}, "rule"),
            ({"influence": "gradient"}, "influence='gradient' is not known"),
            ({"scoring": lambda model, X, y: np.nan}, "NaN for every budget"),
        ],
    )
    def test_parameters(self, noisy, params, message):
        X, y, _, _ = noisy
        trimmer = FITrimmerCV(**{"cv": 2, "validation": 3, "budgets": (0, 5), **params})
        with pytest.raises(ValueError, match=message):
            trimmer.fit(X, y)
        assert not [name for name in vars(trimmer) if name.endswith("_")]

    def test_budget_that_would_empty_a_class_keeps_its_last_row(self, noisy):
        X, y, _, _ = noisy
        rows = np.append(np.flatnonzero(y == 0)[:100], np.flatnonzero(y == 1)[:8])

        def rare_first(estimator, X, y, X_val, y_val):
            return y + 1e-3 * np.arange(len(y))

        params = {"influence": rare_first, "validation": 2}
        trimmer = FITrimmerCV(
            budgets=(0, 2, 50), cv=2, scoring=lambda model, X, y: -model.score(X, y), **params
        )
        with pytest.warns(UserWarning, match="more than half of class 1"):  # noqa: SIM117
            with pytest.warns(UserWarning, match="reached the last rows of class 1"):
                trimmer.fit(X[rows], y[rows])
        search = GridSearchCV(
            FITrimmer(**params), {"budget": [0, 2, 50]}, cv=2, scoring=trimmer.scoring
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search.fit(X[rows], y[rows])
        np.testing.assert_array_equal(
            trimmer.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"]
        )
        assert trimmer.budget_ == search.best_params_["budget"] == 50

    def test_budget_that_a_fold_has_no_rows_for(self, noisy):
        X, y, _, _ = noisy
        trimmer = FITrimmerCV(budgets=(0, 5, 160), cv=2, influence="loss", step=None)
        with pytest.warns(UserWarning, match=r"Budgets \[160\] could not.*no more rows"):
            trimmer.fit(X, y)
        assert trimmer.budget_ in (0, 5)

    def test_step_larger_than_every_budget(self, noisy):
        X, y, _, _ = noisy
        options = {"cv": 2, "validation": 3, "budgets": (0, 3, 10)}
        with pytest.warns(UserWarning, match=r"step=50 is larger than every budget"):
            large = FITrimmerCV(step=50, **options).fit(X, y)
        once = FITrimmerCV(step=None, **options).fit(X, y)
        np.testing.assert_array_equal(
            large.cv_results_["mean_test_score"], once.cv_results_["mean_test_score"]
        )

    def test_one_class_fold(self, noisy):
        X, y, _, _ = noisy
        order = np.argsort(y, kind="stable")
        with pytest.raises(ValueError, match="class"):
            FITrimmerCV(cv=KFold(2)).fit(X[order], np.repeat([0, 1], 150))

    def test_failed_fit_leaves_the_old_one(self, noisy):
        X, y, _, _ = noisy
        trimmer = FITrimmerCV(cv=2, validation=3, budgets=(0, 5)).fit(X, y)
        before = dict(vars(trimmer))
        with pytest.raises(ValueError, match="NaN"):
            trimmer.fit(np.where(X > 2, np.nan, X)[:, :4], y)
        assert all(vars(trimmer)[key] is before[key] for key in before)


def test_verbose(noisy, capsys):
    X, y, _, _ = noisy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm may warn where notebooks lack widgets
        FITrimmerCV(cv=2, validation=3, budgets=(0, 0.1), verbose=1).fit(X, y)
    assert "without trimming" in capsys.readouterr().out


@pytest.mark.parametrize("budgets", [0.1, None, "ab", ()])
def test_budgets_that_are_none_are_told_of(budgets):
    with pytest.raises(ValueError, match=r"must be a list of at least one number of rows"):
        FITrimmerCV(budgets=budgets).fit(np.eye(4), [0, 1, 0, 1])
