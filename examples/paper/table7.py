"""Table 7: seconds that the strategies take to choose, on the same networks and pools."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullLocator
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from . import figure4
from ._active import BADGE_, BALD_, DEFAULT, FI, IV, MARGIN, strategy
from ._drawing import COLOURS, save
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._statistics import spread
from ._table import markdown

ASKED = (FI, IV, BALD_, DEFAULT, MARGIN, BADGE_)
READINGS = {"MNIST": figure4.POOL, "EMNIST": figure4.POOL, "CIFAR-10": figure4.FRESH}
PAPER = {
    "MNIST": {FI: 19, IV: 13, BALD_: 9},
    "EMNIST": {FI: 45, IV: 15, BALD_: 15},
    "CIFAR-10": {FI: 372, IV: 204, BALD_: 214},
}
COMPARABLE = max(took[FI] / took[BALD_] for took in PAPER.values())

ABOUT = f"""
The paper gives seconds "over toy case" without saying of what. Here they are those of the
strategies' own work, all queries of a run of Figure 4 together, on one core of a CPU; the
networks' training, which is the same for all, stands beside them. In each round one network is
trained, and all strategies choose from the same pool, one after another in an order that
changes from round to round; the rows that are labelled then are drawn at random. Sizes and
training are those of Figure 4 (CIFAR-10 a smaller size there). The paper calls FI's time
"comparable": said to hold here if FI takes at most {COMPARABLE:g} times as long as BALD, the
largest ratio in the paper's table.
"""


def settings(options: Options) -> list[Settings]:
    return [
        {"data": data, "reading": reading, "seed": seed} | figure4.sizes(data, options)
        for seed in range(options.seeds)
        for data, reading in READINGS.items()
    ]


def run(cell: Settings) -> list[Row]:
    """Seconds of each strategy and of the fits, one row a strategy."""
    found = figure4.rows_of(cell)
    X, y, seed = found.X, found.y, cell["seed"]
    rng = np.random.default_rng([seed, 7])
    labelled, left = train_test_split(
        np.arange(len(y)), train_size=cell["initial"], stratify=y, random_state=seed
    )
    taken, fitting, queries = dict.fromkeys(ASKED, 0.0), 0.0, 0
    for number in range(cell["rounds"]):
        if not len(left):
            break
        model = figure4.classifier(cell, len(np.unique(y)))
        start = perf_counter()
        model.set_params(random_state=number).fit(X[labelled], y[labelled])
        fitting += perf_counter() - start
        pool = rng.permutation(left)[: cell["pool"]]
        if number == 0:
            for name in ASKED:  # what is loaded at the first call is no part of a query
                _query(name, model, X[labelled], y[labelled], X[pool[:50]], 2)
        order = np.roll(ASKED, number)
        for name in order.tolist():
            start = perf_counter()
            _query(name, model, X[labelled], y[labelled], X[pool], cell["batch"])
            taken[name] += perf_counter() - start
        queries += 1
        labelled = np.append(labelled, pool[: cell["batch"]])
        left = np.setdiff1d(left, labelled)
    return [
        {"strategy": name, "queries": queries, "query_seconds": s, "fit_seconds": fitting}
        for name, s in taken.items()
    ]


def _query(name: str, model, X, y, pool, batch: int) -> None:
    asking = strategy(name, network=True).set_params(estimator=FrozenEstimator(model))
    if "random_state" in asking.get_params(deep=False):
        asking.set_params(random_state=0)
    asking.fit(X, y).query(pool, batch_size=min(batch, len(pool)))


def _ratio(seconds, data: str, name: str) -> np.ndarray:
    """Seconds over BALD's in the same cell, one a seed."""
    wide = seconds[seconds.data == data].pivot(
        index="seed", columns="strategy", values="query_seconds"
    )
    return (wide[name] / wide[BALD_]).to_numpy()


def draw(frame, folder: Path, seconds) -> list[Path]:
    """Seconds by strategy, with those of the training as a line."""
    present = [data for data in PAPER if (seconds.data == data).any()]
    figure, axes = plt.subplots(
        1, len(present), figsize=(3.4 * len(present), 3.3), layout="constrained", squeeze=False
    )
    for ax, data in zip(axes.flat, present, strict=True):
        part = seconds[seconds.data == data]
        for j, name in enumerate(ASKED):
            own = part[part.strategy == name].query_seconds
            ax.bar(j, own.mean(), yerr=own.sem(), color=COLOURS[name], capsize=3)
        fitting = part.fit_seconds.mean()
        ax.axhline(fitting, color="black", lw=1, ls="--")
        ax.set_title(f"{data}; training {fitting:.2g} s (dashed)", fontsize=11)
        ax.set_xticks(range(len(ASKED)), ASKED, rotation=40, ha="right")
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
    axes[0, 0].set_ylabel("seconds, all queries of a run")
    return save(figure, folder, "table7")


def claims(frame, seconds) -> list[Claim]:
    """FI's seconds against BALD's, by data set."""
    found = []
    for data, paper in PAPER.items():
        part = seconds[seconds.data == data]
        mean = {name: part[part.strategy == name].query_seconds.mean() for name in paper}
        ratio = _ratio(seconds, data, FI)
        shown = ", ".join(f"{name} {s:.1f} s" for name, s in mean.items())
        quoted = ", ".join(f"{name} {s} s" for name, s in paper.items())
        found.append(
            Claim(
                f"Table 7: FI's time is comparable to the others' on {data}",
                f"{quoted}; FI {paper[FI] / paper[BALD_]:.1f} times BALD",
                f"{shown}; FI {spread(ratio)} times BALD",
                "",
                str(len(ratio)),
                "holds" if ratio.mean() <= COMPARABLE else "does not hold",
                f"asked: at most {COMPARABLE:g} times BALD's (20 masks)? One core of a CPU, "
                "queries alone",
            )
        )
    return found


def tables(frame, seconds) -> str:
    """Seconds of all strategies, and what share of the run they are."""
    rows = []
    for data in filter(set(seconds.data).__contains__, PAPER):
        part = seconds[seconds.data == data]
        for name in ASKED:
            own = part[part.strategy == name]
            share = 100 * own.query_seconds / (own.query_seconds + own.fit_seconds)
            rows.append(
                (data, name, PAPER[data].get(name, ""), spread(own.query_seconds),
                 spread(_ratio(seconds, data, name)), spread(share, 1))
            )  # fmt: skip
    head = ("data", "asked by", "paper, s", "all queries, s", "over BALD's",
            "% of the run with its training")  # fmt: skip
    return markdown(head, rows)


EXPERIMENT = Experiment(
    name="table7", title="Table 7: what a query costs",
    about=ABOUT, settings=settings, run=run, draw=draw, claims=claims, tables=tables,
    seeds=2, quick_seeds=2, alone=True,
)  # fmt: skip
