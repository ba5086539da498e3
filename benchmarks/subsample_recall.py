"""The paper's forest on ranks (Algorithm 4), beside exact scores and plain sub-sampling.

Run ``make bench-subsample``. A share p of the pool is scored and a random forest predicts the
ranks of all rows; or the top is taken among the scored rows alone; or every row is scored, in
closed form. What counts is the recall of the true top N: rank correlation over the whole pool
says little of its end. All three are timed in turn in one process. Digits; with ``SKFI_DATA``
also Adult.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings

import numpy as np
import sklearn
from scipy.stats import spearmanr
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from study_data import LOADERS, available

from skfi import FIActiveSampler

PAPER = {
    "utility": "fi", "selection": "top", "aggregate": "trimmed_mean",
    "validation_loss": "log_loss", "curvature": "kfac",
}  # fmt: skip


def compare(X, y, seed: int, share: float, top: int, n: int = 100, pool: int = 1500):
    """Recall, rank correlation and seconds of the three."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    X = StandardScaler().fit_transform(X[order[: n + pool]])
    y = y[order[: n + pool]]
    model = LogisticRegression(max_iter=1000).fit(X[:n], y[:n])
    frozen = FrozenEstimator(model)
    found = {}
    exact = FIActiveSampler(frozen, **PAPER, random_state=seed)
    forest = FIActiveSampler(frozen, **PAPER, subsample=share, random_state=seed)
    drawn = np.flatnonzero(rng.random(pool) < share)
    for name, sampler, rows in (
        ("every row, in closed form", exact, np.arange(pool)),
        ("forest on the ranks of a share", forest, np.arange(pool)),
        ("the share alone", exact, drawn),
    ):
        start = time.perf_counter()
        sampler.fit(X[:n], y[:n])
        scores = sampler.score_samples(X[n:][rows])
        seconds = time.perf_counter() - start
        whole = np.full(pool, -np.inf)
        whole[rows] = scores
        found[name] = whole, seconds
    truth = found["every row, in closed form"][0]
    best = set(np.argsort(-truth)[:top])
    out = {}
    for name, (scores, seconds) in found.items():
        recall = len(best & set(np.argsort(-scores)[:top])) / top
        known = np.isfinite(scores)
        out[name] = recall, float(spearmanr(truth[known], scores[known])[0]), seconds
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--top", type=int, default=30)
    parser.add_argument("--data", nargs="+", default=["digits", "adult"], choices=list(LOADERS))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    data, missing = available(args.data)
    if missing:
        print(f"left out, no file in SKFI_DATA: {', '.join(missing)}")
    for name, (X, y) in data.items():
        results = [compare(X, y, s, args.share, args.top) for s in range(args.seeds)]
        print(
            f"\n{name}: 100 labelled, pool of 1,500, share {args.share:.0%}, top {args.top}, "
            f"{args.seeds} seeds"
        )
        for method in results[0]:
            _, correlation, seconds = np.median([r[method] for r in results], axis=0)
            mean = np.mean([r[method][0] for r in results])
            print(
                f"  {method:<32} recall {mean:.2f}  rank correlation {correlation:.2f}  "
                f"{seconds:.3f} s"
            )
    print(
        f"\nPython {platform.python_version()}, numpy {np.__version__}, scikit-learn "
        f"{sklearn.__version__}, {platform.machine()}"
    )


if __name__ == "__main__":
    main()
