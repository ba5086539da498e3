"""The wheel with what it declares and no extra: it works, and says what it lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import skfi
from skfi._utils._extras import EXTRAS
from tests.docs.pages import blocks, printed
from tests.packaging.installing import environment

PREPARED = """
from pathlib import Path
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from skfi import FIActiveSampler, FITrimmer, active_learning_curve, fi_util
from skfi.baselines import self_confidence, tmc_shapley
from skfi.bridge import SkorchClassifier, TorchClassifier
from skfi.inspection import *
from skfi.queries import Random

X, y = make_classification(60, random_state=0)
logistic = LogisticRegression().fit(X, y)
mlp = MLPClassifier((2,), solver="lbfgs", tol=1.0, max_iter=500, random_state=0).fit(X, y)
module = TorchClassifier(None, None, classes=[0, 1])
trimmer = FITrimmer(logistic, budget=3, random_state=0).fit(X, y)
sampler = FIActiveSampler(logistic, random_state=0).fit(X[:20], y[:20])
curve = active_learning_curve(logistic, X, y, [Random()], n_rounds=1, n_repeats=1)
"""
# What is tried, who needs, what it needs, and the extra that brings it.
TORCH, PLOT, PANDAS = ("torch", "torch"), ("matplotlib", "plot"), ("pandas", "pandas")
REFUSED = [
    ("trimmer.report()", "report()", *PANDAS),
    ("trimmer.to_html()", "to_html()", "jinja2", "report"),
    ("curve.to_frame()", "ActiveLearningCurve.to_frame", *PANDAS),
    *(
        (f"{display}.{call}", f"{display}.{call.partition('(')[0]}", *PLOT)
        for display, call in [
            ("InfluenceDisplay", "from_estimator(trimmer)"),
            ("InfluenceDisplay", "from_scores([0, 1])"),
            ("TrimmingCurveDisplay", "from_estimator(trimmer)"),
            ("TrimmingCurveDisplay", "from_cv_results({})"),
            ("ActiveLearningCurveDisplay", "from_estimator(logistic, X, y, [Random()])"),
            ("ActiveLearningCurveDisplay", "from_results(curve)"),
            ("QueryDisplay", "from_estimator(sampler, X)"),
        ]
    ),
    ("TrimmingCurveDisplay([0], [[1.0]]).plot()", "TrimmingCurveDisplay.plot", *PLOT),
    (
        "fi_util(mlp, X, y, X, y, params='all')",
        *("Reading more than the last layer of an MLPClassifier", *TORCH),
    ),
    ("fi_util(module, X, y, X, y)", "Reading a TorchClassifier", *TORCH),
    ("module.predict(X)", "TorchClassifier", *TORCH),
    ("SkorchClassifier(None).fit(X, y)", "SkorchClassifier", "skorch", "torch"),
    (
        "import skfi.integrations.skactiveml",
        *("skfi.integrations.skactiveml", "scikit-activeml 1.0 or newer", "activeml"),
    ),
]
# What an extra only adds to.
WORKS = [
    "FITrimmer(logistic, budget=3, step=1, random_state=0, verbose=1).fit(X, y)",
    "tmc_shapley(logistic, X[:9], y[:9], X, y, verbose=1, tolerance=0, max_permutations=2)",
    "self_confidence(logistic, X, y)",
    "fi_util(mlp, X, y, X, y)",
]
TRY_ALL = """
import json, sys
prepared, texts = json.load(sys.stdin)
sys.stdout = sys.stderr  # of what is verbose
exec(prepared)
said = {}
for text in texts:
    try:
        exec(text)
        said[text] = None
    except Exception as error:
        said[text] = [type(error).__name__, str(error)]
print(json.dumps(said), file=sys.__stdout__, flush=True)
"""
BLOCK_BY_BLOCK = """
import contextlib, io, json, sys
blocks, names = json.load(sys.stdin), {}
said = []
for block in blocks:
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(block, names)
    except ImportError as error:
        said.append([None, str(error)])
        break
    said.append([out.getvalue().splitlines(), None])
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(plain, tmp_path_factory):
    """Code -> what it raised, in the environment without extras."""
    texts = [PREPARED, [text for text, *_ in REFUSED] + WORKS]
    return json.loads(plain.run(TRY_ALL, tmp_path_factory.mktemp("empty"), json.dumps(texts)))


def test_no_extra_is_there(plain):
    assert plain.has("numpy")
    assert plain.has("sklearn")
    assert not [package for package in EXTRAS if plain.has(package)]
    assert not plain.has("tqdm")


def test_it_is_the_wheel_that_runs(plain, built, tmp_path):
    code = "import skfi; print(skfi.__file__); print(skfi.__version__)"
    file, version = plain.run(code, tmp_path).splitlines()
    assert Path(file) == plain.site / "skfi" / "__init__.py"
    assert version == built.version


def test_public_modules_import(plain, tmp_path):
    code = """
import importlib, pkgutil, skfi
for module in pkgutil.walk_packages(skfi.__path__, "skfi."):
    needy = {"skfi.integrations.skactiveml", "skfi.integrations.dask"}
    if "._" not in module.name and module.name not in needy:
        importlib.import_module(module.name)
        print(module.name)
"""
    names = plain.run(code, tmp_path).split()
    assert {"skfi.influence", "skfi.bridge", "skfi.datasets", "skfi.inspection"} <= set(names)


@pytest.mark.parametrize(("text", "user", "needed", "extra"), REFUSED)
def test_what_is_missing_is_named_with_the_line_that_installs_it(
    said, text, user, needed, extra
):
    line = f'{user} needs {needed}, which is not installed: pip install "skfi[{extra}]"'
    kind, message = said[text]
    assert kind == "ImportError"
    assert message == line or message.startswith(f"{line}. ")


@pytest.mark.parametrize("text", WORKS)
def test_what_an_extra_only_adds_to_works(said, text):
    assert said[text] is None


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["trim", "a.csv", "--target", "y"], "pandas"),
        (["trim", "a.csv", "--target", "y", "--report", "a.html"], "jinja2"),
        (["query", "a.csv", "b.csv", "--target", "y", "-n", "1"], "pandas"),
    ],
)
def test_commands(plain, tmp_path, arguments, needed):
    (tmp_path / "a.csv").write_text("a,y\n1,0\n2,1\n")
    done = subprocess.run(
        [str(plain.skfi), *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"skfi: error: The command line needs {needed}, which is not installed: "
        'pip install "skfi[cli]"\n'
    )


def test_readme_runs_until_it_needs_an_extra(plain, tmp_path):
    texts = blocks("README.md")
    outcomes = json.loads(plain.run(BLOCK_BY_BLOCK, tmp_path, json.dumps(texts)))
    ran = [lines for lines, error in outcomes if error is None]
    assert len(ran) >= 2
    assert ran == [printed(text) for text in texts[: len(ran)]]
    if len(ran) < len(texts):
        assert 'pip install "skfi[' in outcomes[-1][1]


def test_type_checkers_see_the_types(plain, tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "use.py").write_text(
        "from skfi import FITrimmer, fi_util\n"
        "reveal_type(fi_util)\n"
        "reveal_type(FITrimmer(budget=3))\n"
        "FITrimmer(buget=3)\n"
    )
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nfollow_imports = silent\nignore_missing_imports = True\n"
        "[mypy-numpy.*,scipy.*,sklearn.*,joblib.*,threadpoolctl.*]\nfollow_imports = skip\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", str(plain.python), "use.py"],
        cwd=tmp_path,
        env=os.environ | {"MYPY_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert 'Revealed type is "skfi.trimming._trimmer.FITrimmer"' in lines[1]
    assert 'Unexpected keyword argument "buget"' in lines[2]
    assert "def (estimator: " in lines[0]


def test_this_interpreter_is_another(plain):
    """Or what is tested here would be the tree's package."""
    assert Path(skfi.__file__).parent != plain.site / "skfi"
