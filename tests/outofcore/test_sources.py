"""Sources of rows: blocks in order and within the limit, and errors that name the rows."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skfi.outofcore import ArrayRows, BatchRows, ParquetRows, fi_util, fit_logistic
from tests.conftest import make_split
from tests.outofcore.sources import (
    KINDS,
    Chunked,
    in_blocks,
    mapped,
    names,
    source,
    table,
    write_parquet,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 16, 1000])
def test_blocks_hold_all_rows_in_order(kind, size, tmp_path):
    X, y, _, _, weight = make_split(3)
    X = X.astype(np.float32).astype(np.float64)
    rows = source(kind, X, y, weight, tmp_path, size)
    blocks = list(rows.blocks())
    assert max(len(labels) for _, labels, _ in blocks) <= size
    dense = [part.toarray() if sparse.issparse(part) else part for part, _, _ in blocks]
    np.testing.assert_array_equal(np.concatenate([np.asarray(part) for part in dense]), X)
    np.testing.assert_array_equal(np.concatenate([block[1] for block in blocks]), y)
    np.testing.assert_array_equal(np.concatenate([block[2] for block in blocks]), weight)
    assert rows.classes().tolist() == [0, 1, 2]
    assert rows.n_features == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_goes_on_from_any_block(kind, tmp_path):
    X, y, *_ = make_split(2)
    rows = source(kind, X, y, None, tmp_path)
    blocks = list(rows._read(16))
    for number, block in enumerate(blocks):
        rest = list(rows._read(16, start=block.start))
        assert [b[:3] for b in rest] == [b[:3] for b in blocks[number:]]
        np.testing.assert_array_equal(rest[0].y, block.y)


@pytest.mark.parametrize("kind", KINDS)
def test_working_memory_bounds_the_blocks(kind, tmp_path):
    X, y, *_ = make_split(2, n=3000, d=50)
    rows = source(kind, X, y, None, tmp_path)
    with config_context(working_memory=0.25):
        sizes = [len(labels) for _, labels, _ in rows.blocks()]
    assert len(sizes) > 3
    assert max(sizes) * 50 * 8 <= 0.25 * 2**20
    assert [len(labels) for _, labels, _ in rows.blocks(0.25)] == sizes
    assert {len(labels) for _, labels, _ in rows.blocks(1e-9)} == {1}


def test_blocks_end_where_chunks_do():
    X, y, *_ = make_split(2)
    rows = ArrayRows(Chunked(X, 12), y)
    size = 50 * X.shape[1] * 8 / 2**20 * 4
    assert [len(part[1]) for part in rows.blocks(size)] == [48, 48, 44]
    assert max(len(part[1]) for part in ArrayRows(Chunked(X, 100), y).blocks(size)) == 50


def fail(rows, V, w):
    """What is said where a pass meets rows that cannot be used."""
    X, y, *_ = make_split(2)
    model = LogisticRegression(tol=1e-10, max_iter=1000).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of other rows than the fit's
        with pytest.raises(ValueError, match=r".") as caught:
            fi_util(model, rows, V, w)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("array", "rows 40 to 59 of X"),
        ("memmap", "rows 40 to 59 of X.npy"),
        ("sparse", "rows 40 to 59 of X"),
        ("batches", "rows 46 to 65 of the batches"),
        ("parquet", "rows 37 to 56 of train.parquet"),
        ("folder", "rows 0 to 13 of part-1.parquet"),
    ],
)
def test_nan_is_named(kind, where, tmp_path):
    X, y, V, w, _ = make_split(2)
    X[51] = np.nan
    told = fail(source(kind, X, y, None, tmp_path, 20), V, w)
    assert told.startswith(f"{where}: Input X contains NaN")


@pytest.mark.parametrize("kind", ["array", "parquet", "batches"])
def test_a_missing_label_is_named(kind, tmp_path):
    X, y, *_ = make_split(2)
    y = y.astype(float)
    y[30] = np.nan
    with pytest.raises(ValueError, match=r"^rows 2\d to .*: y holds None or NaN instead of"):
        fit_logistic(source(kind, X, y, None, tmp_path, 20))


def test_large_numbers_are_readable():
    rows = ArrayRows(np.zeros((50_000, 1)), np.zeros(50_000))
    assert [b.where for b in rows._read(10_000)][-1] == "rows 40,000 to 49,999 of X"


def test_negative_weights_are_named():
    X, y, V, w, weight = make_split(2)
    weight[25] = -1
    told = fail(in_blocks(ArrayRows(X, y, weight), 20), V, w)
    assert told.startswith("rows 20 to 39 of X: Negative values in data passed to")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 2)), [0, 1]), r"y has shape \(2,\), and must have a value for each"),
        ((np.zeros((2, 2)), [0, 1], [1.0]), r"sample_weight has shape \(1,\)"),
        ((np.zeros(3), [0, 1, 1]), r"X has shape \(3,\)"),
        ((np.zeros((0, 3)), []), r"X has shape \(0, 3\)"),
    ],
)
def test_arrays_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        ArrayRows(*arguments)


def test_iterators_are_refused():
    X, y, V, w, _ = make_split(2)
    with pytest.raises(TypeError, match="array, sparse matrix or DataFrame"):
        ArrayRows(iter(X), y)
    once = ((X, y) for _ in range(1))
    with pytest.raises(TypeError, match="pass the generator function without calling it"):
        BatchRows(once)
    rows = BatchRows(lambda: once)
    with pytest.raises(ValueError, match="returned the same iterator again"):
        fit_logistic(rows)
    fine = fit_logistic(BatchRows(lambda: [(X[:70], y[:70]), (X[70:], y[70:])]))
    assert fi_util(fine, BatchRows(lambda: iter([(X, y)])), V, w).shape == (140,)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "gave no batches"),
        ([np.zeros((3, 2))], r"batch 1: a batch is \(X, y\) or"),
        ([(np.zeros(3), np.zeros(3))], r"batch 1: X has shape \(3,\)"),
        ([(np.zeros((3, 2)), [0, 1])], r"batch 1: y has shape \(2,\), and X \(3, 2\)"),
    ],
)
def test_batches_that_are_malformed(batches, message):
    with pytest.raises((TypeError, ValueError), match=message):
        BatchRows(lambda: iter(batches)).n_features


def test_batches_of_different_width_are_named():
    X, y, V, w, _ = make_split(2)
    told = fail(BatchRows(lambda: [(X[:50], y[:50]), (X[50:, :4], y[50:])]), V, w)
    assert told.startswith("rows 50 to 139 of the batches: X has 4 features")


def test_batches_of_other_columns_are_named():
    pytest.importorskip("pandas")
    X, y, V, w, _ = make_split(2)
    frame = table(X, y, None)[names(X)]
    rows = BatchRows(lambda: [(frame[:50], y[:50]), (frame[50:], y[50:])])
    model = fit_logistic(rows)
    assert model.feature_names_in_.tolist() == rows.feature_names == names(X)
    turned = frame[names(X)[::-1]]
    told = fail(BatchRows(lambda: [(frame[:50], y[:50]), (turned[50:], y[50:])]), V, w)
    assert told.startswith("batch 2: all batches must have the columns of the first")
    with pytest.raises(ValueError, match="columns that the classifier was fitted on"):
        fi_util(model, BatchRows(lambda: [(turned, y)]), V, w)


@pytest.mark.parametrize("second", [100, 139])
def test_batches_that_are_others_in_the_next_pass(second):
    X, y, V, w, _ = make_split(2)
    passes = iter([140, 140, second])

    def batches():
        n = next(passes)
        yield X[:n], y[:n]

    assert f"The batches held {second} rows in this pass and 140" in fail(
        BatchRows(batches), V, w
    )


def test_longer_batches_in_the_next_pass():
    X, y, V, w, _ = make_split(2)
    passes = iter([139, 139, 140])

    def batches():
        n = next(passes)
        yield X[:n], y[:n]

    assert "read 139 rows, and this one more" in fail(BatchRows(batches), V, w)


def test_a_mask_of_other_rows():
    X, y, *_ = make_split(2)
    with pytest.raises(ValueError, match="a boolean for each of the 140 rows"):
        ArrayRows(X, y).without(np.zeros(139, dtype=bool))
    with pytest.raises(ValueError, match="gone must be a mask"):
        ArrayRows(X, y).without([1, 5])
    rows = BatchRows(lambda: iter([(X, y)])).without(np.zeros(100, dtype=bool))
    with pytest.raises(ValueError, match="more rows than the 100 of the mask"):
        fit_logistic(rows)


@pytest.fixture
def parquet(tmp_path):
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    X, y, V, w, _ = make_split(2)
    path = tmp_path / "train.parquet"
    write_parquet(table(X, y, None), path)
    return path, X, y, V, w


def test_parquet_takes_columns_in_the_order_asked_for(parquet):
    path, X, _, _, _ = parquet
    assert ParquetRows(path, target="label").feature_names == names(X)
    rows = ParquetRows(str(path), target="label", features=["x3", "x0"])
    np.testing.assert_array_equal(next(rows.blocks())[0], X[:, [3, 0]])
    twice = ParquetRows([path, path], target="label")
    assert twice.n_rows == 280


def test_parquet_of_other_numbers(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame(
        {
            "a": pd.array([1, None], "Int64"),
            "b": [True, False],
            "c": np.float32([1, 2]),
            "y": "z",
        }
    )
    frame.to_parquet(path)
    X, y, _ = next(ParquetRows(path, target="y").blocks())
    np.testing.assert_array_equal(X, [[1, 1, 1], [np.nan, 0, 2]])
    assert list(y) == ["z", "z"]
    single = next(ParquetRows(path, target="y", features=["c"]).blocks())[0]
    assert single.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(target="labels"), r"train.parquet: there are no columns \['labels'\]"),
        (dict(target="label", features=["x9"]), r"no columns \['x9'\]; its columns are"),
        (dict(target="label", features=["label"]), "must be different columns"),
        (dict(target="label", features=[]), "with a feature at least"),
    ],
)
def test_parquet_without_its_columns(parquet, arguments, message):
    with pytest.raises(ValueError, match=message):
        ParquetRows(parquet[0], **arguments)


def test_parquet_that_is_not_there(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        ParquetRows(tmp_path / "none.parquet", target="label")
    with pytest.raises(FileNotFoundError, match=r"No \*.parquet files"):
        ParquetRows(tmp_path, target="label")
    (tmp_path / "text.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"text.parquet: .*not a parquet file"):
        ParquetRows(tmp_path, target="a")


def test_parquet_that_changes_is_refused(parquet):
    path, X, y, V, w = parquet
    rows = ParquetRows(path, target="label")
    write_parquet(table(X[:100], y[:100], None), path)
    assert "has changed since ParquetRows looked at it" in fail(rows, V, w)
    rows = ParquetRows(path, target="label")
    blocks = rows.blocks()
    next(blocks)
    os.utime(path, ns=(0, 0))
    with pytest.raises(ValueError, match="has changed since"):
        list(blocks)


def test_labels_are_read_alone(parquet, monkeypatch):
    rows = ParquetRows(parquet[0], target="label")
    monkeypatch.setattr(rows, "_features_of", None)
    assert rows.classes().tolist() == [0, 1]
    X = Chunked(np.zeros((4, 2)), 2)
    X.X = None  # would fail if it were read
    assert ArrayRows(X, [0, 1, 1, 0]).classes().tolist() == [0, 1]


def test_memory_maps_are_not_copied(tmp_path):
    X, y, *_ = make_split(2)
    rows = ArrayRows(mapped(X, tmp_path / "X.npy"), y)
    assert all(np.shares_memory(part, rows.X) for part, _, _ in rows.blocks())
