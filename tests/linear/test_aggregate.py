"""Aggregates against sorts and repeated rows, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from skfi import Quantile, TrimmedMean
from skfi.linear._aggregate import aggregate_rows, mean, resolve_aggregate, row_shares


@given(st.integers(1, 60), st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), st.integers(0, 99))
def test_trimmed_mean_is_scipys(n, trim, seed):
    scores = np.random.default_rng(seed).exponential(size=(4, n))
    expected = trim_mean(scores, trim / 2, axis=1)
    np.testing.assert_allclose(TrimmedMean(trim)(scores), expected, rtol=1e-12)


@given(st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_quantile_is_numpys(n, q, seed):
    scores = np.random.default_rng(seed).exponential(size=(4, n))
    expected = np.quantile(scores, q, axis=1)
    np.testing.assert_allclose(Quantile(q)(scores), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "aggregate",
    [TrimmedMean(), TrimmedMean(0.5), Quantile(), Quantile(0.83), Quantile(1), mean],
)
@pytest.mark.parametrize("seed", range(5))
def test_weights_are_repetition(aggregate, seed):
    rng = np.random.default_rng(seed)
    scores, weight = rng.exponential(size=(6, 13)), rng.integers(0, 4, 13)
    repeated = aggregate(np.repeat(scores, weight, axis=1))
    np.testing.assert_allclose(aggregate(scores, weight.astype(float)), repeated, rtol=1e-12)


@pytest.mark.parametrize("name", ["mean", "row_trimmed_mean"])
def test_row_shares_are_repetition(name):
    rng = np.random.default_rng(0)
    expected, weight = rng.exponential(size=30), rng.integers(0, 4, 30)
    share = row_shares(name, expected, weight.astype(float))
    repeated = row_shares(name, np.repeat(expected, weight), np.ones(weight.sum()))
    owner = np.repeat(np.arange(30), weight)
    summed = np.bincount(owner, weights=repeated, minlength=30)
    np.testing.assert_allclose(share, summed, atol=1e-15)
    assert share.sum() == pytest.approx(1.0)


def test_row_trimming_leaves_out_both_ends():
    share = row_shares("row_trimmed_mean", np.arange(20.0), np.ones(20))
    np.testing.assert_allclose(share, np.r_[0, 0, np.full(16, 1 / 16), 0, 0])


@pytest.mark.parametrize("aggregate", ["middle", 0.5, None, ("mean",)])
def test_unknown_aggregates(aggregate):
    with pytest.raises(ValueError, match="TrimmedMean"):
        resolve_aggregate(aggregate)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_bad_shares(value):
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        TrimmedMean(value)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        Quantile(value)


def test_a_callable_must_return_one_number_a_row():
    assert aggregate_rows(lambda s: s[:, 0], np.ones((3, 4)), None).shape == (3,)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        aggregate_rows(lambda s: s, np.ones((3, 4)), None)
    with pytest.raises(ValueError, match="NaN"):
        aggregate_rows(lambda s: np.full(3, np.nan), np.ones((3, 4)), None)
