"""The package as a whole: imports, the wheel, the README."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile

import pytest

import skfi
from tests.conftest import ROOT


def run(code, cwd=None):
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False
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
        "fi_util",
    ]
    for name in skfi.__all__:
        parts = 1 if name == "ActiveLearningCurve" else 2  # a result has attributes alone
        assert getattr(skfi, name).__doc__.count("----------") >= parts


def test_wheel_holds_the_package_and_its_metadata(tmp_path):
    pytest.importorskip("build.env")
    for part in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        (tmp_path / part).write_bytes((ROOT / part).read_bytes())
    for source in (ROOT / "skfi").rglob("*"):
        if source.is_file() and source.suffix in (
            ".py",
            ".typed",
            ".rst",
            ".css",
            ".js",
            ".jinja",
        ):
            target = tmp_path / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", "dist", "."],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith("METADATA"))
        text = archive.read(metadata).decode()
    for needed in (
        "skfi/py.typed",
        "skfi/kernels/_softmax.py",
        "skfi/bridge/_linear.py",
        "skfi/datasets/descr/adult.rst",
        "skfi/inspection/report/report.js",
    ):
        assert needed in names
    assert not [name for name in names if name.startswith("tests")]
    assert f"Version: {skfi.__version__}" in text
    assert "Provides-Extra: torch" in text
    assert "Requires-Dist: torch" in text
    assert not re.search(r"^Requires-Dist: torch[^;]*$", text, re.M)  # an extra only


def test_readme_runs(tmp_path):
    """Every Python block, in order, in an empty folder; its comments are checked."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.S)
    assert blocks
    code = "\n".join(blocks)
    expected = re.findall(r"^print\(.*\)  # (.+)$", code, re.M)
    assert expected
    assert run(code, cwd=tmp_path).splitlines() == expected


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("networks", "skorch"),
        ("active", "sklearn"),
        ("datasets", "sklearn"),
        ("report", "jinja2"),
    ],
)
def test_pages_run(tmp_path, name, needs):
    pytest.importorskip(needs)
    page = (ROOT / "docs" / f"{name}.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.S))
    expected = re.findall(r"^print\(.*\)  # (.+)$", code, re.M)
    assert expected
    assert run(code, cwd=tmp_path).splitlines() == expected


def test_citation_holds_both_titles():
    text = (ROOT / "CITATION.cff").read_text()
    assert "Enhancing Training Robustness through Influence Measure" in text
    assert "Enhancing Prediction Performance through Influence Measure" in text
