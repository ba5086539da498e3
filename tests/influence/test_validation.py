"""What FITrimmer refuses, and warns of, before it scores against anything."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skfi import (
    FIActiveSampler,
    FIEmbedding,
    FITrimmer,
    FITrimmerCV,
    active_learning_curve,
    fi_util,
)
from skfi.influence._validation import _same_rows, check_splitter
from skfi.queries import Margin
from tests.conftest import classic, make_split

ONCE = {"step": None, "budget": 5}


@pytest.fixture(scope="module")
def data():
    X, y, X_val, y_val, _ = make_split()
    return X, y, X_val, y_val


class TestSplitter:
    @pytest.mark.parametrize("kind", [FITrimmer, FITrimmerCV])
    @pytest.mark.parametrize("whole", [True, False], ids=["pair", "rows"])
    def test_rows_are_no_splitter(self, data, kind, whole):
        X, y, X_val, y_val = data
        trimmer = kind(validation=(X_val, y_val) if whole else X_val)
        with pytest.raises(ValueError, match=r"validation must be .*fit\(X, y, X_val=X_val"):
            trimmer.fit(X, y)

    def test_rows_to_choose_by(self, data):
        X, y, X_val, y_val = data
        with pytest.raises(ValueError, match=r"^cv must be .* tuple of something else.*fit\(X"):
            FITrimmerCV(cv=(X_val, y_val)).fit(X, y)

    def test_frame(self, data):
        pd = pytest.importorskip("pandas")
        X, y, X_val, _ = data
        with pytest.raises(ValueError, match="is a DataFrame of something else"):
            FITrimmer(validation=pd.DataFrame(X_val)).fit(X, y)

    def test_lists_of_splits_stay(self, data):
        X, y, _, _ = data
        splits = list(StratifiedKFold(3).split(X, y))
        listed = FITrimmer(validation=splits, **ONCE).fit(X, y)
        counted = FITrimmer(validation=3, **ONCE).fit(X, y)
        np.testing.assert_array_equal(listed.influence_, counted.influence_)
        check_splitter(
            [([0, 1], [2]), (np.array([True, False]), np.array([False, True]))], "cv"
        )
        check_splitter((split for split in splits), "cv")
        check_splitter(None, "cv")


class TestFrozen:
    @pytest.mark.parametrize("kind", [FITrimmer, FITrimmerCV])
    @pytest.mark.parametrize("validation", [5, 0.2])
    def test_needs_rows_of_its_own(self, data, kind, validation):
        X, y, _, _ = data
        frozen = FrozenEstimator(LogisticRegression().fit(X, y))
        trimmer = kind(influence_estimator=frozen, step=None, validation=validation)
        with pytest.raises(ValueError, match=r"FrozenEstimator.* Pass X_val and y_val to fit"):
            trimmer.fit(X, y)

    def test_scores_that_need_none(self, data):
        X, y, _, _ = data
        frozen = FrozenEstimator(LogisticRegression().fit(X, y))
        trimmer = FITrimmer(influence="loss", influence_estimator=frozen, **ONCE).fit(X, y)
        assert trimmer.n_trimmed_ == 5


class TestInstances:
    @pytest.mark.parametrize(
        "call",
        [
            lambda kind, X, y: FITrimmer(kind).fit(X, y),
            lambda kind, X, y: FITrimmerCV(kind).fit(X, y),
            lambda kind, X, y: fi_util(kind, X, y, X[:9], y[:9]),
            lambda kind, X, y: Margin(kind).fit(X, y),
            lambda kind, X, y: active_learning_curve(kind, X, y, Margin()),
        ],
    )
    def test_a_class(self, data, call):
        X, y, _, _ = data
        kind = RandomForestClassifier
        with pytest.raises(TypeError, match=r"is the class .* pass RandomForestClassifier\(\)"):
            call(kind, X, y)

    def test_a_class_that_is_to_judge(self, data):
        X, y, _, _ = data
        trimmer = FITrimmer(influence_estimator=LogisticRegression)
        with pytest.raises(TypeError, match=r"^influence_estimator is the class Logistic"):
            trimmer.fit(X, y)

    @pytest.mark.parametrize("name", ["estimator", "influence_estimator"])
    def test_a_torch_module(self, data, name):
        torch = pytest.importorskip("torch")
        X, y, _, _ = data
        message = rf"^{name} is a torch module \(Linear\).*skorch.*TorchClassifier"
        for value in (torch.nn.Linear(5, 2), torch.nn.Linear):
            with pytest.raises(TypeError, match=message):
                FITrimmer(**{name: value}).fit(X, y)
        if name == "estimator":
            with pytest.raises(TypeError, match=message):
                Margin(torch.nn.Linear(5, 2)).fit(X, y)


class TestColumns:
    def test_width(self, data):
        X, y, X_val, y_val = data
        with pytest.raises(ValueError, match=r"^X_val must .* 4 features, and X.*LogisticReg"):
            classic().fit(X, y, X_val=X_val[:, :4], y_val=y_val)

    def test_names(self, data):
        pd = pytest.importorskip("pandas")
        X, y, X_val, y_val = data
        frame, frame_val = (pd.DataFrame(part, columns=list("abcde")) for part in (X, X_val))
        with pytest.raises(ValueError, match=r"^X_val must .*LogisticReg.*'a', .*; got \['e'"):
            classic().fit(frame, y, X_val=frame_val[list("edcba")], y_val=y_val)
        for rows, rows_val, message in (
            (frame, X_val, "X has names of columns and X_val has none. LogisticRegression is"),
            (X, frame_val, "X_val has names of columns and X has none. LogisticRegression is"),
        ):
            with pytest.warns(UserWarning, match=f"^{message}") as caught:
                classic().fit(rows, y, X_val=rows_val, y_val=y_val)
            assert [warning.filename for warning in caught] == [__file__]


class TestLabels:
    def test_of_another_type(self, data):
        X, y, X_val, y_val = data
        with pytest.raises(
            ValueError, match=r"\[0, 1\].* \['0', '1'\]. The types differ \(int"
        ):
            classic().fit(X, y.astype(str), X_val=X_val, y_val=y_val)
        with pytest.raises(
            ValueError, match=r"\['0', '1'\].* \[0, 1\]. The types differ \(str"
        ):
            fi_util(LogisticRegression().fit(X, y), X, y, X_val, y_val.astype(str))

    def test_that_are_missing(self, data):
        X, y, _, _ = data
        some = y.astype(object)
        some[:50] = None
        with pytest.raises(ValueError, match=r"None or NaN .* 50 of 140 rows"):
            classic().fit(X, some)


class TestGroups:
    @pytest.mark.parametrize(
        ("trimmer", "named"),
        [
            (FITrimmer(**ONCE), "validation=5 splits"),
            (FITrimmer(validation=0.3, random_state=0, **ONCE), "validation=0.3 splits"),
            (FITrimmerCV(budgets=(0, 5), cv=GroupKFold(3)), "validation=5 splits"),
            (FITrimmerCV(budgets=(0, 5), cv=3), "cv=3 and validation=5 splits"),
            (
                FITrimmerCV(budgets=(0, 5), cv=3, validation=StratifiedGroupKFold(3)),
                "and cv=3 splits",
            ),
            (FITrimmerCV(budgets=(0, 5), cv=3, influence="loss"), "and cv=3 splits"),
        ],
    )
    def test_numbers_do_not_know_them(self, data, trimmer, named):
        X, y, _, _ = data
        message = f"{named} by classes alone.*StratifiedGroupKFold"
        with pytest.warns(UserWarning, match=message) as caught:
            trimmer.fit(X, y, groups=np.arange(len(y)) // 5)
        assert len(caught) == 1

    def test_no_word_without_need(self, data):
        X, y, X_val, y_val = data
        groups = np.arange(len(y)) // 5
        FITrimmer(validation=GroupKFold(3), **ONCE).fit(X, y, groups=groups)
        judged = FITrimmer(checked_rows="judge", **ONCE)
        judged.fit(X, y, X_val=X_val, y_val=y_val, groups=groups)
        FITrimmer(influence="loss", **ONCE).fit(X, y, groups=groups)
        FITrimmer(**ONCE).fit(X, y, groups=None)


class TestSameRows:
    def test_is_said_once(self, data):
        X, y, X_val, y_val = data
        for call in (
            lambda rows: FITrimmer(**ONCE).fit(X, y, X_val=rows, y_val=y),
            lambda rows: FITrimmer(budget=5, step=2).fit(X, y, X_val=(rows,), y_val=(y,)),
            lambda rows: FITrimmerCV(cv=3, budgets=(0, 5)).fit(X, y, X_val=rows, y_val=y),
        ):
            for rows in (X, X.copy()):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    call(rows)
                ours = [w for w in caught if "the very rows of X" in str(w.message)]
                assert [w.filename for w in ours] == [__file__]
        FITrimmer(**ONCE).fit(X, y, X_val=X_val, y_val=y_val)
        FITrimmer(**ONCE).fit(X, y, X_val=X[::-1], y_val=y[::-1])

    @pytest.mark.parametrize("kind", ["array", "csr", "coo", "frame", "texts"])
    def test_kinds(self, kind, monkeypatch):
        monkeypatch.setattr("skfi.influence._validation._BLOCK", 6)  # blocks of two rows
        X = np.arange(21.0).reshape(7, 3)
        X[0, 0] = np.nan
        other = X.copy()
        other[6, 2] += 1

        def make(rows):
            if kind == "frame":
                return pytest.importorskip("pandas").DataFrame(rows)
            if kind == "texts":
                return np.array([f"{row}" for row in rows], dtype=object)
            if kind == "array":
                return rows.copy()
            rows = np.nan_to_num(rows)
            return {"csr": sparse.csr_array, "coo": sparse.coo_array}[kind](rows)

        assert _same_rows(make(X), make(X))
        assert not _same_rows(make(X), make(other))
        assert not _same_rows(make(X), make(X[:6]))
        assert not _same_rows(make(X), X.tolist())


@pytest.mark.parametrize("estimator", [FITrimmer(), FIActiveSampler()])
def test_labels_of_two_types_are_told_of(estimator):
    X = np.random.default_rng(0).normal(size=(12, 2))
    with pytest.raises(ValueError, match=r"y mixes labels of types int and str.*str\(label\)"):
        estimator.fit(X, np.array(["a", "b", 0] * 4, dtype=object))


def test_columns_that_are_found_by_name():
    """X_val and a pool may have them in another order, and further ones, as in predict."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(size=120), "job": rng.choice(["a", "b"], 120)})
    label = np.where(frame["age"] + (frame["job"] == "a") > 0, "yes", "no")
    prepare = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["job"]))
    model = make_pipeline(prepare, LogisticRegression())
    X, X_val, y, y_val = frame[:80], frame[80:], label[:80], label[80:]
    other = X_val.assign(more="?")[["more", "job", "age"]]
    scores = [
        FITrimmer(model, budget=3).fit(X, y, X_val=rows, y_val=y_val).influence_
        for rows in (X_val, other)
    ]
    np.testing.assert_array_equal(*scores)
    strategy = FIActiveSampler(model, random_state=0).fit(X, y)
    np.testing.assert_array_equal(strategy.query(X_val, 3), strategy.query(other, 3))
    embedding = FIEmbedding(model).fit(X, y)
    np.testing.assert_array_equal(*map(embedding.transform, (X_val, other)))

    missing = other.drop(columns="age")
    with pytest.raises(ValueError, match=r"X_val was refused\. columns are missing: {'age'}"):
        FITrimmer(model, budget=3, checked_rows="judge").fit(X, y, X_val=missing, y_val=y_val)
    with pytest.raises(ValueError, match=r"X_val has no column \['age'\]"):
        FITrimmer(model, budget=3).fit(X, y, X_val=missing, y_val=y_val)
    with pytest.raises(ValueError, match="X_pool must have the columns that fit saw"):
        strategy.query(missing)


def test_the_classifier_that_scores_is_the_one_that_sees_the_columns_of_X_val():
    pd = pytest.importorskip("pandas")
    X, y, X_val, y_val, _ = make_split()
    X, X_val = (pd.DataFrame(rows).add_prefix("c") for rows in (X, X_val))
    X_val = X_val[X_val.columns[::-1]]
    for scorer, message in (
        (SGDClassifier(loss="log_loss"), "columns of X, on which SGDClassifier is fitted"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "X_val was refused.*order"),
    ):
        trimmer = FITrimmer(GaussianNB(), influence_estimator=scorer, checked_rows="judge")
        with pytest.raises(ValueError, match=f"(?s){message}"):
            trimmer.fit(X, y, X_val=X_val, y_val=y_val)
