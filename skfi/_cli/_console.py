"""What a command says and where: results to stdout, everything else to stderr.

With ``--json`` stdout holds one JSON object and nothing more, so that another program can
read it; whoever looks on still sees notices and progress.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from .._utils import _extras
from .._utils._classes import SparedRows

if TYPE_CHECKING:
    from ._screen import Screen


class CommandError(Exception):
    """What the user can fix; its message is the one line that is printed."""


@dataclass
class Console:
    """The two streams, and the notices so far."""

    as_json: bool = False
    quiet: bool = False
    notes: list[str] = field(default_factory=list)
    screen: Screen | None = None  # None: no terminal, or nothing that draws on it

    def say(self, text: str = "") -> None:
        """A line of the summary."""
        if not self.as_json and not self.quiet:
            _print(text, sys.stdout)

    def result(self, content: dict[str, Any]) -> None:
        """The JSON object, where one is asked for."""
        if self.as_json:
            print(json.dumps(content, indent=2, allow_nan=False))

    def progress(self, text: str) -> None:
        """What is being done right now."""
        if not self.quiet:
            _print(text, sys.stderr)

    @contextmanager
    def working(self, text: str, *bars: str) -> Iterator[None]:
        """Tell what is done meanwhile: one line, or on a terminal bars that take names."""
        if self.screen is None or self.quiet:
            self.progress(text)
            yield
        else:
            with self.screen.working(_encodable(text, sys.stderr), bars):
                yield

    def note(self, text: str) -> None:
        """Something the user should know; said once."""
        text = " ".join(text.split())
        if text not in self.notes:
            self.notes.append(text)
            self.progress(f"note: {text}")

    @contextmanager
    def warnings_as_notes(self) -> Iterator[None]:
        """Turn the library's warnings into notices, also when the work fails."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # Of scikit-learn's folds; the labels have been looked at when they were read.
            warnings.filterwarnings("ignore", "The least populated class")
            try:
                yield
            finally:
                for warning in caught:
                    if isinstance(warning.message, SparedRows):
                        self.note(warning.message.text(first=1))
                    elif issubclass(warning.category, (UserWarning, RuntimeWarning)):
                        self.note(str(warning.message))


def error(text: str) -> None:
    """One line on stderr."""
    _print(f"skfi: error: {' '.join(text.split())}", sys.stderr)


def shown(value: Any, width: int = 40) -> str:
    """Text of a file as it may go to a terminal: no control characters, not too long."""
    text = _printable(str(value))
    return text if len(text) <= width else text[: width - 3] + "..."


def listed(values: Any, most: int = 10) -> str:
    """``a, b, c and 5 more``."""
    values = list(values)
    text = ", ".join(shown(value) for value in values[:most])
    return text if len(values) <= most else f"{text} and {len(values) - most} more"


def figure(value: float) -> str:
    """Three digits, with an exponent only where the number is very large or small."""
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return np.format_float_positional(value, precision=3, fractional=False, trim="-")
    return f"{value:.2e}"


def table_lines(rows: list[list[Any]]) -> list[str]:
    """Rows of cells, the heading first, as aligned lines; numbers to the right."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [not isinstance(cell, str) for cell in rows[-1]]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]


def require(package: str) -> Any:
    """Import what the library itself does not need."""
    try:
        return _extras.require(package, "The command line", extra="cli")
    except ImportError as missing:
        raise CommandError(str(missing)) from missing


def _printable(text: str) -> str:
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def _print(text: str, stream: TextIO) -> None:
    print(_encodable(text, stream), file=stream, flush=True)


def _encodable(text: str, stream: TextIO) -> str:
    # A label may hold what the terminal's encoding lacks.
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        "−".encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("−", "-")  # the minus sign of a verdict
    return _printable(text).encode(encoding, "backslashreplace").decode(encoding)
