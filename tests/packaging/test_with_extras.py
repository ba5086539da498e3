"""The wheel with its extras, in an empty folder: the documents' code, and a command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.pages import blocks, printed
from tests.packaging.installing import told

# Page -> packages that it needs, by name of import.
PAGES = {
    "README.md": ["pandas", "jinja2"],
    "docs/getting-started.md": ["pandas"],
    "docs/guide.md": [],
    "docs/active.md": [],
    "docs/datasets.md": [],
    "docs/networks.md": ["torch", "skorch"],
    "docs/report.md": ["pandas", "jinja2", "matplotlib"],
}


def skip_without(full, packages):
    absent = [package for package in packages if not full.has(package)]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed where the tests run")


def test_it_is_the_wheel_that_runs(full, tmp_path):
    file = full.run("import skfi; print(skfi.__file__)", tmp_path).strip()
    assert Path(file) == full.site / "skfi" / "__init__.py"


@pytest.mark.parametrize("name", PAGES)
def test_page_runs(full, name, tmp_path):
    skip_without(full, PAGES[name])
    code = "\n".join(blocks(ROOT / name))
    expected = printed(code)
    if not code:
        pytest.skip(f"{name} has no code")
    assert expected
    assert full.run(code, tmp_path).splitlines() == expected


def test_command(full, built, tmp_path):
    skip_without(full, ["pandas", "jinja2"])
    assert told(full.skfi, "--version", cwd=tmp_path) == f"skfi {built.version}\n"
    code = """
from sklearn.datasets import load_breast_cancer
load_breast_cancer(as_frame=True).frame.iloc[:200].to_csv("train.csv", index=False)
"""
    full.run(code, tmp_path)
    files = ("--out", "kept.csv", "--report", "page.html")
    told(
        full.skfi,
        "trim",
        "train.csv",
        "--target",
        "target",
        "--budget",
        "10",
        *files,
        cwd=tmp_path,
    )
    assert len((tmp_path / "kept.csv").read_text().splitlines()) == 191
    page = (tmp_path / "page.html").read_text("utf-8")
    assert re.search(rf"skfi\b.*\b{re.escape(built.version)}\b", page)
