"""The documents' code: blocks of a page, and what its comments say they print."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT

PAGES = sorted(
    path
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if not {"auto_examples", "_build", "generated"} & set(path.parts)
)
_BLOCK = re.compile(r"^(?P<fence>```+)python\n(?P<code>.*?)^(?P=fence)$", re.S | re.M)
_PRINTED = re.compile(r"^print\(.*\)  # (.+)$", re.M)


def blocks(page: Path) -> list[str]:
    """Python blocks of a page, in order."""
    return [match["code"] for match in _BLOCK.finditer(page.read_text("utf-8"))]


def printed(code: str) -> list[str]:
    """What the comments behind calls of ``print`` say."""
    return _PRINTED.findall(code)
