"""One bar for work of many parts, which comes to its end and not beyond."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import numpy as np
import pytest
from sklearn.datasets import make_classification

from skfi import FITrimmer, FITrimmerCV
from skfi._utils._progress import parts_of, progress_bar, shown_by


class Display:
    """Takes down what it is told."""

    def __init__(self):
        self.bars = []

    @contextmanager
    def __call__(self, total, title):
        told = []
        self.bars.append((title, total, told))
        yield told.append


@pytest.fixture
def data():
    X, y = make_classification(120, n_features=5, random_state=0)
    y[:30] = 1 - y[:30]
    return X, y


def test_without_anyone_to_show_it_nothing_is_told():
    with progress_bar(3, "work", 0) as told:
        assert told is None


def test_no_work_is_no_bar():
    display = Display()
    with shown_by(display), progress_bar(0, "work", 1) as told:
        assert told is None
    assert display.bars == []


def test_parts_are_counted_together_and_their_parts_are_not():
    display = Display()
    with shown_by(display), progress_bar(10, "all", 0) as told, parts_of(told):
        for part in (4, 6):
            with progress_bar(part, "part", 1) as told_part:
                told_part(1)
                with progress_bar(9, "part of it", 1) as inner:
                    assert inner is None
                told_part(part)
    assert display.bars == [("all", 10, [1, 4, 4, 5, 10, 10])]
    with progress_bar(3, "after", 0) as told:
        assert told is None


def test_an_error_ends_the_whole():
    display = Display()
    with (
        pytest.raises(KeyboardInterrupt),
        shown_by(display),
        progress_bar(10, "all", 0) as told,
        parts_of(told),
        progress_bar(4, "part", 0),
    ):
        raise KeyboardInterrupt
    with progress_bar(3, "after", 0) as told:
        assert told is None


@pytest.mark.parametrize("options", [{}, {"step": None}, {"step": 7}, {"n_jobs": 2}])
@pytest.mark.parametrize("given", [False, True])
def test_the_folds_come_to_their_end(data, options, given):
    X, y = data
    extra = {"X_val": X[60:], "y_val": y[60:]} if given else {}
    display = Display()
    trimmer = FITrimmerCV(budgets=(0, 0.1, 0.3), cv=3, influence="loss", **options)
    with shown_by(display):
        trimmer.fit(X, y, **extra)
    (folds, total, told), *last = display.bars
    assert folds == "FITrimmerCV, folds"
    assert told == sorted(told)
    assert told[-1] == pytest.approx(total)
    assert len(told) >= 3
    for title, rows, of_rows in last:  # none, where no budget was better than 0
        assert (title, of_rows[-1]) == ("FITrimmerCV", rows)
    plain = FITrimmerCV(**trimmer.get_params()).fit(X, y, **extra)
    np.testing.assert_array_equal(plain.support_, trimmer.support_)
    np.testing.assert_array_equal(
        plain.cv_results_["mean_test_score"], trimmer.cv_results_["mean_test_score"]
    )


def test_the_path_counts_more_where_each_step_fits_more(data):
    """Five fits a step without validation rows, one a refit."""
    X, y = data
    shares = []
    for extra in ({}, {"X_val": X[::-1], "y_val": y[::-1]}):
        display = Display()
        with shown_by(display):
            FITrimmerCV(budgets=(0, 0.2), cv=2, influence="iv", checked_rows="judge").fit(
                X, y, **extra
            )
        total = display.bars[0][1]
        n_trained = len(y) if extra else len(y) / 2
        shares.append(2 * 0.2 * n_trained / total)
    assert shares[0] > 0.9 > shares[1] > 0.6


def test_tqdm_shows_it_where_asked_for(data, capsys):
    pytest.importorskip("tqdm")
    X, y = data
    FITrimmer(budget=0.3, influence="loss", verbose=1).fit(X, y)
    FITrimmerCV(budgets=(0, 0.3), cv=2, influence="loss", verbose=1).fit(X, y)
    out, err = capsys.readouterr()
    assert "rows/s" in err
    assert "FITrimmerCV, folds:   0%|" in err
    assert "%|" not in out


def test_without_tqdm_there_is_no_bar(data, capsys, monkeypatch):
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    X, y = data
    FITrimmerCV(budgets=(0, 0.3), cv=2, influence="loss", verbose=1).fit(X, y)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("[FITrimmerCV] budget")
