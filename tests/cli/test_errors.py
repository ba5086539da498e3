"""Every refusal is one line that names the file, the place and the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

import skfi as package
from skfi._cli import _trim
from skfi._cli._console import Console
from tests.cli.conftest import read, write
from tests.cli.test_query import query
from tests.cli.test_trim import trim

pytest.importorskip("pandas")


def error_of(outcome, code=1):
    """The line on stderr that is no progress."""
    assert outcome.code == code
    assert outcome.out == ""
    lines = [line for line in outcome.err.splitlines() if line.startswith("skfi: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in outcome.err
    return lines[0]


def edit(tables, name, change):
    """Rewrite a table cell by cell; ``change`` gets the rows, the head first."""
    rows = read(tables.path(name))
    write(tables.folder / name, change(rows) or rows)


def put(name, row, column, value):
    def change(rows):
        rows[row][rows[0].index(column)] = value

    return name, change


CELLS = [
    (put("train.csv", 3, "label", " "), "train.csv, column 'label': no label on line 4"),
    (put("train.csv", 5, "age", "inf"), "train.csv, line 6, column 'age': 'inf' is infinite"),
    (put("train.csv", 5, "age", "-Infinity"), "column 'age': '-Infinity' is infinite"),
    (put("train.csv", 5, "age", "1e200"), "line 6, column 'age': '1e200' is too large"),
    (put("val.csv", 2, "age", "-1e155"), "val.csv, line 3, column 'age': '-1e155' is too"),
    (put("val.csv", 2, "age", "old"), "val.csv, line 3, column 'age': 'old' is no number"),
    (put("val.csv", 2, "label", "maybe"), "val.csv, line 3, column 'label': class 'maybe'"),
    (put("train.csv", 0, "age", "city"), "more than one column is called 'city'"),
    (put("val.csv", 2, "seen", "3.4.24"), "column 'seen': '3.4.24' is no date as in"),
    (put("val.csv", 0, "age", "Age"), "val.csv has no column 'age'"),
]


@pytest.mark.parametrize(("edited", "message"), CELLS)
def test_cells(skfi, tables, edited, message):
    edit(tables, *edited)
    assert message in error_of(skfi(*trim(tables, "--json")))


def test_many_missing_labels(skfi, tables):
    def change(rows):
        for row in rows[1:15]:
            row[-1] = "NaN"

    edit(tables, "train.csv", change)
    line = error_of(skfi(*trim(tables, "--json")))
    assert "no label on lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 4 more" in line


def test_one_class(skfi, tables):
    edit(tables, "train.csv", lambda rows: [*rows[:1], *(r for r in rows if r[-1] == "no")])
    assert "labels are 'no'; a classifier needs at least two" in error_of(
        skfi(*trim(tables, "--json"))
    )
    assert "at least two" in error_of(skfi(*query(tables, "--json")))


def test_target(skfi, tables):
    line = error_of(skfi("trim", tables.path("train.csv"), "--target", "Label"))
    assert "no column 'Label' (--target). Did you mean 'label'?" in line
    assert "It has: id, age, income, city, code, seen, remark, label." in line
    line = error_of(skfi("trim", tables.path("train.csv"), "--target", "remark"))
    assert "160 different values in 160 rows" in line


def test_wrong_delimiter(skfi, tables):
    line = error_of(skfi(*trim(tables, "--json", "--delimiter", ";")))
    assert "Are its cells separated by another sign? See --delimiter." in line


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", b"\n \n", "a.csv is empty"),
        ("a.csv", b"x,label\n", "a.csv has column names but no rows"),
        ("a.csv", b"x,label\n1,a\n2\n", "a.csv, line 3: 1 cells, but the header has 2"),
        ("a.csv", b"x,label\n1,a\n\n2,b,c\n", "a.csv, line 4: 3 cells"),
        ("a.csv", b'x,label\n1,a\n"2,b\n3,b\n', "a.csv, line 3: unexpected end of data"),
        ("a.csv", b"x,label\n1,a\n\xff,b\n", "a.csv, line 3: byte 0xff is not utf-8"),
        ("a.csv.gz", b"x,label\n1,a\n2,b\n", "a.csv.gz is not a whole gzip file"),
        ("a.parquet", b"x,label\n1,a\n2,b\n", "a.parquet is not a Parquet file"),
        ("a.parquet", b"PAR1x,label\n1,a\n2,b\n", "a.parquet cannot be read"),
        ("a.xlsx", b"", "a.xlsx: the name must end in .csv"),
        ("a.csv", b"id,label\n1,a\n2,b\n3,a\n4,b\n", None),
        ("a.csv", b"d,label\nA-11,a\nA-12,b\nA-13,a\n", "no column to learn"),
        ("a.csv", b"x,label\n1,a\n2,b\n", "no two of one class"),
    ],
)
def test_files(skfi, tmp_path, name, raw, message):
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(raw)
    outcome = skfi("trim", tmp_path / name, "--target", "label", "--budget", "0")
    if message is None:
        assert outcome.code == 0, outcome.err
    else:
        assert message in error_of(outcome)


def test_paths(skfi, tables):
    line = error_of(skfi("trim", tables.path("none.csv"), "--target", "label"))
    assert "none.csv: there is no such file" in line
    (tables.folder / "dir.csv").mkdir()
    line = error_of(skfi("trim", tables.path("dir.csv"), "--target", "label"))
    assert "dir.csv is a directory" in line
    train, again = tables.path("train.csv"), tables.path("./train.csv")
    line = error_of(skfi("trim", train, "--target", "label", "--val", again))
    assert "--val is the training table itself" in line
    line = error_of(skfi("query", train, again, "--target", "label", "-n", "3"))
    assert "The pool is the labelled table itself" in line


@pytest.mark.parametrize("force", [False, True])
def test_outputs(skfi, tables, monkeypatch, force):
    """All are refused before anything is read, with --force as well."""
    monkeypatch.setattr(_trim, "read_as_asked", lambda *_: pytest.fail("work was begun"))
    forced = ("--force",) if force else ()

    def refused(*options):
        return error_of(skfi(*trim(tables, *forced, *options)))

    assert "is a file that is read" in refused("--out", tables.path("train.csv"))
    assert "is a file that is read" in refused("--scores", tables.path("./val.csv"))
    os.link(tables.path("train.csv"), tables.path("twin.csv"))
    assert "is a file that is read" in refused("--out", tables.path("twin.csv"))
    place = tables.path("new.csv")
    assert "--out and --scores are the same file" in refused("--out", place, "--scores", place)
    assert "there is no directory" in refused("--out", tables.path("no/kept.csv"))
    assert "must end in .csv as" in refused("--out", tables.path("kept.parquet"))
    assert "must end in .csv, .csv.gz" in refused("--scores", tables.path("scores.txt"))
    assert "must end in .html" in refused("--report", tables.path("page.pdf"))
    os.mkfifo(tables.path("pipe.csv"))
    assert "no regular file" in refused("--out", tables.path("pipe.csv"))


def test_budget_of_all_rows(skfi, tables):
    assert "would leave nothing" in error_of(skfi(*trim(tables, "--json", budget="160")))


def test_what_the_library_refuses(skfi, tables):
    """A budget that leaves no row of a class: the library's own words, on one line."""
    line = error_of(skfi(*trim(tables, "--json", "--influence", "loss", budget="159")))
    assert line.startswith("skfi: error: The budget asks for 159 rows, but only 158 can be")
    assert "--debug" in line
    with pytest.raises(ValueError, match="class"):
        skfi(*trim(tables, "--debug", "--influence", "loss", budget="159"))


def test_pool(skfi, tables):
    line = error_of(skfi(*query(tables, "--json", n=61)))
    assert "-n 61" in line
    assert "pool.csv has 60 rows" in line
    edit(tables, *put("pool.csv", 4, "income", "much"))
    line = error_of(skfi(*query(tables, "--json")))
    assert "pool.csv, line 5, column 'income': 'much' is no number" in line
    edit(tables, *put("pool.csv", 0, "income", "incomes"))
    line = error_of(skfi(*query(tables, "--json")))
    assert "pool.csv has no column 'income'" in line
    assert "Did you mean 'incomes'?" in line
    edit(tables, *put("pool.csv", 0, "id", "skfi_row"))
    line = error_of(skfi(*query(tables, "--json", "--out", tables.path("ask.csv"))))
    assert "has a column 'skfi_row' already" in line


def test_types_of_a_parquet_pool(skfi, tables):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.read_csv(tables.path("train.csv"), dtype={"code": str})
    frame.to_parquet(tables.path("train.parquet"))
    files = ("query", tables.path("train.parquet"), tables.path("pool.parquet"))
    for column, values, message in [
        ("city", 1.5, "column 'city' holds numbers, and text in"),
        ("age", pd.Timestamp("2024-01-01"), "column 'age' holds dates or times, and numbers"),
    ]:
        frame.drop(columns="label").assign(**{column: values}).to_parquet(files[2])
        assert message in error_of(skfi(*files, "--target", "label", "-n", 3, "--json"))


def test_a_text_column_that_training_does_not_know_is_told(skfi, tables):
    edit(
        tables,
        "pool.csv",
        lambda rows: [rows[0], *([*r[:3], "Lima", *r[4:]] for r in rows[1:])],
    )
    outcome = skfi(*query(tables))
    assert outcome.code == 0
    assert "no value of column 'city' occurs in" in outcome.err


def test_nearly_numbers_are_told(skfi, tables):
    edit(tables, *put("train.csv", 5, "income", "12,5"))
    outcome = skfi(*trim(tables))
    assert outcome.code == 0
    told = "line 6, column 'income': '12,5' is no number, so the column is taken as text."
    assert told in outcome.err
    edit(tables, *put("train.csv", 9, "income", "?!"))
    assert "nor is 1 more cell, so the column is taken as text" in skfi(*trim(tables)).err
    assert "left out: income" in outcome.out


def test_wide_files_say_which_columns_there_are(skfi, tmp_path):
    write(tmp_path / "a.csv", [[f"c{k}" for k in range(50)], ["1"] * 50])
    line = error_of(skfi("trim", tmp_path / "a.csv", "--target", "label"))
    assert "c29 and 20 more" in line


def test_without_pyarrow(skfi, tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    line = error_of(skfi("trim", tmp_path / "a.parquet", "--target", "label"))
    assert line.endswith('needs pyarrow, which is not installed: pip install "skfi[cli]"')


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("trim",),
        ("sort", "a.csv"),
        ("trim", "a.csv"),
        ("trim", "a.csv", "--target", "y", "--budget", "0.05"),
        ("trim", "a.csv", "--target", "y", "--budget", "100%"),
        ("trim", "a.csv", "--target", "y", "--budget", "-3"),
        ("trim", "a.csv", "--target", "y", "--model", "svm"),
        ("trim", "a.csv", "--target", "y", "--seed", "-1"),
        ("trim", "a.csv", "--target", "y", "--encoding", "hex"),
        ("trim", "a.csv", "--target", "y", "--delimiter", "ab"),
        ("query", "a.csv", "b.csv", "--target", "y"),
        ("query", "a.csv", "b.csv", "--target", "y", "-n", "0"),
    ],
)
def test_wrong_use(skfi, arguments):
    outcome = skfi(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "usage: skfi" in outcome.err


def test_control_characters_do_not_reach_the_terminal(skfi, tables):
    edit(tables, *put("train.csv", 0, "age", "a\x1b[2Jge"))
    edit(tables, *put("val.csv", 0, "age", "a\x1b[2Jge"))
    outcome = skfi(*trim(tables))
    assert outcome.code == 0, outcome.err
    assert "\x1b" not in outcome.out + outcome.err
    assert r"a\x1b[2Jge" in outcome.out


def test_nor_do_those_of_the_librarys_messages(capsys):
    console = Console()
    with console.warnings_as_notes():
        warnings.warn("class \x1b[2J\nshrank", UserWarning, stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: class \\x1b[2J shrank\n"


def test_text_of_many_values_is_no_category_unless_it_is_said(skfi, tmp_path):
    rows = [["x", "kind", "y"], *([k * k, f"k{k % 50}", "ab"[k % 3 > 0]] for k in range(300))]
    write(tmp_path / "a.csv", rows)
    given = ("trim", tmp_path / "a.csv", "--target", "y", "--budget", "0")
    assert "texts (1; components of their letter sequences): kind" in skfi(*given).out
    assert "categories (1; one-hot): kind" in skfi(*given, "--categorical", "kind").out


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_as_a_module():
    outcome = run("-m", "skfi", "--version")
    assert (outcome.returncode, outcome.stdout) == (0, f"skfi {package.__version__}\n")


def test_without_pandas(tmp_path):
    """The library does not load the commands, and the commands tell what they lack."""
    code = (
        "import sys; sys.modules['pandas'] = None; import skfi; "
        "assert 'skfi._cli' not in sys.modules; from skfi._cli import main; "
        "assert main(['--help']) == 0; sys.exit(main(['trim', 'a.csv', '--target', 'y']))"
    )
    outcome = run("-c", code)
    assert outcome.returncode == 1
    assert outcome.stdout.startswith("usage: skfi")
    assert "query" in outcome.stdout
    assert outcome.stderr == (
        "skfi: error: The command line needs pandas, which is not installed: "
        'pip install "skfi[cli]"\n'
    )


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("name", ["skfi", "other"])
def test_interrupted_while_modules_load(tmp_path, name):
    """One line of the command; a traceback, as ever, of another program."""
    script = tmp_path / name
    script.write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'skfi.influence':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored behind nohup
        "sys.meta_path.insert(0, Finder())\n"
        "from skfi._cli import main\n"
        "sys.exit(main())\n"
    )
    outcome = run(script, "--version")
    if name == "skfi":
        assert (outcome.returncode, outcome.stderr) == (130, "skfi: error: interrupted.\n")
    else:
        assert "KeyboardInterrupt" in outcome.stderr
    assert outcome.stdout == ""
