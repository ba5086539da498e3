"""Which rows a budget removes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfi import FITrimmer
from skfi._utils._budget import budget_mass, check_budget, warn_of_many_steps
from skfi.trimming._path import Scored, removal_path
from tests.conftest import make_split


def choose(influence, mass, weight=None, codes=None):
    influence = np.asarray(influence, float)
    weight = np.ones(len(influence)) if weight is None else np.asarray(weight, float)
    codes = np.arange(len(influence)) % 2 if codes is None else np.asarray(codes)
    path = removal_path(
        lambda left, models: Scored(influence, None, ["a model"]),
        weight,
        codes,
        2,
        mass,
    )
    removed = path.removed(mass)
    return SimpleNamespace(order=path.order(removed), removed=removed)


def test_highest_go_first_and_ties_by_row_order():
    trimming = choose([1, 5, 3, 5, 0, 2], 3)
    np.testing.assert_array_equal(trimming.order, [1, 3, 2])
    np.testing.assert_array_equal(trimming.removed, [0, 1, 1, 1, 0, 0])


def test_rows_not_scored_and_rows_without_weight_stay():
    trimming = choose([np.nan, 5, 3, 4, 1, 2], 2, weight=[1, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(trimming.order, [3, 2])


def test_boundary_row_loses_part_of_its_weight():
    trimming = choose([9, 8, 7, 1], 4, weight=[3, 2, 5, 2])
    np.testing.assert_array_equal(trimming.removed, [3, 1, 0, 0])


@pytest.mark.parametrize(
    ("budget", "weight", "mass"),
    [
        (0.05, np.ones(100), 5),
        (0.29, np.ones(100), 29),  # 0.29 * 100 is 28.999…
        (0.055, np.ones(100), 5),
        (0.1, np.full(10, 3.0), 3),
        (0.1, np.full(10, 0.1), 0.1),  # fractional weights are not rounded down
        (7, np.ones(100), 7),
        (np.int64(7), np.ones(100), 7),
        (0, np.ones(3), 0),
        (20, np.full(10, 4.0), 20),  # more copies than there are rows
    ],
)
def test_mass(budget, weight, mass):
    check_budget(budget)
    assert budget_mass(budget, weight) == pytest.approx(mass)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (-1, "negative"),
        (10, "leave nothing of n_samples=10"),
        (1.0, "pass an int"),
        (-0.1, "share in"),
        (True, "number of rows"),
        ("5%", "number of rows"),
        (float("nan"), "share in"),
    ],
)
def test_refused(budget, message):
    def refuse():
        check_budget(budget)
        budget_mass(budget, np.ones(10))

    with pytest.raises(ValueError, match=message):
        refuse()


@pytest.mark.parametrize("budget", ["10%", None, [1]])
def test_the_trimmer_says_what_a_budget_may_be(budget):
    X, y, *_ = make_split(n=20)
    with pytest.raises(ValueError, match=r"number of rows \(int\) or a share"):
        FITrimmer(budget=budget).fit(X, y)


def test_count_beyond_the_weights_names_the_way_out():
    with pytest.raises(ValueError, match=r"add up to only 1\. Use a share"):
        budget_mass(5, np.full(100, 0.01))


def test_more_than_was_scored():
    with pytest.raises(ValueError, match=r"only 2 were scored.*cross-fit"):
        choose([1, 2, np.nan, np.nan, np.nan], 3)


def test_the_last_row_of_a_class_is_kept_and_the_next_goes():
    influence, codes = [9, 8, 7, 6, 5, 4], [1, 0, 1, 0, 0, 0]
    assert choose(influence, 4, codes=codes).order.tolist() == [0, 1, 3, 4]
    with pytest.raises(ValueError, match=r"asks for 5 rows, but only 4 can be dropped"):
        choose(influence, 5, codes=codes)


def test_the_last_copy_of_a_class_is_kept():
    codes, weight = [1, 0, 1], [2, 5, 3]
    removed = choose([9, 6, 7], 4, weight=weight, codes=codes).removed
    np.testing.assert_array_equal(removed, [2, 0, 2])
    removed = choose([9, 6, 7], 5, weight=weight, codes=codes).removed
    np.testing.assert_array_equal(removed, [2, 1, 2])


def test_steps_of_less_than_a_row_are_warned_about():
    weight = np.full(20, 1e5)
    with pytest.warns(UserWarning, match=r"step=1 counts copies.*600000 steps"):
        warn_of_many_steps(1, 0.3 * weight.sum(), weight)
    warn_of_many_steps(1, 20, np.ones(20))
    warn_of_many_steps(0.05, 0.3 * weight.sum(), weight)
    warn_of_many_steps(None, 0.3 * weight.sum(), weight)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_every_budget_is_had_that_leaves_a_copy_of_each_class(data):
    n = data.draw(st.integers(4, 12))
    influence = np.array(data.draw(st.permutations(range(n))), float)
    codes = np.array(
        [0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=n - 2, max_size=n - 2))]
    )
    weight = np.array(data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n)), float)
    total = int(weight.sum())
    outcome = []
    for mass in range(total):
        try:
            removed = choose(influence, mass, weight, codes).removed
            assert removed.sum() == mass
            outcome.append(None)
        except ValueError as error:
            outcome.append(str(error))
    refused = [message for message in outcome if message]
    largest = total - 2  # each of the two classes keeps one copy
    assert all(message is None for message in outcome[: largest + 1])
    assert len(refused) == total - 1 - largest
    for message in refused:
        assert f"only {largest} can be dropped" in message
