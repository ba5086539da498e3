"""Decisions of people: read, checked, and applied to rows and labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import make_classification

from skfi import FITrimmer
from skfi.review import apply_decisions, read_decisions

X = np.arange(10.0).reshape(5, 2)
Y = np.array(["ham", "spam", "ham", "spam", "ham"])
DECISIONS = pd.DataFrame(
    {
        "position": [3, 0, 4],
        "action": ["drop", "relabel", "keep"],
        "label": ["", "spam", ""],
    }
)


@pytest.mark.parametrize(
    "rows", [X, X.tolist(), pd.DataFrame(X), sparse.csr_array(X)], ids=type
)
def test_rows_are_dropped_and_labels_replaced(rows):
    corrected = apply_decisions(rows, Y, DECISIONS)
    assert type(corrected.X) is type(rows)
    values = corrected.X.toarray() if sparse.issparse(rows) else np.asarray(corrected.X)
    np.testing.assert_array_equal(values, X[[0, 1, 2, 4]])
    assert corrected.y.tolist() == ["spam", "spam", "ham", "ham"]
    assert corrected.kept.tolist() == [0, 1, 2, 4]
    assert Y[0] == "ham"


@pytest.mark.parametrize(
    ("labels", "new", "expected"),
    [
        (np.array([0, 1, 0]), "1", 1),
        (np.array([0, 1, 0]), 1, 1),
        (np.array([0.0, 1.0, 0.0]), "1", 1.0),
        (np.array([False, True, False]), "true", True),
        (pd.Series([0, 1, 0], index=list("abc")), "1", 1),
        (pd.Series(["no", "yes", "no"], dtype="category"), "yes", "yes"),
        (["a", "long label", "a"], "long label", "long label"),
    ],
    ids=repr,
)
def test_labels_keep_their_type(labels, new, expected):
    before = list(labels)
    decisions = pd.DataFrame({"row": [1], "action": ["relabel"], "label": [new]})
    corrected = apply_decisions(X[:3], labels, decisions)
    assert list(corrected.y) == [expected, *before[1:]]
    assert list(labels) == before
    if isinstance(labels, pd.Series):
        assert corrected.y.dtype == labels.dtype
        assert corrected.y.index.equals(labels.index)


def test_a_file_counts_rows_from_1(tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_bytes(
        b"\xef\xbb\xbfrow,action,label\r\n4,drop,\r\n1,relabel,spam\r\n5,keep,\r\n"
    )
    table = read_decisions(path)
    assert table["position"].tolist() == [0, 3, 4]
    for decisions in (path, str(path), table, DECISIONS):
        corrected = apply_decisions(X, Y, decisions)
        assert corrected.y.tolist() == ["spam", "spam", "ham", "ham"]


def test_a_file_without_decisions_changes_nothing(tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_text("row,action,label\n")
    assert len(read_decisions(path)) == 0
    assert apply_decisions(X, Y, path).kept.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"has the columns \[\]; decisions have"),
        ("row,label,action\n1,spam,drop\n", "in this order"),
        ("row,action,label\n1,drop\n", "record 2: 2 cells instead of 3"),
        ("row,action,label\n0,drop,\n", "row '0' is not a whole number from 1 on"),
        ("row,action,label\n1.5,drop,\n", "row '1.5' is not a whole number"),
        ("row,action,label\n6,drop,\n", "row 6: there are 5 rows, so the last is 5"),
        ("row,action,label\n2,drop,\n2,keep,\n", "row 2 is decided more than once"),
        ("row,action,label\n2,delete,\n", r"row 2: action 'delete' is not one of"),
        ("row,action,label\n2,relabel,\n", "row 2: 'relabel' needs a label"),
        ("row,action,label\n2,relabel,eggs\n", "row 2: 'eggs' is not a label of the data"),
        ('row,action,label\n2,drop,"\n', "is not a CSV file|cells in place"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path, text, message):
    path = tmp_path / "decisions.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        apply_decisions(X, Y, path)


@pytest.mark.parametrize(
    ("decisions", "error", "message"),
    [
        ([1, 2], TypeError, "must be a DataFrame or the path"),
        (DECISIONS.assign(row=1), ValueError, "leave one out"),
        (DECISIONS.drop(columns="action"), ValueError, "has no column 'action'"),
        (DECISIONS.drop(columns="position"), ValueError, "has no column 'row'"),
        (
            DECISIONS.assign(position=[0, 1, -1]),
            ValueError,
            "position -1 is not a whole number",
        ),
        (DECISIONS.assign(position=[0, 1, 5]), ValueError, "position 5: there are 5 rows"),
        (DECISIONS.assign(position=[0, 1, np.nan]), ValueError, "position nan is not a whole"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(decisions, error, message):
    with pytest.raises(error, match=message):
        apply_decisions(X, Y, decisions)


def test_rows_and_labels_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="X has 5 rows and y has 4 labels"):
        apply_decisions(X, Y[:4], DECISIONS)


def test_suggestions_are_decisions():
    rows, y = make_classification(200, random_state=0)
    trimmer = FITrimmer(budget=20, random_state=0).fit(rows, y)
    suggestions = trimmer.suggestions()
    assert suggestions["position"].tolist() == trimmer.trimmed_indices_.tolist()
    relabelled = suggestions[suggestions["action"] == "relabel"]
    assert 0 < len(relabelled) < 20
    predicted = trimmer.estimator_.predict(rows[relabelled["position"]])
    assert relabelled["label"].tolist() == predicted.tolist()
    corrected = apply_decisions(rows, y, suggestions)
    assert len(corrected.kept) == 200
    changed = np.flatnonzero(corrected.y != y)
    assert sorted(changed) == sorted(relabelled["position"])
