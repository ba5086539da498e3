"""Does trimming help, and by which score? The table in the README comes from here.

Each data set is split into 1,000 rows to train on, 1,000 that score and choose the budget
(0 among the candidates), and up to 5,000 to test (thirds, where there are fewer rows). Every
method gets the same rows, noise and candidates, so that differences are paired.

    SKFI_DATA=folder python benchmarks/trimming_study.py run --seeds 10 --jobs 2
    python benchmarks/trimming_study.py report

`run` appends to a file of results and goes on where it was stopped; `report` prints tables.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy
import sklearn
from joblib import Parallel, delayed
from scipy.stats import wilcoxon
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from study_data import LOADERS, available

import skfi
from skfi import FITrimmerCV

RESULTS = Path(__file__).with_name("trimming_study.jsonl")
BUDGETS = (0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
STEP = 0.05
SIGNED = {"influence": "fi_signed", "metric": "mahalanobis"}
METHODS: dict[str, dict] = {
    "FI, the paper's form": {
        "influence": "fi", "metric": "euclidean", "step": None, "validation_loss": "log_loss",
    },
    "FI, euclidean": {"influence": "fi", "metric": "euclidean"},
    "FI, mahalanobis": {"influence": "fi", "metric": "mahalanobis"},
    "signed FI, euclidean": {"influence": "fi_signed", "metric": "euclidean"},
    "signed FI, mahalanobis": SIGNED,
    "IV, as published": {"influence": "iv", "step": None, "validation_loss": "log_loss"},
    "IV": {"influence": "iv"},
    "highest loss": {"influence": "loss"},
    "self-confidence": {"influence": "self_confidence"},
    "KNN-Shapley": {"influence": "knn_shapley"},
    "random": {"influence": "random"},
}  # fmt: skip
# Share of labels flipped in training and in validation rows; rows with feature noise.
CONDITIONS = {
    "clean": (0.0, 0.0, 0),
    "10 % flipped": (0.1, 0.0, 0),
    "20 % flipped": (0.2, 0.0, 0),
    "30 % flipped": (0.3, 0.0, 0),
    "feature noise": (0.0, 0.0, 500),
    "10 % of both": (0.1, 0.1, 0),
    "20 % of both": (0.2, 0.2, 0),
}
BOOSTED = ("clean", "20 % flipped")  # boosting is slow to refit
TRAINERS = ("logistic", "boosting")
DATA = [name for name in LOADERS if name not in ("mnist", "emnist", "cifar")]  # slow


def split(name: str, X, y, seed: int, condition: str):
    """Scaled rows and labels, noise added (paper, Appendix D.1): train, validation, test."""
    rng = np.random.default_rng([seed, sum(map(ord, condition))])
    rows = np.random.default_rng(seed).permutation(len(y))
    n = min(1000, len(y) // 3)
    train, val, test = rows[:n], rows[n : 2 * n], rows[2 * n : 2 * n + 5000]
    scaler = StandardScaler().fit(X[train])
    # Columns that are all but constant in 1,000 rows must not throw single rows far out.
    parts = [np.clip(scaler.transform(X[part]), -20, 20) for part in (train, val, test)]
    labels = [y[part].copy() for part in (train, val, test)]
    flip_train, flip_val, noisy = CONDITIONS[condition]
    n_classes = int(y.max()) + 1
    for k, share in ((0, flip_train), (1, flip_val)):
        hit = rng.random(len(labels[k])) < share
        labels[k][hit] = (labels[k][hit] + rng.integers(1, n_classes, hit.sum())) % n_classes
    hit = rng.permutation(n)[: min(noisy, n // 2)]
    if len(hit) and name == "celeba":  # binary columns: the paper turns six of them over
        columns = rng.permutation(X.shape[1])[:6]
        turned = X[train][np.ix_(hit, columns)]
        mean, scale = scaler.mean_[columns], scaler.scale_[columns]
        low, high = X[:, columns].min(axis=0), X[:, columns].max(axis=0)
        parts[0][np.ix_(hit, columns)] = (low + high - turned - mean) / scale
    elif len(hit):
        parts[0][hit] += rng.normal(scale=np.sqrt(0.1), size=(len(hit), X.shape[1]))
    return parts, labels


def one(name: str, X, y, seed: int, condition: str, trainer: str, methods) -> list[dict]:
    """Test accuracy of every method on one draw."""
    (A, V, T), (a, v, t) = split(name, X, y, seed, condition)
    scorer = None
    model = LogisticRegression(solver="newton-cholesky", tol=1e-6)
    if trainer == "boosting":
        scorer, model = model, HistGradientBoostingClassifier(max_iter=30, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(A, a)
        plain = model.score(T, t)
        rows = []
        for method in methods:
            options = {"step": STEP, "validation_loss": "expected_error", **METHODS[method]}
            trimmer = FITrimmerCV(
                model, budgets=BUDGETS, cv="prefit", refit=False, random_state=seed,
                influence_estimator=scorer, **options,
            )  # fmt: skip
            trimmer.fit(A, a, X_val=V, y_val=v)
            row = {
                "data": name, "seed": seed, "condition": condition, "trainer": trainer,
                "method": method, "plain": plain, "trimmed": trimmer.score(T, t),
                "budget": float(trimmer.budget_),
            }  # fmt: skip
            rows.append(row)
    return rows


def run(args) -> None:
    data, missing = available(args.data)
    if missing:
        print(f"left out, no file in SKFI_DATA: {', '.join(missing)}")
    done = {
        tuple(row[key] for key in ("data", "seed", "condition", "trainer", "method"))
        for row in read(args.results)
    }
    tasks = []
    for seed in range(args.seeds):
        for trainer in args.trainers:
            for condition in CONDITIONS if trainer == "logistic" else BOOSTED:
                for name, (X, y) in data.items():
                    if trainer == "boosting" and y.max() > 1:
                        continue  # a tree per class and round: ten times the cost
                    left = [
                        method
                        for method in METHODS
                        if (name, seed, condition, trainer, method) not in done
                    ]
                    if left:
                        tasks.append((name, X, y, seed, condition, trainer, left))
    print(f"{len(tasks)} draws to go")
    with args.results.open("a") as file:
        for rows in Parallel(args.jobs, return_as="generator_unordered")(
            delayed(one)(*task) for task in tasks
        ):
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()


def read(path: Path) -> list[dict]:
    """Results so far; a last line cut short is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def gains(rows, condition: str, trainer: str, method: str, seeds) -> dict[str, np.ndarray]:
    """Points of accuracy over the untrimmed model, by data set, in order of seeds."""
    out: dict[str, dict] = {}
    for row in rows:
        if (row["condition"], row["trainer"], row["method"]) == (condition, trainer, method):
            gain = 100 * (row["trimmed"] - row["plain"])
            out.setdefault(row["data"], {})[row["seed"]] = gain
    return {
        name: np.array([by_seed[s] for s in seeds if s in by_seed])
        for name, by_seed in out.items()
    }


def table(rows, trainer: str, seeds) -> list[str]:
    conditions = [c for c in CONDITIONS if any(
        r["condition"] == c and r["trainer"] == trainer for r in rows)]  # fmt: skip
    lines = [
        f"| {trainer} | " + " | ".join(conditions) + " |",
        "| --- " * (len(conditions) + 1) + "|",
    ]
    for method in METHODS:
        cells = []
        for condition in conditions:
            mine = gains(rows, condition, trainer, method, seeds)
            best = gains(rows, condition, trainer, "signed FI, mahalanobis", seeds)
            means = [g.mean() for g in mine.values()]
            pairs = [
                d
                for k in mine
                if len(mine[k]) == len(best.get(k, []))
                for d in best[k] - mine[k]
            ]
            cell = f"{np.mean(means):+.2f} ({min(means):+.2f})"
            if method != "signed FI, mahalanobis" and np.any(pairs):
                wins = np.mean([(d > 0) + 0.5 * (d == 0) for d in pairs])
                p = wilcoxon(pairs).pvalue
                cell += f" {wins:.0%}" + ("*" if p < 0.01 else "")
            cells.append(cell)
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def report(args) -> None:
    rows = read(args.results)
    seeds = sorted({row["seed"] for row in rows})
    names = [name for name in LOADERS if any(row["data"] == name for row in rows)]
    print("# Trimming study\n")
    print(
        "Gain over the untrimmed classifier in points of test accuracy, mean of the data "
        "sets (worst data set in brackets). Then: how often signed FI (mahalanobis) does "
        "better on a draw, ties counted half; * where a Wilcoxon test over the paired draws "
        "tells the two apart (p < 0.01). Every method: budget chosen out of "
        f"{list(BUDGETS)} by accuracy on the validation rows, which score as well; steps of "
        f"{STEP:.0%} and the expected error on them, except for the two published forms (at "
        "once, log loss).\n"
    )
    print(f"Data sets: {', '.join(names)}. Seeds: {seeds}. Draws: {len(rows) // len(METHODS)}.")
    print(
        f"skfi {skfi.__version__}, scikit-learn {sklearn.__version__}, numpy "
        f"{np.__version__}, scipy {scipy.__version__}, {platform.machine()}.\n"
    )
    for trainer in TRAINERS:
        if any(row["trainer"] == trainer for row in rows):
            print("\n".join(table(rows, trainer, seeds)) + "\n")
    print("## Signed FI (mahalanobis) by data set, logistic regression\n")
    print("| data | " + " | ".join(CONDITIONS) + " |")
    print("| --- " * (len(CONDITIONS) + 1) + "|")
    for name in names:
        cells = []
        for condition in CONDITIONS:
            mine = gains(rows, condition, "logistic", "signed FI, mahalanobis", seeds)
            g = mine.get(name, np.array([np.nan]))
            error = g.std(ddof=1) / np.sqrt(len(g)) if len(g) > 1 else np.nan
            cells.append(f"{g.mean():+.2f} ± {error:.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--data", nargs="+", default=DATA, choices=list(LOADERS))
    parser.add_argument("--trainers", nargs="+", default=list(TRAINERS), choices=TRAINERS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    (run if args.what == "run" else report)(args)


if __name__ == "__main__":
    main()
