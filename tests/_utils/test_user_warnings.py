"""Warnings name the caller's line, also through scikit-learn's own frames."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import FITrimmer, fi_util
from skfi._utils._user_warnings import warn_user
from tests.conftest import make_split


def unconverged(X, y, X_val, y_val):
    model = LogisticRegression(C=100.0).fit(X[:20], y[:20])
    fi_util(model, X, y, X_val, y_val)


def in_a_pipeline(X, y, *held_out):
    rare = np.isin(np.arange(len(y)), np.random.default_rng(0).permutation(len(y))[:6])
    trimmer = FITrimmer(budget=10, min_class_size=2, random_state=0)
    make_pipeline(StandardScaler(), trimmer).fit(X, rare)


@pytest.mark.parametrize("call", [unconverged, in_a_pipeline])
def test_the_callers_line_is_named(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*make_split()[:4])
    assert caught
    assert {warning.filename for warning in caught} == {__file__}


def test_a_warning_without_a_caller_is_shown():
    with pytest.warns(FutureWarning, match="text"):
        eval(
            "warn_user('text', FutureWarning)",
            {"__name__": "skfi.inner", "warn_user": warn_user},
        )
