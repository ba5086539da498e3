"""Dates, notes and ids of real tables: what they become, and that they are used."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from skfi._cli import _memory
from skfi._cli._memory import text_bytes
from tests.cli.conftest import read, write
from tests.cli.test_errors import error_of

pd = pytest.importorskip("pandas")
pytest.importorskip("skrub")

GOOD = ["great service, thanks", "very happy with it", "friendly and quick", "works well"]
BAD = ["want my money back", "cancelled, a complaint", "never works", "too slow and expensive"]
N = 600


@pytest.fixture(scope="module")
def customers():
    """A label that notes and dates tell, each by itself; and which labels are wrong."""
    rng = np.random.default_rng(0)
    stays = rng.random(N) < 0.5
    notes = [
        f"{(GOOD if stay else BAD)[rng.integers(4)]} (call {rng.integers(1000)})"
        for stay in stays
    ]
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        np.where(stays, rng.integers(0, 400, N), rng.integers(400, 800, N)), unit="D"
    )
    wrong = rng.random(N) < 0.1
    frame = pd.DataFrame(
        {
            "customer": [f"C-{rng.integers(10**9):09d}" for _ in range(N)],
            "age": rng.normal(40, 12, N).round(1),
            "note": notes,
            "since": days,
            "label": np.where(stays ^ wrong, "stays", "leaves"),
        }
    )
    frame.loc[rng.random(N) < 0.1, ["age", "since"]] = None
    frame.loc[rng.random(N) < 0.05, "note"] = None
    return frame, wrong


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(("used", "kind"), [("note", "texts"), ("since", "dates")])
def test_the_column_that_tells_the_label_finds_the_wrong_ones(
    skfi, tmp_path, customers, used, kind, suffix
):
    frame, wrong = customers
    frame = frame[["customer", "age", used, "label"]]
    path = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False, date_format="%d.%m.%Y")
    else:
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    outcome = skfi("trim", path, "--target", "label", "--budget", "10%", "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert told["columns"]["numbers"] == ["age"]
    assert told["columns"][kind] == [used]
    assert "it names the rows" in told["columns"]["left_out"]["customer"]
    dropped = np.array(told["dropped_rows"]) - 1
    assert len(dropped) == N // 10
    assert wrong[dropped].mean() >= 0.8  # 10 % by chance


def test_a_pool_is_encoded_by_the_training_table(skfi, tmp_path, customers):
    frame, _ = customers
    frame[:300].to_csv(tmp_path / "train.csv", index=False)
    frame[300:].to_csv(tmp_path / "pool.csv", index=False)
    files = ("query", tmp_path / "train.csv", tmp_path / "pool.csv", "--target", "label")
    outcome = skfi(*files, "-n", "5", "--json")
    assert outcome.code == 0, outcome.err
    rows = read(tmp_path / "pool.csv")
    rows[3][rows[0].index("since")] = "some day"
    write(tmp_path / "pool.csv", rows)
    line = error_of(skfi(*files, "-n", "5"))
    assert "pool.csv, line 4, column 'since': 'some day' is no date as in" in line


def test_texts_that_do_not_fit_are_not_encoded(skfi, tmp_path, customers, monkeypatch):
    customers[0].to_csv(tmp_path / "a.csv", index=False)
    needed = text_bytes(customers[0]["note"].dropna())
    monkeypatch.setattr(_memory, "available_bytes", lambda: needed)
    monkeypatch.setattr("skfi._cli._tables.check_reading", lambda path: None)
    options = ("--target", "label", "--budget", "1")
    assert "a.csv: scoring 600 rows" in error_of(skfi("trim", tmp_path / "a.csv", *options))
    monkeypatch.setattr(_memory, "available_bytes", lambda: needed - 1)
    line = error_of(skfi("trim", tmp_path / "a.csv", *options))
    assert "a.csv: encoding its texts needs up to" in line
    assert "Leave columns of long texts out with --ignore" in line


@pytest.mark.parametrize("letters", ["abcdefghijklmnopqrstuvwxyz    ", "ab "])
def test_texts_take_no_more_memory_than_was_said(letters):
    from skrub import StringEncoder

    rng = np.random.default_rng(0)
    texts = pd.Series(["".join(rng.choice(list(letters), 60)) for _ in range(600)])
    StringEncoder(2, random_state=0).fit(texts[:100])  # what is loaded once
    tracemalloc.start()
    try:
        StringEncoder(30, random_state=0).fit(texts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < text_bytes(texts) < 20 * peak
