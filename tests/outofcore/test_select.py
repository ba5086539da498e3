"""`select_top` beside a stable sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skfi.outofcore import select_top
from tests.outofcore.sources import mapped

NUMBERS = st.one_of(
    st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 1.0, np.inf, -np.inf, 5e-324])
)


@given(scores=st.lists(NUMBERS, min_size=1, max_size=60), data=st.data())
def test_equals_a_stable_sort(scores, data):
    number = data.draw(st.integers(0, len(scores)))
    chunk = data.draw(st.integers(1, 70))
    top = select_top(scores, number, chunk=chunk)
    expected = np.zeros(len(scores), dtype=bool)
    expected[np.argsort(-np.array(scores), kind="stable")[:number]] = True
    assert top.tolist() == expected.tolist()


def test_memory_map_and_share(tmp_path):
    scores = np.random.default_rng(0).normal(size=1000).round(1)
    top = select_top(mapped(scores, tmp_path / "scores.npy"), 0.0509, chunk=64)
    assert top.sum() == 50
    assert scores[top].min() >= scores[~top].max()


@pytest.mark.parametrize(
    ("scores", "params", "message"),
    [
        ([1.0, np.nan], dict(budget=1), "NaN in rows 0 to 1"),
        ([1.0, 2.0], dict(budget=3), "more than the 2 rows"),
        ([1.0, 2.0], dict(budget=1.0), "must be a share"),
        ([1.0, 2.0], dict(budget=1, chunk=0), "chunk=0 must be"),
        ([[1.0, 2.0]], dict(budget=1), r"shape \(1, 2\)"),
    ],
)
def test_refusals(scores, params, message):
    with pytest.raises(ValueError, match=message):
        select_top(scores, **params)
