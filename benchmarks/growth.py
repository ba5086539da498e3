"""How seconds and memory grow with rows, columns, classes and the pool.

    make bench-growth

Each series doubles one size. The exponent is the least-squares slope of log seconds on log
size over its three largest; the shortest of five calls counts, all sizes in turn. Memory is
the peak of what Python and NumPy allocate beside the result, from rows on disk.
"""

from __future__ import annotations

import platform
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn import config_context
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info

import skfi
from skfi import fi_active, fi_util

REPEATS = 5


def shortest(calls: dict) -> dict:
    """Shortest seconds of each call, in turn."""
    found = dict.fromkeys(calls, np.inf)
    for _ in range(REPEATS):
        for size, call in calls.items():
            start = time.perf_counter()
            call()
            found[size] = min(found[size], time.perf_counter() - start)
    return found


def tell(name: str, seconds: dict, memory: dict | None = None) -> None:
    """A row of the table."""
    sizes, spent = np.array(list(seconds)), np.array(list(seconds.values()))
    slope = np.polyfit(np.log(sizes[-3:]), np.log(spent[-3:]), 1)[0]
    told = ", ".join(f"{size:,}: {s:.3g}" for size, s in seconds.items())
    peaks = "" if memory is None else ", ".join(f"{m:.1f}" for m in memory.values())
    print(f"| {name} | {told} | {slope:.2f} | {peaks} |", flush=True)


def peak(call) -> float:
    """MiB at the peak of a call beside its result."""
    tracemalloc.start()
    result = call()
    highest = tracemalloc.get_traced_memory()[1] - result.nbytes
    tracemalloc.stop()
    return highest / 2**20


def data(n: int, d: int, n_classes: int = 2):
    X, y = make_classification(
        n, d, n_informative=min(d, 20), n_redundant=0, n_classes=n_classes, class_sep=0.7,
        random_state=0,
    )  # fmt: skip
    return X, y


def training(sizes, shape) -> dict:
    """`fi_util` of rows of each size, with 1,000 validation rows."""
    calls = {}
    for size in sizes:
        n, d, n_classes = shape(size)
        X, y = data(n + 1000, d, n_classes)
        model = LogisticRegression().fit(X[:5000], y[:5000])
        rows = X[:n], y[:n], X[n:], y[n:]
        calls[size] = lambda model=model, rows=rows: fi_util(model, *rows)
    return calls


def pools(sizes, aggregate: str) -> dict:
    """`fi_active` of pools of each size, 500 labelled rows of 50 columns, five classes."""
    X, y = data(500 + max(sizes), 50, 5)
    labelled, pool = (X[:500], y[:500]), X[500:]
    model = LogisticRegression().fit(*labelled)
    return {
        size: lambda size=size: fi_active(model, *labelled, pool[:size], aggregate=aggregate)
        for size in sizes
    }


def mapped(sizes, folder: Path) -> dict:
    """Peak memory of `fi_util` on rows that lie on disk."""
    found = {}
    for size in sizes:
        X, y = data(size + 1000, 50)
        path = folder / f"{size}.npy"
        np.save(path, X[:size])
        model = LogisticRegression().fit(X[:5000], y[:5000])
        rows, labels = np.load(path, mmap_mode="r"), y[:size]
        V, w = X[size:].copy(), y[size:]
        del X
        found[size] = peak(lambda a=(model, rows, labels, V, w): fi_util(*a))
    return found


def main() -> None:
    warnings.simplefilter("ignore")  # convergence is not what is timed
    print("| | size: seconds | exponent | peak MiB, from a memory map |")
    print("| --- | --- | --- | --- |")
    rows = (80_000, 160_000, 320_000, 640_000)
    with tempfile.TemporaryDirectory() as folder, config_context(working_memory=64):
        memory = mapped(rows, Path(folder))
    tell(
        "training rows n (50 columns)",
        shortest(training(rows, lambda n: (n, 50, 2))),
        memory,
    )
    columns = (100, 200, 400, 800)
    tell(
        "columns d (10,000 rows)",
        shortest(training(columns, lambda d: (10_000, d, 2))),
    )
    classes = (4, 8, 16, 32)
    tell(
        "classes K (4,000 rows, 20 columns)",
        shortest(training(classes, lambda K: (4_000, 20, K))),
    )
    pool = (80_000, 160_000, 320_000, 640_000)
    tell("pool U, mean", shortest(pools(pool, "mean")))
    tell("pool U, trimmed mean", shortest(pools((10_000, 20_000, 40_000), "trimmed_mean")))
    threads = {info["user_api"]: info["num_threads"] for info in threadpool_info()}
    print(f"\nShortest of {REPEATS}, seed 0; skfi {skfi.__version__}, ", end="")
    print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, ", end="")
    print(f"{platform.machine()}, threads {threads}.")


if __name__ == "__main__":
    main()
