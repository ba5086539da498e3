"""How long skfi's scores take beside what else one could do: one table of ratios.

    make bench-ratios

Each pair is timed in turn in one process with the same threads, from rest (a pause before
each, so that no thread pool is still spinning), and the ratio is of medians. pyDVL wants
NumPy 1 and so has an environment of its own; what is timed beside it is timed there again.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy
import sklearn
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info

import skfi
from skfi import FIActiveSampler, FITrimmer, FITrimmerCV, fi_active, fi_pairwise, fi_util
from skfi.baselines import iv

REPEATS, PAUSE = 5, 0.25
HAS = {name: importlib.util.find_spec(name) is not None for name in ("pydvl", "skactiveml")}


def medians(*calls: Callable, repeats: int = REPEATS) -> list[float]:
    """Median seconds of each, in turn; the first round is a warm-up."""
    spent: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats + 1):
        for call, seconds in zip(calls, spent, strict=True):
            time.sleep(PAUSE)
            start = time.perf_counter()
            call()
            if repeat:
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in spent]


def line(ours: str, theirs: str, seconds: tuple[float, float], note: str = "") -> None:
    """A row of the table: both times, and how many times as long the second takes."""
    a, b = seconds
    ratio = f"{a / b:.2f}" if a > b / 2 else f"1/{b / a:,.0f}"
    print(f"| {ours} | {theirs} | {a:.3g} s | {b:.3g} s | {ratio} | {note} |", flush=True)


def binary(n: int = 30_000, d: int = 100, n_classes: int = 2):
    X, y = make_classification(
        n + 5000, d, n_informative=20, n_classes=n_classes, flip_y=0.1, random_state=0
    )
    return X[:n], y[:n], X[n:], y[n:]


def the_fit(n_classes: int) -> None:
    X, y, V, w = binary(n_classes=n_classes)
    model = LogisticRegression().fit(X, y)
    score, fit, value = medians(
        lambda: fi_util(model, X, y, V, w),
        lambda: LogisticRegression().fit(X, y),
        lambda: iv(model, X, y, V, w, validation_loss="log_loss"),
    )
    size = f"30,000 × 100, K = {n_classes}"
    line("`fi_util`", "default fit of `LogisticRegression`", (score, fit), size)
    line("`fi_util`", "`iv` (gradients and one Hessian)", (score, value), size)


def defined(model, x, label, inverse, u) -> float:
    """FI of one row as the paper defines it: J (m×d), D and G (d×d) are formed, G inverted."""
    w, d = model.coef_[0], len(x)
    xt = np.append(x, 1.0)
    p = model.predict_proba(x[None])[0]
    mixed = np.outer(xt, p[0] * p[1] * w)
    mixed[:d] += (p[1] - label) * np.eye(d)
    J = -inverse @ mixed
    D = np.array([-p[1], p[0]])[:, None] * (xt @ J + w)
    G = np.einsum("c,ci,cj->ij", p, D, D)
    g = u @ J
    return g @ np.linalg.pinv(G, hermitian=True) @ g


def the_definition(n: int, d: int, n_rows: int, repeats: int) -> None:
    X, y, V, w = binary(n, d)
    model = LogisticRegression(tol=1e-8).fit(X, y)
    Xt, Vt = (np.c_[A, np.ones(len(A))] for A in (X, V))
    p = model.predict_proba(X)
    H = (Xt * (p[:, :1] * p[:, 1:])).T @ Xt + np.diag(np.r_[np.ones(d), 0.0])
    inverse, per_row = np.linalg.inv(H), Vt * (model.predict_proba(V)[:, 1:] - w[:, None])
    u, rows = per_row.mean(axis=0), range(n_rows)
    influence = fi_util(model, X, y, V, w)
    expected = [defined(model, X[i], y[i], inverse, u) for i in rows]
    np.testing.assert_allclose(influence[:n_rows], expected, rtol=1e-6)
    pairs = fi_pairwise(model, X, y, V[:100], w[:100])
    expected = [defined(model, X[0], y[0], inverse, per_row[j]) for j in rows]
    np.testing.assert_allclose(pairs[:n_rows, 0], expected, rtol=1e-6)
    score, paired, loop = medians(
        lambda: fi_util(model, X, y, V, w),
        lambda: fi_pairwise(model, X, y, V[:100], w[:100]),
        lambda: [defined(model, X[i], y[i], inverse, u) for i in rows],
        repeats=repeats,
    )
    one, other = loop / n_rows, "the definition, a d×d pseudo-inverse a row"
    size = f"{n:,} × {d}; {n_rows} rows timed; H⁻¹ and u given, the same scores to 1e-6"
    line("`fi_util`", other, (score, one * n), size)
    million = paired / pairs.size * 1e6, one * 1e6
    line("`fi_pairwise`", other.replace("row", "pair"), million, "per million pairs, the same")


def the_grid() -> None:
    X, y = make_classification(4000, 40, n_informative=20, flip_y=0.2, random_state=0)
    budgets = tuple(np.round(np.arange(20) * 0.02, 2).tolist())
    one = {"step": 0.05, "validation": 5}
    choice, grid = medians(
        lambda: FITrimmerCV(LogisticRegression(), budgets=budgets, cv=5, **one).fit(X, y),
        lambda: GridSearchCV(
            FITrimmer(LogisticRegression(), **one), {"budget": budgets}, cv=5
        ).fit(X, y),
        repeats=1,
    )
    note = "4,000 × 40, 20 budgets, 5 folds, steps of 5 %"
    line("`FITrimmerCV`", "the equal `GridSearchCV`", (choice, grid), note)


def the_queries() -> None:
    from skactiveml.classifier import SklearnClassifier
    from skactiveml.pool import Badge, GreedyBALD, UncertaintySampling
    from sklearn.ensemble import BaggingClassifier

    X, y = load_digits(return_X_y=True)
    X = X / 16
    labelled, pool = X[:100], X[100:]
    known = np.r_[y[:100].astype(float), np.full(len(pool), np.nan)]
    model = LogisticRegression().fit(labelled, y[:100])
    classes = np.arange(10)
    wrapped = SklearnClassifier(LogisticRegression(), classes=classes).fit(X, known)
    members = BaggingClassifier(LogisticRegression(), n_estimators=20, random_state=0)
    ensemble = SklearnClassifier(members, classes=classes).fit(X, known)
    sampler = FIActiveSampler(model, batch_size=20, random_state=0).fit(labelled, y[:100])
    ask = {"X": X, "y": known, "batch_size": 20}
    calls = {
        "scikit-activeml's BADGE": lambda: Badge(random_state=0).query(
            clf=wrapped, fit_clf=False, **ask
        ),
        "scikit-activeml's BALD, 20 members": lambda: GreedyBALD(random_state=0).query(
            ensemble=ensemble, fit_ensemble=False, **ask
        ),
        "scikit-activeml's margin": lambda: UncertaintySampling(
            "margin_sampling", random_state=0
        ).query(clf=wrapped, fit_clf=False, **ask),
    }
    note = "digits, 100 labelled, pool of 1,697; models fitted already"
    for name, call in calls.items():
        score, query, peer = medians(
            lambda: fi_active(model, labelled, y[:100], pool),
            lambda: sampler.query(pool),
            call,
        )
        line("`fi_active`", name, (score, peer), note)
        line("`FIActiveSampler.query`", name, (query, peer), note)


def pydvl_peers() -> None:
    import torch
    from pydvl.influence import InfluenceMode
    from pydvl.influence.torch import DirectInfluence
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    X, y, V, w = binary()
    V, w = V[:1000], w[:1000]
    model = LogisticRegression().fit(X, y)
    module = nn.Linear(X.shape[1], 2).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(np.vstack([-model.coef_, model.coef_]) / 2))
        module.bias.copy_(torch.tensor(np.r_[-model.intercept_, model.intercept_] / 2))
    T = [torch.tensor(a) for a in (X, y, V, w)]
    loader = DataLoader(TensorDataset(T[0], T[1]), batch_size=2000)
    direct = DirectInfluence(module, nn.functional.cross_entropy, regularization=1e-4)
    fitted = DirectInfluence(module, nn.functional.cross_entropy, regularization=1e-4)
    fitted = fitted.fit(loader)

    def influences():
        got = direct.fit(loader)
        for start in range(0, len(X), 2000):
            got.influences(T[2], T[3], T[0][start : start + 2000], T[1][start : start + 2000])

    score, peer = medians(lambda: fi_util(model, X, y, V, w), influences)
    note = "30,000 × 100 training, 1,000 validation rows; pyDVL gives every pair's influence"
    line("`fi_util`", "pyDVL's DirectInfluence", (score, peer), note)
    n, m = 50, 20
    ours, theirs = medians(
        lambda: fi_pairwise(model, X[:2000], y[:2000], V),
        lambda: fitted.influences(
            T[2][:m], T[3][:m], T[0][:n], T[1][:n], mode=InfluenceMode.Perturbation
        ),
        repeats=2,
    )
    seconds = ours / (2000 * 1000) * 1e6, theirs / (n * m) * 1e6
    note = f"per million pairs; {n} × {m} pairs of pyDVL's timed, its fit not counted"
    line("`fi_pairwise` (g, D and FI)", "pyDVL's Perturbation (g)", seconds, note)


def with_known_kernels() -> None:
    """Start again where an OpenBLAS older than the processor falls back to kernels of 2004."""
    old = any(pool.get("architecture") == "Prescott" for pool in threadpool_info())
    flags = Path("/proc/cpuinfo")
    asked = "OPENBLAS_CORETYPE" in os.environ
    if old and not asked and flags.exists() and "avx2" in flags.read_text():
        os.environ["OPENBLAS_CORETYPE"] = "Haswell"
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main() -> None:
    with_known_kernels()
    warnings.simplefilter("ignore")  # convergence is not what is timed
    print("| skfi | beside | skfi | the other | ratio | |")
    print("| --- | --- | --- | --- | --- | --- |")
    if HAS["pydvl"]:
        pydvl_peers()
    else:
        the_fit(2)
        the_fit(10)
        the_definition(30_000, 100, 20, REPEATS)
        the_definition(12_000, 784, 5, 1)  # as many columns as the paper's images
        the_grid()
    if HAS["skactiveml"]:
        the_queries()
    versions = {name: importlib.import_module(name).__version__ for name in HAS if HAS[name]}
    versions |= {module.__name__: module.__version__ for module in (skfi, sklearn, np, scipy)}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    pools = threadpool_info()
    threads = {pool["user_api"]: pool["num_threads"] for pool in pools}
    kernels = sorted({pool["architecture"] for pool in pools if "architecture" in pool})
    print(f"\nMedians of {REPEATS} (grids and 784 columns: of 1; pairs: of 2), ", end="")
    print(f"seed 0; {told}; ", end="")
    print(f"{platform.machine()}, BLAS for {kernels}, threads {threads}.\n")


if __name__ == "__main__":
    main()
