"""Files: what is read is written back as it was, and outputs are whole or not there."""

from __future__ import annotations

import codecs
import gzip
import json
import os
from pathlib import Path

import pytest

from skfi._cli import _query, _trim
from skfi._cli._console import CommandError
from skfi._cli._outputs import Outputs
from skfi._cli._tables import read_table
from tests.cli.conftest import read
from tests.cli.test_query import query
from tests.cli.test_trim import scores_of, trim

pd = pytest.importorskip("pandas")


def kept_of(skfi, tables, suffix, *options):
    """The table that was read, the one that was kept, and the dropped rows."""
    source, kept = tables.folder / f"train{suffix}", tables.folder / f"kept{suffix}"
    val = tables.folder / f"val{suffix}"
    outcome = skfi(
        *("trim", source, "--val", val, "--target", "label", "--budget", "20"),
        *("--out", kept, "--json", *options),
    )
    assert outcome.code == 0, outcome.err
    return source, kept, set(json.loads(outcome.out)["dropped_rows"])


def translate(tables, change, suffix):
    for name in ("train", "val", "pool"):
        raw = (tables.folder / f"{name}.csv").read_bytes()
        (tables.folder / f"{name}{suffix}").write_bytes(change(raw))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("windows line ends", lambda raw: raw.replace(b"\n", b"\r\n")),
        ("byte order mark", lambda raw: codecs.BOM_UTF8 + raw),
        ("blank lines", lambda raw: raw.replace(b"\n", b"\n\n")),
        ("no last line end", lambda raw: raw.rstrip(b"\n")),
        ("a cell of two lines", lambda raw: raw.replace(b'note, ""', b'note,\n""')),
        ("other letters", lambda raw: raw.replace(b"note", "Größe = ".encode())),
        ("formulas", lambda raw: raw.replace(b'"note, ', b'"=note, ')),
    ],
)
def test_text_is_kept_to_the_byte(skfi, tables, name, change):
    plain = kept_of(skfi, tables, ".csv")[2]
    translate(tables, change, ".csv")
    source, kept, dropped = kept_of(skfi, tables, ".csv", "--force")
    assert dropped == plain
    table = read_table(str(source), None, "utf-8")
    expected = [text for k, text in enumerate(table._texts, 1) if k not in dropped]
    raw = source.read_bytes()
    assert all(text.encode() in raw for text in expected)
    written = kept.read_bytes()
    whole = (table._header.text + "".join(expected)).encode(table._encoding)
    assert written.rstrip(b"\n") == whole.rstrip(b"\n")
    assert written.startswith(raw[:20])


def test_lines_are_those_of_the_file(skfi, tables):
    translate(tables, lambda raw: raw.replace(b'note, ""', b'note,\n\n""'), ".csv")
    skfi(*trim(tables, "--scores", tables.path("s.csv")))
    lines = scores_of(tables.path("s.csv"))["line"]
    assert lines[:3] == ["2", "5", "8"]
    source = (tables.folder / "train.csv").read_text().split("\n")
    assert source[int(lines[70]) - 1].startswith("71,")


@pytest.mark.parametrize("suffix", [".csv.gz", ".tsv", ".TSV.GZ"])
def test_other_text_formats(skfi, tables, suffix):
    def change(raw):
        if "tsv" in suffix.lower():
            raw = raw.replace(b",", b"\t")
        return gzip.compress(raw) if suffix.lower().endswith("gz") else raw

    plain = kept_of(skfi, tables, ".csv")[2]
    translate(tables, change, suffix)
    source, kept, dropped = kept_of(skfi, tables, suffix)
    assert dropped == plain
    opened = gzip.open if suffix.lower().endswith("gz") else open
    with opened(source, "rt") as file:
        lines = file.read().splitlines()
    with opened(kept, "rt") as file:
        written = file.read().splitlines()
    assert written == [line for k, line in enumerate(lines) if k not in dropped]


def test_delimiter_and_encoding(skfi, tables):
    def change(raw):
        return raw.replace(b",", b";").replace(b"Bern", "Zürich".encode("cp1252"))

    plain = kept_of(skfi, tables, ".csv")[2]
    translate(tables, change, ".csv")
    options = ("--delimiter", ";", "--encoding", "cp1252", "--force")
    _, kept, dropped = kept_of(skfi, tables, ".csv", *options)
    assert dropped == plain
    assert "Zürich" in kept.read_bytes().decode("cp1252")


def test_parquet(skfi, tables):
    pytest.importorskip("pyarrow")
    plain = kept_of(skfi, tables, ".csv")[2]
    kinds = {"code": str, "city": "category"}
    for name in ("train", "val", "pool"):
        frame = pd.read_csv(tables.path(f"{name}.csv"), dtype=kinds, parse_dates=["seen"])
        frame["nested"] = [[1, 2]] * len(frame)
        frame["member"] = frame["income"] > 20
        frame.to_parquet(tables.path(f"{name}.parquet"))
    source, kept, dropped = kept_of(skfi, tables, ".parquet", "--ignore", "member")
    assert dropped == plain
    before, after = pd.read_parquet(source), pd.read_parquet(kept)
    stay = [k for k in range(len(before)) if k + 1 not in dropped]
    expected = before.iloc[stay].reset_index(drop=True)
    pd.testing.assert_frame_equal(after.reset_index(drop=True), expected)

    files = (tables.path("train.parquet"), tables.path("pool.parquet"))
    out = tables.path("ask.parquet")
    outcome = skfi("query", *files, "--target", "label", "-n", 4, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert "member" in told["columns"]["categories"]
    assert told["columns"]["dates"] == ["seen"]
    assert "values of type list" in told["columns"]["left_out"]["nested"]
    asked = pd.read_parquet(out)
    assert asked["skfi_row"].tolist() == [one["row"] for one in told["asked"]]
    assert {one["line"] for one in told["asked"]} == {None}
    scores = tables.path("scores.parquet")
    assert skfi(*trim(tables, "--scores", scores)).code == 0
    assert (pd.read_parquet(scores)["decision"] == "dropped").sum() == 20


def test_inputs_are_not_changed(skfi, tables):
    before = {path.name: path.read_bytes() for path in tables.folder.iterdir()}
    skfi(*trim(tables, "--out", tables.path("kept.csv")))
    skfi(*query(tables))
    for name, raw in before.items():
        assert (tables.folder / name).read_bytes() == raw


def test_an_output_that_exists_is_replaced_only_with_force(skfi, tables, monkeypatch):
    kept = tables.folder / "kept.csv"
    kept.write_text("mine")
    kept.chmod(0o640)
    with monkeypatch.context() as patch:
        patch.setattr(_trim, "read_as_asked", lambda *_: pytest.fail("work was begun"))
        outcome = skfi(*trim(tables, "--out", kept))
    assert outcome.code == 1
    assert "exists" in outcome.err
    assert "--force" in outcome.err
    assert kept.read_text() == "mine"
    assert skfi(*trim(tables, "--out", kept, "--force")).code == 0
    assert len(read(kept)) == 141
    assert kept.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_nothing_is_left_of_a_run_that_fails(skfi, tables, monkeypatch, place):
    before = sorted(path.name for path in tables.folder.iterdir())

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, place, fail)
    outcome = skfi(*trim(tables, "--out", tables.path("kept.csv")))
    assert outcome.code == 1
    assert "No space left" in outcome.err
    assert len(outcome.err.splitlines()) == 4  # three of progress
    assert sorted(path.name for path in tables.folder.iterdir()) == before


def test_nothing_is_left_when_interrupted(skfi, tables, monkeypatch):
    before = sorted(path.name for path in tables.folder.iterdir())

    def interrupted(part, *_):
        part.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(_trim, "write_columns", interrupted)
    options = ("--scores", tables.path("s.csv"), "--out", tables.path("kept.csv"))
    outcome = skfi(*trim(tables, *options))
    assert outcome.code == 130
    assert outcome.err.endswith("skfi: error: interrupted.\n")
    assert sorted(path.name for path in tables.folder.iterdir()) == before


def test_a_file_that_came_up_meanwhile_stays(tmp_path):
    target = tmp_path / "kept.csv"
    outputs = Outputs({"--out": str(target)}, [], force=False)

    def write():
        with outputs.written() as parts:
            parts["--out"].write_text("new")
            target.write_text("another's")

    with pytest.raises(CommandError, match="exists"):
        write()
    assert target.read_text() == "another's"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    outputs = Outputs({"--out": str(tmp_path / "link.csv")}, [], force=True)
    with outputs.written() as parts:
        parts["--out"].write_text("new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"


def test_a_long_name_is_written(skfi, tables):
    """240 bytes: what a file system takes, with a temporary file beside it."""
    pytest.importorskip("jinja2")
    names = [tables.folder / ("é" * 120 + end) for end in (".csv", ".html")]
    outcome = skfi(*trim(tables, "--out", names[0], "--report", names[1]))
    assert outcome.code == 0, outcome.err
    assert len(read(names[0])) == 141
    assert names[1].read_text().startswith("<!DOCTYPE html>")
    outcome = skfi(*query(tables, "--out", names[0], "--force"))
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("command", [trim, query])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    skfi, tables, monkeypatch, command
):
    monkeypatch.setattr(_trim, "read_as_asked", lambda *_: pytest.fail("work was begun"))
    monkeypatch.setattr(_query, "read_as_asked", lambda *_: pytest.fail("work was begun"))
    outcome = skfi(*command(tables, "--out", tables.folder / ("é" * 130 + ".csv")))
    assert outcome.code == 1
    assert "cannot be written: File name too long." in outcome.err

    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", read_only)
    outcome = skfi(*command(tables, "--out", tables.folder / "kept.csv"))
    assert outcome.code == 1
    assert "cannot be written to: Read-only file system." in outcome.err
