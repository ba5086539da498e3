"""QueryDisplay: what is drawn where."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_classification
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("matplotlib")

from skfi import FIActiveSampler, FIEmbedding
from skfi.inspection import QueryDisplay
from skfi.queries import Margin, Random

X, y = make_classification(200, 6, random_state=0)
PLANE = X[:, :2]


def _fitted(strategy, X=X, y=y):
    return strategy.fit(X[:30], y[:30])


def test_the_batch_is_ringed_where_its_rows_are():
    strategy = _fitted(Margin(batch_size=7, random_state=0), PLANE)
    display = QueryDisplay.from_estimator(strategy, PLANE[30:])
    asked = strategy.query(PLANE[30:])
    np.testing.assert_allclose(display.batch_.get_offsets(), PLANE[30:][asked])
    np.testing.assert_allclose(display.pool_.get_offsets(), PLANE[30:])
    # The batch has the highest ranks; colours are ranks from 0 to 1.
    colours = np.asarray(display.pool_.get_array())
    assert set(np.argsort(-colours)[:7]) == set(asked)
    assert (colours.min(), colours.max()) == (0, 1)
    assert display.ax_.get_xlabel() == "feature 0"
    assert display.colorbar_.ax.get_ylabel() == "rank of the score of Margin"


def test_principal_components_of_what_the_last_step_sees():
    model = make_pipeline(StandardScaler(), LogisticRegression())
    sampler = _fitted(FIActiveSampler(model, batch_size=5, random_state=0))
    display = QueryDisplay.from_estimator(sampler, X[30:], X[:30], y[:30])
    scaler = sampler.estimator_[0]
    pca = PCA(2).fit(scaler.transform(X[30:]))
    drawn = np.abs(display.pool_.get_offsets())
    np.testing.assert_allclose(drawn, np.abs(pca.transform(scaler.transform(X[30:]))))
    assert "% of the variance" in display.ax_.get_ylabel()
    texts = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert texts == ["170 rows of the pool", "labelled 0", "labelled 1", "asked for (5)"]
    assert [len(part.get_offsets()) for part in display.labelled_] == np.bincount(
        y[:30]
    ).tolist()


@pytest.mark.parametrize("fitted", [True, False])
def test_a_projection_of_ones_own(fitted):
    strategy = _fitted(Random(batch_size=3, random_state=0))
    projection = PCA(3, random_state=0)
    if fitted:
        projection.fit(X)
    display = QueryDisplay.from_estimator(strategy, X[30:], projection=projection)
    expected = (projection if fitted else PCA(3, random_state=0).fit(X[30:])).transform(X[30:])
    np.testing.assert_allclose(display.pool_.get_offsets(), expected[:, :2])
    assert display.ax_.get_xlabel() == "PCA 1"
    assert hasattr(projection, "components_") is fitted


def test_in_the_embedding():
    digits, label = load_digits(return_X_y=True)
    sampler = FIActiveSampler(batch_size=5, random_state=0).fit(digits[:60] / 16, label[:60])
    embedding = FIEmbedding(n_components=2).fit(digits[:60] / 16, label[:60])
    display = QueryDisplay.from_estimator(sampler, digits[60:300] / 16, projection=embedding)
    assert display.pool_.get_offsets().shape == (240, 2)


def test_frames_name_the_axes():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(PLANE, columns=["a$b$", "_c"])
    display = QueryDisplay.from_estimator(
        Margin(batch_size=2).fit(frame[:30], y[:30]), frame[30:]
    )
    assert display.ax_.get_xlabel() == r"a\$b\$"
    display.figure_.draw_without_rendering()


def test_on_axes_that_are_there(plt):
    figure, axes = plt.subplots(1, 2, layout="constrained", figsize=(8, 4))
    for ax in axes:
        display = QueryDisplay(PLANE, [1, 4], scores=np.arange(200), names=("a", "b")).plot(ax)
        assert display.ax_ is ax
        assert display.legend_ is ax.get_legend()
        assert len(ax.get_legend().get_texts()) == 2
    assert not figure.legends


def test_legend_and_colour_bar_on_demand(plt):
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    strategy = _fitted(Margin(batch_size=7, random_state=0))
    for display in (
        QueryDisplay.from_estimator(strategy, X[30:], ax=left, legend=False, colorbar=False),
        QueryDisplay(PLANE, [1], scores=np.arange(200)).plot(
            right, legend=False, colorbar=False
        ),
    ):
        assert display.colorbar_ is None
        assert display.legend_ is None
        assert display.ax_.get_legend() is None
        assert len(display.pool_.get_array()) == len(display.coordinates)  # still coloured
    assert figure.axes == [left, right]
    handles, labels = left.get_legend_handles_labels()
    assert len(handles) == len(labels) == 2  # for a legend of one's own
    alone = QueryDisplay(PLANE, [1]).plot(legend=False)
    assert not alone.figure_.legends


def test_plain_arrays_and_properties():
    display = QueryDisplay(PLANE, [1, 4], labelled=PLANE[:3]).plot(
        pool_kw={"alpha": 0.5}, batch_kw={"lw": 3}, labelled_kw={"marker": "s"}
    )
    assert display.colorbar_ is None
    assert display.pool_.get_alpha() == 0.5
    assert display.batch_.get_linewidths().tolist() == [3]
    assert [text.get_text() for text in display.figure_.legends[0].get_texts()] == [
        "200 rows of the pool",
        "labelled",
        "asked for (2)",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coordinates": X, "batch": [0]}, "coordinates must have two columns, got 6"),
        ({"coordinates": PLANE, "batch": [[0]]}, "positions in the 200 rows"),
        ({"coordinates": PLANE, "batch": [0.5]}, "positions in the 200 rows"),
        ({"coordinates": PLANE, "batch": [0], "scores": [1.0]}, "the pool has 200 rows"),
        (
            {"coordinates": PLANE, "batch": [0], "labelled": PLANE, "labels": [1]},
            "there are 200 labelled rows",
        ),
    ],
)
def test_shapes_that_do_not_fit(plt, arguments, message):
    with pytest.raises(ValueError, match=message):
        QueryDisplay(**arguments).plot()
    assert not plt.get_fignums()  # no empty figure is left behind


def test_what_from_estimator_refuses():
    with pytest.raises(NotFittedError):
        QueryDisplay.from_estimator(Margin(), X)
    strategy = _fitted(Margin())
    with pytest.raises(ValueError, match="together, or neither"):
        QueryDisplay.from_estimator(strategy, X[30:], X[:30])
    with pytest.raises(ValueError, match="at least two columns"):
        QueryDisplay.from_estimator(strategy, X[30:], projection=PCA(1))
