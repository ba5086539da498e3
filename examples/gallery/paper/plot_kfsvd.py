"""
KFSVD and K-FAC against exact scores
====================================

For networks the paper makes two approximations on the way to FI. K-FAC takes a Kronecker
product a layer for the curvature. KFSVD, besides, cuts each row's mixed derivative, parameters
by features, to its k largest singular values. On a net that is small enough for exact scores
the two errors can be told apart.
"""

# %%
# A net, and scores by four ways
# ------------------------------
# Digits, one hidden layer; all parameters follow, and all 64 pixels are moved. The exact scores
# have the whole Gauss-Newton matrix. EKFAC has K-FAC's eigenvectors with eigenvalues of their
# own, to which the weight decay is added; K-FAC has it in both factors.

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier
from torch import nn

from skfi import fi_active
from skfi.bridge import SkorchClassifier


class Network(nn.Sequential):
    """One hidden layer."""

    def __init__(self):
        super().__init__(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))


digits, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(labels))
X, y, pool = digits[order[:150]] / 16, labels[order[:150]], digits[order[150:270]] / 16
net = NeuralNetClassifier(
    Network,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    optimizer__weight_decay=1e-3,
    lr=0.02,
    max_epochs=60,
    batch_size=-1,
    train_split=None,
    verbose=0,
)
model = SkorchClassifier(net, random_state=0).fit(X, y)


def score(**choices):
    """FI of the pool: the paper's mean of the middle 80 % over the training rows."""
    return fi_active(model, X, y, pool, params="all", perturbation="input", **choices)


RANKS = (1, 2, 4, 8, 16, 32, 64)
exact, kfac, ekfac = (score(curvature=name) for name in ("ggn", "kfac", "ekfac"))
kfsvd = [score(approximation="kfsvd", n_components=k, random_state=0) for k in RANKS]

# %%
# Errors
# ------
# The median relative error of a row's score, the same once all scores are multiplied by what
# brings their median ratio to 1, and how many of the 20 rows that score highest are found.


def error(found, truth):
    return np.median(np.abs(found / truth - 1))


def recall(found, truth):
    return len(np.intersect1d(np.argsort(-found)[:20], np.argsort(-truth)[:20])) / 20


m = sum(weights.numel() for weights in model.net_.module_.parameters())
print(f"{m} parameters; against exact scores (and numbers kept for each training row):")
names = ["K-FAC", "EKFAC", *(f"KFSVD, k = {k} ({k * (m + 65):,} numbers)" for k in RANKS)]
for name, found in zip(names, (kfac, ekfac, *kfsvd), strict=True):
    ranks = spearmanr(found, exact).statistic
    print(
        f"{name}: error {error(found, exact):.2f}, scaled "
        f"{error(found / np.median(found / exact), exact):.2f}, rank correlation {ranks:.3f}, "
        f"{recall(found, exact):.2f} of the top 20"
    )

fig, axes = plt.subplots(1, 2, figsize=(7, 4.2), layout="constrained")
for ax, measure in zip(axes, (error, recall), strict=True):
    for truth, style, told in ((exact, "o-", "exact"), (kfac, "s--", "K-FAC")):
        values = [measure(found, truth) for found in kfsvd]
        ax.plot(RANKS, values, style, label=f"KFSVD against {told}")
    ax.axhline(measure(kfac, exact), color="black", ls=":", label="K-FAC against exact")
    ax.axhline(measure(ekfac, exact), color="#009E73", ls="-.", label="EKFAC against exact")
    ax.set_xscale("log", base=2)
    ax.set_xticks(RANKS, RANKS)
    ax.set(xlabel="rank k", ylim=(0, 1.05))
    for line, colour in zip(ax.lines, ("#D55E00", "#0072B2"), strict=False):
        line.set_color(colour)
axes[0].set_ylabel("relative error, median row")
axes[1].set_ylabel("share of the top 20 found")
keys = axes[0].get_legend_handles_labels()
fig.legend(*keys, loc="outside lower center", ncols=2, frameon=False)
plt.show()

# %%
# By k = 64 KFSVD is K-FAC (dashed), and the error that is left is K-FAC's. Before, it falls
# slowly with k, because a row's mixed derivative has no few large singular values: where it is
# gone every one of them is kept, and far more numbers than the net has parameters.
#
# Much of either error is one of scale: the scores are too small. K-FAC, with the weight decay
# in both factors, damps more than it was asked to; EKFAC does not, and is nearer. The order
# hardly suffers, so that for picking top rows a small k would do here. But it saves nothing
# either: the exact products keep nothing for a row. More in :doc:`/networks`.
