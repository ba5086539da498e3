"""The order in which rows go: prefixes, steps, weights, classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfi.trimming._path import Scored, removal_path


def walk(scores, weight, codes, mass, step):
    """Scores that change as rows go: they depend on what is left."""

    def score(left, models):
        return Scored(scores + np.sin(scores * left.sum()), None, ["model"])

    return removal_path(score, weight, codes, 2, mass, step)


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
    path = removal_path(score, np.ones(10), codes, 2, 7, 3)
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


def test_the_last_row_of_a_class_is_kept_and_the_next_row_goes():
    scores, codes = np.array([9.0, 9, 1, 2, 3, 4]), np.array([1, 1, 0, 0, 0, 0])
    path = removal_path(
        lambda left, models: Scored(scores, None, ["model"]), np.ones(6), codes, 2, 4, 1.0
    )
    np.testing.assert_array_equal(path.rows, [0, 5, 4, 3])
    assert path.spared_by(4).tolist() == [1]
    assert path.spared_by(1).tolist() == []  # row 0 was enough
    too_long = walk(scores, np.ones(6), codes, 5, 1.0)
    with pytest.raises(ValueError, match=r"only 4 can be dropped.*min_class_size=1"):
        too_long.removed(5)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_class_keeps_its_last_copies(data):
    """Against the definition: copy by copy, passing over those that a class cannot spare."""
    n = data.draw(st.integers(4, 12))
    scores = np.array(data.draw(st.permutations(range(n))), float)
    scores[data.draw(st.integers(2, n - 1)) :] = np.nan
    codes = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    weight = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), float)
    floor = data.draw(st.integers(1, 3))
    unit = data.draw(st.sampled_from([1.0, 0.3]))  # copies, or rows where weights are shares
    weight[0] = 1
    if unit != 1:
        weight[weight > 0] = 1
    size = np.bincount(codes, weights=weight, minlength=3)
    left, copies = weight.copy(), []
    for row in [*np.argsort(-scores)[: int((~np.isnan(scores)).sum())]]:
        while left[row] > 0 and size[codes[row]] > floor:
            left[row] -= 1
            size[codes[row]] -= 1
            copies.append(row)
    for mass in range(len(copies) + 1):
        path = removal_path(
            lambda left, models: Scored(scores, None, ["model"]),
            unit * weight, codes, 3, unit * mass, None, floor,
        )  # fmt: skip
        expected = unit * np.bincount(copies[:mass], minlength=n)
        np.testing.assert_allclose(path.removed(unit * mass), expected, atol=1e-12)


def test_rows_that_can_no_longer_be_scored_keep_their_last_score():
    """With two folds and one row of a class left, one fold trains on one class only."""

    def score(left, models):
        scores = np.arange(10.0)
        if left.sum() < 10:
            scores[::2] = np.nan
        return Scored(scores, None, ["model"])

    path = removal_path(score, np.ones(10), np.arange(10) % 2, 2, 8, 1.0)
    np.testing.assert_array_equal(path.rows, [9, 8, 7, 6, 5, 4, 3, 2])
