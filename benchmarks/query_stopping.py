"""How early, how late and how wrongly `StablePredictions` stops labelling.

Curves of the default strategy on the study's data sets (see `query_study`), 20 first labels and
25 rounds of 20; the rule is applied afterwards, for several thresholds. ``run`` appends one
line a curve to a results file and continues where it stopped; ``report`` prints the table.

A stop is early where the curve later rises by more than a point above its height at the stop,
and a miss where the rule never stops although the last ten rounds gained less than half a
point.
"""

from __future__ import annotations

import argparse
import json
import platform
import warnings
from pathlib import Path

import numpy as np
import sklearn
from query_study import DATA, FIRST_SEED, draw, read
from sklearn.linear_model import LogisticRegression
from study_data import available
from threadpoolctl import threadpool_limits

import skfi
from skfi import FIActiveSampler, active_learning_curve
from skfi.queries import StablePredictions

FIRST, BATCH, ROUNDS = 20, 20, 25
THRESHOLDS = (0.99, 0.97, 0.95, 0.9)
EARLY, FLAT = 1.0, 0.5  # points
RESULTS = Path(__file__).with_name("query_stopping.jsonl")


def one(data: str, X, y, seed: int) -> dict:
    """Scores and kappas of a whole curve."""
    pool, labels, test, truth = draw(X, y, seed)
    never = StablePredictions(threshold=1.0, window=ROUNDS + 1)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        curve = active_learning_curve(
            LogisticRegression(max_iter=1000, tol=1e-5), pool, labels,
            {"FI": FIActiveSampler()}, X_test=test, y_test=truth, n_initial=FIRST,
            batch_size=BATCH, n_rounds=ROUNDS, n_repeats=1, random_state=seed, stopping=never,
        )  # fmt: skip
    scores, kappas = curve.scores["FI"][0], curve.agreement["FI"][0, 1:]
    return {
        "data": data, "seed": seed, "scores": np.round(scores, 6).tolist(),
        "kappas": np.round(kappas, 6).tolist(),
    }  # fmt: skip


def run(args) -> None:
    data, missing = available(args.data)
    if missing:
        print(f"left out, no file in SKFI_DATA: {', '.join(missing)}")
    done = {(row["data"], row["seed"]) for row in read(args.results)}
    with args.results.open("a") as file:
        for seed in range(FIRST_SEED, FIRST_SEED + args.seeds):
            for name, (X, y) in data.items():
                if (name, seed) not in done:
                    file.write(json.dumps(one(name, X, y, seed)) + "\n")
                    file.flush()


def report(args) -> None:
    rows = read(args.results)
    seeds = sorted({row["seed"] for row in rows})
    print("# Labelling that stops by itself\n")
    print(__doc__.split("\n\n", 1)[1].strip() + "\n")
    print(
        f"Seeds {seeds[0]} to {seeds[-1]}, {len(rows)} curves; skfi {skfi.__version__}, "
        f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, Python "
        f"{platform.python_version()}, {platform.machine()}.\n"
    )
    print("| threshold | stopped | labels at the stop, median | points below the end, mean | "
          "early stops | misses |")  # fmt: skip
    print("| --- " * 6 + "|")
    stops = {}
    for threshold in THRESHOLDS:
        rule = StablePredictions(threshold=threshold)
        labels, below, early, misses = [], [], 0, 0
        for row in rows:
            scores = 100 * np.array(row["scores"])
            ends = [n for n in range(1, ROUNDS + 1) if rule.reached(row["kappas"][:n])]
            stops[row["data"], row["seed"], threshold] = ends[0] if ends else None
            if not ends:
                misses += scores[-1] - scores[-11] < FLAT
                continue
            labels.append(FIRST + BATCH * ends[0])
            below.append(scores[-1] - scores[ends[0]])
            early += scores[ends[0] :].max() - scores[ends[0]] > EARLY
        cells = [f"{threshold:g}", f"{len(labels)} of {len(rows)}"]
        cells += [f"{np.median(labels):.0f}", f"{np.mean(below):+.2f}"] if labels else ["", ""]
        print("| " + " | ".join([*cells, str(early), str(misses)]) + " |")
    print("\nLabels at the stop by data set and draw (a dash: never):\n")
    print("| data | " + " | ".join(f"{t:g}" for t in THRESHOLDS) + " | accuracy at the end |")
    print("| --- " * (len(THRESHOLDS) + 2) + "|")
    for name in [n for n in DATA if any(row["data"] == n for row in rows)]:
        own = [row for row in rows if row["data"] == name]
        cells = []
        for threshold in THRESHOLDS:
            ends = [stops[name, row["seed"], threshold] for row in own]
            cells.append(", ".join("–" if e is None else str(FIRST + BATCH * e) for e in ends))
        last = np.mean([row["scores"][-1] for row in own])
        print("| " + " | ".join([name, *cells, f"{100 * last:.1f}"]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="+", default=list(DATA))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    (run if args.what == "run" else report)(args)


if __name__ == "__main__":
    main()
