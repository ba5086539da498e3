"""From scores to a batch: the best, a draw by score, rows far from each other."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from skfi.queries._select import select_diverse, select_power, select_top

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DRAWS = 4000
UNLIKELY = 1e-4  # seeded, so a test that passes goes on passing


def rng(seed=0):
    return np.random.RandomState(seed)


def vectors(V):
    """Squared lengths and inner products of explicit vectors."""
    return (V**2).sum(axis=1), lambda i: V @ V[i]


def test_the_best_come_first():
    scores = np.array([0.1, 3.0, -1.0, 2.0, 0.0])
    np.testing.assert_array_equal(select_top(scores, 3, rng()), [1, 3, 0])


def test_ties_are_in_random_order_and_nothing_else_is():
    scores = np.array([1.0, 0.0, 1.0, 2.0, 1.0])
    tails = Counter(tuple(select_top(scores, 4, rng(seed))[1:]) for seed in range(200))
    assert len(tails) == 6  # every order of the three rows that tie
    assert all(sorted(tail) == [0, 2, 4] for tail in tails)
    assert {select_top(scores, 4, rng(seed))[0] for seed in range(20)} == {3}


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0])
def test_power_draws_in_proportion(exponent):
    scores = np.array([0.1, 0.0, 0.4, 0.9, 0.6])
    draw = rng(1)
    counts = np.bincount(
        [select_power(scores, 1, draw, exponent)[0] for _ in range(DRAWS)], minlength=5
    )
    assert counts[1] == 0
    share = scores**exponent / (scores**exponent).sum()
    some = scores > 0
    assert chisquare(counts[some], DRAWS * share[some]).pvalue > UNLIKELY


def test_power_draws_without_repetition():
    """Pairs in order: first in proportion, second in proportion among those left."""
    scores = np.array([0.2, 0.5, 0.3])
    draw = rng(2)
    pairs = Counter(tuple(select_power(scores, 2, draw)) for _ in range(DRAWS))
    expected = {
        (i, j): DRAWS * scores[i] * scores[j] / (scores.sum() - scores[i])
        for i in range(3)
        for j in range(3)
        if i != j
    }
    assert set(pairs) == set(expected)
    observed = [pairs[pair] for pair in expected]
    assert chisquare(observed, list(expected.values())).pvalue > UNLIKELY


def test_power_takes_rows_of_score_zero_last():
    scores = np.array([0.0, 1e-9, 0.0, 0.5])
    for seed in range(30):
        chosen = select_power(scores, 4, rng(seed))
        assert sorted(chosen[:2]) == [1, 3]
        assert sorted(chosen[2:]) == [0, 2]


def test_power_of_a_large_exponent_is_the_best():
    scores = np.array([0.2, 0.9, 0.5, 0.7])
    for seed in range(20):
        np.testing.assert_array_equal(select_power(scores, 3, rng(seed), 1e4), [1, 3, 2])


def test_the_longest_vector_goes_first():
    V = rng().standard_normal((30, 4))
    lengths, inner = vectors(V)
    for seed in range(10):
        assert select_diverse(lengths, inner, 3, rng(seed))[0] == lengths.argmax()


def test_further_vectors_are_drawn_by_their_squared_distance():
    V = np.array([[4.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, 2.0], [-1.0, 0.0]])
    lengths, inner = vectors(V)
    draw = rng(3)
    triples = Counter(tuple(select_diverse(lengths, inner, 3, draw)) for _ in range(DRAWS))

    def shares(chosen):
        gaps = ((V[:, None] - V[chosen]) ** 2).sum(axis=2).min(axis=1)
        return gaps / gaps.sum()

    expected = {}
    for i in range(1, 5):
        for j in range(1, 5):
            if i != j:
                expected[0, i, j] = DRAWS * shares([0])[i] * shares([0, i])[j]
    assert set(triples) <= set(expected)
    observed = [triples[triple] for triple in expected]
    assert chisquare(observed, list(expected.values())).pvalue > UNLIKELY


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_copies_come_only_once_the_rest_is_gone(scale):
    """Also where rounding leaves them a little apart."""
    few = scale * rng(4).standard_normal((6, 50))
    V = few[[0, 0, 1, 2, 2, 2, 3, 4, 5, 5]]
    lengths, inner = vectors(V)
    kind = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 5])
    for seed in range(30):
        chosen = select_diverse(lengths, inner, 10, rng(seed))
        assert sorted(kind[chosen[:6]]) == [0, 1, 2, 3, 4, 5]
        assert sorted(chosen) == list(range(10))
        left = lengths[chosen[6:]]
        assert (np.diff(left) <= 1e-12 * left.max()).all()  # the longest that are left


def test_vectors_of_length_zero():
    lengths, inner = vectors(np.zeros((4, 2)))
    assert len({tuple(select_diverse(lengths, inner, 4, rng(seed))) for seed in range(20)}) > 5
    assert sorted(select_diverse(lengths, inner, 4, rng())) == [0, 1, 2, 3]


@pytest.mark.parametrize("end", ["low", "high"])
def test_draws_at_either_end(end):
    """Of the range of a uniform number; rows that nothing speaks for stand at both."""

    class Extreme(np.random.RandomState):
        def uniform(self, low, high):
            return low if end == "low" else high

    V = np.array([[3.0], [0.0], [1.0], [3.0]])
    lengths, inner = vectors(V)
    for seed in range(10):
        chosen = select_diverse(lengths, inner, 3, Extreme(seed))
        assert chosen[0] in (0, 3)
        assert chosen[1:].tolist() == ([1, 2] if end == "low" else [2, 1])


def test_one_pass_a_row():
    V = rng().standard_normal((20, 3))
    lengths, inner = vectors(V)
    asked = []

    def counted(i):
        asked.append(i)
        return inner(i)

    chosen = select_diverse(lengths, counted, 5, rng())
    assert asked == list(chosen[:4])


@quick
@given(
    levels=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    size=st.integers(1, 30),
    seed=st.integers(0, 2**16),
)
def test_never_twice_and_always_as_many_as_asked(levels, size, seed):
    """However many rows tie, are copies, or score nothing."""
    scores = np.array(levels, dtype=float)
    size = min(size, len(scores))
    V = np.column_stack([scores, scores % 2])
    batches = [
        select_top(scores, size, rng(seed)),
        select_power(scores, size, rng(seed)),
        select_diverse(*vectors(V), size, rng(seed)),
    ]
    for batch in batches:
        assert len(set(batch)) == len(batch) == size
        assert set(batch) <= set(range(len(scores)))


@pytest.mark.parametrize("scale", [1e-150, 1e153])
def test_diverse_knows_ratios_of_lengths_alone(scale):
    """Squared lengths of 1e300 would overflow in a sum."""
    V = np.random.default_rng(0).normal(size=(40, 3))
    expected = select_diverse(*vectors(V), 10, rng())
    np.testing.assert_array_equal(select_diverse(*vectors(V * scale), 10, rng()), expected)
