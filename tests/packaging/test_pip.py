"""pip alone, from the package index into a clean environment; ``make test-install`` runs it."""

from __future__ import annotations

import json
import os
import sys
import venv
import zipfile

import pytest

from tests.data import ROOT
from tests.packaging.installing import Installed, output

pytestmark = pytest.mark.skipif(
    os.environ.get("SKFI_TEST_INSTALL") != "1",
    reason="takes the package index; SKFI_TEST_INSTALL=1 or make test-install runs it",
)
DRAW = """
from sklearn.linear_model import LogisticRegression
from skfi.inspection import TrimmingCurveDisplay
try:
    TrimmingCurveDisplay([0, 0.1], [[0.8, 0.7], [0.9, 0.8]]).plot()
    print("drawn")
except ImportError as error:
    print(error)
"""


def test_the_build_takes_what_it_declares_and_no_more(built, tmp_path):
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    output(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, built.sdist, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(built.wheel) as expected:
        assert sorted(ours.namelist()) == sorted(expected.namelist())


def test_the_line_of_a_refusal_installs_what_is_missing(built, tmp_path):
    venv.EnvBuilder(symlinks=True, with_pip=True).create(tmp_path / "venv")
    clean = Installed(tmp_path / "venv")
    pip = (clean.python, "-m", "pip", "--disable-pip-version-check")
    pinned = ("--quiet", "--constraint", ROOT / "constraints.txt")
    output(*pip, "install", *pinned, built.wheel, cwd=tmp_path)
    there = {
        package["name"].lower()
        for package in json.loads(output(*pip, "list", "--format", "json", cwd=tmp_path))
    }
    assert {"numpy", "scipy", "scikit-learn", "skfi"} <= there
    assert not there & {"matplotlib", "pandas", "torch", "tqdm", "jinja2"}
    assert output(clean.skfi, "--version", cwd=tmp_path) == f"skfi {built.version}\n"
    assert clean.run(DRAW, tmp_path) == (
        "TrimmingCurveDisplay.plot needs matplotlib, which is not installed: "
        'pip install "skfi[plot]"\n'
    )
    output(*pip, "install", *pinned, f"{built.wheel}[plot]", cwd=tmp_path)
    assert clean.run(DRAW, tmp_path) == "drawn\n"
    output(*pip, "check", cwd=tmp_path)
