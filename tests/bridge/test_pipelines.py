"""Preprocessing in front of a linear model: a Pipeline's scores are its last step's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from skfi import fi_active, fi_pairwise, fi_util
from skfi.baselines import knn_shapley
from skfi.queries._base import representation
from tests.conftest import classic, make_split

CLASSIFIER = LogisticRegression(solver="newton-cholesky", tol=1e-8)


def take(data, rows):
    """Rows of arrays, DataFrames, Series and lists."""
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    return data[rows] if hasattr(data, "shape") else [data[row] for row in rows]


def check(pipe, X, y, n_train, budget=6):
    """Through fi_util and FITrimmer, against the last step on transformed rows."""
    y = np.asarray(y)
    train, rest = np.arange(n_train), np.arange(n_train, len(y))
    rows, labels = take(X, train), y[train]
    rows_val, labels_val = take(X, rest), y[rest]
    fitted = clone(pipe).fit(rows, labels)
    before = fitted[:-1]
    expected = fi_util(
        fitted[-1],
        before.transform(rows),
        labels,
        before.transform(rows_val),
        labels_val,
    )
    assert len(np.unique(expected)) > n_train / 2
    np.testing.assert_array_equal(fi_util(fitted, rows, labels, rows_val, labels_val), expected)
    trimmer = classic(pipe, budget=budget)
    trimmer.fit(rows, labels, X_val=rows_val, y_val=labels_val)
    np.testing.assert_allclose(trimmer.influence_, expected, rtol=1e-9)
    gone = np.argsort(-expected)[:budget]
    np.testing.assert_array_equal(np.sort(trimmer.trimmed_indices_), np.sort(gone))
    kept = np.setdiff1d(train, gone)
    again = clone(pipe).fit(take(rows, kept), labels[kept])
    np.testing.assert_array_equal(trimmer.predict(rows_val), again.predict(rows_val))
    # Rows held out, and cross-fitting, take other ways through the slicing.
    held_out = classic(pipe, budget=budget, validation=0.3, random_state=0)
    assert np.isnan(held_out.fit(rows, labels).influence_).sum() == round(0.3 * n_train)
    crossed = classic(pipe, budget=budget, validation=3).fit(rows, labels)
    assert np.isfinite(crossed.influence_).all()
    return trimmer


DENSE = {
    "union": FeatureUnion([("pca", PCA(3)), ("scaled", StandardScaler())]),
    "nystroem": Nystroem(n_components=12, random_state=0),
    "random fourier features": RBFSampler(n_components=12, random_state=0),
    "splines": SplineTransformer(n_knots=4),
    "sparse splines": SplineTransformer(n_knots=4, sparse_output=True),
    "polynomials": make_pipeline(PolynomialFeatures(2), StandardScaler()),
    "selection": SelectKBest(k=3),
    "passthrough": "passthrough",
    "function": FunctionTransformer(np.tanh),
}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("step", list(DENSE))
def test_transformer(step, n_classes):
    X, y, X_val, y_val, _ = make_split(n_classes)
    X, y = np.vstack([X, X_val]), np.concatenate([y, y_val])
    pipe = Pipeline([("step", DENSE[step]), ("classify", CLASSIFIER)])
    check(pipe, X, y, n_train=140)


@pytest.mark.parametrize("joined", [OneVsRestClassifier, OneVsOneClassifier])
def test_in_front_of_joined_classifiers(joined):
    X, y, X_val, y_val, _ = make_split(3)
    X, y = np.vstack([X, X_val]), np.concatenate([y, y_val])
    check(make_pipeline(StandardScaler(), PCA(4), joined(CLASSIFIER)), X, y, n_train=140)


def test_nested_and_sparse():
    X, y, X_val, y_val, _ = make_split()
    X = sparse.csr_array(np.where(np.abs(X) > 1, X, 0))
    X = sparse.vstack([X, sparse.csr_array(X_val)], format="csr")
    inner = make_pipeline(TruncatedSVD(4, random_state=0), StandardScaler(), CLASSIFIER)
    check(make_pipeline(MaxAbsScaler(), inner), X, np.append(y, y_val), n_train=140)


class TestFrames:
    """Strings, missing values and numbers in a DataFrame, as data comes."""

    @pytest.fixture
    def frame(self):
        pd = pytest.importorskip("pandas")
        rng = np.random.default_rng(0)
        n = 160
        towns = np.array(["Ayr", "Bath", "Cork"])[rng.integers(0, 3, n)].astype(object)
        towns[-1] = "Deal"  # only in validation
        frame = pd.DataFrame(
            {
                "age": rng.integers(18, 80, n).astype(float),
                "town": towns,
                "income": rng.lognormal(10, 1, n),
                "member": rng.random(n) < 0.5,
            },
            index=rng.permutation(n) + 1000,
        )
        z = (frame["age"] - 50) / 10 + 2.0 * (frame["town"] == "Bath") - 1
        y = np.where(rng.logistic(size=n) * 0.7 < z, "yes", "no")
        frame.loc[frame.index[::7], "age"] = np.nan
        frame.loc[frame.index[::11], "town"] = np.nan
        return frame, pd.Series(y, index=frame.index)

    def columns(self, sparse_output):
        text = make_pipeline(
            SimpleImputer(strategy="constant", fill_value="?"),
            OneHotEncoder(handle_unknown="ignore", sparse_output=sparse_output),
        )
        number = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
        return ColumnTransformer(
            [
                ("number", number, ["age", "income"]),
                ("text", text, ["town"]),
                ("flag", "passthrough", make_column_selector(dtype_include=bool)),
            ],
            sparse_threshold=1.0 if sparse_output else 0.0,
        )

    @pytest.mark.parametrize("sparse_output", [False, True])
    def test_columns(self, frame, sparse_output):
        X, y = frame
        columns = self.columns(sparse_output)
        seen = clone(columns).fit_transform(X)
        assert sparse.issparse(seen) == sparse_output
        trimmer = check(make_pipeline(columns, CLASSIFIER), X, y, n_train=120)
        assert trimmer.feature_names_in_.tolist() == list(X.columns)
        assert trimmer.classes_.tolist() == ["no", "yes"]

    def test_pandas_output(self, frame):
        X, y = frame
        pipe = make_pipeline(self.columns(False), CLASSIFIER).set_output(transform="pandas")
        trimmer = check(pipe, X, y, n_train=120)
        assert "text__town_Bath" in trimmer.estimator_[-1].feature_names_in_

    def test_frame_straight_into_the_classifier(self, frame):
        X, y = frame
        X = X[["income"]].assign(log=np.log(X["income"]), age=X["age"].fillna(50.0))
        X["income"] /= 1e5
        X["age"] /= 50
        model = CLASSIFIER.fit(X.iloc[:120], y.iloc[:120])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fi_util(model, X.iloc[:120], y.iloc[:120], X.iloc[120:], y.iloc[120:])

    def test_other_columns_are_refused(self, frame):
        X, y = frame
        pipe = make_pipeline(self.columns(False), CLASSIFIER)
        with pytest.raises(ValueError, match=r"X_val was refused\. columns are missing"):
            classic(pipe).fit(X, y, X_val=X.rename(columns={"age": "years"}), y_val=y)


class TestText:
    @pytest.fixture
    def texts(self):
        rng = np.random.default_rng(0)
        y = rng.integers(0, 2, 120)
        words = np.array(["good", "fine", "bad", "poor", "film", "plot", "cast", "end"])
        odds = np.array([[1, 1, 3, 2, 2, 2, 2, 2], [3, 2, 1, 1, 2, 2, 2, 2]]) / 15
        return [" ".join(rng.choice(words, 8, p=odds[label])) for label in y], y

    @pytest.mark.parametrize("kind", ["list", "array", "series"])
    def test_tfidf(self, texts, kind):
        X, y = texts
        if kind == "array":
            X = np.array(X, dtype=object)
        elif kind == "series":
            X = pytest.importorskip("pandas").Series(X)
        check(make_pipeline(TfidfVectorizer(), CLASSIFIER), X, y, n_train=90)

    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_tfidf_into_sgd(self, texts):
        X, y = texts
        sgd = SGDClassifier(
            loss="log_loss", alpha=0.01, max_iter=2000, tol=None, average=True, random_state=0
        )
        check(make_pipeline(TfidfVectorizer(), sgd), X, y, n_train=90)


@pytest.mark.parametrize("last", [CLASSIFIER, DecisionTreeClassifier()])
def test_steps_with_nothing_to_fit(last):
    """scikit-learn 1.7 takes a slice that ends in them for one that was not fitted."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), 6)) for _ in range(40)]
    y = np.arange(40) % 2
    hashing = HashingVectorizer(n_features=16, analyzer="char")
    pipe = make_pipeline(hashing, clone(last)).fit(texts[:30], y[:30])
    rows = hashing.transform(texts)
    np.testing.assert_array_equal(
        knn_shapley(pipe, texts[:30], y[:30], texts[30:], y[30:]),
        knn_shapley(pipe[-1], rows[:30], y[:30], rows[30:], y[30:]),
    )
    np.testing.assert_array_equal(
        representation(pipe, texts).toarray(), representation(pipe[-1], rows).toarray()
    )
    if isinstance(last, LogisticRegression):
        np.testing.assert_array_equal(
            fi_util(pipe, texts[:30], y[:30], texts[30:], y[30:]),
            fi_util(pipe[-1], rows[:30], y[:30], rows[30:], y[30:]),
        )


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(FunctionTransformer(), LogisticRegression()),
        MLPClassifier((3,), max_iter=5, random_state=0),
        make_pipeline(FunctionTransformer(), MLPClassifier((3,), max_iter=5, random_state=0)),
    ],
    ids=["steps", "network", "steps before a network"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_columns_in_another_order_are_refused_where_steps_let_them_pass(model):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(np.random.RandomState(0).normal(size=(40, 2)), columns=["a", "b"])
    y = (X["a"] > 0).astype(int).to_numpy()
    turned, model = X[["b", "a"]], clone(model).fit(X, y)
    calls = {
        "X_val": lambda: fi_util(model, X, y, turned, y),
        "X": lambda: fi_util(model, turned, y, X, y),
        "X_query": lambda: fi_pairwise(model, X, y, turned),
        "X_pool": lambda: fi_active(model, X, y, turned),
        "neighbours": lambda: knn_shapley(model, X, y, turned, y),
    }
    for call in calls.values():
        with pytest.raises(ValueError, match=r"in the same order"):
            call()


def test_columns_in_another_order_are_refused_for_all_parameters_of_a_network():
    pytest.importorskip("torch")
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(np.random.RandomState(0).normal(size=(40, 2)), columns=["a", "b"])
    y = (X["a"] > 0).astype(int).to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPClassifier((3,), max_iter=5, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"X_pool must have the columns .* same order"):
        fi_active(model, X, y, X[["b", "a"]], params="all")
