"""The package as a whole: what importing it loads, and its public names."""

from __future__ import annotations

import skfi
from tests.running import python

TIMED = """
import sys, time
start = time.perf_counter()
import sklearn.linear_model
loaded, middle = set(sys.modules), time.perf_counter()
import skfi
print((time.perf_counter() - middle) / (middle - start))
print(*{"torch", "skorch", "matplotlib", "pandas", "imblearn"} & set(sys.modules) - loaded)
"""


def test_import_is_quick_and_loads_no_extra():
    """Beside scikit-learn, which skfi imports anyhow; the best of some runs."""
    runs = [python(TIMED).split("\n") for _ in range(3)]
    assert {heavy for _, heavy, _ in runs} == {""}
    assert min(float(ratio) for ratio, *_ in runs) < 0.5
    assert python("import sys, skfi; print('torch' in sys.modules)") == "False\n"


def test_public_names():
    assert sorted(skfi.__all__) == [
        "ActiveLearningCurve",
        "FIActiveSampler",
        "FIEmbedding",
        "FITrimmer",
        "FITrimmerCV",
        "GeneralizedCrossEntropy",
        "Quantile",
        "TrimmedMean",
        "active_learning_curve",
        "fi_active",
        "fi_pairwise",
        "fi_signed",
        "fi_util",
    ]
    for name in skfi.__all__:
        parts = 1 if name == "ActiveLearningCurve" else 2  # a result has attributes alone
        assert getattr(skfi, name).__doc__.count("----------") >= parts
