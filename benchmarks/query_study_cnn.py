"""Query strategies on MNIST with the paper's CNN: few seeds, and what a query costs.

Run ``make study-cnn``; ``SKFI_DATA`` names a folder with ``mnist.npz``. Table 6's network, all
of its parameters trained again in each round; queries see the last layer, as in the paper. 60
first labels and rounds of 60 from a pool of 4,000 (the paper's pool of 420 is used up by its
last round, when all strategies coincide). Paired draws; too few seeds to tell close strategies
apart, and the table says how far they are.
"""

from __future__ import annotations

import argparse
import platform
import warnings
from pathlib import Path

import numpy as np
import sklearn
import skorch
import torch
from network_cost import load, paper_cnn
from query_study import holm
from scipy.stats import rankdata, wilcoxon
from skactiveml.pool import Badge

from skfi import FIActiveSampler, active_learning_curve
from skfi.bridge import SkorchClassifier
from skfi.integrations.skactiveml import SkactivemlStrategy
from skfi.queries import BALD, Margin, Random

STRATEGIES = {
    "FI (default)": FIActiveSampler(),
    "FI, diverse (former default)": FIActiveSampler(selection="diverse"),
    "FI, the paper's (K-FAC)": FIActiveSampler(
        utility="fi", selection="top", aggregate="trimmed_mean", curvature="kfac"
    ),
    "margin": Margin(),
    "BADGE": SkactivemlStrategy(Badge()),
    "BALD, 20 dropout passes": BALD(posterior="dropout", n_draws=20),
    "random": Random(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=60)
    parser.add_argument("--pool", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--checkpoint", type=Path, default=None, help="folder to go on from")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    name, X, y, V, w = load(args.pool + 60)
    torch.manual_seed(0)  # the weights that the network starts from are settings of the run
    net = skorch.NeuralNetClassifier(
        paper_cnn(), criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=1e-3,
        batch_size=32, max_epochs=args.epochs, train_split=None, verbose=0,
    )  # fmt: skip
    strategies = {key: STRATEGIES[key] for key in args.strategies}
    curve = active_learning_curve(
        SkorchClassifier(net), X, y, strategies, X_test=V, y_test=w, n_initial=60,
        batch_size=args.batch, n_rounds=args.rounds, n_repeats=args.seeds, random_state=0,
        checkpoint=args.checkpoint, verbose=1,
    )  # fmt: skip
    area = curve.area()
    ranks = rankdata(-np.array(list(area.values())), axis=0).mean(axis=1)
    print(
        f"{name}, CNN of Table 6, pool {args.pool + 60:,}, 60 + {args.rounds} × {args.batch} "
        f"labels, {args.epochs} epochs of Adam, {args.seeds} paired draws, 2,000 test images"
    )
    others = [key for key in area if key != "FI (default)"]
    p = holm(np.array([wilcoxon(area["FI (default)"] - area[key]).pvalue for key in others]))
    print(
        f"{'':<28} {'area':>6} {'± s.e.':>7} {'rank':>5} {'final':>6} {'s/query':>8} "
        "default ahead by, on draws, p (Holm)"
    )
    for (strategy, heights), rank in zip(area.items(), ranks, strict=True):
        error = heights.std(ddof=1) / np.sqrt(len(heights)) if len(heights) > 1 else np.nan
        ahead = 100 * (area["FI (default)"] - heights)
        compared = ""
        if strategy in others:
            compared = (
                f" {ahead.mean():+.2f} points, {(ahead > 0).sum()} of {len(ahead)}, "
                f"p = {p[others.index(strategy)]:.2g}"
            )
        print(
            f"{strategy:<28} {heights.mean():>6.4f} {error:>7.4f} {rank:>5.1f} "
            f"{curve.scores[strategy][:, -1].mean():>6.4f} "
            f"{np.median(curve.query_seconds[strategy]):>8.3f}{compared}"
        )
    print(
        f"torch {torch.__version__}, skorch {skorch.__version__}, scikit-learn "
        f"{sklearn.__version__}, Python {platform.python_version()}, {platform.machine()}, "
        f"{torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
