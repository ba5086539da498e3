"""docs/command-line.md: its example runs as it stands, and it names every option."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from skfi._cli._main import make_parser
from tests.conftest import ROOT

pytest.importorskip("pandas")

PAGE = ROOT / "docs" / "command-line.md"


def blocks():
    return re.findall(r"```(python|sh|text)\n(.*?)```", PAGE.read_text(), re.S)


def test_the_example_runs(skfi, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    told = ""
    for kind, code in blocks():
        if kind == "python":
            exec(code, names)
            expected = re.findall(r"^print\(.*\)  # (.+)$", code, re.M)
            assert capsys.readouterr().out.splitlines() == expected
        elif kind == "sh":
            outcomes = [skfi(*shlex.split(line)[1:]) for line in code.splitlines()]
            assert {outcome.code for outcome in outcomes} == {0}
            told = "".join(outcome.out for outcome in outcomes)
        else:
            assert told == code
    assert "and the best was taken" in PAGE.read_text()


def test_the_numbers_of_the_rule_are_those_of_the_benchmark():
    measured = (ROOT / "benchmarks" / "cli_rule.md").read_text().splitlines()
    page = PAGE.read_text()
    rows = page.split("## The rule")[1].split("##")[0].splitlines()
    rows = [row for row in rows if row.startswith("|")]
    assert len(rows) == 5
    assert set(rows) <= set(measured)
    draws = re.search(r"Over (\d+) draws", page).group(1)
    assert f"Draws: {draws}." in "\n".join(measured)
    (default,) = re.findall(r"`(\w+)` is the default for the gain", page)
    assert make_parser().parse_args(["trim", "a.csv", "--target", "y"]).rule == default


def test_every_option_is_on_the_page():
    page = PAGE.read_text()
    (commands,) = (
        action
        for action in make_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    for command in commands.choices.values():
        for action in command._actions:
            for name in [*action.option_strings[-1:], *(action.choices or ())]:
                assert f"`{name}" in page or f"{name}`" in page, name
