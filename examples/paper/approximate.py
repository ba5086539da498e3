"""The published version's approximate FI for active learning, beside the exact one."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from scipy.stats import t as student_t

from skfi import FIActiveSampler, active_learning_curve
from skfi.queries import Random

from ._active import RANDOM, FromCandidates, areas, finals
from ._drawing import COLOURS, MARKERS, curve, save
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._statistics import Paired, paired, spread, verdict
from ._table import markdown
from .figure3 import TABLE_4, classifier, parts

EXACT, KFAC, FOREST, KFSVD, ALONE = (
    "exact", "K-FAC", "K-FAC, forest on 20 %", "KFSVD, forest on 20 %", "20 % alone",
)  # fmt: skip
APPROXIMATE = {"CelebA": FOREST, "MNIST": KFSVD}
METHODS = {
    "CelebA": (EXACT, FOREST, KFAC, ALONE, RANDOM),
    "MNIST": (EXACT, KFSVD, KFAC, ALONE, RANDOM),
}
STYLES = {  # as which known method it is drawn
    EXACT: "FI", FOREST: "FI-paired", KFSVD: "FI-paired", KFAC: "signed FI", ALONE: "loss",
    RANDOM: "random",
}  # fmt: skip
SHARE = 0.2
PERCENT = f"{100 * SHARE:.0f} %"
RANK = 5
CELEBA = TABLE_4["CelebA"]._asdict() | {"share": SHARE}
MNIST = {
    "initial": 60, "pool": 2000, "batch": 60, "rounds": 7, "n_test": 2000, "epochs": 10,
    "minibatch": 16, "lr": 2e-3, "share": SHARE, "rank": RANK,
}  # fmt: skip
QUICK = {
    "CelebA": CELEBA | {"pool": 600, "batch": 30, "rounds": 3},
    "MNIST": MNIST | {"pool": 300, "rounds": 1, "n_test": 500, "epochs": 3},
}
MOST_NETWORKS = 4  # seeds
PAPER = {
    "CelebA": ("83.2 % against 81.5 %", 260, 1054),
    "MNIST": ("96.0 % against 96.2 %", 396, 1225),
}
WORTH = 0.5  # points of accuracy that count as a cost

ABOUT = f"""
The published version compares exact FI for active learning with an approximation: K-FAC,
truncated singular values and a random forest that predicts the ranks of the pool from those of
{PERCENT} of it (Algorithm 4). It gives accuracy and seconds on two data sets, but not sizes,
rank and training.

- *CelebA*: the setting of Table 4, one pool, the logistic regression of Figure 3. The scores
  of a linear classifier have a closed form, in which K-FAC may stand for the Hessian; singular
  values have nothing to do there.
- *MNIST*: the network of Table 6, {MNIST["initial"]} first labels and {MNIST["rounds"]} rounds
  of {MNIST["batch"]} from {MNIST["pool"]:,} images (Table 5's pool of 420 is used up by its
  last round, when all have labelled the same), at most {MOST_NETWORKS} seeds, trained by Adam
  with {MNIST["epochs"]} epochs, minibatches of {MNIST["minibatch"]} and rate {MNIST["lr"]}.
  Only the last layer's parameters count, as in the paper. "{EXACT}" has that layer's whole
  Hessian and "{KFAC}" its Kronecker factors, both in closed form; "{KFSVD}" takes the
  derivatives by torch and cuts them to rank {RANK}.
- "{ALONE}", not in the paper, asks for the rows that score highest by K-FAC among a random
  {PERCENT}, without a forest.

All methods of a seed run in one cell, one after the other, so that their times compare. Seconds
are those of all queries. Fits of the classifier are left out, as they are alike for all; what
the paper's seconds comprise is not said. Recall is the share of the exact score's first batch
that a method asks for.
"""


def settings(options: Options) -> list[Settings]:
    sizes = QUICK if options.quick else {"CelebA": CELEBA, "MNIST": MNIST}
    seeds = {"CelebA": options.seeds, "MNIST": min(options.seeds, MOST_NETWORKS)}
    return [
        {"data": data, "seed": seed, **size}
        for data, size in sizes.items()
        for seed in range(seeds[data])
    ]


def strategies(cell: Settings) -> dict:
    """What asks, by name."""
    paper = {
        "utility": "fi", "selection": "top", "aggregate": "trimmed_mean",
        "validation_loss": "log_loss",
    }  # fmt: skip
    paper |= {"curvature": "kfac"}
    share = cell["share"]
    cut = {"approximation": "kfsvd", "n_components": cell.get("rank")}
    known = {
        EXACT: FIActiveSampler(**paper | {"curvature": "exact"}),
        KFAC: FIActiveSampler(**paper),
        FOREST: FIActiveSampler(**paper, subsample=share),
        KFSVD: FIActiveSampler(**paper, subsample=share, **cut),
        ALONE: FromCandidates(
            FIActiveSampler(**paper), round(share * cell["pool"]), cell["seed"]
        ),
        RANDOM: Random(),
    }
    return {name: known[name] for name in METHODS[cell["data"]]}


def classified(cell: Settings):
    """Classifier, first rows and pool, and test rows."""
    rng = np.random.default_rng([cell["seed"], 2])
    if cell["data"] == "CelebA":
        model, found = classifier(), parts("CelebA")
    else:
        from ._networks import CNN, images, network  # takes torch

        model = network(
            CNN, epochs=cell["epochs"], batch=cell["minibatch"], lr=cell["lr"], n_classes=10
        )
        found = images("MNIST", cell["seed"], cell["n_test"])
    rows = rng.choice(len(found.y), cell["initial"] + cell["pool"], replace=False)
    return model, found.X[rows], found.y[rows], found.X_test, found.y_test


def run(cell: Settings) -> list[Row]:
    """Learning curves of all methods; recall belongs to the first round."""
    model, X, y, X_test, y_test = classified(cell)
    found = active_learning_curve(
        model, X, y, strategies(cell), n_initial=cell["initial"], batch_size=cell["batch"],
        n_rounds=cell["rounds"], n_repeats=1, X_test=X_test, y_test=y_test,
        random_state=cell["seed"],
    )  # fmt: skip
    first = {name: set(rows[0, : cell["batch"]]) for name, rows in found.indices.items()}
    return [
        {
            "strategy": name,
            "round": k,
            "labelled": int(n),
            "accuracy": 100 * float(found.scores[name][0, k]),
            "recall": len(first[name] & first[EXACT]) / cell["batch"],
            "query_seconds": float(found.query_seconds[name][0, k]) if k < last else None,
        }
        for last in [len(found.n_labelled) - 1]
        for name in found.scores
        for k, n in enumerate(found.n_labelled)
    ]


def _took(seconds: pd.DataFrame) -> pd.DataFrame:
    """Seconds of all queries of a curve (seeds, strategies)."""
    return seconds.groupby(["seed", "strategy"]).query_seconds.sum().unstack("strategy")


def _share(seconds: pd.DataFrame, method: str) -> np.ndarray:
    """Seconds in relation to those of the exact score (seeds,)."""
    took = _took(seconds)
    return (took[method] / took[EXACT]).to_numpy()


def draw(frame: pd.DataFrame, folder: Path, seconds: pd.DataFrame) -> list[Path]:
    """Accuracy by labelled rows, and by what the queries have taken so far."""
    data = list(frame.data.unique())
    figure, axes = plt.subplots(
        len(data), 2, figsize=(9.5, 3.3 * len(data) + 0.5), layout="constrained",
        squeeze=False, sharey="row",
    )  # fmt: skip
    for (left, right), key in zip(axes, data, strict=True):
        part = seconds[seconds.data == key]
        for name in METHODS[key]:
            lines = part[part.strategy == name].sort_values(["seed", "labelled"])
            wide = lines.pivot(index="seed", columns="labelled", values="accuracy")
            asked = lines.pivot(index="seed", columns="labelled", values="query_seconds")
            curve(left, wide.columns.to_numpy(), wide.to_numpy(), STYLES[name], name)
            if name != RANDOM:  # takes no time
                spent = asked.fillna(0.0).mean().cumsum().shift(fill_value=0.0)
                right.plot(
                    spent.iloc[1:], wide.mean().iloc[1:], color=COLOURS[STYLES[name]],
                    marker=MARKERS[STYLES[name]], ms=4, lw=1.6,
                )  # fmt: skip
        left.set_title(f"{key}: by labels", fontsize=11)
        right.set_title(f"{key}: by time", fontsize=11)
        left.set_xlabel("labelled rows")
        right.set_xlabel("seconds of all queries so far")
        right.set_xscale("log")
        left.set_ylabel("test accuracy, %")
        left.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    handles = {}
    for ax in axes[:, 0]:
        handles |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    order = [name for name in STYLES if name in handles]
    figure.legend(
        [handles[name] for name in order], order, loc="outside lower center", ncols=6,
        frameon=False, fontsize=9,
    )  # fmt: skip
    return save(figure, folder, "approximate")


def _free(found: Paired) -> str:
    """Verdict on "costs no accuracy": a loss of `WORTH` points can be ruled out."""
    lowest = found.mean - student_t.ppf(0.95, found.n - 1) * found.error
    return "holds" if lowest > -WORTH else "does not hold"


def _faster(found: np.ndarray) -> str:
    """Verdict on "a third of the time"."""
    if paired(np.full(len(found), 0.5), found).supported:
        return "holds"
    less = paired(np.ones(len(found)), found).supported
    return "holds in part" if less else "does not hold"


def claims(frame: pd.DataFrame, seconds: pd.DataFrame) -> list[Claim]:
    """What the approximation costs, what it saves, and which part of it does."""
    found = []
    for data in frame.data.unique():
        part, times = frame[frame.data == data], seconds[seconds.data == data]
        name, (accuracy, ours_paper, exact_paper) = APPROXIMATE[data], PAPER[data]
        heights, ends, took = areas(part), finals(part), _took(times)
        seeds = str(len(ends))
        lost = paired(ends[name], ends[EXACT])
        height = paired(heights[name], heights[EXACT])
        first = part[part["round"] == 0].pivot(
            index="seed", columns="strategy", values="recall"
        )
        found += [
            Claim(
                f"Published version, {data}: the approximation costs no accuracy", accuracy,
                f"{spread(ends[name])} % against {spread(ends[EXACT])} % after the last round: "
                f"{lost}", "", seeds, _free(lost),
                f"{name}. Asked: is a loss of {WORTH} points ruled out (one-sided, 95 %)? Mean "
                f"accuracy over the rounds: {height}",
            ),
            Claim(
                f"Published version, {data}: it takes a third of the time",
                f"{ours_paper} s against {exact_paper} s, a share of "
                f"{ours_paper / exact_paper:.2f}",
                f"{spread(took[name])} s against {spread(took[EXACT])} s, a share of "
                f"{spread(_share(times, name))}", "", seeds, _faster(_share(times, name)),
                "seconds of all queries. Asked: at most half the time? In part: any less at "
                f"all? {KFAC} without the forest takes a share of "
                f"{spread(_share(times, KFAC))}",
            ),
            Claim(
                f"Left out, {data}: does the approximation ask for the same rows?", "not told",
                f"{spread(100 * first[name], 0)} % of the exact score's first batch; {KFAC} "
                f"without the forest {spread(100 * first[KFAC], 0)} %; {RANDOM} "
                f"{spread(100 * first[RANDOM], 0)} %", "", seeds,
                "holds" if first[name].mean() > 0.5 else "does not hold",
                "asked: for more than half of them?",
            ),
            Claim(
                f"Left out, {data}: is the forest ahead of the best of the {PERCENT} alone?",
                "not tried", str(paired(heights[name], heights[ALONE])), "", seeds,
                verdict([paired(heights[name], heights[ALONE])]),
                "points of mean accuracy over the rounds; the share of the exact score's time "
                f"is {spread(_share(times, ALONE))} without the forest",
            ),
            Claim(
                f"Left out, {data}: is the approximation ahead of {RANDOM}?", "not tried",
                str(paired(heights[name], heights[RANDOM])), "", seeds,
                verdict([paired(heights[name], heights[RANDOM])]),
                f"points of mean accuracy over the rounds; {EXACT} to {RANDOM}: "
                f"{paired(heights[EXACT], heights[RANDOM])}",
            ),
        ]  # fmt: skip
    return found


def tables(frame: pd.DataFrame, seconds: pd.DataFrame) -> str:
    """Accuracy, seconds and recall of all methods."""
    rows = []
    for data in frame.data.unique():
        part, times = frame[frame.data == data], seconds[seconds.data == data]
        heights, ends, took = areas(part), finals(part), _took(times)
        for name in METHODS[data]:
            recall = part[(part.strategy == name) & (part["round"] == 0)].recall
            rows.append(
                (
                    data, name, spread(heights[name]), spread(ends[name]), spread(took[name]),
                    spread(_share(times, name)), spread(100 * recall, 0), len(ends),
                )
            )  # fmt: skip
    head = (
        "data", "FI", "mean accuracy over the rounds, %", "after the last, %",
        "seconds of all queries", "share of the exact score's", "first batch found, %", "seeds",
    )  # fmt: skip
    return markdown(head, rows)


EXPERIMENT = Experiment(
    name="approximate", title="Approximate and exact FI for active learning", about=ABOUT,
    settings=settings, run=run, draw=draw, claims=claims, tables=tables, seeds=20,
    quick_seeds=2,
)  # fmt: skip
