"""One strategy's learning curve as a cell, and what the curves of all say of a claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from scipy.integrate import trapezoid
from sklearn.base import BaseEstimator, clone

from skfi import FIActiveSampler, active_learning_curve
from skfi.queries import BALD, Margin, Random

from ._drawing import curve, legend_below, save
from ._experiment import Row, Settings
from ._statistics import Paired, paired, spread
from ._strategies import BADGE, InfluenceValue, ShapleyRegression
from ._table import markdown

FI, DEFAULT, IV, BALD_, RANDOM, MARGIN, BADGE_, SHAPLEY = (
    "FI", "FI (default)", "IV", "BALD", "random", "margin", "BADGE", "Shapley",
)  # fmt: skip
COMPARED = (FI, IV, BALD_, RANDOM)  # the paper's
STRATEGIES = (*COMPARED, MARGIN, BADGE_, DEFAULT)
TOLD = """FI is the paper's (Algorithm 2: predicted label, log loss, mean of the middle 80 %,
the top rows), "FI (default)" is `skfi.FIActiveSampler(selection="diverse")`, the default at the
time of these runs. IV is recomputed in each round, its values predicted for the pool by a
regression tree, as Chhabra et al. (2024) do. Margin and BADGE are not in the paper. All
strategies of a seed have the same first labels, pool, test rows and seeds of the fits."""


def strategy(name: str, network: bool = False):
    """A query strategy by its name.

    Parameters
    ----------
    name : str
        One of `STRATEGIES`, or "Shapley".
    network : bool
        FI then takes K-FAC and BALD dropout, as in the paper.
    """
    paper = FIActiveSampler(
        utility="fi", selection="top", aggregate="trimmed_mean", validation_loss="log_loss",
        curvature="kfac" if network else "auto",
    )  # fmt: skip
    return {
        FI: paper,
        DEFAULT: FIActiveSampler(selection="diverse"),
        IV: InfluenceValue(),
        BALD_: BALD(posterior="dropout" if network else "laplace", n_draws=20),
        RANDOM: Random(),
        MARGIN: Margin(),
        BADGE_: BADGE(),
        SHAPLEY: ShapleyRegression(),
    }[name]


class FromCandidates(BaseEstimator):
    """Ask among as many rows of the pool as are drawn again for each query.

    Parameters
    ----------
    strategy : QueryStrategy
        What asks.
    n_candidates : int
        Rows drawn.
    seed : int
        Of the draws, with the number of labelled rows: the same for all strategies in the
        first round, after which their pools differ by what each has asked for.
    estimator, batch_size, random_state
        Of the strategy; set by the loop.
    """

    def __init__(
        self, strategy, n_candidates, seed, *, estimator=None, batch_size=1, random_state=None
    ):
        self.strategy = strategy
        self.n_candidates = n_candidates
        self.seed = seed
        self.estimator = estimator
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X, y):
        asking = clone(self.strategy)
        asking.set_params(estimator=self.estimator, random_state=self.random_state)
        self.strategy_ = asking.fit(X, y)
        self.n_labelled_ = len(y)
        return self

    def query(self, X_pool, batch_size=None):
        rng = np.random.default_rng([self.seed, self.n_labelled_])
        drawn = rng.permutation(len(X_pool))[: self.n_candidates]
        return drawn[self.strategy_.query(X_pool[drawn], batch_size=batch_size)]


def learn(estimator, asking, X, y, X_test, y_test, cell: Settings) -> list[Row]:
    """Accuracy in % of one strategy after each round, one row a fit.

    Parameters
    ----------
    estimator : estimator
        Classifier, trained again in each round.
    asking : QueryStrategy
        What asks.
    X, y : arrays
        First rows and pool together.
    X_test, y_test : arrays
        Test rows.
    cell : dict
        "seed", "strategy", "initial" (first labels), "batch", "rounds".
    """
    found = active_learning_curve(
        estimator, X, y, {cell["strategy"]: asking}, n_initial=cell["initial"],
        batch_size=cell["batch"], n_rounds=cell["rounds"], n_repeats=1, X_test=X_test,
        y_test=y_test, random_state=cell["seed"],
    )  # fmt: skip
    name = cell["strategy"]
    queries = [*map(float, found.query_seconds[name][0]), None]  # none after the last fit
    columns = (found.n_labelled, found.scores[name][0], found.fit_seconds[name][0], queries)
    return [
        {
            "round": number,
            "labelled": int(labelled),
            "accuracy": 100 * float(score),
            "fit_seconds": float(fitted),
            "query_seconds": asked,
        }
        for number, (labelled, score, fitted, asked) in enumerate(zip(*columns, strict=True))
    ]


def areas(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean height of each curve, (seeds, strategies)."""

    def height(part):
        part = part.sort_values("labelled")
        n = part.labelled.to_numpy()
        return trapezoid(part.accuracy, n) / (n[-1] - n[0])

    wide = frame.groupby(["seed", "strategy"])[["labelled", "accuracy"]].apply(height)
    return wide.unstack("strategy")


def finals(frame: pd.DataFrame) -> pd.DataFrame:
    """Accuracy after the last round, (seeds, strategies)."""
    last = frame[frame["round"] == frame["round"].max()]
    return last.pivot(index="seed", columns="strategy", values="accuracy")


def against(frame: pd.DataFrame, first: str, others: Sequence[str]) -> dict[str, Paired]:
    """Mean height of the first strategy's curve against those of others, paired."""
    wide = areas(frame)
    return {other: paired(wide[first], wide[other]) for other in others if other in wide}


def told(comparisons: Mapping[str, Paired]) -> str:
    """Differences in points, by whom they are to."""
    return "; ".join(f"to {name} {c}" for name, c in comparisons.items())


def table(frame: pd.DataFrame, by: str = "data") -> str:
    """Mean height and last accuracy of each strategy, for each data set."""
    rows = []
    for data, part in frame.groupby(by, sort=False):
        heights, ends = areas(part), finals(part)
        for name in part.strategy.unique():
            rows.append((data, name, spread(heights[name]), spread(ends[name]), len(heights)))
    head = (by, "asked by", "mean accuracy over the rounds, %", "after the last, %", "seeds")
    return markdown(head, rows)


def draw_curves(
    frame: pd.DataFrame, folder: Path, name: str, titles: Mapping[str, str], by: str = "data",
    ncols: int = 3,
) -> list[Path]:  # fmt: skip
    """Learning curves, a panel a data set, with a band of one standard error."""
    present = [key for key in titles if (frame[by] == key).any()]
    nrows = -(-len(present) // ncols)
    figure, axes = plt.subplots(
        nrows, min(ncols, len(present)), figsize=(3.9 * min(ncols, len(present)) + 0.3,
        3.5 * nrows + 0.5), layout="constrained", squeeze=False,
    )  # fmt: skip
    for ax, key in zip(axes.flat, present, strict=False):
        part = frame[frame[by] == key]
        for asked, lines in part.groupby("strategy", sort=False):
            wide = lines.pivot(index="seed", columns="labelled", values="accuracy")
            curve(ax, wide.columns.to_numpy(), wide.to_numpy(), asked)
        ax.set_title(titles[key], fontsize=11)
        ax.set_xlabel("labelled rows")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for ax in axes.flat[len(present) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("test accuracy, %")
    legend_below(figure, axes[0, 0], 7)
    return save(figure, folder, name)
