"""InfluenceDisplay: what is drawn is what was given."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi.inspection import InfluenceDisplay
from tests.conftest import classic, make_split

from .conftest import legend_texts

same_color = pytest.importorskip("matplotlib.colors").same_color

KINDS = ["ranked", "hist"]
SCORES = np.array([0.3, 20.0, np.nan, 0.01, 5.0, 0.2, 0.02, np.nan, 7.0, 0.1])
SUPPORT = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0, 1], dtype=bool)


@pytest.fixture(scope="module")
def trimmer():
    X, y, *_ = make_split()
    return classic(LogisticRegression(), budget=0.1, random_state=0).fit(X, y)


def height(patch):
    """Bars of a step patch, without what they stand on."""
    values, _, baseline = patch.get_data()
    return values - baseline


def test_ranked_draws_the_scores_given():
    display = InfluenceDisplay(SCORES, support=SUPPORT).plot()
    ranked = [20.0, 7.0, 5.0, 0.3, 0.2, 0.1, 0.02, 0.01]
    np.testing.assert_array_equal(display.line_.get_xdata(), np.arange(1, 9))
    np.testing.assert_array_equal(display.line_.get_ydata(), ranked)
    np.testing.assert_array_equal(display.dropped_.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(display.dropped_.get_ydata(), ranked[:3])
    assert display.ax_.get_yscale() == "log"
    left, right = (
        display.span_.get_extents().transformed(display.ax_.transData.inverted()).intervalx
    )
    np.testing.assert_allclose((left, right), (0.5, 3.5))
    assert display.threshold_line_.get_ydata()[0] == 5.0
    assert display.kept_ is None
    assert display.highlight_ is None
    assert legend_texts(display.ax_) == ["kept: 5 rows", "dropped: 3 rows", "lowest dropped: 5"]
    assert "8 of 10 rows scored" in display.ax_.get_xlabel()
    assert "influence, log scale" in display.ax_.get_ylabel()


def test_hist_counts_the_scores_given():
    display = InfluenceDisplay(SCORES, support=SUPPORT).plot(kind="hist", bins=6)
    edges = display.kept_.get_data().edges
    scored = ~np.isnan(SCORES)
    for patch, mask in ((display.kept_, SUPPORT), (display.dropped_, ~SUPPORT)):
        expected = np.histogram(SCORES[scored & mask], edges * (1 - 1e-12))[0]
        np.testing.assert_array_equal(height(patch), expected)
    np.testing.assert_allclose(np.ptp(np.diff(np.log10(edges))), 0, atol=1e-12)
    assert np.isclose(edges, 5.0).any()  # no bin holds rows of both sides
    assert not ((height(display.kept_) > 0) & (height(display.dropped_) > 0)).any()
    assert display.ax_.get_xscale() == "log"
    assert display.threshold_line_.get_xdata()[0] == 5.0
    assert display.line_ is None
    assert display.span_ is None
    assert "8 of 10 rows scored" in display.ax_.get_ylabel()


@pytest.mark.parametrize("kind", KINDS)
def test_from_estimator(trimmer, kind):
    display = InfluenceDisplay.from_estimator(trimmer, kind=kind)
    assert display.influence is trimmer.influence_
    assert display.support is trimmer.support_
    assert display.ax_.get_legend().get_title().get_text() == "FITrimmer"
    assert f"dropped: {trimmer.n_trimmed_} rows" in legend_texts(display.ax_)
    lowest = trimmer.influence_[trimmer.trimmed_indices_[-1]]
    at = (
        display.threshold_line_.get_ydata()
        if kind == "ranked"
        else (display.threshold_line_.get_xdata())
    )
    assert at[0] == lowest
    if kind == "ranked":
        np.testing.assert_array_equal(
            display.dropped_.get_ydata(), trimmer.influence_[trimmer.trimmed_indices_]
        )


def test_from_estimator_takes_anything_with_scores():
    fake = SimpleNamespace(influence_=SCORES, support_=SUPPORT)
    display = InfluenceDisplay.from_estimator(fake, name="of $mine$")
    assert len(display.line_.get_xdata()) == 8
    assert display.ax_.get_legend().get_title().get_text() == r"of \$mine\$"


def test_from_estimator_errors(trimmer):
    with pytest.raises(NotFittedError, match="FITrimmer instance is not fitted"):
        InfluenceDisplay.from_estimator(classic())
    X, y, *_ = make_split()
    pipeline = make_pipeline(StandardScaler(), classic(validation=3)).fit(X, y)
    with pytest.raises(TypeError, match=r"Pipeline has no influence_ and no support_"):
        InfluenceDisplay.from_estimator(pipeline)


@pytest.mark.parametrize(
    ("scores", "support", "ranks", "legend"),
    [
        (SCORES, None, None, ["scored: 8 rows"]),
        # Neither shade nor threshold where the dropped rows do not score highest.
        (SCORES, np.isin(np.arange(10), [1, 3], invert=True), [1, 8], None),
        (np.ones(3), np.array([True, False, True]), [1], None),  # ties: dropped rows first
        (SCORES, SUPPORT & (np.arange(10) != 2), [1, 2, 3], None),  # one has no score
    ],
)
def test_which_rows_were_dropped(scores, support, ranks, legend):
    display = InfluenceDisplay(scores, support=support).plot()
    if ranks is None:
        assert display.dropped_ is None
    else:
        np.testing.assert_array_equal(display.dropped_.get_xdata(), ranks)
        legend = legend or legend_texts(display.ax_)
        assert any(text.startswith(f"dropped: {len(ranks)} row") for text in legend)
    top = ranks is not None and ranks == list(range(1, len(ranks) + 1))
    assert (display.span_ is not None) == (display.threshold_line_ is not None) == top
    assert set(legend) <= set(legend_texts(display.ax_))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("threshold", "drawn"), [(0.15, 0.15), (None, None)])
def test_threshold(kind, threshold, drawn):
    display = InfluenceDisplay(SCORES, support=SUPPORT, threshold=threshold).plot(kind=kind)
    if drawn is None:
        assert display.threshold_line_ is None
    else:
        line = display.threshold_line_
        assert drawn in (line.get_xdata()[0], line.get_ydata()[0])
        assert "threshold: 0.15" in legend_texts(display.ax_)


@pytest.mark.parametrize("highlight", [[0, 1, 7], np.isin(np.arange(10), [0, 1, 7])])
def test_highlight(highlight):
    display = InfluenceDisplay(SCORES, support=SUPPORT).plot(
        highlight=highlight, highlight_label="wrong"
    )
    np.testing.assert_array_equal(display.highlight_.get_xdata(), [1, 4])  # 7 has no score
    assert "wrong: 2 rows, 1 of them dropped" in legend_texts(display.ax_)
    low, high = display.ax_.transAxes.inverted().transform(
        display.ax_.transData.transform([(1, 0.01), (1, 20.0)])
    )[:, 1]
    assert low > 0.07  # the ticks lie below the curve
    assert high < 1
    display.plot(kind="hist", highlight=highlight)
    assert display.highlight_.get_data().values.sum() == 2
    display.plot(highlight=[])
    assert "highlighted: 0 rows, 0 of them dropped" in legend_texts(display.ax_)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chosen", ["auto", "symlog", "linear"])
@pytest.mark.parametrize(
    ("scores", "scale"),
    [
        ([1e-5, 1.0, 3.0], "log"),
        ([2.0, 3.0, 4.0], "linear"),
        ([0.0, 1e-5, 1.0], "symlog"),
        ([0.0, 3.0, 1.0], "linear"),
        ([-1.0, 0.5, 1.0], "linear"),
        ([-1e4, -1e-3, 1.0, 1e5], "symlog"),
        ([0.0, 0.0], "linear"),
        ([5.0], "linear"),
        ([1e-100, 1e100], "log"),
        ([-1e-100, 0.0, 1e100], "symlog"),
    ],
)
def test_scale_fits_the_scores_or_is_chosen(kind, scores, scale, chosen):
    display = InfluenceDisplay.from_scores(scores, kind=kind, scale=chosen)
    axis = display.ax_.yaxis if kind == "ranked" else display.ax_.xaxis
    assert axis.get_scale() == (scale if chosen == "auto" or not any(scores) else chosen)
    if chosen != "auto":
        return
    display.figure_.canvas.draw()
    if kind == "hist":
        assert height(display.kept_).sum() == len(scores)


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_in_a_bin(seed):
    rng = np.random.default_rng(seed)
    scores = 10 ** rng.normal(-4, 1.5, 400)
    support = scores < np.quantile(scores, 0.93)
    display = InfluenceDisplay.from_scores(
        scores, support=support, kind="hist", highlight=rng.random(400) < 0.2, name="a name"
    )
    assert height(display.kept_).sum() == support.sum()
    assert height(display.dropped_).sum() == (~support).sum()


def test_styles_are_passed_on():
    display = InfluenceDisplay(SCORES).plot(
        line_kw={"c": "red", "lw": 3}, highlight=[1], highlight_kw={"c": "green"}
    )
    assert same_color(display.line_.get_color(), "red")
    assert display.line_.get_linewidth() == 3
    assert same_color(display.highlight_.get_color(), "green")
    display.plot(kind="hist", highlight=[1], highlight_kw={"ec": "green"})
    assert same_color(display.highlight_.get_edgecolor(), "green")


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_plain_text(kind):
    display = InfluenceDisplay.from_scores(
        SCORES, kind=kind, score_name="$a$", highlight=[0], highlight_label="_$b$", name="$c$"
    )
    labels = display.ax_.get_xlabel() + display.ax_.get_ylabel()
    assert r"\$a\$" in labels
    assert any(r"_\$b\$: 1 row" in text for text in legend_texts(display.ax_))
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ({}, {"kind": "bars"}, r"kind='bars' must be one of 'ranked', 'hist'"),
        ({}, {"scale": "cubic"}, "scale='cubic' must be one of"),
        ({}, {"bins": 0}, "bins=0"),
        ({}, {"bins": True}, "bins=True"),
        ({"threshold": "low"}, {}, "threshold='low'"),
        ({"threshold": np.nan}, {}, "threshold=nan must be finite"),
        ({"support": SUPPORT[:-1]}, {}, "inconsistent numbers of samples"),
        ({"support": SUPPORT.astype(int)}, {}, "support must be a mask"),
        ({"influence": np.full(3, np.nan)}, {}, "no scores"),
        ({"influence": []}, {}, "no scores"),
        ({"influence": [1.0, np.inf]}, {}, "infinite"),
        ({"influence": np.ones((2, 2))}, {}, "1d array"),
        ({"influence": [1.0, 0.0]}, {"scale": "log"}, "some are 0 or negative"),
        ({"influence": [0.0]}, {"scale": "log"}, "all of them are 0"),
        ({}, {"highlight": [True]}, "highlight has 1 entries for 10 rows"),
        ({}, {"highlight": [10]}, "indices outside of 0 to 9"),
        ({}, {"highlight": [-1]}, "indices outside of 0 to 9"),
        ({}, {"highlight": [0.5]}, "must be a mask"),
    ],
)
def test_errors(plt, settings, options, message):
    display = InfluenceDisplay(**{"influence": SCORES, **settings})
    with pytest.raises(ValueError, match=message):
        display.plot(**options)
    assert not plt.get_fignums()  # no empty figure is left behind
