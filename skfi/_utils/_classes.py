"""Shares of the classes before and after trimming, and warnings about them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._user_warnings import warn_user


def class_shares(codes: np.ndarray, weight: np.ndarray, n_classes: int) -> np.ndarray:
    """Share of each class in the weight (K,)."""
    mass = np.bincount(codes, weights=weight, minlength=n_classes)
    return mass / mass.sum()


def warn_if_class_shrank(
    codes: np.ndarray, classes: Any, weight: np.ndarray, kept_weight: np.ndarray
) -> None:
    """Warn where trimming took most of a class."""
    n_classes = len(classes)
    before = np.bincount(codes, weights=weight, minlength=n_classes)
    after = np.bincount(codes, weights=kept_weight, minlength=n_classes)
    shrunk = np.flatnonzero(after < 0.5 * before)
    if not len(shrunk):
        return
    told = ", ".join(
        f"{str(classes[k])[:40]} ({before[k]:g} to {after[k]:g}, from "
        f"{before[k] / before.sum():.1%} to {after[k] / after.sum():.1%} of the rows)"
        for k in shrunk[:5]
    )
    warn_user(
        f"Trimming took more than half of class {told}. Either most of its labels are "
        "wrong, or it is rare and right: look at report() before trusting this model, "
        "or lower budget.",
    )


class SparedRows(UserWarning):
    """The budget reached rows that were kept for their class."""

    def __init__(self, rows: np.ndarray, labels: Any, min_class_size: int) -> None:
        self.rows, self.labels = rows, labels
        kept = f"They are kept (min_class_size={min_class_size})"
        super().__init__(self.text(0, kept))

    def text(self, first: int = 1, kept: str = "They are kept") -> str:
        """The message, with rows counted from ``first``."""
        classes = []
        for label in np.unique(self.labels)[:5]:
            own = np.sort(self.rows[self.labels == label]) + first
            listed = ", ".join(map(str, own[:5])) + (", …" if len(own) > 5 else "")
            classes.append(f"{str(label)[:40]} (row{'s' * (len(own) > 1)} {listed})")
        return (
            f"The budget reached the last rows of class {'; '.join(classes)}. {kept}, and the "
            "rows with the next highest scores were dropped instead. Check their labels: "
            "correct a mistyped label, or leave the row out."
        )


def warn_of_spared(rows: np.ndarray, labels: Any, min_class_size: int) -> None:
    """Warn of rows that the budget reached and that were kept for their class.

    ``labels`` are those of the rows.
    """
    if len(rows):
        warn_user(SparedRows(rows, labels, min_class_size))
