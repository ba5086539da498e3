"""The site's parts that a build with warnings as errors does not see."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.data import ROOT

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


@pytest.fixture
def broken_links(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import check_links

    yield check_links.broken_links
    sys.modules.pop("check_links")


@pytest.fixture
def site(tmp_path):
    """A page with one working link of each kind, one below it, and a file beside them."""
    (tmp_path / "below").mkdir()
    (tmp_path / "pages.css").write_text("")
    (tmp_path / "a picture.png").write_bytes(b"")
    (tmp_path / "below" / "page.html").write_text(
        '<h1 id="caf\u00e9">Page</h1><a name="old"></a><a href="../index.html">up</a>'
        '<a href="../index.html#">up</a>',
        "utf-8",
    )
    (tmp_path / "index.html").write_text(
        '<link href="pages.css?v=1"><a href="#top">top</a><a href="#here">here</a>'
        '<p id="here"><a href="below/page.html">page</a><a href="below/page.html#old">old</a>'
        '<a href="below/page.html#caf%C3%A9">place</a><img src="a%20picture.png"'
        ' srcset="a%20picture.png, a%20picture.png 2x"><a href="https://none.invalid/x">out</a>'
        '<a href="mailto:a@none.invalid">post</a><img src="data:image/png;base64,"></p>',
        "utf-8",
    )
    return tmp_path


def test_links_that_work_are_not_reported(broken_links, site):
    assert broken_links(site, [site / "index.html", site / "below" / "page.html"]) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<a href="gone.html">x</a>', "gone.html is no file"),
        ('<a href="below">x</a>', "below is no file"),
        ('<a href="#there">x</a>', "#there names no place in the page"),
        ('<a href="below/page.html#here">x</a>', "below/page.html#here names no place"),
        ('<img src="gone.png">', "gone.png is no file"),
        ('<img srcset="a%20picture.png, gone.png 2x">', "gone.png is no file"),
        ('<a href="../outside.html">x</a>', "../outside.html is not in the site"),
    ],
)
def test_broken_links_are_reported_with_their_page(broken_links, site, text, problem):
    page = site / "index.html"
    page.write_text(page.read_text("utf-8") + 2 * text, "utf-8")
    (site.parent / "outside.html").write_text("")
    found = broken_links(site, [page])
    assert len(found) == 1
    assert found[0].startswith(f"index.html: {problem}")


def test_the_site_is_built_with_the_check():
    assert '    "check_links",\n' in (DOCS / "conf.py").read_text("utf-8")


def test_pages_that_links_are_turned_to_are_there(repository_links):
    for source, page in repository_links.PAGES.items():
        assert (ROOT / source).is_file()
        assert (DOCS / page).is_file()


def test_the_picture_of_the_rooms_is_that_of_the_imports():
    code = "from draw_rooms import PICTURE, draw; assert PICTURE.read_text('utf-8') == draw()"
    folder = ROOT / "docs" / "_ext"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
