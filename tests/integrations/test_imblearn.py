"""The trimmers beside imbalanced-learn's samplers, held to its own checks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skfi import FITrimmer, FITrimmerCV
from tests.conftest import make_split

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Trimming took more than half:UserWarning"),
]
checks = pytest.importorskip("imblearn.utils.estimator_checks", exc_type=ImportError)

TRIMMERS = [
    FITrimmer(step=None, validation=3),
    FITrimmerCV(budgets=(0, 0.1), cv=2, validation=2),
]
CATEGORIES = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
# Checks of samplers that a classifier cannot pass, and why.
CANNOT = {
    "check_samplers_fit": "It reads sampling_strategy_, rows wanted of each class; a trimmer "
    "has a budget.",
    "check_samplers_multiclass_ova": "y in indicator columns is several labels a row to a "
    "classifier, which scikit-learn's checks ask it to refuse.",
    "check_samplers_sample_indices": "It reads sampler_tags, which scikit-learn's tags of a "
    "classifier do not have; test_sample_indices has what it checks.",
    "check_sampler_get_feature_names_out": "A classifier gives out classes, not features.",
    "check_sampler_get_feature_names_out_pandas": "The same.",
}
# Those of a sampler that takes such rows, which a Pipeline with an encoder does.
OF_CATEGORIES = ("check_samplers_nan", "check_samplers_string")


def test_every_check_is_known():
    """A new one of imbalanced-learn's is tried, not passed over."""
    assert {*PASS, *CANNOT, *OF_CATEGORIES} == {
        name for name in dir(checks) if name.startswith(("check_sampler", "check_target"))
    }


PASS = [
    "check_samplers_2d_target",
    "check_samplers_fit_resample",
    "check_samplers_list",
    "check_samplers_one_label",
    "check_samplers_pandas",
    "check_samplers_pandas_sparse",
    "check_samplers_preserve_dtype",
    "check_samplers_sampling_strategy_fit_resample",
    "check_samplers_sparse",
    "check_target_type",
]


@pytest.mark.filterwarnings("ignore:A column-vector y:sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize("trimmer", TRIMMERS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", PASS)
def test_checks_of_samplers(name, trimmer):
    getattr(checks, name)(type(trimmer).__name__, trimmer)


@pytest.mark.parametrize("name", OF_CATEGORIES)
def test_checks_of_samplers_of_categories(name):
    getattr(checks, name)("FITrimmer", FITrimmer(CATEGORIES, validation=3))


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_pass_fails(name):
    with pytest.raises((AssertionError, AttributeError, ValueError)):
        getattr(checks, name)("FITrimmer", TRIMMERS[0])


@pytest.mark.parametrize("trimmer", TRIMMERS, ids=lambda value: type(value).__name__)
def test_sample_indices(trimmer):
    X, y, *_ = make_split()
    assert not hasattr(trimmer, "sample_indices_")
    trimmer = type(trimmer)(**trimmer.get_params(deep=False))
    kept, labels = trimmer.fit_resample(X, y)
    np.testing.assert_array_equal(kept, X[trimmer.sample_indices_])
    np.testing.assert_array_equal(labels, y[trimmer.sample_indices_])
    everything = np.union1d(trimmer.sample_indices_, trimmer.trimmed_indices_)
    np.testing.assert_array_equal(everything, np.arange(len(y)))
    assert (np.diff(trimmer.sample_indices_) > 0).all()
