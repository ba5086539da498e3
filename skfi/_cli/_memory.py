"""Memory that a run takes, estimated and compared with what is free before the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from sklearn import get_config

from ..queries._cover import cover_cells
from ..trimming._methods import METHODS
from ._console import CommandError, shown

# Copies that are in memory at once: of the Hessian with its factor and inverse, of the matrix
# of rows by rows that stands in for it, of the prepared rows, and of their probabilities.
_HESSIANS, _SQUARES, _ROWS, _PROBABILITIES = 7, 2, 6, 8
_TREES, _FORESTS, _NODE = 100, 2, 64  # of a forest; a node takes as many bytes and its classes
_NODES = {"random-forest": 1.3, "extra-trees": 2.0}  # a row, at most
_HISTOGRAMS, _STAGES = 31 * 256 * 24, 2**19  # of boosting, a column and a class
_TEXT = 25  # bytes in memory for a byte of a text file, whose cells are short
_PARQUET, _NUMBER, _OTHER = 5, 25, 80  # for a byte of a Parquet file, and a cell of it
_LETTER, _SEQUENCE = 60, 450  # of texts; a word has two sequences, of 3 and 4, a letter
_MODULES = 100 * 2**20  # and whatever else there is
_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


def fit_bytes(model: str, width: int, n_rows: int, n_classes: int) -> float:
    """Most that fits of a classifier take on prepared rows, with all copies of the rows."""
    trees = 1 if n_classes == 2 else n_classes
    n_bytes = _MODULES + 8.0 * n_rows * (_ROWS * width + _PROBABILITIES * n_classes)
    n_bytes += 8.0 * 30 * trees * (width + 1)  # what the solver keeps of its steps
    if model in _NODES:
        nodes = _NODES[model] * n_rows
        n_bytes += _FORESTS * _TREES * nodes * (_NODE + 8 * n_classes)
    elif model != "logistic":
        n_bytes += _HISTOGRAMS * width + _FORESTS * _STAGES * trees
    return n_bytes


def text_bytes(texts: Iterable[str]) -> float:
    """Most that encoding texts takes: by their letters, and by the sequences of them."""
    n_letters, words = 0, set()
    for text in texts:
        n_letters += len(text)
        words.update(text.split())
    return float(_LETTER * n_letters + _SEQUENCE * sum(2 * len(word) for word in words))


def score_bytes(width: int, n_rows: int, n_classes: int) -> float:
    """Most that FI and IV of a logistic regression take beside the rows."""
    outputs, p = 1 if n_classes == 2 else n_classes - 1, width + 1
    matrices = _HESSIANS * 8.0 * (outputs * p) ** 2
    if outputs == 1 and p > n_rows:
        matrices = _SQUARES * 8.0 * n_rows**2
    block = 3 * 8.0 * n_rows * outputs * p
    return matrices + min(block, get_config()["working_memory"] * 2**20)


def trim_bytes(
    model: str, influence: str, width: int, n_rows: int, n_val: int, n_classes: int
) -> float:
    """Most that ``skfi trim`` takes beside the tables, in bytes."""
    n_bytes = fit_bytes(model, width, n_rows + n_val, n_classes)
    if METHODS[influence].needs_bridge:
        n_bytes += score_bytes(width, n_rows + n_val, n_classes)
    elif influence == "knn_shapley":
        n_bytes += get_config()["working_memory"] * 2**20
    return n_bytes


def query_bytes(
    model: str, strategy: str, width: int, n_rows: int, n_pool: int, n_classes: int, size: int
) -> float:
    """Most that ``skfi query`` takes beside the tables, in bytes."""
    n_bytes = fit_bytes(model, width, n_rows + n_pool, n_classes)
    if strategy == "fi":
        n_bytes += score_bytes(width, n_rows + n_pool, n_classes)
        n_bytes += 8.0 * cover_cells(n_pool, size)
    return n_bytes


def check_memory(n_bytes: float, work: str, remedy: str) -> None:
    """Refuse work that needs more than is free, with both numbers."""
    free = available_bytes()
    if n_bytes > free:
        raise CommandError(
            f"{work} needs up to {size(n_bytes)} of memory, and {size(free)} is free. {remedy}"
        )


def check_reading(path: str) -> None:
    """Refuse a file whose cells do not fit into memory."""
    try:
        n_bytes = (
            _parquet_bytes(path) if path.lower().endswith(".parquet") else _text_bytes(path)
        )
    except (OSError, ValueError, ImportError):  # whoever reads it says why
        return
    remedy = "Read a part of its rows; skfi.outofcore trims files larger than memory."
    check_memory(n_bytes, f"{shown(path, 200)}: reading it", remedy)


def _text_bytes(path: str) -> float:
    n_bytes = os.path.getsize(path)
    if path.lower().endswith(".gz") and n_bytes >= 4:
        with open(path, "rb") as file:  # its last bytes are the size of what is in it
            file.seek(-4, os.SEEK_END)
            n_bytes = int.from_bytes(file.read(4), "little")
    return float(_TEXT * n_bytes)


def _parquet_bytes(path: str) -> float:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    known = file.metadata
    plain = sum(known.row_group(k).total_byte_size for k in range(known.num_row_groups))
    kinds = file.schema_arrow.types
    numbers = sum(pa.types.is_primitive(kind) for kind in kinds)
    cells = _NUMBER * numbers + _OTHER * (len(kinds) - numbers)
    return float(_PARQUET * plain + known.num_rows * cells)


def size(n_bytes: float) -> str:
    """``3.4 GiB``."""
    unit = "MiB"
    number = max(1.0, n_bytes / 2**20)
    if number >= 1000:
        number, unit = number / 1024, "GiB"
    return f"{number:.2g} {unit}" if number < 10 else f"{number:.0f} {unit}"


def available_bytes() -> float:
    """What this process may still take: of the machine, its container, and its own limit."""
    return min(_of_the_machine(), _of_the_container(), _of_the_process())


def _of_the_machine() -> float:
    try:
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:  # macOS: what is free is not to be had, what there is, is
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows
        return np.inf


def _of_the_container() -> float:
    """Limit of the control group less what it uses, of version 2 or 1."""
    for limit, used in [
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ]:
        try:
            most = float((_CGROUP / limit).read_text())
            taken = float((_CGROUP / used).read_text())
            stat = (_CGROUP / limit).with_name("memory.stat").read_text()
        except (OSError, ValueError):  # none, or "max"
            continue
        # Files that the system only remembers are given up first.
        kept = {line.split()[0]: float(line.split()[1]) for line in stat.splitlines()}
        files = kept.get("inactive_file", 0.0)
        return max(0.0, most - taken + files)
    return np.inf


def _of_the_process() -> float:
    if sys.platform == "win32":
        return np.inf
    import resource

    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most == resource.RLIM_INFINITY:
        return np.inf
    try:
        pages = int((_PROC / "self" / "statm").read_text().split()[0])
    except (OSError, ValueError):
        pages = 0
    return max(0.0, float(most) - pages * os.sysconf("SC_PAGE_SIZE"))
