"""Pictures without a window, and none left open."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def plt():
    """matplotlib.pyplot on a backend that needs no screen; tests skip without it."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.close("all")
    yield pyplot
    pyplot.close("all")


def legend_texts(ax):
    """What the legend of the axes says, line by line."""
    return [text.get_text() for text in ax.get_legend().get_texts()]
