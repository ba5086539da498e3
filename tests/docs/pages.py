"""The documents' code: blocks of a page, and what its comments say they print."""

from __future__ import annotations

import re
from pathlib import Path

from tests.data import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if not {"auto_examples", "_build", "generated"} & set(path.parts)
}
# Pages that are run from the installed wheel -> packages that they need, by name of import.
FROM_WHEEL = {
    "README.md": ["pandas", "jinja2"],
    "docs/getting-started.md": ["pandas"],
    "docs/guide.md": [],
    "docs/active.md": [],
    "docs/datasets.md": [],
    "docs/networks.md": ["torch", "skorch"],
    "docs/report.md": ["pandas", "jinja2", "matplotlib"],
}
_BLOCK = re.compile(r"^(?P<fence>```+)python\n(?P<code>.*?)^(?P=fence)$", re.S | re.M)
_PRINTED = re.compile(r"^print\(.*\)  # (.+)$", re.M)


def blocks(name: str) -> list[str]:
    """Python blocks of a page, in order."""
    return [match["code"] for match in _BLOCK.finditer(PAGES[name])]


def printed(code: str) -> list[str]:
    """What the comments behind calls of ``print`` say."""
    return _PRINTED.findall(code)


def check(name: str, run, folder: Path) -> None:
    """Run a page's code in an empty folder and compare what it prints with its comments."""
    code = "\n".join(blocks(name))
    expected = printed(code)
    assert expected, "a page that prints nothing shows nothing"
    assert len(re.findall(r"^print\(", code, re.M)) == len(expected)
    lines = run(code, folder).splitlines()
    assert lines == expected, "\n".join(lines)
