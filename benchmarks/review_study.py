"""Which rows should a person look at first: accuracy against rows reviewed.

A fifth of the labels of 1,000 training rows is flipped. In each round an oracle reviews the 5 %
that an order puts first, among the rows not reviewed yet, and corrects their labels. Reviewed
rows count as checked: the orders that can train and judge with them.

    SKFI_DATA=folder python benchmarks/review_study.py > benchmarks/review_study.md
"""

from __future__ import annotations

import argparse
import os
import platform
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy
import sklearn
from checked_study import DATA, draw, logistic
from query_study import holm
from scipy.stats import wilcoxon
from study_data import available

import skfi
from skfi import FITrimmer
from skfi.baselines import loss, self_confidence

ROUNDS = 6
SHARE = 0.05


def influence(A, a, V, v, seed):
    """The trimmer's scores, of the rows that are not reviewed yet."""
    given = {} if V is None else {"X_val": V, "y_val": v}
    trimmer = FITrimmer(logistic(a), budget=0, step=None, random_state=seed)
    return trimmer.fit(A, a, **given).influence_


def fitted(A, a, V, v):
    if V is None:
        return logistic(a).fit(A, a)
    return logistic(a).fit(np.concatenate([A, V]), np.concatenate([a, v]))


ORDERS = {
    "influence (FITrimmer)": influence,
    "self-confidence (cleanlab's)": lambda A, a, V, v, seed: self_confidence(
        fitted(A, a, V, v), A, a, V, v, random_state=seed
    ),
    "highest loss": lambda A, a, V, v, seed: loss(fitted(A, a, V, v), A, a),
    "random": lambda A, a, V, v, seed: np.random.default_rng([seed, 1]).random(len(a)),
}


def review(A, given, right, T, t, order, seed) -> tuple[list[float], list[float]]:
    """Accuracy after each round, and the share of reviewed rows that were wrong."""
    labels, reviewed = given.copy(), np.zeros(len(given), dtype=bool)
    accuracy, wrong = [logistic(labels).fit(A, labels).score(T, t)], []
    for _ in range(ROUNDS):
        left, done = np.flatnonzero(~reviewed), np.flatnonzero(reviewed)
        checked = (A[done], labels[done]) if len(done) else (None, None)
        scores = ORDERS[order](A[left], labels[left], *checked, seed)
        rows = left[np.argsort(-scores, kind="stable")[: int(SHARE * len(A))]]
        wrong.append(float(np.mean(labels[rows] != right[rows])))
        labels[rows], reviewed[rows] = right[rows], True
        accuracy.append(logistic(labels).fit(A, labels).score(T, t))
    return accuracy, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", nargs="+", default=DATA)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    data, missing = available(args.data)
    curves = {order: [] for order in ORDERS}
    caught = {order: [] for order in ORDERS}
    for X, y in data.values():
        for seed in range(args.seeds):
            (A, given), _, (T, t) = draw(X, y, seed, "20 % flipped", 0, False)
            right = draw(X, y, seed, "clean", 0, False)[0][1]
            for order in ORDERS:
                accuracy, wrong = review(A, given, right, T, t, order, seed)
                curves[order].append(100 * (np.array(accuracy) - accuracy[0]))
                caught[order].append(100 * np.mean(wrong))
    print("# Reviewing labels\n")
    print(
        "A fifth of the labels of 1,000 training rows (a third of smaller sets) is flipped; "
        f"{SHARE:.0%} of the rows are reviewed a round, and corrected. Gain in points of test "
        "accuracy over no review, logistic regression on all rows; share of the reviewed rows "
        "that were wrong. p: Wilcoxon test of the mean gain over the rounds against the order "
        "by influence, over the draws (Holm).\n"
    )
    print(f"Data sets: {', '.join(data)}. {args.seeds} draws each.", end=" ")
    if missing:
        print(f"Left out, no file: {', '.join(missing)}.", end=" ")
    print(
        f"skfi {skfi.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, {platform.machine()}.\n"
    )
    heads = [f"{SHARE * (k + 1):.0%}" for k in range(ROUNDS)]
    print("| order | " + " | ".join(heads) + " | wrong among the reviewed | p |")
    print("| --- " * (ROUNDS + 3) + "|")
    names = list(ORDERS)
    heights = {order: np.array(curves[order])[:, 1:].mean(axis=1) for order in names}
    p = holm(np.array([wilcoxon(heights[names[0]] - heights[o]).pvalue for o in names[1:]]))
    for order, value in zip(names, ["", *(f"{one:.2g}" for one in p)], strict=True):
        cells = [f"{gain:+.2f}" for gain in np.array(curves[order]).mean(axis=0)[1:]]
        print(
            f"| {order} | "
            + " | ".join(cells)
            + f" | {np.mean(caught[order]):.0f} % | {value} |"
        )


if __name__ == "__main__":
    main()
