"""Random ranks."""

from __future__ import annotations

import numpy as np
import pytest

from skfi.baselines import random


def test_is_a_permutation_with_a_seed():
    X, y = np.zeros((30, 1)), np.zeros(30)
    score = random(None, X, y, random_state=3)
    assert score.dtype == np.float64
    np.testing.assert_array_equal(np.sort(score), np.arange(30))
    np.testing.assert_array_equal(score, random(None, X, y, X, y, random_state=3))
    assert (score != random(None, X, y, random_state=4)).any()
    state = np.random.RandomState(3)
    np.testing.assert_array_equal(score, random(None, X, y, random_state=state))
    assert (score != random(None, X, y, random_state=state)).any()


def test_lengths_must_match():
    with pytest.raises(ValueError, match="inconsistent"):
        random(None, [[0], [1]], [0])
