"""
What FI is, drawn and checked by refits
=======================================

Move one training row a little, and fit again. The classifier follows, and with it two things:
the mean loss over the validation rows, and the row's own predicted probabilities. FI compares
the two: it is the square of the fastest change of the validation loss, where the length of a
move is what it does to the row's own prediction (its Fisher length).

A row has two features here, so that its moves are a plane and all of it can be drawn.
"""

# %%
# Derivatives by refits, FI in closed form
# ----------------------------------------
# Three classes, 60 training and 60 validation rows. Let g be the derivative of the validation
# loss by a row's features, D that of the row's log probabilities, and
# :math:`G = \sum_c P_c D_c^T D_c` the metric tensor. Then :math:`FI = g G^+ g^T`. Here g and G
# come from central differences of refits; ``fi_util`` has FI without any.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression

from skfi import fi_util

CENTRES = [[1.5, 0.0], [-0.75, 1.3], [-0.75, -1.3]]
X, y = make_blobs(120, centers=CENTRES, cluster_std=0.9, random_state=0)
(X, V), (y, w) = np.split(X, 2), np.split(y, 2)


def fit(X):
    return LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(X, y)


def refit(row, move):
    """Validation loss and the row's log probabilities (4,), after a move of the row."""
    moved = X.copy()
    moved[row] += move
    model = fit(moved)
    loss = -model.predict_log_proba(V)[np.arange(len(w)), w].mean()
    return np.append(loss, model.predict_log_proba(moved[[row]]))


def derivatives(row, h=1e-3):
    """G and g of a row."""
    found = np.array([(refit(row, e) - refit(row, -e)) / (2 * h) for e in h * np.eye(2)])
    D, P = found[:, 1:].T, model.predict_proba(X[[row]])[0]
    return D.T @ (P[:, None] * D), found[:, 0]


model = fit(X)
fi = fi_util(model, X, y, V, w)
for row in np.argsort(-fi)[::12]:
    G, g = derivatives(row)
    print(f"row {row:>2}: by refits {g @ np.linalg.solve(G, g):.5e}, fi_util {fi[row]:.5e}")

# %%
# One row's plane of moves
# ------------------------
# Shades are the change of the validation loss after actual refits. The ellipse joins moves of
# the same Fisher length by G, the dashed line those of the same length by refits: they part as
# moves grow, since FI is about small ones. The arrow points along g, straight up the loss. But
# for a given Fisher length another move goes further up: that to the dot, where the ellipse
# touches a level line of g.

row, length = 48, 0.4
G, g = derivatives(row)
best = length * np.linalg.solve(G, g) / np.sqrt(fi[row])
turn = np.linspace(0, 2 * np.pi, 200)
ellipse = length * np.linalg.solve(np.linalg.cholesky(G).T, [np.cos(turn), np.sin(turn)])
ticks = np.linspace(-1, 1, 15)
change = np.array([[refit(row, (a, b)) for a in ticks] for b in ticks]) - refit(row, 0)
fisher = change[..., 1:] ** 2 @ model.predict_proba(X[[row]])[0]

fig, (left, ax) = plt.subplots(
    1, 2, figsize=(7, 4.2), width_ratios=(4, 5), layout="constrained"
)
for k, colour, mark in ((0, "#0072B2", "o"), (1, "#E69F00", "^"), (2, "#009E73", "s")):
    left.scatter(*X[y == k].T, s=22, c=colour, marker=mark, lw=0)
left.scatter(*X[row], s=70, fc="none", ec="black")
left.plot(*(X[[row]].T + ellipse), "k")
left.set(xlabel="feature 1", ylabel="feature 2", aspect="equal", title="training rows")
shades = ax.contourf(ticks, ticks, 1e3 * change[..., 0], 14, cmap="cividis", alpha=0.6)
fig.colorbar(shades, ax=ax, label="change of validation loss, 1e-3", shrink=0.8)
ax.contour(ticks, ticks, fisher, levels=[length**2], colors="black", linestyles="--")
ax.plot(*ellipse, "k", label="Fisher length 0.4, by G")
ax.plot([], [], "k--", label="Fisher length 0.4, by refits")
blue = {"color": "#0072B2"}
ax.quiver(0, 0, *(g / np.linalg.norm(g)), scale=1.3, scale_units="xy", label="g", **blue)
ax.axline(best, best + g[::-1] * [1, -1], ls=":", label="level line of g", **blue)
ax.plot(*best, "o", color="#D55E00", mec="black", ms=9, label="furthest up")
ax.set(xlabel="move of feature 1", ylabel="move of feature 2", title=f"row {row}")
ax.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
fig.legend(loc="outside lower center", ncols=3, frameon=False)
plt.show()

# %%
# FI is a squared ratio
# ---------------------
# Small moves of this row in all directions: the change of the validation loss over the Fisher
# length, squared, by refits and by :math:`(g \delta)^2 / \delta^T G \delta`. FI is the highest.

angles = np.linspace(0, np.pi, 181)
moves = 1e-3 * np.array([np.cos(angles), np.sin(angles)]).T
ratio = (moves @ g) ** 2 / np.sum(moves @ G * moves, axis=1)
both = np.array([refit(row, move) - refit(row, -move) for move in moves[::10]])
actual = both[:, 0] ** 2 / (both[:, 1:] ** 2 @ model.predict_proba(X[[row]])[0])
print(f"largest relative error by refits {np.abs(actual / ratio[::10] - 1).max():.0e}")

fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.plot(np.degrees(angles), ratio, color="#0072B2", label="by g and G")
ax.plot(np.degrees(angles[::10]), actual, "o", color="#0072B2", label="by refits")
ax.axhline(fi[row], color="#D55E00", ls="--", label="fi_util")
ax.set(xlabel="direction of the move, degrees", ylabel="squared ratio")
ax.legend(frameon=False)
plt.show()
