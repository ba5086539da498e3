"""Comparisons and verdicts of the reproduction page."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

pytest.importorskip("matplotlib")

from examples.paper._statistics import compare, paired, spread, verdict


def test_paired_is_the_one_sided_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 12))
    found = paired(a, b)
    assert found.p == pytest.approx(ttest_rel(a, b, alternative="greater").pvalue)
    assert found.error == pytest.approx((a - b).std(ddof=1) / np.sqrt(12))
    assert (found.better, found.worse) == ((a > b).sum(), (a < b).sum())


@pytest.mark.parametrize(
    ("first", "second", "supported"),
    [
        ([2, 2, 2], [1, 1, 1], True),
        ([1, 1, 1], [1, 1, 1], False),
        ([1, 1, 1], [2, 2, 2], False),
        ([2.0, 3.0, 1.0], [1.0, 1.9, 0.1], True),
        ([2.0, 3.0, 1.0], [3.0, 1.0, 0.9], False),
        ([2.0], [1.0], False),
    ],
)
def test_support(first, second, supported):
    assert paired(first, second).supported is supported


def test_verdicts():
    ahead, level = paired([2, 2, 2], [1, 1, 1]), paired([1, 2, 3], [3, 2, 1])
    assert verdict([ahead, ahead]) == "holds"
    assert verdict([ahead, level]) == "holds in part"
    assert verdict([level, level]) == "does not hold"


def test_compare_pairs_by_seed():
    frame = pd.DataFrame(
        {
            "seed": [1, 0, 0, 1],
            "method": ["a", "a", "b", "b"],
            "accuracy": [10.0, 20.0, 19.0, 8.0],
        }
    )
    found = compare(frame, "accuracy", "method", "a", "b")
    assert (found.mean, found.n) == (1.5, 2)


def test_spread():
    assert spread([1.0, 3.0]) == "2.00 ± 1.00"
    assert spread([1.0], 1) == "1.0"
