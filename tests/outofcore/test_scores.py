"""`skfi.outofcore.fi_util` beside `skfi.fi_util` on the same rows in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfi
from skfi.baselines import iv
from skfi.outofcore import ArrayRows, fi_util
from tests._utils.test_progress import Display
from tests.conftest import make_split
from tests.outofcore.sources import KINDS, in_blocks, names, source, table

EXACT = dict(tol=1e-12, max_iter=10_000)
CLOSE = dict(rtol=1e-10, atol=1e-18)


def fitted(n_classes=3, weighted=True, **params):
    X, y, V, w, weight = make_split(n_classes)
    weight = weight if weighted else None
    return LogisticRegression(**EXACT, **params).fit(X, y, weight), X, y, V, w, weight


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [True, False])
def test_every_source(kind, weighted, tmp_path):
    X, y, V, w, weight = make_split(3)
    X = X.astype(np.float32).astype(np.float64)
    weight = weight if weighted else None
    model = LogisticRegression(**EXACT).fit(X, y, weight)
    expected = skfi.fi_util(model, X, y, V, w, sample_weight=weight)
    rows = source(kind, X, y, weight, tmp_path, 30)
    np.testing.assert_allclose(fi_util(model, rows, V, w), expected, **CLOSE)
    assert rows.n_rows == len(X)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 2.0, 1: 0.5}])
@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis"])
@pytest.mark.parametrize("unit", ["copy", "row"])
def test_settings(n_classes, class_weight, metric, unit):
    model, X, y, V, w, weight = fitted(n_classes, class_weight=class_weight)
    held_out = dict(sample_weight_val=np.arange(len(w)) + 1.0, validation_loss="gce")
    rows = in_blocks(ArrayRows(X, y, weight), 37)

    def scores(influence):
        return fi_util(
            model, rows, V, w, metric=metric, unit=unit, influence=influence, **held_out
        )

    fi = skfi.fi_util(
        model, X, y, V, w, sample_weight=weight, metric=metric, unit=unit, **held_out
    )
    gain = iv(model, X, y, V, w, sample_weight=weight, **held_out)
    np.testing.assert_allclose(scores("fi"), fi, **CLOSE)
    np.testing.assert_allclose(scores("gain"), gain, rtol=1e-10, atol=1e-16)
    np.testing.assert_allclose(scores("fi_signed"), np.sqrt(fi) * gain, rtol=1e-9, atol=1e-16)


@settings(deadline=None, max_examples=25)
@given(
    size=st.integers(1, 150),
    seed=st.integers(0, 3),
    zeros=st.integers(0, 100),
    n_classes=st.sampled_from([2, 3]),
)
def test_any_block_size_and_blocks_without_weight(size, seed, zeros, n_classes):
    X, y, V, w, weight = make_split(n_classes, seed=seed)
    weight[:zeros] = 0
    model = LogisticRegression(**EXACT).fit(X, y, weight)
    expected = skfi.fi_util(model, X, y, V, w, sample_weight=weight, metric="mahalanobis")
    rows = in_blocks(ArrayRows(X, y, weight), size)
    found = fi_util(model, rows, V, w, metric="mahalanobis")
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-18)
    assert not found[:zeros].any()


# Stochastic gradients never come to rest.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "classifier",
    [
        SGDClassifier(loss="log_loss", alpha=0.1, class_weight="balanced", random_state=0),
        OneVsRestClassifier(LogisticRegression(**EXACT)),
        make_pipeline(StandardScaler(), LogisticRegression(**EXACT)),
    ],
)
def test_other_classifiers(classifier):
    X, y, V, w, _ = make_split(3)
    model = classifier.fit(X, y)
    expected = skfi.fi_util(model, X, y, V, w)
    rows = in_blocks(ArrayRows(X, y), 29)
    np.testing.assert_allclose(fi_util(model, rows, V, w), expected, rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("kind", ["parquet", "frame"])
@pytest.mark.parametrize("bare", [True, False])
def test_columns_by_name(kind, bare, tmp_path):
    X, y, V, w, _ = make_split(3)
    rows = source(kind, X, y, None, tmp_path, 40)
    frame, held_out = (table(data, labels, None)[names(X)] for data, labels in ((X, y), (V, w)))
    classifier = LogisticRegression(**EXACT)
    model = (classifier if bare else make_pipeline(StandardScaler(), classifier)).fit(frame, y)
    expected = skfi.fi_util(model, frame, y, held_out, w)
    np.testing.assert_allclose(fi_util(model, rows, held_out, w), expected, **CLOSE)
    with pytest.raises(ValueError, match=r"columns that the classifier was fitted on|names"):
        fi_util(
            classifier.fit(frame[names(X)[::-1]], y) if bare else model.fit(frame[["x1"]], y),
            rows,
            held_out,
            w,
        )


def test_text_columns_go_through_a_pipeline(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    from skfi.outofcore import ParquetRows

    X, y, *_ = make_split(2)
    frame = pd.DataFrame({"a": X[:, 0], "city": np.where(X[:, 1] > 0, "Rome", "Oslo")})
    labels = np.where(y, "yes", "no")
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["city"]), ("passthrough", ["a"])),
        LogisticRegression(**EXACT),
    ).fit(frame, labels)
    path = tmp_path / "t.parquet"
    frame.assign(label=pd.Categorical(labels)).to_parquet(path)
    rows = in_blocks(ParquetRows(path, target="label"), 50)
    expected = skfi.fi_util(model, frame, labels, frame[:30], labels[:30])
    found = fi_util(model, rows, frame[:30], labels[:30])
    np.testing.assert_allclose(found, expected, **CLOSE)
    plain = LogisticRegression(**EXACT).fit(X[:, :2], labels)
    with pytest.raises(ValueError, match=r"rows 0 to 49 of t.parquet: could not convert"):
        fi_util(plain, rows, X[:5, :2], labels[:5])


def test_scores_in_a_file(tmp_path):
    model, X, y, V, w, weight = fitted()
    rows = in_blocks(ArrayRows(X, y, weight), 31)
    out = tmp_path / "scores.npy"
    found = fi_util(model, rows, V, w, out=out)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npy"]
    assert found.tobytes() == fi_util(model, rows, V, w).tobytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        fi_util(model, rows, V, w, out=out)
    again = fi_util(model, rows, V, w, out=out, overwrite=True, metric="mahalanobis")
    assert again[0] != found[0] or again[1] != found[1]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        fi_util(model, rows, V, w, out=tmp_path / "none" / "scores.npy")


def test_each_pass_is_a_bar():
    model, X, y, V, w, _ = fitted(weighted=False, class_weight="balanced")
    display = Display()
    with skfi._utils._progress.shown_by(display):
        fi_util(model, in_blocks(ArrayRows(X, y), 70), V, w)
    assert display.bars == [(f"Pass {k} of 3", 140, [70, 140]) for k in (1, 2, 3)]


def test_a_bar_is_shown_where_asked_for(capsys):
    pytest.importorskip("tqdm")
    model, X, y, V, w, _ = fitted(weighted=False)
    fi_util(model, ArrayRows(X, y), V, w)
    assert not capsys.readouterr().err
    fi_util(model, ArrayRows(X, y), V, w, verbose=1)
    shown = capsys.readouterr().err
    assert "Pass 1 of 2" in shown
    assert "Pass 2 of 2" in shown


def test_other_rows_than_those_of_the_fit_are_told():
    model, X, y, V, w, _ = fitted(weighted=False)
    with pytest.warns(ConvergenceWarning, match="not at its optimum") as caught:
        fi_util(model, ArrayRows(X, 2 - y), V, w)
    assert caught[0].filename == __file__


def test_refusals():
    model, X, y, V, w, _ = fitted(weighted=False)
    rows = ArrayRows(X, y)
    with pytest.raises(TypeError, match=r"ArrayRows\(X, y\) for arrays"):
        fi_util(model, X, V, w)
    with pytest.raises(ValueError, match="influence='iv' is not known"):
        fi_util(model, rows, V, w, influence="iv")
    with pytest.raises(ValueError, match="metric"):
        fi_util(model, rows, V, w, metric="cosine")
    with pytest.raises(ValueError, match=r"rows 0 to 139 of X: X has 4 features where"):
        fi_util(model, ArrayRows(X[:, :4], y), V, w)
    with pytest.raises(ValueError, match="have no weight"):
        fi_util(model, ArrayRows(X, y, np.zeros(len(y))), V, w)
    with pytest.raises(ValueError, match=r"rows 0 to 139 of X: y has labels the classifier"):
        fi_util(model, ArrayRows(X, y + 1), V, w)
    network = MLPClassifier((3,), max_iter=1500, tol=1e-2).fit(X, y)
    pytest.importorskip("torch")
    with pytest.raises(TypeError, match="takes linear classifiers"):
        fi_util(network, rows, V, w)
