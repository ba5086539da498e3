"""All query strategies; a new one is added to `STRATEGIES`, and held to the contract."""

from __future__ import annotations

from functools import partial

from sklearn.neighbors import KNeighborsRegressor

from skfi import FIActiveSampler
from skfi.queries import (
    BADGE,
    BALD,
    BatchBALD,
    CoreSet,
    Entropy,
    GradientNorm,
    InfluenceValue,
    LeastConfident,
    Margin,
    PowerMargin,
    Random,
    ShapleyRegression,
    TypiClust,
)

# Name -> what makes it from (estimator, *, batch_size, random_state).
STRATEGIES = {
    "Random": Random,
    "Margin": Margin,
    "Entropy": Entropy,
    "LeastConfident": LeastConfident,
    "PowerMargin": partial(PowerMargin, exponent=2.0),
    "GradientNorm": GradientNorm,
    "BADGE": BADGE,
    "CoreSet": CoreSet,
    "TypiClust": partial(TypiClust, n_neighbors=4),
    "BALD": BALD,
    "BatchBALD": partial(BatchBALD, n_draws=10),
    "InfluenceValue": InfluenceValue,
    # Trees break ties otherwise on sparse rows; neighbours do not.
    "ShapleyRegression": partial(ShapleyRegression, regressor=KNeighborsRegressor(1)),
    "FIActiveSampler": FIActiveSampler,
    "FI, the paper's": partial(
        FIActiveSampler, utility="fi", selection="top", aggregate="trimmed_mean",
        curvature="kfac",
    ),
    "FI, in its embedding": partial(
        FIActiveSampler, utility="fi_margin", aggregate="mean", shortlist=None
    ),
    "FI, power": partial(FIActiveSampler, selection="power", aggregate="row_trimmed_mean"),
}  # fmt: skip
# Those whose batch depends on the seed where no scores tie.
DRAWN = {
    "Random", "PowerMargin", "BADGE", "TypiClust", "BALD", "BatchBALD", "ShapleyRegression",
    "FIActiveSampler", "FI, in its embedding", "FI, power",
}  # fmt: skip
# Those that refuse a classifier for its missing bridge.
NEEDS_BRIDGE = {"InfluenceValue", *(name for name in STRATEGIES if name.startswith("FI"))}
