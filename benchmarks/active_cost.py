"""Cost of FI of all pairs, and of the mean over a large pool, beside what cannot be avoided.

Run ``make bench-active``. Everything that is compared is timed in turn in one process with
the same threads; ratios are of medians, and memory is read in runs of its own.

- Pairs: K-FAC, the middle 80 % of all n·U pairs, beside the two products of n×d×U that their
  kernels take, and beside the paper's loop (Algorithm 2: per pair, a d×d metric tensor, its
  pseudo-inverse, and the mixed derivative), timed on a sample of pairs.
- Mean: the quadratic form on a large pool beside `predict_proba` plus the gradients.
"""

from __future__ import annotations

import argparse
import platform
import time
import tracemalloc
import warnings

import numpy as np
import scipy
import sklearn
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info

from skfi import fi_active
from skfi._utils._chunks import map_blocks
from skfi.bridge import bridge
from skfi.linear._active import gradients
from skfi.linear._objective import fit_curvature

REPEATS = 5


def make(n: int, pool: int, d: int, n_classes: int, seed: int = 0):
    """A model fitted on n rows, and a pool."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    W = rng.standard_normal((d, n_classes)) * 3 / np.sqrt(d)
    y = (X @ W + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    model = LogisticRegression(max_iter=500, tol=1e-5).fit(X, y)
    return model, X, y, rng.standard_normal((pool, d))


def medians(calls: dict) -> dict[str, float]:
    """Median seconds of each call, all of them in turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(REPEATS + 1):
        for name, call in calls.items():
            time.sleep(0.25)  # so that no thread pool is still spinning
            start = time.perf_counter()
            call()
            if repeat:  # the first is a warm-up
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in times.items()}


def peak(call) -> float:
    """MiB at most, beyond what was there."""
    tracemalloc.start()
    call()
    found = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return found


def paper_loop(model, X, y, pool, pairs: int) -> float:
    """Seconds a pair in the paper's loop, with K-FAC's inverse given, in NumPy."""
    linear = bridge(model).make_model(len(X))
    total = fit_curvature(linear, X, y, np.ones(len(X)), kronecker=True)
    inverse = total.hessian.invert(linear).dense()
    outputs, p = linear.beta.shape
    basis, W = linear.link.basis, linear.W
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(pairs):
        i, j = rng.integers(len(X)), rng.integers(len(pool))
        x, z = np.append(X[i], 1.0), np.append(pool[j], 1.0)
        P, Q = (np.exp(linear.link.log_proba(row[None] @ linear.beta.T))[0] for row in (x, z))
        S = basis.T @ (np.diag(P) - np.outer(P, P)) @ basis
        r = (P - np.eye(len(P))[y[i]]) @ basis
        mixed = (S @ W)[:, None, :] * x[None, :, None]
        mixed[:, : p - 1] += r[:, None, None] * np.eye(p - 1)
        mixed = mixed.reshape(outputs * p, -1)
        J = -inverse @ mixed
        u = np.kron((Q - np.eye(len(Q))[Q.argmax()]) @ basis, z)
        by_z = (np.eye(len(P)) - P) @ basis
        D = by_z @ (np.einsum("ap,apd->ad", x[None] * np.ones((outputs, 1)),
                              J.reshape(outputs, p, -1)) + W)  # fmt: skip
        g = u @ J
        g @ np.linalg.pinv((P[:, None] * D).T @ D, hermitian=True) @ g
    return (time.perf_counter() - start) / pairs


def pairs_table(n: int, U: int, d: int, n_classes: int, sample: int) -> dict:
    """All pairs beside their two kernel products."""
    model, X, y, pool = make(n, U, d, n_classes)
    ones = np.ones((n, 1))
    A, B = np.concatenate([X, ones], axis=1), np.ascontiguousarray(X)
    C = np.concatenate([pool, np.ones((U, 1))], axis=1)
    settings = {"curvature": "kfac"}
    calls = {
        "two kernel products": lambda: (C @ A.T, pool @ B.T),
        "float64": lambda: fi_active(model, X, y, pool, **settings),
    }
    found = medians(calls)
    floor = found["two kernel products"]
    print(f"pairs: n = {n:,}, pool {U:,}, d = {d}, K = {n_classes}, K-FAC, middle 80 %")
    for name, seconds in found.items():
        memory = f"{peak(calls[name]):>6.0f} MiB" if name != "two kernel products" else ""
        print(
            f"  {name:<22} {seconds:>7.2f} s  {seconds / floor:>5.2f} × the products  {memory}"
        )
    each = paper_loop(model, X, y, pool, sample)
    print(
        f"  the paper's loop {1e3 * each:.1f} ms a pair ({sample} pairs), "
        f"{each * n * U / 3600:,.0f} h for all: {each * n * U / found['float64']:,.0f} times "
        "as long\n"
    )
    return {
        "pairs in float64, times the products": (found["float64"] / floor, 5.0),
        "pairs, MiB": (peak(calls["float64"]), 1024.0),
    }


def mean_table(n: int, U: int, d: int, n_classes: int) -> dict:
    """The mean over a large pool beside predict_proba and gradients."""
    model, X, y, pool = make(n, U, d, n_classes)
    out = np.empty(U)

    def gradient_pass() -> None:
        def part(rows: slice) -> None:
            c = model.predict_proba(pool[rows])
            c[np.arange(len(c)), c.argmax(axis=1)] -= 1.0
            extended = np.concatenate([pool[rows], np.ones((len(c), 1))], axis=1)
            out[rows] = gradients(extended, c)[:, -1]

        list(map_blocks(part, U, 1000))

    # The form as one product, of which nothing else is counted: p(p + 1)/2 by K(K - 1)/2.
    p, forms = d + 1, n_classes * (n_classes - 1) // 2
    left, block = np.ones((forms, p * (p + 1) // 2)), np.ones((p * (p + 1) // 2, 256))

    def form_alone() -> None:
        for _ in map_blocks(lambda rows: left @ block, U, 256):
            pass

    calls = {
        "predict_proba": lambda: model.predict_proba(pool),
        "gradients": gradient_pass,
        "the form's product": form_alone,
        "float64": lambda: fi_active(model, X, y, pool, aggregate="mean"),
    }
    found = medians(calls)
    floor = found["predict_proba"] + found["gradients"]
    print(f"mean: n = {n:,}, pool {U:,}, d = {d}, K = {n_classes}, exact Hessian")
    for name, seconds in found.items():
        memory = f"{peak(calls[name]):>6.0f} MiB" if name.startswith("float") else ""
        print(
            f"  {name:<22} {seconds:>7.2f} s  {seconds / floor:>5.2f} × (predict_proba + "
            f"gradients)  {memory}"
        )
    # The form's product alone takes two thirds of it.
    return {"mean, times predict_proba + gradients": (found["float64"] / floor, 5.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a hundredth of the sizes")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.small:
        pairs_table(500, 1000, 64, 5, 3)
        mean_table(200, 10_000, 32, 5)
        limits = {}  # too small to be held to them
    else:
        limits = pairs_table(5000, 10_000, 256, 10, 20) | mean_table(500, 1_000_000, 64, 10)
    threads = {pool["user_api"]: pool["num_threads"] for pool in threadpool_info()}
    print(
        f"{REPEATS} repeats, seed 0; Python {platform.python_version()}, numpy "
        f"{np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}; "
        f"{platform.machine()}, threads {threads}"
    )
    broken = {name: value for name, (value, limit) in limits.items() if value > limit}
    if broken:
        raise SystemExit(f"over the limit: {broken}")


if __name__ == "__main__":
    main()
