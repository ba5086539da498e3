"""Noise on the rows that matter: what it costs on Bank, by how the rows are chosen."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skfi import fi_util

from . import _linear_training as linear
from . import _real_data as real
from ._drawing import curve, legend_below, save
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._statistics import compare, paired, spread, verdict
from ._table import markdown

HIGHEST, LOWEST, RANDOM = "highest FI", "lowest FI", "random rows"
# Whose colours the curves have.
TARGETS = {HIGHEST: "FI", LOWEST: "IV", RANDOM: "random"}
VARIANCES = (0.1, 1.0, 10.0)
PAPER = {HIGHEST: "0.8 to 2.9", LOWEST: "-0.1 to 1.3"}

ABOUT = f"""
Bank, drawn and trained as in [figure2](#figure2). Gaussian noise is added to all standardised
columns of the training rows with the highest FI, the lowest FI, or of random ones, and the
classifier is trained again; the loss of test accuracy is told. The paper's published version
gives no variance: {VARIANCES[0]} is that of its Appendix D.1, {VARIANCES[1]:g} the variance of
a column, {VARIANCES[2]:g} far more. The same noise goes to the first, second, … row of each
choice.
"""


def settings(options: Options) -> list[Settings]:
    size = {"n_train": 2000, "step": 100} if options.quick else {"n_train": 5000, "step": 50}
    return [
        {"training": training, "seed": seed, "largest": 300} | size
        for training in linear.TRAININGS
        for seed in range(options.seeds)
    ]


def run(cell: Settings) -> list[Row]:
    """Loss of test accuracy in points, by choice of rows, their number and the variance."""
    training, seed = cell["training"], cell["seed"]
    drawn = real.draw("bank", seed, n_train=cell["n_train"])
    fit = linear.fitter(training, linear.CLEAN["bank"], seed)
    X, y = drawn.X, drawn.y
    model = fit(X, y)
    plain = 100 * model.score(drawn.X_test, drawn.y_test)
    fi = fi_util(model, X, y, drawn.X_val, drawn.y_val, **linear.fi_options(training))
    rng = np.random.default_rng(seed)
    orders = {
        HIGHEST: np.argsort(-fi, kind="stable"),
        LOWEST: np.argsort(fi, kind="stable"),
        RANDOM: rng.permutation(len(y)),
    }
    noise = rng.standard_normal((cell["largest"], X.shape[1]))
    rows = []
    for variance in VARIANCES:
        for target, order in orders.items():
            for count in range(cell["step"], cell["largest"] + 1, cell["step"]):
                moved = X.copy()
                moved[order[:count]] += np.sqrt(variance) * noise[:count]
                accuracy = 100 * fit(moved, y).score(drawn.X_test, drawn.y_test)
                rows.append(
                    {
                        "variance": variance, "target": target, "rows": count,
                        "untrimmed": plain, "loss": plain - accuracy,
                    }
                )  # fmt: skip
    return rows


def draw(frame, folder: Path, seconds) -> list[Path]:
    """Loss by rows that got noise."""
    figure, axes = plt.subplots(
        2, len(VARIANCES), figsize=(10, 6.2), sharex=True, layout="constrained"
    )
    for line, training in zip(axes, linear.TRAININGS, strict=True):
        for ax, variance in zip(line, VARIANCES, strict=True):
            part = frame[(frame.training == training) & (frame.variance == variance)]
            for target, colour in TARGETS.items():
                wide = part[part.target == target].pivot_table(
                    index="seed", columns="rows", values="loss"
                )
                curve(ax, wide.columns, wide.to_numpy(), colour, target)
            ax.axhline(0, color="0.6", lw=0.8)
            ax.set_title(f"variance {variance:g}", fontsize=11)
        line[0].set_ylabel(f"{linear.TITLES[training]}\naccuracy lost, points")
    for ax in axes[-1]:
        ax.set_xlabel("rows with noise")
    legend_below(figure, axes[0, 0])
    figure.suptitle("Bank: noise on training rows chosen by FI")
    return save(figure, folder, "perturbation")


def _means(frame, training: str, variance: float, target: str) -> list[float]:
    """Mean loss over the seeds, by number of rows."""
    part = frame[
        (frame.training == training) & (frame.variance == variance) & (frame.target == target)
    ]
    return part.groupby("rows").loss.mean().tolist()


def claims(frame, seconds) -> list[Claim]:
    """Noise on rows of high FI costs more than on those of low FI, or on random ones."""
    found = []
    for first, second, paper in (
        (HIGHEST, LOWEST, f"{PAPER[HIGHEST]} points against {PAPER[LOWEST]}"),
        (HIGHEST, RANDOM, "not told"),
    ):
        told, comparisons = {}, {training: [] for training in linear.TRAININGS}
        for training in linear.TRAININGS:
            parts = []
            for variance in VARIANCES:
                part = frame[(frame.training == training) & (frame.variance == variance)]
                against = compare(part, "loss", "target", first, second)
                comparisons[training].append(against)
                ends = [
                    f"{min(m):.2f} to {max(m):.2f}"
                    for m in (_means(frame, training, variance, t) for t in (first, second))
                ]
                parts.append(
                    f"variance {variance:g}: {ends[0]} against {ends[1]}, mean difference "
                    f"{against}"
                )
            told[training] = "; ".join(parts)
        found.append(
            Claim(
                f"Published version: noise on the rows of highest FI costs Bank more than on "
                f"{'those of lowest FI' if second == LOWEST else 'random rows'}",
                paper, told[linear.PAPER], told[linear.CONVERGED], str(against.n),
                verdict(comparisons[linear.PAPER]),
                "points of accuracy lost, smallest to largest mean over 50 to 300 rows; the "
                "variance is ours; with the converged model: "
                + verdict(comparisons[linear.CONVERGED]),
            )
        )  # fmt: skip
    told, costs = {}, []
    for training in linear.TRAININGS:
        parts = []
        for variance in VARIANCES:
            part = frame[
                (frame.training == training)
                & (frame.variance == variance)
                & (frame.target == HIGHEST)
            ]
            loss = part.groupby("seed").loss.mean()
            parts.append(f"variance {variance:g}: {spread(loss)}")
            if training == linear.PAPER:
                costs.append(paired(loss, np.zeros(len(loss))))
        told[training] = "; ".join(parts)
    found.append(
        Claim(
            "Published version: noise on the rows of highest FI costs Bank accuracy",
            f"{PAPER[HIGHEST]} points", told[linear.PAPER], told[linear.CONVERGED],
            str(costs[0].n), verdict(costs), "points, mean over the numbers of rows",
        )
    )  # fmt: skip
    return found


def tables(frame, seconds) -> str:
    """Mean loss by number of rows."""
    counts = sorted(frame["rows"].unique())
    rows = [
        (linear.TITLES[training], f"{variance:g}", target,
         *(f"{m:.2f}" for m in _means(frame, training, variance, target)))
        for training in linear.TRAININGS for variance in VARIANCES for target in TARGETS
    ]  # fmt: skip
    return markdown(("training", "variance", "noise on", *(f"{c} rows" for c in counts)), rows)


EXPERIMENT = Experiment(
    name="perturbation", title="Bank: noise on rows of high and low FI", about=ABOUT,
    settings=settings, run=run, draw=draw, claims=claims, tables=tables,
    seeds=10, quick_seeds=2, version=2,
)  # fmt: skip
