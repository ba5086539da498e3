"""What both displays need of matplotlib: axes, safe text, room for the legend.

matplotlib is an optional dependency, so nothing here imports it before it draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

# Okabe and Ito's colours, told apart by colour-blind readers. Where two of them meet in
# one picture they differ in lightness or in shape too, for prints in grey.
BLUE = "#0072B2"
VERMILLION = "#D55E00"
LIGHT_GREY = "#C8C8C8"
GREY = "#8A8A8A"
BLACK = "#000000"


def axes_for(ax: Any, caller: str) -> Any:
    """The axes to draw on: those given, or those of a new figure."""
    check_matplotlib_support(caller)
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    return ax


def plain_text(text: Any) -> str:
    r"""Text that matplotlib shows as it is: no mathtext between ``$``, never hidden."""
    text = str(text).replace("$", r"\$")
    # Labels with a leading underscore are left out of legends.
    return f" {text}" if text.startswith("_") else text


def style(defaults: dict, given: dict | None, artist: type) -> dict:
    """Keyword arguments of an artist, by whichever alias ("lw", "linewidth") given."""
    from matplotlib import cbook

    return {**defaults, **cbook.normalize_kwargs(given or {}, artist)}


def count(number: int, noun: str = "row") -> str:
    """``1 row``, ``1,234 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def stretch(ax: Any, *, below: float = 0.0, above: float = 0.0) -> None:
    """Widen the y-axis by shares of its present length, on whatever scale it has.

    Limits the user set are kept.
    """
    if not ax.get_autoscaley_on():
        return
    transform = ax.yaxis.get_transform()
    low, high = transform.transform(np.asarray(ax.get_ylim(), dtype=float))
    length = high - low
    limits = np.array([low - below * length, high + above * length])
    ax.set_ylim(*transform.inverted().transform(limits), auto=None)


def add_legend(ax: Any, outline: tuple[np.ndarray, np.ndarray], title: str | None) -> Any:
    """Legend in the upper corner with more room, and the room that it still lacks.

    ``loc="best"`` gives up where every corner holds data, and covers it.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with everything drawn.
    outline : tuple of two ndarrays of shape (n,)
        x and y of the line below which all data lie, from left to right.
    title : str or None
        Title of the legend, as the user gave it.

    Returns
    -------
    legend : matplotlib Legend
    """
    pad = 0.03
    crossing = {}
    for loc in ("upper right", "upper left"):
        legend = ax.legend(
            loc=loc,
            title=None if title is None else plain_text(title),
            fontsize="small",
            title_fontsize="small",
            alignment="left",
            # Guide lines may cross the legend: they end behind it.
            framealpha=1.0,
            edgecolor="none",
        )
        ax.figure.figure.draw_without_rendering()
        box = legend.get_window_extent().transformed(ax.transAxes.inverted())
        points = np.column_stack(outline).astype(float)
        points = ax.transAxes.inverted().transform(ax.transData.transform(points))
        between = np.linspace(box.x0 - pad, box.x1 + pad, 100)
        # Lines are straight between their points here, on whatever scale.
        height = np.interp(between, points[:, 0], points[:, 1], left=0.0, right=0.0)
        within = (points[:, 0] >= between[0]) & (points[:, 0] <= between[-1])
        highest = max(height.max(), points[within, 1].max(initial=0.0))
        crossing[loc] = highest, box.y0 - pad
    loc = min(crossing, key=lambda corner: crossing[corner][0] - crossing[corner][1])
    highest, bottom = crossing[loc]
    if highest > bottom > 0.1:
        stretch(ax, above=highest / bottom - 1)
    legend.set_loc(loc)
    return legend
