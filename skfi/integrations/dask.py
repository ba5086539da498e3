"""Training rows and pools that are dask arrays or DataFrames: on many machines, or one.

No row leaves its chunk. What chunks give are sums of the size of the model, added up as a
tree, and scores, which stay where the chunk is:

`fit_logistic`   the classifier                          a pass a step of Newton's method
`fi_util`        influence of training rows              a pass at once, one where computed
`fi_active`      influence on each row of a pool         one pass, where computed
`select_top`     which rows have the highest scores      no pass of its own
`trim`           all of these: fit, drop, fit again      about twenty passes

Where the chunks are computed is dask's to say: in threads, or on a cluster
(``dask.distributed.Client``). Each task takes one thread. Importing this module needs dask.
"""

from __future__ import annotations

from .._utils._extras import require

require("dask.array", __name__)

from ..passes._trimmed import TrimResult  # noqa: E402
from ._dask_fit import fit_logistic, trim  # noqa: E402
from ._dask_scores import fi_active, fi_util  # noqa: E402
from ._dask_select import select_top  # noqa: E402

__all__ = ["TrimResult", "fi_active", "fi_util", "fit_logistic", "select_top", "trim"]
