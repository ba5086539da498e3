"""Every page's code runs as it is written, in an empty folder, and prints what it says."""

from __future__ import annotations

import sys

import pytest

from tests.docs.pages import FROM_WHEEL, PAGES, blocks, check
from tests.running import STRICT, Forks

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
# Pages with a test of their own: one runs commands, and tests/packaging runs the others.
ELSEWHERE = {"docs/command-line.md", *FROM_WHEEL}


@pytest.fixture(scope="module")
def forks():
    forks = Forks(sys.executable, *STRICT)
    yield forks
    forks.close()


@pytest.mark.parametrize(
    "name", [name for name in PAGES if blocks(name) and name not in ELSEWHERE]
)
def test_runs(name, tmp_path, forks):
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    check(name, forks.run, tmp_path)


@pytest.mark.parametrize("name", PAGES)
def test_no_code_that_is_not_run(name):
    """Indented blocks look like code, and no test runs them."""
    assert "\n\n    from " not in PAGES[name]
    assert "\n\n    import " not in PAGES[name]
