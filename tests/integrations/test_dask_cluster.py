"""skfi.integrations.dask on a cluster of processes, one of which may die."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfi
from tests.conftest import make_split

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

from skfi.integrations.dask import (  # noqa: E402
    fi_active,
    fi_util,
    fit_logistic,
    select_top,
    trim,
)

pytestmark = [
    pytest.mark.xdist_group("dask_cluster"),
    # What is compared with is computed in threads, on purpose.
    pytest.mark.filterwarnings("ignore:Running on a single-machine scheduler:UserWarning"),
]

EXACT = dict(rtol=1e-10, atol=1e-13)
N_CHUNKS = 5
OPTIONS = dict(validation_loss="expected_error", metric="mahalanobis")


@pytest.fixture(scope="module")
def cluster_client():
    settings = {
        "distributed.comm.timeouts.connect": "30s",
        "distributed.scheduler.worker-ttl": None,  # the machine may be busy
        "distributed.worker.memory.terminate": False,
    }
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2,
            processes=True,
            threads_per_worker=1,
            dashboard_address=":0",
            memory_limit=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def all_are_back(client):
    """Wait until a worker that died is back, and watched: a nanny that sees it die while it
    starts gives up.
    """
    client.cluster.scale(2)
    client.wait_for_workers(2, timeout=60)
    for _ in range(600):
        nannies = list(client.cluster.workers.values())
        states = [n.status for n in nannies] + [n.process.status for n in nannies if n.process]
        if states == [distributed.Status.running] * 4:
            return
        time.sleep(0.05)
    raise AssertionError(f"workers did not come back: {states}")


@pytest.fixture
def client(cluster_client):
    all_are_back(cluster_client)
    return cluster_client


@pytest.fixture(scope="module")
def problem():
    """Rows, and what one machine makes of them."""
    X, y, X_val, y_val, weight = make_split(3, n=500, n_val=200)
    X_d, y_d, w_d = in_chunks(X, y, weight)
    with dask.config.set(scheduler="threads"):
        model = fit_logistic(X_d, y_d, sample_weight=w_d)
    fi = skfi.fi_util(model, X, y, X_val, y_val, sample_weight=weight, **OPTIONS)
    return X, y, X_val, y_val, weight, model, fi


def in_chunks(*arrays):
    size = len(arrays[0]) // N_CHUNKS
    return [da.from_array(a, chunks=(size, *a.shape[1:])) for a in arrays]


def that_kills(rows, marker):
    """The same rows; whoever reads the fourth chunk first dies of it."""

    def read(block, path=str(marker), block_info=None):
        if block_info and block_info[0]["chunk-location"][0] == 3:
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return block
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    return rows.map_blocks(read, dtype=rows.dtype, meta=np.empty((0, 0)))


def test_the_result_is_that_of_one_machine(client, problem):
    X, y, X_val, y_val, weight, model, fi = problem
    X_d, y_d, w_d = in_chunks(X, y, weight)
    found = fit_logistic(X_d, y_d, sample_weight=w_d, split_every=2)
    np.testing.assert_allclose(found.coef_, model.coef_, **EXACT)
    scores = fi_util(model, X_d, y_d, X_val, y_val, sample_weight=w_d, **OPTIONS)
    top = select_top(scores, 0.1)
    got, mask = dask.compute(scores, top)
    np.testing.assert_allclose(got, fi, **EXACT)
    expected = np.zeros(len(fi), dtype=bool)
    expected[np.argsort(-got, kind="stable")[:50]] = True
    np.testing.assert_array_equal(mask, expected)


def test_unknown_chunk_sizes_and_a_pipeline(client, problem):
    X, y, X_val, y_val, _, _, _ = problem
    kept = X[:, 0] > 0
    X_d, y_d, kept_d = in_chunks(X, y, kept)
    X_d, y_d = X_d[kept_d], y_d[kept_d]
    assert np.isnan(X_d.shape[0])
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-9, max_iter=1000))
    model.fit(X[kept], y[kept])
    expected = skfi.fi_util(model, X[kept], y[kept], X_val, y_val)
    scores = fi_util(model, X_d, y_d, X_val, y_val)
    np.testing.assert_allclose(scores.compute(), expected, **EXACT)


@pytest.mark.parametrize("aggregate", ["trimmed_mean", "row_trimmed_mean"])
def test_a_pool(client, problem, aggregate):
    X, _, X_val, y_val, *_ = problem
    model = LogisticRegression(tol=1e-9, max_iter=1000).fit(X_val, y_val)
    (pool,) = in_chunks(X)
    expected = skfi.fi_active(model, X_val, y_val, X, aggregate=aggregate)
    scores = fi_active(model, X_val, y_val, pool, aggregate=aggregate)
    np.testing.assert_allclose(scores.compute(), expected, **EXACT)


def test_data_frames(client, problem):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    X, y, X_val, y_val, weight, model, fi = problem
    names = list("abcde")
    frame = pd.DataFrame(X, columns=names).assign(label=y, weight=weight)
    lazy = dd.from_pandas(frame, npartitions=7)
    found = fit_logistic(lazy[names], lazy["label"], sample_weight=lazy["weight"])
    np.testing.assert_allclose(found.coef_, model.coef_, **EXACT)
    X_val = pd.DataFrame(X_val, columns=names)
    scores = fi_util(
        found, lazy[names], lazy["label"], X_val, y_val, sample_weight=lazy["weight"], **OPTIONS
    )
    np.testing.assert_allclose(scores.compute(), fi, rtol=1e-9)


def test_an_error_on_a_worker_names_the_chunk(client, problem):
    X, y, X_val, y_val, _, model, _ = problem
    spoilt = X.copy()
    spoilt[333, 2] = np.nan
    X_d, y_d = in_chunks(spoilt, y)
    message = r"^In chunk 3 \(rows 300 to 399\): Input X contains NaN"
    with pytest.raises(ValueError, match=message):
        fi_util(model, X_d, y_d, X_val, y_val)
    with pytest.raises(ValueError, match=message):
        fit_logistic(X_d, y_d)
    model = LogisticRegression(tol=1e-9, max_iter=1000).fit(X_val, y_val)
    with pytest.raises(ValueError, match=message.replace("X contains", "X_pool contains")):
        fi_active(model, X_val, y_val, X_d).compute()


def test_a_worker_that_dies_in_a_pass(client, problem, tmp_path):
    X, y, X_val, y_val, weight, model, fi = problem
    X_d, y_d, w_d = in_chunks(X, y, weight)
    at_once, later = (tmp_path / name for name in ("at_once", "later"))
    given = y_d, X_val, y_val
    scores = fi_util(model, that_kills(X_d, at_once), *given, sample_weight=w_d, **OPTIONS)
    np.testing.assert_allclose(scores.compute(), fi, **EXACT)
    all_are_back(client)
    later.touch()
    scores = fi_util(model, that_kills(X_d, later), *given, sample_weight=w_d, **OPTIONS)
    later.unlink()
    np.testing.assert_allclose(scores.compute(), fi, **EXACT)
    assert at_once.exists()
    assert later.exists()


def test_a_worker_that_dies_with_what_it_has(client, problem):
    """Persisted chunks and scores are made again."""
    X, y, X_val, y_val, weight, model, fi = problem
    X_d, y_d, w_d = client.persist(in_chunks(X, y, weight))
    scores = fi_util(model, X_d, y_d, X_val, y_val, sample_weight=w_d, **OPTIONS).persist()
    distributed.wait(scores)
    assert len({w for where in client.who_has().values() for w in where}) == 2
    pids = client.run(os.getpid)
    os.kill(min(pids.values()), signal.SIGKILL)
    top = select_top(scores, 50)
    np.testing.assert_allclose(scores.compute(), fi, **EXACT)
    assert top.sum().compute() == 50


def test_trimming_while_a_worker_dies(client, problem, tmp_path, caplog):
    X, y, X_val, y_val, _, _, _ = problem
    X_d, y_d = in_chunks(X, y)
    result = trim(that_kills(X_d, tmp_path / "marker"), y_d, X_val, y_val, budget=0.1)
    with dask.config.set(scheduler="threads"):
        expected = trim(X_d, y_d, X_val, y_val, budget=0.1)
        kept = expected.support_.compute()
    np.testing.assert_array_equal(result.support_.compute(), kept)
    np.testing.assert_allclose(result.estimator_.coef_, expected.estimator_.coef_, **EXACT)
    assert result.n_trimmed_ == 50
    assert (tmp_path / "marker").exists()
    # A key of two tasks, of which a scheduler that computes again may take either.
    assert "different `run_spec`" not in caplog.text


def test_passes_beside_scores_that_are_kept(client, problem, caplog):
    """The same chunks behind persisted scores and further passes are the same tasks."""
    X, y, X_val, y_val, weight, model, fi = problem
    given = da.from_array(X, chunks=(100, 2)), *in_chunks(y, weight)
    X_d, y_d, w_d = (a.map_blocks(np.positive) + 0 for a in given)
    scores = fi_util(model, X_d, y_d, X_val, y_val, sample_weight=w_d, **OPTIONS).persist()
    found = fit_logistic(X_d, y_d, sample_weight=w_d)
    np.testing.assert_allclose(found.coef_, model.coef_, **EXACT)
    again = fi_util(model, X_d, y_d, X_val, y_val, sample_weight=w_d, **OPTIONS)
    top, _ = dask.compute(select_top(again, 50), select_top(scores, 50))
    assert top.sum() == 50
    np.testing.assert_allclose(scores.compute(), fi, **EXACT)
    assert "different `run_spec`" not in caplog.text
