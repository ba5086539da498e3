"""
Trim wrong labels in the plane
==============================

Two crescents, and a labeller who misses a third of one class. ``FITrimmer`` scores each
training row by its influence on rows with checked labels, drops the worst, and fits again. In
two dimensions everything can be seen: which rows went, which of them were really wrong, and
how the decision boundary moved.
"""

# %%
# Rows with errors on one side
# ----------------------------
# All errors point the same way: class 1 is given as class 0. Such errors move a boundary.
# Errors that go both ways leave that of a logistic regression nearly where it is, and in the
# plane there is then little to gain. A hundred further rows have checked labels.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from sklearn.base import clone
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from skfi import FITrimmer
from skfi.datasets import flip_labels, make_crescents

X, y = make_crescents(2400, noise=0.25, random_state=0)
(X, X_checked, X_test), (y, y_checked, y_test) = (np.split(a, [300, 400]) for a in (X, y))
y_given, wrong = flip_labels(
    y, kind="class_conditional", transition=[[1, 0], [1 / 3, 2 / 3]], random_state=0
)
print(f"{wrong.sum()} of {len(y)} labels are wrong")

# %%
# Train, trim, train again
# ------------------------
# Splines in each coordinate give the logistic regression a curved boundary. The trimmer is
# not told how many labels are wrong; it is told to drop 15 % of the rows.

model = make_pipeline(SplineTransformer(n_knots=4), LogisticRegression(C=10, max_iter=1000))
trimmer = FITrimmer(model, budget=0.15)
trimmer.fit(X, y_given, X_val=X_checked, y_val=y_checked)
gone = ~trimmer.support_
print(f"{(gone & wrong).sum()} of the {gone.sum()} dropped rows were wrong")
print(f"expected of {gone.sum()} rows at random: {gone.sum() * wrong.mean():.1f}")

# %%
# What moved
# ----------
# The missed labels had pushed the boundary down into the lower crescent; without the rows
# that went it moves up again. Crosses mark dropped rows that were wrong. Squares mark dropped
# rows that were right: most of them lie well inside the other crescent, where the noise of
# the data put them, and look just like wrong ones. Rings mark wrong rows that stayed: most
# lie among rows that really are of class 0, and do little harm there.

plain = clone(model).fit(X, y_given)
fig, ax = plt.subplots(figsize=(7, 5.1), layout="constrained")
colours, markers = ("#0072B2", "#E69F00"), ("o", "^")
for label in (0, 1):
    rows = y_given == label
    ax.scatter(*X[rows].T, s=24, c=colours[label], marker=markers[label], lw=0, alpha=0.65)
marks = (
    (gone & wrong, {"marker": "x", "c": "black", "s": 50, "lw": 1.6}),
    (gone & ~wrong, {"marker": "s", "fc": "none", "ec": "#D55E00", "s": 75, "lw": 1.8}),
    (~gone & wrong, {"marker": "o", "fc": "none", "ec": "black", "s": 75, "lw": 1.0}),
)
for rows, look in marks:
    ax.scatter(*X[rows].T, **look)
for fitted, line in ((plain, "--"), (trimmer, "-")):
    DecisionBoundaryDisplay.from_estimator(
        fitted, X, eps=0.2, grid_resolution=200, response_method="predict_proba",
        plot_method="contour", levels=[0.5], colors="black", linestyles=line, linewidths=2,
        ax=ax,
    )  # fmt: skip
ax.set(xlabel="feature 0", ylabel="feature 1", aspect="equal")
dot = {"ls": "", "mec": "none", "ms": 6}
keys = [
    Line2D([], [], marker="o", c=colours[0], label="given as class 0", **dot),
    Line2D([], [], marker="^", c=colours[1], label="given as class 1", **dot),
    Line2D([], [], c="black", ls="--", lw=2, label="boundary before"),
    Line2D([], [], c="black", lw=2, label="boundary after"),
    Line2D([], [], c="black", marker="x", ls="", label=f"dropped, wrong: {marks[0][0].sum()}"),
    Line2D([], [], marker="s", mec="#D55E00", mfc="none", ls="", ms=8, mew=1.8,
           label=f"dropped, right: {marks[1][0].sum()}"),
    Line2D([], [], marker="o", mec="black", mfc="none", ls="", ms=8,
           label=f"kept, wrong: {marks[2][0].sum()}"),
]  # fmt: skip
fig.legend(handles=keys, loc="outside lower center", ncols=4, frameon=False, fontsize=9.5,
           columnspacing=1.2, handletextpad=0.5)  # fmt: skip
plt.show()

# %%
# What it is worth, and what the checked rows are worth
# -----------------------------------------------------
# Without checked rows the trimmer cross-fits on the labels it has, and these say of a third
# of class 1 that it is class 0. Where all errors point one way, some checked rows are the
# better witnesses, and train as well.

unchecked = FITrimmer(model, budget=0.15).fit(X, y_given)
gone_unchecked = ~unchecked.support_
print(f"test accuracy, labels as given:          {plain.score(X_test, y_test):.3f}")
print(f"trimmed, with the checked rows:          {trimmer.score(X_test, y_test):.3f}")
print(f"trimmed, without them:                   {unchecked.score(X_test, y_test):.3f}")
clean = clone(model).fit(X, y)
print(f"without any wrong label:                 {clean.score(X_test, y_test):.3f}")
print(f"wrong among the dropped, with them:      {wrong[gone].mean():.2f}")
print(f"wrong among the dropped, without them:   {wrong[gone_unchecked].mean():.2f}")
