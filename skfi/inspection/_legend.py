"""Legends that cover no data: in the freest corner of the axes, or below them.

``loc="best"`` gives up where every corner holds data, and covers it. Here the axis is
widened then, as far as its scores can go. What counts is all that is on the axes, whoever
drew it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._plotting import plain_text, room, stretch

CORNERS = ("upper right", "upper left", "lower right", "lower left")
_PAD = 0.03  # of the axes, between legend and data


def add_legend(
    ax: Any,
    title: str | None = None,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    corners: tuple[str, ...] = CORNERS,
    **look: Any,
) -> Any:
    """Legend in the corner with most room, and the room that it still lacks.

    Where the axis cannot give as much, the legend stands below it. Entries that say the
    same are shown once.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with everything drawn.
    title : str, default=None
        Title of the legend, as the user gave it.
    bounds : tuple of two floats
        How far the y-axis may be widened.
    corners : tuple of str
        Corners to try; of equally free ones the first is taken.
    **look
        Passed to `Axes.legend`.

    Returns
    -------
    legend : matplotlib Legend
    """
    look |= {"title": None if title is None else plain_text(title), "alignment": "left"}
    legend = ax.legend(
        *_entries(ax),
        loc=corners[0],
        # Guide lines may cross the legend: they end behind it.
        framealpha=1.0,
        edgecolor="none",
        **look,
    )
    ax.figure.figure.draw_without_rendering()
    box = legend.get_window_extent().transformed(ax.transAxes.inverted())
    # A legend is as far from the edges in one corner as in another.
    side = min(box.x0, 1 - box.x1)
    free = 1 - min(box.y0, 1 - box.y1) - box.height - _PAD
    moving, fixed = _drawn(ax)
    below, above = room(ax, bounds)
    found: list[tuple[float, float, float, int]] = []
    for corner in corners:
        left = 1 - side - box.width if corner.endswith("right") else side
        span = left - _PAD, left + box.width + _PAD
        reach = _reach(moving, corner, *span)
        more = max(reach / free - 1, 0.0) if free > 0.1 else np.inf
        if _reach(fixed, corner, *span) > free:  # no wider axis moves these away
            more = np.inf
        allowed = above if corner.startswith("upper") else below
        lacking = max(more - allowed, 0.0) if np.isfinite(more) else np.inf
        found.append((lacking, more, reach, len(found)))
    lacking, more, _, place = min(found)
    if 0 < lacking < np.inf:
        legend.remove()
        return outside_legend(ax, **look)
    legend.set_loc(corners[place])
    if 0 < more < np.inf:
        stretch(ax, **{"above" if corners[place].startswith("upper") else "below": more})
    return legend


def outside_legend(ax: Any, *, alone: bool = False, beside: tuple = (), **look: Any) -> Any:
    """Legend below the axes, in as many columns as are wide enough, up to three.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with everything drawn.
    alone : bool, default=False
        Whether the axes were made for the picture, and have the figure for themselves.
    beside : tuple of matplotlib Axes, default=()
        Axes that are to stay as high as `ax`: that of its colour bar.
    **look
        Passed to `Axes.legend`.

    Returns
    -------
    legend : matplotlib Legend
    """
    figure = ax.figure
    widest = (figure if alone else ax).bbox
    for ncols in (3, 2, 1):
        told = {"ncols": ncols, "frameon": False, **look}
        if alone:
            legend = figure.legend(*_entries(ax), loc="outside lower center", **told)
        else:
            legend = ax.legend(*_entries(ax), **_below(ax), **told)
        # Not to squeeze the axes while it is measured.
        legend.set_in_layout(False)
        figure.figure.draw_without_rendering()
        if ncols == 1 or legend.get_window_extent().width <= widest.width:
            break
        legend.remove()
    legend.set_in_layout(True)
    if not alone:
        # The legend ends where the labels of the axes would.
        drop = ax.bbox.y0 - _depth(ax) - legend.get_window_extent().y0
        _lift((ax, *beside), drop / figure.bbox.height)
    return legend


def _below(ax: Any) -> dict[str, Any]:
    """Place of a legend below the labels of the axes, however high these become."""
    from matplotlib.transforms import ScaledTranslation

    ax.figure.figure.draw_without_rendering()
    down = ScaledTranslation(0.0, -_depth(ax) / ax.figure.dpi, ax.figure.dpi_scale_trans)
    return {
        "loc": "upper center",
        "bbox_to_anchor": (0.5, 0.0),
        "bbox_transform": ax.transAxes + down,
    }


def _depth(ax: Any) -> float:
    """How far the labels of the x-axis reach below the axes, in pixels."""
    labels = ax.xaxis.get_tightbbox()
    return 0.0 if labels is None else max(ax.bbox.y0 - labels.y0, 0.0)


def _lift(parts: tuple, height: float) -> None:
    """Make room below axes, a share of the figure, where its layout does not."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine, TightLayoutEngine
    from matplotlib.transforms import Bbox

    engine = parts[0].figure.get_layout_engine()
    if isinstance(engine, (ConstrainedLayoutEngine, TightLayoutEngine)):
        return
    for part in parts:
        box = part.get_position(original=True)
        if box.height > 2 * height:
            part.set_position(Bbox.from_extents(box.x0, box.y0 + height, box.x1, box.y1))
            part.set_in_layout(True)


def _entries(ax: Any) -> tuple[list[Any], list[str]]:
    """Handles and labels; of those with the same label the last."""
    entries: dict[str, Any] = {}
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        # What curves share stands behind the last of them.
        entries.pop(label, None)
        entries[label] = handle
    return list(entries.values()), list(entries)


def _drawn(ax: Any) -> tuple[np.ndarray, np.ndarray]:
    """Segments of shape (n, 2, 2) in shares of the axes: what moves with the y-axis, and not.

    Guides from the bottom to the top of the axes are left out.
    """
    moving, fixed = [np.empty((0, 2, 2))], [np.empty((0, 2, 2))]
    for artist in (*ax.lines, *ax.patches, *ax.collections):
        if not artist.get_visible():
            continue
        outlines, joined, follows = _outlines(artist, ax)
        for corners in outlines:
            corners = ax.transAxes.inverted().transform(corners)
            # Each corner alone too: it may have no neighbour.
            segments = np.stack([corners, corners], axis=1)
            if joined:
                sides = np.stack([corners[:-1], corners[1:]], axis=1)
                segments = np.concatenate([segments, sides])
            segments = segments[np.isfinite(segments).all(axis=(1, 2))]
            if follows:
                moving.append(segments)
            elif not joined or np.ptp(corners[:, 1]) < 1 - 1e-6:
                fixed.append(segments)
    return np.concatenate(moving), np.concatenate(fixed)


def _outlines(artist: Any, ax: Any) -> tuple[list[np.ndarray], bool, bool]:
    """Outlines on the canvas, whether they are joined up, and whether they follow y."""
    from matplotlib.collections import Collection
    from matplotlib.patches import Patch

    to = by = artist.get_transform()
    joined = True
    if isinstance(artist, Collection):
        paths, at = artist.get_paths(), artist.get_offset_transform()
        if any(at.contains_branch_seperately(ax.transData)):  # marks, of whatever form
            offsets: Any = artist.get_offsets()
            points = np.ma.filled(offsets.astype(float), np.nan)
            follows = at.contains_branch_seperately(ax.transData)[1]
            return [at.transform(points)], False, follows
    else:
        paths = [artist.get_path()]
        if isinstance(artist, Patch):
            by = artist.get_data_transform()
        else:
            joined = artist.get_linestyle() != "None"
    # Lines are straight between their corners on the canvas, on whatever scale.
    outlines = [
        outline
        for path in paths
        for outline in to.transform_path(path).to_polygons(closed_only=False)
    ]
    return outlines, joined, by.contains_branch_seperately(ax.transData)[1]


def _reach(segments: np.ndarray, corner: str, left: float, right: float) -> float:
    """How far segments between two x reach from the edge opposite to a corner."""
    starts, ends = segments[:, 0], segments[:, 1]
    forwards = (starts[:, 0] <= ends[:, 0])[:, None]
    starts, ends = np.where(forwards, starts, ends), np.where(forwards, ends, starts)
    inside = (ends[:, 0] >= left) & (starts[:, 0] <= right)
    starts, ends = starts[inside], ends[inside]
    width = ends[:, 0] - starts[:, 0]
    width[width == 0] = np.inf  # a vertical one is inside as a whole
    first = np.clip((left - starts[:, 0]) / width, 0, 1)
    last = 1 - np.clip((ends[:, 0] - right) / width, 0, 1)
    rise = ends[:, 1] - starts[:, 1]
    height = np.r_[starts[:, 1] + first * rise, starts[:, 1] + last * rise]
    if not corner.startswith("upper"):
        height = 1 - height
    # What is cut off at the edge cannot be covered.
    return float(np.clip(height, 0, 1).max(initial=0.0))
