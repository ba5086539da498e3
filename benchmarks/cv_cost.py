"""What FITrimmerCV costs over 20 budgets: against refits it cannot avoid, and a grid search.

    python benchmarks/cv_cost.py

The floor is a refit for each fold and budget, and one path of scores for each fit; the grid
search fits FITrimmer for each fold and budget. All are timed in turn in one process, and the
ratios are of the medians.
"""

from __future__ import annotations

import argparse
import platform
from statistics import median
from time import perf_counter

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

import skfi
from skfi import FITrimmer, FITrimmerCV

FOLDS = 5
BUDGETS = tuple(np.round(np.arange(20) * 0.02, 2).tolist())  # 0 to 38 %


def floor(one: FITrimmer, X, y) -> None:
    """The refits of every fold and budget, and a path of scores for each fold and the fit."""
    for train, test in [*StratifiedKFold(FOLDS).split(X, y), (np.arange(len(y)), None)]:
        longest = clone(one).set_params(budget=BUDGETS[-1])
        path = longest.fit(X[train], y[train])  # a path, and one of the refits
        order = path.trimmed_indices_
        budgets = BUDGETS[:-1] if test is not None else ()
        for budget in budgets:
            kept = np.delete(train, order[: int(budget * len(train) + 1e-9)])
            clone(one.estimator).fit(X[kept], y[kept]).score(X[test], y[test])
        if test is not None:
            path.estimator_.score(X[test], y[test])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--columns", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    X, y = make_classification(
        args.rows, args.columns, n_informative=20, flip_y=0.2, random_state=0
    )
    classifier = LogisticRegression()
    print(
        f"{args.rows} × {args.columns}, {FOLDS} folds, {len(BUDGETS)} budgets; skfi "
        f"{skfi.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}, "
        f"{platform.machine()}, medians of {args.repeats}, seed 0"
    )
    for step in (0.02, 0.05, None):
        one = FITrimmer(classifier, step=step, validation=0.2, random_state=0)
        ours = FITrimmerCV(
            classifier, budgets=BUDGETS, cv=FOLDS, step=step, validation=0.2, random_state=0
        )
        grid = GridSearchCV(one, {"budget": BUDGETS}, cv=FOLDS)
        times: dict[str, list[float]] = {"ours": [], "floor": [], "grid": []}
        for _ in range(args.repeats):
            started = perf_counter()
            ours.fit(X, y)
            times["ours"].append(perf_counter() - started)
            started = perf_counter()
            floor(one, X, y)
            times["floor"].append(perf_counter() - started)
            started = perf_counter()
            grid.fit(X, y)
            times["grid"].append(perf_counter() - started)
        same = np.array_equal(
            ours.cv_results_["mean_test_score"], grid.cv_results_["mean_test_score"]
        )
        mine = median(times["ours"])
        print(
            f"step={step}: FITrimmerCV / floor {mine / median(times['floor']):.2f}, "
            f"grid search / FITrimmerCV {median(times['grid']) / mine:.1f}, "
            f"same scores: {same}"
        )


if __name__ == "__main__":
    main()
