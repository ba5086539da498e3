"""The dropped rows in the page: values keep their meaning, and text stays text."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest

from skfi import FITrimmer
from skfi.report._report import html_report
from skfi.report._rows import Column, Rows, make_column, to_bytes, value_range

from .test_html_report import HOSTILE, Page, X, Y, pd


@pytest.fixture(scope="module")
def trimmer():
    return FITrimmer(budget=15, step=None, validation=3, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def page(trimmer):
    return Page(html_report(trimmer))


def test_rows_are_those_of_the_report(trimmer, page):
    report = trimmer.report()
    assert page.column("position (from 0)") == trimmer.trimmed_indices_.tolist()
    assert page.column("order") == list(range(1, 16))
    assert page.column("given label") == report["given_label"].tolist()
    assert page.column("predicted label") == report["predicted_label"].tolist()
    assert page.column("loss") == report["loss"].tolist()
    assert page.column("score") == report["influence"].tolist()
    lowers = report["removal_lowers_validation_loss"].map({True: "yes", False: "no"})
    assert page.column("removal lowers loss") == lowers.tolist()
    assert "index" not in [column["name"] for column in page.rows()["columns"]]


def test_users_columns_follow(trimmer):
    frame = pd.DataFrame({"number": np.arange(120), "word": [f"w{i}" for i in range(120)]})
    page = Page(html_report(trimmer, frame=frame))
    gone = trimmer.trimmed_indices_
    assert page.column("number") == gone.tolist()
    assert page.column("word") == [f"w{i}" for i in gone]
    assert [column["first"] for column in page.rows()["columns"]][-2:] == [True, False]


def test_arrays_get_names(trimmer):
    names = [column["name"] for column in Page(html_report(trimmer, frame=X)).rows()["columns"]]
    assert names[-4:] == [f"column {k}" for k in range(4)]
    words = np.array([f"w{i}" for i in range(120)])
    page = Page(html_report(trimmer, frame=words))
    assert page.column("value") == words[trimmer.trimmed_indices_].tolist()
    page = Page(html_report(trimmer, frame=words.tolist()))
    assert page.column("value") == words[trimmer.trimmed_indices_].tolist()
    listed = Page(html_report(trimmer, frame=X.tolist()))
    assert listed.column("column 3") == X[trimmer.trimmed_indices_, 3].tolist()
    named = FITrimmer(budget=2, step=None, validation=3).fit(
        pd.DataFrame(X, columns=list("abcd")), Y
    )
    names = [column["name"] for column in Page(html_report(named, frame=X)).rows()["columns"]]
    assert names[-4:] == list("abcd")


def test_tables_of_other_libraries(trimmer):
    pa = pytest.importorskip("pyarrow")
    words = [f"w{i}" for i in range(120)]
    gone = [words[i] for i in trimmer.trimmed_indices_]
    page = Page(html_report(trimmer, frame=pa.table({"word": words})))
    assert page.column("word") == gone
    page = Page(html_report(trimmer, frame=pa.array(words)))
    assert page.column("value") == gone


def test_index_is_shown_and_checked():
    frame = pd.DataFrame(X, index=[f"r{i}" for i in range(120)], columns=list("abcd"))
    fitted = FITrimmer(budget=5, step=None, validation=3).fit(frame, Y)
    names = [f"r{i}" for i in fitted.trimmed_indices_]
    page = Page(html_report(fitted, frame=frame))
    assert page.column("index") == names
    assert page.column("a") == frame.loc[names, "a"].tolist()
    with pytest.raises(ValueError, match="in another order"):
        html_report(fitted, frame=frame.iloc[::-1])
    html_report(fitted, frame=frame.reset_index())  # another index says nothing
    counted = frame.reset_index(drop=True)
    fitted.fit(counted, Y)
    with pytest.raises(ValueError, match="in another order"):
        html_report(fitted, frame=counted.iloc[::-1])
    fitted.fit(X, Y)  # which has no index that could differ
    html_report(fitted, frame=counted.iloc[::-1])


def test_max_rows_and_columns(trimmer):
    page = Page(html_report(trimmer, max_rows=4, frame=np.zeros((120, 130))))
    data = page.rows()
    assert data["count"] == 4
    assert page.column("position (from 0)") == trimmer.trimmed_indices_[:4].tolist()
    assert sum(column["id"] == "" for column in data["columns"]) == 100
    assert "first 4 of 15 dropped rows" in page.text
    assert "first 100 of 130 columns" in page.text


def test_hostile_text_stays_text():
    labels = np.array(HOSTILE[:2])[Y]
    index = [f"{HOSTILE[0]}{i}" for i in range(120)]
    cells = np.array([HOSTILE[k % 10 :] + HOSTILE[: k % 10] for k in range(120)], dtype=object)
    columns = pd.Index(HOSTILE, dtype=object)
    frame = pd.DataFrame(cells, index=index, columns=columns, dtype=object)
    frame.insert(10, HOSTILE[0], "x", allow_duplicates=True)  # one name twice
    fitted = FITrimmer(budget=10, step=None, validation=3, random_state=0)
    fitted.fit(pd.DataFrame(X, index=frame.index), labels)
    text = html_report(fitted, frame=frame, title=HOSTILE[1], date=HOSTILE[0])
    page = Page(text)
    assert [tag for tag, _, _ in page.raw] == ["style", "script", "script"]
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert not page.comments
    assert "49" not in re.findall(r"<bdi>(.*?)</bdi>", text)
    data = page.rows()
    assert [column["name"] for column in data["columns"]][-11:] == [*HOSTILE, HOSTILE[0]]
    assert page.column(HOSTILE[3]) == frame[HOSTILE[3]].iloc[fitted.trimmed_indices_].tolist()
    (json_text,) = [text for _, attrs, text in page.raw if "id" in attrs]
    assert not re.search("[<>&\u2028\u2029\x00]", json_text)
    assert json_text.isascii()
    text.encode()  # no lone surrogate is left


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pd.Series([1, 2]), "number", [1, 2]),
        (pd.Series([1, None], dtype="Int64"), "number", [1, None]),
        (pd.Series([2**53 + 1, 1]), "text", ["9007199254740993", "1"]),
        (pd.Series([-(2**60), 1]), "text", ["-1152921504606846976", "1"]),
        (pd.Series([2**64 - 1], dtype="uint64"), "text", ["18446744073709551615"]),
        (pd.Series([0.1, np.nan, np.inf, -np.inf]), "number", [0.1, None, 1e999, -1e999]),
        (pd.Series([0.1, 1e-30], dtype="float32"), "number", [0.1, 1e-30]),
        (pd.Series([True, False]), "text", ["True", "False"]),
        (pd.Series([True, None], dtype="boolean"), "text", ["True", None]),
        (pd.Series([1, 2.5], dtype=object), "number", [1, 2.5]),
        (pd.Series([1, "a", None], dtype=object), "text", ["1", "a", None]),
        (pd.Series(["a", None]), "text", ["a", None]),
        (pd.Series(["a", "b"], dtype="category"), "text", ["a", "b"]),
        (pd.Series([1 + 2j]), "text", ["(1+2j)"]),
        (pd.Series([[1, 2], {"a": 1}]), "text", ["[1, 2]", "{'a': 1}"]),
        (
            pd.Series(pd.to_datetime(["2020-01-01", None])),
            "text",
            ["2020-01-01 00:00:00", None],
        ),
        (pd.Series([], dtype=float), "number", []),
    ],
)
def test_values_keep_their_meaning(values, kind, expected):
    column = make_column("", "x", values)
    assert column.kind == kind
    (read,) = json.loads(Rows([column], len(values), [], False, []).json())["data"]
    assert read == expected


def test_short_values():
    column = Column("", "x", "number", [1, 2.0, 0.12345, 1.5e-7, 12345.6, np.nan, np.inf])
    shown = [column.shown(k) for k in range(7)]
    assert shown == ["1", "2", "0.1235", "1.50e-07", "12346", "", "inf"]
    text = Column("", "x", "text", [None, "a" * 400])
    assert [text.shown(0), len(text.shown(1))] == ["", 301]


def test_pictures_are_those_of_the_rows(trimmer):
    image = pytest.importorskip("PIL.Image")
    images = np.random.default_rng(0).integers(0, 256, (120, 6, 5, 3), dtype=np.uint8)
    data = Page(html_report(trimmer, images=images)).rows()
    assert len(data["pictures"]) == 15
    for row, uri in zip(trimmer.trimmed_indices_, data["pictures"], strict=True):
        assert uri.startswith("data:image/png;base64,")
        read = image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
        np.testing.assert_array_equal(np.asarray(read), images[row])
    assert data["pixelated"]


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 4), (300, 200, 3)])
def test_pictures_of_every_kind(trimmer, shape):
    image = pytest.importorskip("PIL.Image")
    images = np.random.default_rng(0).random((120, *shape), dtype=np.float32)
    uri = Page(html_report(trimmer, images=images, max_rows=1)).rows()["pictures"][0]
    read = image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert max(read.size) <= 112


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([0, 16], dtype=np.uint8), [0, 16]),
        (np.array([0.0, 0.5]), [0, 128]),
        (np.array([0, 16]), [0, 255]),
        (np.array([5.0, 7.0, 6.0]), [0, 255, 128]),
        (np.array([-1.0, 1.0]), [0, 255]),
        (np.array([True, False]), [255, 0]),
        (np.array([np.nan, 1.0, np.inf]), [0, 255, 0]),
        (np.array([np.nan, np.nan]), [0, 0]),
        (np.array([7.0, 7.0]), [0, 0]),
        (np.array([-(10**6), 10**6], dtype=np.int32), [0, 255]),
    ],
)
def test_range_of_pictures(pixels, expected):
    images = pixels[None, None]
    low, high = value_range(images, np.array([0]))
    assert to_bytes(images[0], low, high).tolist() == [expected]


def test_rows_may_be_dicts_or_lists(trimmer):
    frame = pd.DataFrame({"number": np.arange(120), "word": [f"w{i}" for i in range(120)]})
    expected = html_report(trimmer, frame=frame)
    assert html_report(trimmer, frame=frame.to_dict("records")) == expected
    page = Page(html_report(trimmer, frame=frame.to_numpy().tolist()))
    assert page.column("column 1") == [f"w{i}" for i in trimmer.trimmed_indices_]
    with pytest.raises(TypeError, match="one value, dict or list for each row"):
        html_report(trimmer, frame=[{1, 2}] * 120)


class TestReport:
    """`report` keeps the index of X, and adds the user's columns."""

    def test_the_name_of_the_index_is_kept(self):
        table = pd.DataFrame(X, index=pd.Index([f"id{k}" for k in range(120)], name="patient"))
        table.columns = [f"x{k}" for k in range(X.shape[1])]
        report = FITrimmer(budget=5, step=None).fit(table, Y).report()
        assert report.index.name == "patient"
        assert report.join(table).shape == (5, 7 + X.shape[1])
        assert FITrimmer(budget=0).fit(table, Y).report().index.name == "patient"

    def test_levels_are_kept(self):
        index = pd.MultiIndex.from_product([range(30), list("abcd")], names=["day", "shift"])
        table = pd.DataFrame(X, index=index, columns=[f"x{k}" for k in range(X.shape[1])])
        fitted = FITrimmer(budget=5, step=None).fit(table, Y)
        report = fitted.report()
        assert report.index.names == ["day", "shift"]
        joined = report.join(table)
        np.testing.assert_array_equal(joined["x0"], X[report["position"], 0])
        page = Page(fitted.to_html(frame=table))
        assert page.column("x0") == X[report["position"], 0].tolist()
        assert page.column("index") == [str(key) for key in report.index]

    def test_columns_are_added(self, trimmer):
        frame = pd.DataFrame({"word": [f"w{i}" for i in range(120)]})
        for given in (frame, frame["word"], frame.to_dict("records")):
            report = trimmer.report(frame=given)
            assert report["word"].tolist() == [f"w{i}" for i in trimmer.trimmed_indices_]
            pd.testing.assert_frame_equal(report.drop(columns="word"), trimmer.report())
        with pytest.raises(ValueError, match=r"has the columns \['loss'\].*Rename"):
            trimmer.report(frame=frame.rename(columns={"word": "loss"}))
        with pytest.raises(ValueError, match="frame has 7 rows"):
            trimmer.report(frame=frame[:7])
