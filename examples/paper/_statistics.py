"""Means with their errors, paired comparisons, and when a claim is said to hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

LEVEL = 0.05


@dataclass(frozen=True)
class Paired:
    """A paired difference over seeds.

    Attributes
    ----------
    mean, error : float
        Mean difference and its standard error.
    better, worse, n : int
        Seeds in which the first is ahead, is behind, and all.
    p : float
        One-sided t-test that the first is not ahead.
    """

    mean: float
    error: float
    better: int
    worse: int
    n: int
    p: float

    @property
    def supported(self) -> bool:
        """Whether the first is ahead, and not by chance."""
        return self.mean > 0 and self.p < LEVEL

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ± {self.error:.2f}"


def paired(first, second) -> Paired:
    """Compare two series of paired numbers, one of each a seed."""
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    n = len(difference)
    spread = difference.std(ddof=1) if n > 1 else np.nan
    if n < 2:
        p = 1.0
    elif spread == 0:
        p = 0.0 if difference[0] > 0 else 1.0
    else:
        p = float(ttest_1samp(difference, 0, alternative="greater").pvalue)
    return Paired(
        float(difference.mean()), float(spread / np.sqrt(n)), int((difference > 0).sum()),
        int((difference < 0).sum()), n, p,
    )  # fmt: skip


def compare(
    frame: pd.DataFrame, column: str, by: str, first: str, second: str, over="seed"
) -> Paired:
    """Compare two methods in a long table; seeds are paired.

    Parameters
    ----------
    frame : DataFrame
        One line a method and seed (several lines of a seed are averaged).
    column : str
        The number.
    by : str
        Column that names the method.
    first, second : str
        The methods.
    over : str
        Column of the seeds.
    """
    wide = frame.pivot_table(index=over, columns=by, values=column)
    return paired(wide[first], wide[second])


def spread(values, digits: int = 2) -> str:
    """Mean ± standard error."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return f"{values.mean():.{digits}f}"
    error = values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.{digits}f} ± {error:.{digits}f}"


def verdict(comparisons: Iterable[Paired]) -> str:
    """What several comparisons say of a claim, see the head of the reproduction page."""
    supported = [c.supported for c in comparisons]
    if all(supported):
        return "holds"
    return "holds in part" if any(supported) else "does not hold"
