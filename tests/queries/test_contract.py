"""What every query strategy has to keep to. They stand in `strategies.py`."""

from __future__ import annotations

import pickle
import warnings
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.queries.strategies import DRAWN, NEEDS_BRIDGE, STRATEGIES

NEEDS_MODEL = [name for name, make in STRATEGIES.items() if make()._needs_model]
NEEDS_PROBA = [name for name in NEEDS_MODEL if STRATEGIES[name]()._needs_proba]
READS_ROWS = [name for name, make in STRATEGIES.items() if not get_tags(make()).no_validation]
REFUSES = sorted({*NEEDS_PROBA, *NEEDS_BRIDGE})  # what gives no probabilities
REFITS = [name for name in STRATEGIES if name != "Random"]  # the estimator it is given

every = pytest.mark.parametrize("name", STRATEGIES)
ONE_CLASS = "All labels are of one class"

X, Y = make_classification(
    64, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.1, random_state=3
)
X[np.random.default_rng(0).random(X.shape) < 0.2] = 0.0  # for sparse formats
X.setflags(write=False)
LABELLED, LABELS, POOL = X[:24], Y[:24], X[24:]


def model():
    return LogisticRegression(C=0.5, tol=1e-8)


def make(name, estimator=None, **params):
    estimator = model() if estimator is None else estimator
    return STRATEGIES[name](estimator, **{"random_state": 0, "batch_size": 6, **params})


def fitted(name, estimator=None, X=LABELLED, y=LABELS, **params):
    return make(name, estimator, **params).fit(X, y)


def check_batch(batch, n_pool, size):
    assert isinstance(batch, np.ndarray)
    assert batch.dtype.kind == "i"
    assert batch.shape == (size,)
    assert len(set(batch.tolist())) == size
    assert set(batch.tolist()) <= set(range(n_pool))


def same_query(a, b, pool=POOL, **kwargs):
    """Whether two strategies give the same batch and scores."""
    batch, scores = a.query(pool, return_utilities=True, **kwargs)
    other, others = b.query(pool, return_utilities=True, **kwargs)
    np.testing.assert_array_equal(batch, other)
    np.testing.assert_allclose(scores, others, rtol=1e-7, atol=1e-9)


# --- What comes back ---


@every
def test_batch_and_utilities(name):
    strategy = fitted(name)
    scores = strategy.score_samples(POOL)
    assert scores.shape == (40,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    check_batch(strategy.query(POOL), 40, 6)  # batch_size of the strategy
    check_batch(strategy.query(POOL, np.int64(9)), 40, 9)
    batch, utilities = strategy.query(POOL, 3, return_utilities=True)
    check_batch(batch, 40, 3)
    np.testing.assert_array_equal(utilities, scores)


@cache
def kept(name):
    return fitted(name)


@every
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    n_pool=st.integers(1, 30),
    size=st.integers(1, 35),
    levels=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_no_row_twice_and_none_that_is_not_there(name, n_pool, size, levels, seed):
    """Also of pools that are full of copies."""
    pool = np.random.default_rng(seed).integers(0, levels, (n_pool, 5)).astype(float)
    strategy = kept(name).set_params(random_state=seed)
    with warnings.catch_warnings():
        if size > n_pool:
            warnings.filterwarnings("ignore", "batch_size=")
        check_batch(strategy.query(pool, size), n_pool, min(size, n_pool))


@every
def test_more_rows_than_there_are(name):
    strategy = fitted(name)
    with pytest.warns(UserWarning, match=r"batch_size=50 .* pool has 40") as caught:
        check_batch(strategy.query(POOL, 50), 40, 40)
    assert caught[0].filename == __file__
    check_batch(strategy.query(POOL, 40), 40, 40)  # as many as there are is no reason


@every
def test_pool_of_one_row(name):
    assert fitted(name).query(POOL[:1], 1).tolist() == [0]


# --- Seeds ---


@every
def test_an_int_seed_repeats_itself(name):
    strategy = fitted(name, random_state=7)
    same_query(strategy, strategy)
    same_query(strategy, clone(strategy).fit(LABELLED, LABELS))


@every
def test_seeds_matter_to_those_that_draw(name):
    batches = {tuple(fitted(name, random_state=seed).query(POOL)) for seed in range(8)}
    assert (len(batches) > 1) == (name in DRAWN)


@every
def test_a_random_state_moves_on(name):
    """Of rows that are all alike the batch is a draw for every strategy."""
    strategy = fitted(name, random_state=np.random.RandomState(0))
    pool = np.zeros((30, 5))
    assert len({tuple(strategy.query(pool)) for _ in range(5)}) > 1


# --- Few labels ---


@every
@pytest.mark.parametrize("n_labelled", [1, 5])
def test_labels_of_one_class(name, n_labelled):
    strategy = make(name)
    rows, labels = LABELLED[:n_labelled], np.repeat("only", n_labelled)
    if name in NEEDS_MODEL:
        with pytest.warns(UserWarning, match=ONE_CLASS) as caught:
            strategy.fit(rows, labels)
        assert caught[0].filename == __file__
    else:
        strategy.fit(rows, labels)
    assert strategy.estimator_ is None
    assert strategy.classes_.tolist() == ["only"]
    check_batch(strategy.query(POOL), 40, 6)
    if name in NEEDS_MODEL:
        np.testing.assert_array_equal(strategy.score_samples(POOL), np.zeros(40))
        batches = set()
        for seed in range(8):
            batches.add(tuple(strategy.set_params(random_state=seed).query(POOL)))
        assert len(batches) > 1
    # The next labels bring a second class.
    same_query(strategy.set_params(random_state=0).fit(LABELLED, LABELS), fitted(name))


@every
def test_a_class_nobody_has_labelled_yet(name):
    some = LABELS != 1
    strategy = fitted(name, X=LABELLED[some], y=LABELS[some])
    assert strategy.classes_.tolist() == [0, 2]
    check_batch(strategy.query(POOL), 40, 6)
    assert np.isfinite(strategy.score_samples(POOL)).all()


@every
@pytest.mark.parametrize("names", [["a", "b", "c"], [-1.0, 4.0, 2.0], [False, True, True]])
def test_labels_of_any_type(name, names):
    labels = np.array(names)[LABELS]
    strategy = fitted(name, y=labels)
    assert strategy.classes_.tolist() == sorted(set(names))
    same_query(strategy, fitted(name, y=np.unique(labels, return_inverse=True)[1]))


# --- The classifier ---


@every
def test_the_classifier_is_left_alone(name):
    estimator = model()
    before = deepcopy(vars(estimator))
    strategy = fitted(name, estimator)
    strategy.query(POOL)
    assert vars(estimator) == before
    assert strategy.get_params(deep=False)["estimator"] is estimator
    assert strategy.estimator_ is not estimator


@every
@pytest.mark.filterwarnings("ignore:The classifier is not at its optimum")
def test_a_frozen_classifier_is_used_as_it_is(name):
    other = model().fit(LABELLED, LABELS[::-1])
    before = deepcopy(vars(other))
    strategy = fitted(name, FrozenEstimator(other))
    strategy.query(POOL)
    for key, value in vars(other).items():
        np.testing.assert_array_equal(value, before[key])
    if name in REFITS:
        assert strategy.estimator_.estimator is other
    # It knows its classes, whatever is labelled.
    strategy = make(name, FrozenEstimator(other)).fit(LABELLED[:1], LABELS[:1])
    check_batch(strategy.query(POOL), 40, 6)
    if name in NEEDS_MODEL:
        assert strategy.classes_.tolist() == [0, 1, 2]
        assert np.ptp(strategy.score_samples(POOL)) > 0


@every
def test_the_default_is_logistic_regression(name):
    strategy = STRATEGIES[name](random_state=0).fit(LABELLED, LABELS)
    if name in NEEDS_MODEL:
        assert isinstance(strategy.estimator_, LogisticRegression)
    else:
        assert strategy.estimator_ is None
    assert len(strategy.query(POOL)) == 1
    same_query(strategy, fitted(name, LogisticRegression()), batch_size=5)


@pytest.mark.parametrize("name", REFUSES)
@pytest.mark.parametrize("pipeline", [False, True])
def test_a_classifier_without_probabilities_is_refused(name, pipeline):
    estimator = make_pipeline(StandardScaler(), LinearSVC()) if pipeline else LinearSVC()
    with pytest.raises(TypeError, match=r"LinearSVC"):
        make(name, estimator).fit(LABELLED, LABELS)


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - set(REFUSES)))
def test_or_does_if_none_are_asked_for(name):
    check_batch(fitted(name, LinearSVC()).query(POOL), 40, 6)


@every
def test_rows_that_only_a_pipeline_can_read(name):
    """A list of texts; with labels of one class too, where no classifier is needed."""
    words = ["bad", "good", "poor", "fine", "plot", "film", "actor", "end"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 4)) for _ in range(30)]
    labels = ["good" in text or "fine" in text for text in texts[:12]]
    estimator = make_pipeline(TfidfVectorizer(), model())
    strategy = fitted(name, estimator, texts[:12], labels)
    check_batch(strategy.query(texts[12:]), 18, 6)
    assert np.isfinite(strategy.score_samples(texts[12:])).all()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ONE_CLASS)
        strategy.fit(texts[:2], [1, 1])
    check_batch(strategy.query(texts[12:]), 18, 6)


# --- The pool ---


@every
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csr_array, sparse.csc_array])
def test_sparse_pools_are_dense_ones(name, form):
    dense, strategy = fitted(name), fitted(name, X=form(LABELLED))
    for pool in (POOL, form(POOL)):
        batch, scores = strategy.query(pool, return_utilities=True)
        np.testing.assert_array_equal(batch, dense.query(POOL))
        np.testing.assert_allclose(scores, dense.score_samples(POOL), rtol=1e-5, atol=1e-7)


@every
def test_lists_are_arrays(name):
    strategy = fitted(name, X=LABELLED.tolist(), y=LABELS.tolist())
    np.testing.assert_array_equal(strategy.query(POOL.tolist()), fitted(name).query(POOL))


@every
def test_frames(name):
    pd = pytest.importorskip("pandas")
    columns = [f"x{j}" for j in range(5)]
    frame, pool = pd.DataFrame(LABELLED, columns=columns), pd.DataFrame(POOL, columns=columns)
    strategy = fitted(name, X=frame, y=pd.Series(LABELS))
    assert strategy.feature_names_in_.tolist() == columns
    pool.index = pool.index[::-1]  # positions count
    batch, scores = strategy.query(pool, return_utilities=True)
    np.testing.assert_array_equal(batch, fitted(name).query(POOL))
    np.testing.assert_allclose(scores, fitted(name).score_samples(POOL), rtol=1e-7, atol=1e-9)
    for other in (pool[columns[::-1]], pool.rename(columns={"x1": "y"}), pool[columns[:4]]):
        with pytest.raises(ValueError, match="X_pool must have the columns that fit saw"):
            strategy.query(other)
        with pytest.raises(ValueError, match="X_pool must have the columns that fit saw"):
            strategy.score_samples(other)


@every
def test_another_number_of_columns(name):
    with pytest.raises(ValueError, match=r"X_pool must have the columns.*4 features"):
        fitted(name).query(POOL[:, :4])


@every
def test_order_of_the_pool(name):
    strategy, order = fitted(name), np.random.default_rng(1).permutation(40)
    np.testing.assert_allclose(
        strategy.score_samples(POOL[order]),
        strategy.score_samples(POOL)[order],
        rtol=1e-7,
        atol=1e-9,
    )


@every
@pytest.mark.parametrize("working_memory", [1e-9, 0.02])
def test_any_size_of_blocks(name, working_memory):
    whole = fitted(name)
    with config_context(working_memory=working_memory):
        blocks = fitted(name)
        batch, scores = blocks.query(POOL, return_utilities=True)
    np.testing.assert_array_equal(batch, whole.query(POOL))
    np.testing.assert_allclose(scores, whole.score_samples(POOL), rtol=1e-9, atol=1e-12)


@every
def test_rows_stay_as_they_are(name):
    rows, labels, pool = LABELLED.copy(), LABELS.copy(), POOL.copy()
    fitted(name, X=rows, y=labels).query(pool)
    np.testing.assert_array_equal(rows, LABELLED)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(pool, POOL)


@every
def test_an_empty_pool(name):
    strategy = fitted(name)
    for empty in (POOL[:0], sparse.csr_array(POOL)[:0], []):
        with pytest.raises(ValueError, match="X_pool has no rows"):
            strategy.query(empty)
        with pytest.raises(ValueError, match="X_pool has no rows"):
            strategy.score_samples(empty)


@pytest.mark.parametrize("name", READS_ROWS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite(name, value):
    bad = POOL.copy()
    bad[3, 2] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        fitted(name).query(bad)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        make(name).fit(bad, Y[24:])


# --- What is refused ---


@every
@pytest.mark.parametrize("size", [0, -1, 1.5, True, "2"])
def test_batch_sizes_that_are_none(name, size):
    with pytest.raises(ValueError, match="batch_size"):
        fitted(name).query(POOL, size)
    with pytest.raises(ValueError, match="batch_size"):
        make(name, batch_size=size).fit(LABELLED, LABELS).query(POOL)


@every
def test_a_query_before_fit(name):
    for call in (make(name).query, make(name).score_samples):
        with pytest.raises(NotFittedError, match="not fitted"):
            call(POOL)


class Broken(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        raise RuntimeError("no such luck")


def bad_fits(name):
    """(parameters to set, rows, labels, error) that `fit` has to refuse."""
    yield {}, LABELLED, None, "requires y to be passed"
    yield {}, LABELLED, LABELS[:-1], "inconsistent numbers of samples"
    yield {}, LABELLED[:0], LABELS[:0], r"0 sample\(s\)"
    yield {}, LABELLED, np.linspace(0, 1, 24), "Unknown label type"
    yield {}, LABELLED, np.where(LABELS == 0, np.nan, LABELS), "NaN"
    yield {}, LABELLED, np.where(LABELS == 0, None, LABELS), "labelled rows alone"
    yield {"batch_size": 0}, LABELLED, LABELS, "batch_size"
    yield {"estimator": "logistic"}, LABELLED, LABELS, "estimator"
    yield {"random_state": -1}, LABELLED, LABELS, "random_state"
    if name in REFITS:
        yield {"estimator": Broken()}, LABELLED, LABELS, "no such luck"
    if name in REFUSES:
        yield {"estimator": LinearSVC()}, LABELLED, LABELS, "LinearSVC"
    if name in READS_ROWS:
        yield {}, np.where(LABELLED > 1, np.nan, LABELLED), LABELS, "NaN"


@every
def test_a_fit_that_fails_leaves_all_as_it_was(name):
    strategy, whole = fitted(name), fitted(name)
    for params, rows, labels, message in bad_fits(name):
        given = strategy.get_params(deep=False)
        strategy.set_params(**params)
        before = dict(vars(strategy))
        with pytest.raises((ValueError, TypeError, RuntimeError), match=message):
            strategy.fit(rows, labels)
        assert set(vars(strategy)) == set(before)
        for key, value in before.items():
            assert vars(strategy)[key] is value, key
        same_query(strategy.set_params(**given), whole)
        unfitted = make(name).set_params(**params)
        with pytest.raises((ValueError, TypeError, RuntimeError), match=message):
            unfitted.fit(rows, labels)
        with pytest.raises(NotFittedError):
            unfitted.query(POOL)


# --- An estimator like others ---


@every
def test_parameters(name):
    strategy = make(name, batch_size=4)
    assert vars(strategy) == strategy.get_params(deep=False)  # __init__ sets nothing else
    copy = clone(strategy)
    assert repr(copy) == repr(strategy)
    assert type(strategy).__name__ in repr(strategy)
    assert "batch_size=4" in repr(strategy)
    assert copy.estimator is not strategy.estimator
    copy.set_params(batch_size=2, estimator__C=0.01)
    assert copy.estimator.C == 0.01
    assert strategy.estimator.C == 0.5
    assert len(copy.fit(LABELLED, LABELS).query(POOL)) == 2
    assert len(copy.set_params(batch_size=5).query(POOL)) == 5  # needs no fit
    with pytest.raises(ValueError, match="nonsense"):
        strategy.set_params(nonsense=1)


@every
def test_pickles(name):
    strategy = fitted(name)
    same_query(pickle.loads(pickle.dumps(strategy)), strategy)
    with pytest.raises(NotFittedError):
        pickle.loads(pickle.dumps(make(name))).query(POOL)


@pytest.mark.filterwarnings(f"ignore:{ONE_CLASS}:UserWarning", "ignore:.*array_api.*")
@parametrize_with_checks(
    [make() for make in STRATEGIES.values()],
    expected_failed_checks=lambda strategy: (
        {"check_methods_subset_invariance": "BADGE's scores depend on the other rows"}
        if hasattr(strategy, "query_strategy")
        else {}
    ),
)
def test_sklearn(estimator, check):
    check(estimator)
