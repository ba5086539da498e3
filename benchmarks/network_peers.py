"""FI^util of a small network beside pyDVL's derivative of the influence in the input.

Run ``make bench-peers``, which makes an environment of its own: pyDVL wants NumPy 1. Both
are timed in turn in one process with the same threads. pyDVL's ``InfluenceMode.Perturbation``
gives g alone (the derivative of a test row's loss in each training row's input); FI^util has
g, the rows' own D and the measure. Both take the Hessian itself, damped alike, all
parameters, the input perturbed; the g of both are compared.
"""

from __future__ import annotations

import platform
import statistics
import time
import warnings

import numpy as np
import pydvl
import torch
from pydvl.influence import InfluenceMode
from pydvl.influence.torch import DirectInfluence
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from skfi import fi_util
from skfi.bridge import TorchClassifier, bridge
from skfi.bridge._network import Choices
from skfi.linear._losses import log_loss
from skfi.network._network import Labelled
from skfi.network._scores import curve_network, perturbed, solve_for

DAMPING = 0.1
REPEATS = 3


def main() -> None:
    """Print seconds and ratios."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    rows, labels = torch.as_tensor(X[:1000]), torch.as_tensor(y[:1000])
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(rows), labels).backward()
        optimizer.step()
    test, test_labels = torch.as_tensor(X[1000:1100]), torch.as_tensor(y[1000:1100])
    model = TorchClassifier(module, nn.CrossEntropyLoss(), classes=range(10))
    settings = {"params": "all", "perturbation": "input", "curvature": "exact"}
    data = X[:1000], y[:1000], X[1000:1100], y[1000:1100]

    def peer():
        influence = DirectInfluence(
            module, nn.functional.cross_entropy, regularization=DAMPING
        ).fit(DataLoader(TensorDataset(rows, labels), batch_size=1000))
        return influence.influences(
            test, test_labels, rows[:100], labels[:100], mode=InfluenceMode.Perturbation
        )

    def ours():
        return fi_util(model, *data, damping=DAMPING, **settings)

    times: dict = {peer: [], ours: []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for repeat in range(REPEATS + 1):
            for call, spent in times.items():
                start = time.perf_counter()
                result = call()
                if repeat:
                    spent.append(time.perf_counter() - start)
                if call is peer:
                    theirs = result
        network = bridge(model).network(Choices(**settings, damping=DAMPING), data[0])
        train = Labelled(data[0], data[1], np.ones(1000))
        check = Labelled(data[2], data[3], np.ones(100))
        curvature, _ = curve_network(network, train, "exact", DAMPING)
        h = solve_for(network, curvature, check, log_loss)
        g = np.concatenate([part.g for part in perturbed(network, curvature, h, train)])
    # pyDVL sums up u H⁻¹ ∂_x∂_θL for each test row, without the share 1/n and the sign.
    expected = theirs.mean(0).numpy().reshape(100, -1)
    gap = np.abs(np.abs(g[:100] * 1000) - np.abs(expected)).max() / np.abs(expected).max()
    seconds = {call: statistics.median(spent) for call, spent in times.items()}
    m = sum(p.numel() for p in module.parameters())
    print(
        f"digits, MLP 64-8-10 ({m} parameters), 100 test rows; medians of {REPEATS}, seed 0; "
        f"pyDVL {pydvl.__version__}, torch {torch.__version__}, numpy {np.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}"
    )
    print(f"pyDVL, Perturbation, 100 training rows: {seconds[peer]:.2f} s (g of each pair)")
    print(f"skfi, FI^util, 1,000 training rows:     {seconds[ours]:.2f} s (g, D and FI)")
    per_row = seconds[peer] / 100 / (seconds[ours] / 1000)
    print(f"per training row pyDVL takes {per_row:.0f} times as long")
    print(f"largest difference of the two g, relative to the largest: {gap:.1e}")


if __name__ == "__main__":
    main()
