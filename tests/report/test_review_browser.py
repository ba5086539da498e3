"""The whole round in a browser: trim, decide by keyboard, save, apply, trim again."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("pandas")
pytest.importorskip("skrub")
pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from skfi._cli import main
from skfi.review import read_decisions

from .test_html_browser import browser, pytestmark  # noqa: F401

# What the page would save as decisions.csv.
SAVED = """
const done = arguments[0];
const create = URL.createObjectURL;
URL.createObjectURL = (blob) => { blob.text().then(done); return create(blob); };
document.getElementById("review-save").click();
"""


@pytest.fixture
def table(tmp_path):
    """Customers with ids, missing cells, dates and notes; a tenth of the labels is wrong."""
    rng = np.random.default_rng(0)
    n = 240
    age, city = rng.normal(40, 12, n).round(1), rng.choice(["Bern", "Oslo", "Rome"], n)
    z = (age - 40) / 6 + 2.0 * (city == "Oslo") - 2.0 * (city == "Rome")
    true = np.where(z > 0, "stays", "leaves, surely")
    wrong = rng.random(n) < 0.1
    other = np.where(true == "stays", "leaves, surely", "stays")
    path = tmp_path / "customers.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer", "since", "age", "city", "note", "churn"])
        for i in range(n):
            cell = "" if i % 17 == 0 else age[i]
            label = other[i] if wrong[i] else true[i]
            note = f'said "{i}", <script>alert({i})</script>'
            writer.writerow(
                [f"C{i:04d}", f"2024-01-{1 + i % 28:02d}", cell, city[i], note, label]
            )
    return path, true


def rows(driver):
    return driver.find_elements(By.CSS_SELECTOR, "#rows-body tr")


def test_a_round_of_review(browser, table, tmp_path, capsys):  # noqa: F811
    path, true = table
    report, scores = tmp_path / "report.html", tmp_path / "scores.csv"
    trim = ["trim", str(path), "--target", "churn", "--budget", "10%", "--report", str(report)]
    assert main([*trim, "--scores", str(scores)]) == 0
    browser.get(report.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    assert "customers.csv: rows to check" in browser.title
    assert "labels in column 'churn'" in browser.find_element(By.TAG_NAME, "header").text
    status = browser.find_element(By.ID, "review-status")
    assert status.text == "0 of 24 decided"

    # Ten rows by keyboard: the predicted label, keep, drop; undone and decided again.
    browser.execute_script("document.querySelector('#rows-body tr').focus()")
    for key in ["r", "r", "r", "r", "k", "d", "r", "r", "2", "d"]:
        browser.switch_to.active_element.send_keys(key)
    active = browser.switch_to.active_element
    assert active.get_attribute("data-index") == "10"
    active.send_keys(Keys.ARROW_UP)
    browser.switch_to.active_element.send_keys("u")
    browser.switch_to.active_element.send_keys(Keys.ARROW_UP)
    browser.switch_to.active_element.send_keys("d")
    assert status.text == "10 of 24 decided"
    decided = 10

    saved = browser.execute_async_script(SAVED)
    decisions = tmp_path / "decisions.csv"
    decisions.write_text(saved, newline="")
    read = read_decisions(decisions)
    assert len(read) == decided
    with scores.open(newline="") as file:
        dropped = [int(r["row"]) for r in csv.DictReader(file) if r["decision"] == "dropped"]
    assert set(read["position"] + 1) <= set(dropped)
    assert set(read["action"]) == {"relabel", "keep", "drop"}

    # They are kept when the page is opened again, and filtered by.
    browser.refresh()
    assert browser.find_element(By.ID, "review-status").text == f"{decided} of 24 decided"
    chosen = browser.find_element(By.ID, "review-filter")
    chosen.send_keys("undecided")
    assert len(rows(browser)) == 24 - decided
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    browser.find_element(By.ID, "review-load").send_keys(str(decisions))
    for _ in range(50):
        if browser.find_element(By.ID, "review-status").text.startswith(str(decided)):
            break
    assert browser.find_element(By.ID, "review-status").text == f"{decided} of 24 decided"
    assert browser.find_element(By.ID, "review-note").text == "The file was read."
    assert browser.execute_script("return document.querySelectorAll('script').length") == 2

    corrected = tmp_path / "corrected.csv"
    apply = ["apply", str(path), str(decisions), "--target", "churn", "--out", str(corrected)]
    capsys.readouterr()
    assert main([*apply, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    with corrected.open(newline="") as file:
        labels = [row["churn"] for row in csv.DictReader(file)]
    kept = np.setdiff1d(np.arange(240), np.array(result["dropped_rows"]) - 1)
    assert len(labels) == len(kept)
    relabelled = np.array(result["relabelled_rows"]) - 1
    new = dict(zip(kept, labels, strict=True))
    right = [new[row] == true[row] for row in relabelled]
    assert np.mean(right) >= 0.5
    again = ["trim", str(corrected), "--target", "churn", "--budget", "5%"]
    assert main(again) == 0
    capsys.readouterr()
    second = ["trim", str(path), "--target", "churn", "--budget", "5%", "--json"]
    assert main([*second, "--decisions", str(decisions)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["dropped_rows"]
    assert not set(told["dropped_rows"]) & set(read["position"] + 1)


def test_on_a_phone_each_row_is_a_card(browser, table, tmp_path):  # noqa: F811
    report = tmp_path / "report.html"
    args = ["trim", str(table[0]), "--target", "churn", "--budget", "5%", "--quiet"]
    assert main([*args, "--report", str(report)]) == 0
    browser.set_window_size(400, 900)
    try:
        browser.get(report.as_uri())
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= browser.execute_script("return window.innerWidth")
        first = rows(browser)[0]
        assert first.find_element(By.XPATH, ".//td[@data-name='customer']").is_displayed()
        cell = first.find_element(By.XPATH, ".//td[@data-name='customer']")
        assert cell.rect["x"] + cell.rect["width"] <= 400
    finally:
        browser.set_window_size(1280, 900)


def test_a_file_that_is_no_decisions_is_named(browser, table, tmp_path):  # noqa: F811
    report, other = tmp_path / "report.html", tmp_path / "other.csv"
    args = ["trim", str(table[0]), "--target", "churn", "--budget", "5%", "--quiet"]
    assert main([*args, "--report", str(report)]) == 0
    browser.get(report.as_uri())
    note = browser.find_element(By.ID, "review-note")
    for text, words in (
        ("a,b\n1,2\n", "has not the columns"),
        ("row,action,label\n9999,drop,\n1,relabel,<b>\n", "2 decisions of the file"),
    ):
        other.write_text(text)
        browser.find_element(By.ID, "review-load").send_keys(str(other))
        for _ in range(50):
            if words in note.text:
                break
        assert words in note.text
