"""What a query of FI costs beside the fit it needs, where columns or classes are many.

    OMP_NUM_THREADS=1 python benchmarks/query_fit.py

A pool of 2,000 rows; 100 classes of 20 columns with 300 labels, 80 texts of 4,000 terms, and 80
texts of four classes and 2,000 terms. Fit and query (pairing the labelled rows, scores of the
pool, the batch) are timed in turn in processor seconds (of one thread: several spin beside
other work), and ratios are of medians. A fit of
texts counts as 50 ms at least: less is the cost of calling it. The command fails where a ratio
exceeds its limit.
"""

from __future__ import annotations

import argparse
import platform
import warnings
from statistics import median
from time import process_time

import numpy as np
import sklearn
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_info

import skfi
from skfi import FIActiveSampler

POOL, BATCH = 2_000, 20
WORDS = 80  # of a text


def clouds(n_labelled: int, n_columns: int, n_classes: int):
    """Classes that overlap, each of them among the labelled rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_labelled + POOL, n_columns))
    scores = X @ rng.standard_normal((n_columns, n_classes)) * 3 / np.sqrt(n_columns)
    y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X[:n_labelled], y[:n_labelled], X[n_labelled:]


def texts(n_labelled: int, n_columns: int, n_classes: int):
    """Words by Zipf's law, half of them in an order that the class has to itself."""
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, n_columns + 1)
    share /= share.sum()
    n = n_labelled + POOL
    y = rng.integers(n_classes, size=n)
    y[:n_classes] = np.arange(n_classes)
    orders = np.stack([rng.permutation(n_columns) for _ in range(n_classes)])
    common, own = rng.choice(n_columns, (2, n, WORDS), p=share)
    words = np.where(rng.random((n, WORDS)) < 0.5, common, orders[y[:, None], own])
    rows = np.repeat(np.arange(n), WORDS)
    counts = sparse.coo_array((np.ones(words.size), (rows, words.ravel())), (n, n_columns))
    X = normalize(sparse.csr_array(counts))
    return X[:n_labelled], y[:n_labelled], X[n_labelled:]


# Data, its sizes, the least seconds of a fit, and the limit of the ratio.
CASES = (
    (clouds, 300, 20, 100, 0.0, 6.0),
    (texts, 80, 4_000, 2, 0.05, 20.0),
    (texts, 80, 2_000, 4, 0.05, 20.0),
)


def seconds(call) -> float:
    """Processor time of a call."""
    start = process_time()
    call()
    return process_time() - start


def measure(make, n_labelled, n_columns, n_classes, least, limit, repeats) -> tuple[str, bool]:
    """A line of the table, and whether the ratio is within its limit."""
    X, y, pool = make(n_labelled, n_columns, n_classes)
    model = LogisticRegression().fit(X, y)
    sampler = FIActiveSampler(FrozenEstimator(model), batch_size=BATCH, random_state=0)
    fits, queries = [], []
    for repeat in range(repeats + 1):
        fit = seconds(lambda: LogisticRegression().fit(X, y))
        query = seconds(lambda: sampler.fit(X, y).query(pool))
        if repeat:  # the first is a warm-up
            fits.append(fit)
            queries.append(query)
    fit, query = median(fits), median(queries)
    ratio = query / max(fit, least)
    kind = sampler.influence_details_.curvature
    line = (
        f"{make.__name__:<8} {n_labelled:>4} × {n_columns:<5,} {n_classes:>3}   {kind:<6} "
        f"{1e3 * fit:>7.1f} {1e3 * query:>9.1f} {ratio:>7.1f} {limit:>6.0f}"
    )
    return line, ratio <= limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print("data     labels × cols    K   H       fit ms  query ms   ratio  limit")
    within = True
    for case in CASES:
        line, good = measure(*case, args.repeats)
        within &= good
        print(line + ("" if good else "   OVER"), flush=True)
    threads = {pool["user_api"]: pool["num_threads"] for pool in threadpool_info()}
    print(
        f"\nPool of {POOL:,}, batches of {BATCH}, medians of {args.repeats}, seed 0; skfi "
        f"{skfi.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}, "
        f"{platform.machine()}, threads {threads}"
    )
    if not within:
        raise SystemExit("A query costs more than its limit.")


if __name__ == "__main__":
    main()
