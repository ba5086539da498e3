"""Seconds of one query on the paper's MNIST case, beside a 20-pass BALD query.

Run ``make bench-queries``; ``SKFI_DATA`` names a folder with ``mnist.npz`` (without one,
random images of the same shape are used, and said so). The paper's CNN (Table 6) is trained
on the first labels of its Table 5 (60), and asked for 30 rows of pools of 420 (Table 5) and
4,000. All strategies get the same trained net; fit and query of each are timed in turn in one
process with the same threads. The paper's own FI takes about twice as long as BALD (Table 7).
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings

import numpy as np
import sklearn
import skorch
import torch
from network_cost import load, paper_cnn
from skactiveml.pool import Badge
from sklearn.frozen import FrozenEstimator

from skfi import FIActiveSampler
from skfi.bridge import SkorchClassifier
from skfi.integrations.skactiveml import SkactivemlStrategy
from skfi.queries import BALD, Margin

REPEATS = 7
PAPER = {
    "utility": "fi", "selection": "top", "aggregate": "trimmed_mean",
    "validation_loss": "log_loss", "curvature": "kfac",
}  # fmt: skip


def train(X, y) -> SkorchClassifier:
    torch.manual_seed(0)
    net = skorch.NeuralNetClassifier(
        paper_cnn(),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=32,
        max_epochs=40,
        train_split=None,
        verbose=0,
    )
    return SkorchClassifier(net, random_state=0).fit(X, y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pools", type=int, nargs="+", default=[420, 4000])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    name, X, y, V, w = load(60 + max(args.pools))
    model = train(X[:60], y[:60])
    print(f"{name}; accuracy after 60 labels {model.score(V, w):.3f}")
    strategies = {
        "BALD, 20 draws": BALD(posterior="dropout", n_draws=20),
        "FI, the paper's (K-FAC last layer)": FIActiveSampler(**PAPER),
        "FI, the paper's, exact last layer": FIActiveSampler(**{**PAPER, "curvature": "exact"}),
        "FI (default)": FIActiveSampler(),
        "BADGE": SkactivemlStrategy(Badge()),
        "margin": Margin(),
    }
    broken: list[str] = []
    for size in args.pools:
        pool = X[60 : 60 + size]
        times: dict[str, list[float]] = {key: [] for key in strategies}
        for repeat in range(REPEATS + 1):
            for key, strategy in strategies.items():
                strategy.set_params(
                    estimator=FrozenEstimator(model), batch_size=30, random_state=repeat
                )
                start = time.perf_counter()
                strategy.fit(X[:60], y[:60]).query(pool)
                if repeat:
                    times[key].append(time.perf_counter() - start)
        seconds = {key: float(np.median(values)) for key, values in times.items()}
        print(f"\npool of {size:,}, 60 labelled, 30 asked for")
        for key, value in seconds.items():
            ratio = value / seconds["BALD, 20 draws"]
            print(f"  {key:<36} {value:>7.3f} s  {ratio:>5.2f} × BALD")
            if key == "FI, the paper's (K-FAC last layer)" and ratio > 0.5:
                broken.append(f"{ratio:.2f} × BALD with a pool of {size}")
    print(
        f"\n{REPEATS} repeats, medians, fit of the net left out, seed 0; torch "
        f"{torch.__version__}, skorch {skorch.__version__}, scikit-learn "
        f"{sklearn.__version__}, numpy {np.__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    if broken:
        raise SystemExit(f"over half of BALD's time: {broken}")


if __name__ == "__main__":
    main()
