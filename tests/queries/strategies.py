"""All query strategies; a new one is added to `STRATEGIES`, and held to the contract."""

from __future__ import annotations

from functools import partial

from skfi import FIActiveSampler
from skfi.queries import (
    BALD,
    Entropy,
    LeastConfident,
    Margin,
    PowerMargin,
    Random,
)

# Name -> what makes it from (estimator, *, batch_size, random_state).
STRATEGIES = {
    "Random": Random,
    "Margin": Margin,
    "Entropy": Entropy,
    "LeastConfident": LeastConfident,
    "PowerMargin": partial(PowerMargin, exponent=2.0),
    "BALD": BALD,
    "FIActiveSampler": FIActiveSampler,
    "FI, diverse": partial(FIActiveSampler, selection="diverse"),
    "FI, the paper's": partial(
        FIActiveSampler, utility="fi", selection="top", aggregate="trimmed_mean",
        curvature="kfac",
    ),
    "FI, in its embedding": partial(
        FIActiveSampler, utility="fi_margin", aggregate="mean", selection="diverse",
        shortlist=None,
    ),
    "FI, power": partial(FIActiveSampler, selection="power", aggregate="row_trimmed_mean"),
}  # fmt: skip
# Those whose batch depends on the seed where no scores tie.
DRAWN = {
    "Random", "PowerMargin", "BALD", "FI, diverse", "FI, in its embedding", "FI, power",
}  # fmt: skip
# Those that refuse a classifier for its missing bridge.
NEEDS_BRIDGE = {name for name in STRATEGIES if name.startswith("FI")}

try:
    from skactiveml.pool import Badge

    from skfi.integrations.skactiveml import SkactivemlStrategy
except ImportError:
    pass
else:
    STRATEGIES["scikit-activeml's BADGE"] = partial(SkactivemlStrategy, Badge())
    DRAWN.add("scikit-activeml's BADGE")
