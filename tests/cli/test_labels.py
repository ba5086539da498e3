"""Labels that are no classes are refused at once; one class has one meaning in all files."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.cli.conftest import write
from tests.cli.test_errors import error_of
from tests.cli.test_newcomer import told_of

pd = pytest.importorskip("pandas")

N = 3000
DAYS = pd.date_range("2020-01-01", periods=1300).strftime("%Y-%m-%d")


@pytest.fixture(scope="module")
def customers(tmp_path_factory):
    """3,000 rows: dates, post codes, ages and a label of two classes."""
    rng = np.random.default_rng(0)
    table = {
        "signup_date": DAYS[np.arange(N) % 1300],
        "zip_code": 10000 + 7 * rng.integers(0, 400, N),
        "age": rng.integers(18, 85, N),
        "income": rng.lognormal(3, 1, N).round(2),
        "plan": rng.choice(["a", "b", "c"], N),
        "street": [f"street {k}" for k in rng.integers(0, 600, N)],
        "numbered": np.arange(N) % 40,
        "churned": rng.choice(["yes", "no"], N),
    }
    path = tmp_path_factory.mktemp("customers") / "t.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    return path


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="peak memory of a process is not known")
@pytest.mark.parametrize("target", ["signup_date", "zip_code"])
def test_a_wrong_target_takes_neither_time_nor_memory(customers, target):
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "skfi", "trim", customers, "--target", target],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        out, err = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 1
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert peak < 2**30
    assert usage.ru_utime + usage.ru_stime < 10  # of its own: others may be at work as well
    assert time.monotonic() - start < 30
    assert out == ""
    (line,) = [line for line in err.splitlines() if "error" in line]
    assert line.startswith("skfi: error: ")
    assert "--target" in line
    assert "'churned' (2), 'plan' (3)" in line


def both(customers, target, *options):
    """The same refusal of both commands."""
    yield ("trim", customers, "--target", target, *options)
    pool = customers.with_name("pool.csv")
    if not pool.exists():
        pool.write_text(customers.read_text())
    yield ("query", customers, pool, "--target", target, "-n", "2", *options)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("signup_date", "holds dates or times (1300 different ones), not classes. Pass the"),
        ("zip_code", "different values in 3000 rows. Pass the column of labels to --target."),
        ("street", "different values in 3000 rows. Pass"),
        ("age", "has 67 different values in 3000 rows, all of them numbers. Pass"),
    ],
)
def test_labels_that_are_no_classes(skfi, customers, target, words):
    for arguments in both(customers, target):
        line = error_of(skfi(*arguments))
        assert words in line
        assert ("--force takes them as classes" in line) == (target != "signup_date")
    for arguments in both(customers, "signup_date", "--force"):
        assert "dates or times" in error_of(skfi(*arguments))


def test_force_takes_many_classes_and_classes_may_be_numbered(skfi, customers):
    options = ("--influence", "random", "--budget", "1", "--model", "extra-trees")
    small = customers.with_name("small.csv")
    lines = customers.read_text().splitlines()
    small.write_text("\n".join(lines[:241]))
    told = told_of(skfi("trim", small, "--target", "numbered", *options, "--json"))
    assert len(told["classes"]) == 40
    assert "--force" in error_of(skfi("trim", small, "--target", "age", *options))
    told = told_of(skfi("trim", small, "--target", "age", "--force", *options, "--json"))
    assert len(told["classes"]) > 50


@pytest.mark.parametrize(
    "write_label",
    ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%y", "%d %b %Y", "%B %d, %Y", "%Y-%m-%dT%H:%M:%S"],
)
def test_dates_as_people_write_them(skfi, tmp_path, write_label):
    days = pd.date_range("2024-01-28", periods=4)
    rows = [["x", "y"], *([k, days[k % 4].strftime(write_label)] for k in range(40))]
    write(tmp_path / "t.csv", rows)
    line = error_of(skfi("trim", tmp_path / "t.csv", "--target", "y"))
    assert "holds dates or times (4 different ones), not classes" in line


def test_dates_of_parquet(skfi, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"x": range(8), "d": pd.date_range("2024-01-01", periods=8)})
    frame["label"] = list("abababab")
    frame.to_parquet(tmp_path / "t.parquet")
    line = error_of(skfi("trim", tmp_path / "t.parquet", "--target", "d"))
    assert "column 'd' holds dates or times, not classes. Pass the column of labels" in line
    assert "'label' (2)" in line


FILES = [
    (["True", "False"], [True, False], ["True", "False"]),
    (["TRUE", "FALSE"], [True, False], ["TRUE", "FALSE"]),
    (["0", "1"], [0.0, 1.0], ["0", "1"]),
    (["0.0", "1.0"], [0, 1], ["0.0", "1.0"]),
    (["0.50", "1.50"], [0.5, 1.5], ["0.50", "1.50"]),
]


@pytest.mark.parametrize(("in_csv", "in_parquet", "classes"), FILES)
@pytest.mark.parametrize("train", ["csv", "parquet"])
def test_a_class_is_the_same_in_csv_and_parquet(
    skfi, tmp_path, in_csv, in_parquet, classes, train
):
    """And so is a category, of which the label is a copy here."""
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    code, other = rng.integers(0, 2, 80), rng.integers(0, 2, 80)
    x = rng.normal(size=80).round(2)

    def frame(values):
        values = pd.Series(values)
        return pd.DataFrame(
            {"x": x, "kind": values[other].to_numpy(), "y": values[code].to_numpy()}
        )

    frame(in_csv).to_csv(tmp_path / "a.csv", index=False)
    frame(in_parquet).to_parquet(tmp_path / "a.parquet")
    frame(in_csv).to_csv(tmp_path / "b.csv", index=False)
    frame(in_parquet).to_parquet(tmp_path / "b.parquet")
    val = "parquet" if train == "csv" else "csv"
    options = ("--target", "y", "--budget", "3", "--influence", "loss", "--categorical", "kind")

    def told(name, *more):
        files = (tmp_path / f"a.{train}", "--val", tmp_path / name)
        return told_of(skfi("trim", *files, *options, "--json", *more))

    mixed, plain = told(f"a.{val}"), told(f"b.{train}")
    assert mixed["dropped_rows"] == plain["dropped_rows"]
    assert mixed["accuracy"]["after"] == plain["accuracy"]["after"]
    if train == "csv":
        assert {one["label"] for one in mixed["classes"]} == set(classes)
        noted = any("labels are written differently in" in n for n in mixed["notes"])
        assert noted == (classes != ["0", "1"])  # whole floats are written without a point
    asked = ("--target", "y", "-n", "3", "--strategy", "margin", "--categorical", "kind")
    outcome = skfi("query", tmp_path / f"a.{train}", tmp_path / f"a.{val}", *asked)
    assert outcome.code == 0
    assert "occurs in" not in outcome.err


def test_a_spelling_that_could_be_two_classes_is_refused(skfi, tmp_path):
    x = [str(k * k) for k in range(40)]
    labels = ["True", "true", "no", "maybe"] * 10
    write(tmp_path / "a.csv", [["x", "y"], *zip(x, labels, strict=True)])
    write(tmp_path / "b.csv", [["x", "y"], *zip(x, ["TRUE"] * 40, strict=True)])
    options = ("--target", "y", "--budget", "1")
    line = error_of(skfi("trim", tmp_path / "a.csv", "--val", tmp_path / "b.csv", *options))
    assert "class 'TRUE' does not occur in" in line


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["LEFT", "Left", "right"], "'LEFT', 'Left' count as different classes, and differ"),
        (["0", "0.0", "1"], "'0', '0.0' count as different classes, and differ"),
        (["007", "7", "1"], None),
    ],
)  # fmt: skip
def test_classes_that_look_alike_are_noted_in_plain_words(skfi, tmp_path, labels, words):
    write(tmp_path / "a.csv", [["x", "y"], *([k * k, labels[k % 3]] for k in range(60))])
    options = ("--target", "y", "--budget", "1", "--influence", "loss")
    outcome = skfi("trim", tmp_path / "a.csv", *options)
    assert outcome.code == 0, outcome.err
    assert "np.str_" not in outcome.err
    assert (words in outcome.err) if words else ("different classes" not in outcome.err)


def test_large_whole_numbers_of_parquet_are_told_apart(skfi, tmp_path):
    """As labels, and as a column, which has too many digits for a float."""
    pytest.importorskip("pyarrow")
    large = np.array([2**64 - 1 - k % 3 for k in range(60)], dtype=np.uint64)
    frame = pd.DataFrame({"x": np.arange(60) ** 2, "big": large, "y": ["a", "b"] * 30})
    frame.to_parquet(tmp_path / "a.parquet")
    options = ("--budget", "1", "--influence", "loss", "--json")
    told = told_of(skfi("trim", tmp_path / "a.parquet", "--target", "big", *options))
    assert [one["label"] for one in told["classes"]] == [str(2**64 - k) for k in (3, 2, 1)]
    told = told_of(skfi("trim", tmp_path / "a.parquet", "--target", "y", *options))
    assert told["columns"]["left_out"] == {"big": "numbers that are equal to 16 digits"}
    options = (*options, "--categorical", "big")
    told = told_of(skfi("trim", tmp_path / "a.parquet", "--target", "y", *options))
    assert told["columns"]["categories"] == ["big"]


def test_a_category_that_tells_nothing_says_so(skfi, tmp_path):
    rows = [[k * k, f"note {k}", f"kind {k if k < 50 else 0}", "ab"[k % 2]] for k in range(80)]
    write(tmp_path / "a.csv", [["x", "note", "kind", "y"], *rows])
    options = ("--target", "y", "--budget", "1", "--influence", "loss")
    options += ("--categorical", "note", "--categorical", "kind")
    outcome = skfi("trim", tmp_path / "a.csv", *options)
    assert "left out: note (no value of it is in 5 rows, so it tells nothing)" in outcome.out
    assert "categories (1; one-hot): kind" in outcome.out
    pool = tmp_path / "pool.csv"
    pool.write_text((tmp_path / "a.csv").read_text())
    outcome = skfi("query", tmp_path / "a.csv", pool, *options[:2], "-n", "2", *options[-4:])
    assert "left out: note (no value of it is in 5 rows" in outcome.out


@pytest.mark.parametrize("value", ["1e155", "-3e200"])
def test_numbers_too_large_to_compute_with(skfi, tables, value):
    from tests.cli.test_errors import edit, put
    from tests.cli.test_query import query
    from tests.cli.test_trim import trim

    edit(tables, *put("pool.csv", 5, "income", value))
    line = error_of(skfi(*query(tables)))
    assert f"pool.csv, line 6, column 'income': '{value}' is too large to compute with" in line
    edit(tables, *put("train.csv", 5, "income", value))
    line = error_of(skfi(*trim(tables)))
    assert f"train.csv, line 6, column 'income': '{value}' is too large to compute with" in line
