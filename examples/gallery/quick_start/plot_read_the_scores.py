"""
Read the scores
===============

``FITrimmer`` leaves a score for each training row, a sign, and a table of the dropped rows.
This page reads them: where the budget cut the ranking, what sign, unit and scale mean, and
which scores must not be compared.
"""

# %%
# Scores with a cut
# -----------------
# A tenth of the labels is wrong, and a tenth of the rows is dropped, all at once
# (``step=None``). By default rows go in steps and the others are scored again after each, so
# that scores of dropped rows early and late come from different models.

import matplotlib.pyplot as plt
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import FITrimmer
from skfi.datasets import flip_labels
from skfi.inspection import InfluenceDisplay

X, y = load_breast_cancer(return_X_y=True)
y_given, wrong = flip_labels(y, 0.1, random_state=0)

model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
trimmer = FITrimmer(model, budget=0.1, step=None).fit(X, y_given)
marks = {"highlight": wrong, "highlight_label": "wrong label", "score_name": "signed FI"}
_, ax = plt.subplots(figsize=(7, 4.0), layout="constrained")
InfluenceDisplay.from_estimator(trimmer, ax=ax, **marks)
plt.show()

# %%
# All rows are in this curve, the highest score first. The scale is logarithmic on both sides
# of zero. The budget cut the ranking at the dashed line, in the middle of a slope: the next
# rows score nearly as high, and some of them are wrong too. A budget that ends at a drop
# leaves less to argue about. Most rows score below zero.
#
# The histogram has the same scores. Two groups show: rows that support the model on the left,
# rows that pull it down on the right, with few between.

_, ax = plt.subplots(figsize=(7, 4.0), layout="constrained")
InfluenceDisplay.from_estimator(trimmer, kind="hist", ax=ax, **marks)
plt.show()

# %%
# The dropped rows
# ------------------
# The table has what the final model, which was not trained on these rows, makes of them. It
# says "look at these"; whether a label is wrong is for somebody who knows the data.

report = trimmer.report()
harmful = report["removal_lowers_validation_loss"]
other = report["predicted_label"] != report["given_label"]
print(f"{len(report)} rows were dropped, {wrong[report['position']].sum()} of them mislabeled")
print(f"the model predicts another label: {other.sum()}")
print(f"removal lowers the validation loss, to first order: {harmful.sum()}")
report.drop(columns=["position", "removal_lowers_validation_loss"]).head(8)

# %%
# Sign
# ----
# FI itself is a square: it tells how much a row matters, not in which direction. The
# direction is in ``removal_gain_``, what dropping the row takes off the mean validation loss
# to first order: positive where the row does harm. High FI is found on both sides. The
# default score, :math:`\sqrt{\mathrm{FI}}` times the gain, never drops a row from the left
# half before one from the right. FI without the sign, as in the paper, takes whatever lies
# above its line.

unsigned = FITrimmer(model, budget=0.1, step=None, influence="fi").fit(X, y_given)
gain, fi, gone = unsigned.removal_gain_, unsigned.influence_, ~unsigned.support_
_, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
ax.set_yscale("log")
ax.set_xscale("symlog", linthresh=1e-5)
ax.scatter(gain[~wrong], fi[~wrong], s=16, c="#0072B2", lw=0, label="right label")
ax.scatter(gain[wrong], fi[wrong], s=34, c="#D55E00", marker="^", lw=0, label="wrong label")
ax.axvline(0, c="black", lw=1)
ax.axhline(fi[gone].min(), c="black", lw=1, ls="--", label="lowest FI that goes without sign")
ax.set(xlabel="removal gain (log scale, linear near 0)", ylabel="FI (log scale)")
ax.legend(loc="upper left")
plt.show()
print(f"of {gone.sum()} rows above the line, {(gain[gone] < 0).sum()} support the model")

# %%
# Unit, scale, and what not to compare
# ------------------------------------
# FI is the squared change of the mean validation loss, per squared Fisher length of a move of
# the row. That unit hangs on the model, its penalty, the loss and the number of rows. So a
# score of one fit says nothing beside one of another, no threshold carries over, and even the
# ranks can be quite others:

every, half = slice(None), slice(None, None, 2)
print("setting                 highest score   rank correlation with the first")
for name, C, loss, rows in (
    ("as above", 1.0, "expected_error", every),
    ("stronger penalty", 0.01, "expected_error", every),
    ("log loss", 1.0, "log_loss", every),
    ("half of the rows", 1.0, "expected_error", half),
):
    other = FITrimmer(model, budget=0.1, step=None, validation_loss=loss)
    other.set_params(estimator__logisticregression__C=C).fit(X[rows], y_given[rows])
    ranks = spearmanr(other.influence_, trimmer.influence_[rows]).statistic
    print(f"{name:22}  {other.influence_.max():13.1e}   {ranks:.2f}")

# %%
# Compare rows within one fit. To compare scores of two kinds, compare what trimming by them
# is worth on rows that took no part.
