"""Rows under rows keep the kind of the first, its columns and what the caller passed."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skfi._utils._stack import stack_rows


def test_arrays_of_any_rank():
    one, other = np.zeros((2, 3, 4)), np.ones((1, 3, 4))
    assert stack_rows(one, other).shape == (3, 3, 4)
    assert stack_rows([[1, 2]], [[3, 4]]) == [[1, 2], [3, 4]]
    assert stack_rows(("a",), ["b"]) == ("a", "b")


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array, sparse.coo_array])
def test_sparse_stays_sparse(kind):
    stacked = stack_rows(kind(np.eye(2)), np.ones((1, 2)))
    assert sparse.isspmatrix(stacked) == sparse.isspmatrix(kind(np.eye(2)))
    assert_array_equal(stacked.toarray(), [[1, 0], [0, 1], [1, 1]])


def test_frames_by_name_with_their_categories():
    X = pd.DataFrame({"a": [1, 2], "c": pd.Categorical(["x", "y"])}, index=[7, 8])
    below = pd.DataFrame({"c": pd.Categorical(["z"]), "more": [0], "a": [3]})
    stacked = stack_rows(X, below)
    assert list(stacked.columns) == ["a", "c"]
    assert stacked["c"].tolist() == ["x", "y", "z"]
    assert stacked["c"].cat.categories.tolist() == ["x", "y", "z"]
    assert stacked.index[:2].tolist() == [7, 8]
    assert X["c"].cat.categories.tolist() == ["x", "y"]  # as the caller passed it
    assert below["c"].cat.categories.tolist() == ["z"]
    assert stack_rows(X[["a"]], np.array([[5]]))["a"].tolist() == [1, 2, 5]
    assert stack_rows(X[["a"]], sparse.csr_array([[5]]))["a"].tolist() == [1, 2, 5]
    assert stack_rows(pd.Series(["u"]), ["v"]).tolist() == ["u", "v"]


def test_frames_with_two_columns_of_one_name():
    X = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert stack_rows(X, X).shape == (2, 2)


def test_polars():
    pl = pytest.importorskip("polars")
    X = pl.DataFrame({"a": [1], "b": [2.5]})
    stacked = stack_rows(X, pl.DataFrame({"b": [1], "a": [3]}))
    assert stacked["b"].to_list() == [2.5, 1.0]
    assert stacked["a"].to_list() == [1, 3]
    with pytest.raises(ValueError, match=r"no column \['b'\]"):
        stack_rows(X, pl.DataFrame({"a": [3]}))


def test_tensors():
    torch = pytest.importorskip("torch")
    stacked = stack_rows(torch.zeros(2, 3), np.ones((1, 3)))
    assert stacked.dtype == torch.float32
    assert stacked.shape == (3, 3)


def test_what_cannot_be_stacked_is_named():
    with pytest.raises(TypeError, match="object and list"):
        stack_rows(object(), [1])
