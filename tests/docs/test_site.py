"""The site's parts that a build with warnings as errors does not see."""

from __future__ import annotations

import re
import sys

import pytest

from tests.conftest import ROOT

DOCS = ROOT / "docs"


def test_every_public_name_is_on_an_api_page():
    pytest.importorskip("numpydoc")
    from tests.test_docstrings import public_names

    listed = set()
    for page in (DOCS / "api").glob("*.rst"):
        for part in page.read_text("utf-8").split(".. currentmodule:: ")[1:]:
            module, _, rest = part.partition("\n")
            names = rest.split(":nosignatures:")[1]
            listed |= {f"{module}.{n}" for n in re.findall(r"^   (\w+)$", names, re.M)}
    objects = {id(found): name for name, found in public_names().items()}
    assert {name.rpartition(".")[2] for name in objects.values()} == {
        name.rpartition(".")[2] for name in listed
    }


@pytest.fixture
def repository_links(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import repository_links

    yield repository_links
    sys.modules.pop("repository_links")


@pytest.mark.parametrize(
    ("text", "from_root", "expected"),
    [
        ("[a](../benchmarks/query_study.md)", False, "[a](/studies/queries.md)"),
        ("[a](../../README.md#which-rows)", False, "[a](/results.md#which-rows)"),
        ("[a](docs/guide.md#cost)", True, "[a](/guide.md#cost)"),
        ("[a](benchmarks/trimming_study.md)", True, "[a](/studies/trimming.md)"),
        ("[a](guide.md#cost)", False, "[a](guide.md#cost)"),
        ("![a](images/x.png)", False, "![a](images/x.png)"),
        ('## <a name="table1"></a>Table', False, "(table1)=\n## Table"),
        ("the [results](reproduction/results) are", False, "the results are"),
    ],
)
def test_links(repository_links, text, from_root, expected):
    assert repository_links.rewrite(text, from_root) == expected


def test_pages_that_links_are_turned_to_are_there(repository_links):
    for source, page in repository_links.PAGES.items():
        assert (ROOT / source).is_file()
        assert (DOCS / page).is_file()
