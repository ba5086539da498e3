"""Rows that do not fit into memory, on one machine: fit, score, select and trim.

Memory maps, Parquet files and batches from anywhere are gone through block by block, in
passes. What stays in memory is a block, sums of the size of the model, and a number a row at
most; how large a block is, scikit-learn's `working_memory` says.
"""

from ..passes._trimmed import TrimResult
from ._arrays import ArrayRows
from ._batches import BatchRows
from ._fit import fit_logistic
from ._parquet import ParquetRows
from ._scores import fi_util
from ._select import select_top
from ._trim import trim

__all__ = [
    "ArrayRows",
    "BatchRows",
    "ParquetRows",
    "TrimResult",
    "fi_util",
    "fit_logistic",
    "select_top",
    "trim",
]
