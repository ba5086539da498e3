"""Cost of fi_util beside the fit it scores, and its memory beside the limit.

Run ``make bench``. Fit, scores and floor are timed in turn in one process with the same
threads: once from rest (a pause before each, so that no thread pool is still spinning)
and once back to back. Ratios are of medians. The floor is the two products with d×d
matrices that exact scores cannot avoid (Hessian, and its inverse on every row), timed in
the same run in blocks.
"""

from __future__ import annotations

import platform
import time
import tracemalloc
import warnings

import numpy as np
import scipy
import sklearn
from sklearn import config_context
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info

from skfi import fi_util
from skfi._utils._chunks import row_blocks

REPEATS = 9


def data(kind: str, n: int, d: int, n_classes: int, seed: int = 0):
    """Training and validation rows: easy to fit (few iterations) or usual."""
    rng = np.random.default_rng(seed)
    if kind == "make_classification":
        X, y = make_classification(
            n + 5000, d, n_informative=20, n_classes=n_classes, flip_y=0.1, random_state=seed
        )
    else:  # independent columns: lbfgs needs the fewest iterations
        X = rng.standard_normal((n + 5000, d))
        W = rng.standard_normal((d, n_classes)) / np.sqrt(d)
        y = (X @ W + rng.gumbel(size=(len(X), n_classes))).argmax(axis=1)
    return X[:n], y[:n], X[n:], y[n:]


def floor(X: np.ndarray, block: int = 1000) -> None:
    """The two products: XᵀX and X times a d×d matrix, in blocks."""
    H = np.zeros((X.shape[1], X.shape[1]))
    for rows in row_blocks(len(X), block):
        H += X[rows].T @ X[rows]
    for rows in row_blocks(len(X), block):
        X[rows] @ H


def seconds(call) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(calls: dict, pause: float) -> dict[str, float]:
    """Median seconds of each call, all of them in turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(REPEATS + 1):
        for name, call in calls.items():
            time.sleep(pause)
            elapsed = seconds(call)
            if repeat:  # the first is a warm-up
                times[name].append(elapsed)
    return {name: float(np.median(values)) for name, values in times.items()}


def compare(kind: str, n: int, d: int, n_classes: int) -> None:
    """One line of the table."""
    X, y, X_val, y_val = data(kind, n, d, n_classes)
    model = LogisticRegression().fit(X, y)
    calls = {
        "fit": lambda: LogisticRegression().fit(X, y),
        "fi": lambda: fi_util(model, X, y, X_val, y_val),
        "floor": lambda: floor(X),
    }
    rest, straight = (measure(calls, pause) for pause in (0.25, 0.0))
    with config_context(working_memory=64):
        tracemalloc.start()
        calls["fi"]()
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
    print(
        f"{kind:<20} {n:>7} × {d:<4} {n_classes:>3}   {int(model.n_iter_[0]):>4}   "
        f"{1e3 * rest['fit']:>6.0f}   {rest['fi'] / rest['fit']:>5.2f}   "
        f"{straight['fi'] / straight['fit']:>12.2f}   {rest['fi'] / rest['floor']:>8.1f}   "
        f"{peak:>5.1f}"
    )


def main() -> None:
    """Print the table and what it was run on."""
    warnings.simplefilter("ignore")  # convergence of the fit is not what is timed
    print(
        "data                    rows × cols   K   iter   fit ms  fi/fit   back to back   "
        "fi/floor   MiB (limit 64)"
    )
    for kind in ("independent columns", "make_classification"):
        compare(kind, 30_000, 100, 2)
    compare("make_classification", 30_000, 100, 3)
    compare("make_classification", 30_000, 100, 10)
    threads = {pool["user_api"]: pool["num_threads"] for pool in threadpool_info()}
    print(
        f"\n{REPEATS} repeats, seed 0; Python {platform.python_version()}, numpy "
        f"{np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}; "
        f"{platform.machine()}, threads {threads}"
    )


if __name__ == "__main__":
    main()
