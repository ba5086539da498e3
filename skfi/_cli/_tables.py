"""A table as its file has it: every row can be written back exactly as it was read.

A CSV file is kept as the text of its records. Cells are parsed beside it, so that ``007``, a
quoted comma or a date never pass through a number and back.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import gzip
import io
import re
import zlib
from abc import ABCMeta, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._console import CommandError, Console, listed, require, shown
from ._memory import check_reading
from ._records import Record, decoded, likely_delimiter, records, with_cell

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")  # for a decimal point


@dataclass(frozen=True)
class Format:
    """What a path's suffix says."""

    suffix: str  # ".csv", ".tsv" or ".parquet"
    zipped: bool = False

    @property
    def delimiter(self) -> str:
        return _DELIMITERS[self.suffix]


def format_of(path: str) -> Format:
    """The format of a file by its name."""
    if path == "-":
        raise CommandError(
            "-: standard input and output take no tables. Give the name of a file."
        )
    name = Path(path).name.lower()
    zipped = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix in _DELIMITERS or (suffix == ".parquet" and not zipped):
        return Format(suffix, zipped)
    raise CommandError(
        f"{shown(path, 200)}: the name must end in .csv, .csv.gz, .tsv, .tsv.gz or .parquet."
    )


def check_copy(option: str, path: str | None, source: str) -> None:
    """Refuse a copy of rows in a format other than theirs."""
    if path is not None and format_of(path).suffix != format_of(source).suffix:
        raise CommandError(
            f"{option} {shown(path, 200)}: rows are copied as they are, so the name must end "
            f"in {format_of(source).suffix} as {shown(source, 200)} does."
        )


class Table(metaclass=ABCMeta):
    """Rows of a file, addressed by position; messages speak of them as the user sees them."""

    def __init__(self, path: str, names: list[str], n_rows: int):
        self.path = path
        self.names = names
        self.n_rows = n_rows
        self.label = shown(path, 200)
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if "" in repeated:
            places = [str(k) for k, name in enumerate(names, 1) if not name]
            raise CommandError(
                f"{self.label}: columns {listed(places)} have no name. Give each a name of its "
                "own, or take them out."
            )
        if repeated:
            raise CommandError(
                f"{self.label}: more than one column is called {listed(map(repr, repeated))}."
            )
        if n_rows == 0:
            raise CommandError(f"{self.label} has column names but no rows.")

    @abstractmethod
    def column(self, name: str) -> np.ndarray:
        """Cells (n,): float64 with NaN, datetime64 with NaT, or text (object) with ""."""

    @abstractmethod
    def frame(self) -> Any:
        """The rows as a DataFrame, cells as in the file."""

    @abstractmethod
    def write(
        self,
        part: Path,
        rows: np.ndarray,
        target: Format,
        extra: dict,
        *,
        column: str | None = None,
        like: Mapping[int, int] | None = None,
    ) -> None:
        """Write some rows to a new file, with further columns (name to values).

        In one ``column`` the rows of ``like`` take the cell of another row; all else is as it
        was read.
        """

    def unusable(self, name: str) -> str | None:
        """Why a column cannot be read as text or numbers, if so."""
        return None

    def is_category(self, name: str) -> bool:
        """Whether the file says that numbers are categories."""
        return False

    def line(self, row: int) -> int | None:
        """First line of a row in the file, counted from 1; None where there are no lines."""
        return None

    def where(self, row: int, column: str | None = None) -> str:
        """``train.csv, line 14, column 'age'``."""
        line = self.line(row)
        place = f"row {row + 1}" if line is None else f"line {line}"
        text = f"{self.label}, {place}"
        return text if column is None else f"{text}, column {shown(column)!r}"

    def places(self, rows: Any) -> str:
        """``lines 14, 20 and 3 more``."""
        lines = [self.line(int(row)) for row in rows]
        known = [line for line in lines if line is not None]
        kind = "line" if known else "row"
        told = known or [int(row) + 1 for row in rows]
        return f"{kind}{'s' if len(told) > 1 else ''} {listed(told)}"

    def require(self, name: str, what: str) -> None:
        """Refuse a name that is no column, and tell which are."""
        if name in self.names:
            return
        near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.6)
        folded = [known for known in self.names if known.casefold() == name.casefold()]
        hint = f" Did you mean {shown((folded or near)[0])!r}?" if folded or near else ""
        if len(self.names) == 1 and any(sign in self.names[0] for sign in ",;\t|"):
            hint = " Are its cells separated by another sign? See --delimiter."
        elif not hint and sum(map(_looks_like_number, self.names)) > 1:
            hint = " Its first line has to name the columns, and looks like a row."
        raise CommandError(
            f"{self.label} has no column {shown(name)!r} ({what}).{hint} It has: "
            f"{listed(self.names, 30)}."
        )


class TextTable(Table):
    """A CSV or TSV file; ``delimiter`` None takes the ``usual`` one, or what the head has."""

    def __init__(
        self,
        path: str,
        raw: bytes,
        delimiter: str | None,
        encoding: str,
        usual: str,
        decimal: str = ".",
    ):
        text, self._encoding = decoded(path, raw, encoding)
        self.delimiter = delimiter or likely_delimiter(text, usual)
        self._decimal = decimal
        header, *rows = records(path, text, self.delimiter)
        names = [name.strip() for name in header.cells]
        self._header = header
        self._lines = [record.line for record in rows]
        self._texts = [record.text for record in rows]
        columns = zip(*(record.cells for record in rows), strict=True)
        self._columns = {
            name: np.array(cells, dtype=object)
            for name, cells in zip(names, columns, strict=bool(rows))
        }
        super().__init__(path, names, len(rows))

    def column(self, name: str) -> np.ndarray:
        cells = self._columns[name]
        return cells if self._decimal == "." else with_points(cells)

    def line(self, row: int) -> int | None:
        return self._lines[row]

    def frame(self) -> Any:
        import pandas as pd

        return pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in self._columns.items()})

    def write(
        self,
        part: Path,
        rows: np.ndarray,
        target: Format,
        extra: dict,
        *,
        column: str | None = None,
        like: Mapping[int, int] | None = None,
    ) -> None:
        body, end = Record.split_end(self._header.text)
        end = end or "\n"
        out = [self.delimiter.join([body, *extra]), end]
        place = -1 if column is None else self.names.index(column)
        for k, row in enumerate(rows):
            text = self._texts[row]
            if like and row in like:
                cell = self._columns[self.names[place]][like[row]].strip()
                text = with_cell(text, place, cell, self.delimiter)
            body, own_end = Record.split_end(text)
            out += [self.delimiter.join([body, *(str(v[k]) for v in extra.values())])]
            out += [own_end or end]
        write_bytes(part, "".join(out).encode(self._encoding), target)


class ParquetTable(Table):
    """A Parquet file."""

    def __init__(self, path: str, table: Any):
        self._table = table
        self._columns: dict[str, np.ndarray] = {}
        super().__init__(path, list(table.column_names), table.num_rows)

    def column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            self._columns[name] = self._read(name)
        return self._columns[name]

    def _read(self, name: str) -> np.ndarray:
        import pyarrow as pa

        cells = self._table.column(name)
        if pa.types.is_dictionary(cells.type):
            cells = cells.cast(cells.type.value_type)
        if _is_number(cells.type) and not _needs_all_digits(cells):
            values = cells.cast(pa.float64(), safe=False).to_numpy()
            return np.array(values, dtype=np.float64)
        if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
            return np.array(cells.cast(pa.timestamp("us")).to_numpy(), dtype="datetime64[us]")
        texts = cells.cast(pa.string()).to_pylist()  # booleans become true and false
        return np.array(["" if text is None else text for text in texts], dtype=object)

    def unusable(self, name: str) -> str | None:
        import pyarrow as pa

        kind = self._table.schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_time(kind) or pa.types.is_duration(kind):
            return "times"
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        text = text or str(kind) == "string_view"
        date = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
        if text or date or _is_number(kind) or pa.types.is_boolean(kind):
            return None
        return f"values of type {shown(kind)}"

    def is_category(self, name: str) -> bool:
        # Parquet itself has no such type for numbers; pandas notes it beside the table.
        noted = (self._table.schema.pandas_metadata or {}).get("columns", [])
        kinds = {column.get("name"): column.get("pandas_type") for column in noted}
        return kinds.get(name) == "categorical" and self.column(name).dtype.kind == "f"

    def frame(self) -> Any:
        return self._table.to_pandas(ignore_metadata=True)

    def write(
        self,
        part: Path,
        rows: np.ndarray,
        target: Format,
        extra: dict,
        *,
        column: str | None = None,
        like: Mapping[int, int] | None = None,
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = self._table
        if column is not None and like:
            place = table.column_names.index(column)
            order = np.arange(self.n_rows)
            order[list(like)] = list(like.values())
            table = table.set_column(
                place, table.schema.field(place), table.column(place).take(pa.array(order))
            )
        taken = table.take(pa.array(rows.astype(np.int64)))
        for name, values in extra.items():
            taken = taken.append_column(name, pa.array(values))
        pq.write_table(taken, part)


def read_as_asked(path: str, args: argparse.Namespace, console: Console) -> Table:
    """Read a file by the options of the command, and tell what was guessed."""
    check_reading(path)
    table = read_table(path, args.delimiter, args.encoding, args.decimal)
    if isinstance(table, TextTable) and args.delimiter is None:
        sign = table.delimiter
        if sign != format_of(path).delimiter:
            sign = "a tab" if sign == "\t" else repr(sign)
            console.note(f"{table.label}: cells are separated by {sign} (see --delimiter).")
    return table


def read_table(
    path: str, delimiter: str | None = None, encoding: str = "utf-8", decimal: str = "."
) -> Table:
    """Read a file by its suffix."""
    given = format_of(path)
    name = shown(path, 200)
    try:
        if given.suffix == ".parquet":
            return ParquetTable(path, _read_parquet(path))
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise CommandError(f"{name}: there is no such file.") from None
    except IsADirectoryError:
        raise CommandError(f"{name} is a directory; give the path of a file.") from None
    except OSError as problem:
        raise CommandError(f"{name} cannot be read: {problem}") from problem
    if given.zipped:
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as problem:
            raise CommandError(f"{name} is not a whole gzip file: {problem}") from problem
    return TextTable(path, raw, delimiter, encoding, given.delimiter, decimal)


def _looks_like_number(name: str) -> bool:
    return re.fullmatch(r"[+-]?\d*[.,]?\d+", name) is not None


def with_points(cells: np.ndarray) -> np.ndarray:
    """Cells (n,), those that are numbers with a decimal comma with a point instead."""
    return np.array(
        [cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell for cell in cells],
        dtype=object,
    )


def _read_parquet(path: str) -> Any:
    with open(path, "rb") as file:  # before pyarrow is asked for: is there a file at all?
        if file.read(4) != b"PAR1":
            raise CommandError(f"{shown(path, 200)} is not a Parquet file.")
    pyarrow, parquet = _pyarrow()
    try:
        return parquet.ParquetFile(path).read()
    except pyarrow.ArrowException as problem:
        raise CommandError(f"{shown(path, 200)} cannot be read: {problem}") from problem


def _pyarrow() -> tuple[Any, Any]:
    return require("pyarrow"), require("pyarrow.parquet")


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(check(kind) for check in checks)


def _needs_all_digits(cells: Any) -> bool:
    """Whether these are whole numbers that a float cannot tell apart."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_integer(cells.type) or cells.type.bit_width < 64:
        return False
    ends = pc.min_max(cells).as_py()
    return any(end is not None and abs(end) > 2**53 for end in ends.values())


def write_bytes(part: Path, content: bytes, target: Format) -> None:
    """Write a text file's bytes, zipped where its name says so."""
    # No time in the header: the same rows give the same file.
    part.write_bytes(gzip.compress(content, mtime=0) if target.zipped else content)


def write_columns(part: Path, columns: Mapping[str, Sequence[Any]], target: Format) -> None:
    """Write a table of our own; None is an empty cell."""
    if target.suffix == ".parquet":
        pa, pq = _pyarrow()
        pq.write_table(pa.table({k: pa.array(v) for k, v in columns.items()}), part)
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=target.delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    write_bytes(part, text.getvalue().encode("utf-8"), target)
