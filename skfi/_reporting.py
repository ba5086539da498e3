"""What a user asks afterwards: which rows went, what they looked like, what it changed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from ._path import RemovalPath
from ._rows import encode_labels


def ranking(path: RemovalPath, support: np.ndarray) -> np.ndarray:
    """1 for the row that goes first; kept rows follow by their last score (n,).

    Rows that were not scored share the last rank.
    """
    influence = path.influence
    gone = path.order((~support).astype(float))
    left = np.flatnonzero(support & ~np.isnan(influence))
    left = left[np.argsort(-influence[left], kind="stable")]
    order = np.concatenate([gone, left])
    rank = np.full(len(influence), len(order) + 1)
    rank[order] = np.arange(1, len(order) + 1)
    return rank


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


def describe_rows(estimator, X, y, rows: np.ndarray) -> dict[str, np.ndarray]:
    """How the final classifier sees the rows it was not trained on."""
    # A list has an `index` as well.
    index = X.index.to_numpy()[rows] if hasattr(X, "iloc") else rows
    predicted = np.empty(0, dtype=np.asarray(y).dtype)
    nothing = np.full(len(rows), np.nan)
    probability, loss = nothing, nothing.copy()
    if len(rows):
        X_rows = _safe_indexing(X, rows)
        predicted = np.asarray(estimator.predict(X_rows))
        if hasattr(estimator, "predict_proba"):
            proba = np.asarray(estimator.predict_proba(X_rows))
            probability = proba.max(axis=1)
            codes = encode_labels(np.asarray(y)[rows], np.asarray(estimator.classes_), "y")
            given = proba[np.arange(len(rows)), codes]
            loss = -np.log(np.maximum(given, np.finfo(np.float64).tiny))
    return {
        "index": index,
        "given_label": np.asarray(y)[rows],
        "predicted_label": predicted,
        "predicted_probability": probability,
        "loss": loss,
    }


def report_frame(facts: dict[str, Any], rows: np.ndarray, influence, gain):
    """The facts of the trimmed rows as a DataFrame, first to go first."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "report() returns a pandas DataFrame; install pandas (or skfi[pandas]). "
            "trimmed_indices_ and influence_ hold the rows and scores without it."
        ) from error
    agrees = (
        pd.array([pd.NA] * len(rows), dtype="boolean")
        if gain is None
        else pd.array(gain[rows] > 0, dtype="boolean")
    )
    columns = {
        "row": rows,
        "influence": influence[rows],
        **{key: value for key, value in facts.items() if key != "index"},
        "removal_lowers_validation_loss": agrees,
    }
    return pd.DataFrame(columns, index=pd.Index(facts["index"]))
