"""Memory stays where working_memory has it, however many rows there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Of its own process, as what it holds is measured. What is mapped is the file system's and is
# given back when it is wanted; what is anonymous is the process's own.
SCRIPT = """
import json, sys, threading, time, tracemalloc
from pathlib import Path
import numpy as np
from sklearn import config_context
from skfi.outofcore import ArrayRows, ParquetRows, fi_util, select_top, trim

folder, kind = Path(sys.argv[1]), sys.argv[2]
n, d = 200_000, 40
rng = np.random.default_rng(0)
kept = np.lib.format.open_memmap(folder / "X.npy", "w+", dtype=np.float64, shape=(n, d))
y = np.zeros(n, dtype=np.int64)
for start in range(0, n, 20_000):
    block = rng.normal(size=(20_000, d))
    kept[start : start + 20_000] = block
    y[start : start + 20_000] = block[:, 0] + rng.normal(size=20_000) > 0
V = rng.normal(size=(200, d))
w = (V[:, 0] > 0).astype(int)
kept.flush()
del kept, block
if kind == "parquet":
    import pyarrow as pa, pyarrow.parquet as pq
    X = np.load(folder / "X.npy", mmap_mode="r")
    names = [f"x{j}" for j in range(d)]
    schema = pa.schema([*((name, pa.float64()) for name in names), ("label", pa.int64())])
    with pq.ParquetWriter(folder / "t.parquet", schema, use_dictionary=False) as writer:
        for start in range(0, n, 100_000):
            part = slice(start, start + 100_000)
            columns = [*(np.ascontiguousarray(X[part, j]) for j in range(d)), y[part]]
            writer.write_table(pa.table(columns, schema=schema))
    del X, columns
    pa.default_memory_pool().release_unused()

def source():
    if kind == "parquet":
        return ParquetRows(folder / "t.parquet", target="label")
    return ArrayRows(np.load(folder / "X.npy", mmap_mode="r"), y)

def own():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0

with config_context(working_memory=8):
    # What is loaded once, and is no matter of the rows.
    few = rng.normal(size=(2000, d))
    trim(ArrayRows(few, few[:, 0] > 0), V, w, budget=9)
    before, most, done = own(), [0.0], threading.Event()
    def watch():
        while not done.wait(0.005):
            most[0] = max(most[0], own())
    thread = threading.Thread(target=watch)
    thread.start()
    trimmed = trim(source(), V, w, budget=1000, out=folder / "a.npy")
    done.set()
    thread.join()
    tracemalloc.start()
    scores = fi_util(
        trimmed.full_estimator_, source(), V, w, metric="mahalanobis", out=folder / "b.npy"
    )
    select_top(scores, 1000)
    traced = tracemalloc.get_traced_memory()[1] / 2**20
print(json.dumps({"traced": traced, "own": most[0] - before, "file": n * d * 8 / 2**20}))
"""


@pytest.mark.parametrize("kind", ["memmap", "parquet"])
def test_memory_is_bounded(kind, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), kind],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # each thread has buffers of its own
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert found["file"] > 60
    assert found["traced"] < 8
    if Path("/proc/self/status").exists():  # pyarrow's pages come to some 25 MiB
        assert found["own"] < (16 if kind == "memmap" else 45)
