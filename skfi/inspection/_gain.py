"""How far a budget was ahead on held-out rows: one rule for report and command line."""

from __future__ import annotations

import numpy as np
from scipy.stats import t


def fold_scores(trimmer) -> tuple[list, np.ndarray]:
    """Budgets of a fitted `FITrimmerCV`, and their scores (n_budgets, n_folds)."""
    results = trimmer.cv_results_
    budgets = [params["budget"] for params in results["params"]]
    folds = [results[f"split{k}_test_score"] for k in range(trimmer.n_splits_)]
    return budgets, np.column_stack(folds)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Mean, and its standard error (NaN of one value)."""
    n = len(values)
    error = values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return float(values.mean()), float(error)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean by Student's t; NaN of one value."""
    mean, error = mean_and_error(values)
    # Without any error it is the mean itself.
    reach = error * t.ppf(0.975, len(values) - 1) if error else 0.0
    return mean - reach, mean + reach
