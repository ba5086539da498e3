"""Links that work in the repository made to work in the site as well.

Pages link to the studies and to each other by their paths in the repository;
the changelog, of which a page here holds a part, by paths from its root.
"""

from __future__ import annotations

import re

# Path in the repository -> page of the site.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "benchmarks/trimming_study.md": "studies/trimming.md",
    "benchmarks/checked_study.md": "studies/checked.md",
    "benchmarks/review_study.md": "studies/review.md",
    "benchmarks/query_study.md": "studies/queries.md",
    "benchmarks/query_study_cnn.md": "studies/cnn.md",
    "benchmarks/query_stopping.md": "studies/stopping.md",
    "benchmarks/cli_rule.md": "studies/cli-rule.md",
    "benchmarks/leaves_study.md": "studies/leaves.md",
}
_LINK = re.compile(r"\]\((?P<up>(?:\.\./)*)(?P<path>[\w./-]+)(?P<anchor>#[\w-]*)?\)")
_NAMED_HEADING = re.compile(r'^(#+) <a name="([\w-]+)"></a>', re.M)
_FOLDER = re.compile(r"\[([^\]]*)\]\(reproduction/results\)")


def rewrite(text: str, from_root: bool) -> str:
    """Markdown whose links are those of the site."""

    def link(match):
        path, anchor = match["path"], match["anchor"] or ""
        if path in PAGES and (from_root or match["up"]):
            return f"](/{PAGES[path]}{anchor})"
        if from_root and path.startswith("docs/"):
            return f"](/{path.removeprefix('docs/')}{anchor})"
        return match[0]

    text = _NAMED_HEADING.sub(r"(\2)=\n\1 ", text)
    return _LINK.sub(link, _FOLDER.sub(r"\1", text))


def _page(app, docname, source):
    source[0] = rewrite(source[0], from_root=False)


def _included(app, relative_path, parent_docname, content):
    content[0] = rewrite(content[0], from_root=True)


def setup(app):
    app.connect("source-read", _page)
    app.connect("include-read", _included)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
