"""What are checked rows worth: trimming with them, beside all else that they can be used for.

Each data set is split into 1,000 rows to train on (a third, where there are fewer than 3,000),
rows whose labels were checked, and up to 5,000 to test. Every arm gets the same rows and noise,
so that differences are paired.

    SKFI_DATA=folder python benchmarks/checked_study.py run --seeds 0 10
    python benchmarks/checked_study.py report

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
from cleanlab.classification import CleanLearning
from scipy.stats import wilcoxon
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler
from study_data import LOADERS, available
from trimming_study import read

import skfi
from skfi import FITrimmer, FITrimmerCV

RESULTS = Path(__file__).with_name("checked_study.jsonl")
DATA = [name for name in LOADERS if name not in ("mnist", "emnist", "cifar")]
SIZES = (50, 100, 300, 1000)
NOISE = ("clean", "20 % flipped", "20 % by class", "20 % near the boundary")


def logistic(labels) -> LogisticRegression:
    """Converged, by the solver that is quick for so many classes."""
    if np.max(labels) > 1:
        return LogisticRegression(tol=1e-6, max_iter=3000)
    return LogisticRegression(solver="newton-cholesky", tol=1e-6)


def trimmed(**options):
    """A fifth dropped in steps of 5 %, with or without the checked rows."""

    def fit(A, a, V, v, seed):
        given = {} if options.get("unused") or V is None else {"X_val": V, "y_val": v}
        chosen = {key: value for key, value in options.items() if key != "unused"}
        trimmer = FITrimmer(logistic(a), budget=0.2, random_state=seed, **chosen)
        return trimmer.fit(A, a, **given)

    return fit


def chosen(**options):
    """`FITrimmerCV` as it comes."""

    def fit(A, a, V, v, seed):
        given = {} if options.get("unused") or V is None else {"X_val": V, "y_val": v}
        left = {key: value for key, value in options.items() if key != "unused"}
        return FITrimmerCV(logistic(a), random_state=seed, **left).fit(A, a, **given)

    return fit


def cleanlab(A, a, V, v, seed):
    """`CleanLearning` as it comes, on all labels there are."""
    X, y = (A, a) if V is None else (np.concatenate([A, V]), np.concatenate([a, v]))
    codes = np.unique(y, return_inverse=True)[1]
    model = CleanLearning(logistic(a), seed=seed).fit(X, codes).clf
    model.classes_ = np.unique(y)
    return model


PLAIN = "A, nothing dropped"
DEFAULT = "FITrimmerCV"
ARMS = {
    PLAIN: lambda A, a, V, v, seed: logistic(a).fit(A, a),
    "A and V, nothing dropped": lambda A, a, V, v, seed: logistic(a).fit(
        np.concatenate([A, V]), np.concatenate([a, v])
    ),
    "V alone": lambda A, a, V, v, seed: logistic(a).fit(V, v),
    "CleanLearning": cleanlab,
    DEFAULT: chosen(),
    "FITrimmerCV, V judges alone": chosen(checked_rows="judge"),
    "FITrimmerCV, V unused": chosen(unused=True),
    "FITrimmerCV, self-confidence": chosen(influence="self_confidence"),
    "FITrimmerCV, IV": chosen(influence="iv"),
    "a fifth dropped": trimmed(),
    "a fifth dropped, last fit without V": trimmed(checked_rows="folds"),
    "a fifth dropped, V judges alone": trimmed(checked_rows="judge"),
    "a fifth dropped, V unused": trimmed(unused=True),
    "a fifth dropped, self-confidence": trimmed(influence="self_confidence"),
    # Without V: probabilities, and rare classes.
    "FITrimmerCV, log loss, V unused": chosen(scoring="neg_log_loss", unused=True),
    "FITrimmerCV, balanced accuracy, V unused": chosen(
        scoring="balanced_accuracy", validation_class_weight="balanced", unused=True
    ),
    "5 % dropped": lambda A, a, V, v, seed: FITrimmer(logistic(a)).fit(A, a),
    "5 % dropped, classes balanced": lambda A, a, V, v, seed: FITrimmer(
        logistic(a), validation_class_weight="balanced"
    ).fit(A, a),
    "5 % dropped, calibrated": lambda A, a, V, v, seed: CalibratedClassifierCV(
        FITrimmer(logistic(a)), ensemble=False
    ).fit(A, a),
}
# Which arms do not look at V: they are fitted once for all V.
BLIND = (PLAIN, *(arm for arm in ARMS if "unused" in arm or arm.startswith("5 %")))
RARE = ("bank", "sms", "toxic")  # a class of 11 to 13 %


def flip(X, y, share: float, kind: str, n_classes: int, rng) -> np.ndarray:
    """Labels of which about ``share`` are wrong: anywhere, by class, or near the boundary."""
    y = y.copy()
    if kind == "20 % by class":  # the larger half of the classes is spared
        sizes = np.bincount(y, minlength=n_classes)
        prone = np.argsort(-sizes, kind="stable")[: max(1, n_classes // 2)]
        odds = np.isin(y, prone).astype(float)
    elif kind == "20 % near the boundary":
        top = np.sort(logistic(y).fit(X, y).predict_proba(X), axis=1)
        odds = np.exp(-4.0 * (top[:, -1] - top[:, -2]))
    else:
        odds = np.ones(len(y))
    rate = share * len(y) * odds / odds.sum()
    hit = rng.random(len(y)) < np.minimum(rate, 0.45 if kind != NOISE[1] else share)
    if kind == "20 % by class":
        y[hit] = (y[hit] + 1) % n_classes  # always mistaken for the same other class
    else:
        y[hit] = (y[hit] + rng.integers(1, n_classes, hit.sum())) % n_classes
    return y


def draw(X, y, seed: int, noise: str, size: int, dirty: bool):
    """Scaled rows and labels: train, checked (None for a size of 0), test."""
    order = np.random.default_rng(seed).permutation(len(y))
    n = min(1000, len(y) // 3)
    train, val, test = order[:n], order[n : n + min(size, n)], order[2 * n : 2 * n + 5000]
    scaler = StandardScaler().fit(X[train])
    A, V, T = (
        np.clip(scaler.transform(X[p]), -20, 20) for p in (train, order[n : 2 * n], test)
    )
    n_classes = int(y.max()) + 1
    rng = np.random.default_rng([seed, NOISE.index(noise)])
    a = y[train] if noise == "clean" else flip(A, y[train], 0.2, noise, n_classes, rng)
    V, v = V[: len(val)], y[val].copy()
    if dirty:
        v = flip(V, v, 0.2, NOISE[1], n_classes, np.random.default_rng([seed, 99]))
    return (A, a), ((V, v) if size else (None, None)), (T, y[test])


def judged(model, T, t) -> dict[str, float]:
    classes = np.asarray(model.classes_)
    proba = np.full((len(t), int(max(t.max(), classes.max())) + 1), 1e-15)
    proba[:, classes] = model.predict_proba(T)
    predicted = classes[proba[:, classes].argmax(axis=1)]
    return {
        "accuracy": float(np.mean(predicted == t)),
        "balanced": float(balanced_accuracy_score(t, predicted)),
        "log_loss": float(log_loss(t, proba / proba.sum(axis=1, keepdims=True),
                                   labels=np.arange(proba.shape[1]))),
    }  # fmt: skip


def run(args) -> None:
    data, missing = available(args.data)
    if missing:
        print(f"left out, no file in SKFI_DATA: {', '.join(missing)}")
    keys = ("data", "seed", "noise", "size", "dirty", "arm")
    done = {tuple(row[key] for key in keys) for row in read(args.results)}
    warnings.simplefilter("ignore")
    with args.results.open("a") as file:
        for seed in range(*args.seeds):
            for name, (X, y) in data.items():
                for noise in args.noise:
                    for size in args.sizes:
                        for dirty in (True, False) if args.dirty else (False,):
                            for arm in args.arms:
                                blind = arm in BLIND
                                at = (0, False) if blind else (size, dirty)
                                key = (name, seed, noise, *at, arm)
                                if key in done or (size == 0 and not blind):
                                    continue
                                done.add(key)
                                (A, a), (V, v), (T, t) = draw(X, y, seed, noise, *at)
                                try:
                                    model = ARMS[arm](A, a, V, v, seed)
                                except ValueError as error:  # one class among few rows
                                    print(key, str(error)[:80])
                                    continue
                                row = dict(zip(keys, key, strict=True)) | judged(model, T, t)
                                if hasattr(model, "budget_"):
                                    row["budget"] = float(model.budget_)
                                    row["used"] = model.checked_rows_
                                file.write(json.dumps(row) + "\n")
                                file.flush()


def gains(rows, metric: str) -> dict[tuple, dict[tuple, float]]:
    """Over the plain model on the same draw, in points: (noise, size, dirty, arm) -> draws."""
    sign = -100.0 if metric == "log_loss" else 100.0
    plain = {
        (row["noise"], row["data"], row["seed"]): row[metric]
        for row in rows
        if row["arm"] == PLAIN
    }
    out: dict[tuple, dict[tuple, float]] = {}
    for row in rows:
        before = plain.get((row["noise"], row["data"], row["seed"]))
        if before is not None:
            key = row["noise"], row["size"], row["dirty"], row["arm"]
            draws = out.setdefault(key, {})
            draws[row["data"], row["seed"]] = sign * (row[metric] - before)
    return out


def cell(draws: dict[tuple, float] | None, best: dict[tuple, float] | None = None) -> str:
    """Mean of the data sets, the worst of them, and how the default does against it."""
    if not draws:
        return "–"
    names = dict.fromkeys(name for name, _ in draws)
    means = {k: np.mean([g for (d, _), g in draws.items() if d == k]) for k in names}
    worst = min(means, key=lambda k: means[k])
    text = f"{np.mean(list(means.values())):+.2f} ({means[worst]:+.2f} {worst}; {len(draws)})"
    both = [k for k in draws if best and k in best]
    if both:
        ahead = np.array([best[k] - draws[k] for k in both])
        p = wilcoxon(ahead).pvalue if ahead.any() else 1.0
        text += f" [{ahead.mean():+.2f}, p = {p:.2g}]"
    return text


def table(found, noise: str, dirty: bool) -> list[str]:
    lines = ["| accuracy | " + " | ".join(f"V = {n:,}" for n in SIZES) + " |"]
    lines.append("| --- " * (len(SIZES) + 1) + "|")
    for arm in ARMS:
        cells = []
        for size in SIZES:
            at = (0, False) if arm in BLIND else (size, dirty)
            best = None if arm == DEFAULT else found.get((noise, size, dirty, DEFAULT))
            cells.append(cell(found.get((noise, *at, arm)), best))
        other = arm in BLIND and not arm.endswith("CV, V unused")  # of the last table
        if not other and any(text != "–" for text in cells):
            lines.append("| " + " | ".join([arm, *cells]) + " |")
    return lines


def report(args) -> None:
    rows = read(args.results)
    seeds = sorted({row["seed"] for row in rows})
    names = [name for name in LOADERS if any(row["data"] == name for row in rows)]
    print("# Checked rows\n")
    print(
        "1,000 training rows A (a third of smaller sets), V checked rows, logistic regression. "
        "Gain over the classifier fitted on A, in points, mean of the data sets (worst data "
        "set and number of draws in round brackets). In square brackets how far `FITrimmerCV` "
        "as it comes is ahead of the row, draw by draw, with the p of a Wilcoxon test over "
        "the draws.\n"
    )
    print(f"Data sets: {', '.join(names)}. Seeds: {seeds[0]} to {seeds[-1]}.")
    print(
        f"skfi {skfi.__version__}, scikit-learn {sklearn.__version__}, numpy "
        f"{np.__version__}, scipy {scipy.__version__}, {platform.machine()}.\n"
    )
    accuracy = gains(rows, "accuracy")
    for noise, dirty, title in (
        (NOISE[1], False, "A fifth of the labels of A flipped"),
        (NOISE[1], True, "A fifth of the labels of A and of V flipped"),
        ("clean", False, "Clean labels"),
        (NOISE[2], False, "A fifth of the labels wrong, in the larger classes"),
        (NOISE[3], False, "A fifth of the labels wrong, near the boundary"),
    ):
        lines = table(accuracy, noise, dirty)
        if len(lines) > 2:
            print(f"## {title}\n\n" + "\n".join(lines) + "\n")
    print("## Probabilities and rare classes\n")
    print(
        "No checked rows. Log loss: what it falls by, times 100 (negative is worse). Balanced "
        f"accuracy: {', '.join(RARE)} alone, in points.\n"
    )
    print("| | log loss, clean | log loss, flipped | balanced, clean | balanced, flipped |")
    print("| --- " * 5 + "|")
    parts = gains(rows, "log_loss"), gains([r for r in rows if r["data"] in RARE], "balanced")
    for arm in BLIND[1:]:
        cells = [
            cell(part.get((noise, 0, False, arm))) for part in parts for noise in NOISE[:2]
        ]
        if cells[0] != "–":
            print("| " + " | ".join([arm, *cells]) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10))
    parser.add_argument("--data", nargs="+", default=DATA, choices=list(LOADERS))
    parser.add_argument("--noise", nargs="+", default=NOISE[:2], choices=NOISE)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--dirty", action="store_true", help="with a fifth of V wrong as well")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    (run if args.what == "run" else report)(args)
