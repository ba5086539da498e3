"""Every page's code runs as it stands, in an empty folder, and prints what it says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.docs.pages import PAGES, blocks, printed
from tests.packaging.installing import STRICT
from tests.packaging.test_with_extras import PAGES as FROM_WHEEL

# What a page needs beside scikit-learn.
NEEDS = {
    "docs/comparison.md": ["cleanlab"],
    "docs/how-to/any-classifier.md": ["pandas"],
    "docs/how-to/choose-budget.md": ["pandas", "matplotlib"],
    "docs/how-to/dask.md": ["dask", "pandas"],
    "docs/how-to/imbalanced-learn.md": ["imblearn"],
    "docs/how-to/report-to-colleagues.md": ["pandas", "jinja2"],
    "docs/how-to/scikit-activeml.md": ["skactiveml"],
    "docs/how-to/skorch.md": ["skorch"],
    "docs/how-to/text.md": ["pandas", "jinja2"],
}
# Pages with a test of their own: one runs commands, and the others are run from an
# installed wheel.
ELSEWHERE = {"docs/command-line.md", *FROM_WHEEL}
WITH_CODE = {
    path.relative_to(ROOT).as_posix(): path
    for path in PAGES
    if blocks(path) and path.relative_to(ROOT).as_posix() not in ELSEWHERE
}


@pytest.mark.parametrize("name", WITH_CODE)
def test_runs(name, tmp_path):
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    code = "\n".join(blocks(WITH_CODE[name]))
    expected = printed(code)
    assert expected, "a page that prints nothing shows nothing"
    assert code.count("\nprint(") + code.startswith("print(") == len(expected)
    result = subprocess.run(
        [sys.executable, *STRICT, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == expected


def test_no_code_that_is_not_run():
    """Indented blocks look like code and are tested by nobody."""
    for path in PAGES:
        text = path.read_text("utf-8")
        assert "\n\n    from " not in text, path
        assert "\n\n    import " not in text, path
