"""Draw the picture of the README: the first one of the gallery's script on wrong labels.

python docs/_ext/draw_boundary.py
"""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parents[1]
SCRIPT = DOCS.parent / "examples" / "gallery" / "quick_start" / "plot_trim_wrong_labels.py"
PICTURE = DOCS / "images" / "boundary.png"


def main() -> None:
    plt.show = lambda: plt.gcf().savefig(PICTURE, dpi=110)
    runpy.run_path(str(SCRIPT))


if __name__ == "__main__":
    main()
