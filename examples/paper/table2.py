"""Table 2 and Figure 9: trimming a network on two crescents in the plane."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from examples import crescents
from examples.crescents import BUDGETS, NOISE, ROWS, UNITS

from ._drawing import COLOURS, save
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._statistics import compare, spread, verdict
from ._table import markdown
from ._trim import FI, IV, LOSS, METHODS, NONE, RANDOM

EPOCHS, QUICK_EPOCHS = 200, 20
# What examples/crescents.py calls them, and what all experiments here do.
NAMES = dict(zip((crescents.NONE, *crescents.METHODS), (NONE, *METHODS), strict=True))
PARTS = {"test": f"{ROWS['test']} test rows", "further": f"{ROWS['further']:,} further rows"}

ABOUT = f"""
`examples/crescents.py` makes the data, trains and scores; this sets its numbers beside the
paper's. scikit-learn's `make_moons` with noise {NOISE} stands for the paper's crescents, which
have no published generator: the noise with which a network without trimming is about as
accurate as those of Table 2. {ROWS["train"]} training, {ROWS["validation"]} validation and
{ROWS["test"]} test rows are the paper's. {ROWS["test"]} rows can hardly tell differences under
a point, so accuracy is also taken on {ROWS["further"]:,} further rows. The network has two
hidden layers of {UNITS} units (the paper gives no widths) and is trained by Adam, {EPOCHS}
epochs of one batch. Its input is perturbed, all parameters move, and rows go at once. Signed
FI, highest loss and random rows, which the paper leaves out, stand beside FI and IV. Figure 9
is drawn for the first seed, not a chosen one.
"""


def settings(options: Options) -> list[Settings]:
    epochs = QUICK_EPOCHS if options.quick else EPOCHS
    return [{"epochs": epochs, "seed": seed} for seed in range(options.seeds)]


def run(cell: Settings) -> list[Row]:
    """Accuracy in % by method, budget and part of the rows that were kept apart."""
    accuracy, _, _ = crescents.experiment(cell["seed"], cell["epochs"])
    rows = []
    for i, method in enumerate(NAMES.values()):
        for j, budget in enumerate(BUDGETS):
            if method == NONE and j:  # the same for every budget
                continue
            for k, part in enumerate(PARTS):
                rows.append(
                    {
                        "method": method,
                        "budget": budget if method != NONE else 0,
                        "part": part,
                        "accuracy": float(accuracy[i, j, k]),
                    }
                )
    return rows


def draw(frame, folder: Path, seconds) -> list[Path]:
    """Figure 9, and the gain over no trimming."""
    _, _, picture = crescents.experiment(crescents.DRAWN_SEED, int(frame.epochs.iloc[0]))
    figure = crescents.draw(picture)
    figure.set_size_inches(9.6, 7.6)
    paths = save(figure, folder, "table2_figure9")
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for ax, (part, told) in zip(axes, PARTS.items(), strict=True):
        for j, method in enumerate(METHODS):
            gain = _gain(frame, part, method)
            ax.errorbar(
                np.arange(len(BUDGETS)) + 0.1 * (j - 2), gain.mean(),
                yerr=gain.std() / np.sqrt(len(gain)), fmt="o", capsize=3,
                color=COLOURS[method], label=method,
            )  # fmt: skip
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set_xticks(range(len(BUDGETS)), BUDGETS)
        ax.set_xlabel("rows trimmed")
        ax.set_title(told, fontsize=11)
    axes[0].set_ylabel("gain over no trimming, points")
    axes[1].legend(frameon=False, fontsize=9)
    return paths + save(figure, folder, "table2_gain")


def _gain(frame, part: str, method: str):
    """Points over no trimming, (seeds, budgets)."""
    lines = frame[frame.part == part]
    plain = lines[lines.method == NONE].set_index("seed").accuracy
    wide = lines[lines.method == method].pivot(
        index="seed", columns="budget", values="accuracy"
    )
    return wide.sub(plain, axis=0)


def _compared(frame, budget: int, first: str, second: str) -> dict:
    """Paired differences by part of the rows."""
    lines = frame[frame.budget == budget]
    return {
        part: compare(lines[lines.part == part], "accuracy", "method", first, second)
        for part in PARTS
    }


def claims(frame, seconds) -> list[Claim]:
    """FI against IV by budget, and against what Table 2 leaves out."""
    found = []
    seeds = str(frame.seed.nunique())
    note = (
        f"data and widths are ours; asked of the {PARTS['test']} and of the {PARTS['further']}"
    )
    for budget in BUDGETS:
        against = _compared(frame, budget, FI, IV)
        told = []
        for part, result in against.items():
            lines = frame[(frame.budget == budget) & (frame.part == part)]
            mean = [spread(lines[lines.method == m].accuracy) for m in (FI, IV)]
            told.append(
                f"{PARTS[part]}: {mean[0]} against {mean[1]}, difference {result}, ahead in "
                f"{result.better}, behind in {result.worse} of {result.n}"
            )
        paper = f"ahead in {crescents.PAPER[budget]} (standard deviations)"
        found.append(
            Claim(
                f"Table 2: FI is ahead of IV at {budget} rows",
                paper,
                "; ".join(told),
                "",
                seeds,
                verdict(against.values()),
                note,
            )
        )
    for other, told in ((RANDOM, "rows at random"), (LOSS, "rows of the highest loss")):
        against = {budget: _compared(frame, budget, FI, other) for budget in BUDGETS}
        by_part = [
            f"{PARTS[part]}: "
            + ", ".join(f"{budget}: {results[part]}" for budget, results in against.items())
            for part in PARTS
        ]
        found.append(
            Claim(
                f"Left out of Table 2: is FI ahead of trimming {told}?",
                "not tried",
                "; ".join(by_part),
                "",
                seeds,
                verdict(result for results in against.values() for result in results.values()),
                f"points by rows trimmed; {note}",
            )
        )
    return found


def tables(frame, seconds) -> str:
    """Mean accuracy and gain of all methods."""
    rows = []
    for method in (NONE, *METHODS):
        for budget in BUDGETS if method != NONE else (0,):
            cells = []
            for part in PARTS:
                some = (frame.method == method) & (frame.budget == budget)
                cells.append(spread(frame[some & (frame.part == part)].accuracy))
                gain = "" if method == NONE else spread(_gain(frame, part, method)[budget])
                cells.append(gain)
            rows.append((method, budget, *cells))
    told = [name for part in PARTS.values() for name in (f"{part}, %", "gain, points")]
    return markdown(("trimmed by", "rows", *told), rows)


EXPERIMENT = Experiment(
    name="table2", title="Table 2 and Figure 9: two crescents, a network", about=ABOUT,
    settings=settings, run=run, draw=draw, claims=claims, tables=tables, seeds=20,
    quick_seeds=2,
)  # fmt: skip
