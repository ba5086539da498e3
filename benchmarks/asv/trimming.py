"""Scores of training rows, and the choice of a budget."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from skfi import FITrimmer, FITrimmerCV, fi_util
from skfi.datasets import flip_labels


def rows(n: int, d: int, n_classes: int, flipped: float = 0.0):
    """Training rows, validation rows, and which training labels are wrong."""
    X, y = make_classification(
        n + 1000, d, n_informative=min(d, 20), n_redundant=0, n_classes=n_classes,
        class_sep=1.5, random_state=0,
    )  # fmt: skip
    y, wrong = flip_labels(y, flipped, random_state=0) if flipped else (y, y < 0)
    return X[:n], y[:n], X[n:], y[n:], wrong[:n]


class Scores:
    """`fi_util` as rows, columns and classes grow."""

    params = ([1_000, 8_000], [20, 80], [2, 5])
    param_names = ("rows", "columns", "classes")

    def setup(self, n, d, n_classes):
        warnings.simplefilter("ignore")
        self.data = rows(n, d, n_classes)[:4]
        self.model = LogisticRegression().fit(*self.data[:2])

    def time_fi_util(self, *_):
        fi_util(self.model, *self.data)

    def peakmem_fi_util(self, *_):
        fi_util(self.model, *self.data)


class Trimming:
    """The estimators, and the share of wrong labels among the rows they drop."""

    def setup(self):
        warnings.simplefilter("ignore")
        self.X, self.y, self.V, self.w, self.wrong = rows(2_000, 20, 2, flipped=0.2)

    def time_trimmer(self):
        FITrimmer(budget=0.2).fit(self.X, self.y)

    def time_trimmer_cv(self):
        FITrimmerCV(budgets=(0, 0.1, 0.2), cv=3).fit(self.X, self.y)

    def track_wrong_among_dropped(self):
        dropped = FITrimmer(budget=0.2).fit(self.X, self.y).trimmed_indices_
        return float(np.mean(self.wrong[dropped]))

    track_wrong_among_dropped.unit = "share"
