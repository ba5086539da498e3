"""Error of the two approximations for networks, against the exact scores.

Run ``make figure-approximation``. A small convolutional network is trained on
scikit-learn's digits; FI of every pair of a training row and an unlabelled one (with its
predicted label), K-FAC curvature, all parameters, the 64 pixels perturbed:

- KFSVD, the paper's Algorithm 2: each row's mixed derivative cut to rank k;
- a sketch: both sides of the exact inner product projected to s numbers.

Both are compared with the exact pairs by what they are used for: the mean over the training
rows (the middle 80 %) and the rows with the highest of these means.
"""

from __future__ import annotations

import argparse
import platform
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
import sklearn
import skorch
import torch
from scipy.stats import spearmanr, trim_mean
from sklearn.datasets import load_digits
from sklearn.utils import check_random_state
from torch import Tensor, nn

from skfi.bridge import SkorchClassifier, bridge
from skfi.bridge._network import Choices
from skfi.linear._losses import log_loss
from skfi.network._network import Labelled
from skfi.network._pairs import cotangents, fi_pairs, pool_gradients, responses
from skfi.network._scores import build_curvature

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RANKS = (1, 2, 4, 8, 16, 32, 48, 64)
LENGTHS = (16, 64, 256, 1024, 4096, 16384)
TOP = 20


def small_cnn() -> nn.Sequential:
    """Two convolutions and two linear layers for 8×8 images."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, stride=2),
        nn.Tanh(),
        nn.Conv2d(8, 16, 3, padding=1, stride=2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(64, 32),
        nn.Tanh(),
        nn.Linear(32, 10),
    )


@dataclass(frozen=True)
class CountSketch:
    """Random projection of vectors (…, m) to (…, size), in time m and m numbers of memory.

    Each coordinate is added, with a random sign, to a random one of ``size`` sums
    (Charikar, Chen & Farach-Colton 2002); inner products are kept on average.
    """

    m: int
    size: int
    seed: int
    place: Tensor = field(init=False, repr=False)
    sign: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rng = check_random_state(self.seed)
        place = torch.as_tensor(rng.randint(self.size, size=self.m))
        sign = torch.as_tensor(rng.choice([-1.0, 1.0], size=self.m))
        object.__setattr__(self, "place", place)
        object.__setattr__(self, "sign", sign)

    def __call__(self, V: Tensor) -> Tensor:
        place, sign = self.place.to(V.device), self.sign.to(V)
        out = V.new_zeros(*V.shape[:-1], self.size)
        return out.index_add_(-1, place, V * sign)


def sketched_pairs(network, curvature, train, X, towards, length: int, seed: int):
    """FI of pairs from projections of both sides, right on average except for a cut at 0.

    Squares of projected products come out too large by their variance, which is
    ``‖b‖²‖u‖²/s + (b·u)²/s`` up to terms of single coordinates, and is subtracted.
    """
    project = CountSketch(network.n_parameters, length, seed)
    out = np.empty((len(X), len(train.X)))
    for rows, B in responses(network, curvature, train):
        for block, u in pool_gradients(network, curvature, X, towards):
            fi = (torch.tensordot(project(u), project(B), ([1], [2])) ** 2).sum(2)
            lengths = torch.outer((u**2).sum(1), (B**2).sum((1, 2)))
            fi = (fi - lengths / length) / (1 + 1 / length)
            out[block, rows] = fi.clamp_min(0.0).double().numpy()
    return out


def prepare(seed: int, n_train: int, n_pool: int):
    """A trained network, its curvature, training rows and pool with predicted labels."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    order = np.random.default_rng(seed).permutation(len(X))
    train, pool = order[:n_train], order[n_train : n_train + n_pool]
    torch.manual_seed(seed)
    net = skorch.NeuralNetClassifier(
        small_cnn(),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=1e-4,
        lr=3e-3,
        batch_size=64,
        max_epochs=15,
        train_split=None,
        verbose=0,
    )
    model = SkorchClassifier(net, random_state=seed).fit(X[train], y[train])
    fitted = bridge(model)
    network = fitted.network(Choices("all", "input"), X[train])
    data = Labelled(X[train], y[train], np.ones(n_train))
    curvature = build_curvature(network, data, "kfac", "auto")
    accuracy = model.score(X[pool], y[pool])
    return network, curvature, data, X[pool], model.predict(X[pool]), accuracy


def compare(exact: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """Median relative error of the means, their rank correlation, and the top's recall."""
    a, b = (trim_mean(pairs, 0.1, axis=1) for pairs in (exact, found))
    best = set(np.argsort(-a)[:TOP])
    recall = len(best & set(np.argsort(-b)[:TOP])) / TOP
    return float(np.median(np.abs(b - a) / a)), float(spearmanr(a, b)[0]), recall


def main(output: Path, seeds: int, n_train: int, n_pool: int) -> None:
    """Print the table and save the picture."""
    results: dict[tuple[str, int], list] = {}
    for seed in range(seeds):
        network, curvature, train, X, labels, accuracy = prepare(seed, n_train, n_pool)
        towards = cotangents(network, X, labels, log_loss)
        exact = fi_pairs(network, curvature, train, X, towards)
        print(f"seed {seed}: accuracy on the pool {accuracy:.3f}", flush=True)
        for rank in RANKS:
            found = fi_pairs(network, curvature, train, X, towards, rank=rank, seed=seed)
            results.setdefault(("KFSVD, rank k", rank), []).append(compare(exact, found))
        for length in LENGTHS:
            found = sketched_pairs(network, curvature, train, X, towards, length, seed)
            results.setdefault(("sketch, length s", length), []).append(compare(exact, found))
    m, d, q = network.n_parameters, X[0].size, len(network.contrasts)
    numbers = {
        "KFSVD, rank k": lambda k: (m + d + 1) * k,
        "sketch, length s": lambda s: q * s,
    }
    print(
        f"digits: {n_train} training rows, {n_pool} in the pool, {seeds} seeds; m = {m:,}, "
        f"d = {d}, K = {q + 1}; K-FAC, damping auto; means over the middle 80 % of the "
        f"training rows\ntorch {torch.__version__}, skorch {skorch.__version__}, scikit-learn "
        f"{sklearn.__version__}, numpy {np.__version__}, Python {platform.python_version()}"
    )
    print(
        f"{'':<18} {'size':>6} {'numbers/row':>12} {'error':>7} {'rank corr.':>10} "
        f"{f'top {TOP}':>7}"
    )
    for (name, size), values in results.items():
        error, correlation, recall = np.mean(values, axis=0)
        print(
            f"{name:<18} {size:>6} {numbers[name](size):>12,} {error:>7.3f} "
            f"{correlation:>10.3f} {recall:>7.2f}"
        )
    draw(results, numbers, m * d, output)


def draw(results, numbers, whole: int, output: Path) -> None:
    """Error and recall against the numbers kept for each training row."""
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    for (name, numbers_of), colour, mark in zip(
        numbers.items(), ("#D55E00", "#0072B2"), "os", strict=True
    ):
        sizes = [size for other, size in results if other == name]
        values = np.array([results[name, size] for size in sizes])
        stored = [numbers_of(size) for size in sizes]
        for ax, column in zip(axes, (0, 2), strict=True):
            low, middle, high = (
                part(values[:, :, column], axis=1) for part in (np.min, np.mean, np.max)
            )
            ax.plot(stored, middle, color=colour, marker=mark, ms=5, label=name)
            ax.fill_between(stored, low, high, color=colour, alpha=0.2, lw=0)
            if column:  # the same sizes again
                continue
            side = (5, 4) if mark == "o" else (-14, -13)
            for size, x, height in zip(sizes, stored, middle, strict=True):
                ax.annotate(
                    f"{size}", (x, height), xytext=side, textcoords="offset points",
                    fontsize=7, color=colour,
                )  # fmt: skip
    for ax in axes:
        ax.set_xscale("log")
        ax.axvline(whole, color="0.5", lw=1, ls=":")
        ax.text(whole, 0.98, "m·d ", transform=ax.get_xaxis_transform(), ha="right", va="top",
                fontsize=8, color="0.4")  # fmt: skip
        ax.set_xlabel("numbers kept for each training row")
        ax.grid(alpha=0.3)
    axes[0].set_yscale("log")
    axes[0].set_ylabel("relative error of a row's mean FI (median)")
    axes[1].set_ylabel(f"share of the true top {TOP} found")
    axes[1].set_ylim(0, 1.05)
    axes[0].legend(frameon=False, loc="lower left")
    output.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(output, dpi=130)
    print(f"saved {output}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("approximation_error.png"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--pool", type=int, default=200)
    options = parser.parse_args()
    main(options.output, options.seeds, options.train, options.pool)
