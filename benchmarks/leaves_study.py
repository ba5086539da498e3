"""Boosting and forests: who should score their rows, and what are checked rows worth?

A fifth of 1,000 training labels is flipped, 1,000 other rows have checked labels (thirds, where
there are fewer rows), and up to 5,000 test. Rows are scored by a logistic regression on scaled
columns or by the leaves of the classifier's own trees, a fifth of the training rows is dropped
in steps of a twentieth, and the classifier is fitted on the rest, with and without the checked
rows. All get the same rows and flips, so that differences are paired.

    SKFI_DATA=folder python benchmarks/leaves_study.py run
    SKFI_DATA=folder python benchmarks/leaves_study.py report > benchmarks/leaves_study.md

`run` appends to a file of results and goes on where it was stopped; a quarter of an hour on one
core.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import sklearn
from scipy.stats import wilcoxon
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from study_data import available
from trimming_study import read, split

import skfi
from skfi import FITrimmer

RESULTS = Path(__file__).with_name("leaves_study.jsonl")
DATA = ("adult", "bank", "celeba", "spambase", "phoneme", "sms", "toxic", "cancer")
SEEDS = range(200, 205)  # the scorer's settings were chosen on others
CONDITION = "20 % flipped"
CLASSIFIERS = {
    "boosting": HistGradientBoostingClassifier(max_iter=30, random_state=0),
    "forest": RandomForestClassifier(100, random_state=0),
}
SCORERS = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "leaves": "leaves",
}
CONFIDENCE = "confidence"
# What the checked rows are for while rows are scored.
USES = {"judge": "checked rows judge alone", "folds": "checked rows join the folds"}
PLAIN = {
    "nothing": "nothing dropped",
    "V": "fitted on the checked rows alone",
    "A+V": "nothing dropped, fitted with the checked rows",
}
COSTS = (1000, 20_000)


def methods() -> dict[str, str]:
    """Name of each way to fit, and what the table calls it."""
    named = dict(PLAIN)
    for use, text in USES.items():
        for scorer in SCORERS:
            named[f"{scorer}, {use}"] = f"{scorer}; {text}"
            named[f"{scorer}, {use}+V"] = f"{scorer}; {text}, and the last fit includes them"
    named[f"{CONFIDENCE}, folds"] = f"self-confidence; {USES['folds']}"
    named[f"{CONFIDENCE}, folds+V"] = (
        f"self-confidence; {USES['folds']}, and the last fit includes them"
    )
    return named


def confident(model, A, a, V, v, seed: int) -> np.ndarray:
    """Rows of A kept by the classifier's own out-of-fold probability of their labels."""
    X, y = np.concatenate([A, V]), np.concatenate([a, v])
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    proba = cross_val_predict(model, X, y, cv=folds, method="predict_proba")
    own = proba[np.arange(len(a)), a]
    return np.sort(np.argsort(own, kind="stable")[int(0.2 * len(a)) :])


def one(name: str, X, y, seed: int, kind: str) -> dict:
    """Test accuracy of every method on one draw, and the share of flipped rows dropped."""
    (A, V, T), (a, v, t) = split(name, X, y, seed, CONDITION)
    flipped = a != split(name, X, y, seed, "clean")[1][0]
    model = CLASSIFIERS[kind]

    def accuracy(*parts) -> float:
        X_fit, y_fit = (np.concatenate(part) for part in zip(*parts, strict=True))
        return clone(model).fit(X_fit, y_fit).score(T, t)

    found = {
        "nothing": accuracy((A, a)),
        "V": accuracy((V, v)),
        "A+V": accuracy((A, a), (V, v)),
    }
    caught = {}
    for use in USES:
        for scorer, judge in SCORERS.items():
            trimmer = FITrimmer(
                model, influence_estimator=judge, budget=0.2, step=0.05, checked_rows=use,
                random_state=seed,
            ).fit(A, a, X_val=V, y_val=v)  # fmt: skip
            kept = trimmer.support_
            found[f"{scorer}, {use}"] = accuracy((A[kept], a[kept]))
            found[f"{scorer}, {use}+V"] = accuracy((A[kept], a[kept]), (V, v))
            caught[f"{scorer}, {use}"] = float(flipped[trimmer.trimmed_indices_].mean())
    kept = confident(model, A, a, V, v, seed)
    found[f"{CONFIDENCE}, folds"] = accuracy((A[kept], a[kept]))
    found[f"{CONFIDENCE}, folds+V"] = accuracy((A[kept], a[kept]), (V, v))
    dropped = np.setdiff1d(np.arange(len(a)), kept)
    caught[f"{CONFIDENCE}, folds"] = float(flipped[dropped].mean())
    return {
        "data": name, "seed": seed, "classifier": kind, "accuracy": found, "caught": caught,
    }  # fmt: skip


def cost(n_rows: int, kind: str) -> dict:
    """Processor seconds of the classifier's fit, and of trimming once with its last fit."""
    X, y = make_classification(2 * n_rows, 20, n_informative=12, flip_y=0.2, random_state=0)
    model = clone(CLASSIFIERS[kind])
    halves = slice(None, n_rows), slice(n_rows, None)
    A, V = (X[half] for half in halves)
    a, v = (y[half] for half in halves)
    seconds = {}
    start = time.process_time()
    model.fit(A, a)
    seconds["fit"] = time.process_time() - start
    for scorer, judge in SCORERS.items():
        trimmer = FITrimmer(
            model, influence_estimator=judge, budget=0.05, step=None, checked_rows="judge"
        )
        start = time.process_time()
        trimmer.fit(A, a, X_val=V, y_val=v)
        seconds[scorer] = time.process_time() - start
    return {"rows": n_rows, "classifier": kind, "seconds": seconds}


def run(args) -> None:
    data, missing = available(args.data)
    if missing:
        print(f"left out, no file in SKFI_DATA: {', '.join(missing)}")
    done = {
        tuple(row.get(key) for key in ("data", "seed", "rows", "classifier"))
        for row in read(args.results)
    }
    tasks = [
        ((name, seed, None, kind), one, (name, X, y, seed, kind))
        for seed in args.seeds
        for name, (X, y) in data.items()
        for kind in CLASSIFIERS
    ] + [((None, None, n, kind), cost, (n, kind)) for n in COSTS for kind in CLASSIFIERS]
    with args.results.open("a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key, function, arguments in tasks:
            if key not in done:
                file.write(json.dumps(function(*arguments)) + "\n")
                file.flush()


def gains(rows, kind: str, method: str) -> dict[str, np.ndarray]:
    """Points of accuracy over the classifier on all training rows, by data set."""
    out: dict[str, list] = {}
    for row in rows:
        if row["classifier"] == kind:
            found = row["accuracy"]
            gain = 100 * (found[method] - found["nothing"])
            out.setdefault(row["data"], []).append(gain)
    return {name: np.array(values) for name, values in out.items()}


def cell(rows, kind: str, method: str) -> str:
    by_data = [values.mean() for values in gains(rows, kind, method).values()]
    return f"{np.mean(by_data):+.2f} ({min(by_data):+.2f})"


def comparison(rows, kind: str, first: str, second: str) -> tuple[float, float, float]:
    """Mean difference in points, how often the first is ahead, ties counted half, and p."""
    one, two = (np.concatenate([*gains(rows, kind, m).values()]) for m in (first, second))
    apart = one - two
    p = wilcoxon(apart).pvalue if apart.any() else 1.0
    return apart.mean(), np.mean((apart > 0) + 0.5 * (apart == 0)), p


COMPARED = (
    ("leaves, judge", "logistic, judge"),
    ("leaves, folds", "logistic, folds"),
    ("leaves, judge+V", "logistic, judge+V"),
    ("leaves, folds+V", "logistic, folds+V"),
    ("leaves, judge", "V"),
    ("leaves, folds+V", "V"),
    ("leaves, folds+V", "A+V"),
    ("leaves, folds+V", "leaves, judge+V"),
    ("logistic, folds+V", "V"),
    ("logistic, folds+V", "logistic, judge"),
    ("leaves, folds+V", "logistic, judge"),
    ("leaves, folds", "confidence, folds"),
    ("leaves, folds+V", "confidence, folds+V"),
)


def holm(p_values: list[float]) -> np.ndarray:
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(np.maximum.accumulate(factors * np.sort(p_values)), 1.0)
    return adjusted[np.argsort(order)]


def report(args) -> None:
    everything = read(args.results)
    rows = [row for row in everything if "accuracy" in row]
    costs = [row for row in everything if "seconds" in row]
    names = sorted({row["data"] for row in rows})
    seeds = sorted({row["seed"] for row in rows})
    print("# Boosting and forests: scored by a logistic regression or by their own leaves\n")
    print(
        "Gain over the classifier fitted on all training rows, in points of test accuracy: "
        "mean of the data sets, the worst data set in brackets. 1,000 training rows with 20 % "
        "of the labels flipped, 1,000 checked rows with right labels (thirds of smaller "
        "sets), 20 % of the training rows dropped, in steps of 5 %. *logistic*: scored by a "
        'logistic regression on scaled columns. *leaves*: `influence_estimator="leaves"`. '
        "*self-confidence*: scored by the classifier's own out-of-fold probability of the "
        "label, at once, the checked rows in the folds' training. Boosting is "
        "`HistGradientBoostingClassifier(max_iter=30)`, the forest "
        "`RandomForestClassifier(100)`.\n"
    )
    print(
        f"Data sets: {', '.join(names)}. Seeds: {seeds[0]} to {seeds[-1]}. skfi "
        f"{skfi.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}.\n"
    )
    print(f"| | {' | '.join(CLASSIFIERS)} |\n| --- {'| --- ' * len(CLASSIFIERS)}|")
    for method, text in methods().items():
        if method != "nothing":
            cells = [cell(rows, kind, method) for kind in CLASSIFIERS]
            print(f"| {text} | {' | '.join(cells)} |")
    print("\nFlipped rows among those dropped (random rows: 20 %):\n")
    print(f"| | {' | '.join(CLASSIFIERS)} |\n| --- {'| --- ' * len(CLASSIFIERS)}|")
    for method, text in methods().items():
        shares = [
            [row["caught"][method] for row in rows if row["classifier"] == kind]
            for kind in CLASSIFIERS
            if method in rows[0]["caught"]
        ]
        if shares:
            print(f"| {text} | {' | '.join(f'{np.mean(s):.0%}' for s in shares)} |")
    print(
        "\n## Which differ\n\nMean difference in points over the paired draws; how often the "
        "first is ahead, ties counted half; p of a Wilcoxon test after Holm's correction over "
        "the column. Pairs with p ≥ 0.05 are level.\n"
    )
    print(
        f"| first, second | {' | '.join(CLASSIFIERS)} |\n| --- {'| --- ' * len(CLASSIFIERS)}|"
    )
    columns = []
    for kind in CLASSIFIERS:
        results = [comparison(rows, kind, *pair) for pair in COMPARED]
        adjusted = holm([p for _, _, p in results])
        columns.append(
            [
                f"{mean:+.2f}, {wins:.0%}, p = {p:.2g}: {verdict(mean, p)}"
                for (mean, wins, _), p in zip(results, adjusted, strict=True)
            ]
        )
    for (first, second), *cells in zip(COMPARED, *columns, strict=True):
        print(f"| {first} against {second} | {' | '.join(cells)} |")
    print("\n## By data set\n")
    shown = [m for m in methods() if m != "nothing"]
    for kind in CLASSIFIERS:
        print(f"| {kind} | {' | '.join(shown)} |\n| --- {'| --- ' * len(shown)}|")
        for name in names:
            cells = [f"{gains(rows, kind, method)[name].mean():+.2f}" for method in shown]
            print(f"| {name} | {' | '.join(cells)} |")
        print()
    print("## What scoring once costs\n")
    print(
        "Processor seconds on one core of a fit, and of `FITrimmer(step=None)` with its last "
        "fit; 20 columns, two classes, as many checked rows, which judge alone.\n"
    )
    print("| | rows | one fit | trimming by logistic regression | by leaves |")
    print("| --- | --- | --- | --- | --- |")
    for row in costs:
        seconds = row["seconds"]
        cells = [f"{seconds[key]:.2f}" for key in ("fit", *SCORERS)]
        print(f"| {row['classifier']} | {row['rows']:,} | {' | '.join(cells)} |")


def verdict(mean: float, p: float) -> str:
    if p >= 0.05:
        return "level"
    return "ahead" if mean > 0 else "behind"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--data", nargs="+", default=DATA, choices=DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    (run if args.what == "run" else report)(args)


if __name__ == "__main__":
    main()
