"""FI of texts with far more columns than rows: seconds, memory, and the residual of the solves.

    python benchmarks/wide_text.py
    python benchmarks/wide_text.py --rows 3000 --columns 20000
    python benchmarks/wide_text.py --rows 11000 --classes 20

Texts of 100 words by Zipf's law, hashed, of two classes, a fifth of the labels wrong. A Hessian
of 100,001 parameters would take 75 GiB; through the rows it is one matrix of 20,000 by 20,000.
More classes are scored by K-FAC, whose factor of the inputs is such a matrix.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
from time import perf_counter

import numpy as np
import scipy
import sklearn
from scipy import sparse
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_info

import skfi
from skfi import fi_util

LENGTH = 100  # words of a text
WORDS = 200_000
WRONG = 0.2


def texts(n_rows: int, n_columns: int, seed: int, n_classes: int = 2):
    """Hashed texts (n_rows, n_columns), and their labels."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, WORDS + 1)
    drawn = rng.choice(WORDS, (n_rows, LENGTH), p=share / share.sum())
    if n_classes == 2:
        tone = rng.normal(size=WORDS)
        y = (tone[drawn].mean(axis=1) > 0).astype(int)
    else:
        tones = [rng.normal(size=WORDS)[drawn].mean(axis=1) for _ in range(n_classes)]
        y = np.argmax(tones, axis=0)
    # Each word is hashed once, as HashingVectorizer would.
    names = [[f"w{k}"] for k in range(WORDS)]
    hashed = FeatureHasher(n_columns, input_type="string").transform(names)
    start = np.arange(0, drawn.size + 1, LENGTH)
    counts = sparse.csr_array((np.ones(drawn.size), drawn.ravel(), start), (n_rows, WORDS))
    X = sparse.csr_array(normalize(counts @ sparse.csr_array(hashed)))
    wrong = rng.random(n_rows) < WRONG
    shift = rng.integers(1, n_classes, n_rows)
    return X, np.where(wrong, (y + shift) % n_classes, y)


def peak() -> float:
    """Highest resident memory so far, in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--validation-rows", type=int, default=2000)
    parser.add_argument("--metric", choices=("euclidean", "mahalanobis"), default="euclidean")
    args = parser.parse_args()
    n = args.rows
    X, y = texts(n + args.validation_rows, args.columns, 0, args.classes)
    threads = max(pool["num_threads"] for pool in threadpool_info())
    print(
        f"{n:,} × {args.columns:,}, {args.classes} classes, {X.nnz / X.shape[0]:.0f} entries "
        f"a row, {threads} threads; "
        f"skfi {skfi.__version__}, scikit-learn {sklearn.__version__}, numpy "
        f"{np.__version__}, scipy {scipy.__version__}, {platform.machine()}, seed 0"
    )
    print(f"{'':<24} {'seconds':>8} {'peak GiB':>9}")
    print(f"{'rows':<24} {'':>8} {peak():9.2f}", flush=True)
    start = perf_counter()
    model = LogisticRegression(max_iter=1000, tol=1e-6).fit(X[:n], y[:n])
    print(f"{'fit':<24} {perf_counter() - start:8.1f} {peak():9.2f}", flush=True)
    start = perf_counter()
    curvature = "auto" if args.classes == 2 else "kfac"
    options = {"metric": args.metric, "curvature": curvature, "return_details": True}
    scores, details = fi_util(model, X[:n], y[:n], X[n:], y[n:], **options)
    seconds = perf_counter() - start
    print(f"{'fi_util, ' + args.metric:<24} {seconds:8.1f} {peak():9.2f}")
    assert np.isfinite(scores).all()
    print(
        f"{n**3:.3g} operations to factor and invert, {n**3 / seconds:.3g} a second over all; "
        f"residual {details.residual}"
    )


if __name__ == "__main__":
    main()
