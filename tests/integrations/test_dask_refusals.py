"""skfi.integrations.dask: what it refuses and where it says that was; trees, and threads."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import config_context, get_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skfi._utils._chunks import n_threads

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from skfi.integrations import _dask_blocks  # noqa: E402
from skfi.integrations.dask import fi_active, fi_util, fit_logistic  # noqa: E402
from tests.integrations.test_dask import (  # noqa: E402
    _threads,  # noqa: F401  a fixture for all
    frames,
    in_chunks,
    of_unknown_length,
    problem,
)


@pytest.mark.parametrize("known", [True, False])
def test_an_error_names_its_chunk(known):
    X, y, X_val, y_val, weight = problem()
    model = LogisticRegression(tol=1e-8).fit(X, y)
    place = r"^In chunk 1 \(rows 37 to 86\)" if known else "^In chunk 1"

    def spoilt(which, value):
        arrays = [X.copy(), y.astype(float), weight.copy()]
        arrays[which][50] = value
        parts = in_chunks(*arrays)
        return parts if known else of_unknown_length(*parts)

    for which, value, message in [
        (0, np.nan, "Input X contains NaN"),
        (0, np.inf, "Input X contains infinity"),
        (1, np.nan, "y"),
        (1, 7.0, r"y has labels the classifier never saw: \[7.0\]"),
        (2, -1.0, "Negative values in data passed to `sample_weight`"),
    ]:
        X_d, y_d, w_d = spoilt(which, value)
        with pytest.raises(ValueError, match=f"{place}: {message}"):
            fi_util(model, X_d, y_d, X_val, y_val, sample_weight=w_d)
        with pytest.raises(ValueError, match=f"{place}: {message}"):
            fit_logistic(X_d, y_d, sample_weight=w_d, classes=[0, 1])
    X_d, y_d, _ = spoilt(1, np.nan)
    with pytest.raises(ValueError, match=f"{place}: y holds None or NaN .* for 1 of 50 rows"):
        fit_logistic(X_d, y_d)
    X_d, *_ = spoilt(0, np.nan)
    with pytest.raises(ValueError, match=f"{place}: Input X_pool contains NaN"):
        fi_active(model, X, y, X_d).compute()


def test_an_error_of_another_kind_is_noted():
    def fails(block, more):
        raise MemoryError("too large")

    blocks = _dask_blocks.in_blocks(X=da.ones((4, 1), chunks=2), y=None)
    with pytest.raises(
        MemoryError, match=r"^too large\nIn chunk [01] \(rows [02] to [13]\)\.$"
    ):
        _dask_blocks.sum_blocks(blocks, fails, "test").compute()


def test_rows_that_do_not_fit_together():
    X, y, X_val, y_val, weight = problem()
    X_d, y_d = in_chunks(X, y)
    (X_u,) = of_unknown_length(X_d)
    model = LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="y has 100 rows, and X 140"):
        fit_logistic(X_d, y_d[:100])
    with pytest.raises(ValueError, match=r"y has 3 chunks and X has 4, .* compute_chunk_sizes"):
        fit_logistic(X_u, of_unknown_length(da.from_array(y, chunks=50))[0])
    with pytest.raises(
        ValueError, match=r"^In chunk [0-3]: .* inconsistent numbers of samples"
    ):
        fit_logistic(X_u, of_unknown_length(da.from_array(y, chunks=((36, 51, 2, 51),)))[0])
    with pytest.raises(ValueError, match="y must have one dimension, and has 2"):
        fit_logistic(X_d, y_d[:, None])
    with pytest.raises(ValueError, match="X must have rows and columns, and has 1 dim"):
        fit_logistic(y_d, y_d)
    with pytest.raises(TypeError, match="X is a ndarray, and must be a dask array"):
        fi_util(model, X, y_d, X_val, y_val)
    with pytest.raises(TypeError, match="sample_weight is a ndarray, and must be a dask"):
        fi_util(model, X_d, y_d, X_val, y_val, sample_weight=weight)
    with pytest.raises(TypeError, match=r"X_val is a dask Array; .* Pass X_val.compute\(\)"):
        fi_util(model, X_d, y_d, X_d, y_val)
    with pytest.raises(TypeError, match="y is a dask Array"):
        fi_active(model, X, y_d, X_d)
    with pytest.raises(ValueError, match="X_val has 3 features, but X has 5"):
        fi_util(model, X_d, y_d, X_val[:, :3], y_val)
    with pytest.raises(ValueError, match="X_val has 3 features where the model sees it"):
        fi_util(model, X_d[:, :3], y_d, X_val[:, :3], y_val)
    with pytest.raises(ValueError, match="split_every=1 must be at least 2"):
        fit_logistic(X_d, y_d, split_every=1)
    with pytest.raises(TypeError, match=r"split_every=2\.5 must be an int"):
        fit_logistic(X_d, y_d, split_every=2.5)
    for name, value in [("influence", "iv"), ("metric", "l2"), ("unit", "mass")]:
        with pytest.raises(ValueError, match=f"{name}='{value}' is not known"):
            fi_util(model, X_d, y_d, X_val, y_val, **{name: value})


def test_frames_of_other_divisions():
    _, lazy = frames()
    _, other = frames(n_partitions=2)
    with pytest.raises(ValueError, match=r"y is partitioned otherwise than X. Call y\.repart"):
        fit_logistic(lazy[["a"]], other["label"])
    other = other["label"].repartition(divisions=lazy.divisions)
    assert fit_logistic(lazy[["a"]], other).n_features_in_ == 1


def test_warns_where_the_fit_is_another():
    X, y, X_val, y_val, _ = problem()
    X_d, y_d = in_chunks(X, y)
    with pytest.warns(ConvergenceWarning, match="not at its optimum") as caught:
        fi_util(LogisticRegression().fit(X[:20], y[:20]), X_d, y_d, X_val, y_val)
    assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match="has not converged in 2 passes") as caught:
        fit_logistic(X_d, y_d, max_iter=2)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("split_every", [2, 4, 8])
def test_a_tree_never_adds_more_than_it_is_told(monkeypatch, split_every):
    widths, join = [], _dask_blocks._join

    def counted(add, parts):
        widths.append(len(parts))
        return join(add, parts)

    monkeypatch.setattr(_dask_blocks, "_join", counted)
    blocks = _dask_blocks.in_blocks(X=da.ones((100, 1), chunks=(1, 1)), y=None)
    total = _dask_blocks.sum_blocks(blocks, lambda X, y: len(X), "test", split_every)
    assert total.compute() == 100
    assert max(widths) == split_every
    assert len(widths) < 100 / (split_every - 1) + 8


def test_tasks_run_in_one_thread_each_under_the_callers_configuration():
    seen = []

    def look(X, y):
        from skfi._utils._chunks import one_blas_thread

        with one_blas_thread():
            seen.append((n_threads(), get_config()["working_memory"]))
        return len(X)

    before = n_threads()
    blocks = _dask_blocks.in_blocks(X=da.ones((40, 1), chunks=(1, 1)), y=None)
    with config_context(working_memory=17):
        total = _dask_blocks.sum_blocks(blocks, look, "test")
    assert total.compute(num_workers=4) == 40
    assert set(seen) == {(1, 17)}
    assert n_threads() == before
