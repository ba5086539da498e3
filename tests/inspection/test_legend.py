"""Legends cover no data: in all corners, on all scales, whatever drew it."""

from __future__ import annotations

import numpy as np
import pytest

from skfi.inspection import InfluenceDisplay
from skfi.inspection._legend import CORNERS, add_legend

from .conftest import legend_texts, overlaps_legend


def corner_of(ax):
    """Corner of the axes where the legend is."""
    ax.figure.figure.draw_without_rendering()
    box = ax.get_legend().get_window_extent().transformed(ax.transAxes.inverted())
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return f"{'upper' if y > 0.5 else 'lower'} {'right' if x > 0.5 else 'left'}"


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("layout", [None, "constrained"])
def test_legend_covers_nothing(plt, scale, layout):
    _, ax = plt.subplots(layout=layout)
    x = np.arange(50.0)
    y = np.full(50, 3.0)
    y[25] = 1.0
    ax.plot(x, y, label="a long name of a line that goes everywhere")
    ax.set_yscale(scale)
    add_legend(ax, "title")
    assert not overlaps_legend(ax, x, y)


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_legend_takes_the_free_corner(plt, corner, scale):
    _, ax = plt.subplots()
    x = np.linspace(0, 1, 20)
    up, left = corner.startswith("upper"), corner.endswith("left")
    # Steps that fill the three other corners.
    near = x < 0.5 if left else x > 0.5
    y = np.where(near, 0.1, 0.95) if up else np.where(near, 0.95, 0.1)
    edge = np.full(20, 0.05 if up else 1.0)
    ax.plot(x, y, label="line")
    ax.plot(x, edge, label="edge")
    ax.set_yscale(scale)
    limits = ax.get_ylim()
    add_legend(ax)
    assert ax.get_ylim() == limits
    assert corner_of(ax) == corner


def test_a_free_corner_is_better_than_a_longer_axis(plt):
    """The upper corners are taken, as by accuracies near 1; the lower right one is free."""
    _, ax = plt.subplots()
    x = np.linspace(0, 1, 20)
    ax.plot(x, np.minimum(0.7 + x, 0.95), label="line")
    ax.plot(x, np.full(20, 0.95), label="edge")
    limits = ax.get_ylim()
    add_legend(ax)
    assert ax.get_ylim() == limits
    assert corner_of(ax) == "lower right"


def full(ax, low=0.0, high=1.0):
    """A line that reaches all corners; x and y of points on it."""
    x = np.linspace(0, 1, 1001)
    y = (high + low) / 2 + (high - low) / 2 * np.sin(200 * x)
    ax.plot(x, y, label="line")
    return x, y


@pytest.mark.parametrize(
    ("bounds", "stretched"),
    [
        ((-np.inf, np.inf), "upper"),
        ((-np.inf, 1.0), "lower"),
        ((0.0, np.inf), "upper"),
    ],
)
def test_the_axis_is_widened_where_it_may(plt, bounds, stretched):
    _, ax = plt.subplots()
    x, y = full(ax)
    ax.margins(y=0)
    add_legend(ax, bounds=bounds)
    low, high = ax.get_ylim()
    np.testing.assert_allclose(*((low, 0) if stretched == "upper" else (high, 1)), atol=1e-4)
    assert high - low > 1.1
    assert corner_of(ax).startswith(stretched)
    assert not overlaps_legend(ax, x, y)


@pytest.mark.parametrize("layout", [None, "constrained"])
@pytest.mark.parametrize("by_the_user", [False, True])
def test_else_the_legend_stands_below(plt, layout, by_the_user):
    _, ax = plt.subplots(layout=layout)
    x, y = full(ax)
    ax.set_xlabel("x")
    if by_the_user:
        ax.set_ylim(-0.1, 1.1)
    else:
        ax.margins(y=0)
    limits = ax.get_ylim()
    add_legend(ax, "title", bounds=(0.0, 1.0))
    assert ax.get_ylim() == limits
    assert not overlaps_legend(ax, x, y)
    box = ax.get_legend().get_window_extent()
    assert box.y1 <= ax.xaxis.get_tightbbox().y0 + 1
    assert box.y0 >= -1
    assert ax.get_legend().get_title().get_text() == "title"


def test_all_that_is_drawn_counts(plt):
    x = np.linspace(0.0, 1.0, 60)
    draw = {
        "upper left": lambda ax: ax.scatter(x[:30], 1 - x[:30] / 9),
        "upper right": lambda ax: ax.fill_between(x[30:], 0.5, 0.9 + x[30:] / 9),
        "lower left": lambda ax: ax.errorbar(x[:30:5], 0.2 + 0 * x[:30:5], 0.2),
        "lower right": lambda ax: ax.stairs(0.5 + 0 * x[30:-1], x[30:], fill=True),
    }
    for free in CORNERS:
        _, ax = plt.subplots()
        ax.plot([0, 1], [0.5, 0.5], label="line")
        ax.plot([0, 0, 1, 1], [0, 1, 0, 1], "")  # the same limits each time
        ax.lines[-1].set_visible(False)
        for corner, artist in draw.items():
            if corner != free:
                artist(ax)
        add_legend(ax)
        assert corner_of(ax) == free


def test_guides_end_behind_the_legend(plt):
    _, ax = plt.subplots()
    ax.plot([0, 1], [0, 1], label="line")
    ax.axvline(0.1)
    ax.axvspan(0.05, 0.3)
    ax.plot([0.9], [0.05], "|", transform=ax.get_xaxis_transform())  # is no guide
    limits = ax.get_ylim()
    add_legend(ax)
    assert ax.get_ylim() == limits
    assert corner_of(ax) == "upper left"


def test_highlighted_rows_are_not_covered(plt):
    """Their ticks stand at the bottom, in a corner that is free otherwise."""
    scores = 1 - np.linspace(0, 1, 400) ** 6
    plain = InfluenceDisplay.from_scores(scores, scale="linear")
    assert corner_of(plain.ax_) == "lower left"
    display = InfluenceDisplay.from_scores(scores, scale="linear", highlight=range(0, 400, 3))
    ax = display.ax_
    ticks = display.highlight_.get_transform().transform(display.highlight_.get_xydata())
    assert not overlaps_legend(ax, *ax.transData.inverted().transform(ticks).T)
    assert not overlaps_legend(ax, *display.line_.get_data())
    assert corner_of(ax) == "upper right"


def test_entries_that_say_the_same_are_shown_once(plt):
    _, ax = plt.subplots()
    for k, label in enumerate(["a", "error", "b", "error"]):
        ax.plot([0, 1], [k, k], label=label)
    add_legend(ax)
    assert legend_texts(ax) == ["a", "b", "error"]


@pytest.mark.parametrize("size", [10, 14])
def test_the_size_is_that_of_other_text(plt, size):
    with plt.rc_context({"font.size": size}):
        _, ax = plt.subplots()
        ax.plot([0, 1], label="line")
        legend = add_legend(ax, "title")
        assert legend.get_texts()[0].get_fontsize() == size
        assert legend.get_title().get_fontsize() == size


def test_legend_in_a_subfigure(plt):
    ax = plt.figure().subfigures(1, 2)[0].subplots()
    display = InfluenceDisplay([3.0, 2.0, 1.0]).plot(ax=ax)
    assert display.figure_ is ax.figure
