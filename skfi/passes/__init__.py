"""Influence on rows that some other system holds: Spark, a database, workers of your own.

All that is needed of the rows are sums over blocks, and scores of blocks. You write ``reduce``,
which calls a function on every block and adds up the results; skfi does the rest.
`skfi.outofcore` and `skfi.integrations.dask` use the same two functions.
"""

from __future__ import annotations

from ._sums import Scorer, fit_linear, make_scorer
from ._totals import Totals

__all__ = ["Scorer", "Totals", "fit_linear", "make_scorer"]
