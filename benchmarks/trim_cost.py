"""What trimming costs where people are: tables with text labels, and texts, beside one fit.

    SKFI_DATA=folder python benchmarks/trim_cost.py

Adult and SMS spam come as DataFrames with labels of text and go through Pipelines; cases whose
file is missing are left out by name. Fits and trimmers are timed in turn, and ratios are of
medians. The command fails where a ratio exceeds its limit, or where a function that is neither
a fit, a transform nor a product takes more than 5 % of a trimmer's time.

cleanlab's `CleanLearning` is timed on 20,000 rows of 50 columns without a limit: it fits six
models, and `FITrimmer(budget=0.1)` eleven.
"""

from __future__ import annotations

import argparse
import cProfile
import platform
import pstats
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import partial, wraps
from statistics import median
from unittest.mock import patch

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.datasets import make_classification
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from study_data import FOLDER

import skfi
from skfi import FITrimmer, FITrimmerCV
from skfi.trimming._methods import METHODS

LIMITS = {"adult": 35.0, "sms": 80.0}  # FITrimmer(budget=0.1), in fits of its Pipeline
CV_LIMIT = 1.2  # FITrimmerCV, beside its fits and scores
SHARE = 0.05  # of a trimmer's time, for one function
PREPARING = [
    (LogisticRegression, "fit"),
    *((kind, name) for kind in (ColumnTransformer, TfidfVectorizer)
      for name in ("fit_transform", "transform")),
]  # fmt: skip
PRODUCTS = ("skfi/linear/", "numpy/linalg/", "scipy/sparse/", "scipy.sparse", "scipy/linalg/")


def adult():
    """Census income: numbers and categories, one-hot in the Pipeline."""
    import pandas as pd

    X = pd.read_parquet(FOLDER / "adult.parquet").dropna().drop(columns=["split", "fnlwgt"])
    y = X.pop("income").astype(str)
    categories = make_column_selector(dtype_include="category")
    encoder = OneHotEncoder(handle_unknown="ignore"), categories
    columns = make_column_transformer(encoder, remainder=StandardScaler())
    return make_pipeline(columns, LogisticRegression(max_iter=1000)), X, y


def sms():
    """Short messages, TF-IDF in the Pipeline."""
    import pandas as pd

    frame = pd.read_parquet(FOLDER / "sms_spam.parquet")
    X, y = frame["text"].astype(str), frame["label"].astype(str)
    return make_pipeline(TfidfVectorizer(min_df=2), LogisticRegression()), X, y


@contextmanager
def around(methods, inside: Callable):
    """Replace methods of classes by ``inside(method)``."""
    patches = [patch.object(kind, name, inside(getattr(kind, name))) for kind, name in methods]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def seconds(call, clock) -> float:
    started = clock()
    call()
    return clock() - started


def medians(calls: dict[str, Callable], repeats: int, clock) -> dict[str, float]:
    """Median seconds of each call, all of them in turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(seconds(call, clock))
    return {name: median(values) for name, values in times.items()}


def slow_functions(call) -> list[tuple[float, str]]:
    """Functions beside fits, transforms and products, with their share of the call's time."""
    profile, depth = cProfile.Profile(), [0]

    def unprofiled(method):
        @wraps(method)
        def inner(*args, **kwargs):
            depth[0] += 1
            profile.disable()
            try:
                return method(*args, **kwargs)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    profile.enable()

        return inner

    with around(PREPARING, unprofiled):
        started = time.perf_counter()
        profile.enable()
        call()
        profile.disable()
        total = time.perf_counter() - started
    own: dict[str, float] = {}
    for (file, line, name), (_, _, spent, _, callers) in pstats.Stats(profile).stats.items():
        # What is not Python is its callers'.
        parts = {(file, line, name): spent}
        if file == "~":
            parts = {caller: values[2] for caller, values in callers.items()}
        for (where, at, called), seconds_ in parts.items():
            key = f"{where}:{at}({called})".replace("\\", "/")
            own[key] = own.get(key, 0.0) + seconds_
    shares = [
        (spent / total, where)
        for where, spent in own.items()
        if spent > SHARE * total and not any(part in where for part in PRODUCTS)
    ]
    return sorted(shares, reverse=True)


def beside_fits(name: str, data, repeats: int, clock) -> bool:
    """FITrimmer on a table or texts; whether it is within the limits."""
    model, X, y = data
    X, _, y, _ = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    calls = {
        "fit": lambda: clone(model).fit(X, y),
        "trim": lambda: FITrimmer(model, budget=0.1).fit(X, y),
    }
    times = medians(calls, repeats, clock)
    ratio, slow = times["trim"] / times["fit"], slow_functions(calls["trim"])
    print(
        f"{name}, {len(y):,} rows: a fit {times['fit']:.3f} s, FITrimmer(budget=0.1) "
        f"{ratio:.1f} fits (limit {LIMITS[name]:g})"
    )
    for share, where in slow:
        print(f"  {100 * share:.0f} % of it in {where} (limit {100 * SHARE:.0f} %)")
    return ratio <= LIMITS[name] and not slow


def rows_of(n_classes: int):
    return make_classification(
        20_000, 50, n_informative=20, n_classes=n_classes, flip_y=0.2, random_state=0
    )


def beside_cleanlab(n_classes: int, repeats: int, clock) -> None:
    """FITrimmer and CleanLearning on the same rows."""
    X, y = rows_of(n_classes)
    calls = {
        "fit": lambda: LogisticRegression().fit(X, y),
        "trim": lambda: FITrimmer(LogisticRegression(), budget=0.1).fit(X, y),
    }
    try:
        from cleanlab.classification import CleanLearning
    except ImportError:
        print("left out: cleanlab is not installed")
    else:
        kwargs = {"n_jobs": 1}
        calls["cleanlab"] = lambda: CleanLearning(
            LogisticRegression(), find_label_issues_kwargs=kwargs
        ).fit(X, y)
    times = medians(calls, repeats, clock)
    fits = ", ".join(f"{name} {times[name] / times['fit']:.1f}" for name in calls)
    print(f"20,000 × 50, {n_classes} classes: in fits: {fits}")


def of_cross_validation(clock) -> bool:
    """FITrimmerCV beside the fits and scores within it; whether it is within the limit."""
    X, y = rows_of(2)
    spent: dict[str, list[float]] = {"fits": [], "scores": []}

    def timed(kind: str, function):
        @wraps(function)
        def inner(*args, **kwargs):
            started = clock()
            try:
                return function(*args, **kwargs)
            finally:
                spent[kind].append(clock() - started)

        return inner

    trimmer = FITrimmerCV(LogisticRegression(), budgets=(0, 0.05, 0.1))
    method = METHODS["fi_signed"]
    scored = {"fi_signed": replace(method, function=timed("scores", method.function))}
    with (
        around([(LogisticRegression, "fit")], partial(timed, "fits")),
        patch.dict(METHODS, scored),
    ):
        total = seconds(lambda: trimmer.fit(X, y), clock)
    fits, scores = (sum(times) for times in spent.values())
    ratio = total / (fits + scores)
    print(
        f"FITrimmerCV, 20,000 × 50, 3 budgets: {total:.2f} s, {len(spent['fits'])} fits "
        f"{fits:.2f} and {len(spent['scores'])} scores {scores:.2f} of it: {ratio:.2f} times "
        f"these (limit {CV_LIMIT})"
    )
    return ratio <= CV_LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    args = parser.parse_args()
    clock = time.perf_counter if args.clock == "wall" else time.process_time
    warnings.simplefilter("ignore")  # convergence of the fits is not what is timed
    print(
        f"skfi {skfi.__version__}, scikit-learn {sklearn.__version__}, numpy "
        f"{np.__version__}, {platform.machine()}, medians of {args.repeats}, seed 0"
    )
    within = []
    for load in (adult, sms):
        try:
            data = load()
        except (FileNotFoundError, ImportError) as error:
            print(f"left out: {load.__name__} ({error})")
            continue
        within.append(beside_fits(load.__name__, data, args.repeats, clock))
    for n_classes in (2, 5):
        beside_cleanlab(n_classes, args.repeats, clock)
    within.append(of_cross_validation(clock))
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
