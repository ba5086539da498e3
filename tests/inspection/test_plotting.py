"""What both displays rely on: no matplotlib before drawing, safe text, free legends."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from skfi.inspection import InfluenceDisplay, TrimmingCurveDisplay
from skfi.inspection._plotting import add_legend, count, plain_text, stretch, style

from .conftest import overlaps_legend


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
    ],
)
def test_missing_matplotlib_is_named_first(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Display\.\w+ requires matplotlib"):
        draw()


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


@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
def test_stretch_on_any_scale(plt, scale):
    _, ax = plt.subplots()
    ax.plot([1, 2], [0.01, 10])
    ax.set_yscale(scale)
    transform = ax.yaxis.get_transform()
    low, high = transform.transform(np.array(ax.get_ylim()))
    stretch(ax, below=0.1, above=0.5)
    expected = low - 0.1 * (high - low), high + 0.5 * (high - low)
    np.testing.assert_allclose(transform.transform(np.array(ax.get_ylim())), expected)


def test_limits_of_the_user_are_kept(plt):
    _, ax = plt.subplots()
    ax.set_ylim(0, 1)
    stretch(ax, above=1)
    assert ax.get_ylim() == (0, 1)


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("layout", [None, "constrained"])
def test_legend_covers_nothing(plt, scale, layout):
    _, ax = plt.subplots(layout=layout)
    x = np.arange(50.0)
    y = np.full(50, 3.0)
    y[25] = 1.0
    ax.plot(x, y, label="a long name of a line that goes everywhere")
    ax.set_yscale(scale)
    add_legend(ax, (x, y), "title")
    assert not overlaps_legend(ax, x, y)


def test_legend_takes_the_free_corner(plt):
    _, ax = plt.subplots()
    x = np.linspace(0, 1, 20)
    ax.plot(x, x, label="line")
    limits = ax.get_ylim()
    add_legend(ax, (x, x), None)
    assert ax.get_ylim() == limits
    assert not overlaps_legend(ax, x, x)


def test_legend_in_a_subfigure(plt):
    ax = plt.figure().subfigures(1, 2)[0].subplots()
    display = InfluenceDisplay([3.0, 2.0, 1.0]).plot(ax=ax)
    assert display.figure_ is ax.figure
