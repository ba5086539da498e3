"""No call changes what the caller passed, and results are of positions, not of labels."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest

from tests.contract.catalogue import calls, numbers, values_of
from tests.contract.snapshots import frozen

pytestmark = pytest.mark.filterwarnings("ignore")

# Form of the rows and classifier; steps and layers that work in place among them.
CASES = [
    ("C", "plain", None),
    ("F", "plain", None),
    ("float32", "plain", None),
    ("csr", "plain", None),
    ("frame", "plain", "pandas"),
    ("C", "scaler in place", None),
    ("F", "scaler in place", None),
    ("C", "function in place", None),
    ("frame", "function in place", "pandas"),
    ("float32", "network in place", "torch"),
    ("tensor", "network in place", "torch"),
]

# Names, forms and classifiers that are refused, and why: all other calls must succeed.
REFUSED = [
    (
        r"skfi\.(queries\.(?!Random|StablePredictions)|FIActiveSampler|FIEmbedding|active_learning_curve)"
        r"|(TrimmingCurve|ActiveLearningCurve)Display|(Query|Influence)Display.from_estimator"
        r"|SkactivemlStrategy|to_label_studio",
        "",
        "network in place",
        "TorchClassifier holds a trained module and cannot train it",
    ),
    (
        r"skfi\.FITrimmer|self_confidence|tmc_shapley",
        "",
        "network in place",
        "sample_weight was passed, but TorchClassifier does not take it in fit",
    ),
    (
        r"(outofcore|dask)\.fi_util|make_scorer",
        "",
        "network in place",
        "takes linear classifiers, not TorchClassifier",
    ),
    (r"(Skorch|Torch)Classifier", "csr", "", "X is sparse, and networks take dense rows"),
    (r"skactiveml\.(FI|Skfi)Query", "csr", "", "Sparse data was passed"),
    (r"read_penalty", "", "in place", "object has no attribute 'C'"),
]


def reason(call, form: str, model: str) -> str | None:
    """Part of the message with which a call is refused."""
    for name, forms, models, message in REFUSED:
        if re.search(name, call.name) and forms in form and models in model:
            return message
    return None


@pytest.mark.parametrize("call", calls(), ids=str)
def test_what_was_passed_stays_and_labels_of_a_frames_rows_are_no_positions(call, tmp_path):
    changed, plain = [], {}
    for form, model, needed in CASES:
        if needed is not None and importlib.util.find_spec(needed) is None:
            continue
        values = values_of(call, form, model, tmp_path)
        before = {name: frozen(value) for name, value in values.items()}
        if message := reason(call, form, model):
            with pytest.raises((TypeError, ValueError, AttributeError), match=message):
                call.run(values)
        else:
            results = call.run(values)
            assert results
            if model == "plain":
                plain[form] = numbers(results)
        after = {name: frozen(value) for name, value in values.items()}
        changed += [f"{form}, {model}: {n}" for n in before if before[n] != after[n]]
    assert not changed
    if "dask" in call.name:  # Dask arrays have no labels
        return
    assert plain["C"].keys() == plain["frame"].keys()
    for name, expected in plain["C"].items():
        actual = plain["frame"][name]
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9, err_msg=name)
