"""Shares of the classes before and after trimming, and warnings about them."""

from __future__ import annotations

import warnings

import numpy as np


def class_shares(codes: np.ndarray, weight: np.ndarray, n_classes: int) -> np.ndarray:
    """Share of each class in the weight (K,)."""
    mass = np.bincount(codes, weights=weight, minlength=n_classes)
    return mass / mass.sum()


def warn_if_class_shrank(codes, classes, weight, kept_weight) -> None:
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
    warnings.warn(
        f"Trimming took more than half of class {told}. Either most of its labels are "
        "wrong, or it is rare and right: look at report() before trusting this model, "
        "or lower budget.",
        UserWarning,
        stacklevel=3,
    )


def warn_of_spared(rows: np.ndarray, labels, min_class_size: int) -> None:
    """Warn of rows that the budget reached and that were kept for their class.

    ``labels`` are those of the rows.
    """
    if not len(rows):
        return
    kept = []
    for label in np.unique(labels)[:5]:
        own = np.sort(rows[labels == label])
        listed = ", ".join(map(str, own[:5])) + (", …" if len(own) > 5 else "")
        kept.append(f"{str(label)[:40]} (rows {listed})")
    warnings.warn(
        f"The budget reached the last rows of class {'; '.join(kept)}. They are kept "
        f"(min_class_size={min_class_size}), and the rows with the next highest scores were "
        "dropped instead. Check their labels: correct a mistyped label, or leave the row out.",
        UserWarning,
        stacklevel=3,
    )
