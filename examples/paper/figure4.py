"""Figure 4 and Table 5: active learning on images, with networks that are trained again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ._active import (
    BADGE_,
    BALD_,
    DEFAULT,
    FI,
    IV,
    MARGIN,
    RANDOM,
    STRATEGIES,
    TOLD,
    FromCandidates,
    against,
    areas,
    draw_curves,
    learn,
    strategy,
    table,
    told,
)
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._networks import CNN, ConvMixer, images, network
from ._statistics import paired, verdict
from ._table import markdown

POOL, FRESH = "one pool", "fresh candidates"
PANELS = (("MNIST", POOL), ("MNIST", FRESH), ("EMNIST", POOL), ("CIFAR-10", FRESH))
# First labels, pool or candidates, labels a round, rounds: Table 5.
SIZES = {
    "MNIST": {"initial": 60, "pool": 420, "batch": 30, "rounds": 14},
    "EMNIST": {"initial": 600, "pool": 2000, "batch": 100, "rounds": 10},
    "CIFAR-10": {"initial": 6000, "pool": 10_000, "batch": 2000, "rounds": 9},
}
TRAINING = {
    "MNIST": {"epochs": 10, "minibatch": 16, "lr": 2e-3},
    "EMNIST": {"epochs": 8, "minibatch": 32, "lr": 2e-3},
    "CIFAR-10": {"epochs": 25, "minibatch": 128, "lr": 5e-3},
}
MIXER = {"width": 256, "depth": 8, "kernel": 5, "patch": 2}
# What two cores can do.
SMALL = {"initial": 600, "pool": 2000, "batch": 100, "rounds": 6}
SMALL_TRAINING = {"epochs": 10, "minibatch": 32, "lr": 5e-3}
SMALL_MIXER = {"width": 48, "depth": 3, "kernel": 5, "patch": 4}
QUICK = {
    "MNIST": {"initial": 60, "pool": 120, "batch": 30, "rounds": 2},
    "EMNIST": {"initial": 150, "pool": 200, "batch": 50, "rounds": 1},
    "CIFAR-10": {"initial": 150, "pool": 200, "batch": 50, "rounds": 1},
}
N_TEST = 2000
RIVALS = (IV, BALD_, RANDOM)
UNIT = "points of mean accuracy over the rounds"


def _sized(sizes) -> str:
    return "{initial:,} / {pool:,} / {batch:,} / {rounds}".format(**sizes)


def _trained(training) -> str:
    return "{epochs} epochs, minibatches of {minibatch}, rate {lr:g}".format(**training)


ABOUT = f"""
{TOLD}

The networks are trained again in each round, with all of their parameters; the strategies see
the last layer, as in the paper. FI takes K-FAC, BALD 20 masks of dropout. MNIST and EMNIST have
the network of Table 6, CIFAR-10 a ConvMixer (Trockman & Kolter 2023), to which a dropout layer
was added before the last one, as BALD needs one; its batch normalisation is in evaluation mode
in all queries. The paper says neither how long nor at which rate it trains. Here it is Adam
with a rate that falls to 0 along a cosine: MNIST {_trained(TRAINING["MNIST"])}; EMNIST
{_trained(TRAINING["EMNIST"])}; CIFAR-10 {_trained(SMALL_TRAINING)}. Accuracy is that on
{N_TEST:,} test images, drawn again for each seed (on those at hand, if there are fewer).

Table 5 has, as first labels / "unlabeled pool size" / labels a round / rounds: MNIST
{_sized(SIZES["MNIST"])}, EMNIST {_sized(SIZES["EMNIST"])}, CIFAR-10
{_sized(SIZES["CIFAR-10"])}.

- *MNIST*: 14 rounds of 30 use up a pool of 420, so that all strategies end with the same
  labels. That is one reading ("{POOL}"); in the other ("{FRESH}") so many images are drawn from
  all of the training set for each query.
- *EMNIST*: the paper has 37 classes, the split "letters" has 26. Where only the part of it is
  at hand that has the letters a to m, there are 13, and its images are split by the seed.
- *CIFAR-10*: 9 rounds of 2,000 cannot come from a pool of 10,000, so candidates are fresh. On a
  CPU the sizes are {_sized(SMALL)} and the ConvMixer has width {SMALL_MIXER["width"]}, depth
  {SMALL_MIXER["depth"]} and patches of {SMALL_MIXER["patch"]}; `--device cuda` takes the
  table's sizes, width {MIXER["width"]}, depth {MIXER["depth"]} and patches of {MIXER["patch"]}
  ({_trained(TRAINING["CIFAR-10"])}), and stops sooner where only a part of the training images
  is at hand.
"""


def settings(options: Options) -> list[Settings]:
    """MNIST has all seeds, the others three for each five."""
    cells = []
    for data, reading in PANELS:
        few = max(2, round(0.6 * options.seeds))
        for seed in range(options.seeds if data == "MNIST" else few):
            cells += [
                {"data": data, "reading": reading, "strategy": name, "seed": seed}
                | sizes(data, options)
                for name in STRATEGIES
            ]
    return cells


def sizes(data: str, options: Options) -> Settings:
    """Sizes and training of a data set."""
    small = data == "CIFAR-10" and (options.quick or options.device == "cpu")
    found = dict(QUICK if options.quick else SIZES)[data]
    found = (SMALL if small and not options.quick else found) | (
        SMALL_TRAINING if small else TRAINING[data]
    )
    if options.quick:
        found |= {"epochs": 3}
    found |= {"n_test": 300 if options.quick else N_TEST, "device": options.device}
    return found | ((SMALL_MIXER if small else MIXER) if data == "CIFAR-10" else {})


def classifier(cell: Settings, n_classes: int):
    """The network of a cell's data set, untrained."""
    module, extra = CNN, {}
    if cell["data"] == "CIFAR-10":
        module, extra = ConvMixer, {name: cell[name] for name in MIXER}
    return network(
        module, epochs=cell["epochs"], batch=cell["minibatch"], lr=cell["lr"],
        device=cell["device"], n_classes=n_classes, **extra,
    )  # fmt: skip


def rows_of(cell: Settings):
    """Images of a cell; first rows and pool are as many as are asked for."""
    found = images(cell["data"], cell["seed"], cell["n_test"])
    if cell["reading"] == FRESH:
        return found
    rng = np.random.default_rng([cell["seed"], 2])
    rows = rng.choice(len(found.X), cell["initial"] + cell["pool"], replace=False)
    return found._replace(X=found.X[rows], y=found.y[rows])


def run(cell: Settings) -> list[Row]:
    """Accuracy by round."""
    found = rows_of(cell)
    n_classes = len(np.unique(found.y))
    asking = strategy(cell["strategy"], network=True)
    if cell["reading"] == FRESH:
        asking = FromCandidates(asking, cell["pool"], cell["seed"])
    rows = learn(
        classifier(cell, n_classes), asking, found.X, found.y, found.X_test, found.y_test, cell
    )
    told_of = {"classes": n_classes, "partial": int(found.partial)}
    return [row | told_of for row in rows]


def panelled(frame: pd.DataFrame) -> pd.DataFrame:
    """With the panel that a line belongs to."""
    return frame.assign(panel=frame.data + ", " + frame.reading)


def draw(frame, folder: Path, seconds) -> list[Path]:
    """A panel a data set and reading."""
    frame = panelled(frame)
    titles = {}
    for panel, part in frame.groupby("panel", sort=False):
        first = part.iloc[0]
        share = f", {first.classes} classes" if first.data == "EMNIST" else ""
        what = "a pool" if first.reading == POOL else "fresh candidates: "
        what += f" of {first.pool:,}" if first.reading == POOL else f"{first.pool:,}"
        titles[panel] = f"{first.data}{share}; {what}"
    return draw_curves(frame, folder, "figure4", titles, by="panel", ncols=2)


def claims(frame, seconds) -> list[Claim]:
    """FI against the paper's rivals, and against what it leaves out, in each panel."""
    found, free, ours, seeds = [], {}, {}, []
    for panel, part in panelled(frame).groupby("panel", sort=False):
        others = against(part, FI, RIVALS)
        text = f"Figure 4: FI is ahead of IV, BALD and random on {panel}"
        paper, n = "a figure: FI above all others", str(others[IV].n)
        note = "; ".join(_notes(part.iloc[0], part))
        said = verdict(others.values())
        found.append(Claim(text, paper, told(others), "", n, said, note))
        free[panel] = against(part, FI, (MARGIN, BADGE_))
        ours[panel] = against(part, DEFAULT, (FI, MARGIN, RANDOM))
        seeds.append(f"{panel}: {n}")
    for asked, by_panel in (
        ("FI ahead of margin sampling and BADGE", free),
        ("the library's default ahead of FI, margin and random", ours),
    ):
        said = verdict(c for each in by_panel.values() for c in each.values())
        shown = ". ".join(f"{panel}: {told(each)}" for panel, each in by_panel.items())
        text = f"Left out of Figure 4: is {asked}?"
        found.append(Claim(text, "not tried", shown, "", ", ".join(seeds), said, UNIT))
    return found


def _notes(first, part) -> list[str]:
    """What a reader must know of a panel."""
    notes = [UNIT]
    if part.labelled.max() == first.initial + first.pool and first.reading == POOL:
        notes.append("the pool is used up in the last round, where all have the same labels")
    if first.data == "EMNIST":
        notes.append(f"{first.classes} classes where the paper has 37")
    if first.partial:
        notes.append("a part of the data set")
    if first.data == "CIFAR-10" and first.initial < SIZES["CIFAR-10"]["initial"]:
        notes.append("a smaller size and network")
    if part.seed.nunique() < 5:
        notes.append("so few seeds tell large differences only")
    return notes


def tables(frame, seconds) -> str:
    """Heights and ends of the curves, the difference to random, and seconds."""
    frame, taken = panelled(frame), panelled(seconds)
    rows = []
    for panel, part in frame.groupby("panel", sort=False):
        heights = areas(part)
        for name in part.strategy.unique():
            own = taken[(taken.panel == panel) & (taken.strategy == name)]
            times = [f"{own[k].median():.3f}" for k in ("query_seconds", "fit_seconds")]
            c = paired(heights[name], heights[RANDOM])
            compared = ("", "") if name == RANDOM else (c, f"{c.better} of {c.n}")
            rows.append((panel, name, *compared, *times))
    head = ("data", "asked by", "mean accuracy against random", "ahead in", "seconds a query",
            "seconds a fit")  # fmt: skip
    return f"{table(frame, by='panel')}\n{markdown(head, rows)}"


EXPERIMENT = Experiment(
    name="figure4", title="Figure 4: active learning on MNIST, EMNIST and CIFAR-10",
    about=ABOUT, settings=settings, run=run, draw=draw, claims=claims, tables=tables,
    seeds=5, quick_seeds=2,
)  # fmt: skip
