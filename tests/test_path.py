"""The order in which rows go: prefixes, steps, weights, classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfi._path import Scored, removal_path

CLASSES = np.array(["no", "yes"])


def walk(scores, weight, codes, mass, step):
    """Scores that change as rows go: they depend on what is left."""

    def score(left, models):
        return Scored(scores + np.sin(scores * left.sum()), None, ["model"])

    return removal_path(score, weight, codes, CLASSES, mass, step)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_budget_is_a_prefix(data):
    n = data.draw(st.integers(6, 14))
    scores = np.array(data.draw(st.permutations(range(n))), float)
    weight = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), float)
    weight[:2] = 2
    codes = np.arange(n) % 2
    step = data.draw(st.sampled_from([None, 1.0, 2.0, 3.0]))
    longest = walk(scores, weight, codes, weight.sum() - 2, step)
    for mass in range(int(longest.reach) + 1):
        own = walk(scores, weight, codes, mass, step)
        removed = own.removed(mass)
        np.testing.assert_array_equal(removed, longest.removed(mass))
        assert removed.sum() == mass
        assert (removed <= weight).all()
        left = np.bincount(codes, weights=weight - removed, minlength=2)
        assert (left > 0).all()


def test_scores_are_asked_again_after_each_step():
    left_at = []

    def score(left, models):
        left_at.append(left.sum())
        return Scored(np.arange(10.0), None, ["model"])

    codes = np.arange(10) % 2
    path = removal_path(score, np.ones(10), codes, CLASSES, 7, 3)
    assert left_at == [10, 7, 4]
    np.testing.assert_array_equal(path.rows, [9, 8, 7, 6, 5, 4, 3])


def test_a_step_as_large_as_the_budget_is_one_go():
    scores, codes = np.random.default_rng(0).random(12), np.arange(12) % 2
    once, large = (walk(scores, np.ones(12), codes, 5, step) for step in (None, 50.0))
    np.testing.assert_array_equal(once.rows, large.rows)


def test_budget_zero_is_scored():
    path = walk(np.arange(4.0), np.ones(4), np.arange(4) % 2, 0, 2.0)
    assert not len(path.rows)
    assert np.isfinite(path.influence).all()


def test_stops_before_a_class_is_empty_and_says_so():
    path = walk(
        np.array([9.0, 9, 1, 1, 1, 1]), np.ones(6), np.array([1, 1, 0, 0, 0, 0]), 4, 1.0
    )
    assert path.reach == 1
    assert "all of class yes" in path.stop
    assert "safe budget here is 1 " in path.stop
    with pytest.raises(ValueError, match="all of class yes"):
        path.removed(2)
