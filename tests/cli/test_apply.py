"""``skfi apply``: decisions written into a table, and every other byte kept."""

from __future__ import annotations

import csv
import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skfi._cli._records import with_cell

TABLE = (
    b"id,note,label\r\n"
    b'1,"a, ""quoted"" note",ham\r\n'
    b"007, 1.50 ,spam\r\n"
    b"3,,ham\n"
    b'4,"two\nlines"," spam "\r\n'
    b"5,last,ham"
)
DECISIONS = "row,action,label\n1,relabel,spam\n3,drop,\n4,relabel,ham\n5,keep,\n"
CORRECTED = (
    b"id,note,label\r\n"
    b'1,"a, ""quoted"" note",spam\r\n'
    b"007, 1.50 ,spam\r\n"
    b'4,"two\nlines"," ham "\r\n'
    b"5,last,ham\r\n"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.csv").write_bytes(TABLE)
    (tmp_path / "decisions.csv").write_text(DECISIONS)
    return tmp_path


@pytest.fixture
def apply(skfi, folder):
    def run(*options, train="train.csv", decisions="decisions.csv", out="out.csv"):
        paths = [folder / train, folder / decisions]
        return skfi("apply", *paths, "--target", "label", "--out", folder / out, *options)

    return run


def test_cells_that_are_not_decided_keep_their_bytes(apply, folder):
    done = apply()
    assert done.code == 0, done.err
    assert (folder / "out.csv").read_bytes() == CORRECTED
    assert "4 of 5 rows decided: 1 to keep, 1 to drop, 2 to relabel." in done.out
    assert "4 rows, 2 with another label." in done.out


def test_zipped_tables_and_other_signs(apply, folder):
    text = TABLE.decode().replace(",", ";")
    (folder / "train.csv.gz").write_bytes(gzip.compress(text.encode("utf-16")))
    done = apply("--encoding", "utf-16", train="train.csv.gz", out="out.csv.gz")
    assert done.code == 0, done.err
    written = gzip.decompress((folder / "out.csv.gz").read_bytes()).decode("utf-16")
    assert written == CORRECTED.decode().replace(",", ";")


@pytest.mark.parametrize("kind", ["text", "dictionary", "int64", "bool"])
def test_parquet_keeps_its_types(apply, folder, kind):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    values = {
        "text": pa.array(["ham", "spam", "ham", "spam", "ham"]),
        "dictionary": pa.array(["ham", "spam", "ham", "spam", "ham"]).dictionary_encode(),
        "int64": pa.array([0, 1, 0, 1, 0]),
        "bool": pa.array([False, True, False, True, False]),
    }[kind]
    table = pa.table({"x": pa.array([1.5, None, 2.0, 3.0, 4.0]), "label": values})
    pq.write_table(table, folder / "train.parquet")
    first, second = (str(value).lower() for value in values.slice(0, 2).to_pylist())
    (folder / "decisions.csv").write_text(
        f"row,action,label\n1,relabel,{second}\n3,drop,\n4,relabel,{first}\n"
    )
    done = apply(train="train.parquet", out="out.parquet")
    assert done.code == 0, done.err
    written = pq.read_table(folder / "out.parquet")
    assert written.schema == table.schema
    assert written["x"].to_pylist() == [1.5, None, 3.0, 4.0]
    y = values.to_pylist()
    assert written["label"].to_pylist() == [y[1], y[1], y[0], y[0]]


def test_json(apply):
    done = apply("--json")
    result = json.loads(done.out)
    assert result["decisions"] | {"file": None} == {
        "file": None, "keep": 1, "drop": 1, "relabel": 2
    }  # fmt: skip
    assert result["relabelled_rows"] == [1, 4]
    assert result["dropped_rows"] == [3]
    assert result["rows"] == 4


def test_a_label_that_the_row_has_already_is_noted(apply, folder):
    (folder / "decisions.csv").write_text("row,action,label\n1,relabel,ham\n")
    done = apply()
    assert "1 row to relabel already has that label" in done.err
    assert (folder / "out.csv").read_bytes() == TABLE + b"\r\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row,action,label\n6,drop,\n", "row 6: there are 5 rows"),
        ("row,action,label\n1,relabel,eggs\n", "'eggs' is not a label of the data"),
        ("row;action;label\n1;drop;\n", "decisions have"),
        (
            "row,action,label\n" + "".join(f"{k},drop,\n" for k in range(1, 6)),
            "drops all 5 rows",
        ),
    ],
)
def test_nothing_is_written_where_decisions_do_not_fit(apply, folder, text, message):
    (folder / "decisions.csv").write_text(text)
    done = apply()
    assert done.code == 1
    assert message in done.err
    assert not (folder / "out.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decisions": "none.csv"}, "there is no such file"),
        ({"decisions": "."}, "cannot be read"),
        ({"out": "train.csv"}, "Input files are never changed"),
        ({"out": "decisions.csv"}, "Input files are never changed"),
        ({"out": "out.parquet"}, "must end in .csv"),
    ],
)
def test_files_that_cannot_be_meant(apply, folder, options, message):
    done = apply("--force", **options)
    assert done.code == 1
    assert message in done.err
    assert (folder / "train.csv").read_bytes() == TABLE


cell_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(st.lists(cell_texts, min_size=1, max_size=4), st.data())
def test_only_one_cell_of_a_record_changes(cells, data):
    text = io.StringIO(newline="")
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    csv.writer(text, quoting=quoting, lineterminator="\r\n").writerow(cells)  # both are quoted
    place = data.draw(st.integers(0, len(cells) - 1))
    new = data.draw(cell_texts.map(str.strip).filter(bool))
    changed = with_cell(text.getvalue(), place, new, ",")
    (read,) = csv.reader(io.StringIO(changed, newline=""), strict=True)
    assert read[place].strip() == new
    assert np.array_equal(read[:place] + read[place + 1 :], cells[:place] + cells[place + 1 :])
