"""skfi.integrations.dask in threads: equal to one machine, and lazy."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skfi
from skfi import FITrimmer
from skfi.baselines import iv
from tests.conftest import make_split

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from skfi.integrations.dask import (  # noqa: E402
    fi_active,
    fi_util,
    fit_logistic,
    select_top,
    trim,
)

CHUNKS = (37, 50, 1, 52)  # 140 rows
EXACT = dict(rtol=1e-10, atol=1e-13)


@pytest.fixture(autouse=True)
def _threads():
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


def in_chunks(*arrays, chunks=CHUNKS):
    return [da.from_array(a, chunks=(chunks, *a.shape[1:])) for a in arrays]


def of_unknown_length(*arrays):
    """The same rows, in chunks of which dask does not know the lengths."""
    return [a[da.ones(a.shape[:1], chunks=a.chunks[:1], dtype=bool)] for a in arrays]


def problem(n_classes=2, seed=0):
    X, y, X_val, y_val, weight = make_split(n_classes, seed=seed)
    return X, y, X_val, y_val, weight


class Counted:
    """An array's rows, and how often each chunk is read."""

    def __init__(self, X, chunks=CHUNKS):
        self.reads, lock = [], threading.Lock()

        def read(block, block_info=None):
            if block_info:
                with lock:
                    self.reads.append(block_info[0]["chunk-location"][0])
            return block

        self.X = da.from_array(X, chunks=(chunks, X.shape[1])).map_blocks(
            read, dtype=X.dtype, meta=np.empty((0, 0))
        )

    @property
    def passes(self):
        """How often all chunks were read, since the last time this was asked."""
        reads, self.reads[:] = sorted(self.reads), []
        passes = len(reads) / len(CHUNKS)
        assert reads == sorted(list(range(len(CHUNKS))) * int(passes))
        return int(passes)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 2.0}])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_fit_is_that_of_one_machine(n_classes, class_weight):
    X, y, _, _, weight = problem(n_classes)
    parts = in_chunks(X, y, weight)
    for X_d, y_d, w_d in (parts, of_unknown_length(*parts)):
        model = fit_logistic(X_d, y_d, sample_weight=w_d, C=0.7, class_weight=class_weight)
        own = LogisticRegression(C=0.7, class_weight=class_weight, tol=1e-9, max_iter=10_000)
        own.set_params(solver="newton-cg").fit(X, y, weight)
        np.testing.assert_allclose(model.coef_, own.coef_, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.intercept_, own.intercept_, rtol=1e-5, atol=1e-6)
        assert model.classes_.tolist() == own.classes_.tolist()


def test_the_fit_is_where_its_gradient_vanishes():
    X, y, X_val, y_val, weight = problem(3)
    X_d, y_d, w_d = in_chunks(X, y, weight)
    model = fit_logistic(X_d, y_d, sample_weight=w_d)
    _, details = skfi.fi_util(
        model, X, y, X_val, y_val, sample_weight=weight, return_details=True
    )
    assert details.gradient_norm < 1e-10
    same = fit_logistic(X_d, y_d, sample_weight=w_d, split_every=2)
    np.testing.assert_allclose(same.coef_, model.coef_, rtol=1e-12)


@pytest.mark.parametrize("unit", ["copy", "row"])
@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_are_those_of_one_machine(n_classes, metric, unit):
    X, y, X_val, y_val, weight = problem(n_classes)
    weight[37:87] = 0  # a whole chunk
    parts = in_chunks(X, y, weight)
    model = fit_logistic(*parts[:2], sample_weight=parts[2])
    options = dict(metric=metric, unit=unit, validation_loss="expected_error")
    expected, own = skfi.fi_util(
        model, X, y, X_val, y_val, sample_weight=weight, return_details=True, **options
    )
    gain = iv(model, X, y, X_val, y_val, sample_weight=weight, validation_loss="expected_error")
    for X_d, y_d, w_d in (parts, of_unknown_length(*parts)):
        given = (model, X_d, y_d, X_val, y_val)
        options["sample_weight"] = w_d
        found, details = fi_util(*given, return_details=True, split_every=2, **options)
        np.testing.assert_equal(found.chunks[0], X_d.chunks[0])
        np.testing.assert_allclose(found.compute(), expected, **EXACT)
        assert details.n_parameters == own.n_parameters
        found = fi_util(*given, influence="gain", **options)
        np.testing.assert_allclose(found.compute(), gain, **EXACT)
        found = fi_util(*given, influence="fi_signed", **options)
        np.testing.assert_allclose(found.compute(), np.sqrt(expected) * gain, **EXACT)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_other_classifiers_and_their_steps(class_weight):
    X, y, X_val, y_val, _ = problem(3)
    X_d, y_d = in_chunks(X, y)
    models = [
        make_pipeline(StandardScaler(), LogisticRegression(class_weight=class_weight)),
        SGDClassifier(loss="log_loss", class_weight=class_weight, alpha=0.1, random_state=0),
    ]
    for model in models:
        model.fit(X, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = fi_util(model, X_d, y_d, X_val, y_val)
            expected = skfi.fi_util(model, X, y, X_val, y_val)
        np.testing.assert_allclose(found.compute(), expected, **EXACT)


def test_columns_in_chunks_and_sparse_chunks():
    X, y, X_val, y_val, _ = problem()
    model = LogisticRegression(tol=1e-8).fit(X, y)
    expected = skfi.fi_util(model, X, y, X_val, y_val)
    labels = da.from_array(y, chunks=20)  # brought to the chunks of X
    columns = da.from_array(X, chunks=(CHUNKS, (2, 3)))
    csr = columns.rechunk({1: -1}).map_blocks(sparse.csr_matrix)
    for rows in (columns, csr):
        found = fi_util(model, rows, labels, X_val, y_val)
        assert found.chunks == (CHUNKS,)
        np.testing.assert_allclose(found.compute(), expected, **EXACT)


def test_what_is_lazy_and_what_is_computed():
    X, y, X_val, y_val, _ = problem()
    rows, (labels,) = Counted(X), in_chunks(y)
    model = fit_logistic(rows.X, labels)
    assert model.n_iter_[0] <= rows.passes <= model.n_iter_[0] + 2
    scores = fi_util(model, rows.X, labels, X_val, y_val)
    assert rows.passes == 1
    mask = select_top(scores, 0.1)
    assert rows.passes == 0
    dask.compute(scores, mask)
    assert rows.passes == 1  # both of one
    pool = fi_active(model, X, y, rows.X)
    assert rows.passes == 0
    pool.compute()
    assert rows.passes == 1


def test_no_chunk_of_labels_costs_one_of_rows():
    X, y, _, _, _ = problem()
    rows, (labels,) = Counted(X), in_chunks(y)
    with pytest.raises(ValueError, match="at least two"):
        fit_logistic(rows.X, da.zeros_like(labels))
    assert rows.passes == 0


def frames(n_partitions=3):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    X, y, _, _, _ = problem()
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame["f"] = np.where(X[:, 0] + X[:, 1] > 0, "high", "low")
    frame["label"] = np.where(y == 1, "yes", "no")
    return frame, dd.from_pandas(frame, npartitions=n_partitions)


def test_data_frames_go_through_a_pipeline_as_data_frames():
    frame, lazy = frames()
    columns, numbers = [*"abcdef"], [*"abcde"]
    train, held_out = frame.iloc[:100], frame.iloc[100:]
    lazy = lazy.loc[:99]
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["f"]), (StandardScaler(), numbers)),
        LogisticRegression(tol=1e-8),
    ).fit(train[columns], train["label"])
    given = train[columns], train["label"]
    X_val, y_val = held_out[columns], held_out["label"]
    found = fi_util(model, lazy[columns], lazy["label"], X_val, y_val)
    assert np.isnan(found.chunks[0]).all()
    expected = skfi.fi_util(model, *given, X_val, y_val)
    np.testing.assert_allclose(found.compute(), expected, **EXACT)
    pool = fi_active(model, *given, lazy[columns])
    expected = skfi.fi_active(model, *given, train[columns])
    np.testing.assert_allclose(pool.compute(), expected, **EXACT)

    plain = fit_logistic(lazy[numbers], lazy["label"])
    assert plain.feature_names_in_.tolist() == numbers
    assert plain.classes_.tolist() == ["no", "yes"]
    own = LogisticRegression(tol=1e-9).fit(train[numbers], train["label"])
    np.testing.assert_allclose(plain.coef_, own.coef_, rtol=1e-4)
    found = fi_util(plain, lazy[numbers], lazy["label"], X_val[numbers], y_val)
    expected = skfi.fi_util(plain, train[numbers], train["label"], X_val[numbers], y_val)
    np.testing.assert_allclose(found.compute(), expected, **EXACT)
    with pytest.raises(ValueError, match="X must have the columns"):
        fi_util(plain, lazy[numbers[::-1]], lazy["label"], X_val[numbers], y_val)


def test_partitions_without_rows():
    frame, lazy = frames()
    lazy, frame = lazy[lazy["a"] > 0], frame[frame["a"] > 0]
    nothing = lazy[lazy["a"] > 1e9]
    lazy = dask.dataframe.concat([nothing, lazy.reset_index(drop=True), nothing])
    assert lazy.map_partitions(len).compute().tolist().count(0) == 6
    numbers = [*"abcde"]
    model = fit_logistic(lazy[numbers], lazy["label"])
    given = frame[numbers], frame["label"]
    held_out = given[0].iloc[::2], given[1].iloc[::2]
    found = fi_util(model, lazy[numbers], lazy["label"], *held_out)
    expected = skfi.fi_util(model, *given, *held_out)
    np.testing.assert_allclose(found.compute(), expected, rtol=1e-9)
    top = np.isin(expected, np.sort(expected)[-5:])
    np.testing.assert_array_equal(select_top(found, 5).compute(), top)
    scores = fi_active(model, *given, lazy[numbers]).compute()
    np.testing.assert_allclose(scores, skfi.fi_active(model, *given, frame[numbers]), **EXACT)
    for call in (
        lambda: fit_logistic(nothing[numbers], nothing["label"]),
        lambda: fi_util(model, nothing[numbers], nothing["label"], *held_out),
    ):
        with pytest.raises(ValueError, match="X has no rows"):
            call()
    assert fi_active(model, *given, nothing[numbers]).compute().shape == (0,)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"aggregate": "mean"},
        {"aggregate": "row_trimmed_mean", "metric": "mahalanobis"},
        {"aggregate": "median", "curvature": "kfac"},
    ],
)
def test_pool_scores_are_those_of_one_machine(options):
    X, y, pool, _, weight = problem(3)
    model = LogisticRegression(tol=1e-8).fit(X, y, weight)
    given = (model, X, y)
    expected = skfi.fi_active(*given, pool, sample_weight=weight, **options)
    (lazy,) = in_chunks(pool, chunks=(15, 25))
    for rows in (lazy, *of_unknown_length(lazy)):
        found = fi_active(*given, rows, sample_weight=weight, **options)
        np.testing.assert_allclose(found.compute(), expected, **EXACT)


def test_pool_of_a_network():
    X, y, pool, _, _ = problem()
    model = MLPClassifier((4,), max_iter=2000, random_state=0).fit(X, y)
    (lazy,) = in_chunks(pool, chunks=(15, 25))
    expected = skfi.fi_active(model, X, y, pool)
    np.testing.assert_allclose(fi_active(model, X, y, lazy).compute(), expected, **EXACT)
    X_d, y_d = in_chunks(X, y)
    with pytest.raises(TypeError, match="takes linear classifiers, not MLPClassifier"):
        fi_util(model, X_d, y_d, pool, pool[:, 0] > 0)


@pytest.mark.parametrize("budget", [0, 1, 7, 100, 0.0, 0.3, 0.999])
@pytest.mark.parametrize("known", [True, False])
def test_selection_is_that_of_a_stable_sort(budget, known):
    rng = np.random.default_rng(0)
    scores = np.r_[rng.normal(size=92).round(1), 0.0, -0.0, np.inf, -np.inf, -np.inf, 1, 1, 1]
    (lazy,) = in_chunks(scores, chunks=(1, 40, 9, 50))
    if not known:
        (lazy,) = of_unknown_length(lazy)
    n = budget if isinstance(budget, int) else int(budget * len(scores) + 1e-9)
    expected = np.zeros(len(scores), dtype=bool)
    expected[np.argsort(-scores, kind="stable")[:n]] = True
    mask = select_top(lazy, budget, split_every=2)
    np.testing.assert_equal(mask.chunks, lazy.chunks)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask.compute(), expected)
    np.testing.assert_array_equal(lazy[mask].compute(), scores[expected])


def test_selections_that_are_refused():
    (scores,) = in_chunks(np.arange(140.0))
    with pytest.raises(ValueError, match="budget=141 is more than the 140 rows"):
        select_top(scores, 141)
    (unknown,) = of_unknown_length(scores)
    with pytest.raises(ValueError, match="budget=141 is more than the 140 rows"):
        select_top(unknown, 141).compute()
    with pytest.raises(ValueError, match="share in"):
        select_top(scores, 1.5)
    with pytest.raises(TypeError, match="must be a dask array"):
        select_top(np.arange(3.0), 1)
    with pytest.raises(ValueError, match="one dimension, and has 2"):
        select_top(scores[:, None], 1)
    holes = np.arange(140.0)
    holes[60] = np.nan
    with pytest.raises(ValueError, match=r"^In chunk 1 \(rows 37 to 86\): scores hold NaN"):
        select_top(*in_chunks(holes), 3).compute()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_trimming_is_that_of_one_machine(n_classes, weighted):
    X, y, X_val, y_val, _ = problem(n_classes)
    weight = None
    if weighted:  # rows of weight 0 take no part
        weight = np.ones(len(y))
        weight[::5] = 0
    budget = 14
    trimmer = FITrimmer(
        LogisticRegression(solver="newton-cg", tol=1e-10, max_iter=1000),
        budget=budget,
        step=None,
        checked_rows="judge",
    )
    trimmer.fit(X, y, weight, X_val=X_val, y_val=y_val)
    X_d, y_d = in_chunks(X, y)
    w_d = in_chunks(weight)[0] if weighted else None
    result = trim(X_d, y_d, X_val, y_val, budget=budget, sample_weight=w_d)
    assert result.support_.chunks == X_d.chunks[:1]
    np.testing.assert_array_equal(result.support_.compute(), trimmer.support_)
    assert result.n_trimmed_ == trimmer.n_trimmed_ == budget
    full, final = result.full_estimator_, result.estimator_
    np.testing.assert_allclose(full.coef_, trimmer.initial_estimator_.coef_, atol=1e-6)
    np.testing.assert_allclose(final.coef_, trimmer.estimator_.coef_, atol=1e-6)
    rows = result.support_.compute()
    if weighted:
        rows &= weight > 0
    own = fit_logistic(*(da.from_array(a[rows]) for a in (X, y)))
    np.testing.assert_allclose(final.coef_, own.coef_, rtol=1e-10, atol=1e-12)
    scores = fi_util(
        full, X_d, y_d, X_val, y_val, sample_weight=w_d, influence="fi_signed",
        validation_loss="expected_error", metric="mahalanobis",
    )  # fmt: skip
    np.testing.assert_array_equal(scores.compute(), result.influence_.compute())


def test_trimming_whole_chunks_and_nothing():
    X, y, X_val, y_val, _ = problem()
    X_d, y_d = in_chunks(X, y, chunks=(1,) * 20 + (120,))
    for budget in (0, 0.0, 30):
        result = trim(X_d, y_d, X_val, y_val, budget=budget)
        assert result.n_trimmed_ == budget
        assert int(result.support_.sum().compute()) == 140 - budget
    assert not result.support_[:20].compute().all()
    again = trim(*of_unknown_length(X_d, y_d), X_val, y_val, budget=30)
    np.testing.assert_array_equal(again.support_.compute(), result.support_.compute())


def test_trimming_a_data_frame():
    frame, lazy = frames()
    numbers, weight = [*"abcde"], 1.0 + (frame["a"] > 0)
    lazy = lazy.assign(weight=1.0 + (lazy["a"] > 0))
    X_val, y_val = frame[numbers].iloc[::3], frame["label"].iloc[::3]
    X_d, y_d, w_d = lazy[numbers], lazy["label"], lazy["weight"]
    result = trim(X_d, y_d, X_val, y_val, budget=0.1, sample_weight=w_d)
    X, y = frame[numbers].to_numpy(), frame["label"].to_numpy().astype(str)
    expected = trim(
        *in_chunks(X, y), X_val.to_numpy(), y_val, budget=0.1,
        sample_weight=in_chunks(weight.to_numpy())[0],
    )  # fmt: skip
    np.testing.assert_array_equal(result.support_.compute(), expected.support_.compute())
    np.testing.assert_allclose(result.estimator_.coef_, expected.estimator_.coef_, rtol=1e-9)
    assert result.estimator_.feature_names_in_.tolist() == numbers


def test_trimming_looks_before_it_fits():
    X, y, X_val, y_val, _ = problem()
    rows, (labels,) = Counted(X), in_chunks(y)
    with pytest.raises(ValueError, match="influence='iv' is not known"):
        trim(rows.X, labels, X_val, y_val, budget=1, influence="iv")
    with pytest.raises(ValueError, match="X_val has 3 features, but X has 5"):
        trim(rows.X, labels, X_val[:, :3], y_val, budget=1)
    with pytest.raises(TypeError, match=r"Pass y_val\.compute"):
        trim(rows.X, labels, X_val, labels, budget=1)
    assert rows.passes == 0


def test_trimming_looks_at_its_classes():
    X, y, X_val, y_val, _ = problem()
    X_d, y_d = in_chunks(X, y)
    with pytest.raises(ValueError, match=r"asks for \d+ rows, but only \d+ can be dropped"):
        trim(X_d, y_d, X_val, y_val, budget=len(y))
    with pytest.warns(UserWarning, match="more than half of class"):
        trim(X_d, y_d, X_val, y_val, budget=90)
    with pytest.raises(ValueError, match="share in"):
        trim(X_d, y_d, X_val, y_val, budget=2.0)


@pytest.mark.filterwarnings("ignore:Trimming took more than half")
@pytest.mark.parametrize("min_class_size", [1, 3])
def test_the_last_rows_of_a_class_are_kept(min_class_size):
    X, y, X_val, y_val, weight = problem(3)
    y = np.where((y == 2) & (np.cumsum(y == 2) > 5), 1, y)
    weight[:] = 1
    weight[3::20] = 0
    options = dict(influence="fi", budget=60, min_class_size=min_class_size)
    parts = in_chunks(X, y, weight)
    present = weight > 0
    trimmer = skfi.FITrimmer(
        LogisticRegression(tol=1e-12, max_iter=10_000),
        step=None,
        checked_rows="judge",
        **options,
    )
    with pytest.warns(UserWarning, match="last rows of class 2") as own:
        trimmer.fit(X, y, weight, X_val=X_val, y_val=y_val)
    for X_d, y_d, w_d in (parts, of_unknown_length(*parts)):
        with pytest.warns(UserWarning, match="last rows of class 2") as ours:
            found = trim(X_d, y_d, X_val, y_val, sample_weight=w_d, **options)
        np.testing.assert_array_equal(found.support_.compute(), trimmer.support_)
        assert found.n_trimmed_ == 60
        said = [
            [str(w.message) for w in caught if "last rows" in str(w.message)]
            for caught in (own, ours)
        ]
        assert said[0] == said[1]
    assert trimmer.support_[~present].all()
