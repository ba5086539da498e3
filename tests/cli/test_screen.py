"""On a terminal: a bar on stderr while there is work, and nothing of it afterwards."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from typing import NamedTuple

import pytest

from skfi import FITrimmerCV
from skfi._cli import main
from tests.cli.test_query import query
from tests.cli.test_trim import trim

pytest.importorskip("pandas")
pty = pytest.importorskip("pty")  # not on Windows

PLAIN = [
    "fitting and scoring; this fits the model many times",
    "cross-validating with and without trimming",
]
_DRAWN = r"\x1b\[\??(\d*)[;\d]*([a-zA-Z])|(\r(?!\n)|\n|[^\x1b\r\n]+)"


class Seen(NamedTuple):
    code: int
    out: str
    drawn: str  # what went to the terminal

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.drawn)

    @property
    def left(self) -> list[str]:
        """Lines that are still to be read when the command has ended."""
        lines, row = [""], 0
        for many, key, text in re.findall(_DRAWN, self.drawn):
            if key == "A":  # up
                row -= int(many or 1)
            elif key == "K" or text == "\r":  # what follows takes the place of the line
                lines[row] = ""
            elif text == "\n":
                row += 1
                lines += [""] * (row == len(lines))
            else:
                lines[row] += text
        return [line.rstrip() for line in lines if line.strip()]


@pytest.fixture
def terminal(capsys, monkeypatch):
    """``terminal(arguments, encoding)``: the command with a terminal as stderr."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def run(arguments, encoding="utf-8"):
        read, write = pty.openpty()
        taken: list[bytes] = []

        def drain():
            try:
                while part := os.read(read, 65536):
                    taken.append(part)
            except OSError:  # how a terminal ends
                pass

        reader = threading.Thread(target=drain)
        reader.start()
        with (
            open(write, "w", encoding=encoding, errors="strict") as stream,
            monkeypatch.context() as patch,
        ):
            patch.setattr(sys, "stderr", stream)
            code = main([str(argument) for argument in arguments])
        reader.join()
        os.close(read)
        return Seen(code, capsys.readouterr().out, b"".join(taken).decode(encoding))

    return run


@pytest.fixture
def drawing():
    pytest.importorskip("rich")


@pytest.mark.usefixtures("drawing")
class TestBars:
    def test_are_shown_and_gone(self, terminal, tables):
        seen = terminal(trim(tables, "--json", "--influence", "loss", budget="auto"))
        assert seen.code == 0, seen.text
        assert json.loads(seen.out)["command"] == "trim"
        assert "reading " in seen.text
        shares = [int(share) for share in re.findall(r"trying budgets \S+ +(\d+)%", seen.text)]
        assert shares == sorted(shares)
        assert max(shares) > 50
        assert seen.left == []
        assert seen.drawn.rindex("\x1b[?25h") > seen.drawn.rindex("\x1b[?25l")  # the cursor

    def test_of_a_budget_that_is_given(self, terminal, tables):
        options = ("--influence", "loss", "--json")
        seen = terminal(trim(tables, *options, val=False, budget="10%"))
        assert seen.code == 0, seen.text
        assert "scoring rows" in seen.text
        assert "cross-validating" in seen.text
        assert seen.left == []

    def test_of_a_query_have_no_end(self, terminal, tables):
        seen = terminal(query(tables, "--json"))
        assert seen.code == 0, seen.text
        assert "scoring 60 rows" in seen.text
        assert "%" not in seen.text
        assert seen.left == []
        assert len(json.loads(seen.out)["asked"]) == 5

    @pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
    def test_take_signs_the_terminal_has(self, terminal, tables, encoding):
        path = tables.folder / "größer 数.csv"
        path.write_bytes((tables.folder / "train.csv").read_bytes())
        options = ("--target", "label", "--budget", "5%", "--influence", "loss")
        seen = terminal(("trim", path, *options), encoding)
        assert seen.code == 0, seen.text
        assert "cross-validating" in seen.text

    def test_notes_are_lines_of_their_own(self, terminal, tables):
        train = tables.folder / "train.csv"
        rows = train.read_text().splitlines()
        train.write_text("\n".join([*rows, rows[1].rsplit(",", 1)[0] + ",maybe"]))
        seen = terminal(trim(tables, "--json", "--influence", "loss", budget="3"))
        assert seen.code == 0, seen.text
        (note,) = json.loads(seen.out)["notes"]
        assert "fewer than 5 rows of maybe" in note
        assert " ".join(" ".join(seen.left).split()) == f"note: {note}"

    @pytest.mark.parametrize(
        ("raised", "code", "line"),
        [
            (KeyboardInterrupt, 130, "skfi: error: interrupted."),
            (ValueError("no good"), 1, "skfi: error: no good (--debug shows where)"),
        ],
    )
    def test_leave_no_half_line(self, terminal, tables, monkeypatch, raised, code, line):
        def fail(*_):
            raise raised

        monkeypatch.setattr(FITrimmerCV, "_choose", fail)
        out = tables.folder / "kept.csv"
        seen = terminal(trim(tables, "--json", "--out", out, budget="auto"))
        assert (seen.code, seen.out) == (code, "")
        assert "trying budgets" in seen.text
        assert seen.left == [line]
        assert not out.exists()


def test_quiet(terminal, tables):
    assert terminal(trim(tables, "--quiet", "--influence", "loss")) == (0, "", "")


@pytest.mark.parametrize("lacking", ["rich", "a terminal that takes lines back"])
def test_lines_otherwise(terminal, tables, monkeypatch, lacking):
    if lacking == "rich":
        monkeypatch.setitem(sys.modules, "rich", None)
        monkeypatch.setitem(sys.modules, "rich.console", None)
        monkeypatch.delitem(sys.modules, "skfi._cli._screen", raising=False)
    else:
        monkeypatch.setenv("TERM", "dumb")
    seen = terminal(trim(tables, "--influence", "loss"))
    assert seen.code == 0, seen.text
    assert "\x1b" not in seen.drawn
    assert seen.left[1:] == PLAIN
    assert seen.left[0].startswith("reading ")
