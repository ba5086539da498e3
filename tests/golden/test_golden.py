"""A change of structure changes no score: each is compared with the committed one."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from .cases import HAS_DASK, HAS_TORCH, SCORES, all_cases, compute

GOLDEN = json.loads(SCORES.read_text())
CASES = all_cases()
# Rounding differs between BLAS builds; on the machine of the committed file 1e-12 holds.
RTOL = float(os.environ.get("SKFI_GOLDEN_RTOL", 1e-9))


@pytest.mark.parametrize("name", CASES)
def test_scores_are_the_committed_ones(name):
    expected, actual = np.array(GOLDEN[name]), np.array(compute(CASES[name]))
    if expected.dtype.kind == "i":  # positions
        np.testing.assert_array_equal(actual, expected)
        return
    scale = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=RTOL, atol=1e-12 * scale)


@pytest.mark.skipif(not (HAS_TORCH and HAS_DASK), reason="cases of torch and Dask are left out")
def test_every_committed_score_has_its_case():
    assert GOLDEN.keys() == CASES.keys()
