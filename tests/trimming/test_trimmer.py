"""FITrimmer: what it drops, what it reports, what it refuses."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

import skfi.influence._curved
from skfi import fi_util
from skfi.bridge._base import innermost
from tests.conftest import classic, make_split


@pytest.fixture(scope="module")
def noisy():
    """Separable enough data of which the first 20 training labels are wrong."""
    X, y = make_classification(500, 8, n_informative=5, class_sep=1.5, random_state=0)
    X, y, X_val, y_val = X[:300], y[:300], X[300:], y[300:]
    y = y.copy()
    y[:20] = 1 - y[:20]
    return X, y, X_val, y_val


class TestWhatIsDropped:
    def test_given_validation_rows(self, noisy):
        X, y, X_val, y_val = noisy
        trimmer = classic(LogisticRegression(), budget=20).fit(X, y, X_val=X_val, y_val=y_val)
        plain = LogisticRegression().fit(X, y)
        influence = fi_util(plain, X, y, X_val, y_val)
        np.testing.assert_array_equal(trimmer.influence_, influence)
        worst = np.argsort(-influence, kind="stable")[:20]
        np.testing.assert_array_equal(trimmer.trimmed_indices_, worst)
        assert trimmer.n_trimmed_ == 20
        np.testing.assert_array_equal(np.flatnonzero(~trimmer.support_), np.sort(worst))
        kept = trimmer.support_
        np.testing.assert_array_equal(
            trimmer.estimator_.coef_, LogisticRegression().fit(X[kept], y[kept]).coef_
        )
        np.testing.assert_array_equal(trimmer.initial_estimator_.coef_, plain.coef_)

    def test_held_out_share(self, noisy):
        X, y, _, _ = noisy
        trimmer = classic(budget=0.05, validation=0.3, random_state=0).fit(X, y)
        held_out = np.isnan(trimmer.influence_)
        assert held_out.sum() == 90
        assert y[held_out].mean() == pytest.approx(y.mean(), abs=0.02)  # stratified
        assert trimmer.n_trimmed_ == 15  # of all rows passed, not of those scored
        assert trimmer.support_[held_out].all()  # used again in the final fit
        first = LogisticRegression().fit(X[~held_out], y[~held_out])
        expected = fi_util(first, X[~held_out], y[~held_out], X[held_out], y[held_out])
        np.testing.assert_array_equal(trimmer.influence_[~held_out], expected)

    @pytest.mark.parametrize("validation", [4, StratifiedKFold(4)])
    def test_cross_fit(self, noisy, validation):
        X, y, _, _ = noisy
        trimmer = classic(budget=0.05, validation=validation).fit(X, y)
        total = np.zeros(len(y))
        for fit_rows, val_rows in StratifiedKFold(4).split(X, y):
            model = LogisticRegression().fit(X[fit_rows], y[fit_rows])
            total[fit_rows] += fi_util(
                model, X[fit_rows], y[fit_rows], X[val_rows], y[val_rows]
            )
        np.testing.assert_allclose(trimmer.influence_, total / 3, rtol=1e-12)
        assert len(trimmer.initial_estimators_) == 4
        assert not hasattr(trimmer, "initial_estimator_")

    def test_cross_fit_in_parallel_is_the_same(self, noisy):
        X, y, _, _ = noisy
        one = classic(validation=3).fit(X, y)
        two = classic(validation=3, n_jobs=2).fit(X, y)
        np.testing.assert_array_equal(one.influence_, two.influence_)

    def test_refit_with_single_split_again_has_the_attribute(self, noisy):
        X, y, _, _ = noisy
        trimmer = classic(random_state=0).fit(X, y)
        assert trimmer.initial_estimator_ is trimmer.initial_estimators_[0]
        assert not hasattr(trimmer.set_params(validation=3).fit(X, y), "initial_estimator_")

    @pytest.mark.parametrize("budget", [0, 0.0])
    @pytest.mark.parametrize("validation", [0.2, 3])
    def test_budget_zero_is_the_plain_estimator(self, noisy, budget, validation):
        X, y, X_val, _ = noisy
        trimmer = classic(budget=budget, validation=validation).fit(X, y)
        plain = LogisticRegression().fit(X, y)
        np.testing.assert_array_equal(trimmer.predict_proba(X_val), plain.predict_proba(X_val))
        assert trimmer.support_.all()
        assert trimmer.n_trimmed_ == 0
        assert len(trimmer.trimmed_indices_) == 0

    def test_accuracy_goes_up_where_labels_are_wrong(self):
        gains = []
        for seed in range(5):
            X, y = make_classification(2400, 20, n_informative=8, random_state=seed)
            rng = np.random.default_rng(seed)
            wrong = rng.random(400) < 0.25
            dirty = np.where(wrong, 1 - y[:400], y[:400])
            trimmer = classic(budget=0.15, validation_loss="expected_error")
            trimmer.fit(X[:400], dirty, X_val=X[400:800], y_val=y[400:800])
            plain = LogisticRegression().fit(X[:400], dirty)
            gains.append(trimmer.score(X[800:], y[800:]) - plain.score(X[800:], y[800:]))
        assert np.mean(gains) > 0.005

    def test_options_reach_the_scores(self, noisy):
        X, y, X_val, y_val = noisy
        options = {"validation_loss": "expected_error", "metric": "mahalanobis"}
        trimmer = classic(**options).fit(X, y, X_val=X_val, y_val=y_val)
        expected = fi_util(LogisticRegression().fit(X, y), X, y, X_val, y_val, **options)
        np.testing.assert_array_equal(trimmer.influence_, expected)


class TestWeights:
    def test_partly_trimmed_row(self):
        X, y, X_val, y_val, _ = make_split()
        weight = np.full(len(y), 4.0)
        trimmer = classic(budget=6).fit(X, y, weight, X_val=X_val, y_val=y_val)
        order = np.argsort(-trimmer.influence_, kind="stable")
        assert trimmer.trimmed_indices_.tolist() == [order[0]]
        assert trimmer.sample_weight_[order[0]] == 0
        assert trimmer.sample_weight_[order[1]] == 2
        assert trimmer.support_[order[1]]
        kept = trimmer.support_
        plain = LogisticRegression().fit(X[kept], y[kept], trimmer.sample_weight_[kept])
        np.testing.assert_array_equal(trimmer.estimator_.coef_, plain.coef_)
        assert (weight == 4).all()

    def test_no_weights_no_weights(self):
        X, y, X_val, y_val, _ = make_split()
        trimmer = classic().fit(X, y, X_val=X_val, y_val=y_val)
        assert trimmer.sample_weight_ is None

    def test_rows_of_weight_zero_are_absent(self):
        X, y, X_val, y_val, weight = make_split()
        weight[::5] = 0
        present = weight > 0
        one = classic(budget=0.1).fit(X, y, weight, X_val=X_val, y_val=y_val)
        two = classic(budget=0.1).fit(
            X[present], y[present], weight[present], X_val=X_val, y_val=y_val
        )
        assert (one.influence_[~present] == 0).all()  # as fi_util has it
        np.testing.assert_allclose(one.influence_[present], two.influence_, rtol=1e-3)
        np.testing.assert_allclose(one.estimator_.coef_, two.estimator_.coef_, atol=1e-3)

    def test_each_step_of_a_pipeline_is_weighted(self):
        X, y, X_val, y_val, weight = make_split()
        pipe = make_pipeline(StandardScaler(), LogisticRegression())
        trimmer = classic(pipe, budget=0).fit(X, y, weight, X_val=X_val, y_val=y_val)
        expected = StandardScaler().fit(X, sample_weight=weight).mean_
        np.testing.assert_array_equal(trimmer.estimator_[0].mean_, expected)

    def test_held_out_rows_keep_their_weight(self):
        X, y, _, _, weight = make_split()
        trimmer = classic(random_state=0, budget=0).fit(X, y, weight)
        out = np.isnan(trimmer.influence_)
        expected = fi_util(
            LogisticRegression().fit(X[~out], y[~out], weight[~out]),
            X[~out],
            y[~out],
            X[out],
            y[out],
            sample_weight=weight[~out],
            sample_weight_val=weight[out],
        )
        np.testing.assert_array_equal(trimmer.influence_[~out], expected)


class TestInputs:
    def test_sparse(self, noisy):
        X, y, X_val, y_val = noisy
        dense = classic().fit(X, y, X_val=X_val, y_val=y_val)
        as_csr = classic().fit(
            sparse.csr_array(X), y, X_val=sparse.csr_array(X_val), y_val=y_val
        )
        np.testing.assert_array_equal(dense.support_, as_csr.support_)

    def test_dataframe_with_categories(self):
        pd = pytest.importorskip("pandas")
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(
            {"age": rng.normal(40, 10, 300), "job": rng.choice(["a", "b", "c"], 300)}
        )
        frame.loc[3, "job"] = "rare"
        label = np.where(frame["age"] + 10 * (frame["job"] == "a") > 43, "yes", "no")
        label[rng.random(300) < 0.2] = "no"
        prepare = make_column_transformer(
            (StandardScaler(), ["age"]), (OneHotEncoder(handle_unknown="ignore"), ["job"])
        )
        trimmer = classic(make_pipeline(prepare, LogisticRegression()), random_state=0)
        trimmer.fit(frame, pd.Series(label))
        assert trimmer.feature_names_in_.tolist() == ["age", "job"]
        assert trimmer.n_features_in_ == 2
        assert trimmer.classes_.tolist() == ["no", "yes"]
        assert trimmer.n_trimmed_ == 15
        X_kept, y_kept = trimmer.fit_resample(frame, pd.Series(label))
        assert isinstance(X_kept, pd.DataFrame)
        assert X_kept.index.tolist() == np.flatnonzero(trimmer.support_).tolist()
        assert len(y_kept) == 285

    def test_class_of_one_row_is_never_held_out(self):
        X, y, _, _, _ = make_split(3)
        y[y == 2] = 1
        y[5] = 2
        trimmer = classic(budget=1, random_state=0).fit(X, y)
        assert not np.isnan(trimmer.influence_[5])
        assert trimmer.classes_.tolist() == [0, 1, 2]

    def test_groups_stay_together(self):
        X, y, _, _, _ = make_split()
        groups = np.arange(len(y)) // 20
        trimmer = classic(validation=GroupKFold(3)).fit(X, y, groups=groups)
        assert not np.isnan(trimmer.influence_).any()

    def test_data_is_not_changed(self, noisy):
        X, y, X_val, y_val = (part.copy() for part in noisy)
        classic().fit(X, y, X_val=X_val, y_val=y_val)
        for before, after in zip(noisy, (X, y, X_val, y_val), strict=True):
            np.testing.assert_array_equal(before, after)


class TestMeta:
    def test_delegation(self, noisy):
        X, y, X_val, _ = noisy
        trimmer = classic(random_state=0).fit(X, y)
        for method in (
            "predict",
            "predict_proba",
            "predict_log_proba",
            "decision_function",
        ):
            np.testing.assert_array_equal(
                getattr(trimmer, method)(X_val), getattr(trimmer.estimator_, method)(X_val)
            )
        assert not hasattr(classic(SGDClassifier()), "predict_proba")
        assert hasattr(classic(SGDClassifier(loss="log_loss")), "predict_proba")
        assert not hasattr(classic(FrozenEstimator(SVC())), "predict_proba")
        with pytest.raises(NotFittedError):
            classic().predict(X)

    def test_clone_pickle_and_repr(self, noisy):
        X, y, X_val, _ = noisy
        trimmer = classic(LogisticRegression(C=3.0), budget=7, random_state=0).fit(X, y)
        assert clone(trimmer).get_params()["estimator__C"] == 3.0
        again = pickle.loads(pickle.dumps(trimmer))
        np.testing.assert_array_equal(again.predict_proba(X_val), trimmer.predict_proba(X_val))
        assert "LogisticRegression" in trimmer._repr_html_()
        assert "budget=7" in repr(trimmer)

    def test_sklearn_protocol_for_resampling(self, noisy):
        X, y, X_val, y_val = noisy
        X_kept, y_kept = classic(budget=20).fit_resample(X, y, X_val=X_val, y_val=y_val)
        trimmer = classic(budget=20).fit(X, y, X_val=X_val, y_val=y_val)
        np.testing.assert_array_equal(X_kept, X[trimmer.support_])
        np.testing.assert_array_equal(y_kept, y[trimmer.support_])

    @pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
    def test_imbalanced_learn_pipeline(self, noisy):
        pipeline = pytest.importorskip("imblearn.pipeline")
        X, y, X_val, _ = noisy
        trimmer = classic(budget=20, random_state=0)
        forest = RandomForestClassifier(20, random_state=0)
        pipe = pipeline.make_pipeline(StandardScaler(), trimmer, forest).fit(X, y)
        scaled = StandardScaler().fit_transform(X)
        X_kept, y_kept = trimmer.fit_resample(scaled, y)
        assert len(y_kept) == 280
        expected = clone(forest).fit(X_kept, y_kept)
        np.testing.assert_array_equal(
            pipe.predict_proba(X_val),
            expected.predict_proba(pipe[0].transform(X_val)),
        )

    def test_grid_search_over_budget_and_penalty(self, noisy):
        X, y, X_val, y_val = noisy
        search = GridSearchCV(
            classic(LogisticRegression(), random_state=0),
            {"budget": [0, 0.01, 0.05], "estimator__C": [0.1, 1]},
        ).fit(X, y)
        assert search.best_params_["budget"] in (0, 0.01, 0.05)
        assert len(search.cv_results_["params"]) == 6
        assert search.score(X_val, y_val) > 0.8

    def test_inside_a_pipeline(self, noisy):
        X, y, X_val, y_val = noisy
        pipe = make_pipeline(StandardScaler(), classic(budget=20, random_state=0))
        assert pipe.fit(X, y).score(X_val, y_val) > 0.8
        assert pipe[-1].n_trimmed_ == 20
        assert cross_val_score(pipe, X, y, cv=3).mean() > 0.7

    def test_memory_scores_once_per_fold(self, noisy, tmp_path, monkeypatch):
        X, y, _, _ = noisy
        calls = tmp_path / "calls"
        original = skfi.influence._curved.fit_curvature

        def counting(*args, **kwargs):
            with calls.open("a") as file:
                file.write("x")
            return original(*args, **kwargs)

        monkeypatch.setattr(skfi.influence._curved, "fit_curvature", counting)
        budgets, results = {"budget": [0, 5, 10, 20]}, []
        for memory, expected in ((None, 13), (str(tmp_path / "cache"), 4)):
            calls.write_text("")
            trimmer = classic(memory=memory, random_state=0)
            search = GridSearchCV(trimmer, budgets, cv=3).fit(X, y)
            # Four budgets in three folds and the last fit, or each of these once.
            assert len(calls.read_text()) == expected
            results.append(search.cv_results_["mean_test_score"])
        np.testing.assert_array_equal(*results)

    def test_verbose(self, noisy, capsys):
        X, y, _, _ = noisy
        classic(budget=20, verbose=1, random_state=0).fit(X, y)
        assert "scored 240 of 300 rows" in (out := capsys.readouterr().out)
        assert "dropped 20, kept 280" in out


class TestRefusals:
    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"budget": 300}, "leave nothing of n_samples=300"),
            ({"budget": -3}, "negative"),
            ({"budget": 1.0}, "share in"),
            ({"budget": 0.9, "random_state": 0}, "only 240 were scored"),
            ({"validation": 1.5}, "share in"),
            ({"validation": 1}, "at least 2"),
            ({"validation_loss": "hinge"}, "expected_error"),
            ({"metric": "cosine"}, "metric"),
            ({"estimator": FrozenEstimator(LogisticRegression())}, "never fits.*fi_util"),
        ],
    )
    def test_parameters(self, noisy, params, message):
        X, y, _, _ = noisy
        with pytest.raises(ValueError, match=message):
            classic(**params).fit(X, y)

    def test_frozen_inside_a_pipeline(self, noisy):
        X, y, _, _ = noisy
        frozen = make_pipeline(StandardScaler(), FrozenEstimator(LogisticRegression()))
        with pytest.raises(ValueError, match="never fits"):
            classic(frozen).fit(X, y)

    @pytest.mark.parametrize(
        "estimator", [RandomForestClassifier(3), SVC(), make_pipeline(SVC())]
    )
    def test_no_bridge(self, noisy, estimator, monkeypatch):
        X, y, _, _ = noisy

        def fit(*args, **kwargs):
            raise AssertionError("fitted although it cannot be scored")

        monkeypatch.setattr(type(innermost(estimator)), "fit", fit)
        with pytest.raises(
            TypeError,
            match=r"influence for .*influence_estimator=LogisticRegression.*register",
        ):
            classic(estimator, random_state=0).fit(X, y)

    def test_validation_set(self, noisy):
        X, y, X_val, y_val = noisy
        for bad, message in (
            ({"X_val": X_val}, "X_val was passed without y_val"),
            ({"y_val": y_val}, "y_val was passed without X_val"),
            ({"sample_weight_val": np.ones(5)}, "without X_val"),
            ({"X_val": X_val, "y_val": y_val[:-1]}, "must match"),
            ({"X_val": X_val[:, :-1], "y_val": y_val}, "columns of X"),
            ({"X_val": X_val[:0], "y_val": y_val[:0]}, "no rows"),
            ({"X_val": X_val, "y_val": y_val + 1}, r"never saw: \[2\]"),
            ({"X_val": (X_val, X_val), "y_val": y_val}, "tuple of 2"),
            ({"X_val": np.where(X_val > 0, np.nan, X_val), "y_val": y_val}, "NaN"),
        ):
            with pytest.raises(ValueError, match=message):
                classic().fit(X, y, **bad)

    def test_training_set(self, noisy):
        X, y, _, _ = noisy
        with pytest.raises(ValueError, match="NaN"):
            classic().fit(np.where(X > 2, np.nan, X), y)
        with pytest.raises(ValueError, match="one class"):
            classic().fit(X, np.zeros_like(y))
        with pytest.raises(ValueError, match="Unknown label type"):
            classic().fit(X, y + 0.5 * X[:, 0])

    def test_whole_class(self):
        X, y, X_val, y_val, _ = make_split()
        rare = np.flatnonzero(y == 1)[:3]
        rows = np.append(np.flatnonzero(y == 0), rare)
        given = {"X_val": X_val, "y_val": y_val}
        with pytest.raises(ValueError, match=rf"only {len(rows) - 2} can be dropped"):
            classic(budget=len(rows) - 1).fit(X[rows], y[rows], **given)

    def test_weights_the_classifier_does_not_take(self, noisy):
        X, y, _, _ = noisy

        class Unweighted(LogisticRegression):
            def fit(self, X, y):
                return super().fit(X, y)

        for estimator in (Unweighted(), make_pipeline(StandardScaler(), Unweighted())):
            with pytest.raises(ValueError, match="does not take it in fit"):
                classic(estimator).fit(X, y, np.ones(len(y)))

    def test_fold_with_classes_nobody_else_has(self):
        X, y, _, _, _ = make_split()
        order = np.argsort(y, kind="stable")
        with pytest.raises(ValueError, match="only classes the other folds lack"):
            classic(validation=KFold(2)).fit(
                X[order], np.r_[np.zeros(70, int), np.ones(70, int)]
            )

    def test_failed_fit_leaves_the_old_one(self, noisy):
        X, y, _, _ = noisy
        trimmer = classic(budget=20, random_state=0).fit(X, y)
        before = dict(vars(trimmer))
        for bad_X, bad_y in (
            (X[:, :3], np.zeros_like(y)),
            (np.where(X > 2, np.nan, X)[:, :4], y),
            (X[:30, :5], y[:30] * 0),
        ):
            with pytest.raises(ValueError, match=r"class|NaN"):
                trimmer.fit(bad_X, bad_y)
            assert vars(trimmer).keys() == before.keys()
            assert all(vars(trimmer)[key] is before[key] for key in before)
        fresh = classic(budget=290)
        with pytest.raises(ValueError, match="scored"):
            fresh.fit(X, y)
        assert not [name for name in vars(fresh) if name.endswith("_")]


def test_unconverged_fit_warns_once_with_advice(noisy):
    X, y, X_val, y_val = noisy
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classic(LogisticRegression(max_iter=1)).fit(X, y, X_val=X_val, y_val=y_val)
    ours = [w for w in caught if "not at its optimum" in str(w.message)]
    assert len(ours) == 1
    assert issubclass(ours[0].category, ConvergenceWarning)
