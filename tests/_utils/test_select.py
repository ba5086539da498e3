"""The highest scores, found digit by digit, are those of a stable sort."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skfi._utils._select import chosen, count_ties, digit_counts, find_cut

SCORES = hnp.arrays(
    np.float64,
    st.integers(1, 60),
    elements=st.one_of(
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e300, -1e300]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(SCORES, st.data())
def test_as_a_stable_sort(scores, draw):
    n_chosen = draw.draw(st.integers(1, len(scores)))
    parts = np.array_split(scores, draw.draw(st.integers(1, 5)))
    cut = find_cut(lambda prefix, level: sum(digit_counts(p, prefix, level) for p in parts),
                   n_chosen)  # fmt: skip
    before, found = 0, []
    for part in parts:
        found.append(chosen(part, cut, before))
        before += count_ties(part, cut)
    expected = np.zeros(len(scores), dtype=bool)
    expected[np.argsort(-scores, kind="stable")[:n_chosen]] = True
    np.testing.assert_array_equal(np.concatenate(found), expected)
