"""
Trim the training rows of a network
===================================

A skorch net goes into ``FITrimmer`` as any other classifier. Its rows are scored by their
influence through its last layer, in closed form, and the net is trained again without the
worst. Here the labels of one class are partly wrong, and the boundary shows it.
"""

# %%
# Data
# ----
# Two crescents. Two in five training labels of class 1 are wrong, and none of class 0. 200
# validation rows with right labels score the rows; accuracy is that on 2,000 further rows.

import matplotlib.pyplot as plt
import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skfi import FITrimmer
from skfi.datasets import flip_labels, make_crescents


def draw(seed):
    """Training rows, which of them have a wrong label, validation and test rows."""
    X, y = make_crescents(2500, noise=0.2, random_state=seed)
    (X, V, T), (y, w, t) = np.split(X, [300, 500]), np.split(y, [300, 500])
    noise = [[1.0, 0.0], [0.4, 0.6]]
    y, wrong = flip_labels(y, kind="class_conditional", transition=noise, random_state=seed)
    return X, y, wrong, V, w, T, t


# %%
# Network
# -------
# Passed as a class, so that every fit draws its first weights again, by ``random_state``: the
# nets before and after start alike. ``train_split=None`` trains on all rows.


class Network(nn.Sequential):
    """Two hidden layers, and a logit for each class."""

    def __init__(self):
        hidden = nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()
        super().__init__(*hidden, nn.Linear(16, 2))


net = NeuralNetClassifier(
    Network,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    optimizer__weight_decay=1e-3,
    lr=0.02,
    max_epochs=80,
    batch_size=-1,
    train_split=None,
    verbose=0,
)

# %%
# Trim
# ----
# A fifth of the rows go, in one step, by the default score and by the highest loss of their
# own. The checked rows judge alone, so that one net scores, not one for each fold:
# ``initial_estimator_``, the net on all rows. Two draws of the data:

fitted = {}
for seed in range(2):
    X, y, wrong, V, w, T, t = draw(seed)
    for influence in ("fi_signed", "loss"):
        trimmer = FITrimmer(
            net,
            budget=0.2,
            step=None,
            influence=influence,
            checked_rows="judge",
            random_state=seed,
        ).fit(X, y, X_val=V, y_val=w)
        fitted[seed, influence] = trimmer
        before, after = trimmer.initial_estimator_.score(T, t), trimmer.score(T, t)
        print(
            f"draw {seed}, {influence:<9}: accuracy {before:.3f} -> {after:.3f}, "
            f"{wrong[~trimmer.support_].sum()} of the 60 rows wrong"
        )

# %%
# The boundary before and after
# -----------------------------
# The first draw, trimmed by the default score. Shades are the predicted probability of class 1.

X, y, wrong, V, w, T, t = draw(0)
trimmer = fitted[0, "fi_signed"]
low, high = X.min(axis=0) - 0.3, X.max(axis=0) + 0.3
grid = np.meshgrid(np.linspace(low[0], high[0], 150), np.linspace(low[1], high[1], 150))
places = np.column_stack([part.ravel() for part in grid])
models = {"on all rows": trimmer.initial_estimator_, "after trimming": trimmer}

fig, axes = plt.subplots(2, 1, figsize=(7, 8), sharex=True, sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    proba = model.predict_proba(places)[:, 1].reshape(grid[0].shape)
    ax.pcolormesh(
        *grid, proba, cmap="cividis", vmin=0, vmax=1, alpha=0.35, lw=0, rasterized=True
    )
    ax.contour(*grid, proba, levels=[0.5], colors="black", linewidths=2)
    for k, colour, mark in ((0, "#0072B2", "o"), (1, "#E69F00", "^")):
        ax.scatter(*X[y == k].T, s=24, c=colour, marker=mark, lw=0, label=f"labelled {k}")
    ax.set(title=f"{name}: accuracy {model.score(T, t):.3f}", aspect="equal")
axes[1].scatter(*X[~trimmer.support_].T, s=70, fc="none", ec="black", label="dropped")
fig.legend(
    *axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
)
plt.show()

# %%
# On all rows the net bends around wrong labels, or takes the lower crescent for uncertain
# ground. Nearly all rows that the default score drops are wrong; the highest loss spends part
# of its rows on right labels of class 1 that the wrong ones made unlikely, and gains less.
# That all errors are of one kind favours trimming: errors that pull either way move the
# boundary less, and there is less to gain. What a score means for a net, which is at no
# minimum, and what of it can be chosen, is in :doc:`/networks`.
