"""Checked rows join the training rows in folds and in the last fit, and are never dropped."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GroupKFold, PredefinedSplit, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skfi import FITrimmer, FITrimmerCV, baselines, fi_signed
from tests.conftest import make_split

EXACT = LogisticRegression(tol=1e-12, max_iter=2000)


@pytest.fixture(scope="module")
def data():
    X, y, X_val, y_val, _ = make_split(3)
    return X, y, X_val, y_val


def given(data):
    return {"X_val": data[2], "y_val": data[3]}


def dealt(y_val, n_parts):
    """Checked rows take turns within their class."""
    part = np.empty(len(y_val), dtype=int)
    part[np.argsort(y_val, kind="stable")] = np.arange(len(y_val)) % n_parts
    return part


@pytest.mark.parametrize("loss", ["expected_error", "log_loss"])
def test_scores_are_the_means_over_folds_of_both(data, loss):
    """The definition, fold by fold."""
    X, y, X_val, y_val = data
    trimmer = FITrimmer(EXACT, budget=9, step=None, validation=4, validation_loss=loss)
    trimmer.fit(X, y, **given(data))
    part = dealt(y_val, 4)
    total, count = np.zeros(len(y)), np.zeros(len(y))
    for k, (rows, out) in enumerate(StratifiedKFold(4).split(X, y)):
        A = np.concatenate([X[rows], X_val[part != k]])
        a = np.concatenate([y[rows], y_val[part != k]])
        V = np.concatenate([X[out], X_val[part == k]])
        v = np.concatenate([y[out], y_val[part == k]])
        model = clone(EXACT).fit(A, a)
        scores = fi_signed(model, A, a, V, v, validation_loss=loss, metric="mahalanobis")
        total[rows] += scores[: len(rows)]
        count[rows] += 1
    assert_allclose(trimmer.influence_, total / count, rtol=1e-6, atol=1e-12)
    assert len(trimmer.influence_) == len(y)


@pytest.mark.parametrize("role", ["train", "folds", "judge"])
def test_the_last_fit_has_them_where_asked(data, role):
    X, y, X_val, y_val = data
    trimmer = FITrimmer(EXACT, budget=12, checked_rows=role).fit(X, y, **given(data))
    kept = trimmer.sample_indices_
    assert len(kept) == len(y) - 12
    rows, labels = X[kept], y[kept]
    if role == "train":
        rows, labels = np.concatenate([rows, X_val]), np.concatenate([labels, y_val])
    assert_array_equal(trimmer.estimator_.coef_, clone(EXACT).fit(rows, labels).coef_)
    assert trimmer.checked_rows_ == role
    assert (
        trimmer.influence_.shape == trimmer.support_.shape == trimmer.ranking_.shape == y.shape
    )
    assert trimmer.report()["position"].max() < len(y)


def test_without_them_nothing_changes(data):
    X, y, _, _ = data
    one = FITrimmer(EXACT, checked_rows="train").fit(X, y)
    other = FITrimmer(EXACT, checked_rows="judge").fit(X, y)
    assert_array_equal(one.influence_, other.influence_)
    assert one.checked_rows_ is None


def test_wrong_checked_rows_are_not_dropped_and_training_rows_are():
    """The worst rows of all are checked, and yet only rows of X go."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2))
    y = (X[:, 0] > 0).astype(int)
    trimmer = FITrimmer(EXACT, budget=6, step=2)
    trimmer.fit(X[:60], y[:60], X_val=X[60:], y_val=1 - y[60:])
    assert trimmer.n_trimmed_ == 6
    assert trimmer.trimmed_indices_.max() < 60


@pytest.mark.parametrize(
    "validation",
    [
        0.25,
        3,
        ShuffleSplit(7, test_size=0.3, random_state=0),
        PredefinedSplit(np.arange(140) % 3),
        [(np.arange(70), np.arange(70, 140)), (np.arange(70, 140), np.arange(70))],
    ],
    ids=lambda v: type(v).__name__,
)
def test_any_split_of_the_training_rows_splits_them_too(data, validation):
    X, y, _, y_val = data
    seen = []

    def recording(estimator, X, y, X_val, y_val):
        seen.append((len(X), len(X_val)))
        return np.arange(len(y), dtype=float)

    trimmer = FITrimmer(
        EXACT, influence=recording, validation=validation, step=None, budget=3, random_state=0
    ).fit(X, y, **given(data))
    n_parts = round(len(y) / (seen[0][1] - len(y_val) / 4)) if validation == 0.25 else None
    for n_fit, n_judge in seen:
        assert n_fit + n_judge == len(y) + len(y_val)
    assert n_parts in (None, 4)
    assert trimmer.n_trimmed_ == 3


def test_groups_split_the_training_rows_alone(data):
    X, y, _, _ = data
    groups = np.arange(len(y)) // 10
    trimmer = FITrimmer(EXACT, validation=GroupKFold(4), budget=5)
    trimmer.fit(X, y, groups=groups, **given(data))
    assert trimmer.n_trimmed_ == 5
    own = FITrimmer(EXACT, influence="self_confidence", budget=5, random_state=0)
    own.fit(X, y, groups=groups, **given(data))
    assert own.n_trimmed_ == 5


def test_weights_are_copies_of_checked_rows(data):
    """A fixed split judges, so that copies do not change it."""
    X, y, X_val, y_val = data
    copies = np.arange(len(y_val)) % 2 + 1
    half = np.arange(70)
    splits = [(half, half + 70), (half + 70, half)]
    options = {"validation": splits, "budget": 8, "checked_rows": "train"}
    weighted = FITrimmer(EXACT, **options).fit(
        X, y, X_val=X_val, y_val=y_val, sample_weight_val=copies
    )
    assert weighted.sample_weight_ is None
    final = np.concatenate([X[weighted.support_], np.repeat(X_val, copies, axis=0)])
    labels = np.concatenate([y[weighted.support_], np.repeat(y_val, copies)])
    expected = clone(EXACT).fit(final, labels)
    assert_allclose(weighted.estimator_.coef_, expected.coef_, rtol=1e-6)
    ones = FITrimmer(EXACT, **options).fit(
        X, y, np.ones(len(y)), X_val=X_val, y_val=y_val, sample_weight_val=np.ones(len(y_val))
    )
    plain = FITrimmer(EXACT, **options).fit(X, y, X_val=X_val, y_val=y_val)
    assert_allclose(ones.influence_, plain.influence_, rtol=1e-6)
    assert_allclose(ones.sample_weight_, ones.support_)


@pytest.mark.parametrize("kind", ["frame", "sparse", "polars", "list"])
def test_any_kind_of_rows(data, kind):
    X, y, X_val, y_val = data
    make = {
        "frame": lambda rows: pd.DataFrame(rows, columns=list("abcde")),
        "sparse": sparse.csr_array,
        "polars": lambda rows: pytest.importorskip("polars").DataFrame(
            rows, schema=list("abcde")
        ),
        "list": lambda rows: rows.tolist(),
    }[kind]
    plain = FITrimmer(EXACT, budget=6).fit(X, y, X_val=X_val, y_val=y_val)
    other = FITrimmer(EXACT, budget=6).fit(make(X), y, X_val=make(X_val), y_val=y_val)
    assert_array_equal(other.trimmed_indices_, plain.trimmed_indices_)
    assert_allclose(other.estimator_.coef_, plain.estimator_.coef_, rtol=1e-6)
    if kind == "frame":
        assert list(other.feature_names_in_) == list("abcde")


def test_a_pipeline_finds_the_columns_of_checked_rows_by_name(data):
    X, y, X_val, y_val = data
    frame = pd.DataFrame(X, columns=list("abcde"))
    checked = pd.DataFrame(X_val, columns=list("abcde"))
    pipe = make_pipeline(StandardScaler(), EXACT)
    plain = FITrimmer(pipe, budget=6).fit(frame, y, X_val=checked, y_val=y_val)
    turned = FITrimmer(pipe, budget=6).fit(frame, y, X_val=checked[list("edcba")], y_val=y_val)
    assert_array_equal(turned.trimmed_indices_, plain.trimmed_indices_)
    with pytest.raises(ValueError, match=r"X_val has no column \['c'\]"):
        FITrimmer(pipe).fit(frame, y, X_val=checked.drop(columns="c"), y_val=y_val)


def test_self_confidence_trains_on_them_in_every_fold(data):
    X, y, X_val, y_val = data
    trimmer = FITrimmer(
        EXACT, influence="self_confidence", budget=7, step=None, random_state=0
    ).fit(X, y, **given(data))
    expected = baselines.self_confidence(
        clone(EXACT).fit(X, y), X, y, X_val, y_val, random_state=0
    )
    assert_allclose(trimmer.influence_, expected, rtol=1e-9)
    without = baselines.self_confidence(clone(EXACT).fit(X, y), X, y, random_state=0)
    assert np.abs(expected - without).max() > 1e-3


def test_a_frozen_model_is_judged_by_them(data):
    X, y, _, _ = data
    frozen = FrozenEstimator(clone(EXACT).fit(X, y))
    trimmer = FITrimmer(EXACT, influence_estimator=frozen, step=None, budget=4)
    assert trimmer.fit(X, y, **given(data)).checked_rows_ == "judge"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_val": np.full(40, 7)}, r"y_val has labels the classifier never saw: \[7\]"),
        ({"y_val": ["0"] * 40}, "y_val has labels the classifier never saw"),
        ({"y_val": [None] * 40}, "None or NaN"),
        ({"margin": np.ones(140)}, r"margin was passed with a value for each row of X"),
        ({"sample_weight_val": -np.ones(40)}, "[Nn]egative"),
        ({"sample_weight_val": np.zeros(40)}, "sample_weight_val is zero"),
    ],
)
def test_what_cannot_be_joined_is_refused(data, change, message):
    X, y, _, _ = data
    trimmer = FITrimmer(EXACT)
    with pytest.raises(ValueError, match=message):
        trimmer.fit(X, y, **(given(data) | change))
    assert not [name for name in vars(trimmer) if name.endswith("_")]


def test_a_classifier_without_weights_says_so(data):
    X, y, X_val, y_val = data
    from sklearn.neighbors import KNeighborsClassifier

    trimmer = FITrimmer(KNeighborsClassifier(), influence="loss", budget=3)
    trimmer.fit(X, y, **given(data))
    with pytest.raises(ValueError, match="does not take it"):
        trimmer.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=np.ones(len(y_val)))


def test_rows_out_of_scale_are_noticed(data):
    X, y, X_val, y_val = data
    model = LogisticRegression(solver="newton-cholesky")
    with pytest.warns(UserWarning, match=r"X_val lie far"):
        FITrimmer(model, budget=3, step=None).fit(X, y, X_val=X_val + 40, y_val=y_val)


@pytest.mark.parametrize("scale", [1 / 140, 50.0])
def test_weights_on_another_scale_are_noticed(data, scale):
    X, y, _, y_val = data
    weight = np.full(len(y), scale)
    trimmer = FITrimmer(EXACT, budget=0.02, step=None)
    with pytest.warns(UserWarning, match=r"weigh .* on average.*sample_weight_val"):
        trimmer.fit(X, y, weight, **given(data))
    trimmer.fit(X, y, weight, sample_weight_val=np.full(len(y_val), scale), **given(data))
    clone(trimmer).set_params(checked_rows="judge").fit(X, y, weight, **given(data))


def test_later_steps_and_sgd(data):
    X, y, _, _ = data
    model = SGDClassifier(loss="log_loss", tol=1e-6, max_iter=20000, random_state=0, alpha=0.01)
    trimmer = FITrimmer(model, budget=12, step=4, influence="loss").fit(X, y, **given(data))
    assert trimmer.n_trimmed_ == 12


class TestChosenBudget:
    def test_folds_are_of_both_and_checked_rows_count_twice(self, data):
        X, y, _, y_val = data
        sizes = []

        def counted(model, X, y):
            sizes.append(len(y))
            return model.score(X, y)

        trimmer = FITrimmerCV(EXACT, cv=4, budgets=(0, 0.1), scoring=counted, step=None)
        trimmer.fit(X, y, **given(data))
        outer = StratifiedKFold(4).split(X, y)
        part = dealt(y_val, 4)
        expected = [len(out) + 2 * int((part == k).sum()) for k, (_, out) in enumerate(outer)]
        assert sizes[: 2 * 4 : 2] == expected

    def test_it_is_a_search_whose_folds_hold_out_checked_rows(self, data):
        """Scores of each budget by the definition: trim, fit and judge each fold."""
        X, y, X_val, y_val = data
        budgets = (0, 0.05, 0.1)
        trimmer = FITrimmerCV(EXACT, cv=4, budgets=budgets, checked_rows="train")
        trimmer.fit(X, y, **given(data))
        part = dealt(y_val, 4)
        for k, (rows, out) in enumerate(StratifiedKFold(4).split(X, y)):
            own = part == k
            judges = np.concatenate([X[out], np.repeat(X_val[own], 2, axis=0)])
            labels = np.concatenate([y[out], np.repeat(y_val[own], 2)])
            for budget, score in zip(
                budgets, trimmer.cv_results_[f"split{k}_test_score"], strict=True
            ):
                one = FITrimmer(EXACT, budget=budget)
                one.fit(X[rows], y[rows], X_val=X_val[~own], y_val=y_val[~own])
                assert score == pytest.approx(one.score(judges, labels))

    def test_checked_rows_that_harm_are_left_out_of_the_last_fit(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(600, 3))
        y = (X[:, 0] > 0).astype(int)
        wrong = {"X_val": X[400:], "y_val": 1 - y[400:]}
        trimmer = FITrimmerCV(
            EXACT, budgets=(0, 0.05), scoring=lambda model, *_: model.score(X[:400], y[:400])
        )
        right = {"X_val": X[400:], "y_val": y[400:]}
        assert clone(trimmer).fit(X[:400], y[:400], **right).checked_rows_ == "train"
        assert clone(trimmer).fit(X[:400], y[:400], **wrong).checked_rows_ == "folds"
        always = clone(trimmer).set_params(checked_rows="train")
        assert always.fit(X[:400], y[:400], **wrong).checked_rows_ == "train"

    def test_prefit_judges(self, data):
        X, y, _, _ = data
        prefit = FITrimmerCV(clone(EXACT).fit(X, y), cv="prefit", refit=False, step=None)
        with pytest.warns(UserWarning, match="same rows of X_val"):
            prefit.fit(X, y, **given(data))
        assert prefit.checked_rows_ == "judge"

    def test_weights_reach_the_scoring(self, data):
        X, y, _, _ = data
        seen = []

        def weighed(model, X, y, sample_weight=None):
            seen.append(None if sample_weight is None else sample_weight.copy())
            return 0.5

        weights = np.full(40, 3.0)
        trimmer = FITrimmerCV(EXACT, cv=2, budgets=(0,), scoring=weighed)
        trimmer.fit(X, y, sample_weight_val=weights, **given(data))
        assert set(np.concatenate(seen)) == {1.0, 3.0}
        seen.clear()
        trimmer.fit(X, y, **given(data))
        assert seen[0] is None

    def test_any_classifier_and_few_checked_rows(self, data):
        X, y, X_val, y_val = data
        trimmer = FITrimmerCV(SVC(), influence_estimator=EXACT, cv=3, budgets=(0, 0.1))
        trimmer.fit(X, y, X_val=X_val[:1], y_val=y_val[:1])
        assert trimmer.checked_rows_ in ("train", "folds")
