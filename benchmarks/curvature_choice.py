"""What ``curvature="auto"`` takes for many classes: its cost beside the fit, and its effect.

    python benchmarks/curvature_choice.py cost
    python benchmarks/curvature_choice.py effect     # SKFI_DATA names the folder of data sets

``cost``: seconds of default scores over those of the fit, medians of runs in turn, on rows that
the solver finds easy (clouds) and on usual ones. ``effect``: test accuracy of a logistic
regression after FITrimmer dropped 10 % of the rows, 20 % of whose labels are flipped, by exact
scores and by those that "auto" takes, on the multi-class data sets of the study (150 principal
components, so that exact scores end within minutes).
"""

from __future__ import annotations

import argparse
import platform
import tracemalloc
import warnings
from time import perf_counter

import numpy as np
import sklearn
from many_classes import clouds
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from study_data import FOLDER
from threadpoolctl import threadpool_info, threadpool_limits

import skfi
from skfi import FITrimmer, fi_util
from skfi.datasets import flip_labels

REPEATS = 3
SHAPES = ((3_000, 384, 20), (10_000, 768, 100), (30_000, 100, 10), (30_000, 100, 2))
DATA = {  # files, and the names of images and labels
    "mnist": ("mnist.npz", "X_train", "y_train"),
    "emnist": ("emnist_letters_test10k.npz", "X", "y"),
    "cifar": ("cifar10_train10k_a.npz", "X_train", "y_train"),
}
FIRST_SEED, SEEDS = 100, 5


def usual(n: int, d: int, n_classes: int):
    return make_classification(
        n, d, n_informative=min(d, 60), n_redundant=0, n_classes=n_classes,
        n_clusters_per_class=1, flip_y=0.1, random_state=0,
    )  # fmt: skip


def cost() -> None:
    print(
        "threads  data    rows, columns, classes  steps   fit s  scores s   ratio   MiB  taken"
    )
    for threads in (2, 1):
        for name, make in (("clouds", clouds), ("usual", usual)):
            for n, d, n_classes in SHAPES:
                X, y = make(n + 1000, d, n_classes)
                with threadpool_limits(threads):
                    one(threads, name, X, y, n)


def one(threads: int, name: str, X, y, n: int) -> None:
    fits, scores = [], []
    for _ in range(REPEATS):
        start = perf_counter()
        model = LogisticRegression().fit(X[:n], y[:n])
        middle = perf_counter()
        _, details = fi_util(model, X[:n], y[:n], X[n:], y[n:], return_details=True)
        fits.append(middle - start)
        scores.append(perf_counter() - middle)
    tracemalloc.start()
    fi_util(model, X[:n], y[:n], X[n:], y[n:])
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    fit, score = np.median(fits), np.median(scores)
    shape = f"{n} × {X.shape[1]} × {len(model.classes_)}"
    print(
        f"{threads:>7}  {name:<6}  {shape:<24} {int(np.max(model.n_iter_)):>7} {fit:>7.2f} "
        f"{score:>9.2f} {score / fit:>7.2f} {peak:>5.0f}  {details.curvature}",
        flush=True,
    )


def effect() -> None:
    print(
        "data     untrimmed   exact   auto   auto - exact, points (standard error)   same rows"
    )
    for data, (file, images, labels) in DATA.items():
        if not (FOLDER / file).exists():
            print(f"{data}: left out, {file} is not there")
            continue
        with np.load(FOLDER / file) as part:
            X, y = (
                part[images][:10_000].reshape(-1, part[images][0].size),
                part[labels][:10_000],
            )
        results = np.array([draw(X, y, FIRST_SEED + k) for k in range(SEEDS)])
        plain, exact, auto, same = results.mean(axis=0)
        gap = 100 * (results[:, 2] - results[:, 1])
        error = gap.std(ddof=1) / np.sqrt(len(gap))
        print(
            f"{data:<8} {plain:>9.4f} {exact:>7.4f} {auto:>6.4f} {gap.mean():>+14.2f} "
            f"({error:.2f}){same:>26.0%}",
            flush=True,
        )


def draw(X, y, seed: int) -> tuple[float, ...]:
    order = np.random.RandomState(seed).permutation(len(y))
    train, val, test = order[:1000], order[1000:2000], order[2000:5000]
    flipped, _ = flip_labels(y[train], 0.2, random_state=seed)
    model = make_pipeline(
        PCA(150, random_state=0), StandardScaler(), LogisticRegression(max_iter=1000)
    )
    out, rows = [model.fit(X[train], flipped).score(X[test], y[test])], []
    for curvature in ("exact", "auto"):
        trimmer = FITrimmer(
            model, budget=0.1, step=0.05, influence_params={"curvature": curvature}
        )
        trimmer.fit(X[train], flipped, X_val=X[val], y_val=y[val])
        out.append(trimmer.score(X[test], y[test]))
        rows.append(set(trimmer.trimmed_indices_))
    return *out, len(rows[0] & rows[1]) / len(rows[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["cost", "effect"])
    warnings.simplefilter("ignore")  # convergence of the fit is not what is measured
    {"cost": cost, "effect": effect}[parser.parse_args().what]()
    pools = {pool["user_api"]: pool["num_threads"] for pool in threadpool_info()}
    print(
        f"\nseeds {FIRST_SEED} to {FIRST_SEED + SEEDS - 1} (effect), 0 (cost); skfi "
        f"{skfi.__version__}, "
        f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, Python "
        f"{platform.python_version()}, {platform.machine()}, threads {pools}"
    )


if __name__ == "__main__":
    main()
