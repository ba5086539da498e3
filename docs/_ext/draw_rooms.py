"""Draws the rooms of the package and who imports whom, from the contract and the imports.

``python docs/_ext/draw_rooms.py`` writes `docs/images/rooms.svg`; a test compares the two.
"""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
_HEIGHT, _GAP, _WIDTH, _ARCS = 34, 10, 640, 250


def rooms() -> list[str]:
    """Names of the rooms, the highest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [layer.removeprefix("skfi.") for layer in contract["layers"]]


def imports(room: str) -> set[str]:
    """Rooms that a room imports from."""
    found = set()
    for path in sorted((ROOT / "skfi" / room).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 2 and node.module:
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.ImportFrom) and node.level == 2:
                found |= {alias.name for alias in node.names}
    return found - {room}


def draw() -> str:
    """The picture as SVG."""
    names = rooms()
    step = _HEIGHT + _GAP
    top = {name: 10 + step * place for place, name in enumerate(names)}
    height = 10 + step * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + _ARCS} {height}" '
        'font-family="system-ui, sans-serif" font-size="14" role="img" aria-labelledby="t">',
        '  <title id="t">The rooms of skfi; each imports from rooms below it only</title>',
        f'  <rect width="{_WIDTH + _ARCS}" height="{height}" fill="#ffffff"/>',
    ]
    for name in names:
        text = (ROOT / "skfi" / name / "__init__.py").read_text("utf-8")
        summary = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]
        summary = summary.partition(":")[0].replace("`", "").rstrip(".")
        y = top[name]
        parts += [
            f'  <rect x="10" y="{y}" width="{_WIDTH - 20}" height="{_HEIGHT}" rx="5" '
            'fill="#f3f6fa" stroke="#5b6b7b"/>',
            f'  <text x="20" y="{y + 22}" font-weight="bold" fill="#111">{name}/</text>',
            f'  <text x="130" y="{y + 22}" font-size="12" fill="#333">{escape(summary)}</text>',
        ]
    for place, name in enumerate(names):
        for other in sorted(imports(name) & set(names), key=names.index):
            distance = names.index(other) - place
            start, end = top[name] + 20, top[other] + 12
            bend = _WIDTH + 2 * _ARCS * distance // (len(names) + 6)
            parts.append(
                f'  <path d="M{_WIDTH - 10} {start}C{bend} {start} {bend} {end} '
                f'{_WIDTH - 10} {end}" fill="none" stroke="#0072B2" stroke-opacity="0.45"/>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
