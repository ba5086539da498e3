"""Figure 2: trimming a logistic regression on four real data sets; Figure 8 is made alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from . import _linear_training as linear
from . import _real_data as real
from ._drawing import curve, legend_below, save
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._statistics import Paired, paired, spread, verdict
from ._table import markdown
from ._trim import FI, IV, LOSS, METHODS, NONE, RANDOM, SIGNED, accuracies, scores

MEAN = "points, mean over the budgets above 0, ± one standard error"
RISE = 10.0
BANDED = (FI, IV, RANDOM)  # those that the paper compares

ABOUT = (
    """
Each seed draws the rows again; rows go in one go, and the classifier is trained again without
them, by the same recipe and the same seed. Random trimming has one order a seed (the paper
averages five). "signed FI" is √FI times IV; it and the highest loss are left out of the paper.
"""
    + real.ABOUT
    + linear.ABOUT.format(
        epochs="; ".join(
            f"{real.TITLES[name]} {recipe.epochs}" for name, recipe in linear.CLEAN.items()
        )
    )
)


def settings_of(noise: bool) -> Callable[[Options], list[Settings]]:
    def settings(options: Options) -> list[Settings]:
        size = {"n_train": 2000, "step": 100, "largest": 200} if options.quick else {
            "n_train": 5000, "step": 50, "largest": 300,
        }  # fmt: skip
        return [
            {"data": data, "training": training, "seed": seed, "noise": noise} | size
            for data in real.DATA
            for training in linear.TRAININGS
            for seed in range(options.seeds)
        ]

    return settings


def run(cell: Settings) -> list[Row]:
    """Accuracy by method and budget."""
    drawn = real.draw(cell["data"], cell["seed"], cell["noise"], cell["n_train"])
    recipes = linear.NOISY if cell["noise"] else linear.CLEAN
    return trim(drawn, recipes[cell["data"]], cell)


def trim(drawn: real.Draw, recipe: linear.Recipe, cell: Settings) -> list[Row]:
    """Accuracy by method and budget of one draw."""
    training, seed = cell["training"], cell["seed"]
    fit = linear.fitter(training, recipe, seed)
    X, y = drawn.X, drawn.y
    score = scores(
        fit(X, y), X, y, drawn.X_val, drawn.y_val, seed, **linear.fi_options(training)
    )  # fmt: skip
    budgets = range(0, cell["largest"] + 1, cell["step"])
    rows = accuracies(fit, score, budgets, X, y, drawn.X_test, drawn.y_test)
    return [row | real.facts(drawn) for row in rows]


def present(frame) -> list[str]:
    """Data sets of the table, in the paper's order."""
    return [name for name in real.DATA if name in set(frame.data)]


def by_seed(frame, training: str, data: str) -> pd.DataFrame:
    """Accuracy (seeds, methods), the mean over the budgets above 0."""
    part = frame[(frame.training == training) & (frame.data == data)]
    part = part[(part.budget > 0) | (part.method == NONE)]
    return part.pivot_table(index="seed", columns="method", values="accuracy")


def compared(frame, training: str, first: str, second: str, data) -> list[Paired]:
    """Two methods in each data set."""
    wides = [by_seed(frame, training, name) for name in data]
    return [paired(wide[first], wide[second]) for wide in wides]


def listed(data: Sequence[str], values: Iterable[object]) -> str:
    return "; ".join(f"{real.TITLES[d]} {v}" for d, v in zip(data, values, strict=True))


def ahead(
    frame, text: str, paper: str, first: str, second: str, data=None, note: str = MEAN
) -> Claim:
    """Is one method ahead of another, in each data set?"""
    data = [name for name in data or real.DATA if name in set(frame.data)]
    found = {t: compared(frame, t, first, second, data) for t in linear.TRAININGS}
    told = {t: listed(data, comparisons) for t, comparisons in found.items()}
    notes = [note, real.stand_in(frame, data)]
    return Claim(
        text, paper, told[linear.PAPER], told[linear.CONVERGED],
        str(found[linear.PAPER][0].n), verdict(found[linear.PAPER]),
        "; ".join(n for n in notes if n),
    )  # fmt: skip


def no_help(frame, text: str, paper: str) -> Claim:
    """Does trimming at random leave things as they were?"""
    data = present(frame)
    found = {t: compared(frame, t, RANDOM, NONE, data) for t in linear.TRAININGS}
    helps = [c.supported for c in found[linear.PAPER]]
    said = "does not hold" if all(helps) else "holds in part" if any(helps) else "holds"
    return Claim(
        text, paper, *(listed(data, found[t]) for t in linear.TRAININGS),
        str(found[linear.PAPER][0].n), said,
        "; ".join(filter(None, (
            f"{MEAN}; asked: is random trimming ahead of none in no data set?",
            real.stand_in(frame, data),
        ))),
    )  # fmt: skip


def base_models(frame, text: str, paper: str, asked: Sequence[str]) -> Claim:
    """Untrimmed accuracy beside that of the majority class."""
    data, told, below = present(frame), {}, []
    plain = frame[frame.method == NONE]
    for training in linear.TRAININGS:
        cells = []
        for name in data:
            part = plain[(plain.training == training) & (plain.data == name)]
            cells.append(f"{spread(part.accuracy, 1)} ({part.majority.mean():.1f})")
            if training == linear.PAPER and name in asked:
                below.append(paired(part.majority, part.accuracy))
        told[training] = listed(data, cells)
    return Claim(
        text, paper, told[linear.PAPER], told[linear.CONVERGED], str(below[0].n),
        verdict(below),
        f"untrimmed accuracy in %, in brackets that of the majority class; asked: is "
        f"{' and '.join(real.TITLES[name] for name in asked)} below it?",
    )  # fmt: skip


def best_gain(frame, training: str, data: str, method: str = FI) -> tuple[int, np.ndarray]:
    """The budget with the largest mean gain over no trimming, and the gains there (seeds,)."""
    part = frame[(frame.training == training) & (frame.data == data)]
    wide = part[part.method == method].pivot_table(
        index="seed", columns="budget", values="accuracy"
    )
    gain = wide.drop(columns=0).sub(wide[0], axis=0)
    budget = gain.mean().idxmax()
    return int(budget), gain[budget].to_numpy()


def _rise(frame) -> Claim:
    told, found = {}, {}
    for training in linear.TRAININGS:
        budget, gain = best_gain(frame, training, "bank")
        iv_gain = best_gain(frame, training, "bank", IV)[1]
        told[training] = f"{spread(gain)} at {budget} rows (IV at its best {spread(iv_gain)})"
        found[training] = paired(gain, np.full(len(gain), RISE))
    return Claim(
        f"Figure 2: on Bank, FI raises accuracy by more than {RISE:.0f} points",
        "more than 10 %", told[linear.PAPER], told[linear.CONVERGED],
        str(found[linear.PAPER].n), verdict([found[linear.PAPER]]),
        f"points, at the budget with the largest mean gain; asked: is it above {RISE:.0f}?",
    )  # fmt: skip


def _level(frame) -> Claim:
    found = {t: compared(frame, t, IV, RANDOM, ["jigsaw"]) for t in linear.TRAININGS}
    told = {t: str(c[0]) for t, c in found.items()}
    return Claim(
        "Figure 2: on Jigsaw, IV shows no improvement over random", "a figure",
        told[linear.PAPER], told[linear.CONVERGED], str(found[linear.PAPER][0].n),
        "does not hold" if found[linear.PAPER][0].supported else "holds",
        f"{MEAN}; asked: is IV not ahead? {real.stand_in(frame, ['jigsaw'])}".strip(),
    )  # fmt: skip


def claims(frame, seconds) -> list[Claim]:
    """FI against IV and random, what IV does, and what the paper leaves out."""
    return [
        ahead(frame, "Figure 2: FI is ahead of IV on all four data sets",
              "a figure: FI above IV and random", FI, IV),
        ahead(frame, "Figure 2: FI is ahead of random trimming on all four data sets",
              "a figure: FI above IV and random", FI, RANDOM),
        ahead(frame, "Figure 2: trimming by FI raises accuracy on all four data sets",
              "\"the maximum improvements across all datasets\"", FI, NONE),
        _rise(frame),
        ahead(frame, "Figure 2: IV is a notable enhancement on Adult and Bank", "a figure",
              IV, NONE, ("adult", "bank")),
        ahead(frame, "Figure 2: IV loses accuracy on CelebA", "a figure",
              NONE, IV, ("celeba",), f"loss in {MEAN}"),
        _level(frame),
        no_help(frame, "Figure 2: random trimming does not help", "\"no improvement\""),
        ahead(frame, "Left out of Figure 2: is trimming by the highest loss ahead of FI?",
              "not tried", LOSS, FI),
        ahead(frame, "Left out of Figure 2: is FI with the sign of IV ahead of FI?",
              "not tried", SIGNED, FI),
        base_models(frame, "Left out of Figure 2: Bank's untrimmed model is below the majority "
                    "class", "Bank 78.36 %, Adult about 76 %", ("bank",)),
    ]  # fmt: skip


def draw_as(name: str, told: str) -> Callable:
    """Curves of accuracy: trainings down, data sets across."""

    def draw(frame, folder: Path, seconds) -> list[Path]:
        data = present(frame)
        figure, axes = plt.subplots(
            2, len(data), figsize=(max(2.2 * len(data), 7.0), 4.8), sharex=True, squeeze=False,
            layout="constrained",
        )  # fmt: skip
        for line, training in zip(axes, linear.TRAININGS, strict=True):
            for ax, title in zip(line, data, strict=True):
                part = frame[(frame.training == training) & (frame.data == title)]
                for method in METHODS:
                    wide = part[part.method == method].pivot_table(
                        index="seed", columns="budget", values="accuracy"
                    )
                    # The mean as it is, the band that of the gain: draws differ by more.
                    values = wide.sub(wide[0], axis=0).to_numpy() + wide[0].mean()
                    banded = method in BANDED
                    curve(ax, wide.columns, values if banded else values.mean(axis=0), method)
                star = " (in part)" if part.partial.any() else ""
                ax.set_title(
                    f"{real.TITLES[title]}{star}\nmajority class: {part.majority.mean():.1f} %",
                    fontsize=10,
                )  # fmt: skip
            line[0].set_ylabel(f"{linear.TITLES[training]}\ntest accuracy, %")
        for ax in axes[-1]:
            ax.set_xlabel("rows trimmed")
        legend_below(figure, axes[0, 0])
        figure.get_layout_engine().set(w_pad=0.08)
        figure.suptitle(
            f"{told}; bands ({', '.join(BANDED)}): one standard error of the gain", fontsize=11
        )
        return save(figure, folder, name)

    return draw


def tables(frame, seconds) -> str:
    """Mean accuracy at no budget and the largest, all methods."""
    budget, data = frame.budget.max(), present(frame)
    rows = []
    for training in linear.TRAININGS:
        for method in (NONE, *METHODS):
            at = 0 if method == NONE else budget
            part = frame[
                (frame.training == training) & (frame.method == method) & (frame.budget == at)
            ]
            cells = [spread(part[part.data == name].accuracy) for name in data]
            rows.append((linear.TITLES[training], method, at, *cells))
    head = ("training", "trimmed by", "rows", *(f"{real.TITLES[d]}, %" for d in data))
    return markdown(head, rows)


EXPERIMENT = Experiment(
    name="figure2", title="Figure 2: trimming on real data, logistic regression", about=ABOUT,
    settings=settings_of(noise=False), run=run,
    draw=draw_as("figure2", "Real data, accuracy by rows trimmed"),
    claims=claims, tables=tables, seeds=10,
)  # fmt: skip
