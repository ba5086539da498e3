"""Scores of a pool, and queries."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skfi import FIActiveSampler, fi_active


class Pool:
    """`fi_active` by aggregate, as the pool grows."""

    params = ([1_000, 8_000], ["trimmed_mean", "mean", "row_trimmed_mean"])
    param_names = ("pool", "aggregate")

    def setup(self, n_pool, aggregate):
        warnings.simplefilter("ignore")
        X, y = load_digits(return_X_y=True)
        self.X, self.y = X[:100] / 16, y[:100]
        self.pool = np.resize(X[100:] / 16, (n_pool, X.shape[1]))
        self.model = LogisticRegression().fit(self.X, self.y)

    def time_fi_active(self, n_pool, aggregate):
        fi_active(self.model, self.X, self.y, self.pool, aggregate=aggregate)

    def peakmem_fi_active(self, n_pool, aggregate):
        fi_active(self.model, self.X, self.y, self.pool, aggregate=aggregate)


class Query:
    """The sampler, and how near K-FAC's order comes to the exact one."""

    def setup(self):
        warnings.simplefilter("ignore")
        X, y = load_digits(return_X_y=True)
        self.X, self.y, self.pool = X[:100] / 16, y[:100], X[100:] / 16
        self.model = LogisticRegression().fit(self.X, self.y)
        self.sampler = FIActiveSampler(self.model, batch_size=20, random_state=0)
        self.sampler.fit(self.X, self.y)

    def time_query(self):
        self.sampler.query(self.pool)

    def track_kfac_recall_of_top_30(self):
        exact, kfac = (
            fi_active(self.model, self.X, self.y, self.pool, curvature=curvature)
            for curvature in ("exact", "kfac")
        )
        top = [set(np.argsort(-scores)[:30].tolist()) for scores in (exact, kfac)]
        return len(top[0] & top[1]) / 30

    track_kfac_recall_of_top_30.unit = "share"
