"""From the bytes of a CSV file to its records, each with its own text and line."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from ._console import CommandError, shown

_SIGNS = ",;\t|"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Record(NamedTuple):
    """One row of a file, the header among them."""

    line: int  # the first of its lines, counted from 1
    cells: list[str]
    text: str  # with its line end

    @staticmethod
    def split_end(text: str) -> tuple[str, str]:
        """A record's text and its line end ("" at the end of a file without one)."""
        body = text.rstrip("\r\n")
        return body, text[len(body) :]


def decoded(path: str, raw: bytes, encoding: str) -> tuple[str, str]:
    """Text, and the encoding that gives the same bytes back."""
    name = shown(path, 200)
    if codecs.lookup(encoding).name == "utf-8" and raw.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        likely = "utf-16" if raw.startswith(_UTF_16) else "cp1252"
        raise CommandError(
            f"{name}, line {line}: byte 0x{raw[problem.start]:02x} is not {encoding}. Give the "
            f"encoding the file is in, such as --encoding {likely}."
        ) from None
    except UnicodeError as problem:
        raise CommandError(f"{name} is not {encoding}: {problem}") from None
    if not text.strip():
        raise CommandError(f"{name} is empty.")
    return text, encoding


def likely_delimiter(text: str, usual: str) -> str:
    """The usual sign between cells, or the only other one that the first line has."""
    head = next(line for line in io.StringIO(text) if line.strip())
    signs = [sign for sign in _SIGNS if sign in head]
    return signs[0] if len(signs) == 1 else usual


def records(path: str, text: str, delimiter: str) -> Iterator[Record]:
    """Records of a CSV text, blank lines left out.

    Raises
    ------
    CommandError
        A line that is no CSV, or a record of more or fewer cells than the header has.
    """
    name = shown(path, 200)
    taken: list[str] = []

    def lines() -> Iterator[str]:
        # Only line ends separate lines here; str.splitlines takes form feeds for one, too.
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    line, width = 1, 0
    while True:
        taken.clear()
        try:
            cells = next(reader, None)
        except csv.Error as problem:
            raise CommandError(f"{name}, line {line}: {problem}.") from None
        if cells is None:
            return
        if cells:
            width = width or len(cells)
            if len(cells) != width:
                hint = " Are they separated by another sign? See --delimiter." * (width == 1)
                raise CommandError(
                    f"{name}, line {line}: {len(cells)} cells, but the header has {width}."
                    + hint
                )
            yield Record(line, cells, "".join(taken))
        line += len(taken)


def with_cell(text: str, place: int, cell: str, delimiter: str) -> str:
    """A record's text with another content of its cell number ``place``, from 0.

    Blanks around the old content and its quoting stay; all other cells keep their bytes.
    """
    body, end = Record.split_end(text)
    cells = _cell_texts(body, delimiter)
    old = cells[place]
    if old.startswith('"'):
        old = old[1 : old.rindex('"')]
        quoted = True
    else:
        quoted = any(sign in cell for sign in (delimiter, '"', "\r", "\n"))
    inner = old.strip()
    before = old[: len(old) - len(old.lstrip())] if inner else ""
    after = old[len(old.rstrip()) :] if inner else ""
    new = before + (cell.replace('"', '""') if quoted else cell) + after
    cells[place] = f'"{new}"' if quoted else new
    return delimiter.join(cells) + end


def _cell_texts(body: str, delimiter: str) -> list[str]:
    """The cells of a record as they are written, quotes included.

    As Python's reader has it, a quote opens a cell only where it is the cell's first sign.
    """
    cells, start, k, inside = [], 0, 0, False
    while k < len(body):
        sign = body[k]
        if inside:
            inside = sign != '"'  # a doubled one opens it again
        elif sign == '"' and (k == start or (body[start] == body[k - 1] == '"')):
            inside = True
        elif sign == delimiter:
            cells.append(body[start:k])
            start = k + 1
        k += 1
    return [*cells, body[start:]]
