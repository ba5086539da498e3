"""Every public name has a recipe for calling it; test_inputs.py calls them all."""

from __future__ import annotations

import pytest

from tests.contract import catalogue
from tests.contract.catalogue import EXEMPT, NoRecipe, public, values_of


def test_a_new_name_fails_until_it_has_a_recipe():
    def score(estimator, X, y, something_new):
        return something_new

    (call,) = catalogue._calls("skfi.score", score)
    with pytest.raises(NoRecipe, match="'something_new'"):
        call.run(values_of(call))


def test_names_are_found_in_all_public_modules():
    names = set(public())
    assert {"skfi.FITrimmer", "skfi.baselines.iv", "skfi.queries.BALD"} <= names
    assert {"skfi.outofcore.trim", "skfi.passes.fit_linear"} <= names
    assert set(EXEMPT) <= names
