"""What 10⁹ rows would take: passes, bytes, core hours, memory and network, from measured rows.

    make plan

The cost of a row in each pass is measured here, on a block of rows of the real width, with
one thread; everything else is counted. Nothing of this size was run.
"""

from __future__ import annotations

import platform
import time
import warnings
from functools import partial

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import skfi
from skfi import fi_active
from skfi.bridge import bridge
from skfi.passes import make_scorer
from skfi.passes._totals import sum_rows

ROWS, COLUMNS, BLOCK, VALIDATION = 10**9, 1_000, 8_192, 10_000
NEWTON = 7  # passes of the fit: six steps and the last look, as in tests and examples
WORKERS, CORES = 100, 16


def seconds(call, repeats: int = 3) -> float:
    """Shortest of some calls."""
    found = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        found = min(found, time.perf_counter() - start)
    return found


def main() -> None:
    warnings.simplefilter("ignore")  # the block is not what the model converges on
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2 * BLOCK, COLUMNS)).astype(np.float32)
    y = (X[:, :20].sum(axis=1) + 4 * rng.standard_normal(len(X)) > 0).astype(int)
    rows, held_out = (X[:BLOCK], y[:BLOCK]), (X[BLOCK:], y[BLOCK:])
    with threadpool_limits(1):
        model = LogisticRegression(C=1e-3).fit(*rows)
        read = bridge(model)
        one = partial(sum_rows, read, read.make_model(1))
        scorer = make_scorer(
            lambda part: part(*rows, None), model, *held_out, metric="mahalanobis"
        )
        look = np.zeros(1)

        def plain() -> None:
            look[0] = X[:BLOCK].sum(dtype=np.float32)

        cost = {
            "read a row in memory once": seconds(plain) / BLOCK,
            "a Newton pass": seconds(lambda: one(False, *rows, None)) / BLOCK,
            "the curvature, with the covariance": seconds(lambda: one(True, *rows, None))
            / BLOCK,
            "scores": seconds(lambda: scorer(*rows, None)) / BLOCK,
            "a pool row, mean": seconds(
                lambda: fi_active(model, *rows, held_out[0], aggregate="mean"), 1
            )
            / len(held_out[0]),
        }
    print("| | µs a row, one core |\n| --- | --- |")
    for name, value in cost.items():
        print(f"| {name} | {1e6 * value:.2f} |")
    gib, passes = 4 * ROWS * COLUMNS / 2**30, NEWTON + 2
    train = (
        NEWTON * cost["a Newton pass"]
        + cost["the curvature, with the covariance"]
        + cost["scores"]
    )
    matrix = 8 * (COLUMNS + 1) ** 2 / 2**20
    hours = ROWS * train / 3600
    print(f"\n| {ROWS:.0e} rows × {COLUMNS:,}, two classes, float32 | |\n| --- | --- |")
    print(
        f"| the rows | {gib:,.0f} GiB, {gib / WORKERS:.1f} GiB on each of {WORKERS} workers |"
    )
    print(f"| passes: fit, curvature, scores | {NEWTON} + 1 + 1 |")
    print(f"| bytes read, if nothing is kept | {passes * gib / 1024:,.1f} TiB |")
    print(f"| core hours | {hours:,.0f} |")
    print(f"| on {WORKERS} × {CORES} cores | {hours / WORKERS / CORES:.1f} hours |")
    print(f"| memory of a worker beside its rows | {6 * matrix:,.0f} MiB and blocks, a core |")
    sent = passes * WORKERS * matrix / 1024
    print(f"| over the network: sums up, coefficients down | {sent:,.1f} GiB in all |")
    print(f"| scores | {8 * ROWS / 2**30:.1f} GiB, where the rows are |")
    selected = 8 * 8 * 0.01 * ROWS / 2**20
    print(f"| selection of 1 %, of one worker at a time | {selected:,.0f} MiB |")
    pool = ROWS * cost["a pool row, mean"] / 3600
    print(f"| a pool of {ROWS:.0e}, mean over labelled rows | {pool:,.0f} core hours |")
    print(f"\nskfi {skfi.__version__}, scikit-learn {sklearn.__version__}, ", end="")
    print(f"numpy {np.__version__}, {platform.machine()}; blocks of {BLOCK:,} rows, seed 0.")


if __name__ == "__main__":
    main()
