"""The package as a whole: what importing it loads, and its public names."""

from __future__ import annotations

import subprocess
import sys

import skfi


def run(code):
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_import_loads_no_torch():
    heavy = "{'torch', 'skorch', 'matplotlib', 'pandas', 'imblearn'}"
    before = "import sys, sklearn.linear_model; before = set(sys.modules); import skfi; "
    assert run(before + f"print({heavy} & set(sys.modules) - before)") == "set()"
    assert run("import sys, skfi; print('torch' in sys.modules)") == "False"


def test_import_takes_little_longer_than_scikit_learn():
    code = (
        "import time; import sklearn.linear_model; start = time.perf_counter(); "
        "import skfi; print(time.perf_counter() - start)"
    )
    baseline = (
        "import time; start = time.perf_counter(); import sklearn.linear_model; "
        "print(time.perf_counter() - start)"
    )
    extra = min(float(run(code)) for _ in range(3))
    assert extra < 0.5 * min(float(run(baseline)) for _ in range(3))


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
