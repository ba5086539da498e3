"""Rows in order of their score, and a scale for scores of many decades or both signs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d

from ._plotting import check_option


class RankedRows(NamedTuple):
    """Rows that were scored, highest score first; `n` counts those that were not, too."""

    scores: np.ndarray
    dropped: np.ndarray
    marked: np.ndarray
    n: int


def rank_rows(influence, support, highlight) -> RankedRows:
    """Rows by their score, with masks of those that were dropped and of those to mark."""
    influence, dropped = _check_scores(influence, support)
    marked = _check_highlight(highlight, len(influence))
    # Ties: dropped rows first, so that the rows a budget took are the first ranks.
    order = np.lexsort((~dropped, -influence))[: (~np.isnan(influence)).sum()]
    return RankedRows(influence[order], dropped[order], marked[order], len(influence))


def _check_scores(influence, support):
    """Scores as floats, and which scored rows were dropped."""
    influence = column_or_1d(influence, dtype=float)
    if np.isinf(influence).any():
        raise ValueError("influence holds infinite scores; only finite ones can be drawn.")
    if np.isnan(influence).all():
        raise ValueError("influence holds no scores: it is empty, or every row is NaN.")
    if support is None:
        return influence, np.zeros(len(influence), dtype=bool)
    support = column_or_1d(support)
    check_consistent_length(influence, support)
    if support.dtype != bool:
        raise ValueError(
            f"support must be a mask of the rows that were kept (bool), not {support.dtype}."
        )
    return influence, ~support & ~np.isnan(influence)


def _check_highlight(highlight, n):
    """Rows to mark, as a mask."""
    mask = np.zeros(n, dtype=bool)
    if highlight is None:
        return mask
    highlight = column_or_1d(highlight)
    if highlight.dtype == bool:
        if len(highlight) != n:
            raise ValueError(f"highlight has {len(highlight)} entries for {n} rows.")
        return highlight
    if not len(highlight):
        return mask
    if highlight.dtype.kind not in "iu":
        raise ValueError(
            f"highlight must be a mask (bool) or indices of rows (int), not {highlight.dtype}."
        )
    if highlight.min() < 0 or highlight.max() >= n:
        raise ValueError(f"highlight holds indices outside of 0 to {n - 1}.")
    mask[highlight] = True
    return mask


def choose_scale(scores, scale) -> tuple[str, dict[str, Any]]:
    """Scale of the axis of scores, and where a symlog scale turns linear."""
    size = np.sort(np.abs(scores[scores != 0]))
    if not len(size):
        if scale == "log":
            raise ValueError('scale="log" needs positive scores, and all of them are 0.')
        return "linear", {}
    highest = np.log10(size[-1])
    if (scores > 0).all():
        lowest = np.log10(size[0])
        if scale == "auto":
            scale = "log" if highest - lowest > 1 else "linear"
    else:
        if scale == "log":
            raise ValueError(
                'scale="log" needs positive scores, and some are 0 or negative; use "symlog".'
            )
        # Scores with a sign come arbitrarily close to 0; the nearest tenth are drawn as
        # near 0, on the linear part. Zeros among positive scores hide no others.
        share = 0.1 if (scores < 0).any() else 0.0
        lowest = np.log10(size[int(share * len(size))])
        if scale == "auto":
            scale = "symlog" if highest - lowest >= 2 else "linear"
    if scale != "symlog":
        return scale, {}
    # A power of ten, where a tick is.
    return scale, {"linthresh": 10 ** np.floor(max(lowest, highest - 8))}


def choose_threshold(threshold, scores, dropped) -> float | None:
    """Score where the line is, if there is one, of rows in order of rank."""
    if threshold is None:
        return None
    if isinstance(threshold, str):
        check_option("threshold", threshold, ("auto",))
        return scores[dropped][-1] if is_top(dropped) else None
    threshold = float(threshold)
    if not np.isfinite(threshold):
        raise ValueError(f"threshold={threshold} must be finite.")
    return threshold


def is_top(dropped) -> bool:
    """Whether the dropped rows, in order of rank, are the first."""
    n_dropped = int(dropped.sum())
    return bool(n_dropped and dropped[:n_dropped].all())


def bin_edges(scores, bins, cut) -> np.ndarray:
    """Edges of bins, one of which begins at `cut`, so that no bin holds rows of both sides."""
    edges = np.histogram_bin_edges(scores, bins)
    if cut is None or not scores[-1] < cut <= scores[0]:
        return edges
    width = edges[1] - edges[0]
    before = np.ceil((cut - edges[0]) / width)
    after = np.floor((edges[-1] - cut) / width) + 1
    return cut + width * np.arange(-before, after + 1)
