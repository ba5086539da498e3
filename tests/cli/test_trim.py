"""``skfi trim``: what is dropped, what is written, what is told."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from skfi._cli import _trim
from skfi._cli._accuracy import Accuracy, points
from skfi._cli._query import STRATEGIES
from skfi._cli._trim import _at_the_edge
from skfi.trimming._methods import METHODS
from tests.cli.conftest import read, write

pd = pytest.importorskip("pandas")


def trim(tables, *options, val=True, budget="20"):
    """Arguments of a run that takes a second at most."""
    checked = ("--val", tables.path("val.csv")) if val else ()
    target = ("--target", "label", "--budget", budget)
    return ("trim", tables.path("train.csv"), *checked, *target, *options)


def scores_of(path):
    head, *rows = read(path)
    return {name: [row[k] for row in rows] for k, name in enumerate(head)}


def test_fixed_budget(skfi, tables):
    out, scored = tables.path("kept.csv"), tables.path("scores.csv")
    outcome = skfi(*trim(tables, "--out", out, "--scores", scored))
    assert outcome.code == 0, outcome.err
    scores = scores_of(scored)
    assert scores["row"] == [str(row) for row in range(1, 161)]
    assert scores["line"] == [str(line) for line in range(2, 162)]
    assert scores["given_label"] == [row[-1] for row in read(tables.path("train.csv"))[1:]]
    dropped = np.array(scores["decision"]) == "dropped"
    assert dropped.sum() == 20
    assert tables.wrong[dropped].mean() > 0.5  # 15 % by chance
    # A dropped row was not trained on: a wrong label is not believed.
    agree = np.array(scores["given_label"]) == np.array(scores["predicted_label"])
    assert agree[dropped & tables.wrong].mean() < 0.2
    probability = np.array(scores["predicted_probability"], dtype=float)
    own = np.array(scores["given_label_probability"], dtype=float)
    np.testing.assert_allclose(own, np.where(agree, probability, 1 - probability))
    harm = np.array(scores["removal_gain"], dtype=float)[dropped]
    assert (harm > 0).all()

    lines = (tables.folder / "train.csv").read_text().splitlines()
    kept = [line for line, gone in zip(lines[1:], dropped, strict=True) if not gone]
    assert (tables.folder / "kept.csv").read_text().splitlines() == [lines[0], *kept]

    assert "Dropped 20 of 160 rows (as asked)." in outcome.out
    assert f"5 held-out folds of {tables.path('val.csv')}" in outcome.out
    assert "numbers (2; mean for missing ones and a flag, scaled): age, income" in outcome.out
    assert "dates (1; year, season, time" in outcome.out
    assert "categories (2; one-hot): city, code" in outcome.out
    assert "texts (1; components of their letter sequences): remark" in outcome.out
    assert "left out: id (counts the rows)" in outcome.out
    first = outcome.out.split("Dropped first")[1].splitlines()[2].split()
    place = scores["rank"].index("1")
    names = ("row", "line", "given_label", "predicted_label")
    assert first[:4] == [scores[name][place] for name in names]
    assert f"Wrote {out}." in outcome.out


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_rows_are_those_of_the_library(skfi, tables, library):
    """The page's encoder, on the columns that are not left out, drops the same rows."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from skrub import DatetimeEncoder, StringEncoder, TableVectorizer

    from skfi import FITrimmer

    train, val = (
        pd.read_csv(tables.path(name), dtype={"code": object}).drop(columns="id")
        for name in ("train.csv", "val.csv")
    )
    for frame in (train, val):
        frame["code"] = "c" + frame["code"]  # or else skrub takes it for a number
    y, y_val = (frame.pop("label").to_numpy(dtype=str) for frame in (train, val))
    if library == "polars":
        polars = pytest.importorskip("polars")
        train, val = (polars.DataFrame(frame.to_dict("list")) for frame in (train, val))
    scaled = (StandardScaler(), SimpleImputer(add_indicator=True))
    encoded = TableVectorizer(
        numeric=make_pipeline(*scaled),
        datetime=make_pipeline(DatetimeEncoder(periodic_encoding="circular"), *scaled),
        high_cardinality=StringEncoder(8, random_state=0),
    )
    trimmer = FITrimmer(LogisticRegression(max_iter=1000), budget=20)
    trimmer.fit(encoded.fit_transform(train), y, X_val=encoded.transform(val), y_val=y_val)
    told = json.loads(skfi(*trim(tables, "--json")).out)
    # Scores at the end of the budget are close, and skrub has 32 bits a number.
    assert told["dropped_rows"][:5] == (trimmer.trimmed_indices_[:5] + 1).tolist()
    assert len(set(told["dropped_rows"]) & set(trimmer.trimmed_indices_ + 1)) >= 18


def test_auto_budget_on_validation_rows(skfi, tables):
    outcome = skfi(*trim(tables, "--json", "--out", tables.path("kept.csv"), budget="auto"))
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert told["budget"]["asked"] == "auto"
    tried = {one["budget"]: one["accuracy"] for one in told["budget"]["candidates"]}
    assert tried[told["budget"]["used"]] == max(tried.values())
    assert told["accuracy"]["before"] == tried[0]
    assert told["accuracy"]["after"] == tried[told["budget"]["used"]]
    dropped = np.array(told["dropped_rows"]) - 1
    assert len(dropped) == told["budget"]["rows"] > 0
    assert tables.wrong[dropped].mean() > 0.3  # 15 % by chance
    assert sum(one["dropped"] for one in told["classes"]) == len(dropped)
    assert len(read(tables.path("kept.csv"))) == 161 - len(dropped)
    assert "chosen among 7 on these folds" in told["accuracy"]["caution"]
    assert told["accuracy"]["measured_on"].startswith("5 held-out folds of")


def test_auto_budget_by_cross_validation(skfi, tables):
    head, *rows = read(tables.path("train.csv"))
    write(tables.folder / "train.csv", [head, *rows[:60]])
    outcome = skfi(*trim(tables, "--influence", "loss", val=False, budget="auto"))
    assert outcome.code == 0, outcome.err
    assert f"on 5 held-out folds of {tables.path('train.csv')}" in outcome.out


def test_nothing_is_dropped_where_nothing_helps(skfi, tmp_path):
    x = np.concatenate([np.linspace(-3, -1, 40), np.linspace(1, 3, 40)]).round(3)
    rows = [["x", "y"], *([value, int(value > 0)] for value in x)]
    write(tmp_path / "clean.csv", rows)
    write(tmp_path / "val.csv", [rows[0], *rows[1::2]])
    given = ("trim", tmp_path / "clean.csv", "--target", "y", "--val", tmp_path / "val.csv")
    outcome = skfi(*given, "--influence", "loss", "--out", tmp_path / "kept.csv")
    assert outcome.code == 0, outcome.err
    assert "Nothing was dropped. No budget that was tried did better" in outcome.out
    assert "Dropped first" not in outcome.out
    assert (tmp_path / "kept.csv").read_bytes() == (tmp_path / "clean.csv").read_bytes()


def test_a_share_without_validation_rows_is_cross_validated(skfi, tables):
    options = ("--influence", "loss", "--json")
    told = json.loads(skfi(*trim(tables, *options, val=False, budget="5%")).out)
    assert told["budget"] == {"asked": 0.05, "used": 0.05, "rows": 8, "candidates": None}
    assert told["accuracy"]["measured_on"].startswith("5 held-out folds of")
    assert 0.5 < told["accuracy"]["before"] < 1


def test_a_loss_is_told(skfi, tables):
    """Rows at random: no gain, and no claim of one."""
    outcome = skfi(*trim(tables, "--influence", "random", "--budget", "60%"))
    assert outcome.code == 0, outcome.err
    told = outcome.out
    assert any(words in told for words in ("does not help", "chance", "makes it worse"))


def test_other_models_take_the_scores_of_a_logistic_regression(skfi, tables):
    options = ("--model", "random-forest", "--json")
    told = json.loads(skfi(*trim(tables, *options)).out)
    linear = json.loads(skfi(*trim(tables, "--json")).out)
    assert told["dropped_rows"] == linear["dropped_rows"]
    assert told["scored_by"] == (
        "fi_signed of a logistic regression, which stands in for random-forest"
    )
    assert told["accuracy"] != linear["accuracy"]


def test_json_is_all_of_stdout_and_the_seed_decides(skfi, tables):
    options = ("--influence", "random", "--json")
    one, again, other = (
        skfi(*trim(tables, *options, "--seed", seed)).out for seed in ("3", "3", "4")
    )
    assert one == again
    assert json.loads(one)["dropped_rows"] != json.loads(other)["dropped_rows"]


def test_quiet(skfi, tables):
    outcome = skfi(*trim(tables, "--quiet", "--out", tables.path("kept.csv")))
    assert outcome == (0, "", "")
    assert len(read(tables.path("kept.csv"))) == 141


def test_ignore_and_categorical(skfi, tables):
    options = ("--ignore", "income", "--ignore", "city", "--categorical", "age", "--json")
    told = json.loads(skfi(*trim(tables, *options)).out)
    assert told["columns"]["numbers"] == []
    assert told["columns"]["categories"] == ["age", "code"]
    assert told["columns"]["left_out"]["income"] == "--ignore"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_are_the_same_in_all_outputs(skfi, tables, suffix):
    """Terminal, JSON, scores and page count rows from 1; a text file has lines as well."""
    pytest.importorskip("jinja2")
    pytest.importorskip("pyarrow")
    from tests.report.test_html_report import Page

    train = tables.folder / f"train{suffix}"
    text = (tables.folder / "train.csv").read_text().replace('note, ""', 'note,\n""')
    (tables.folder / "train.csv").write_text(text)
    if suffix == ".parquet":
        pd.read_csv(tables.path("train.csv"), dtype={"code": str}).to_parquet(train)
    page, scored = tables.folder / "page.html", tables.path("scores.csv")
    options = ("--target", "label", "--budget", "20", "--influence", "loss", "--force")
    options += ("--report", page, "--scores", scored)
    told = json.loads(skfi("trim", train, *options, "--json").out)
    lines_of_terminal = skfi("trim", train, *options).out.split("Dropped first (rows")[1]
    scores = scores_of(scored)
    dropped = [int(row) for row, one in zip(scores["row"], scores["decision"], strict=True)
               if one == "dropped"]  # fmt: skip
    assert sorted(told["dropped_rows"]) == dropped
    read_page = Page(page.read_text())
    assert read_page.column("row (from 1)") == told["dropped_rows"]
    assert "the first row is 1" in read_page.text
    # The id in the user's own column is the number of the row.
    assert list(map(int, read_page.column("id"))) == told["dropped_rows"]
    first = lines_of_terminal.splitlines()[2].split()
    assert int(first[0]) == told["dropped_rows"][0]
    if suffix == ".parquet":
        assert set(scores["line"]) == {""}
        assert set(told["dropped_lines"]) == {None}
        assert "line" not in lines_of_terminal
        assert "line" not in [column["name"] for column in read_page.rows()["columns"]]
        return
    assert int(first[1]) == told["dropped_lines"][0]
    assert read_page.column("line") == told["dropped_lines"]
    for row, line in zip(told["dropped_rows"], told["dropped_lines"], strict=True):
        assert scores["line"][row - 1] == str(line)
        assert text.split("\n")[line - 1].startswith(f"{row},")


def test_report_gets_the_rows_of_the_file(skfi, tables, monkeypatch):
    pytest.importorskip("jinja2")
    passed = {}

    def html_report(trimmer, path, *, frame, source, measured, **options):
        passed.update(frame=frame, n_trimmed=trimmer.n_trimmed_)
        passed.update(source=source, measured=measured)
        path.write_text("<html>")

    monkeypatch.setattr(_trim, "html_report", html_report)
    page = tables.folder / "page.html"
    outcome = skfi(*trim(tables, "--report", page))
    assert outcome.code == 0, outcome.err
    assert page.read_text() == "<html>"
    assert passed["n_trimmed"] == 20
    assert passed["frame"].shape == (160, 7)  # the labels are a column of the report
    assert "train.csv, labels in column" in passed["source"]
    assert passed["measured"].sentences[0] in outcome.out
    assert passed["frame"]["code"].iloc[0] == "001"


def test_notices_of_the_library_are_passed_on(skfi, tables):
    """Most of a class goes: said on stderr, and in the JSON object."""
    rows = read(tables.path("train.csv"))
    few = [row for row in rows[1:] if row[-1] == "yes"][:4]
    write(
        tables.folder / "train.csv",
        [rows[0], *(row for row in rows[1:] if row[-1] == "no"), *few],
    )
    options = ("--ignore", "remark", "--ignore", "seen", "--influence", "loss")
    outcome = skfi(*trim(tables, "--json", *options, budget="3"))
    assert outcome.code == 0, outcome.err
    notes = json.loads(outcome.out)["notes"]
    assert any("more than half of class yes" in note for note in notes)
    assert f"note: {notes[-1]}" in outcome.err


@pytest.mark.parametrize(("used", "rule", "told"), [(0.2, "best", True), (0.1, "best", False),
    (0.2, "one_standard_error", False)])  # fmt: skip
def test_the_largest_budget_tried_is_told(used, rule, told):
    tried = [{"budget": budget, "accuracy": 0.9} for budget in (0, 0.1, 0.2)]
    tried.append({"budget": 0.4, "accuracy": None})  # could not be had
    result = {"budget": {"used": used, "candidates": tried}, "rule": rule}
    assert _at_the_edge(result) is told


@pytest.mark.parametrize(
    ("before", "after", "interval", "gain", "meaning"),
    [
        (0.8, 0.8057, (-0.0003, 0.0116), "+0.57", "could be chance"),
        (0.8, 0.82, (0.01, 0.03), "+2.00", "more than chance"),
        (0.8, 0.79, (-0.03, 0.01), "−1.00", "trimming does not help here"),
        (0.8, 0.78, (-0.03, -0.01), "−2.00", "trimming makes it worse here"),
        (0.8, 0.82, None, "+2.00", "could be chance"),
    ],
)
def test_the_verdict_is_one_sentence(before, after, interval, gain, meaning):
    accuracy = Accuracy(before, after, 0.002, interval, "5 folds", "")
    known = "measured once, so no interval is known"
    if interval is not None:
        known = f"95 % interval {points(interval[0])} to {points(interval[1])}"
    assert accuracy.verdict() == f"Gain in accuracy: {gain} points ({known}): {meaning}."
    assert not any("error" in line or "interval" in line for line in accuracy.lines(3))


def test_the_verdict_is_said_first(skfi, tables):
    outcome = skfi(*trim(tables, "--influence", "loss", budget="auto"))
    told = outcome.out.split("\n\n")[1]
    assert told.startswith(("Gain in accuracy: ", "Nothing was dropped"))
    assert "standard error" not in outcome.out


def test_every_score_and_strategy_has_a_line_of_help(skfi):
    for command, names in (("trim", METHODS), ("query", STRATEGIES)):
        text = skfi(command, "--help").out
        for name in names:
            (line,) = re.findall(rf"^  {name} +\w.{{20,}}$", text, re.M)
            assert len(line) <= 80
    trim_help = skfi("trim", "--help").out
    assert (
        trim_help.index("  random ")
        < trim_help.index("for research")
        < trim_help.index("  iv ")
    )
