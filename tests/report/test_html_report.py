"""The page about a trimmer: it says what is so, and shows text as text."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import FITrimmer, FITrimmerCV

pytest.importorskip("jinja2")
pd = pytest.importorskip("pandas")

from skfi.report._curve import for_page  # noqa: E402
from skfi.report._facts import _judge, budget_words, share, text_of, verdict  # noqa: E402
from skfi.report._report import html_report  # noqa: E402

HOSTILE = [
    "<img src=x onerror=window.pwned=1>",
    "</script><script>window.pwned=1</script>",
    '"onmouseover="window.pwned=1',
    "{{7*7}}{% raw %}",
    "javascript:window.pwned=1",
    "a\u2028b\u2029c",
    "\u202ecba\u202c",
    "<!--",
    "]]>&amp;",
    "\x00\ud800",
]
X, Y = make_classification(120, 4, flip_y=0.3, random_state=0)


class Page(HTMLParser):
    """Elements, texts of the elements without children, and comments of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.raw, self.comments, self.inside = [], [], [], None
        self.feed(text)
        self.text = re.sub(
            r"\s+", " ", re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.S)
        )

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = tag
            self.raw.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.raw[-1][2] += data

    def handle_comment(self, data):
        self.comments.append(data)

    def rows(self):
        """What the page's script reads."""
        (data,) = [text for _, attrs, text in self.raw if attrs.get("id") == "rows-data"]
        return json.loads(data)

    def column(self, name):
        data = self.rows()
        (k,) = [k for k, column in enumerate(data["columns"]) if column["name"] == name]
        return data["data"][k]


@pytest.fixture(scope="module")
def trimmer():
    return FITrimmer(budget=15, step=None, validation=3, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def chosen():
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return FITrimmerCV(
        model, budgets=(0, 0.1, 0.2), cv=3, step=None, validation=3, random_state=0
    ).fit(X, Y)


@pytest.fixture(scope="module")
def page(trimmer):
    return Page(html_report(trimmer))


def test_page_is_one_document(page):
    tags = [tag for tag, _ in page.elements]
    for tag in ("html", "head", "title", "body", "main", "h1", "noscript"):
        assert tags.count(tag) == 1
    assert ("html", {"lang": "en"}) in page.elements
    names = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(names) == len(set(names))
    links = {attrs["href"][1:] for tag, attrs in page.elements if tag == "a"}
    assert links <= set(names)
    labelled = {attrs["for"] for _, attrs in page.elements if "for" in attrs}
    assert labelled <= set(names)


def test_policy_names_the_script_and_style_of_the_page(page):
    (policy,) = [a["content"] for t, a in page.elements if "http-equiv" in a]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    assert "*" not in policy
    for tag, attrs, text in page.raw:
        if attrs.get("type") == "application/json":
            continue
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


@pytest.mark.parametrize("kind", ["trimmer", "chosen"])
def test_nothing_comes_from_elsewhere(kind, request):
    text = html_report(request.getfixturevalue(kind))
    page = Page(text)
    for tag, attrs in page.elements:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        assert "style" not in attrs  # the policy forbids them
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert attrs.get(name, "#").startswith(("#", "data:"))
    assert not re.search(r"https?://|@import|url\((?!#)", text)


def test_same_input_same_page(trimmer, chosen):
    assert html_report(trimmer) == html_report(clone(trimmer).fit(X, Y))
    assert html_report(chosen) == html_report(chosen)
    assert not re.search(r"20\d\d-\d\d-\d\d", html_report(chosen))
    assert "2020-02-29" in html_report(chosen, date="2020-02-29")


def test_no_address_of_this_process():
    def mine(estimator, X, y, X_val, y_val):
        return np.arange(float(len(y)))

    fitted = FITrimmer(budget=2, step=None, influence=mine).fit(X, Y)
    text = html_report(fitted)
    assert "0x" not in text
    assert "mine" in Page(text).text


def test_file_is_the_page(trimmer, tmp_path):
    path = tmp_path / "report.html"
    assert html_report(trimmer, str(path), title="Ärger & Mühe") == path
    assert path.read_text("utf-8") == html_report(trimmer, title="Ärger & Mühe")
    assert os.listdir(tmp_path) == ["report.html"]


def test_failure_leaves_the_old_file(trimmer, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="frame has 3 rows"):
        html_report(trimmer, path, frame=X[:3])

    def full(number):
        raise OSError("disk is full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk is full"):
        html_report(trimmer, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        (
            {"frame": X[:-1]},
            ValueError,
            "frame has 119 rows, and the trimmer was fitted on 120",
        ),
        ({"frame": "rows.csv"}, TypeError, "frame must be a pandas DataFrame .* is a str"),
        ({"frame": X[None]}, TypeError, r"ndarray of shape \(1, 120, 4\)"),
        ({"images": np.zeros((119, 2, 2))}, ValueError, "images has 119 pictures"),
        ({"images": np.zeros((120, 4))}, ValueError, r"images has shape \(120, 4\)"),
        ({"images": np.zeros((120, 3, 8, 8))}, ValueError, "channels last"),
        ({"images": np.zeros((120, 0, 8))}, ValueError, r"images has shape"),
        ({"images": ["a.png"] * 120}, TypeError, "images must be an array"),
        ({"images": np.full((120, 2, 2), "a")}, TypeError, "images must hold numbers"),
        ({"max_rows": 0}, ValueError, "max_rows=0"),
        ({"max_rows": 2.0}, ValueError, "max_rows=2.0"),
        ({"max_rows": True}, ValueError, "max_rows=True"),
        ({"title": 3}, TypeError, "title must be a str"),
        ({"path": 3}, TypeError, "PathLike"),
        (
            {"path": "nowhere/page.html"},
            FileNotFoundError,
            r"path=.nowhere.+page.html. lies in",
        ),
    ],
)
def test_bad_arguments(trimmer, given, error, match):
    with pytest.raises(error, match=match):
        html_report(trimmer, **given)


def test_only_fitted_trimmers():
    with pytest.raises(NotFittedError, match="FITrimmer"):
        html_report(FITrimmer())
    with pytest.raises(TypeError, match="pass that step"):
        html_report(make_pipeline(FITrimmer()).fit(X, Y))


@pytest.mark.filterwarnings("ignore:Trimming took more than half")
def test_static_rows_are_limited():
    fitted = FITrimmer(budget=250, influence="random", step=None, random_state=0)
    fitted.fit(np.tile(X, (3, 1)), np.tile(Y, 3))
    page = Page(html_report(fitted))
    assert page.rows()["count"] == 250
    static = str(html_report(fitted)).split("<noscript>")[1].split("</noscript>")[0]
    assert static.count("<tr>") == 201


def test_hostile_model(monkeypatch):
    class Model(LogisticRegression):
        def __repr__(self, N_CHAR_MAX=700):
            return "</pre><script>window.pwned=1</script>"

    Model.__name__ = "<b>Model</b>"
    page = Page(html_report(FITrimmer(Model(), budget=2, step=None, validation=3).fit(X, Y)))
    assert [tag for tag, _, _ in page.raw] == ["style", "script", "script"]
    assert "b" not in {tag for tag, attrs in page.elements} - {"b"}
    assert "&lt;b&gt;Model&lt;/b&gt;" in page.text


def test_single_fit_claims_nothing(page):
    assert "Nobody knows yet" in page.text
    assert "15 rows of 120 (12.5 %) were dropped" in page.text
    assert "fitted on the other 105" in page.text
    assert "cross_val_score" in page.text


def test_advice_runs(trimmer):
    code = re.search(r"<pre><code>(from sklearn.*?)</code>", html_report(trimmer), re.S)[1]
    printed = []
    names = {"trimmer": trimmer, "X": X, "y": Y, "print": lambda *a: printed.extend(a)}
    exec(code.replace("cv=10", "cv=3"), names)
    assert len(printed) == 3


def test_chosen_budget_has_its_numbers(chosen):
    text = html_report(chosen)
    page = Page(text)
    means = chosen.cv_results_["mean_test_score"]
    folds = np.array([chosen.cv_results_[f"split{k}_test_score"] for k in range(3)])
    error = folds[:, 0].std(ddof=1) / np.sqrt(3)
    assert f"{means[0]:.4f} ± {error:.4f}" in page.text
    assert f"{means[chosen.best_index_]:.4f}" in page.text
    assert "Accuracy on rows that were held out: mean of 3 folds" in page.text
    (svg,) = [a for t, a in page.elements if t == "svg" and a.get("role") == "img"]
    assert svg["aria-label"].startswith("Accuracy on held-out rows")
    assert "Nobody knows" not in page.text
    marks = "".join(re.findall(r"<defs>(.*?)</defs>", text, re.S))
    assert "<path" in marks
    assert not re.search('(fill|stroke)="', marks)  # they would stay black in the dark


@pytest.mark.parametrize(
    ("gains", "tile", "interval"),
    [
        # Standard deviation 0.02, error 0.02 / √3; t(0.975) of two degrees is 4.3027.
        (
            [0.02, 0.04, 0.06],
            "no clear gain",
            "+0.0400 ± 0.0115 (95 % interval: −0.0097 to +0.0897)",
        ),
        ([0.03, 0.04, 0.05], "+0.0400", "+0.0400 ± 0.0058 (95 % interval: +0.0152 to +0.0648)"),
        (
            [-0.01, 0.0, 0.01],
            "no clear gain",
            "+0.0000 ± 0.0058 (95 % interval: −0.0248 to +0.0248)",
        ),
        (
            [0.0, 0.0, 0.0],
            "no clear gain",
            "+0.0000 ± 0.0000 (95 % interval: +0.0000 to +0.0000)",
        ),
        ([0.05], "not sure", "+0.0500"),
    ],
)
def test_interval_of_the_difference(gains, tile, interval):
    results = {"params": [{"budget": 0}, {"budget": 0.1}]}
    results |= {f"split{k}_test_score": np.array([0.5, 0.5 + g]) for k, g in enumerate(gains)}
    fitted = SimpleNamespace(
        cv_results_=results,
        n_splits_=len(gains),
        best_index_=1,
        budget_=0.1,
        scoring="accuracy",
        log_losses_=np.array([0.3, 0.4]),
    )
    fitted.rule, fitted.cv = "best", 3
    told = verdict(fitted)
    assert (told.tile, told.difference) == (tile, interval)
    assert "0.3000 without trimming, 0.4000 with it. The probabilities got worse" in told.words
    for losses, worse in (([0.4, 0.3], False), ([0.3, 0.3], None), ([np.nan, np.nan], None)):
        fitted.log_losses_ = np.array(losses)
        words = verdict(fitted).words
        assert ("Log loss" in words) == (worse is not None)
        assert "got worse" not in words


def cv(rule="best", cv=5):
    return SimpleNamespace(rule=rule, cv=cv)


@pytest.mark.parametrize(
    ("nothing", "low", "high", "words"),
    [
        (True, 0.0, 0.0, "No budget did better than dropping nothing"),
        (False, 0.01, 0.03, "is ahead"),
        (False, 0.0, 0.04, "are level"),
        (False, -0.04, 0.01, "are level"),
        (False, -0.03, -0.01, "is behind"),
        (False, np.nan, np.nan, "no error is known"),
    ],
)
def test_words_follow_the_numbers(nothing, low, high, words):
    said = _judge(nothing, low, high, 4, cv())
    assert words in said
    others = {"No budget did", "is ahead", "are level", "is behind", "no error is known"}
    assert sum(other in said for other in others) == 1
    assert ("chosen among 4" in said) is not nothing


def test_words_of_special_choices():
    assert "one standard error" in _judge(True, 0.0, 0.0, 4, cv("one_standard_error"))
    assert "too good" in _judge(False, np.nan, np.nan, 4, cv(cv="prefit"))


def test_nothing_dropped():
    fitted = FITrimmer(budget=0, step=None, validation=3).fit(X, Y)
    text = html_report(fitted, frame=X, images=np.zeros((120, 2, 2)))
    page = Page(text)
    assert "No row was dropped" in page.text
    assert "rows-data" not in text
    assert [tag for tag, _, _ in page.raw] == ["style"]


def test_weights_and_held_out_rows_are_told():
    weight = np.ones(120)
    fitted = FITrimmer(budget=5, step=None, validation=0.25, random_state=0)
    page = Page(html_report(fitted.fit(X, Y, sample_weight=weight)))
    assert "90 of 120 rows were scored with 1 model" in page.text
    assert "Sample weights were passed" in page.text
    assert "Shares of the sample weight" in page.text
    fitted.set_params(random_state=None)
    assert "No seed was set" in Page(html_report(fitted)).text


def test_lost_class_is_flagged():
    rare = np.arange(120) % 10 == 0

    def dislike(estimator, X, y, X_val, y_val):
        return y.astype(float)

    fitted = FITrimmer(budget=8, step=None, influence=dislike, validation=3)
    with pytest.warns(UserWarning, match="more than half of class"):
        fitted.fit(X, rare.astype(int))
    assert Page(html_report(fitted)).text.count("lost more than half") == 1


def test_many_classes():
    y = np.repeat(np.arange(60), 4)
    rows = np.random.default_rng(0).normal(size=(240, 3))
    fitted = FITrimmer(budget=10, step=None, influence="random", random_state=0).fit(rows, y)
    page = Page(html_report(fitted))
    assert "The 50 classes of 60" in page.text
    assert sum(tag == "rect" for tag, _ in page.elements) == 2 * 50 + 2


@pytest.mark.parametrize("missing", ["matplotlib", "PIL"])
def test_left_out_with_a_note(chosen, trimmer, missing, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    if missing == "matplotlib":
        page = Page(html_report(chosen))
        assert "matplotlib is not installed" in page.text
        assert "All budgets in numbers" in page.text
    else:
        page = Page(html_report(trimmer, images=np.zeros((120, 2, 2))))
        assert "Pillow is not installed" in page.text
        assert page.rows()["pictures"] == []


def test_missing_jinja2_is_named(trimmer, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"skfi\[report\]"):
        html_report(trimmer)


def test_import_loads_no_jinja2():
    code = "import sys, skfi.inspection; print('jinja2' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


def test_svg_of_older_releases():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="3pt"><defs><style>*{}</style></defs>'
        "<text style=\"font: 9.5px 'DejaVu Sans'; text-anchor: middle\">a &lt; b</text></svg>"
    )
    assert for_page(svg, 'x" y') == (
        '<svg role="img" aria-label="x&quot; y"><defs />'
        '<text font-size="9.5px" text-anchor="middle">a &lt; b</text></svg>'
    )


def test_small_words():
    assert [share(x) for x in (0, 0.0001, 0.1234, 1)] == [
        "0.0 %",
        "< 0.1 %",
        "12.3 %",
        "100.0 %",
    ]
    assert [budget_words(b) for b in (0, 0.0, 0.025, 1, 12)] == [
        "nothing", "nothing", "2.5 %", "1 row", "12 rows"
    ]  # fmt: skip
    assert text_of("a" * 4000).endswith(" …")
    assert "0x" not in text_of(object())
