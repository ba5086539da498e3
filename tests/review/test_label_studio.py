"""Tasks of Label Studio: written, annotated, and read back."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification

from skfi import FITrimmer
from skfi.review import apply_decisions, from_label_studio, to_label_studio

X, Y = make_classification(200, random_state=0)
NAMES = np.array(["ham", "spam"])[Y]
TRIMMER = FITrimmer(budget=10, random_state=0).fit(X, NAMES)
FRAME = pd.DataFrame(X, columns=[f"x{k}" for k in range(20)]).assign(note="<b>hello</b>")


def choice(label):
    """A result of type choices, as the documentation of Label Studio has it."""
    return {
        "id": "abc",
        "from_name": "label",
        "to_name": "row",
        "type": "choices",
        "value": {"choices": [label]},
    }


def export(tasks, labels):
    """What Label Studio exports of annotated tasks, with more keys than are read."""
    exported = []
    for k, (task, label) in enumerate(zip(tasks, labels, strict=True), 1):
        annotations = [] if label is None else [{"id": k, "result": [choice(label)]}]
        exported.append(task | {"id": k, "annotations": annotations, "meta": {}, "project": 1})
    return exported


def test_a_task_has_the_row_and_a_prediction(tmp_path):
    path = to_label_studio(TRIMMER, tmp_path / "tasks.json", frame=FRAME)
    tasks = json.loads(path.read_text())
    assert tasks == to_label_studio(TRIMMER, frame=FRAME)
    report = TRIMMER.report()
    assert [task["data"]["skfi_row"] - 1 for task in tasks] == report["position"].tolist()
    for task, (_, row) in zip(tasks, report.iterrows(), strict=True):
        assert task["data"]["note"] == "<b>hello</b>"
        assert task["data"]["x3"] == str(X[row["position"], 3])
        assert all(isinstance(task["data"][name], str) for name in FRAME.columns)
        (prediction,) = task["predictions"]
        assert prediction["result"] == [
            {key: value for key, value in choice(row["predicted_label"]).items() if key != "id"}
        ]
        assert 0 <= prediction["score"] <= 1


def test_annotations_become_decisions(tmp_path):
    tasks = to_label_studio(TRIMMER)
    given = TRIMMER.report()["given_label"].tolist()
    other = ["ham" if label == "spam" else "spam" for label in given]
    labels = [given[0], other[1], "drop this row", None, *other[4:]]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(export(tasks, labels)))
    decisions = from_label_studio(path)
    assert decisions["action"].tolist() == ["keep", "relabel", "drop"] + ["relabel"] * 6
    positions = TRIMMER.trimmed_indices_
    assert decisions["position"].tolist() == np.delete(positions, 3).tolist()
    corrected = apply_decisions(X, NAMES, decisions)
    assert positions[2] not in corrected.kept
    assert corrected.y[corrected.kept == positions[1]] == other[1]


def test_the_last_annotation_counts_and_skipped_ones_do_not(tmp_path):
    (task, *_) = to_label_studio(TRIMMER)
    given = task["data"]["skfi_given_label"]
    annotations = [
        {"result": [choice("drop this row")]},
        {"result": [choice(given)]},
        {"result": [], "was_cancelled": True},
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task | {"annotations": annotations}]))
    assert from_label_studio(path)["action"].tolist() == ["keep"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ('{"a": 1}', "a list of tasks"),
        ('[{"data": {}}]', "task 1 has no number 'skfi_row'"),
        ('[{"data": {"skfi_row": 1}, "annotations": [{"result": []}]}]', "has 0 choices"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "export.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        from_label_studio(path)
