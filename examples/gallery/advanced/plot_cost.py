"""
What scores cost
================

How seconds grow with the number of rows: those of ``fi_util`` beside those of the fit that it
explains, and those of ``fi_active`` over a pool beside those of ``predict_proba``.

Seconds are those of the machine that built this page, with other work beside it. Curves of a
picture were timed in turn in one process: compare these and their slopes, and no seconds with
those of another page.
"""

# %%
# Timing
# ------
# The shortest of three calls, all calls in turn. The exponent p, in seconds ~ rows to the p,
# is a least-squares slope over the three largest sizes of a curve (of two where it has no
# more): what a call costs before it sees a row is least of the whole there.

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from skfi import fi_active, fi_util


def clock(calls):
    """Shortest seconds of each call."""
    found = dict.fromkeys(calls, np.inf)
    for _ in range(3):
        for name, call in calls.items():
            start = perf_counter()
            call()
            found[name] = min(found[name], perf_counter() - start)
    return found


def plot(times, xlabel):
    """Seconds over rows, with the exponent of each curve."""
    fig, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
    for (name, curve), colour, mark in zip(times.items(), colours, "os^D", strict=False):
        sizes, seconds = np.array(curve).T
        slope = np.polyfit(np.log(sizes[-3:]), np.log(seconds[-3:]), 1)[0]
        ax.plot(sizes, seconds, color=colour, marker=mark, label=f"{name}: p = {slope:.2f}")
        print(f"{name}: p = {slope:.2f}, {1e3 * seconds[-1]:.0f} ms for {sizes[-1]:,.0f} rows")
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="seconds")
    fig.legend(loc="outside lower center", ncols=2, frameon=False)
    plt.show()


# %%
# Trimming: ``fi_util`` and the fit
# ---------------------------------
# Two classes, 50 columns, 1,000 validation rows.

X, y = make_classification(33_000, 50, n_informative=20, class_sep=0.5, random_state=0)
V, w = X[32_000:], y[32_000:]
times = {"fit": [], "fi_util": []}
for n in (1_000, 2_000, 4_000, 8_000, 16_000, 32_000):
    model = LogisticRegression(max_iter=1000)
    calls = {
        "fit": lambda n=n, model=model: model.fit(X[:n], y[:n]),
        "fi_util": lambda n=n, model=model: fi_util(model, X[:n], y[:n], V, w),
    }
    for name, seconds in clock(calls).items():
        times[name].append((n, seconds))
plot(times, "training rows")

# %%
# Neither grows much faster than n: the scores are passes over the rows, and no pairs of rows.
# Which of the two is above hangs on the fit, on how many iterations these columns take. Where
# they are few, the scores take as long as the fit, or longer.
#
# Active learning: ``fi_active`` and ``predict_proba``
# ----------------------------------------------------
# Five classes, 20 columns, n labelled rows. ``"mean"`` is one quadratic form a row of the pool;
# ``"trimmed_mean"``, the paper's, takes FI of every pair of a row and a labelled row.

X, y = make_classification(33_200, 20, n_informative=10, n_classes=5, random_state=0)
pool = np.tile(X[1_200:], (8, 1))
few, many = (LogisticRegression(max_iter=1000).fit(X[:n], y[:n]) for n in (300, 1_200))
times = {"trimmed_mean, n = 300": [], "mean, n = 1,200": [], "mean, n = 300": []}
times["predict_proba"] = []
for U in (1_000, 4_000, 16_000, 64_000, 256_000):
    rows = X[:300], y[:300], pool[:U]
    more = X[:1_200], y[:1_200], pool[:U]
    calls = {
        "mean, n = 300": lambda r=rows: fi_active(few, *r, aggregate="mean"),
        "mean, n = 1,200": lambda r=more: fi_active(many, *r, aggregate="mean"),
        "predict_proba": lambda U=U: few.predict_proba(pool[:U]),
    }
    if U <= 4_000:
        calls["trimmed_mean, n = 300"] = lambda r=rows: fi_active(few, *r)
    for name, seconds in clock(calls).items():
        times[name].append((U, seconds))
plot(times, "rows of the pool")

# %%
# A row of the pool costs the mean the same however many rows are labelled: four times as many
# cost something at the start, and the two curves close up as the pool grows. Pairs cost in
# proportion to both. Where a pool is large, take ``"mean"`` or ``"row_trimmed_mean"``.
