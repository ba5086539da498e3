"""A link to a page, a place in a page or a picture that is not there fails the build.

Sphinx warns of references that it cannot resolve, not of plain links: those of raw HTML, of
templates, to files, or to the anchor of another page. Here the built pages are read again.
"""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.util import logging

logger = logging.getLogger(__name__)

_TARGETS = {"href", "src", "srcset", "poster", "data"}


class _Page(HTMLParser):
    """The anchors of a page and where its links lead."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = {"", "top"}
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if not value:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif name == "srcset":
                self.links += [part.split()[0] for part in value.split(",") if part.strip()]
            elif name in _TARGETS:
                self.links.append(value)


def broken_links(folder: Path, pages: list[Path]) -> list[str]:
    """What in the HTML files `pages`, all below `folder`, leads nowhere; one line each.

    Links out of the site are not followed.
    """
    folder = folder.resolve()
    read: dict[Path, _Page] = {}

    def page(path: Path) -> _Page:
        if path not in read:
            read[path] = _Page(path.read_text("utf-8"))
        return read[path]

    found = []
    for source in (path.resolve() for path in pages):
        for link in dict.fromkeys(page(source).links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = source
            if parts.path:
                target = (source.parent / unquote(parts.path)).resolve()
            if not target.is_relative_to(folder):
                problem = "is not in the site"
            elif not target.is_file():
                problem = "is no file"
            elif target.suffix == ".html" and not (
                {parts.fragment, unquote(parts.fragment)} & page(target).anchors
            ):
                problem = "names no place in the page"
            else:
                continue
            found.append(f"{source.relative_to(folder)}: {link} {problem}")
    return found


def _check(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    # What earlier builds left in the folder is not asked about.
    names = {*app.env.found_docs, "genindex", "search"}
    folder = Path(app.outdir)
    pages = [folder / app.builder.get_target_uri(name) for name in sorted(names)]
    for link in broken_links(folder, [path for path in pages if path.is_file()]):
        logger.warning("broken link: %s", link)
        app.statuscode = 1  # also where warnings are not errors


def setup(app):
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
