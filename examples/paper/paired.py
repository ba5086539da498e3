"""FI-paired: FI of pairs of rows on Adult and Bank, beside FI and what both cost."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import matplotlib.pyplot as plt

from skfi import fi_util

from . import _linear_training as linear
from . import _real_data as real
from ._drawing import curve, legend_below, save
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._pairs import fi_paired
from ._statistics import compare, spread, verdict
from ._table import markdown
from ._trim import FI, NONE, RANDOM, accuracies, scores

PAIRED = "FI-paired"
METHODS = (FI, PAIRED, RANDOM)
DATA = ("adult", "bank")
TIMED = 5  # runs of FI, of which the median is told

ABOUT = """
Two rows are perturbed at once, all pairs are ranked, and a row goes when its best pair goes
(`examples/paper/_pairs.py`). Adult and Bank, drawn and trained as in [figure2](#figure2), but
with the library's own damping of a torch model for both measures, which `fi_paired` has no
option to leave out; it is small beside the weight decay. Both are timed in the same process, on
one thread; the median of five runs is that of FI. The paper gives no number for the cost.
"""


def settings(options: Options) -> list[Settings]:
    size = {"n_train": 1000, "step": 50, "largest": 100} if options.quick else {
        "n_train": 5000, "step": 50, "largest": 300,
    }  # fmt: skip
    return [
        {"data": data, "training": training, "seed": seed} | size
        for data in DATA
        for training in linear.TRAININGS
        for seed in range(options.seeds)
    ]


def run(cell: Settings) -> list[Row]:
    """Accuracy by method and budget, and the seconds of both measures."""
    training, seed = cell["training"], cell["seed"]
    drawn = real.draw(cell["data"], seed, n_train=cell["n_train"])
    fit = linear.fitter(training, linear.CLEAN[cell["data"]], seed)
    model = fit(drawn.X, drawn.y)
    rows = drawn.X, drawn.y, drawn.X_val, drawn.y_val
    score = {PAIRED: None, **scores(model, *rows, seed, (FI, RANDOM))}
    start = time.perf_counter()
    score[PAIRED] = fi_paired(model, *rows)
    paired_seconds = time.perf_counter() - start
    times = {"paired_seconds": paired_seconds, "fi_seconds": fi_seconds(model, rows)}
    budgets = range(0, cell["largest"] + 1, cell["step"])
    found = accuracies(fit, score, budgets, drawn.X, drawn.y, drawn.X_test, drawn.y_test)
    return [row | times for row in found]


def fi_seconds(model, rows) -> float:
    """Median time of FI."""
    took = []
    for _ in range(TIMED):
        start = time.perf_counter()
        fi_util(model, *rows)
        took.append(time.perf_counter() - start)
    return median(took)


def draw(frame, folder: Path, seconds) -> list[Path]:
    return draw_gain(frame, folder, "paired", METHODS, "FI of rows and of pairs of rows")


def draw_gain(frame, folder: Path, name: str, methods, told: str) -> list[Path]:
    """Gain over no trimming: trainings down, data sets across."""
    data = [d for d in real.DATA if d in set(frame.data)]
    figure, axes = plt.subplots(
        2, len(data), figsize=(4.5 * len(data), 6.2), sharex=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for line, training in zip(axes, linear.TRAININGS, strict=True):
        for ax, title in zip(line, data, strict=True):
            part = frame[(frame.training == training) & (frame.data == title)]
            for method in methods:
                wide = part[part.method == method].pivot_table(
                    index="seed", columns="budget", values="accuracy"
                )
                curve(ax, wide.columns, wide.sub(wide[0], axis=0).to_numpy(), method)
            ax.axhline(0, color="0.6", lw=0.8)
            plain = part[part.method == NONE].accuracy.mean()
            ax.set_title(
                f"{real.TITLES[title]}, {linear.TITLES[training]}\n"
                f"without trimming {plain:.1f} %", fontsize=10,
            )  # fmt: skip
        line[0].set_ylabel("gain over no trimming, points")
    for ax in axes[-1]:
        ax.set_xlabel("rows trimmed")
    legend_below(figure, axes[0, 0])
    figure.suptitle(told)
    return save(figure, folder, name)


def against(frame, training: str, first: str, second: str, data) -> list:
    """Two methods in each data set, mean over the budgets above 0."""
    part = frame[(frame.training == training) & (frame.budget > 0)]
    return [
        compare(part[part.data == name], "accuracy", "method", first, second) for name in data
    ]


def ratios(seconds, training: str, data: str, over: str, under: str = "fi_seconds"):
    """How many times dearer one measure is, by seed."""
    part = seconds[(seconds.training == training) & (seconds.data == data)]
    times = part.groupby("seed")[[over, under]].first()
    return (times[over] / times[under]).to_numpy()


def listed(data, values) -> str:
    return "; ".join(f"{real.TITLES[d]} {v}" for d, v in zip(data, values, strict=True))


def claims(frame, seconds) -> list[Claim]:
    """FI-paired is worse than FI, and costly."""
    found = {t: against(frame, t, FI, PAIRED, DATA) for t in linear.TRAININGS}
    costs = {
        t: [ratios(seconds, t, data, "paired_seconds") for data in DATA]
        for t in linear.TRAININGS
    }
    dearer = all((ratio > 1).all() for ratio in costs[linear.PAPER])
    return [
        Claim(
            "Published version: FI is ahead of FI-paired on Adult and Bank", "in words",
            *(listed(DATA, found[t]) for t in linear.TRAININGS),
            str(found[linear.PAPER][0].n), verdict(found[linear.PAPER]),
            "points, mean over the budgets above 0",
        ),
        Claim(
            "Published version: FI-paired is costly", "in words",
            *(
                listed(DATA, (f"{spread(r, 0)} times FI's time" for r in costs[t]))
                for t in linear.TRAININGS
            ),
            str(found[linear.PAPER][0].n), "holds" if dearer else "does not hold",
            "asked: does it take longer in every cell? Its n² pairs are in closed form here",
        ),
    ]  # fmt: skip


def tables(frame, seconds) -> str:
    """Mean accuracy by method and budget, and the seconds."""
    return (
        accuracy_table(frame, METHODS)
        + "\n"
        + seconds_table(seconds, {"fi_seconds": "FI, s", "paired_seconds": "FI-paired, s"})
    )


def accuracy_table(frame, methods) -> str:
    budgets = sorted(set(frame.budget) - {0})
    data = [d for d in real.DATA if d in set(frame.data)]
    rows = []
    for name in data:
        for training in linear.TRAININGS:
            part = frame[(frame.data == name) & (frame.training == training)]
            plain = spread(part[part.method == NONE].accuracy)
            for method in methods:
                own = part[part.method == method]
                cells = [spread(own[own.budget == b].accuracy) for b in budgets]
                rows.append((real.TITLES[name], linear.TITLES[training], method, plain, *cells))
    head = ("data", "training", "trimmed by", "0 rows, %", *(f"{b}, %" for b in budgets))
    return markdown(head, rows)


def seconds_table(seconds, columns: dict[str, str]) -> str:
    """Mean seconds by data set and training."""
    times = seconds.groupby(["data", "training", "seed"], sort=False)[list(columns)].first()
    rows = [
        (real.TITLES[data], linear.TITLES[training], *(spread(part[c], 3) for c in columns))
        for (data, training), part in times.groupby(["data", "training"], sort=False)
    ]
    return markdown(("data", "training", *columns.values()), rows)


EXPERIMENT = Experiment(
    name="paired", title="FI-paired on Adult and Bank", about=ABOUT, settings=settings, run=run,
    draw=draw, claims=claims, tables=tables, quick_seeds=2, alone=True,
)  # fmt: skip
