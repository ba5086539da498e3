"""Which score rows go by: names, the user's own, steps, and what is told afterwards."""

from __future__ import annotations

import functools
import inspect

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skfi import FITrimmer, GeneralizedCrossEntropy, baselines, fi_signed, fi_util
from skfi.influence._measure import Measure
from skfi.linear._losses import expected_error, log_loss
from skfi.trimming._methods import METHODS
from tests.conftest import classic, make_split


@pytest.fixture(scope="module")
def data():
    X, y, X_val, y_val, _ = make_split(n=120)
    return X, y, X_val, y_val


class TestMethods:
    @pytest.mark.parametrize("name", ["iv", "knn_shapley"])
    def test_names_are_the_functions(self, data, name):
        X, y, X_val, y_val = data
        trimmer = classic(influence=name, budget=5).fit(X, y, X_val=X_val, y_val=y_val)
        function = getattr(baselines, name)
        expected = function(LogisticRegression().fit(X, y), X, y, X_val, y_val)
        np.testing.assert_array_equal(trimmer.influence_, expected)

    def test_signed_is_the_root_of_fi_times_iv(self, data):
        X, y, X_val, y_val = data
        options = {"validation_loss": "expected_error"}
        given = {"X_val": X_val, "y_val": y_val}
        trimmer = classic(influence="fi_signed", budget=5, **options).fit(X, y, **given)
        model = LogisticRegression().fit(X, y)
        gain = baselines.iv(model, X, y, X_val, y_val, **options)
        fi = fi_util(model, X, y, X_val, y_val, **options)
        np.testing.assert_allclose(trimmer.influence_, np.sqrt(fi) * gain, rtol=1e-9)
        np.testing.assert_allclose(trimmer.removal_gain_, gain, rtol=1e-9, atol=1e-14)

    def test_both_take_what_fi_util_takes(self, data):
        """Also by the same defaults, though they name no choice of a network themselves."""
        own = {
            name: parameter.default
            for name, parameter in inspect.signature(fi_util).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and name != "return_details"
        }
        assert METHODS["fi"].options() == set(own)
        assert METHODS["fi_signed"].options() == set(own) - {"unit"}
        weights = {"sample_weight": None, "sample_weight_val": None}
        assert {**weights, **vars(Measure())} == own
        with pytest.raises(TypeError, match=r"does not take \['unit'\].*'params', 'perturb"):
            fi_signed(LogisticRegression(), *data, unit="row")

    @pytest.mark.parametrize("name", ["loss", "self_confidence", "random"])
    def test_no_rows_are_held_out_without_need(self, data, name):
        X, y, _, _ = data
        trimmer = classic(influence=name, random_state=0, budget=5).fit(X, y)
        assert np.isfinite(trimmer.influence_).all()

    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_data_shapley_with_its_own_settings(self, data):
        X, y, X_val, y_val = data
        few = functools.partial(baselines.tmc_shapley, max_permutations=2, tolerance=0)
        trimmer = classic(influence=few, budget=3, random_state=0)
        trimmer.fit(X[:30], y[:30], X_val=X_val, y_val=y_val)
        assert trimmer.n_trimmed_ == 3

    def test_partial_of_a_known_function_is_known(self, data):
        X, y, _, _ = data
        own = functools.partial(baselines.self_confidence, cv=3)
        assert np.isfinite(classic(influence=own, budget=5).fit(X, y).influence_).all()
        with pytest.raises(TypeError, match="cannot compute influence for SVC"):
            classic(SVC(), influence=functools.partial(baselines.iv)).fit(X, y)

    def test_callable_gets_the_options_it_names(self, data):
        X, y, X_val, y_val = data
        weight = np.full(len(y), 2.0)
        seen = {}

        def own(estimator, X, y, X_val, y_val, *, sample_weight, validation_loss="none"):
            seen.update(weight=sample_weight, loss=validation_loss, model=estimator)
            return X[:, 0]

        trimmer = classic(influence=own, budget=4, validation_loss="gce")
        trimmer.fit(X, y, weight, X_val=X_val, y_val=y_val)
        np.testing.assert_array_equal(seen["weight"], weight)
        assert seen["loss"] == "gce"
        assert seen["model"] is trimmer.initial_estimator_
        np.testing.assert_array_equal(trimmer.trimmed_indices_, np.argsort(-X[:, 0])[:2])
        assert trimmer.report()["removal_lowers_validation_loss"].isna().all()

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            (lambda n: np.zeros(n - 1), r"of shape \(119,\).*shape \(120,\)"),
            (lambda n: np.zeros((n, 2)), "of shape"),
            (lambda n: np.full(n, np.nan), "NaN or infinity for 120 of 120"),
            (lambda n: np.full(n, np.inf), "NaN or infinity"),
            (lambda n: None, "of shape"),
            (lambda n: ["high"] * n, "one number a row"),
        ],
    )
    def test_callable_that_returns_nonsense(self, data, returned, message):
        X, y, X_val, y_val = data

        def own(estimator, X, y, X_val, y_val):
            return returned(len(y))

        trimmer = FITrimmer(influence=own, checked_rows="judge")
        with pytest.raises(ValueError, match=message):
            trimmer.fit(X, y, X_val=X_val, y_val=y_val)
        assert not [name for name in vars(trimmer) if name.endswith("_")]

    def test_every_name_is_documented(self):
        for name in METHODS:
            assert f'"{name}"' in FITrimmer.__doc__


def test_options_are_those_behind_the_data(data):
    """Whatever the score calls its classifier and its rows."""
    X, y, X_val, y_val = data

    def score(est, A, b, Av, bv, power=1, *, metric="", **rest):
        return np.arange(len(b), dtype=float) ** power

    trimmer = FITrimmer(influence=score, influence_params={"powr": 2})
    with pytest.raises(ValueError, match=r"not take \['powr'\].* It takes \['power'\]\.$"):
        trimmer.fit(X, y)
    with pytest.raises(ValueError, match=r"not take \['est'\]"):
        trimmer.set_params(influence_params={"est": 2}).fit(X, y)
    trimmer.set_params(influence_params={"power": 2}, checked_rows="judge")
    trimmer.fit(X, y, X_val=X_val, y_val=y_val)
    assert trimmer.influence_.max() == (len(y) - 1) ** 2


class TestInfluenceEstimator:
    @pytest.mark.parametrize(
        "estimator",
        [
            RandomForestClassifier(5, random_state=0),
            HistGradientBoostingClassifier(max_iter=5),
            SVC(),
            KNeighborsClassifier(),
        ],
        ids=lambda e: type(e).__name__,
    )
    def test_scores_are_its_own(self, data, estimator):
        X, y, X_val, y_val = data
        judge = make_pipeline(StandardScaler(), LogisticRegression())
        given = {"X_val": X_val, "y_val": y_val}
        trimmer = FITrimmer(estimator, influence_estimator=judge, budget=9).fit(X, y, **given)
        alone = FITrimmer(judge, budget=9).fit(X, y, **given)
        np.testing.assert_array_equal(trimmer.trimmed_indices_, alone.trimmed_indices_)
        assert type(trimmer.estimator_) is type(estimator)
        assert len(trimmer.report()) == 9

    def test_frozen_scores_as_it_is(self, data):
        X, y, X_val, y_val = data
        model = LogisticRegression().fit(X, y)
        given = {"X_val": X_val, "y_val": y_val}
        frozen = FrozenEstimator(model)
        trimmer = classic(influence_estimator=frozen).fit(X, y, **given)
        np.testing.assert_array_equal(trimmer.influence_, fi_util(model, X, y, X_val, y_val))
        with pytest.raises(ValueError, match=r"never fits. Set step=None"):
            FITrimmer(influence_estimator=frozen, step=2).fit(X, y, **given)

    def test_other_classes(self, data):
        X, y, X_val, y_val = data
        stranger = FrozenEstimator(LogisticRegression().fit(X, y + 1))
        trimmer = classic(influence_estimator=stranger)
        with pytest.raises(ValueError, match=r"knows the classes \[1, 2\].*\[0, 1\]"):
            trimmer.fit(X, y, X_val=X_val, y_val=y_val)

    def test_without_it_a_forest_is_told_of_it(self, data):
        X, y, _, _ = data
        with pytest.raises(TypeError, match="influence_estimator"):
            FITrimmer(RandomForestClassifier()).fit(X, y)


class TestSteps:
    def test_a_step_is_a_trimming_of_its_own(self, data):
        """Two steps by the definition: trim, then trim what is left."""
        X, y, X_val, y_val = data
        given = {"X_val": X_val, "y_val": y_val}
        solver = LogisticRegression(tol=1e-10, max_iter=1000)
        judged = FITrimmer(solver, budget=5, step=None, checked_rows="judge")
        both = clone(judged).set_params(budget=10, step=5).fit(X, y, **given)
        first = clone(judged).fit(X, y, **given)
        left = first.support_
        second = judged.fit(X[left], y[left], **given)
        expected = [*first.trimmed_indices_, *np.flatnonzero(left)[second.trimmed_indices_]]
        np.testing.assert_array_equal(both.trimmed_indices_, expected)
        np.testing.assert_allclose(
            both.influence_[left], second.influence_, rtol=1e-4, atol=1e-9
        )

    def test_larger_than_the_budget_is_said(self, data):
        X, y, X_val, y_val = data
        with pytest.warns(UserWarning, match="step=9 is larger than budget=4"):
            large = FITrimmer(budget=4, step=9).fit(X, y, X_val=X_val, y_val=y_val)
        once = FITrimmer(budget=4, step=None).fit(X, y, X_val=X_val, y_val=y_val)
        np.testing.assert_array_equal(large.influence_, once.influence_)

    def test_forests_are_not_grown_on(self, data):
        """warm_start of a forest adds trees; scores must come from new ones."""
        X, y, _, _ = data
        sizes = []

        def own(estimator, X, y, X_val, y_val):
            sizes.append((len(estimator.estimators_), len(X)))
            return X[:, 0]

        forest = RandomForestClassifier(4, random_state=0)
        FITrimmer(forest, influence=own, budget=6, step=3, validation=0.3).fit(X, y)
        assert sizes == [(4, 84), (4, 81)]


class TestAfterwards:
    def test_report(self, data):
        pd = pytest.importorskip("pandas")
        X, y, X_val, y_val = data
        frame = pd.DataFrame(X, index=[f"row {k}" for k in range(len(X))])
        frame.columns = frame.columns.astype(str)
        label = np.where(y, "yes", "$no$")
        X_val = pd.DataFrame(X_val, columns=frame.columns)
        trimmer = FITrimmer(budget=8).fit(
            frame, label, X_val=X_val, y_val=np.where(y_val, "yes", "$no$")
        )
        report = trimmer.report()
        gone = trimmer.trimmed_indices_
        assert report.index.tolist() == [f"row {k}" for k in gone]
        np.testing.assert_array_equal(report["position"], gone)
        np.testing.assert_array_equal(report["influence"], trimmer.influence_[gone])
        assert report["given_label"].tolist() == label[gone].tolist()
        proba = trimmer.predict_proba(frame.iloc[gone])
        assert report["predicted_label"].tolist() == trimmer.predict(frame.iloc[gone]).tolist()
        np.testing.assert_allclose(report["predicted_probability"], proba.max(axis=1))
        given = proba[np.arange(8), (label[gone] == "yes").astype(int)]
        np.testing.assert_allclose(report["loss"], -np.log(given))
        np.testing.assert_array_equal(
            report["removal_lowers_validation_loss"], trimmer.removal_gain_[gone] > 0
        )
        assert FITrimmer(budget=0).fit(X, y).report().empty

    def test_ranking(self, data):
        X, y, _, _ = data
        trimmer = classic(budget=6, random_state=0).fit(X, y)
        np.testing.assert_array_equal(trimmer.ranking_[trimmer.trimmed_indices_], range(1, 7))
        scored = ~np.isnan(trimmer.influence_)
        assert sorted(trimmer.ranking_[scored]) == list(range(1, scored.sum() + 1))
        assert (trimmer.ranking_[~scored] == scored.sum() + 1).all()
        order = np.argsort(trimmer.ranking_[scored])
        assert (np.diff(trimmer.influence_[scored][order]) <= 0).all()

    def test_class_that_shrinks_is_told(self, data):
        X, y, X_val, y_val = data

        def ones_first(estimator, X, y, X_val, y_val):
            return y.astype(float)

        trimmer = FITrimmer(influence=ones_first, budget=int(0.6 * y.sum()))
        with pytest.warns(UserWarning, match=r"more than half of class 1 \("):
            trimmer.fit(X, y, X_val=X_val, y_val=y_val)
        before, after = trimmer.class_shares_
        assert before[1] == pytest.approx(y.mean())
        assert after[1] == pytest.approx(y[trimmer.support_].mean())


class TestGeneralizedCrossEntropy:
    def test_between_the_two(self):
        rng = np.random.default_rng(0)
        log_proba = np.log(rng.dirichlet(np.ones(3), 20))
        y = rng.integers(0, 3, 20)
        for q, other in ((1e-8, log_loss), (1.0, expected_error)):
            for ours, theirs in zip(
                GeneralizedCrossEntropy(q)(y, log_proba), other(y, log_proba), strict=True
            ):
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12)

    def test_gradient(self):
        y, log_proba, h = np.array([1]), np.log([[0.2, 0.3, 0.5]]), 1e-6
        loss = GeneralizedCrossEntropy(0.7)
        step = np.array([[0.0, h, 0.0]])
        slope = (loss(y, log_proba + step)[0] - loss(y, log_proba - step)[0]) / (2 * h)
        np.testing.assert_allclose(loss(y, log_proba)[1][0, 1], slope[0], rtol=1e-6)

    @pytest.mark.parametrize("q", [0, -1, 1.5])
    def test_q(self, q):
        with pytest.raises(ValueError, match="must be in"):
            GeneralizedCrossEntropy(q)
