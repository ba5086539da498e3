"""No call changes what the caller passed."""

from __future__ import annotations

import importlib.util

import pytest

from tests.contract.catalogue import calls, values_of
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


@pytest.mark.parametrize("call", calls(), ids=str)
def test_what_was_passed_stays_as_it_was(call, tmp_path):
    changed = []
    for form, model, needed in CASES:
        if needed is not None and importlib.util.find_spec(needed) is None:
            continue
        values = values_of(call, form, model, tmp_path)
        before = {name: frozen(value) for name, value in values.items()}
        try:
            call.run(values)
        except Exception:  # a form that the name refuses must be left alone as well
            if (form, model) == ("C", "plain"):
                raise
        after = {name: frozen(value) for name, value in values.items()}
        changed += [f"{form}, {model}: {n}" for n in before if before[n] != after[n]]
    assert not changed
