"""Figure 12 of the published version: Data Shapley as a query strategy on MNIST."""

from __future__ import annotations

from pathlib import Path

from . import figure4
from ._active import FI, RANDOM, SHAPLEY, TOLD, against, draw_curves, table, told
from ._experiment import Claim, Experiment, Options, Settings
from ._statistics import verdict

ASKED = (FI, RANDOM, SHAPLEY)

ABOUT = f"""
{TOLD}

MNIST, the network and the training of Figure 4, with candidates that are drawn again for each
query. "Shapley" is Shapley regression: Data Shapley values of the labelled
rows, carried over to the candidates by a random forest on what the last layer sees, the highest
asked first (Ghorbani et al. 2022). The values are those of a neighbour classifier on the same
features, which are exact and cost no fits. The paper does not say how it values rows that
have no label; its cost shows that it trains a model for each subset, so seconds cannot be set
against the paper's.
"""


def settings(options: Options) -> list[Settings]:
    sizes = figure4.sizes("MNIST", options)
    return [
        {"data": "MNIST", "reading": figure4.FRESH, "strategy": name, "seed": seed} | sizes
        for seed in range(options.seeds)
        for name in ASKED
    ]


def draw(frame, folder: Path, seconds) -> list[Path]:
    return draw_curves(frame, folder, "figure12", {"MNIST": "MNIST"})


def claims(frame, seconds) -> list[Claim]:
    """Shapley below random, FI above it."""
    n, found = str(frame.seed.nunique()), []
    cost = seconds.groupby("strategy").query_seconds.median()
    note = (
        f"{figure4.UNIT}; Shapley values of a neighbour classifier. A query takes "
        f"{cost[SHAPLEY]:.2f} s, FI's {cost[FI]:.2f} s"
    )
    for first, other, text, paper in (
        (RANDOM, SHAPLEY, "asking by Shapley value is worse than asking at random",
         "a figure: below random"),
        (FI, SHAPLEY, "FI is ahead of Shapley", "a figure: FI above all others"),
        (FI, RANDOM, "FI is ahead of random", "a figure: FI above all others"),
    ):  # fmt: skip
        c = against(frame, first, (other,))
        shown = f"{first} {told(c)}"
        text = f"Figure 12 (published version): {text}"
        found.append(Claim(text, paper, shown, "", n, verdict(c.values()), note))
    return found


def tables(frame, seconds) -> str:
    return table(frame)


EXPERIMENT = Experiment(
    name="figure12", title="Figure 12 (published version): Data Shapley in active learning",
    about=ABOUT, settings=settings, run=figure4.run, draw=draw, claims=claims, tables=tables,
    seeds=3, quick_seeds=2,
)  # fmt: skip
