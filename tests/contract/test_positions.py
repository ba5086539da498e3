"""Positions and scores are of the rows that were passed, in their order."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import FITrimmer, FITrimmerCV
from skfi.queries import Margin
from tests.contract import data
from tests.contract.catalogue import calls, numbers, values_of

pytestmark = pytest.mark.filterwarnings("ignore")
# Functions of a classifier and its training rows.
SCORES = [
    call
    for call in calls()
    if call.kind == "function"
    and {"estimator", "X", "y"} <= set(inspect.signature(call.target).parameters)
]


def _scores(call, order=None, seed=0):
    values = values_of(call) | {"random_state": seed}
    if order is not None:
        for name in ("X", "y", "sample_weight"):
            values[name] = values[name][order]
    return numbers(call.run(values)).get("result")


@pytest.mark.parametrize("call", SCORES, ids=str)
def test_each_score_is_of_its_row(call):
    scores = _scores(call)
    if scores is None or scores.shape[:1] != (data.N,):
        pytest.skip("no scores of training rows")
    if not np.array_equal(scores, _scores(call, seed=1)):
        pytest.skip("draws rows")
    order = np.random.default_rng(0).permutation(data.N)
    np.testing.assert_allclose(_scores(call, order), scores[order], rtol=1e-5, atol=1e-8)


class Remembers(LogisticRegression):
    """Keeps which rows it was fitted on, by their first column."""

    def fit(self, X, y, sample_weight=None):
        self.rows_ = np.asarray(X)[:, 0].copy()
        return super().fit(X, y, sample_weight)


TRIMMERS = {
    "held out": FITrimmer(Remembers(), budget=0.2, validation=0.3, random_state=0),
    "folds": FITrimmer(Remembers(), budget=0.2, validation=3),
    "one fold": FITrimmerCV(Remembers(), budgets=[0.2], cv=0.3, refit=False, random_state=0),
    "chosen": FITrimmerCV(Remembers(), budgets=(0.1, 0.2), cv=3, rule="best"),
}


@pytest.mark.parametrize("form", ["C", "frame"])
@pytest.mark.parametrize("name", TRIMMERS)
def test_the_final_model_is_fitted_on_the_rows_of_support(name, form):
    if form == "frame":
        pytest.importorskip("pandas")
    every = np.arange(data.N)
    X, y = data.rows(every, form), data.labels(every, form)
    trimmer = TRIMMERS[name].fit(X, y)
    rows = np.asarray(X)[:, 0]
    fitted = rows[trimmer.support_]
    trained = trimmer.estimator_.rows_
    if name == "one fold":  # in the splitter's order, without the rows that the fold holds out
        assert len(trained) < len(fitted)
        assert set(trained) <= set(fitted)
    else:
        np.testing.assert_array_equal(trained, fitted)
    assert set(trimmer.trimmed_indices_) == set(np.flatnonzero(~trimmer.support_))
    np.testing.assert_array_equal(trimmer.sample_indices_, np.flatnonzero(trimmer.support_))
    kept, _ = clone(trimmer).fit_resample(X, y)
    np.testing.assert_array_equal(np.asarray(kept)[:, 0], rows[trimmer.support_])


@pytest.mark.parametrize("name", TRIMMERS)
def test_report_names_the_rows_by_position_and_index(name):
    pd = pytest.importorskip("pandas")
    X = data.rows(np.arange(data.N), "frame")
    X.index = pd.MultiIndex.from_arrays([X.index, X.index[::-1]], names=["a", "b"])
    trimmer = clone(TRIMMERS[name]).fit(X, data.labels(np.arange(data.N), "C"))
    report = trimmer.report()
    np.testing.assert_array_equal(report["position"], trimmer.trimmed_indices_)
    pd.testing.assert_index_equal(report.index, X.index[trimmer.trimmed_indices_])


def test_rows_of_a_pipeline_are_those_of_its_input():
    X, y = (f(np.arange(data.N), "C") for f in (data.rows, data.labels))
    inner = FITrimmer(make_pipeline(StandardScaler(), Remembers()), budget=0.2, validation=3)
    outer = make_pipeline(StandardScaler(), clone(inner)).fit(X, y)[-1]
    np.testing.assert_array_equal(outer.support_, inner.fit(X, y).support_)


@pytest.mark.parametrize("form", ["C", "frame"])
def test_queried_positions_are_of_the_subset_of_the_pool(form):
    if form == "frame":
        pytest.importorskip("pandas")
    X, y = data.rows(np.arange(data.N), form), data.labels(np.arange(data.N), form)
    strategy = Margin(LogisticRegression(), random_state=0).fit(X, y)
    pool = data.rows(np.arange(data.N), form)
    subset = np.arange(data.N)[::-3]
    part = pool.iloc[subset] if form == "frame" else pool[subset]
    scores = strategy.score_samples(pool)
    best = subset[np.argsort(-scores[subset])[:4]]
    assert set(subset[strategy.query(part, 4)]) == set(best)
