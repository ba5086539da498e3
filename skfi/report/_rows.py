"""The dropped rows as a page holds them: columns of JSON, and small pictures.

Columns, not rows: a column of numbers becomes JSON in one call, and sorts in the page
without a look at the others.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_EXACT = 2**53  # larger whole numbers lose digits in a browser
_MAX_COLUMNS = 100  # of the user's
_MAX_PICTURES = 1000
_SIDE = 112  # pixels of a picture's longer side: twice what is shown, for dense screens

NAMES = {
    "order": "order",
    "row": "position (from 0)",
    "line": "line",
    "index": "index",
    "given": "given label",
    "predicted": "predicted label",
    "probability": "predicted probability",
    "loss": "loss",
    "score": "score",
    "lowers": "removal lowers loss",
}


@dataclass(frozen=True)
class Column:
    """Values of the dropped rows: numbers, or texts with None where one is missing."""

    id: str
    name: str
    kind: str  # "number" or "text"
    values: list
    first: bool = False  # the first of the user's own

    def shown(self, row: int) -> str:
        """The value in short, as the page shows it too."""
        value = self.values[row]
        if value is None or value != value:
            return ""
        if self.kind == "number":
            if float(value).is_integer():
                return str(int(value))
            if abs(value) >= 1e3:
                return f"{value:.0f}"
            return f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:.2e}"
        text = str(value)
        return text if len(text) <= 300 else f"{text[:300]}…"


@dataclass(frozen=True)
class Rows:
    """All that the page knows of the dropped rows."""

    columns: list[Column]
    count: int
    pictures: list[str]
    pixelated: bool
    notes: list[str]

    def json(self, labels: Sequence[str] = (), first: int = 0) -> str:
        """The same for a script element: nothing in it ends the element or begins another.

        With the labels there are, the number of the first row, and a key under which a browser
        keeps decisions about these rows.
        """
        heads = [
            {"id": c.id, "name": c.name, "kind": c.kind, "first": c.first} for c in self.columns
        ]
        head = {"count": self.count, "pixelated": self.pixelated, "columns": heads}
        columns = ",".join(_column_json(column) for column in self.columns)
        key = hashlib.sha256(columns.encode("utf-8", "backslashreplace")).hexdigest()[:16]
        head |= {"pictures": self.pictures, "labels": list(labels), "first": first, "key": key}
        text = f'{json.dumps(head, separators=(",", ":"))[:-1]},"data":[{columns}]}}'
        for sign in "<>&":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return text


def collect_rows(
    report, frame, images, max_rows: int | None, first_row: int = 0, lines=None
) -> Rows:
    """Facts of the trimmer, columns of the user and pictures of the rows, first to go first.

    Rows count from ``first_row``; ``lines`` (n,) are those of a file, of all rows.
    """
    total = len(report)
    report = report.iloc[:max_rows]
    rows = report["position"].to_numpy()
    notes = []
    if len(rows) < total:
        notes.append(
            f"The first {len(rows):,} of {total:,} dropped rows are listed (max_rows); the "
            "counts above are of all."
        )
    columns = _own_facts(report, rows, first_row, lines)
    if frame is not None:
        width = frame.shape[1]
        if width > _MAX_COLUMNS:
            notes.append(f"The first {_MAX_COLUMNS} of {width:,} columns are listed.")
        taken = frame.iloc[rows, :_MAX_COLUMNS]
        for k in range(taken.shape[1]):
            column = make_column("", str(taken.columns[k]), taken.iloc[:, k], first=k == 0)
            columns.append(column)
    pictures: list[str] = []
    pixelated = False
    if images is not None and len(rows):
        if importlib.util.find_spec("PIL") is None:
            notes.append("The pictures are left out: Pillow is not installed.")
        else:
            pixelated = max(images.shape[1:3]) <= _SIDE // 2
            pictures = encode_pictures(images, rows[:_MAX_PICTURES])
            if len(rows) > _MAX_PICTURES:
                notes.append(f"The first {_MAX_PICTURES:,} rows have pictures.")
    return Rows(columns, len(rows), pictures, pixelated, notes)


def _own_facts(report, rows, first_row: int, lines) -> list[Column]:
    import pandas as pd

    places = pd.Series(np.arange(1, len(rows) + 1))
    parts = {"order": places, "row": report["position"] + first_row}
    names = NAMES | ({"row": f"row (from {first_row})"} if first_row else {})
    if lines is not None:
        parts["line"] = pd.Series([lines[row] for row in rows])
    index = report.index.to_flat_index()
    if not np.array_equal(index.to_numpy(), rows):
        parts["index"] = pd.Series(index)
    gains = report["removal_lowers_validation_loss"]
    parts |= {
        "given": report["given_label"],
        "predicted": report["predicted_label"],
        "probability": report["predicted_probability"],
        "loss": report["loss"],
        "score": report["influence"],
        "lowers": gains.astype(object).map({True: "yes", False: "no"}),
    }
    for name in ("probability", "loss", "lowers"):
        if len(rows) and parts[name].isna().all():  # the classifier or the score cannot tell
            del parts[name]
    return [make_column(key, names[key], values) for key, values in parts.items()]


def make_column(id: str, name: str, values, *, first: bool = False) -> Column:
    """Numbers stay numbers where a browser can hold them; all else is text."""
    from pandas.api import types

    if types.infer_dtype(values) in ("integer", "floating", "mixed-integer-float"):
        values = values.infer_objects()
    numbers = _numbers(values)
    if numbers is not None:
        return Column(id, name, "number", numbers, first)
    # Not by map(str), as pandas' own strings refuse half a surrogate pair.
    pairs = zip(values.astype(object), values.isna(), strict=True)
    texts = [None if missing else str(value) for value, missing in pairs]
    return Column(id, name, "text", texts, first)


def _numbers(values) -> list | None:
    """Numbers as Python has them; None where they are none, or too large to be exact."""
    from pandas.api import types

    if types.is_integer_dtype(values.dtype):
        known = values.dropna()
        if len(known) and max(int(known.max()), -int(known.min())) > _EXACT:
            return None
        if len(known) == len(values):
            return values.to_numpy(dtype=np.int64).tolist()
    elif not types.is_float_dtype(values.dtype):
        return None
    if values.dtype in (np.dtype(np.float16), np.dtype(np.float32)):
        # 0.1 as float32 is 0.1 to a reader, not 0.10000000149.
        return values.to_numpy().astype("U").astype(np.float64).tolist()
    return values.to_numpy(dtype=np.float64, na_value=np.nan).tolist()


def _column_json(column: Column) -> str:
    text = json.dumps(column.values, separators=(",", ":"))
    if column.kind == "number":
        # Python's names for what JSON has no numbers for; 1e999 is read as infinity.
        text = text.replace("NaN", "null").replace("Infinity", "1e999")
    return text


def encode_pictures(images: np.ndarray, rows: np.ndarray) -> list[str]:
    """Pictures of the rows as PNG data URIs, no larger than is needed to look at them."""
    from PIL import Image

    low, high = value_range(images, rows)
    uris = []
    for row in rows:
        pixels = to_bytes(images[row], low, high)
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
        picture.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        picture.save(file, format="PNG")
        uris.append("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
    return uris


def value_range(images: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """What is shown as black and as white.

    Bytes have a range of their own, and so have shares in [0, 1]; of all else it is the
    range in the rows.
    """
    if images.dtype == np.uint8:
        return 0.0, 255.0
    low, high = np.inf, -np.inf
    for row in rows:  # one at a time: copies of all may not fit into memory
        known = images[row][np.isfinite(images[row])]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    return (low, high) if low < 0 or high > 1 else (0.0, 1.0)


def to_bytes(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Pixels from 0 to 255; what is not finite is black."""
    known = np.isfinite(pixels)
    shares = (np.where(known, pixels, low).astype(np.float64) - low) / ((high - low) or 1.0)
    return np.round(255 * shares).astype(np.uint8)


def check_frame(frame: Any, n: int, names: Any):
    """The user's columns as a DataFrame of all rows passed to fit."""
    import pandas as pd

    if frame is None:
        return None
    if hasattr(frame, "to_pandas"):  # of polars or pyarrow
        frame = frame.to_pandas()
    if isinstance(frame, list) and all(map(pd.api.types.is_scalar, frame)):  # of texts, say
        frame = pd.Series(frame, dtype=object)
    elif isinstance(frame, list) and all(isinstance(row, Mapping) for row in frame):
        frame = pd.DataFrame.from_records(frame)
    elif isinstance(frame, list) and all(isinstance(row, list | tuple) for row in frame):
        frame = pd.DataFrame(frame)
        frame.columns = _column_names(frame.shape[1], names)
    if isinstance(frame, pd.Series):
        name = "value" if frame.name is None else frame.name
        frame = frame.to_frame(name)
    elif isinstance(frame, np.ndarray) and frame.ndim in (1, 2):
        columns = ["value"] if frame.ndim == 1 else _column_names(frame.shape[1], names)
        frame = pd.DataFrame(frame, columns=columns)
    elif not isinstance(frame, pd.DataFrame):
        raise TypeError(
            "frame must be a pandas DataFrame or Series, an array of one or two dimensions, or "
            "a list with one value, dict or list for each row, and is "
            f"{_described(frame)}. "
            "pandas.DataFrame(...) makes one of most things."
        )
    if len(frame) != n:
        raise ValueError(
            f"frame has {len(frame)} rows, and the trimmer was fitted on {n}. Pass the rows "
            "that were passed to fit, all of them and in their order."
        )
    return frame


def _column_names(width: int, names: Any) -> list[str]:
    """Those that fit saw, where the width is theirs."""
    if names is not None and len(names) == width:
        return list(names)
    return [f"column {k}" for k in range(width)]


def check_order(frame, report, names: Any) -> None:
    """Refuse a frame whose index says that its rows stand elsewhere than those of fit.

    An X with names of columns had an index too, even where that is just the positions.
    """
    import pandas as pd

    rows = report["position"].to_numpy()
    if frame is None or frame.index.equals(pd.RangeIndex(len(frame))):
        return
    if names is None and np.array_equal(report.index.to_flat_index().to_numpy(), rows):
        return
    there = frame.index[rows]
    if not there.equals(report.index) and report.index.isin(frame.index).all():
        raise ValueError(
            "frame holds the rows of fit in another order: its index does not match that of "
            "the X that was passed to fit. Use frame.loc[X.index]; or, if the order is right "
            "all the same, frame.reset_index()."
        )


def check_images(images: Any, n: int) -> None:
    """One picture for each row passed to fit."""
    if images is None:
        return
    if not isinstance(images, np.ndarray):
        raise TypeError(
            f"images must be an array of shape (n, height, width) or (n, height, width, 3), "
            f"and is {_described(images)}."
        )
    grey = images.ndim == 3
    colour = images.ndim == 4 and images.shape[3] in (1, 3, 4)
    if not (grey or colour) or 0 in images.shape[1:3]:
        raise ValueError(
            f"images has shape {images.shape}; it must be (n, height, width), or (n, height, "
            "width, c) with c of 1, 3 or 4 channels last."
        )
    if images.dtype.kind not in "biuf":
        raise TypeError(f"images must hold numbers, and holds {images.dtype}.")
    if len(images) != n:
        raise ValueError(
            f"images has {len(images)} pictures, and the trimmer was fitted on {n} rows. Pass "
            "one for each row that was passed to fit, in their order."
        )


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" + (f" of shape {shape}" if shape is not None else "")
