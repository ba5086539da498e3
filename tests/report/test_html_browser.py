"""The page in a browser: it can be used, it asks nothing of anyone, and runs no user's text."""

from __future__ import annotations

import csv
import json
import shutil
import time

import numpy as np
import pytest
from sklearn.datasets import make_classification

from skfi import FITrimmer, FITrimmerCV

from .test_html_report import HOSTILE

pytest.importorskip("jinja2")
pd = pytest.importorskip("pandas")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from skfi.report._report import html_report  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="needs chromium and chromedriver (Debian: chromium, chromium-driver)",
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
X, Y = make_classification(400, 4, flip_y=0.3, random_state=0)
LABELS = np.array(["no", "yes"])[Y]

# Contrast of each text with what lies behind it, where it is less than WCAG's AA asks.
CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = (rgb) => {
  const [r, g, b] = rgb.map((v) => v / 255).map(
    (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.length < 4 || colour[3] === 1) return colour.slice(0, 3);
  }
  return [255, 255, 255];
};
const found = [];
let seen = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
  if (element.closest("script, style, noscript, :disabled")) continue;
  const style = getComputedStyle(element);
  const inside = element.closest("svg") ? style.fill : style.color;
  const [a, b] = [light(parse(inside).slice(0, 3)), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  seen += 1;
  if (ratio < 4.5) found.push([walker.currentNode.data.trim(), ratio]);
}
return [seen, found];
"""
# Sets the filter and tells how long the answer took, in milliseconds.
SEARCH = """
const [text, done] = arguments;
const field = document.getElementById("rows-filter");
const status = document.getElementById("rows-status");
const started = performance.now();
new MutationObserver((_, observer) => {
  if (status.textContent === "Searching…") return;
  observer.disconnect();
  done([performance.now() - started, status.textContent]);
}).observe(status, { childList: true });
field.value = text;
field.dispatchEvent(new Event("input"));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture
def show(browser, tmp_path):
    """Write a page, open it, and see at the end that it was quiet."""
    browser.get_log("browser")
    browser.get_log("performance")

    def write_and_open(trimmer, *, width=1200, dark=False, **given):
        path = html_report(trimmer, tmp_path / "report.html", **given)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        emulate(browser, dark="dark" if dark else "light")
        browser.get(path.as_uri())
        return browser

    yield write_and_open
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    asked = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        # The browser has pages of its own, such as the one it starts with.
        if message["method"] == "Network.requestWillBeSent" and not message["params"][
            "documentURL"
        ].startswith("chrome:"):
            asked.append(message["params"]["request"]["url"])
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert {url for url in asked if url.startswith("file:")} == {
        (tmp_path / "report.html").as_uri()
    }


def emulate(browser, *, dark="light", media=""):
    # A page that glides cannot be clicked meanwhile.
    wanted = {"prefers-color-scheme": dark, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"media": media, "features": features}
    )


@pytest.fixture(scope="module")
def trimmer():
    fitted = FITrimmer(budget=130, step=None, influence="random", random_state=0)
    return fitted.fit(X, LABELS)


@pytest.fixture(scope="module")
def chosen():
    return FITrimmerCV(budgets=(0, 0.1, 0.2), cv=3, step=None, validation=3).fit(X, LABELS)


def column(browser, name):
    """What stands in the column, from above."""
    heads = [head.text for head in browser.find_elements("css selector", "#rows-head th")]
    place = heads.index(name) + 1
    script = f"""return Array.from(document.querySelectorAll(
        '#rows-body tr > :nth-child({place})'), (cell) => cell.textContent)"""
    return browser.execute_script(script)


def head(browser, name):
    (button,) = [
        button
        for button in browser.find_elements("css selector", "#rows-head button")
        if button.text == name
    ]
    return button


def status(browser):
    return browser.find_element("id", "rows-status").text


def sorting(browser, name):
    cell = head(browser, name).find_element("xpath", "..")
    return cell.get_dom_attribute("aria-sort")


def test_click_sorts_and_turns_round(show, trimmer):
    value = np.random.default_rng(0).permutation(400) * 2.5 - 30
    value[trimmer.trimmed_indices_[5]] = np.nan
    browser = show(trimmer, frame=pd.DataFrame({"value": value, "word": value.astype(str)}))
    gone = value[trimmer.trimmed_indices_]
    up = np.sort(gone[~np.isnan(gone)])
    unsorted = column(browser, "position (from 0)")
    assert unsorted == [str(i) for i in trimmer.trimmed_indices_[:50]]

    head(browser, "value").click()
    assert [float(text) for text in column(browser, "value")] == up[:50].tolist()
    assert sorting(browser, "value") == "ascending"
    head(browser, "value").click()
    assert [float(text) for text in column(browser, "value")] == up[::-1][:50].tolist()
    assert sorting(browser, "value") == "descending"
    for _ in range(2):
        browser.find_element("id", "rows-next").click()
    assert column(browser, "value")[-1] == ""  # what is missing comes last, either way
    head(browser, "value").click()
    assert sorting(browser, "value") is None
    assert column(browser, "position (from 0)") == unsorted


def test_keys_sort_too(show, trimmer):
    browser = show(trimmer)
    button = head(browser, "position (from 0)")
    button.send_keys(Keys.ENTER)
    assert sorting(browser, "position (from 0)") == "ascending"
    button.send_keys(Keys.SPACE)
    assert sorting(browser, "position (from 0)") == "descending"
    assert browser.switch_to.active_element == button
    assert button.value_of_css_property("outline-style") == "solid"
    rows = [int(text) for text in column(browser, "position (from 0)")]
    assert rows == sorted(trimmer.trimmed_indices_, reverse=True)[:50]


def test_filter_and_class(show, trimmer):
    word = np.array([f"Word {i}!" for i in range(400)])
    browser = show(trimmer, frame=word)
    gone = trimmer.trimmed_indices_
    assert status(browser) == "Rows 1 to 50 of 130"
    _, told = browser.execute_async_script(SEARCH, f"word {gone[7]}!")
    assert told == "Rows 1 to 1 of 1 that match, of 130"
    assert column(browser, "position (from 0)") == [str(gone[7])]
    assert browser.execute_async_script(SEARCH, "no such")[1] == "No row matches."
    assert not browser.find_element("id", "rows-save").is_enabled()
    browser.execute_async_script(SEARCH, "")

    options = browser.find_elements("css selector", "#rows-class option")
    assert [option.text for option in options] == ["all", "no", "yes"]
    options[1].click()
    n_no = int((LABELS[gone] == "no").sum())
    assert status(browser) == f"Rows 1 to 50 of {n_no} that match, of 130"
    assert set(column(browser, "given label")) == {"no"}


def test_pages(show, trimmer):
    browser = show(trimmer)
    gone = [str(i) for i in trimmer.trimmed_indices_]
    back, forward = (browser.find_element("id", f"rows-{name}") for name in ("back", "next"))
    assert not back.is_enabled()
    forward.click()
    assert column(browser, "position (from 0)") == gone[50:100]
    forward.click()
    assert column(browser, "position (from 0)") == gone[100:]
    assert not forward.is_enabled()
    field = browser.find_element("id", "rows-page")
    for typed, expected in (("2", gone[50:100]), ("99", gone[100:]), ("-1", gone[:50])):
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(typed, Keys.ENTER)
        assert column(browser, "position (from 0)") == expected


def test_hostile_text_does_nothing(show, trimmer):
    hostile = HOSTILE[:-1]
    cells = [hostile[k % 9 :] + hostile[: k % 9] for k in range(400)]
    frame = pd.DataFrame(cells, columns=hostile, index=[f"{hostile[0]}{k}" for k in range(400)])
    fitted = FITrimmer(budget=40, step=None, influence="random", random_state=0)
    fitted.fit(pd.DataFrame(X, index=frame.index), np.array(hostile[:2])[Y])
    browser = show(fitted, frame=frame, title=hostile[1])
    for button in browser.find_elements("css selector", "#rows-head button"):
        button.click()
    for text in hostile:
        browser.execute_async_script(SEARCH, text)
        assert status(browser).startswith("Rows 1 to")
    browser.execute_async_script(SEARCH, "")
    browser.execute_script(
        "document.querySelectorAll('details').forEach((d) => (d.open = true))"
    )
    assert browser.execute_script("return typeof window.pwned") == "undefined"
    assert browser.find_element("tag name", "h1").text == hostile[1]
    assert browser.execute_script("return document.images.length") == 0
    texts = (
        """return Array.from(document.querySelectorAll(arguments[0]), (e) => e.textContent)"""
    )
    assert browser.execute_script(texts, "#rows-head bdi")[-9:] == hostile
    assert browser.execute_script(texts, "#rows-class option")[1:] == sorted(hostile[:2])
    shown = browser.execute_script(texts, "#rows-body bdi")
    assert set(hostile) <= set(shown)
    # What turns the writing round ends with its own cell.
    assert browser.execute_script(
        "return getComputedStyle(document.querySelector('#rows-body bdi')).unicodeBidi"
    ).startswith("isolate")


def test_policy_stops_what_got_in(browser, trimmer, tmp_path):
    browser.get(html_report(trimmer, tmp_path / "report.html").as_uri())
    blocked = browser.execute_async_script("""
        const done = arguments[0];
        const seen = [];
        document.addEventListener("securitypolicyviolation", (event) => {
          seen.push(event.effectiveDirective);
          if (seen.length === 4) done(seen);
        });
        const script = document.createElement("script");
        script.textContent = "window.pwned = 1";
        const picture = document.createElement("img");
        picture.src = "http://localhost:9/x.png";
        const part = document.createElement("div");
        part.innerHTML = "<img src=data:, onerror='window.pwned = 1'>";
        document.body.append(script, picture, part);
        fetch("http://localhost:9/").catch(() => {});
    """)
    assert sorted(blocked) == ["connect-src", "img-src", "script-src-attr", "script-src-elem"]
    assert browser.execute_script("return typeof window.pwned") == "undefined"


def test_long_texts_open(show, trimmer):
    long = "many words and " * 400
    browser = show(trimmer, frame=np.array([long] * 400), width=360)
    cell = browser.find_element("css selector", "#rows-body td:last-child")
    button = cell.find_element("tag name", "button")
    assert len(cell.text) < 200
    button.click()
    assert long.strip() in cell.text
    assert button.get_dom_attribute("aria-expanded") == "true"
    button.click()
    assert len(cell.text) < 200


def test_pictures_of_the_rows_shown(show, trimmer):
    pytest.importorskip("PIL")
    browser = show(trimmer, images=np.random.default_rng(0).random((400, 8, 8)))
    loaded = (
        """return Array.from(document.images, (i) => [i.alt, i.complete && i.naturalWidth])"""
    )
    expected = [[f"position {i}", 8] for i in trimmer.trimmed_indices_[:50]]
    assert browser.execute_script(loaded) == expected


def test_saved_file(show, trimmer, tmp_path):
    folder = tmp_path / "saved"
    folder.mkdir()
    words = ["=1+1", "+1", "-1", "@x", "\tx", 'a "b", c\nd', "ä", "x=1", "", None]
    frame = pd.DataFrame({"=word": words * 40, "number": -np.arange(400) / 7})
    browser = show(trimmer, frame=frame)
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    browser.find_element("id", "rows-save").click()
    path = folder / "dropped-rows.csv"
    until = time.monotonic() + 10
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    with path.open(encoding="utf-8-sig", newline="") as file:
        names, *lines = csv.reader(file)
    gone = trimmer.trimmed_indices_
    assert names[-2:] == ["'=word", "number"]
    assert [int(line[names.index("position (from 0)")]) for line in lines] == gone.tolist()
    assert [float(line[-1]) for line in lines] == frame["number"].iloc[gone].tolist()
    for row, line in zip(gone, lines, strict=True):
        word = words[row % 10] or ""
        assert line[-2] == ("'" + word if word[:1] in tuple("=+-@\t") else word)


@pytest.mark.parametrize("kind", ["trimmer", "chosen"])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1200])
def test_readable_at_any_width_by_day_and_night(show, kind, dark, width, request):
    frame = pd.DataFrame({"a long name of a column " * 3: ["W" * 150] * 400, "W" * 90: "x"})
    fitted = request.getfixturevalue(kind)
    browser = show(fitted, frame=frame, width=width, dark=dark, title="W" * 60)
    browser.execute_script(
        "document.querySelectorAll('details').forEach((d) => (d.open = true))"
    )
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    style = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    back, text = (
        sum(map(int, colour.strip("rgb()").split(","))) / 765
        for colour in browser.execute_script(style)
    )
    assert (back < 0.15 and text > 0.8) if dark else (back > 0.95 and text < 0.2)
    seen, weak = browser.execute_script(CONTRAST)
    assert seen > 100
    assert weak == []


def test_curve_changes_with_the_scheme(show, chosen):
    # Outside of defs, whose shapes take the colours of where they are used.
    script = """return Array.from(document.querySelectorAll('.curve use, .curve path'))
        .filter((e) => !e.closest('defs'))
        .flatMap((e) => [getComputedStyle(e).stroke, getComputedStyle(e).fill])"""
    by_day = set(show(chosen).execute_script(script))
    by_night = set(show(chosen, dark=True).execute_script(script))
    assert len(by_day) == len(by_night) >= 5
    assert by_day & by_night == {"none"}


def test_print_leaves_out_what_cannot_be_pressed(show, trimmer):
    browser = show(trimmer, dark=True)
    emulate(browser, dark="dark", media="print")
    for name in ("rows-filter", "rows-save", "rows-next"):
        assert not browser.find_element("id", name).is_displayed()
    assert browser.find_element("id", "rows-body").is_displayed()
    colour = browser.find_element("tag name", "body").value_of_css_property("background-color")
    assert "255, 255, 255" in colour


def test_without_javascript(show, trimmer, browser):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(trimmer, width=360)
        lines = browser.find_elements("css selector", "noscript tbody tr")
        assert len(lines) == 130
        assert lines[0].text.split()[:2] == ["1", str(trimmer.trimmed_indices_[0])]
        assert not browser.find_element("id", "rows-table").is_displayed()
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.filterwarnings("ignore:Trimming took more than half")
def test_hundred_thousand_rows(show):
    n = 110_000
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n, 20))
    fitted = FITrimmer(budget=100_000, step=None, influence="random", random_state=0)
    fitted.fit(rows[:, :2], (rows[:, 0] > 0).astype(int))
    frame = pd.DataFrame(rows)
    frame[3] = [f"text {i} of a row" for i in range(n)]
    started = time.perf_counter()
    browser = show(fitted, frame=frame)
    ready = browser.execute_script(
        "const t = performance.timing; return t.domInteractive - t.navigationStart"
    )
    assert ready < 5000
    assert time.perf_counter() - started < 60
    assert (
        browser.execute_script("return document.querySelectorAll('#rows-body tr').length")
        <= 100
    )
    browser.execute_async_script(SEARCH, "warm up")
    took, told = browser.execute_async_script(SEARCH, f"text {fitted.trimmed_indices_[9]} of")
    assert told == "Rows 1 to 1 of 1 that match, of 100,000"
    assert took < 1000
