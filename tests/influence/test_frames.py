"""How deep the package is: functions between a fit and its arithmetic."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sklearn.datasets import make_classification

import skfi
from skfi import FIActiveSampler, FITrimmer, fi_signed, fi_util

_PACKAGE = str(Path(skfi.__file__).parent)


def frames_above(call, file: str, name: str) -> int:
    """Most functions of skfi on the stack when one of them is called, itself included."""
    depths = []

    def profile(frame, event, _):
        if event == "call" and frame.f_code.co_name == name:
            if not frame.f_code.co_filename.endswith(file):
                return
            depth = 0
            while frame is not None:
                depth += frame.f_code.co_filename.startswith(_PACKAGE)
                frame = frame.f_back
            depths.append(depth)

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return max(depths)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_ten_functions_from_fit_to_the_sum_over_a_block(n_classes):
    X, y = make_classification(90, n_informative=4, n_classes=n_classes, random_state=0)
    trimmer = FITrimmer(budget=0.1, random_state=0)
    block = "linear/_objective.py", "_sum_block"
    assert frames_above(lambda: trimmer.fit(X, y), *block) <= 10
    rows = trimmer.estimator_.fit(X[:60], y[:60]), X[:60], y[:60], X[60:], y[60:]
    assert frames_above(lambda: fi_util(*rows), *block) <= 4
    assert frames_above(lambda: fi_signed(*rows), *block) <= 5


def test_ten_functions_from_a_query_to_the_pairs():
    X, y = make_classification(90, random_state=0)
    sampler = FIActiveSampler(batch_size=3, random_state=0).fit(X[:60], y[:60])
    assert frames_above(lambda: sampler.query(X[60:]), "linear/_active.py", "pairs") <= 10
