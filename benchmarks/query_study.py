"""Which query strategy is worth its labels? Paired draws on real data, all strategies.

``run`` appends one line a curve to a results file and continues where it stopped; ``report``
prints the tables. Files are looked for in the folder ``SKFI_DATA`` (see `study_data`).

Each draw has its own test rows, pool of 1,800 and first 20 labels, the same for all
strategies; then ten rounds of 20 labels, a logistic regression on standardised features. The
figure of merit is the mean height of the accuracy curve.

The rule of the default and its settings were chosen in a prototype on other draws (seeds 0 to
37) of these data sets; its kernel width and shortlist were compared once more on seeds 0 to 29
of adult, phoneme, spambase, sms, mnist and emnist. The tables are of fresh seeds.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import scipy
import sklearn
from joblib import Parallel, delayed
from scipy.stats import rankdata, wilcoxon
from skactiveml.pool import Badge, CoreSet, TypiClust
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from study_data import LOADERS, available
from threadpoolctl import threadpool_limits

import skfi
from skfi import FIActiveSampler, active_learning_curve
from skfi.integrations.skactiveml import SkactivemlStrategy
from skfi.queries import BALD, Entropy, LeastConfident, Margin, PowerMargin, Random, _cover
from skfi.queries._uncertainty import margin

DATA = ("adult", "bank", "celeba", "spambase", "phoneme", "sms", "toxic", "mnist", "digits",
        "emnist", "cifar")  # fmt: skip
# Those on which the last choice among settings was made.
CHOSEN_ON = ("adult", "phoneme", "spambase", "sms", "mnist", "emnist")
POOL, TEST, FIRST, LABELS = 1800, 3000, 20, 200
PAPER = {"utility": "fi", "selection": "top", "aggregate": "trimmed_mean",
         "validation_loss": "log_loss"}  # fmt: skip
DEFAULT, REFERENCE = "FI (default)", "margin"
RESULTS = Path(__file__).with_name("query_study.jsonl")
FIRST_SEED = 200


class Ablated(FIActiveSampler):
    """The default with one part of its rule changed."""

    by_margin = False  # the shortlist is margin's
    neighbour = 5  # the kernel's width is the distance to the nearest candidate but so many
    labelled = True  # labelled rows cover the pool
    weighed = True  # uncertain rows count more

    def _score(self, X_pool):
        if self.by_margin:
            return 1.0 - margin(self._proba(X_pool))
        return super()._score(X_pool)

    def _select(self, X_pool, scores, size, rng):
        original = _cover.greedy_cover

        def greedy(kernel, covered, weight, size):
            covered = covered if self.labelled else 0.0 * covered
            weight = weight if self.weighed else np.ones_like(weight)
            return original(kernel, covered, weight, size)

        with (
            mock.patch.object(_cover, "_NEIGHBOUR", self.neighbour),
            mock.patch.object(_cover, "greedy_cover", greedy),
        ):
            return super()._select(X_pool, scores, size, rng)


def ablated(shortlist: int = 5, **parts) -> FIActiveSampler:
    """A default with other class attributes."""
    return type("Ablated", (Ablated,), {**parts, "__init__": FIActiveSampler.__init__})(
        shortlist=shortlist
    )


MAIN = {
    DEFAULT: FIActiveSampler(),
    "margin, cover": ablated(by_margin=True),
    "FI, diverse (former default)": FIActiveSampler(selection="diverse"),
    REFERENCE: Margin(),
    "random": Random(),
}
ABLATION = {
    "FI, cover, shortlist of 3 ×": FIActiveSampler(shortlist=3),
    "FI, cover, shortlist of 10 ×": FIActiveSampler(shortlist=10),
    "margin, cover, shortlist of 10 ×": ablated(10, by_margin=True),
    "FI, cover, wider kernel (21st)": ablated(neighbour=20),
    "FI, cover, narrower kernel (3rd)": ablated(neighbour=2),
    "FI, cover, labels cover nothing": ablated(labelled=False),
    "FI, cover, all rows count alike": ablated(weighed=False),
    "FI, cover, K-FAC": FIActiveSampler(curvature="kfac"),
}
OTHERS = {
    "FI, top": FIActiveSampler(selection="top"),
    "FI, power": FIActiveSampler(selection="power"),
    "FI, the paper's (exact)": FIActiveSampler(**PAPER),
    "FI, the paper's (K-FAC)": FIActiveSampler(**PAPER, curvature="kfac"),
    "entropy": Entropy(),
    "least confident": LeastConfident(),
    "power margin": PowerMargin(),
    "BADGE": SkactivemlStrategy(Badge()),
    "core set": SkactivemlStrategy(CoreSet()),
    "TypiClust": SkactivemlStrategy(TypiClust()),
    "BALD (Laplace)": BALD(),
}
GROUPS = {"main": MAIN, "ablation": ABLATION, "others": OTHERS}
STRATEGIES = {**MAIN, **ABLATION, **OTHERS}
# What else is trained on the rows that a logistic regression asks for.
LEARNERS = {
    "boosting": HistGradientBoostingClassifier(min_samples_leaf=5, max_iter=50, random_state=0),
    "10 neighbours": KNeighborsClassifier(10),
}


def draw(X, y, seed: int):
    """Pool and test rows, standardised by the pool."""
    order = np.random.RandomState(seed).permutation(len(y))
    n_test = min(TEST, len(y) // 2)
    test, pool = order[:n_test], order[n_test : n_test + POOL]
    scaler = StandardScaler().fit(X[pool])
    return scaler.transform(X[pool]), y[pool], scaler.transform(X[test]), y[test]


def one(data: str, X, y, seed: int, name: str, batch: int, learners) -> dict:
    """One strategy on one draw."""
    pool, labels, test, truth = draw(X, y, seed)
    rounds = min(LABELS // batch, 10)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        curve = active_learning_curve(
            LogisticRegression(max_iter=1000, tol=1e-5), pool, labels,
            {name: STRATEGIES[name]}, X_test=test, y_test=truth, n_initial=FIRST,
            batch_size=batch, n_rounds=rounds, n_repeats=1, random_state=seed,
        )  # fmt: skip
        order = np.concatenate([curve.initial_indices[0], curve.indices[name][0]])
        others = {
            learner: [
                round(LEARNERS[learner].fit(pool[order[:n]], labels[order[:n]])
                      .score(test, truth), 6)
                for n in curve.n_labelled
            ]
            for learner in learners
        }  # fmt: skip
    return {
        "data": data, "seed": seed, "strategy": name, "batch": batch,
        "scores": [round(float(s), 6) for s in curve.scores[name][0]],
        "query": round(float(curve.query_seconds[name].mean()), 4), **others,
    }  # fmt: skip


def read(path: Path) -> list[dict]:
    """Results so far; a last line cut short is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def run(args) -> None:
    data, missing = available(args.data)
    if missing:
        print(f"left out, no file in SKFI_DATA: {', '.join(missing)}")
    done = {
        (row["data"], row["seed"], row["strategy"], row["batch"])
        for row in read(args.results)
        if all(learner in row for learner in args.learners)
    }
    tasks = [
        (name, X, y, seed, strategy, args.batch, args.learners)
        for seed in range(args.first_seed, args.first_seed + args.seeds)
        for name, (X, y) in data.items()
        for strategy in args.strategies
        if (name, seed, strategy, args.batch) not in done
    ]
    print(f"{len(tasks)} curves to go")
    start = time.perf_counter()
    with args.results.open("a") as file:
        for row in Parallel(args.jobs, return_as="generator_unordered")(
            delayed(one)(*task) for task in tasks
        ):
            file.write(json.dumps(row) + "\n")
            file.flush()
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p values."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty(len(p))
    out[order] = np.minimum(adjusted, 1.0)
    return out


class Table:
    """Mean heights in points (draws, strategies) of the draws that all strategies have."""

    def __init__(self, rows: list[dict], names, what: str = "scores"):
        height = {
            (r["data"], r["seed"], r["strategy"]): 100 * float(
                np.trapezoid(r[what]) / (len(r[what]) - 1)
            )
            for r in rows
            if what in r
        }  # fmt: skip
        self.names = [n for n in names if any(key[2] == n for key in height)]
        draws = sorted({key[:2] for key in height})
        self.draws = [d for d in draws if all((*d, n) in height for n in self.names)]
        self.values = np.array([[height[(*d, n)] for n in self.names] for d in self.draws])
        self.sets = np.array([d[0] for d in self.draws])
        self.data = [name for name in DATA if name in self.sets]
        self.seconds = {n: np.mean([r["query"] for r in rows if r["strategy"] == n])
                        for n in self.names}  # fmt: skip

    def ahead(self, name: str, of: str, sets=DATA) -> np.ndarray:
        """Points that a strategy is ahead of another, draw by draw."""
        own, other = self.names.index(name), self.names.index(of)
        return (self.values[:, own] - self.values[:, other])[np.isin(self.sets, sets)]

    def seeds(self) -> str:
        seeds = sorted({seed for _, seed in self.draws})
        return f"seeds {seeds[0]} to {seeds[-1]}, {len(self.draws)} paired draws"

    def against(self, of: str) -> None:
        """Lines of differences from one strategy, with Holm's p of paired tests."""
        others = [n for n in self.names if n != of]
        points = {n: self.ahead(n, of) for n in others}
        p = holm(np.array([wilcoxon(d).pvalue if d.any() else 1.0 for d in points.values()]))
        print(f"| strategy | mean height | points ahead of {of} | draws ahead | p (Holm) | "
              "worst set | rank | s/query |")  # fmt: skip
        print("| --- " * 8 + "|")
        rank = rankdata(-self.values, axis=1).mean(axis=0)
        for k in np.argsort(-self.values.mean(axis=0)):
            name = self.names[k]
            cells = [name, f"{self.values[:, k].mean():.2f}"]
            if name == of:
                cells += [""] * 4
            else:
                d = points[name]
                by_set = {s: self.ahead(name, of, [s]).mean() for s in self.data}
                worst = min(by_set, key=by_set.get)
                share = (d > 0).mean() + 0.5 * (d == 0).mean()
                cells += [f"{d.mean():+.2f}", f"{share:.0%}", f"{p[others.index(name)]:.2g}",
                          f"{worst} {by_set[worst]:+.2f}"]  # fmt: skip
            cells += [f"{rank[k]:.1f}", f"{self.seconds[name]:.3f}"]
            print("| " + " | ".join(cells) + " |")
        print()


def report(args) -> None:
    rows = read(args.results)
    kept = {b: [r for r in rows if r["batch"] == b] for b in sorted({r["batch"] for r in rows})}
    main = Table(kept[20], MAIN)
    print("# Query study\n")
    print(__doc__.split("\n\n", 2)[2].strip() + "\n")
    print(
        f"skfi {skfi.__version__}, scikit-learn {sklearn.__version__}, numpy "
        f"{np.__version__}, scipy {scipy.__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}, one thread.\n"
    )
    print(
        "Heights are mean accuracies in percent over the curve. Tests are Wilcoxon's, paired "
        "over the draws; Holm's correction is over the lines of a table. The worst set is the "
        "data set with the smallest mean difference. A p above 0.05 is called level. Seconds "
        "of a query are those of a busy machine; `make bench-cover` times them in turn.\n"
    )
    print(f"## Against margin\n\n{', '.join(main.data)}; {main.seeds()}.\n")
    main.against(REFERENCE)
    print("Is FI's shortlist worth it? The same table against margin's shortlist:\n")
    main.against("margin, cover")
    unseen = [name for name in main.data if name not in CHOSEN_ON]
    ahead = main.ahead(DEFAULT, REFERENCE, unseen)
    if len(ahead):
        print(
            f"Data sets on which no setting was compared ({', '.join(unseen)}): "
            f"{ahead.mean():+.2f} points ahead of margin, p = {wilcoxon(ahead).pvalue:.2g}.\n"
        )
    print("## By data set\n\nMean heights; in brackets points ahead of margin.\n")
    print("| strategy | " + " | ".join(main.data) + " |")
    print("| --- " * (len(main.data) + 1) + "|")
    for k, name in enumerate(main.names):
        cells = [
            f"{main.values[main.sets == s, k].mean():.2f} "
            f"({main.ahead(name, REFERENCE, [s]).mean():+.2f})"
            for s in main.data
        ]
        print("| " + " | ".join([name, *cells]) + " |")
    print()
    for title, names in (("Ablation", ABLATION), ("Other strategies", OTHERS)):
        part = Table(kept[20], {**MAIN, **names})
        if len(part.names) > len(main.names) and len(part.draws):
            print(f"## {title}\n\n{part.seeds().capitalize()}.\n")
            part.against(REFERENCE)
    for batch in kept.keys() - {20}:
        part = Table(kept[batch], MAIN)
        last = FIRST + batch * min(LABELS // batch, 10)
        print(f"## Batches of {batch}\n\n{FIRST} to {last} labels; {part.seeds()}.\n")
        part.against(REFERENCE)
    for learner in LEARNERS:
        part = Table(kept[20], MAIN, learner)
        if part.names:
            print(f"## Labels for another learner: {learner}\n\nThe logistic regression asks, "
                  f"{learner} are trained on the labels; {part.seeds()}.\n")  # fmt: skip
            part.against(REFERENCE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(LOADERS))
    parser.add_argument("--group", choices=list(GROUPS), default="main")
    parser.add_argument("--strategies", nargs="+", default=None, choices=list(STRATEGIES))
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--learners", nargs="*", default=[], choices=list(LEARNERS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    args.strategies = args.strategies or list(GROUPS[args.group])
    (run if args.what == "run" else report)(args)


if __name__ == "__main__":
    main()
