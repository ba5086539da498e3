"""ActiveLearningCurveDisplay: what is drawn is what was given."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB

from skfi.inspection._learning_curve import ActiveLearningCurveDisplay
from skfi.queries import Margin, QueryStrategy
from skfi.queries._learning_curve import active_learning_curve

from .conftest import legend_texts

same_color = pytest.importorskip("matplotlib.colors").same_color

N = [10, 20, 40]
SCORES = {
    "Random": np.array([[0.5, 0.6, 0.7], [0.3, 0.5, 0.7], [0.4, 0.4, 0.6]]),
    "Margin": np.array([[0.5, 0.8, 0.8], [0.3, 0.6, 0.9], [0.4, 0.5, 0.7]]),
    "_$other$": np.array([[0.5, 0.5, 0.5], [0.3, 0.4, 0.6], [0.4, 0.4, 0.5]]),
}
SHORT = {"n_initial": 6, "batch_size": 3, "n_rounds": 2, "n_repeats": 2, "random_state": 0}


def area(values):
    return (10 * (values[0] + values[1]) / 2 + 20 * (values[1] + values[2]) / 2) / 30


def test_draws_the_scores_given():
    display = ActiveLearningCurveDisplay(N, SCORES, score_name="Accuracy").plot()
    assert list(display.lines_) == list(SCORES)
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), N)
        np.testing.assert_allclose(line.get_ydata(), SCORES[name].mean(axis=0))
    assert display.errorbars_ is None
    assert display.reference_line_ is None
    assert display.figure_ is display.ax_.figure
    assert display.ax_.get_xlabel() == "number of labelled rows"
    assert display.ax_.get_ylabel() == "Accuracy\nmean of 3 repeats ± 1 standard error"
    areas = [f"{area(scores.mean(axis=0)):.3f}" for scores in SCORES.values()]
    assert legend_texts(display.ax_) == [
        f"Random: {areas[0]}",
        f"Margin: {areas[1]}",
        rf" _\$other\$: {areas[2]}",
    ]
    assert display.ax_.get_legend().get_title().get_text() == "mean area"


def heights(band, x):
    corners = band.get_paths()[0].vertices
    y = corners[np.isclose(corners[:, 0], x), 1]
    return y.min(), y.max()


def test_bands_are_one_standard_error():
    display = ActiveLearningCurveDisplay(N, SCORES).plot()
    for name, scores in SCORES.items():
        mean, error = scores.mean(axis=0), scores.std(axis=0, ddof=1) / np.sqrt(3)
        for x, m, e in zip(N, mean, error, strict=True):
            np.testing.assert_allclose(
                heights(display.fill_betweens_[name], x), (m - e, m + e), atol=1e-12
            )
    display = ActiveLearningCurveDisplay(N, SCORES).plot(std_display_style="errorbar")
    assert display.fill_betweens_ is None
    (bars,) = display.errorbars_["Margin"].lines[2]
    error = SCORES["Margin"].std(axis=0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose([np.ptp(s[:, 1]) for s in bars.get_segments()], 2 * error)
    np.testing.assert_allclose(
        display.lines_["Margin"].get_ydata(), SCORES["Margin"].mean(axis=0)
    )
    display = ActiveLearningCurveDisplay(N, SCORES).plot(std_display_style=None)
    assert display.fill_betweens_ is None
    assert display.errorbars_ is None
    assert display.ax_.get_ylabel() == "Score\nmean of 3 repeats"


def test_differences_are_paired():
    display = ActiveLearningCurveDisplay(N, SCORES, score_name="Recall").plot(
        difference_to="Random"
    )
    assert list(display.lines_) == ["Margin", "_$other$"]
    assert (np.asarray(display.reference_line_.get_ydata()) == 0).all()
    for name, line in display.lines_.items():
        gain = SCORES[name] - SCORES["Random"]
        np.testing.assert_allclose(line.get_ydata(), gain.mean(axis=0), atol=1e-12)
        mean, error = gain.mean(axis=0), gain.std(axis=0, ddof=1) / np.sqrt(3)
        np.testing.assert_allclose(
            heights(display.fill_betweens_[name], 20),
            (mean[1] - error[1], mean[1] + error[1]),
            atol=1e-12,
        )
    gains = [
        area((SCORES[name] - SCORES["Random"]).mean(axis=0)) for name in ("Margin", "_$other$")
    ]
    assert gains[1] < 0 < gains[0]
    assert legend_texts(display.ax_) == [
        "Random",
        f"Margin: +{gains[0]:.3f}",
        rf" _\$other\$: −{-gains[1]:.3f}",
    ]
    assert display.ax_.get_ylabel().startswith("Recall minus that of Random\n")
    assert display.ax_.get_legend().get_title().get_text() == "difference in mean area"


def test_a_strategy_looks_the_same_in_both_pictures():
    plain = ActiveLearningCurveDisplay(N, SCORES).plot().lines_
    gains = ActiveLearningCurveDisplay(N, SCORES).plot(difference_to="Random").lines_
    for name, line in gains.items():
        assert same_color(line.get_color(), plain[name].get_color())
        assert line.get_marker() == plain[name].get_marker()
        assert line.get_linestyle() == plain[name].get_linestyle()


def test_strategies_are_told_apart_without_colour():
    scores = {f"strategy {k}": np.full((2, 3), k / 10) for k in range(9)}
    lines = ActiveLearningCurveDisplay(N, scores).plot().lines_.values()
    assert len({line.get_marker() for line in lines}) == 9
    looks = {(line.get_color(), str(line.get_linestyle())) for line in lines}
    assert len(looks) == 9
    assert len({line.get_color() for line in lines}) == 7


def test_long_curves_have_few_marks():
    scores = {"a": np.ones((2, 100)), "b": np.zeros((2, 100))}
    lines = ActiveLearningCurveDisplay(np.arange(1, 101), scores).plot().lines_
    starts = [line.get_markevery()[0] for line in lines.values()]
    assert starts == [0, 1]  # not on top of each other
    assert 100 / lines["a"].get_markevery()[1] <= 15


def test_one_repeat_or_one_point():
    display = ActiveLearningCurveDisplay(N, {"a": [[1, 2, 3]]}).plot()
    assert display.fill_betweens_ is None
    assert display.ax_.get_ylabel() == "Score\none repeat"
    display = ActiveLearningCurveDisplay([5], {"a": [[0.25], [0.75]]}).plot()
    assert legend_texts(display.ax_) == ["a: 0.500"]


@pytest.mark.parametrize("tiny", [2e-4, -2e-4, 0.0])
def test_a_rounded_zero_has_no_sign(tiny):
    scores = {"a": np.full((2, 3), 0.5), "b": np.full((2, 3), 0.5 + tiny)}
    display = ActiveLearningCurveDisplay(N, scores).plot(difference_to="a")
    assert legend_texts(display.ax_) == ["a", "b: 0.000"]
    display = ActiveLearningCurveDisplay(N, {"c": np.full((2, 3), tiny)}).plot()
    assert legend_texts(display.ax_) == ["c: 0.000"]


@pytest.mark.parametrize("style", ["fill_between", "errorbar"])
def test_an_accuracy_is_no_more_than_1(style):
    scores = {f"s{k}": np.array([[0.8, 0.97, 1.0], [0.9, 1.0, 1.0]]) for k in range(9)}
    display = ActiveLearningCurveDisplay(N, scores, score_name="Accuracy").plot(
        std_display_style=style
    )
    assert display.ax_.get_ylim()[1] == 1
    gains = ActiveLearningCurveDisplay(N, scores, score_name="Accuracy").plot(
        difference_to="s0"
    )
    assert gains.ax_.get_ylim()[0] < 0


def test_points_that_are_not_finite_are_left_out():
    scores = {name: values.copy() for name, values in SCORES.items()}
    scores["Margin"][1, 0] = np.nan
    display = ActiveLearningCurveDisplay(N, scores).plot()
    assert np.isnan(display.lines_["Margin"].get_ydata()).tolist() == [True, False, False]
    assert not np.isnan(display.lines_["Random"].get_ydata()).any()
    assert legend_texts(display.ax_)[1] == "Margin"  # no area
    scores["Random"][:, 0] = scores["_$other$"][:, 0] = np.nan
    display = ActiveLearningCurveDisplay(N, scores).plot()
    assert np.isfinite(display.lines_["Margin"].get_ydata()[1:]).all()


def test_properties_and_axes_of_the_user(plt):
    _, (left, right) = plt.subplots(1, 2)
    before = dict(plt.rcParams)
    display = ActiveLearningCurveDisplay(N, SCORES, score_name="a").plot(
        right, score_name="b_$", line_kw={"lw": 5}, fill_between_kw={"alpha": 0.7}
    )
    assert display.ax_ is right
    assert not left.lines
    assert display.ax_.get_ylabel().startswith(r"b_\$")
    assert display.lines_["Margin"].get_linewidth() == 5
    assert display.fill_betweens_["Margin"].get_alpha() == 0.7
    display.plot(left, std_display_style="errorbar", errorbar_kw={"capsize": 9})
    assert display.ax_ is left
    assert plt.rcParams == before
    assert display.score_name == "a"


@pytest.mark.parametrize(
    ("n_labelled", "scores", "plot", "message"),
    [
        ([10, 20], SCORES, {}, "2 points, and are of"),
        ([10, 10, 20], SCORES, {}, "ascending"),
        ([[10, 20, 40]], SCORES, {}, "ascending"),
        ([], {}, {}, "ascending"),
        (N, {}, {}, "at least one strategy"),
        (N, SCORES["Margin"], {}, "must be a dict"),
        (N, {"a": [1, 2, 3]}, {}, "one shape"),
        (N, {"a": np.ones((2, 3)), "b": np.ones((3, 3))}, {}, "one shape"),
        (N, {"a": np.full((2, 3), np.nan)}, {}, "nothing to draw"),
        (N, SCORES, {"difference_to": "BADGE"}, "none of the strategies: Random, Margin"),
        (N, {"a": np.ones((2, 3))}, {"difference_to": "a"}, "no strategy to compare"),
        (N, SCORES, {"std_display_style": "band"}, "std_display_style='band'"),
    ],
)
def test_bad_arguments(plt, n_labelled, scores, plot, message):
    with pytest.raises(ValueError, match=message):
        ActiveLearningCurveDisplay(n_labelled, scores).plot(**plot)
    assert not plt.get_fignums()


class Chance(QueryStrategy):
    """At random."""

    def _score(self, X_pool):
        return np.zeros(len(X_pool))


def test_from_results_and_from_estimator():
    X, y = load_iris(return_X_y=True)
    strategies = [Margin(), Chance()]
    results = active_learning_curve(GaussianNB(), X, y, strategies, **SHORT)
    display = ActiveLearningCurveDisplay.from_results(results)
    assert display.ax_.get_ylabel().startswith("Accuracy\n")
    np.testing.assert_array_equal(display.lines_["Margin"].get_xdata(), [6, 9, 12])
    np.testing.assert_allclose(
        display.lines_["Margin"].get_ydata(), results.scores["Margin"].mean(axis=0)
    )
    again = ActiveLearningCurveDisplay.from_estimator(
        GaussianNB(), X, y, strategies, **SHORT, difference_to="Chance", score_name="Share"
    )
    np.testing.assert_allclose(
        again.lines_["Margin"].get_ydata(),
        (results.scores["Margin"] - results.scores["Chance"]).mean(axis=0),
        atol=1e-12,
    )
    assert again.ax_.get_ylabel().startswith("Share minus that of Chance\n")
    again = ActiveLearningCurveDisplay.from_estimator(
        GaussianNB(), X, y, Margin(), **SHORT, scoring="balanced_accuracy"
    )
    assert again.ax_.get_ylabel().startswith("Balanced accuracy\n")


def test_an_unknown_argument_is_refused_before_any_strategy_is_run():
    class Never(Chance):
        def fit(self, X, y):
            raise AssertionError

    X, y = load_iris(return_X_y=True)
    with pytest.raises(TypeError, match="n_round"):
        ActiveLearningCurveDisplay.from_estimator(GaussianNB(), X, y, Never(), n_round=2)
