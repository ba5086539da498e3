"""Label Studio's tasks: suggestions out, annotations in.

The format is that of its "basic JSON": a list of tasks with ``data``, ``predictions`` and
``annotations``, whose results are of type "choices". The labelling configuration that fits is
one ``<Choices name="label" toName="row">`` over the columns.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils._extras import require
from .._utils._files import replacing

_FROM, _TO = "label", "row"
_DROP = "drop this row"


def to_label_studio(trimmer, path=None, *, frame=None):
    """The dropped rows as tasks of Label Studio, with suggested labels as predictions.

    Parameters
    ----------
    trimmer : FITrimmer or FITrimmerCV
        Fitted.
    path : str or path-like, default=None
        JSON file to write, for the import of a project. None returns the tasks.
    frame : DataFrame, Series, list or ndarray of shape (n, …), default=None
        Columns to show: of all rows that were passed to `fit`, in their order.

    Returns
    -------
    tasks : list of dict, or pathlib.Path
        One task a row, the first to be dropped first. ``data`` has ``skfi_row`` (from 1),
        ``skfi_given_label`` and the columns of `frame` as text; ``predictions`` has the
        suggested label and how probable it is. With a path, where it was written.

    Raises
    ------
    ImportError
        pandas is not installed.
    sklearn.exceptions.NotFittedError
        The trimmer is not fitted.
    TypeError, ValueError
        `frame` is of another type, length or order than the rows of `fit`.

    References
    ----------
    "Import pre-annotated data into Label Studio" and "Label Studio JSON format of annotated
    tasks" in the documentation of Label Studio.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skfi import FITrimmer
    >>> from skfi.review import to_label_studio
    >>> X, y = make_classification(200, random_state=0)
    >>> trimmer = FITrimmer(budget=3, random_state=0).fit(X, y)
    >>> tasks = to_label_studio(trimmer)
    >>> sorted(tasks[0])
    ['data', 'predictions']
    """
    check_is_fitted(trimmer)
    suggestions = trimmer.suggestions()
    columns: dict[str, Any] = {}
    if frame is not None:
        report = trimmer.report(frame)
        own = len(trimmer.report().columns)
        columns = {
            str(name): report.iloc[:, own + k] for k, name in enumerate(report.columns[own:])
        }
    tasks = []
    for k, suggestion in enumerate(suggestions.itertuples(index=False)):
        data: dict[str, Any] = {
            name: _plain(values.iloc[k]) for name, values in columns.items()
        }
        data |= {
            "skfi_row": int(suggestion.position) + 1,
            "skfi_given_label": str(suggestion.given_label),
        }
        tasks.append({"data": data, "predictions": _predictions(suggestion)})
    if path is None:
        return tasks
    with replacing(Path(path)) as file:
        file.write(json.dumps(tasks, indent=1, allow_nan=False).encode())
    return Path(path)


def _predictions(suggestion) -> list[dict[str, Any]]:
    label = suggestion.label if suggestion.action == "relabel" else suggestion.given_label
    prediction: dict[str, Any] = {
        "model_version": "skfi",
        "result": [
            {
                "from_name": _FROM,
                "to_name": _TO,
                "type": "choices",
                "value": {"choices": [str(label)]},
            }
        ],
    }
    if np.isfinite(suggestion.probability):
        prediction["score"] = float(suggestion.probability)
    return [prediction]


def _plain(value: Any) -> str:
    """A cell as text, as Label Studio shows it; what is missing is empty."""
    return "" if value is None or value != value else str(value)


def from_label_studio(path, *, drop=_DROP):
    """Annotated tasks of Label Studio as decisions.

    Parameters
    ----------
    path : str or path-like
        The JSON export of a project whose tasks came from `to_label_studio`.
    drop : str, default="drop this row"
        Choice that means that the row is to be dropped.

    Returns
    -------
    decisions : pandas.DataFrame
        Columns ``position`` (from 0), ``action`` and ``label``, for `apply_decisions`. A choice
        of the given label is "keep". Tasks without an annotation, or with a skipped one, are
        left out; of several annotations the last one counts.

    Raises
    ------
    ImportError
        pandas is not installed.
    ValueError
        The file is not such an export, or a task has no or several choices.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skfi.review import from_label_studio
    >>> result = {"from_name": "label", "to_name": "row", "type": "choices"}
    >>> result["value"] = {"choices": ["ham"]}
    >>> task = {"data": {"skfi_row": 3, "skfi_given_label": "spam"}}
    >>> task["annotations"] = [{"result": [result]}]
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "export.json"
    ...     _ = path.write_text(json.dumps([task]))
    ...     print(from_label_studio(path))
       position   action label
    0         2  relabel   ham
    """
    pd = require("pandas", "from_label_studio()")
    try:
        tasks = json.loads(Path(path).read_bytes())
    except ValueError as problem:
        raise ValueError(f"{path} is not JSON: {problem}.") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ValueError(
            f"{path} is not an export of Label Studio in the format JSON: a list of tasks."
        )
    decided = []
    for k, task in enumerate(tasks, 1):
        label = _annotated(task, f"{path}, task {k}")
        if label is None:
            continue
        data = task["data"]
        action = "relabel"
        if label == drop:
            action = "drop"
        elif label == str(data.get("skfi_given_label")):
            action = "keep"
        decided.append(
            (int(data["skfi_row"]) - 1, action, label if action == "relabel" else "")
        )
    return pd.DataFrame(decided, columns=["position", "action", "label"])


def _annotated(task: dict[str, Any], where: str) -> str | None:
    """The choice of a task's last annotation; None where it has none."""
    data = task.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("skfi_row"), int):
        raise ValueError(
            f"{where} has no number 'skfi_row' in its data; export tasks that "
            "to_label_studio() made."
        )
    annotations = [one for one in task.get("annotations") or [] if not one.get("was_cancelled")]
    if not annotations:
        return None
    choices = [
        choice
        for result in annotations[-1].get("result") or []
        if result.get("type") == "choices" and result.get("from_name") == _FROM
        for choice in result["value"]["choices"]
    ]
    if len(choices) != 1:
        raise ValueError(f"{where} has {len(choices)} choices of 'label' instead of one.")
    return choices[0]
