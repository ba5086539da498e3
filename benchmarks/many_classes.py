"""FI by K-FAC as classes become many: seconds beside the fit, memory, and the exact order.

    make bench-classes
    python benchmarks/many_classes.py --rows 2000 --columns 2000 --classes 1000

Each class is a cloud about a centre of its own, a tenth of the labels are wrong. All training
rows are scored against 1,000 validation rows. Memory is the peak of what Python and NumPy
allocate in the call, of a second call on fewer rows where classes are many; exact scores are
computed up to 30 classes.
"""

from __future__ import annotations

import argparse
import platform
import tracemalloc
import warnings
from time import perf_counter

import numpy as np
import scipy
import sklearn
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info

import skfi
from skfi import fi_util

WRONG = 0.1
MOST_EXACT = 30  # classes
TRACED_ROWS = 1000


def clouds(n_rows: int, n_columns: int, n_classes: int, seed: int = 0):
    """Rows (n_rows, n_columns) and labels, of which every class has some."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % n_classes
    # Centres as far apart as is needed to tell most classes from all others.
    centres = rng.standard_normal((n_classes, n_columns)) * np.sqrt(20 / n_columns)
    X = centres[y] + rng.standard_normal((n_rows, n_columns))
    wrong = n_classes + np.flatnonzero(rng.random(n_rows - n_classes) < WRONG)
    y[wrong] = rng.permutation(y[wrong])
    return X, y


def timed(call):
    """What a call returns, and its seconds."""
    start = perf_counter()
    result = call()
    return result, perf_counter() - start


def peak(call) -> float:
    """MiB at the peak of a call."""
    tracemalloc.start()
    call()
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest / 2**20


def measure(n_rows: int, n_columns: int, n_classes: int, n_val: int) -> str:
    """A line of the table."""
    X, y = clouds(n_rows + n_val, n_columns, n_classes)
    train, held_out = (X[:n_rows], y[:n_rows]), (X[n_rows:], y[n_rows:])
    model, fit = timed(lambda: LogisticRegression(max_iter=1000, tol=1e-6).fit(*train))
    scores, seconds = timed(lambda: fi_util(model, *train, *held_out, curvature="kfac"))
    assert np.isfinite(scores).all()
    few = min(n_rows, TRACED_ROWS if n_classes > MOST_EXACT else n_rows)
    part = X[:few], y[:few]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a part is not what was fitted
        memory = peak(lambda: fi_util(model, *part, *held_out, curvature="kfac"))
    exact = rank = ""
    if n_classes <= MOST_EXACT:
        whole, spent = timed(lambda: fi_util(model, *train, *held_out, curvature="exact"))
        exact, rank = f"{spent:.2f}", f"{spearmanr(scores, whole).statistic:.3f}"
    numbers = f"{fit:.2f} | {seconds:.2f} | {seconds / fit:.2f} | {memory:.0f}"
    return f"| {n_classes:,} | {numbers} | {exact} | {rank} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--validation-rows", type=int, default=1000)
    args = parser.parse_args()
    print("| K | fit s | kfac s | kfac / fit | peak MiB | exact s | Spearman with exact |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for n_classes in args.classes:
        sizes = args.rows, args.columns, n_classes, args.validation_rows
        print(measure(*sizes), flush=True)
    threads = max(pool["num_threads"] for pool in threadpool_info())
    print(
        f"\n{args.rows:,} × {args.columns:,}, seed 0, {threads} threads; skfi "
        f"{skfi.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, {platform.machine()}."
    )


if __name__ == "__main__":
    main()
