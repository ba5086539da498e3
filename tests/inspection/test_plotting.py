"""What all displays rely on: no matplotlib before drawing, safe text, ends of axes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from skfi.inspection import (
    ActiveLearningCurveDisplay,
    InfluenceDisplay,
    QueryDisplay,
    TrimmingCurveDisplay,
)
from skfi.inspection._plotting import count, end_at, plain_text, style


def test_import_loads_no_matplotlib():
    code = "import sys, skfi.inspection; print('matplotlib' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


@pytest.mark.parametrize(
    "draw",
    [
        lambda: InfluenceDisplay([1.0]).plot(),
        lambda: InfluenceDisplay.from_scores([1.0]),
        lambda: InfluenceDisplay.from_estimator(None),
        lambda: TrimmingCurveDisplay([0], [[1.0]]).plot(),
        lambda: TrimmingCurveDisplay.from_cv_results({}),
        lambda: TrimmingCurveDisplay.from_estimator(None),
        lambda: ActiveLearningCurveDisplay([1], {"a": [[1.0]]}).plot(),
        lambda: ActiveLearningCurveDisplay.from_results(None),
        lambda: ActiveLearningCurveDisplay.from_estimator(*4 * [None]),
        lambda: QueryDisplay([[0.0, 1.0]], [0]).plot(),
        lambda: QueryDisplay.from_estimator(None, None),
    ],
)
def test_missing_matplotlib_is_named_first(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Display\.\w+ needs matplotlib"):
        draw()


@pytest.mark.parametrize(
    "display",
    [
        InfluenceDisplay([1.0, 0.5]),
        TrimmingCurveDisplay([0, 1], [[1.0], [0.5]]),
        ActiveLearningCurveDisplay([1, 2], {"a": [[1.0, 0.5]]}),
        QueryDisplay([[0.0, 1.0]], [0]),
    ],
    ids=lambda display: type(display).__name__,
)
def test_axes_of_the_user(plt, display):
    figure, (_, ax) = plt.subplots(1, 2)
    assert display.plot(ax=ax) is display
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("text", ["a $x$ b", "$", "5 $ or 6 $", "_hidden", r"\$x$", "x_1^2"])
def test_text_is_shown_as_it_is(plt, text):
    """The picture is that of the text with mathtext switched off."""
    shown = []
    for label, parse in ((plain_text(text).lstrip(), True), (text, False)):
        fig = plt.figure(figsize=(2, 1))
        fig.text(0.1, 0.4, label, parse_math=parse)
        fig.canvas.draw()
        shown.append(np.asarray(fig.canvas.buffer_rgba()).copy())
    np.testing.assert_array_equal(*shown)


def test_no_label_is_hidden_from_the_legend():
    assert not plain_text("_name").startswith("_")


def test_count():
    assert [count(n) for n in (0, 1, 1234)] == ["0 rows", "1 row", "1,234 rows"]


def test_style_knows_aliases():
    from matplotlib.lines import Line2D

    assert style({"color": "k", "linewidth": 1}, {"c": "r"}, Line2D) == {
        "color": "r",
        "linewidth": 1,
    }
    assert style({"color": "k"}, None, Line2D) == {"color": "k"}


def test_an_axis_ends_where_the_score_does(plt):
    _, ax = plt.subplots()
    ax.plot([0, 1], [0.9, 1.0])
    ax.fill_between([0, 1], [0.8, 0.9], [1.0, 1.1])  # an error may reach beyond
    assert ax.get_ylim()[1] > 1
    end_at(ax, (0.0, 1.0))
    assert ax.get_ylim()[1] == 1
    assert 0.7 < ax.get_ylim()[0] < 0.8
    ax.plot([0, 1], [90, 95])  # not the same score
    ax.autoscale()
    end_at(ax, (0.0, 1.0))
    assert ax.get_ylim()[1] > 95


def test_other_axes_on_the_same_scale_keep_what_they_show(plt):
    _, (left, right) = plt.subplots(1, 2, sharey=True)
    left.plot([0, 1], [90, 95])
    right.plot([0, 1], [0.9, 1.0])
    end_at(right, (0.0, 1.0))
    assert left.get_ylim()[1] > 95


def test_ends_of_the_user_are_kept(plt):
    _, ax = plt.subplots()
    ax.plot([0, 1], [0.9, 1.0])
    ax.set_ylim(0.5, 1.5)
    end_at(ax, (0.0, 1.0))
    assert ax.get_ylim() == (0.5, 1.5)


def ink(ax, colour):
    """How many pixels have a colour."""
    figure = ax.figure
    figure.canvas.draw()
    return (np.asarray(figure.canvas.buffer_rgba())[..., :3] == colour).all(axis=-1).sum()


def test_a_mark_at_the_end_is_drawn_whole(plt):
    _, (inside, at_end) = plt.subplots(1, 2)
    counts = []
    for ax, top in ((inside, 2.0), (at_end, 1.0)):
        ax.plot([0, 1, 2], [0.5, 1.0, 0.5], color=(0, 0, 1), lw=0, marker="s", ms=20, mew=0)
        end_at(ax, (0.0, top))
        ax.figure.draw_without_rendering()
    for ax in (inside, at_end):
        for other in (inside, at_end):
            other.set_visible(other is ax)
        counts.append(ink(ax, (0, 0, 255)))
    assert at_end.get_ylim()[1] == 1
    assert counts[1] == pytest.approx(counts[0], rel=0.08)  # half a mark is a sixth
