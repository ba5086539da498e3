"""What all displays need of matplotlib, which is optional and imported when drawing only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

# Okabe and Ito's colours, told apart by colour-blind readers. Where two of them meet in
# one picture they differ in lightness or in shape too, for prints in grey.
BLUE = "#0072B2"
VERMILION = "#D55E00"
LIGHT_GREY = "#C8C8C8"
GREY = "#8A8A8A"
BLACK = "#000000"


def axes_for(ax: Any) -> Any:
    """The axes to draw on, of a new figure if there are none."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    return ax


def plain_text(text: Any) -> str:
    r"""Text that matplotlib shows as it is: no mathtext between ``$``, never hidden."""
    text = str(text).replace("$", r"\$")
    # Labels with a leading underscore are left out of legends.
    return f" {text}" if text.startswith("_") else text


def style(defaults: dict, chosen: dict | None, artist: type) -> dict:
    """Keyword arguments of an artist; those chosen may be aliases ("lw", "linewidth")."""
    from matplotlib import cbook

    return {**defaults, **cbook.normalize_kwargs(chosen or {}, artist)}


def whole_ticks(axis: Any) -> None:
    """Ticks at whole numbers only, for an axis of rows."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def count(number: int, noun: str = "row") -> str:
    """``1 row``, ``1,234 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class MeanCurve(NamedTuple):
    """Artists of a curve of means; bars and band are None where they are not drawn."""

    line: Any
    errorbar: Any
    fill_between: Any


def draw_mean(
    ax: Any,
    x: np.ndarray,
    scores: np.ndarray,
    display_style: str | None,
    look: dict,
    *,
    band: dict,
    bars: dict,
    line_kw: dict | None,
    fill_between_kw: dict | None,
    errorbar_kw: dict | None,
) -> MeanCurve:
    """A curve of means of scores (n, n_repeats), with one standard error as a band or bars.

    `look` is of the line, `band` of the band, and `bars` what a line with bars has beside;
    the last three are properties that the user chose.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

    mean, n_repeats = scores.mean(axis=1), scores.shape[1]
    error = scores.std(axis=1, ddof=1) / np.sqrt(n_repeats) if n_repeats > 1 else None
    if error is not None and display_style == "errorbar":
        look = {**look, "capsize": 3, **bars}
        errorbar = ax.errorbar(x, mean, error, **style(look, errorbar_kw, Line2D))
        return MeanCurve(errorbar.lines[0], errorbar, None)
    (line,) = ax.plot(x, mean, **style(look, line_kw, Line2D))
    if error is None or display_style is None:
        return MeanCurve(line, None, None)
    band = {"facecolor": line.get_color(), "linewidth": 0, "zorder": 1, **band}
    band = style(band, fill_between_kw, PolyCollection)
    return MeanCurve(line, None, ax.fill_between(x, mean - error, mean + error, **band))


def check_has(trimmer: Any, attributes: tuple[str, ...], remedy: str) -> None:
    """Refuse an estimator that is not fitted, or that has no such attributes once it is."""
    missing = [name for name in attributes if not hasattr(trimmer, name)]
    if missing:
        check_is_fitted(trimmer)
        raise TypeError(f"{type(trimmer).__name__} has no {' and no '.join(missing)}. {remedy}")


def check_option(name: str, value: Any, options: tuple) -> None:
    """Refuse what is none of the options."""
    if value not in options:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, options))}.")


def add_legend(ax: Any, title: str | None = None, **look: Any) -> Any:
    """Matplotlib's legend in its best place; of entries with the same label, the last."""
    entries: dict[str, Any] = {}
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        entries.pop(label, None)  # what curves share comes after the last of them
        entries[label] = handle
    look |= {"title": None if title is None else plain_text(title), "alignment": "left"}
    return ax.legend(
        list(entries.values()), list(entries), loc="best", edgecolor="none", **look
    )


def end_at(ax: Any, bounds: tuple[float, float]) -> None:
    """Let the y-axis end where its scores must, unless something drawn is beyond.

    Limits the user set are kept.
    """
    from matplotlib.transforms import Bbox, TransformedBbox

    # Not bands and caps: an error reaches further than any score can.
    drawn = [
        line.get_ydata()
        for sharing in ax.get_shared_y_axes().get_siblings(ax)
        for line in sharing.lines
        if line.get_linestyle() != "None"
        and line.get_transform().contains_branch_seperately(sharing.transData)[1]
    ]
    if any(_goes_beyond(heights, bounds) for heights in drawn):
        return
    if ax.get_autoscaley_on():
        ends = np.clip(ax.get_ylim(), *bounds)
        below, above = 0.05 * (ends != ax.get_ylim())
        ax.set_ylim(*ends, auto=None)
        # Marks at an end that was cut are drawn whole.
        frame = Bbox.from_extents(0.0, -below, 1.0, 1.0 + above)
        for line in ax.lines:
            if line.get_marker() != "None" and not _goes_beyond(line.get_ydata(), bounds):
                line.set_clip_box(TransformedBbox(frame, ax.transAxes))


def _goes_beyond(heights: Any, bounds: tuple[float, float]) -> bool:
    heights = np.asarray(heights, dtype=float)
    return bool((heights < bounds[0]).any() or (heights > bounds[1]).any())
