"""Scores that are written as they come: a run that ends early goes on, byte for byte."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression

from skfi.outofcore import ArrayRows, BatchRows, ParquetRows, _journal, fi_util, trim
from skfi.passes._sums import Scorer
from tests.conftest import ROOT, make_split
from tests.outofcore.sources import KINDS, in_blocks, source, table, write_parquet


@pytest.fixture(scope="module")
def kills(tmp_path_factory):
    """What killed runs left, each of which was called again."""
    if not hasattr(os, "fork"):
        pytest.skip("runs are forked to be killed")
    folder = tmp_path_factory.mktemp("killed")
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.outofcore.killed", str(folder)],
        cwd=ROOT,
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("run", ["score", "trim"])
@pytest.mark.parametrize("part", ["before scores", "scores", "again", "outside"])
def test_killed_runs_come_out_the_same(kills, run, part):
    found = [kill for kill in kills if (kill["run"], kill["part"]) == (run, part)]
    assert len(found) >= (5 if run == "score" and "scores" in part else 1)
    for kill in found:
        if part != "outside":  # where the clock may be late
            assert kill["ends"][0] == "SIGKILL"
        assert kill["ends"][-1] in ("done", "exists")
        assert kill["same"]
        assert kill["beside"] == ["scores.npy"] or kill["ends"][-1] == "exists"


class Stop(Exception):
    """Stands for whatever may end a run."""


@pytest.fixture
def data():
    X, y, V, w, _ = make_split(3)
    return LogisticRegression(tol=1e-10, max_iter=1000).fit(X, y), X, y, V, w


@pytest.fixture(autouse=True)
def _each_block(monkeypatch):
    monkeypatch.setattr(_journal, "EVERY", 0.0)


def stopping(monkeypatch, name, after):
    """Let a run end after some blocks of a pass; the list of calls that follow."""
    calls = []
    target, attribute = (Scorer, "__call__") if name == "scores" else (_journal.Journal, name)
    kept = getattr(target, attribute)

    def counted(*args):
        if after is not None and len(calls) == after:
            raise Stop
        calls.append(args)
        return kept(*args)

    monkeypatch.setattr(target, attribute, counted)
    return calls


def cut_off(call, name="scores", after=3):
    with pytest.MonkeyPatch.context() as patch:
        stopping(patch, name, after)
        with pytest.raises(Stop):
            call()


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_left_is_scored(kind, data, tmp_path, monkeypatch):
    model, X, y, V, w = data
    rows = source(kind, X, y, None, tmp_path, 10)
    expected = fi_util(model, rows, V, w).tobytes()
    folder = tmp_path / "out"
    folder.mkdir()

    def call():
        return fi_util(model, rows, V, w, out=folder / "scores.npy")

    cut_off(call, after=5)
    so_far = np.load(folder / "scores.npy.part", mmap_mode="r")
    state = json.loads((folder / "scores.npy.progress.json").read_text("utf-8"))
    row = state["next_row"]
    assert 20 <= row < len(y)
    assert so_far[:row].tobytes() == expected[: 8 * row]
    assert not (folder / "scores.npy").exists()
    left = sum(b.start >= row for b in rows._read(10))
    calls = stopping(monkeypatch, "scores", None)
    assert call().tobytes() == expected
    assert len(calls) == left
    assert [path.name for path in folder.iterdir()] == ["scores.npy"]


def test_sums_go_on_as_well(data, tmp_path, monkeypatch):
    model, X, y, V, w = data
    rows = in_blocks(ArrayRows(X, y), 10)

    def call():
        return fi_util(model, rows, V, w, metric="mahalanobis", out=tmp_path / "scores.npy")

    cut_off(call, "keep_sums", 4)
    reads = []
    read = rows._read
    rows._read = lambda size, start=0, frames=False: reads.append(start) or read(size, start)
    found = call()
    assert reads == [40, 0]
    rows._read = read
    assert found.tobytes() == fi_util(model, rows, V, w, metric="mahalanobis").tobytes()


def test_blocks_stay_as_large_as_they_were(data, tmp_path):
    model, X, y, V, w = data
    rows = ArrayRows(X, y)
    small = 4 * 10 * X.shape[1] * 8 / 2**20

    def call(limit):
        with config_context(working_memory=limit):
            return fi_util(model, rows, V, w, out=tmp_path / "scores.npy")

    cut_off(lambda: call(small), after=3)
    state = json.loads((tmp_path / "scores.npy.progress.json").read_text("utf-8"))
    assert (state["block_rows"], state["next_row"]) == (10, 30)
    np.testing.assert_allclose(call(64), fi_util(model, rows, V, w), rtol=1e-10)


def test_other_settings_are_refused(data, tmp_path):
    model, X, y, V, w = data
    rows = in_blocks(ArrayRows(X, y), 10)
    out = tmp_path / "scores.npy"
    cut_off(lambda: fi_util(model, rows, V, w, out=out))
    left = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        ValueError,
        match=r"other settings: metric was 'euclidean' and is 'mahalanobis'\. .*overw",
    ):
        fi_util(model, rows, V, w, metric="mahalanobis", out=out)
    with pytest.raises(ValueError, match=r"X_val \(float64 \(40, 5\)\) has other contents"):
        fi_util(model, rows, V + 1, w, out=out)
    other = LogisticRegression(tol=1e-10, max_iter=1000, C=2.0).fit(X, y)
    with pytest.raises(ValueError, match="estimator was LogisticRegression"):
        fi_util(other, rows, V, w, out=out)
    changed = in_blocks(ArrayRows(X, np.r_[1 - y[0], y[1:]]), 10)
    with pytest.raises(ValueError, match=r"y \(.*\) has other contents"):
        fi_util(model, changed, V, w, out=out)
    with pytest.raises(ValueError, match="gone"):
        fi_util(model, rows.without(np.arange(140) < 9), V, w, out=out)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == left
    found = fi_util(model, rows, V, w, metric="mahalanobis", out=out, overwrite=True)
    assert found.tobytes() == fi_util(model, rows, V, w, metric="mahalanobis").tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npy"]


def test_a_map_that_changed_is_refused(data, tmp_path):
    model, X, y, V, w = data
    path = tmp_path / "X.npy"
    np.save(path, X)

    def call():
        rows = in_blocks(ArrayRows(np.load(path, mmap_mode="r"), y), 10)
        return fi_util(model, rows, V, w, out=tmp_path / "scores.npy")

    cut_off(call)
    kept = path.stat().st_mtime_ns
    os.utime(path, ns=(kept, kept + 10**9))
    with pytest.raises(ValueError, match=r"X \(X.npy float64 \(140, 5\)\) has other contents"):
        call()
    os.utime(path, ns=(kept, kept))
    assert call().shape == (140,)


def test_a_parquet_file_that_changed_is_refused(data, tmp_path):
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    model, X, y, V, w = data
    path = tmp_path / "train.parquet"
    write_parquet(table(X, y, None), path)

    def call():
        rows = in_blocks(ParquetRows(path, target="label"), 10)
        return fi_util(model, rows, V, w, out=tmp_path / "scores.npy")

    cut_off(call)
    write_parquet(table(X[::-1], y[::-1], None), path)
    with pytest.raises(ValueError, match=r"files \(train.parquet \(140 rows\)\) has other"):
        call()


def test_batches_that_changed_are_refused(data, tmp_path):
    model, X, y, V, w = data

    def call(labels):
        rows = in_blocks(BatchRows(lambda: iter([(X, labels)])), 10)
        return fi_util(model, rows, V, w, out=tmp_path / "scores.npy")

    cut_off(lambda: call(y))
    with pytest.raises(ValueError, match=r"first batch .*has other contents"):
        call(np.r_[1 - y[0], y[1:]])


def test_settings_that_make_no_sense_leave_what_is_there(data, tmp_path):
    model, X, y, V, w = data
    rows = in_blocks(ArrayRows(X, y), 10)
    cut_off(lambda: fi_util(model, rows, V, w, out=tmp_path / "scores.npy"))
    left = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for wrong in (
        dict(metric="m"),
        dict(unit="u"),
        dict(validation_loss="l"),
        dict(influence="i"),
    ):
        with pytest.raises(ValueError, match=r"is not known|must be"):
            fi_util(model, rows, V, w, out=tmp_path / "scores.npy", overwrite=True, **wrong)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == left


def test_rows_that_cannot_be_used_at_once_leave_nothing(data, tmp_path):
    model, X, y, V, w = data
    X[7] = np.inf
    with pytest.raises(ValueError, match="rows 0 to 9 of X: Input X contains infinity"):
        fi_util(model, in_blocks(ArrayRows(X, y), 10), V, w, out=tmp_path / "scores.npy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError, TypeError, OSError])
@pytest.mark.parametrize("first", [40, 190])  # in the pass of sums, in that of scores
def test_a_passing_error_of_the_rows_costs_only_the_rest(data, tmp_path, error, first):
    model, X, y, V, w = data
    reads = []

    def batches(fails):
        for a in range(0, len(X), 10):
            reads.append(a)
            if fails and len(reads) == first // 10:
                raise error("the line was cut off")
            yield X[a : a + 10], y[a : a + 10]

    def call(fails):
        rows = in_blocks(BatchRows(lambda: batches(fails)), 10)
        return fi_util(model, rows, V, w, out=tmp_path / "scores.npy")

    with pytest.raises(error, match="cut off"):
        call(True)
    state = json.loads((tmp_path / "scores.npy.progress.json").read_text("utf-8"))
    assert (state["next_row"] or 0) == max(first - len(X) - 20, 0)
    expected = fi_util(model, in_blocks(ArrayRows(X, y), 10), V, w)
    assert call(False).tobytes() == expected.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npy"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("scores.npy.part", lambda path: path.write_bytes(path.read_bytes()[:-100])),
        ("scores.npy.part", lambda path: path.write_bytes(path.read_bytes()[:20])),
        ("scores.npy.part", lambda path: path.write_bytes(b"")),
        (
            "scores.npy.part",
            lambda path: (
                np.save(path.with_name("x.npy"), np.zeros(3))
                or path.with_name("x.npy").replace(path)
            ),
        ),
        (
            "scores.npy.part",
            lambda path: path.write_bytes(
                path.read_bytes()[:160] + b"1" + path.read_bytes()[161:]
            ),
        ),
        *(
            (
                "scores.npy.progress.json",
                lambda path, c=changed: path.write_text(
                    json.dumps({**json.loads(path.read_text()), **c})
                ),
            )
            for changed in (
                {"next_row": 100},
                {"next_row": 20},
                {"next_row": "x"},
                {"crc32": 1},
                {"n_rows": 20},
                {"block_rows": None},
            )
        ),
    ],
)
def test_files_that_were_changed_are_refused(data, tmp_path, name, change):
    model, X, y, V, w = data
    rows = in_blocks(ArrayRows(X, y), 10)
    cut_off(lambda: fi_util(model, rows, V, w, out=tmp_path / "scores.npy"), after=5)
    change(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} was changed since|before read|\.part was"):
        fi_util(model, rows, V, w, out=tmp_path / "scores.npy")


def test_one_run_at_a_time_writes_a_file(data, tmp_path):
    model, X, y, V, w = data
    out = tmp_path / "scores.npy"
    calls = []

    def batches():
        calls.append(None)
        if len(calls) == 2:  # the first one is for the columns, before anything is written
            with pytest.raises(RuntimeError, match="being written by another run"):
                fi_util(model, ArrayRows(X, y), V, w, out=out, overwrite=True)
        yield X, y

    found = fi_util(model, BatchRows(batches), V, w, out=out, overwrite=True)
    assert len(calls) > 2
    assert found.tobytes() == fi_util(model, ArrayRows(X, y), V, w).tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npy"]


def test_an_old_result_stays_until_the_new_one_is_there(data, tmp_path):
    model, X, y, V, w = data
    rows = in_blocks(ArrayRows(X, y), 10)
    out = tmp_path / "scores.npy"
    old = fi_util(model, rows, V, w, out=out).tobytes()
    new = fi_util(model, rows, V, w, metric="mahalanobis").tobytes()

    def call():
        return fi_util(model, rows, V, w, metric="mahalanobis", out=out, overwrite=True)

    cut_off(call)
    assert np.load(out).tobytes() == old
    assert call().tobytes() == new


def test_what_is_beside_the_scores_is_not_trusted(data, tmp_path):
    model, X, y, V, w = data
    rows = in_blocks(ArrayRows(X, y), 10)
    out = tmp_path / "scores.npy"

    def call():
        return fi_util(model, rows, V, w, out=out)

    cut_off(call, "keep_sums", 4)
    sums = tmp_path / "scores.npy.progress.npz"
    whole = sums.read_bytes()
    sums.write_bytes(whole[:100])
    with pytest.raises(ValueError, match=r"scores.npy.progress.npz cannot be read .*Remove it"):
        call()
    np.savez(sums, run=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="cannot be read"):
        call()
    np.savez(sums, run="of another run")
    assert call().tobytes() == fi_util(model, rows, V, w).tobytes()
    cut_off(lambda: fi_util(model, rows, V, w, out=tmp_path / "more.npy"))
    state = tmp_path / "more.npy.progress.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "format": 0}))
    with pytest.raises(ValueError, match="another version of skfi"):
        fi_util(model, rows, V, w, out=tmp_path / "more.npy")


def test_a_function_without_a_name_is_refused(data, tmp_path):
    model, X, y, V, w = data
    loss = lambda y, log_proba: (-log_proba[:, 0], np.zeros_like(log_proba))  # noqa: E731
    with pytest.raises(
        TypeError, match="validation_loss must hold nothing that cannot be told"
    ):
        fi_util(model, ArrayRows(X, y), V, w, validation_loss=loss, out=tmp_path / "s.npy")
    assert not list(tmp_path.iterdir())


def test_a_trim_that_ended_after_its_scores_has_them(data, tmp_path, monkeypatch):
    _, X, y, V, w = data
    rows = in_blocks(ArrayRows(X, y), 10)
    out = tmp_path / "scores.npy"

    def stop(*args):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr("skfi.outofcore._trim.select_top", stop)
        with pytest.raises(Stop):
            trim(rows, V, w, budget=9, out=out)
    calls = stopping(monkeypatch, "scores", None)
    assert trim(rows, V, w, budget=9, out=out).n_trimmed_ == 9
    assert not calls
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npy"]


def test_a_full_disk_is_told(data, tmp_path, monkeypatch):
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("no way to ask for disk space")
    model, X, y, V, w = data

    def call(number):
        def refuse(*args):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_fallocate", refuse)
        return fi_util(model, ArrayRows(X, y), V, w, out=tmp_path / "scores.npy")

    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        call(errno.ENOSPC)
    assert not (tmp_path / "scores.npy.part").exists()
    assert call(errno.EINVAL).shape == (140,)  # a file system that cannot say
