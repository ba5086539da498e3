"""The curve over the budgets, as an SVG that stands in a page.

matplotlib writes colours into style attributes, which a strict content policy forbids and
a dark page could not change. As attributes of their own, the page's style sheet reaches
them.
"""

from __future__ import annotations

import importlib.util
import io
import re
from threading import Lock
from typing import Any
from xml.etree import ElementTree

from ..inspection._trimming_curve import TrimmingCurveDisplay

_MOST_FOLDS = 10  # lines of single folds that can still be told apart

# matplotlib has one set of settings for all threads.
_drawing = Lock()


def curve_svg(trimmer: Any, score_name: str) -> str | None:
    """The trimming curve; None where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        return None
    import matplotlib.style
    from matplotlib.figure import Figure

    # Text as text, and names of parts that are the same each time.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "skfi", "font.size": 10.5}
    with _drawing, matplotlib.style.context(["default", settings]):
        figure = Figure(figsize=(5.4, 3.7), layout="constrained")
        ax = figure.subplots()
        ax.spines[["top", "right"]].set_visible(False)
        TrimmingCurveDisplay.from_estimator(
            trimmer,
            score_name=score_name,
            name="",
            show_folds=1 < trimmer.n_splits_ <= _MOST_FOLDS,
            ax=ax,
        )
        file = io.StringIO()
        unknown = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=unknown)
    description = (
        f"{score_name} on held-out rows against the rows dropped. The table below has the "
        "numbers."
    )
    return for_page(file.getvalue(), description)


def for_page(svg: str, description: str) -> str:
    """An SVG of matplotlib's without style attributes, name spaces and fixed size."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}style", "}metadata")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        attributes |= _presentation(attributes.pop("style", ""))
        element.attrib.clear()
        element.attrib.update(attributes)
    for part in root.iterfind(".//defs/path"):
        # Marks take their colours from where they are used; style sheets stop short of copies.
        part.attrib.pop("fill", None)
        part.attrib.pop("stroke", None)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-label": description}
    return ElementTree.tostring(root, encoding="unicode")


def _presentation(style: str) -> dict[str, str]:
    """``"fill: none"`` as ``{"fill": "none"}``; the font family is the page's."""
    given = {}
    for part in style.split(";"):
        key, colon, value = part.partition(":")
        key, value = key.strip(), value.strip()
        if key == "font":  # older releases have it all in one
            size = re.search(r"[\d.]+px", value)
            key, value = "font-size", size.group() if size else "10px"
        if colon and key != "font-family":
            given[key] = value
    return given
