"""What covering the pool costs: time beside ``selection="diverse"``, and memory.

Times a query of a pool of 2,000 (digits and made data) with both selections in turn; measures
the memory of one query of a pool of ``--rows`` rows beside the pool itself; and compares the
coverage that a batch reaches when only a sample of the pool is looked at with that of a batch
for the whole pool.
"""

from __future__ import annotations

import argparse
import platform
import time
import tracemalloc
from unittest import mock

import numpy as np
import sklearn
from sklearn.datasets import load_digits, make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skfi import FIActiveSampler
from skfi.queries import _cover

REPEATS = 9
LIMIT_RATIO, LIMIT_BYTES = 3.0, 2**30


def fitted(X, y, **settings) -> FIActiveSampler:
    model = FrozenEstimator(LogisticRegression(max_iter=2000).fit(X, y))
    return FIActiveSampler(model, random_state=0, **settings).fit(X, y)


def times() -> list[float]:
    """Seconds of fit and query with both selections, and their ratio."""
    ratios = []
    X, y = load_digits(return_X_y=True)
    digits = StandardScaler().fit_transform(X), y
    made = make_classification(2200, 40, n_informative=20, n_classes=2, random_state=0)
    for name, (X, y) in {"digits": digits, "2 classes, 40 columns": made}.items():
        for batch in (5, 20, 50):
            seconds: dict[str, list[float]] = {"cover": [], "diverse": []}
            model = FrozenEstimator(LogisticRegression(max_iter=2000).fit(X[:200], y[:200]))
            for _ in range(REPEATS):
                for selection, spent in seconds.items():
                    sampler = FIActiveSampler(model, selection=selection, batch_size=batch)
                    start = time.perf_counter()
                    sampler.fit(X[:200], y[:200]).query(X[200:2200])
                    spent.append(time.perf_counter() - start)
            cover, diverse = (np.median(spent) for spent in seconds.values())
            ratios.append(cover / diverse)
            print(
                f"{name}, pool of {len(X[200:2200])}, batch of {batch}: cover {cover:.3f} s, "
                f"diverse {diverse:.3f} s, {cover / diverse:.2f} ×"
            )
    return ratios


def memory(n_rows: int) -> int:
    """Most bytes that one query of a large pool takes beside the pool."""
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(n_rows, 20))
    y = (pool[:300, :3].sum(axis=1) > 0) + (pool[:300, 3] > 1)
    sampler = fitted(pool[:300], y, batch_size=50)
    tracemalloc.start()
    start = time.perf_counter()
    asked = sampler.query(pool)
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"pool of {n_rows:,} × 20, batch of {len(asked)}: {peak / 2**20:.0f} MiB beside the "
        f"pool's {pool.nbytes / 2**20:.0f}, {seconds:.1f} s"
    )
    return peak


def sampling() -> None:
    """Coverage of the whole pool by batches for samples of it."""
    X, y = make_classification(
        40_200, 20, n_informative=10, n_redundant=0, n_classes=5, random_state=0
    )
    sampler = fitted(X[:200], y[:200], batch_size=20)
    pool = X[200:]
    p = np.sort(sampler.estimator_.predict_proba(pool), axis=1)
    best = np.argsort(-sampler.score_samples(pool))[:100]
    place = {row: i for i, row in enumerate(best)}
    scale = pool.std(axis=0)
    kernel, covered, weight = _cover.cover_kernel(
        pool[best] / scale,
        X[:200] / scale,
        [(pool / scale, 1 - (p[:, -1] - p[:, -2]))],
        len(pool),
    )

    def coverage(chosen) -> float:
        return float(weight @ np.maximum(kernel[chosen].max(axis=0) - covered, 0.0))

    whole = coverage(_cover.greedy_cover(kernel, covered, weight, 20))
    for size in (1_000, 5_000, 20_000):
        shares = []
        with mock.patch.object(_cover, "n_witnesses", lambda *_, n=size: n):
            for seed in range(5):
                asked = sampler.set_params(random_state=seed).query(pool)
                shares.append(coverage([place[row] for row in asked]) / whole)
        print(
            f"a sample of {size:,} of {len(pool):,} rows: {np.mean(shares):.1%} of the coverage"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    ratio = max(times())
    peak = memory(args.rows)
    sampling()
    print(
        f"medians of {REPEATS}; scikit-learn {sklearn.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}, {platform.machine()}"
    )
    if ratio > LIMIT_RATIO or peak > LIMIT_BYTES:
        raise SystemExit(f"over the limits: {ratio:.2f} × the time, {peak:,} bytes")


if __name__ == "__main__":
    main()
