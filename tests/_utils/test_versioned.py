"""Pickles of estimators carry skfi's version, and one of another version warns."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression

import skfi
from skfi import FIActiveSampler, FIEmbedding, FITrimmer, FITrimmerCV, queries
from skfi._utils._versioned import VersionedState
from tests.conftest import make_split

FITTED = [
    FITrimmer(budget=3),
    FITrimmerCV(budgets=(0, 3), cv=2, validation=2),
    FIActiveSampler(random_state=0),
    FIEmbedding(),
    queries.Margin(),
]


def kind(value):
    return type(value).__name__


@pytest.mark.parametrize("estimator", FITTED, ids=kind)
def test_another_version_warns(estimator, monkeypatch):
    X, y, X_val, _, _ = make_split()
    fitted = clone(estimator).fit(X, y)
    before = set(vars(fitted))
    saved = pickle.dumps(fitted)
    loaded = pickle.loads(saved)  # of this version: no warning
    assert set(vars(loaded)) | {"_pairing"} == before | {"_pairing"}
    name = "transform" if hasattr(fitted, "transform") else None
    name = name or ("predict_proba" if hasattr(fitted, "predict_proba") else "score_samples")
    np.testing.assert_array_equal(getattr(loaded, name)(X_val), getattr(fitted, name)(X_val))
    copy.deepcopy(fitted)
    monkeypatch.setattr("skfi._utils._versioned.__version__", "99.0")
    message = f"{kind(estimator)} was pickled by skfi .* loaded by skfi 99.0.* Fit it again"
    with pytest.warns(UserWarning, match=message):
        loaded = pickle.loads(saved)
    np.testing.assert_array_equal(getattr(loaded, name)(X_val), getattr(fitted, name)(X_val))
    copy.deepcopy(fitted)


def test_a_pickle_without_a_version_warns():
    state = BaseEstimator.__getstate__(FITrimmer())
    with pytest.warns(UserWarning, match=r"pickled by skfi 0\.1\.0 or older"):
        FITrimmer.__new__(FITrimmer).__setstate__(state)


def test_user_strategies_carry_it_too():
    class Mine(queries.QueryStrategy):
        def _score(self, X_pool):
            return np.zeros(len(X_pool))

    assert Mine(LogisticRegression()).__getstate__()["_skfi_version"] == skfi.__version__


def test_every_public_estimator_has_a_version():
    for module in pkgutil.walk_packages(skfi.__path__, "skfi."):
        if "__main__" not in module.name:
            try:
                importlib.import_module(module.name)
            except ImportError:  # an extra that is not installed
                continue
    kinds, found = [BaseEstimator], set()
    while kinds:
        kinds += (own := kinds.pop().__subclasses__())
        found.update(own)
    own = {k for k in found if k.__module__.startswith("skfi.") and k.__name__[0] != "_"}
    assert {"FITrimmer", "Margin", "SkorchClassifier", "TorchClassifier"} <= {
        k.__name__ for k in own
    }
    # Made within a score, and gone with it.
    assert [k for k in own if not issubclass(k, VersionedState)] == [
        k for k in own if k.__name__ == "AllClasses"
    ]
