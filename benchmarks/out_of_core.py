"""Scores and a trim of rows that do not fit into memory, beside one plain read of their file.

``python benchmarks/out_of_core.py`` writes a memory map of 10,000,000 rows of 50 doubles (4 GB)
into a folder that it removes again, and with ``--parquet`` the same rows as Parquet. For each
kind of file it prints what a plain read of all its bytes takes, what a fit, the scores and a
trim take, and the most memory of the process's own. Pages of a mapped file are the system's
block cache, which gives them up when they are wanted: they are not counted (RssAnon).

Rows are read from the cache where it has room for the file; the read is in the same state, as
each is timed directly before what it stands beside.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import scipy
import sklearn
from sklearn import config_context
from threadpoolctl import threadpool_info

import skfi
from skfi.outofcore import ArrayRows, ParquetRows, fi_util, fit_logistic, select_top, trim

CHUNK = 50_000
GROUP = 200_000


def write(folder: Path, n: int, d: int, parquet: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a tenth of wrong labels, and validation rows; the files under a folder."""
    rng = np.random.default_rng(0)
    beta = rng.normal(size=d) / np.sqrt(d)

    def labelled(rows: int):
        X = rng.standard_normal((rows, d))
        return X, (X @ beta * 3 + rng.logistic(size=rows) > 0).astype(np.int8)

    kept = np.lib.format.open_memmap(folder / "X.npy", "w+", dtype=np.float64, shape=(n, d))
    y = np.empty(n, dtype=np.int8)
    for start in range(0, n, CHUNK):
        part = slice(start, min(start + CHUNK, n))
        kept[part], y[part] = labelled(part.stop - part.start)
    y ^= rng.random(n) < 0.1
    np.save(folder / "y.npy", y)
    kept.flush()
    if parquet:
        write_parquet(folder / "rows.parquet", kept, y)
    del kept
    return labelled(2000)


def write_parquet(path: Path, X: np.ndarray, y: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"x{j}" for j in range(X.shape[1])]
    fields = [*((name, pa.float64()) for name in names), ("label", pa.int8())]
    schema = pa.schema(fields)
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for start in range(0, len(y), GROUP):
            block = np.ascontiguousarray(X[start : start + GROUP].T)
            writer.write_table(pa.table([*block, y[start : start + GROUP]], schema=schema))


def read(path: Path) -> float:
    """Seconds of a plain read of all bytes."""
    buffer = bytearray(8 * 2**20)
    start = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.perf_counter() - start


def own_memory() -> float:
    """MiB that are the process's own, and not a file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return float("nan")


def measured(call):
    """Result, seconds, and the most memory meanwhile (MiB)."""
    most, done = [own_memory()], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        result = call()
        return result, time.perf_counter() - start, most[0]
    finally:
        done.set()
        watcher.join()


def run(name: str, rows, path: Path, folder: Path, held_out, budget: float) -> None:
    size = path.stat().st_size / 1e9
    print(f"\n{name}: {rows.n_rows:,} rows of {rows.n_features}, {size:.2f} GB")
    out = folder / "scores.npy"
    seconds = read(path)
    model, fit, fit_memory = measured(lambda: fit_logistic(rows))
    passes = int(model.n_iter_[0])
    report(f"fit, {passes} steps", fit, seconds, fit_memory)
    seconds = read(path)
    scores, score, memory = measured(
        lambda: fi_util(model, rows, *held_out, metric="mahalanobis", out=out, overwrite=True)
    )
    report("scores, 2 passes", score, seconds, memory)
    _, selection, memory = measured(lambda: select_top(scores, budget))
    report(f"the highest {budget:.0%}", selection, seconds, memory)
    seconds = read(path)
    trimmed, trimming, memory = measured(
        lambda: trim(rows, *held_out, budget=budget, out=out, overwrite=True)
    )
    report(f"trim, {trimmed.n_trimmed_:,} rows", trimming, seconds, memory)


def report(what: str, seconds: float, plain: float, memory: float) -> None:
    print(
        f"  {what:<24} {seconds:8.1f} s   one read {plain:6.1f} s   "
        f"{seconds / plain:6.1f} reads   {memory:7.0f} MiB of its own"
    )


def describe(limit: float) -> None:
    print(
        f"skfi {skfi.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, Python {platform.python_version()}"
    )
    threads = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, BLAS threads "
        f"{sorted(threads)}, {memory:.0f} GiB of memory; working_memory={limit:g} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--budget", type=float, default=0.05)
    parser.add_argument("--parquet", action="store_true", help="the same rows as Parquet, too")
    parser.add_argument("--working-memory", type=float, default=128.0, help="MiB")
    parser.add_argument(
        "--folder", type=Path, help="where the files go; by default a temporary one"
    )
    given = parser.parse_args()
    size = given.rows * given.columns * 8 * (2.2 if given.parquet else 1.1)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if free < size:
            parser.error(
                f"{size / 1e9:.1f} GB are needed in {folder.parent}, {free / 1e9:.1f} free"
            )
        describe(given.working_memory)
        print(f"{own_memory():.0f} MiB of its own before anything is done")
        held_out = write(folder, given.rows, given.columns, given.parquet)
        with config_context(working_memory=given.working_memory):
            y = np.load(folder / "y.npy", mmap_mode="r")
            mapped = ArrayRows(np.load(folder / "X.npy", mmap_mode="r"), y)
            run("Memory map", mapped, folder / "X.npy", folder, held_out, given.budget)
            if given.parquet:
                path = folder / "rows.parquet"
                rows = ParquetRows(path, target="label")
                run("Parquet", rows, path, folder, held_out, given.budget)


if __name__ == "__main__":
    main()
