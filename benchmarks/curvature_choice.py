"""What ``curvature="auto"`` takes for many classes: its cost beside the fit, and its effect.

    python benchmarks/curvature_choice.py cost
    python benchmarks/curvature_choice.py effect     # SKFI_DATA names the folder of data sets

``cost``: seconds of default scores over those of the default fit, medians of runs in turn, on
rows that the solver finds easy (clouds) and on usual ones, and over those of a fit that
converges (tol=1e-6). With one thread in processor seconds, which other work changes little;
with two (``--threads 2``) in seconds of the clock. The command fails where a ratio or the
memory exceeds its limit. ``effect``: test accuracy of a logistic
regression after FITrimmer dropped 10 % of the rows, 20 % of whose labels are flipped, by exact
scores and by those that "auto" takes, on the multi-class data sets of the study (150 principal
components, so that exact scores end within minutes).
"""

from __future__ import annotations

import argparse
import platform
import tracemalloc
import warnings
from time import perf_counter, process_time

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

# Rows, columns, classes; limits of the ratio for clouds and usual rows; repeats.
SHAPES = (
    ((3_000, 384, 20), (5.0, 1.0), 3),
    ((10_000, 768, 100), (11.0, 2.0), 1),
    ((30_000, 100, 10), (1.1, 1.0), 3),
    ((30_000, 100, 2), (1.5, 0.7), 9),
)
MOST_MEMORY = 1536  # MiB
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


def cost(threads: int) -> bool:
    """Print the table; whether all is within its limits."""
    print(
        "data    rows, columns, classes  steps   fit s  scores s   ratio  limit   "
        "converged fit s   ratio   MiB  taken"
    )
    within = []
    with threadpool_limits(threads):
        for shape, limits, repeats in SHAPES:
            for (name, make), limit in zip(
                (("clouds", clouds), ("usual", usual)), limits, strict=True
            ):
                n, d, n_classes = shape
                X, y = make(n + 1000, d, n_classes)
                within.append(one(name, X, y, n, limit, repeats, threads))
    return all(within)


def seconds(call, threads: int) -> float:
    """Of a processor where there is one thread, else of the clock."""
    clock = process_time if threads == 1 else perf_counter
    start = clock()
    call()
    return clock() - start


def one(name: str, X, y, n: int, limit: float, repeats: int, threads: int) -> bool:
    """A line of the table; whether ratio and memory are within the limits."""
    fits, times = [], []
    data = X[:n], y[:n], X[n:], y[n:]
    model = LogisticRegression().fit(X[:n], y[:n])

    def score():
        return fi_util(model, *data, return_details=True)[1]

    for _ in range(repeats):
        fits.append(seconds(lambda: LogisticRegression().fit(X[:n], y[:n]), threads))
        times.append(seconds(score, threads))
    tracemalloc.start()
    details = score()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    strict = LogisticRegression(tol=1e-6, max_iter=1000)
    converged = seconds(lambda: strict.fit(X[:n], y[:n]), threads)
    fit, spent = np.median(fits), np.median(times)
    good = spent <= limit * fit and peak <= MOST_MEMORY
    shape = f"{n} × {X.shape[1]} × {len(model.classes_)}"
    print(
        f"{name:<6}  {shape:<24} {int(np.max(model.n_iter_)):>5} {fit:>7.2f} "
        f"{spent:>9.2f} {spent / fit:>7.2f} {limit:>6.1f} {converged:>17.2f} "
        f"{spent / converged:>7.2f} {peak:>5.0f}  {details.curvature}"
        + ("" if good else "   OVER"),
        flush=True,
    )
    return bool(good)


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
    parser.add_argument("--threads", type=int, default=1, help="of cost")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # convergence of the fit is not what is measured
    within = True
    if args.what == "cost":
        within = cost(args.threads)
    else:
        effect()
    pools = {pool["user_api"]: pool["num_threads"] for pool in threadpool_info()}
    print(
        f"\nseeds {FIRST_SEED} to {FIRST_SEED + SEEDS - 1} (effect), 0 (cost); skfi "
        f"{skfi.__version__}, "
        f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, Python "
        f"{platform.python_version()}, {platform.machine()}, threads "
        f"{args.threads if args.what == 'cost' else pools}"
    )
    if not within:
        raise SystemExit("Scores cost more than their limit.")


if __name__ == "__main__":
    main()
