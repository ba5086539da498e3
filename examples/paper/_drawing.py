"""Pictures alike in colour, size and file: readable at page width, by the colour-blind too."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's colours; methods have the same one in every picture.
COLOURS = {
    "FI": "#D55E00",
    "FI (default)": "#882255",
    "signed FI": "#CC79A7",
    "IV": "#0072B2",
    "random": "#7F7F7F",
    "loss": "#009E73",
    "margin": "#009E73",
    "BADGE": "#56B4E9",
    "BALD": "#E69F00",
    "Shapley": "#332288",
    "FI-paired": "#332288",
    "IV, expected error": "#56B4E9",
    "self-confidence": "#E69F00",
    "KNN-Shapley": "#332288",
    "no trimming": "#000000",
}
MARKERS = dict(zip(COLOURS, "osDv^PXX>*dD>*_", strict=True))
CLASSES = ("#E69F00", "#56B4E9")


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """A picture as PNG and SVG; the same numbers give the same files."""
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
    pixels = BytesIO()
    figure.savefig(pixels, dpi=120)
    # A third of the size, and nobody sees it: pictures of curves have few colours.
    Image.open(pixels).convert("RGB").quantize(256).save(paths[0], optimize=True)
    plt.close(figure)
    return paths


def curve(ax, x, values, method: str, label: str | None = None) -> None:
    """Mean of (seeds, points) over x, with a band of one standard error."""
    values = np.atleast_2d(values)
    mean = values.mean(axis=0)
    colour = COLOURS[method]
    ax.plot(x, mean, color=colour, marker=MARKERS[method], ms=4, lw=1.6, label=label or method)
    if len(values) > 1:
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        ax.fill_between(x, mean - error, mean + error, color=colour, alpha=0.15, lw=0)


def legend_below(figure: Figure, ax, ncols: int = 6) -> None:
    """One legend for all panels, under them."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(ncols, len(labels)),
        frameon=False,
    )
