"""The rows of out_of_core.py once more, on two workers of Dask, each of one thread.

    python benchmarks/dask_large.py

Each chunk maps its rows from the file where it is computed, as chunks on many machines would
read their own. Memory is each worker's own (RssAnon), at its most while something ran.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import sklearn
from dask.distributed import Client, LocalCluster
from out_of_core import own_memory, read, write

import skfi
from skfi.integrations.dask import fi_util, fit_logistic, select_top, trim

CHUNK = 200_000


def load(path: str, block_info=None) -> np.ndarray:
    """A chunk's rows, mapped from the file."""
    (start, stop), *_ = block_info[None]["array-location"]
    return np.load(path, mmap_mode="r")[start:stop]


def chunks_of(path: Path) -> da.Array:
    """The array in a file, which no task carries with it."""
    whole = np.load(path, mmap_mode="r")
    n, *others = whole.shape
    sizes = (tuple(min(CHUNK, n - start) for start in range(0, n, CHUNK)), *others)
    return da.map_blocks(load, str(path), chunks=sizes, dtype=whole.dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--budget", type=float, default=0.05)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        held_out = write(folder, args.rows, args.columns, False)
        file = folder / "X.npy"
        X, y = chunks_of(file), chunks_of(folder / "y.npy")
        cluster = LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, memory_limit="2GiB",
            dashboard_address=":0", local_directory=name,
        )  # fmt: skip
        with cluster, Client(cluster) as client:
            versions = {"skfi": skfi, "dask": dask, "scikit-learn": sklearn, "numpy": np}
            told = ", ".join(
                f"{name} {module.__version__}" for name, module in versions.items()
            )
            print(f"{told}, {platform.machine()}; two workers of one thread, ", end="")
            print(f"{args.rows:,} rows of {args.columns}, {CHUNK:,} a chunk")
            model = fit_logistic(X, y)
            scores = fi_util(model, X, y, *held_out, metric="mahalanobis")
            calls = {
                "fit": lambda: fit_logistic(X, y),
                "scores, 2 passes": lambda: da.sum(
                    fi_util(model, X, y, *held_out, metric="mahalanobis")
                ).compute(),
                "the highest, scores computed four times": lambda: da.sum(
                    select_top(scores, args.budget)
                ).compute(),
                "trim": lambda: trim(X, y, *held_out, budget=args.budget),
            }
            for what, call in calls.items():
                plain = read(file)
                start = time.perf_counter()
                call()
                spent = time.perf_counter() - start
                most = max(client.run(own_memory).values())
                print(
                    f"  {what:<40} {spent:8.1f} s   one read {plain:5.1f} s   "
                    f"{most:6.0f} MiB of a worker's own after it",
                    flush=True,
                )


if __name__ == "__main__":
    main()
