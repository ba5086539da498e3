"""One way from a table's files to what its fetcher returns, raw or prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils._param_validation import StrOptions

from ._chhabra import Halves, chhabra_bunch
from ._home import FETCHER, DataFolder, Remote, Source, describe, naming, obtain
from ._tables import Table, codes_of, raw_bunch

TABULAR = {
    **FETCHER,
    "preparation": [StrOptions({"chhabra2024"}), None],
    "as_frame": ["boolean"],
}

Raw = tuple[Table, np.ndarray | None]  # a table as it is, and each row's part of the split


class TableSet(NamedTuple):
    """How a table is found, read, prepared and named."""

    name: str
    caller: str
    label: str
    values: Sequence[Any]  # of the label, in the order of target_names
    target_names: list[str]
    l2_reg: float
    n_rows: dict[str | None, int]  # of the whole set, by preparation
    raw: list[Source]
    prepared: Source
    prepare: Callable[[Raw], Halves]
    remotes: Sequence[Remote] = ()
    why_not: str = ""


def fetch_table(of, data_home, preparation, return_X_y, as_frame, **options):
    """The bunch, or data and target, of a table by the arguments of its fetcher."""
    folder = DataFolder(data_home, of.name)
    sources = of.raw
    if preparation is not None:
        # The original files first, then what is ready, then what takes pandas to read.
        sources = [_prepared(source, of) for source in of.raw]
        sources.insert(len(of.raw) - ("parquet" in of.raw[-1].names[0]), of.prepared)
    content, paths = obtain(folder, sources, of.remotes, why_not=of.why_not, **options)
    told = {"as_frame": as_frame, "caller": of.caller}
    with naming(paths):
        if preparation is None:
            table, split = content
            bunch = raw_bunch(table, of.label, of.values, **told)
            bunch.split = split
        else:
            bunch = chhabra_bunch(content, of.label, of.l2_reg, **told)
    if return_X_y:
        return bunch.data, bunch.target
    bunch.target_names = np.array(of.target_names)
    bunch.partial = len(bunch.target) != of.n_rows[preparation]
    bunch.source = [str(path) for path in paths]
    bunch.DESCR = describe(of.name, paths)
    return bunch


def _prepared(source: Source, of: TableSet) -> Source:
    def read(paths: Sequence[Path]) -> Halves:
        table, split = source.read(paths)
        codes_of(table[of.label], of.values)  # raises for a label that is none
        return of.prepare((table, split))

    return Source(source.names, read)
