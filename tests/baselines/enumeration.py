"""Shapley values as they are defined: every coalition. For tests only."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np


def shapley(n_players, value):
    """Σ over coalitions without i of [v(S + i) - v(S)] / (n C(n-1, |S|))."""
    table = {
        frozenset(part): value(np.array(part, dtype=int))
        for size in range(n_players + 1)
        for part in combinations(range(n_players), size)
    }
    out = np.zeros(n_players)
    for i in range(n_players):
        for part, worth in table.items():
            if i not in part:
                weight = 1 / (n_players * comb(n_players - 1, len(part)))
                out[i] += weight * (table[part | {i}] - worth)
    return out
