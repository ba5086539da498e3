"""TrimmingCurveDisplay: what is drawn is what was given."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import FITrimmer, FITrimmerCV
from skfi.inspection import InfluenceDisplay, TrimmingCurveDisplay
from tests.conftest import make_split

from .conftest import legend_texts

same_color = pytest.importorskip("matplotlib.colors").same_color

BUDGETS = [0.1, 0, 0.02, 0.5]
SCORES = np.array([[0.8, 0.9, 0.85], [0.7, 0.8, 0.75], [0.82, 0.9, 0.9], [np.nan, 0.5, 0.5]])
MEAN = [0.75, SCORES[2].mean(), 0.85]  # of the budgets 0, 2 % and 10 %


def results(budgets=BUDGETS, scores=SCORES, key="param_budget", mask=False):
    """cv_results_ as searches have them."""
    return {
        key: np.ma.MaskedArray(budgets, mask=mask),
        "mean_test_score": scores.mean(axis=1),
        "std_test_score": scores.std(axis=1),
        **{f"split{i}_test_score": scores[:, i] for i in range(scores.shape[1])},
    }


class Fitted(BaseEstimator):
    """What the display reads of a fitted FITrimmerCV."""

    def __init__(self, scoring=None):
        self.scoring = scoring

    def fit(self, budgets=BUDGETS, budget=0.02, n=50):
        self.cv_results_ = results(budgets)
        self.budget_ = budget
        self.support_ = np.ones(n, dtype=bool)
        self.scorer_ = make_scorer(accuracy_score)
        return self


class OwnScore(LogisticRegression):
    """A classifier that is scored by something else."""

    def score(self, X, y, sample_weight=None):
        return -1.0


def test_draws_the_scores_given():
    display = TrimmingCurveDisplay(BUDGETS, SCORES, chosen=0.02, score_name="Accuracy").plot()
    np.testing.assert_allclose(display.line_.get_xdata(), [0, 2, 10])  # 50 % was not tried
    np.testing.assert_allclose(display.line_.get_ydata(), MEAN)
    assert display.baseline_line_.get_ydata()[0] == pytest.approx(0.75)
    assert display.chosen_marker_.get_xdata()[0] == pytest.approx(2)
    assert display.chosen_marker_.get_ydata()[0] == pytest.approx(MEAN[1])
    assert display.errorbar_ is None
    assert display.fold_lines_ is None
    assert display.ax_.get_xlabel() == "rows dropped, %"
    assert display.ax_.get_ylabel() == "Accuracy, mean of 3 folds"
    assert legend_texts(display.ax_) == [
        "mean over folds",
        "± 1 standard error",
        "nothing dropped",
        "chosen: 2 %",
    ]


def test_band_is_one_standard_error():
    display = TrimmingCurveDisplay(BUDGETS, SCORES).plot()
    corners = display.fill_between_.get_paths()[0].vertices
    error = SCORES[[1, 2, 0]].std(axis=1, ddof=1) / np.sqrt(3)
    for x, mean, e in zip([0, 2, 10], MEAN, error, strict=True):
        y = corners[np.isclose(corners[:, 0], x), 1]
        np.testing.assert_allclose((y.min(), y.max()), (mean - e, mean + e))
    display = TrimmingCurveDisplay(BUDGETS, SCORES).plot(std_display_style="errorbar")
    assert display.line_ is None
    assert display.fill_between_ is None
    (bars,) = display.errorbar_.lines[2]
    np.testing.assert_allclose([np.ptp(s[:, 1]) for s in bars.get_segments()], 2 * error)
    np.testing.assert_allclose(display.errorbar_.lines[0].get_ydata(), MEAN)
    display = TrimmingCurveDisplay(BUDGETS, SCORES).plot(std_display_style=None)
    assert display.fill_between_ is None
    assert display.errorbar_ is None
    assert display.line_ is not None


def test_folds():
    display = TrimmingCurveDisplay(BUDGETS, SCORES).plot(show_folds=True)
    assert len(display.fold_lines_) == 3
    for line, fold in zip(display.fold_lines_, SCORES[[1, 2, 0]].T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), fold)
    assert legend_texts(display.ax_).count("single folds") == 1


def test_one_fold_has_no_band():
    display = TrimmingCurveDisplay([0, 3], [[0.5], [0.6]]).plot(std_display_style="errorbar")
    assert display.errorbar_ is None
    np.testing.assert_array_equal(display.line_.get_ydata(), [0.5, 0.6])
    assert display.ax_.get_ylabel() == "Score, one fold"


@pytest.mark.parametrize(
    ("budgets", "n_samples", "drawn", "label"),
    [
        ([0, 5, 20], None, [0, 5, 20], "number of rows dropped"),
        ([0, 5, 20], 100, [0, 5, 20], "number of rows dropped"),
        (np.array([0.0, 5.0, 20.0]), None, [0, 5, 20], "number of rows dropped"),
        (np.array([0, 0.05, 0.2]), None, [0, 5, 20], "rows dropped, %"),
        ([0.0, 5, 0.2], 50, [0, 10, 20], "rows dropped, %"),
        (np.array([0.0, 5.0, 0.2]), 50, [0, 10, 20], "rows dropped, %"),
        ([0, 0.1, 0.2, 7], None, [0, 10, 20], "rows dropped, %"),  # 7 could not be tried
    ],
)
def test_unit_of_the_budgets(budgets, n_samples, drawn, label):
    scores = np.vstack([np.eye(3), np.full(3, np.nan)])[: len(budgets)]
    display = TrimmingCurveDisplay(
        budgets, scores, chosen=budgets[1], n_samples=n_samples
    ).plot()
    np.testing.assert_allclose(display.line_.get_xdata(), drawn)
    assert display.ax_.get_xlabel() == label
    assert display.chosen_marker_.get_xdata()[0] == drawn[1]


@pytest.mark.parametrize(
    ("budgets", "baseline", "drawn"),
    [(BUDGETS, 0.5, 0.5), (BUDGETS, None, None), ([0.1, 0.3, 0.02, 0.5], "auto", None)],
)
def test_baseline(budgets, baseline, drawn):
    display = TrimmingCurveDisplay(budgets, SCORES, baseline=baseline).plot()
    if drawn is None:
        assert display.baseline_line_ is None
    else:
        assert display.baseline_line_.get_ydata()[0] == drawn


def test_styles_are_passed_on():
    display = TrimmingCurveDisplay(BUDGETS, SCORES).plot(
        line_kw={"c": "red"}, fill_between_kw={"fc": "green", "alpha": 1}
    )
    assert same_color(display.line_.get_color(), "red")
    assert same_color(display.fill_between_.get_facecolor()[0], "green")
    display.plot(std_display_style="errorbar", errorbar_kw={"c": "red"})
    assert same_color(display.errorbar_.lines[0].get_color(), "red")


@pytest.mark.parametrize("style", ["fill_between", "errorbar", None])
@pytest.mark.parametrize("show_folds", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_an_accuracy_is_no_more_than_1(seed, show_folds, style):
    scores = np.random.default_rng(seed).uniform(0.9, 1.05, (6, 5)).clip(max=1)
    display = TrimmingCurveDisplay(
        [0, 0.01, 0.05, 0.1, 0.2, 0.4], scores, score_name="Accuracy", estimator_name="a name"
    ).plot(show_folds=show_folds, std_display_style=style)
    assert display.ax_.get_ylim()[1] <= 1
    percent = TrimmingCurveDisplay([0, 0.1], 100 * scores[:2], score_name="Accuracy").plot()
    assert percent.ax_.get_ylim()[1] > 80


def test_entries_that_say_the_same_are_shown_once(plt):
    _, ax = plt.subplots()
    rng = np.random.default_rng(0)
    budgets = [0, 0.1, 0.2, 0.3]
    drawn = [
        TrimmingCurveDisplay(budgets, np.outer(height, [0.98, 1, 1.02])).plot(
            ax=ax, line_kw={"label": name, "color": colour}
        )
        for name, colour, height in (
            ("a", "red", 2 + rng.random(4)),
            ("b", "green", 1 + rng.random(4)),
            ("c", "blue", rng.random(4)),
        )
    ]
    assert legend_texts(ax) == ["a", "b", "c", "± 1 standard error", "nothing dropped"]
    for display in drawn:
        assert same_color(
            display.fill_between_.get_facecolor()[0][:3], display.line_.get_color()
        )


def test_columns_may_be_other_than_folds():
    display = TrimmingCurveDisplay(BUDGETS, SCORES, fold_name="repeat").plot(show_folds=True)
    assert display.ax_.get_ylabel() == "Score, mean of 3 repeats"
    assert {"single repeats", "mean over repeats"} <= set(legend_texts(display.ax_))
    display.plot(std_display_style="errorbar")
    assert "mean over repeats ± 1 standard error" in legend_texts(display.ax_)
    display = TrimmingCurveDisplay([0, 3], [[0.5], [0.6]], fold_name="$draw").plot()
    assert display.ax_.get_ylabel() == r"Score, one \$draw"
    assert r"one \$draw" in legend_texts(display.ax_)
    display.figure_.draw_without_rendering()


def test_from_estimator():
    fitted = Fitted().fit()
    display = TrimmingCurveDisplay.from_estimator(fitted)
    np.testing.assert_allclose(display.line_.get_ydata(), MEAN)
    assert display.chosen == 0.02
    assert display.chosen_marker_.get_xdata()[0] == pytest.approx(2)
    assert display.ax_.get_legend().get_title().get_text() == "Fitted"
    assert display.ax_.get_ylabel() == "Accuracy, mean of 3 folds"
    named = TrimmingCurveDisplay.from_estimator(fitted, score_name="$x$", name="_me")
    assert named.ax_.get_ylabel() == r"\$x\$, mean of 3 folds"
    assert named.ax_.get_legend().get_title().get_text().strip() == "_me"


def test_from_estimator_reads_the_number_of_rows_from_the_support():
    display = TrimmingCurveDisplay.from_estimator(Fitted().fit([0.1, 0, 2, 0.5], budget=2))
    np.testing.assert_allclose(display.line_.get_xdata(), [0, 4, 10])
    assert "chosen: 4 %" in legend_texts(display.ax_)
    without = results(mask=[False, False, True, False])  # one candidate has no budget
    fake = SimpleNamespace(cv_results_=without, budget_=0.1)
    display = TrimmingCurveDisplay.from_estimator(fake)
    assert display.n_samples is None
    np.testing.assert_allclose(display.line_.get_xdata(), [0, 10])
    assert display.ax_.get_ylabel() == "Score, mean of 3 folds"


def negative_cost(estimator, X, y):
    return 0.0


@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        ("balanced_accuracy", "Balanced accuracy"),
        ("neg_log_loss", "Negative log loss"),
        (negative_cost, "Negative cost"),
        (make_scorer(log_loss, greater_is_better=False), "Negative log loss"),
        (make_scorer(accuracy_score), "Accuracy"),
        (lambda estimator, X, y: 0.0, "Score"),
        (["accuracy"], "Score"),
    ],
)
def test_name_of_the_score(scoring, name):
    display = TrimmingCurveDisplay.from_estimator(Fitted(scoring).fit())
    assert display.ax_.get_ylabel() == f"{name}, mean of 3 folds"


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (None, "Accuracy"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "Accuracy"),
        (OwnScore(), "Score"),
    ],
)
def test_a_classifier_is_scored_by_its_accuracy(estimator, name):
    X, y, *_ = make_split()
    trimmer = FITrimmerCV(estimator, budgets=(0, 0.1), cv=3, validation=3, step=None)
    display = TrimmingCurveDisplay.from_estimator(trimmer.fit(X, y))
    assert display.ax_.get_ylabel() == f"{name}, mean of 3 folds"


def test_from_estimator_errors():
    with pytest.raises(ValueError, match="is not fitted yet"):
        TrimmingCurveDisplay.from_estimator(Fitted())
    X, y, *_ = make_split()
    with pytest.raises(TypeError, match="LogisticRegression has no cv_results_ and no budget_"):
        TrimmingCurveDisplay.from_estimator(LogisticRegression().fit(X, y))


@pytest.mark.parametrize("wrapped", [False, True])
def test_from_a_search(wrapped):
    X, y, *_ = make_split()
    model, key = FITrimmer(validation=3), "budget"
    if wrapped:
        model, key = make_pipeline(StandardScaler(), model), "fitrimmer__budget"
    # A thousand rows are more than there are: no score.
    search = GridSearchCV(model, {key: [0.1, 0, 1000]}, cv=3, refit=False)
    with pytest.warns((UserWarning, RuntimeWarning), match=r"fits failed|non-finite"):
        search.fit(X, y)
    display = TrimmingCurveDisplay.from_cv_results(search.cv_results_, chosen=0.1)
    np.testing.assert_allclose(display.line_.get_xdata(), [0, 10])
    expected = search.cv_results_["mean_test_score"][[1, 0]]
    np.testing.assert_allclose(display.line_.get_ydata(), expected)
    assert display.ax_.get_legend().get_title().get_text() == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"param_budget": None}, "one parameter that is a budget, and holds 0: no parameters"),
        ({"param_trim__budget": BUDGETS}, "holds 2: param_budget, param_trim__budget"),
        ({"split0_test_score": None}, "no split0_test_score"),
        ({"param_budget": [0, 0.1, 0, 0.2]}, "same budget more than once;"),
        (
            {"param_budget": [0, 0.1, 0, 0.2], "param_metric": ["e", "e", "m", "m"]},
            "more than once, as metric varies too",
        ),
    ],
)
def test_cv_results_errors(change, message):
    cv_results = results() | change
    cv_results = {key: value for key, value in cv_results.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        TrimmingCurveDisplay.from_cv_results(cv_results)


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ({}, {"std_display_style": "violin"}, "std_display_style='violin' must be one of"),
        ({"budgets": BUDGETS[:3]}, {}, "inconsistent numbers of samples"),
        ({"scores": np.ones(4)}, {}, r"\(n_budgets, n_folds\)"),
        ({"scores": np.ones((4, 0))}, {}, "nothing to draw"),
        ({"scores": np.full((4, 2), np.nan)}, {}, "nothing to draw"),
        ({"budgets": [0, 0.1, 5, 0.2]}, {}, "pass n_samples"),
        ({"budgets": [0, -1, 5, 2]}, {}, "budget=-1 must be finite and not negative"),
        ({"budgets": [0, np.inf, 5, 2]}, {}, "budget=inf must be finite"),
        ({"budgets": [0, 1.5, 5, 2]}, {}, "budget=1.5 is neither a share"),
        ({"budgets": [0, True, 5, 2]}, {}, "budget=True must be a number"),
        ({"budgets": [0, "many", 5, 2]}, {}, "must be a number"),
        ({"n_samples": 0}, {}, "n_samples=0"),
        ({"n_samples": 2.5}, {}, "n_samples=2.5"),
        ({"chosen": 0.3}, {}, "chosen=0.3 is none of the budgets"),
        ({"chosen": 0.5}, {}, "chosen=0.5 is none of the budgets that have scores"),
        ({"chosen": 2}, {}, "chosen=2 is none of the budgets"),
        ({"baseline": "mean"}, {}, "baseline='mean'"),
    ],
)
def test_errors(plt, settings, options, message):
    display = TrimmingCurveDisplay(**{"budgets": BUDGETS, "scores": SCORES, **settings})
    with pytest.raises(ValueError, match=message):
        display.plot(**options)
    assert not plt.get_fignums()  # no empty figure is left behind


@pytest.mark.parametrize("budgets", [(0, 0.05, 0.1), (0, 5, 20), (0, 0.05, 9)])
def test_real_trimmer(budgets):
    X, y, _, _, _ = make_split()
    trimmer = FITrimmerCV(budgets=budgets, cv=3, validation=3, step=None).fit(X, y)
    display = TrimmingCurveDisplay.from_estimator(trimmer, show_folds=True)
    np.testing.assert_allclose(
        np.sort(display.line_.get_ydata()),
        np.sort(trimmer.cv_results_["mean_test_score"]),
    )
    assert InfluenceDisplay.from_estimator(trimmer).ax_ is not None
