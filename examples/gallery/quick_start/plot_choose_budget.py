"""
Choose how many rows to drop
============================

Nobody knows how many rows are harmful, and dropping too many hurts. ``FITrimmerCV`` tries
several budgets, with 0 among them, and lets held-out rows choose. Its picture is a curve with a
spread: look at both before you believe the choice.
"""

# %%
# A fifth of the training labels is wrong
# ---------------------------------------
# Half of the breast cancer data train, with a fifth of their labels turned round. The other
# half keeps its labels: one part is yours to check with, the last is for the test alone.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import FITrimmerCV
from skfi.datasets import flip_labels
from skfi.inspection import TrimmingCurveDisplay

X, y = load_breast_cancer(return_X_y=True)
X_train, X_rest, y_train, y_rest = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)
X_checked, X_test, y_checked, y_test = train_test_split(
    X_rest, y_rest, test_size=0.5, stratify=y_rest, random_state=0
)
y_given, wrong = flip_labels(y_train, 0.2, random_state=0)
print(f"{len(y_given)} rows to train on, {wrong.sum()} of them wrong")
print(f"{len(y_checked)} checked rows, {len(y_test)} to test")

# %%
# Let the checked rows choose
# ---------------------------
# Passed as ``X_val``, the checked rows are split into folds with the training rows: they train
# and score in the others, and the fold judges what is left after each budget. None of them is
# dropped. 0 is always a candidate, and ties go to the smallest budget.

model = make_pipeline(StandardScaler(), LogisticRegression())
trimmer = FITrimmerCV(model, budgets=(0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4))
trimmer.fit(X_train, y_given, X_val=X_checked, y_val=y_checked)
print(f"budget chosen: {trimmer.budget_}, {trimmer.n_trimmed_} rows")
print(f"wrong among the dropped: {wrong[trimmer.trimmed_indices_].mean():.2f}")

# %%
# The curve
# ---------
# It rises as wrong rows go, and is flat around the share of wrong labels: which budget of the
# flat part wins hangs on a row or two. The band is one standard error of the mean over the
# folds. The curve ends below 1, as a fifth of the labels of the training rows that judge is
# wrong.

_, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
TrimmingCurveDisplay.from_estimator(trimmer, ax=ax)
plt.show()

# %%
# All budgets are judged by the same rows, so compare them fold by fold.

found = trimmer.cv_results_
folds = np.array([found[f"split{k}_test_score"] for k in range(trimmer.n_splits_)])
budgets = [params["budget"] for params in found["params"]]
gain = 100 * (folds - folds[:, [budgets.index(0)]])
error = gain.std(axis=0, ddof=1) / np.sqrt(len(gain))
print("budget   gain over dropping nothing, points")
for budget, mean, spread in zip(budgets, gain.mean(axis=0), error, strict=True):
    print(f"{budget:6.2f}   {mean:+5.1f} ± {spread:.1f}")

# %%
# The test
# --------
# The best score of several is a little too good, so the last word belongs to rows that
# neither scored nor chose. They are few here: the gain is that of a handful of rows.

before = model.fit(X_train, y_given).score(X_test, y_test)
print(f"test accuracy before trimming: {before:.3f}")
print(f"test accuracy after trimming:  {trimmer.score(X_test, y_test):.3f}")
print(f"one test row:                  {1 / len(y_test):.3f}")

# %%
# Probabilities
# -------------
# Rows that contradict the model are gone, so that the classifier becomes more sure of itself.
# With wrong labels that is a repair: the model that was trained on all rows takes a fifth of
# wrong labels for doubt. On clean data the same happens, and the probabilities become too sure.

_, ax = plt.subplots(figsize=(5, 4.5), layout="constrained")
for name, fitted in {"all rows": model, "trimmed": trimmer}.items():
    CalibrationDisplay.from_estimator(fitted, X_test, y_test, n_bins=5, name=name, ax=ax)
    loss = log_loss(y_test, fitted.predict_proba(X_test))
    print(f"log loss on the test rows, {name}: {loss:.3f}")
plt.show()
