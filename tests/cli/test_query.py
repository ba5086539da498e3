"""``skfi query``: which rows it asks for, and the file it writes."""

from __future__ import annotations

import json

import pytest

from skfi._cli._console import figure
from tests.cli.conftest import read, write

pytest.importorskip("pandas")


def query(tables, *options, n=5):
    files = (tables.path("train.csv"), tables.path("pool.csv"))
    return ("query", *files, "--target", "label", "-n", str(n), *options)


@pytest.mark.parametrize("strategy", ["fi", "margin", "random"])
def test_rows_of_the_pool_best_first(skfi, tables, strategy):
    ask = tables.path("ask.csv")
    outcome = skfi(*query(tables, "--strategy", strategy, "--out", ask, "--json", n=12))
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    pool = (tables.folder / "pool.csv").read_text().splitlines()
    asked = (tables.folder / "ask.csv").read_text().splitlines()
    assert asked[0] == pool[0] + ",skfi_row,skfi_line,skfi_score"
    rows = [one["row"] for one in told["asked"]]
    assert len(set(rows)) == 12
    assert [one["line"] for one in told["asked"]] == [row + 1 for row in rows]
    for line, one in zip(asked[1:], told["asked"], strict=True):
        assert line == f"{pool[one['row']]},{one['row']},{one['line']},{one['score']!r}"


def test_margin_asks_for_rows_near_the_boundary(skfi, tables):
    told = json.loads(skfi(*query(tables, "--strategy", "margin", "--json", n=60)).out)
    scores = [one["score"] for one in told["asked"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]


def test_fi_asks_by_a_logistic_regression_whatever_the_model(skfi, tables):
    linear = json.loads(skfi(*query(tables, "--json")).out)
    forest = json.loads(skfi(*query(tables, "--json", "--model", "random-forest")).out)
    assert forest["asked"] == linear["asked"]
    assert "stands in for random-forest" in forest["asked_by"]
    other = json.loads(
        skfi(*query(tables, "--json", "--model", "random-forest", "--strategy", "margin")).out
    )
    assert other["asked_by"] == "margin of random-forest"


def test_summary(skfi, tables):
    outcome = skfi(*query(tables, n=11))
    assert outcome.code == 0, outcome.err
    assert "Label these 11 rows next" in outcome.out
    assert "  and 1 more\n" in outcome.out
    assert "left out: id (counts the rows)" in outcome.out


def test_the_pool_may_have_a_column_of_labels(skfi, tables):
    plain = json.loads(skfi(*query(tables, "--json")).out)
    rows = read(tables.path("pool.csv"))
    write(tables.folder / "pool.csv", [[*rows[0], "label"], *([*row, ""] for row in rows[1:])])
    assert json.loads(skfi(*query(tables, "--json")).out)["asked"] == plain["asked"]


def test_labelled_answers_may_be_added_to_the_training_rows(skfi, tables):
    """A file that `query` wrote, with labels: its two columns are no features."""
    skfi(*query(tables, "--out", tables.path("ask.csv"), n=30))
    head, *rows = read(tables.path("ask.csv"))
    write(
        tables.folder / "train.csv",
        [[*head, "label"], *([*row, ["yes", "no"][k % 2]] for k, row in enumerate(rows))],
    )
    told = json.loads(skfi(*query(tables, "--json")).out)
    assert told["columns"]["left_out"]["skfi_row"] == "written by skfi"
    assert "skfi_score" not in told["columns"]["numbers"]


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        ("fi", "in the order they were chosen"),
        ("margin", "best first"),
        ("random", "in random order"),
    ],
)
def test_the_order_is_said(skfi, tables, strategy, order):
    outcome = skfi(*query(tables, "--strategy", strategy, n=8))
    assert f"Label these 8 rows next, {order} (rows count from 1" in outcome.out
    assert ("scores can rise again" in outcome.out) == (strategy == "fi")
    assert ("score" in outcome.out.split("Label these")[1]) == (strategy != "random")
    assert "e+0" not in outcome.out


@pytest.mark.parametrize(
    ("value", "text"),
    [(28.47, "28.5"), (0.0, "0"), (-0.13335, "-0.133"), (28470.0, "28500"), (3e-7, "3.00e-07"),
     (2.0, "2"), (1.5e9, "1.50e+09")],
)  # fmt: skip
def test_scores_are_read_without_exponents(value, text):
    assert figure(value) == text
