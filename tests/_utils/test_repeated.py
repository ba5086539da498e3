"""Warnings that many fits give alike are said once."""

from __future__ import annotations

import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skfi import FITrimmer, FITrimmerCV
from skfi._utils._repeated import one_of_each
from tests.conftest import make_split


def say(*texts, category=UserWarning):
    for text in texts:
        warnings.warn(text, category, stacklevel=2)


def test_alike_up_to_the_first_figure():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with one_of_each():
            say("off by 0.1", "off by 0.2", "another", "off by 0.3")
            say("off by 0.4", category=ConvergenceWarning)
    assert [str(warning.message) for warning in caught] == [
        "off by 0.1 (There were 2 more like it in this fit.)",
        "another",
        "off by 0.4",
    ]
    assert caught[2].category is ConvergenceWarning
    assert caught[0].filename == __file__


def test_filters_are_kept():
    with pytest.raises(UserWarning, match="off"), one_of_each():
        say("off")  # an error, as in all tests
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        with one_of_each():
            say("off", "off")
    assert not caught


def test_what_was_said_before_an_error_is_said():
    def fail():
        with one_of_each():
            say("before")
            raise KeyError("after")

    with pytest.warns(UserWarning, match="before"), pytest.raises(KeyError):
        fail()


@pytest.mark.parametrize(
    ("trimmer", "most"), [(FITrimmer, 2), (lambda model: FITrimmerCV(model, cv=3), 4)]
)
def test_a_trimmer_tells_once_that_its_fits_did_not_converge(trimmer, most):
    X, y, *_ = make_split()
    model = LogisticRegression(max_iter=2)
    with pytest.warns(ConvergenceWarning, match="more like it in this fit") as caught:
        trimmer(model).fit(X, y)
    # Of the solver and of ours, once for the folds and once for the last path.
    assert 1 <= len(caught) <= most
