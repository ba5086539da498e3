"""The wheel with its extras, in an empty folder: the documents' code, and a command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import FROM_WHEEL, check
from tests.packaging.installing import output


def skip_without(full, packages):
    absent = [package for package in packages if not full.has(package)]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed where the tests run")


def test_it_is_the_wheel_that_runs(full, tmp_path):
    file = full.run("import skfi; print(skfi.__file__)", tmp_path).strip()
    assert Path(file) == full.site / "skfi" / "__init__.py"


@pytest.mark.parametrize("name", FROM_WHEEL)
def test_page_runs(full, name, tmp_path):
    skip_without(full, FROM_WHEEL[name])
    check(name, full.run, tmp_path)


def test_command(full, built, tmp_path):
    skip_without(full, ["pandas", "jinja2"])
    assert output(full.skfi, "--version", cwd=tmp_path) == f"skfi {built.version}\n"
    code = """
from sklearn.datasets import load_breast_cancer
load_breast_cancer(as_frame=True).frame.iloc[:200].to_csv("train.csv", index=False)
"""
    full.run(code, tmp_path)
    options = ("--target", "target", "--budget", "10", "--out", "kept.csv")
    output(full.skfi, "trim", "train.csv", *options, "--report", "page.html", cwd=tmp_path)
    assert len((tmp_path / "kept.csv").read_text().splitlines()) == 191
    page = (tmp_path / "page.html").read_text("utf-8")
    assert re.search(rf"skfi\b.*\b{re.escape(built.version)}\b", page)
