"""Files as people have them, from a spreadsheet or a database, and what they are told."""

from __future__ import annotations

import codecs
import json

import pytest

from skfi._cli._cells import as_numbers
from skfi._cli._tables import read_table
from tests.cli.conftest import read, write
from tests.cli.test_errors import edit, error_of
from tests.cli.test_query import query
from tests.cli.test_trim import trim

pd = pytest.importorskip("pandas")
np = pytest.importorskip("numpy")


def told_of(outcome):
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def spreadsheet(tables, decimal=","):
    """All tables as a spreadsheet of central Europe saves them; what the plain ones drop."""
    for name in ("train.csv", "val.csv", "pool.csv"):
        rows = read(tables.path(name))
        columns = [rows[0].index("age"), rows[0].index("income")]
        for row in rows[1:]:
            for k in columns:
                row[k] = row[k].replace(".", decimal)
        write(tables.folder / name, rows, delimiter=";")
        raw = (tables.folder / name).read_bytes()
        (tables.folder / name).write_bytes(codecs.BOM_UTF8 + raw)


def test_a_spreadsheet_of_central_europe(skfi, tables):
    plain = told_of(skfi(*trim(tables, "--json")))
    asked = told_of(skfi(*query(tables, "--json")))["asked"]
    spreadsheet(tables)
    out = tables.folder / "kept.csv"
    outcome = skfi(*trim(tables, "--json", "--decimal", ",", "--out", out))
    told = told_of(outcome)
    assert told["dropped_rows"] == plain["dropped_rows"]
    assert told["columns"] == plain["columns"]
    assert f"{tables.path('train.csv')}: cells are separated by ';' (see --delimiter)." in (
        outcome.err
    )
    lines = (tables.folder / "train.csv").read_bytes().splitlines(keepends=True)
    kept = [line for k, line in enumerate(lines) if k not in set(told["dropped_rows"])]
    assert out.read_bytes() == b"".join(kept)
    again = told_of(skfi(*query(tables, "--json", "--decimal", ",")))
    assert again["asked"] == asked


def test_decimal_commas_that_nobody_told_of(skfi, tables):
    spreadsheet(tables)
    outcome = skfi(*trim(tables))
    assert outcome.code == 0, outcome.err
    assert "columns age, income hold numbers with a decimal comma" in outcome.err
    assert "--decimal , reads them as numbers" in outcome.err
    assert (
        "left out: income (one word, nearly always another: it names the rows)" in outcome.out
    )


@pytest.mark.parametrize(
    ("head", "usual", "found"),
    [
        ("a,b", ",", ","),
        ("a;b", ",", ";"),
        ("a\tb", ",", "\t"),
        ("a|b", ",", "|"),
        ("a,b", "\t", ","),
        ("a;b|c", ",", ","),  # who knows
        ('"a;b",c', ",", ","),
        ("\n\na;b", ",", ";"),
    ],
)
def test_the_delimiter_is_what_the_first_line_has(tmp_path, head, usual, found):
    suffix = ".csv" if usual == "," else ".tsv"
    path = tmp_path / f"a{suffix}"
    path.write_text(head + "\n" + head.strip())
    assert read_table(str(path)).delimiter == found


def test_a_delimiter_that_is_given_is_taken(skfi, tables):
    spreadsheet(tables)
    line = error_of(skfi(*trim(tables, "--json", "--delimiter", ",")))
    assert "line 2: 3 cells, but the header has 1. Are they separated by another" in line


def test_utf_16_is_named(skfi, tables):
    train = tables.folder / "train.csv"
    train.write_bytes(train.read_text().encode("utf-16"))
    line = error_of(skfi(*trim(tables, "--json", val=False)))
    assert "--encoding utf-16" in line
    options = ("--json", "--encoding", "utf-16", "--influence", "loss")
    assert told_of(skfi(*trim(tables, *options, val=False)))["train"]["rows"] == 160


def test_blanks_around_the_names_of_columns(skfi, tables):
    plain = told_of(skfi(*trim(tables, "--json")))
    edit(tables, "val.csv", lambda rows: [[f" {name} " for name in rows[0]], *rows[1:]])
    told = told_of(skfi(*trim(tables, "--json")))
    assert told["accuracy"] == plain["accuracy"]


def test_columns_without_names(skfi, tables):
    edit(tables, "train.csv", lambda rows: [["", *rows[0][1:]], *rows[1:]])
    outcome = skfi(*trim(tables, "--influence", "loss", val=False))
    assert outcome.code == 0, outcome.err
    assert "left out: (no name) (counts the rows)" in outcome.out
    edit(tables, "train.csv", lambda rows: [["", "", *rows[0][2:]], *rows[1:]])
    line = error_of(skfi(*trim(tables, "--json")))
    assert "train.csv: columns 1, 2 have no name" in line


def test_a_file_without_names_of_columns(skfi, tables):
    edit(tables, "train.csv", lambda rows: rows[1:])
    line = error_of(skfi(*trim(tables, "--json")))
    assert "Its first line has to name the columns, and looks like a row." in line


@pytest.mark.parametrize("place", ["train", "--val", "--out", "--scores"])
def test_standard_input_and_output(skfi, tables, place):
    given = ["-" if place == "train" else tables.path("train.csv"), "--target", "label"]
    given += [] if place == "train" else [place, "-"]
    assert "standard input and output take no tables" in error_of(skfi("trim", *given))


def test_rare_classes_are_told_before_the_work(skfi, tables):
    """Two rows of a class: a warning comes first, and every budget is tried."""
    edit(
        tables,
        "train.csv",
        lambda rows: [*rows[:4], *([*row[:-1], "rare"] for row in rows[4:6]), *rows[6:]],
    )
    outcome = skfi(*trim(tables, "--influence", "loss", val=False, budget="auto"))
    assert outcome.code == 0, outcome.err
    assert "fewer than 5 rows of rare." in outcome.err
    assert outcome.err.index("fewer than 5") < outcome.err.index("fitting and scoring")
    assert "least populated" not in outcome.err
    told = told_of(
        skfi(*trim(tables, "--json", "--influence", "loss", val=False, budget="auto"))
    )
    tried = [one["accuracy"] is not None for one in told["budget"]["candidates"]]
    assert all(tried)  # the last rows of the class are kept, whatever the budget
    assert f"chosen among {len(tried)} on" in outcome.out


def test_whole_numbers_that_name_the_rows(skfi, tables):
    def change(rows, name):
        keys = np.random.default_rng(0).permutation(10 * len(rows))
        return [[name, *rows[0][1:]], *([str(keys[k]), *r[1:]] for k, r in enumerate(rows[1:]))]

    for name, is_key in [("Customer ID", True), ("rowId", True), ("id", True), ("paid", False)]:
        edit(tables, "train.csv", lambda rows, name=name: change(rows, name))
        outcome = skfi(*trim(tables, "--influence", "loss", val=False, budget="2"))
        assert outcome.code == 0, outcome.err
        assert (f"column '{name}': whole numbers, all different" in outcome.err) == is_key


def test_categories_that_are_numbers_in_parquet(skfi, tables):
    pytest.importorskip("pyarrow")
    frame = pd.read_csv(tables.path("train.csv"), dtype={"code": int})
    frame["code"] = frame["code"].astype("category")
    frame.to_parquet(tables.path("train.parquet"))
    frame.iloc[1:].astype({"code": int}).to_parquet(tables.path("val.parquet"))
    files = [tables.path(f"{name}.parquet") for name in ("train", "val")]
    options = ("--target", "label", "--budget", "20", "--influence", "loss", "--json")
    told = told_of(skfi("trim", files[0], "--val", files[1], *options))
    assert told["columns"]["categories"] == ["city", "code"]
    assert told["notes"] == []  # the values are known again
    frame["code"] = pd.Categorical(np.arange(len(frame)) * 7)
    frame.to_parquet(files[0])
    told = told_of(skfi("trim", files[0], *options))
    assert (
        told["columns"]["left_out"]["code"]
        == "one word, nearly always another: it names the rows"
    )


@pytest.mark.parametrize(
    ("cells", "values", "bad"),
    [
        (["1", " 2.5 ", "-3e2"], [1, 2.5, -300], []),
        (["1", "", "NA"], [1, np.nan, np.nan], []),
        (["1_000", "2"], [np.nan, 2], [0]),
        (["1", "inf"], [1, np.inf], []),
        (["nan", "2"], [np.nan, 2], []),
        (["1", "two"], [1, np.nan], [1]),
    ],
)
def test_numbers(cells, values, bad):
    found, wrong = as_numbers(np.array(cells, dtype=object))
    np.testing.assert_array_equal(found, values)
    assert np.flatnonzero(wrong).tolist() == bad


def test_thirty_classes_two_hundred_columns(skfi, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 200)).round(3)
    X[:, 0] = np.arange(300) % 30
    rows = [[*x, f"class {int(x[0]):02d}"] for x in X.tolist()]
    path = tmp_path / "ordner mit ümläuten 数.csv"
    write(path, [[*(f"x{k}" for k in range(200)), "the label"], *rows])
    given = ("--target", "the label", "--budget", "3", "--influence", "loss")
    outcome = skfi("trim", path, *given)
    assert outcome.code == 0, outcome.err
    assert "300 rows, 30 classes." in outcome.out
    assert "and 10 more classes" in outcome.out
    assert "x59 and 140 more" in outcome.out


def test_rows_that_are_kept_for_their_class_count_from_1(skfi, tables):
    """As in everything else that the command writes, and without arguments of Python."""
    edit(tables, "train.csv", lambda rows: [*rows[:7], [*rows[7][:-1], "mistyped"], *rows[8:]])
    outcome = skfi(*trim(tables, "--influence", "loss", val=False, budget="20%"))
    assert outcome.code == 0, outcome.err
    assert "last rows of class mistyped (row 7)" in outcome.err
    assert "min_class_size" not in outcome.err
