"""Blocks: order, coverage, threads, memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context, get_config
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from skfi import FITrimmer
from skfi._utils import _chunks
from skfi._utils._chunks import block_rows, map_blocks, n_threads, one_blas_thread


@pytest.mark.parametrize(("n", "size"), [(10, 3), (9, 3), (1, 5), (0, 5), (4, 1)])
def test_blocks_come_in_order_and_cover_all_rows(n, size):
    seen = list(map_blocks(lambda rows: list(range(n))[rows], n, size))
    assert [i for block in seen for i in block] == list(range(n))
    assert all(len(block) <= size for block in seen)


def test_an_error_in_a_block_is_raised_and_blas_restored():
    before = threadpool_info()

    def fail(rows):
        raise RuntimeError(f"rows {rows.start}")

    with pytest.raises(RuntimeError, match="rows 0"):
        list(map_blocks(fail, 100, 1))
    assert threadpool_info() == before


def test_blas_is_kept_to_one_thread_inside():
    with one_blas_thread():
        assert blas() == {1}
        with one_blas_thread():
            assert blas() == {1}
        assert blas() == {1}


def test_overlapping_callers_leave_blas_as_it_was():
    before = threadpool_info()
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas() == {1}
    second.__exit__(None, None, None)
    assert threadpool_info() == before


@pytest.fixture
def two_threads():
    """BLAS of two threads, which no living thread has set."""

    def set_by_another_thread(limits):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(threadpool_limits, limits, user_api="blas").result()

    limiter = set_by_another_thread(2)
    yield
    set_by_another_thread(limiter.get_original_num_threads()["blas"])


def blas():
    return {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}


@pytest.mark.usefixtures("two_threads")
def test_the_last_thread_to_leave_restores_what_the_first_one_set():
    first, last = one_blas_thread(), one_blas_thread()
    with ThreadPoolExecutor(1) as pool:  # a thread that lives on
        pool.submit(first.__enter__).result()
        last.__enter__()
        pool.submit(first.__exit__, None, None, None).result()
        assert blas() == {1}
        last.__exit__(None, None, None)
        assert blas() == {2}


@pytest.mark.usefixtures("two_threads")
def test_other_threads_can_set_limits_afterwards():
    def limited():
        with threadpool_limits(1, user_api="blas"):
            return blas()

    with one_blas_thread():
        pass
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(limited).result() == {1}
    assert blas() == {2}


@pytest.mark.usefixtures("two_threads")
def test_a_limit_that_another_thread_lifts_meanwhile_is_not_set_again():
    limiter = []
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: limiter.append(threadpool_limits(1, user_api="blas"))).result()
        with one_blas_thread():
            pool.submit(limiter[0].restore_original_limits).result()
        assert blas() == {2}


def test_users_thread_limits_count():
    with threadpool_limits(1, user_api="blas"):
        assert n_threads() == 1


def test_rows_follow_the_memory_limit(monkeypatch):
    monkeypatch.setattr(_chunks, "n_threads", lambda: 2)
    with config_context(working_memory=1):
        assert block_rows(1000) == 2**20 // (8 * 1000 * 2)
    with config_context(working_memory=1e-9):
        assert block_rows(1000) == 1
        assert block_rows(1000, least=1000) == 1
    assert 64 <= block_rows(10**6) <= block_rows(1) <= 4096
    assert block_rows(10**4) < block_rows(10**4, least=1000) == 1000


def test_dense_rows_is_a_view_where_it_can_be():
    X = np.zeros((5, 2))
    assert np.shares_memory(_chunks.dense_rows(X, slice(0, 3)), X)


def test_threads_see_the_callers_configuration():
    """scikit-learn's configuration is one per thread, and a new thread has its defaults."""
    with config_context(working_memory=7):
        found = list(map_blocks(lambda _: get_config()["working_memory"], 6, 1))
    assert found == [7] * 6


def test_threads_see_the_callers_context():
    variable = ContextVar("variable", default=0)
    variable.set(3)
    with threadpool_limits(2, user_api="blas"):
        assert list(map_blocks(lambda _: variable.get(), 6, 1)) == [3] * 6


@pytest.mark.parametrize(
    ("X", "users"),
    [(np.zeros((3, 2)), 1), (np.zeros((4, 2)), 0), (sparse.csr_array((9, 9)), 1), (["a"], 1)],
)
def test_a_small_fit_has_one_blas_thread(monkeypatch, X, users):
    monkeypatch.setattr(_chunks, "_LARGE_FIT", 6)
    with _chunks.threads_to_fit(X):
        assert _chunks._gate.users == users
    assert _chunks._gate.users == 0


def test_the_trimmers_fits_are_such():
    seen = []

    class Watched(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            seen.append(_chunks._gate.users)
            return super().fit(X, y, sample_weight)

    X, y = make_classification(60, random_state=0)
    FITrimmer(Watched(), budget=2, step=None, influence="loss").fit(X, y)
    assert seen == [1, 1]
