"""A second round: rows that were decided on count as checked, and are not dropped again."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import read, write
from tests.cli.test_errors import error_of
from tests.cli.test_trim import trim

pytest.importorskip("pandas")


@pytest.fixture
def decided(skfi, tables):
    """The rows that a first round dropped first, decided by one who knows the right labels."""
    first = json.loads(skfi(*trim(tables, "--json", val=False)).out)["dropped_rows"][:12]
    labels = [row[-1] for row in read(tables.path("train.csv"))[1:]]
    kinds = sorted(set(labels))
    other = dict(zip(kinds, kinds[::-1], strict=True))
    rows = [["row", "action", "label"]]
    for k, row in enumerate(first):
        if k % 6 == 5:
            rows.append([row, "drop", ""])
        elif tables.wrong[row - 1]:
            rows.append([row, "relabel", other[labels[row - 1]]])
        else:
            rows.append([row, "keep", ""])
    write(tables.folder / "decisions.csv", rows)
    return rows[1:], labels


@pytest.mark.parametrize("options", [(), ("--budget", "auto")])
@pytest.mark.parametrize("val", [False, True])
def test_decided_rows_are_checked_rows(skfi, tables, decided, val, options):
    rows, labels = decided
    out = tables.path("kept.csv")
    given = ("--decisions", tables.path("decisions.csv"), "--out", out, "--json", *options)
    outcome = skfi(*trim(tables, *given, val=val))
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    positions = [row for row, *_ in rows]
    assert not set(told["dropped_rows"]) & set(positions)
    actions = [action for _, action, _ in rows]
    assert told["decisions"] == {
        "file": tables.path("decisions.csv"),
        **{action: actions.count(action) for action in ("keep", "drop", "relabel")},
    }
    gone = set(told["dropped_rows"]) | {row for row, action, _ in rows if action == "drop"}
    new = {row: label for row, action, label in rows if action == "relabel"}
    expected = [
        new.get(row, label) for row, label in enumerate(labels, start=1) if row not in gone
    ]
    assert [row[-1] for row in read(out)[1:]] == expected
    assert sum(one["dropped"] for one in told["classes"]) == len(told["dropped_rows"])


def test_the_terminal_says_what_was_decided_and_what_next(skfi, tables, decided):
    page = tables.path("page.html")
    given = ("--decisions", tables.path("decisions.csv"))
    if pytest.importorskip("jinja2"):
        given += ("--report", page)
    outcome = skfi(*trim(tables, *given, "--scores", tables.path("scores.csv"), val=False))
    assert outcome.code == 0, outcome.err
    assert "12 rows decided: " in outcome.out
    assert "are not dropped again" in outcome.out
    last = outcome.out.strip().splitlines()[-1]
    assert last.startswith(("Review the dropped rows next", "Another round of review"))
    scores = read(tables.path("scores.csv"))
    assert len(scores) == 161
    shown = {
        row: dict(zip(scores[0], one, strict=True)) for row, one in enumerate(scores[1:], 1)
    }
    for row, _, _ in decided[0]:
        assert shown[row]["score"] == ""
        assert shown[row]["decision"] == "kept"


def test_nothing_to_gain_is_said(skfi, tables, decided):
    given = ("--decisions", tables.path("decisions.csv"), "--influence", "random")
    outcome = skfi(*trim(tables, *given, "--budget", "40%", val=False))
    assert "Another round of review is not expected to pay" in outcome.out


def test_unknown_rows_and_files_are_refused(skfi, tables):
    assert "no such file" in error_of(
        skfi(*trim(tables, "--decisions", tables.path("none.csv"), val=False))
    )
    write(tables.folder / "d.csv", [["row", "action", "label"], [999, "keep", ""]])
    assert "999" in error_of(
        skfi(*trim(tables, "--decisions", tables.path("d.csv"), val=False))
    )
    n = len(tables.wrong)
    everything = [[row, "keep", ""] for row in range(1, n + 1)]
    write(tables.folder / "d.csv", [["row", "action", "label"], *everything])
    assert "nothing left to score" in error_of(
        skfi(*trim(tables, "--decisions", tables.path("d.csv"), val=False))
    )
