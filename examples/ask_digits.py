"""
Which digits to label next
==========================

Twenty digits are labelled, about 1,200 are not. The paper's FI^active asks for the rows that
score highest: near-duplicates, and digits on which the model is merely lost. The sampler's
default sets FI against the margin and covers the pool. The first picture shows what each
asks for in the first round, the second what ten rounds of ten labels are worth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skfi import FIActiveSampler, active_learning_curve
from skfi.inspection import ActiveLearningCurveDisplay
from skfi.queries import Margin, Random

ASKED = 12
PAPER = FIActiveSampler(utility="fi", selection="top", aggregate="trimmed_mean")
STRATEGIES = {
    "FI (default)": FIActiveSampler(),
    "FI, the paper's": PAPER,
    "margin": Margin(),
    "random": Random(),
}


def draw_batches(X, y, folder: Path) -> None:
    """The rows that each strategy asks for first, as images."""
    order = np.random.default_rng(3).permutation(len(y))
    labelled, pool = order[:20], order[20:1220]
    names = list(STRATEGIES)[:3]
    fig, axes = plt.subplots(
        len(names), ASKED, figsize=(9, 3.0), gridspec_kw={"wspace": 0.15, "hspace": 0.35}
    )
    for name, line in zip(names, axes, strict=True):
        strategy = STRATEGIES[name].set_params(
            estimator=LogisticRegression(max_iter=1000), batch_size=ASKED, random_state=0
        )
        asked = pool[strategy.fit(X[labelled], y[labelled]).query(X[pool])]
        for ax, row in zip(line, asked, strict=True):
            ax.imshow(X[row].reshape(8, 8), cmap="gray_r")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.set_xlabel(str(y[row]), labelpad=1, fontsize=9)
        two = np.sort(strategy.estimator_.predict_proba(X[asked]), axis=1)[:, -2:]
        apart = (two[:, 1] - two[:, 0]).mean()
        text = f"{name}: the two most probable classes are {apart:.3f} apart on average"
        line[0].set_title(text, loc="left", fontsize=10, pad=4)
        print(text)
    fig.savefig(folder / "digits_asked_for.png", dpi=160, bbox_inches="tight")


def draw_curves(X, y, repeats: int, rounds: int, folder: Path) -> None:
    """Accuracy against labels, mean and standard error over repeats."""
    curve = active_learning_curve(
        LogisticRegression(max_iter=1000),
        X,
        y,
        STRATEGIES,
        n_initial=20,
        batch_size=10,
        n_rounds=rounds,
        n_repeats=repeats,
        random_state=0,
    )
    for name, area in curve.area().items():
        print(f"{name}: mean accuracy {area.mean():.3f} over {repeats} repeats")
    display = ActiveLearningCurveDisplay.from_results(curve).plot()
    display.figure_.savefig(folder / "digits_curves.png", dpi=160, bbox_inches="tight")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("."), help="folder for pictures")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    digits, labels = load_digits(return_X_y=True)
    draw_batches(digits / 16, labels, options.output)
    draw_curves(digits / 16, labels, options.repeats, options.rounds, options.output)
