"""The gallery's pages in the order in which they are best read."""

from __future__ import annotations

from pathlib import Path

ORDER = [
    "trim_wrong_labels",
    "choose_budget",
    "read_the_scores",
    "which_to_label",
    "trimmed_digits",
    "random_forest",
    "skorch_net",
    "fi_iv_loss",
    "mahalanobis",
    "learning_curves",
    "query_embedding",
    "cost",
    "definition",
    "toy_trimming",
    "forest_on_ranks",
    "kfsvd",
]


class ReadingOrder:
    """Sorts scripts by `ORDER`; one that is not in it fails the build."""

    def __init__(self, src_dir):
        self.src_dir = src_dir

    def __call__(self, filename):
        return ORDER.index(Path(filename).stem.removeprefix("plot_"))
