"""Which rule should `skfi trim --budget auto` choose its budget by?

The command itself, from its table of columns to its pipeline and folds, on draws of real
tables: 1,000 rows to train on (half of a smaller table), whose labels are partly flipped,
0, 200 or 1,000 rows with checked labels for ``--val``, and up to 5,000 clean rows to test.
Both rules see the same draw, the same scores and the same folds, so the difference is theirs.

    SKFI_DATA=folder python benchmarks/cli_rule.py run
    python benchmarks/cli_rule.py report > benchmarks/cli_rule.md

`run` appends to a file of results and goes on where it was stopped; `report` prints tables.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import pyarrow as pa
import sklearn
from scipy.stats import wilcoxon
from sklearn.base import clone
from study_data import FOLDER, available
from trimming_study import read

from skfi._cli._columns import plan_columns
from skfi._cli._console import Console
from skfi._cli._main import make_parser
from skfi._cli._tables import ParquetTable
from skfi._cli._trim import Rows, _make_trimmer
from skfi._utils._budget import budget_mass
from skfi.inspection._gain import fold_scores

RESULTS = Path(__file__).with_name("cli_rule.jsonl")
RULES = ("best", "one_standard_error")
FLIPPED = {"clean": 0.0, "10 % flipped": 0.1, "20 % flipped": 0.2}
CHECKED = (0, 200, 1000)  # rows of --val
N_TRAIN, LEAST_TEST, MOST_TEST = 1000, 250, 5000
LOSS = 0.2  # points of accuracy that are more than noise in the last digit
TARGET = "label"
DATA = ("adult", "bank", "spambase", "phoneme", "sms", "digits", "cancer")
ONLY_CHECKED = ("digits",)  # ten classes: half a minute a draw without --val


def frames(names) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Tables as a user has them: text where there is text, one column of labels."""
    found, missing = {}, []
    raw = {"adult": ("adult.parquet", "income"), "bank": ("bank_additional_full.parquet", "y")}
    for name in names:
        path, target = raw.get(name, ("", ""))
        if path and (FOLDER / path).exists():
            frame = pd.read_parquet(FOLDER / path).drop(columns="split", errors="ignore")
            found[name] = frame.rename(columns={target: TARGET})
            continue
        arrays, lacking = available([name] if name not in raw else [])
        missing += lacking + ([name] if name in raw else [])
        for X, y in arrays.values():
            columns = [f"x{k}" for k in range(X.shape[1])]
            found[name] = pd.DataFrame(X, columns=columns).assign(**{TARGET: y})
    return found, missing


def parts(frame: pd.DataFrame, seed: int, n_checked: int):
    """Training, checked and test rows of one draw, or None where there are too few."""
    n_train = min(N_TRAIN, len(frame) // 2)
    order = np.random.default_rng(seed).permutation(len(frame))
    # The rows of the largest --val are set aside for all, so that the test rows are the same.
    aside = max(n for n in CHECKED if len(frame) - n_train - n >= LEAST_TEST)
    if n_checked > aside:
        return None
    train, rest = order[:n_train], order[n_train:]
    return train, rest[:n_checked], rest[aside : aside + MOST_TEST]


def flipped(y: np.ndarray, share: float, rng) -> np.ndarray:
    """Labels, a share of them turned into another class at random."""
    codes, (hit,) = y.copy(), np.nonzero(rng.random(len(y)) < share)
    classes = np.unique(y)
    places = np.searchsorted(classes, y[hit]) + rng.integers(1, len(classes), len(hit))
    codes[hit] = classes[places % len(classes)]
    return codes


def one(name: str, frame: pd.DataFrame, seed: int, noise: str, n_checked: int) -> dict | None:
    """What either rule takes on one draw, and the test accuracy with it."""
    drawn = parts(frame, seed, n_checked)
    if drawn is None:
        return None
    labels = frame[TARGET].astype(str).to_numpy()
    features = frame.drop(columns=TARGET)
    console = Console(quiet=True)
    tables = [
        ParquetTable(name, pa.Table.from_pandas(features.iloc[rows], preserve_index=False))
        for rows in drawn
        if len(rows)
    ]
    plan = plan_columns(tables[0], TARGET, [], [], console)
    encoded = [plan.rows(table, console) for table in tables]
    X, X_test = encoded[0], encoded[-1]
    y = flipped(labels[drawn[0]], FLIPPED[noise], np.random.default_rng([seed, 1]))
    y_test = labels[drawn[2]]
    train = Rows(tables[0], X, y)
    val = Rows(tables[1], encoded[1], labels[drawn[1]]) if n_checked else None

    args = make_parser().parse_args(["trim", name, "--target", TARGET, "--rule", "best"])
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trimmer = _make_trimmer(args, plan, train, val)
        trimmer.fit(X, y, **({} if val is None else {"X_val": val.X, "y_val": val.y}))
        took = time.process_time() - started
        budgets, scores = fold_scores(trimmer)
        # The rows of a smaller budget are the first that go with a larger one.
        reach = len(trimmer.trimmed_indices_)
        tested = {}
        for budget in budgets:
            n_dropped = int(budget_mass(budget, np.ones(len(y))))
            if n_dropped <= reach:
                kept = np.delete(np.arange(len(y)), trimmer.trimmed_indices_[:n_dropped])
                model = clone(trimmer.estimator).fit(X[kept], y[kept])
                tested[budget] = float(model.score(X_test, y_test))
    rows = SimpleNamespace(weight=np.ones(len(y)))
    chosen = {
        rule: budgets[clone(trimmer).set_params(rule=rule)._choose(scores, budgets, rows)]
        for rule in RULES
    }
    return {
        "data": name, "seed": seed, "noise": noise, "checked": n_checked, "chosen": chosen,
        "test": [[budget, score] for budget, score in tested.items()],
        "folds": [[budget, *row] for budget, row in zip(budgets, scores.tolist(), strict=True)],
        "seconds": took, "n_test": len(y_test),
    }  # fmt: skip


def run(args) -> None:
    found, missing = frames(args.data)
    if missing:
        print(f"left out, no file in SKFI_DATA: {', '.join(missing)}")
    keys = ("data", "seed", "noise", "checked")
    done = {tuple(row[key] for key in keys) for row in read(args.results)}
    with args.results.open("a") as file:
        for seed in range(args.seeds):
            for draw in (
                (name, frame, seed, noise, n)
                for name, frame in found.items()
                for noise in FLIPPED
                for n in CHECKED
                if (name, seed, noise, n) not in done and (n or name not in ONLY_CHECKED)
            ):
                row = one(*draw)
                if row is not None:
                    file.write(json.dumps(row) + "\n")
                    file.flush()


def outcome(row: dict, rule: str) -> tuple[float, float]:
    """Gain in points of test accuracy, and the share of dropped rows."""
    tested = dict(map(tuple, row["test"]))
    budget = row["chosen"][rule]
    return 100 * (tested[budget] - tested[0]), budget


def summary(rows: list[dict], rule: str) -> list[str]:
    """Mean gain, its worst tenth, the share of losses, and the dropped rows."""
    gains, shares = np.array([outcome(row, rule) for row in rows]).T
    worst = np.sort(gains)[: max(1, round(len(gains) / 10))].mean()
    return [
        f"{gains.mean():+.2f}",
        f"{worst:+.2f}",
        f"{np.mean(gains < -LOSS):.0%}",
        f"{shares.mean():.1%}",
    ]


def table(heads: list[str], groups: list[tuple[list[str], list[dict]]]) -> list[str]:
    """Both rules side by side for each group of draws."""
    heads = [*heads, "draws"]
    for what in ("gain", "worst tenth", f"lose > {LOSS}", "dropped"):
        heads += [f"{what}: {rule}" for rule in RULES]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for names, rows in groups:
        if rows:
            pairs = zip(*(summary(rows, rule) for rule in RULES), strict=True)
            cells = [*names, str(len(rows)), *(cell for pair in pairs for cell in pair)]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def report(args) -> None:
    rows = read(args.results)
    names = [name for name in DATA if any(row["data"] == name for row in rows)]
    seeds = sorted({row["seed"] for row in rows})
    print("# The rule of `skfi trim --budget auto`\n")
    print(
        "Gain over the untrimmed classifier in points of test accuracy, the mean of the worst "
        f"tenth of the draws, the share of draws that lose more than {LOSS} points, and the "
        "mean share of rows dropped, for either rule on the same draws. Logistic regression "
        "behind the command's own preparation; flipped labels in the training rows alone, so "
        "that without --val the rows that choose have them too.\n"
    )
    print(
        f"Data sets: {', '.join(names)}; {', '.join(ONLY_CHECKED)} with --val alone, and none "
        f"with more rows of it than leave {LEAST_TEST} to test. Seeds: {seeds}. Draws: "
        f"{len(rows)}."
    )
    print(
        f"skfi {version('skfi')}, scikit-learn {sklearn.__version__}, numpy "
        f"{np.__version__}, pandas {pd.__version__}, {platform.machine()}; "
        f"{sum(row['seconds'] for row in rows) / 60:.0f} minutes of one core.\n"
    )
    grid = [(noise, n) for n in CHECKED for noise in FLIPPED]

    def select(noise=None, checked=None, data=None):
        wanted = {"noise": noise, "checked": checked, "data": data}
        return [r for r in rows if all(v in (None, r[k]) for k, v in wanted.items())]

    groups = [([noise, str(n)], select(noise, n)) for noise, n in grid]
    flips = [row for row in rows if row["noise"] != "clean"]
    groups += [(["clean", "all"], select("clean")), (["flipped", "all"], flips)]
    print("\n".join(table(["labels", "--val rows"], [*groups, (["all", "all"], rows)])) + "\n")
    by_data = [([name, noise], select(noise, data=name)) for name in names for noise in FLIPPED]
    print("## By data set\n")
    print("\n".join(table(["data", "labels"], by_data)) + "\n")
    best, careful = (np.array([outcome(row, rule)[0] for row in rows]) for rule in RULES)
    apart = best != careful
    if apart.any():
        print(
            f"The rules differ in {apart.sum()} of {len(rows)} draws; `{RULES[0]}` is ahead in "
            f"{(best > careful).mean():.0%} of all, `{RULES[1]}` in "
            f"{(careful > best).mean():.0%} (Wilcoxon over all draws: p = "
            f"{wilcoxon(best, careful).pvalue:.1g})."
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", nargs="+", default=DATA, choices=DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    (run if args.what == "run" else report)(args)


if __name__ == "__main__":
    main()
