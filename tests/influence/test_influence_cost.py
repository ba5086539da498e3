"""What fi_util takes of memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.linear_model import LogisticRegression

from skfi import fi_util


@pytest.mark.parametrize("n_classes", [2, 5])
def test_peak_memory_stays_under_the_limit(n_classes):
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((20_000, 40)), rng.standard_normal((40, n_classes))
    y = (X @ W + rng.gumbel(size=(len(X), n_classes)) * 3).argmax(axis=1)
    model = LogisticRegression().fit(X, y)
    limit = 4  # MiB; X itself has 6
    for sample in (X, sparse.csr_array(X)):
        fi_util(model, sample, y, X[:9], y[:9])  # imports and caches come first
        with config_context(working_memory=limit):
            tracemalloc.start()
            fi_util(model, sample, y, sample[:1000], y[:1000])
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        vectors = 3 * len(X) * 8  # codes, scores, and the codes' labels while they are made
        hessians = 8 * 8 * ((n_classes - 1) * 41) ** 2  # of blocks, summed, inverted
        assert peak - vectors - hessians < limit * 2**20


@pytest.mark.parametrize("weighted", [False, True])
def test_memory_grows_with_the_rows_by_what_is_kept_of_them(weighted):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80_000, 5))
    y = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    weight = rng.integers(1, 3, size=len(X)).astype(float) if weighted else np.ones(len(X))
    peak = {}
    with config_context(working_memory=1):
        for n in (40_000, 80_000):
            model = LogisticRegression(tol=1e-8).fit(X[:n], y[:n], weight[:n])
            given = weight[:n] if weighted else None
            fi_util(model, X[:n], y[:n], X[:9], y[:9], sample_weight=given)
            tracemalloc.start()
            fi_util(model, X[:n], y[:n], X[:9], y[:9], sample_weight=given)
            peak[n] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    # A code and a score a row, and some bits; with weights what one copy weighs.
    vectors = 3.5 if weighted else 2.3
    assert peak[80_000] - peak[40_000] < vectors * 8 * 40_000
