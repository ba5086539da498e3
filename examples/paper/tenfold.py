"""The trimming curves again, over ten folds instead of fresh draws."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split

from . import _linear_training as linear
from . import _real_data as real
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._trim import FI, IV, LOSS, NONE, RANDOM
from .figure2 import MEAN, ahead, draw_as, tables, trim

FOLDS = 10
NOTE = f"{MEAN}; folds share most training rows, so that the errors are too small"

ABOUT = f"""
The published version has its trimming curves over ten folds as well and says no more. Read
here as: the {real.SIZES["train"]:,} training and {real.SIZES["test"]:,} test rows of
[figure2](#figure2)'s first seed are put together; each of {FOLDS} stratified folds is the test
set once, and of the other rows 60 % are trained on and 40 % are validation rows, which is near
the sizes of figure2. CelebA's held-out rows are mixed with its training rows by that. Recipes
are those of figure2. The columns are scaled as there, by the original training rows.

Folds stand where seeds stand elsewhere. They share most of their training rows, so that
standard errors and p-values are too small.
"""


def settings(options: Options) -> list[Settings]:
    size = {"step": 100, "largest": 100 if options.quick else 300}
    data = ("bank",) if options.quick else real.DATA
    return [
        {"data": name, "training": training, "seed": fold} | size
        for name in data
        for training in linear.TRAININGS
        for fold in range(min(options.seeds, FOLDS))
    ]


def run(cell: Settings) -> list[Row]:
    """Accuracy by method and budget of one fold; its number is in the column seed."""
    return trim(_fold(cell["data"], cell["seed"]), linear.CLEAN[cell["data"]], cell)


def _fold(name: str, fold: int) -> real.Draw:
    drawn = real.draw(name, 0)
    X = np.concatenate([drawn.X, drawn.X_test])
    y = np.concatenate([drawn.y, drawn.y_test])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(X, y)
    rest, test = list(folds)[fold]
    train, val = train_test_split(rest, test_size=0.4, stratify=y[rest], random_state=fold)
    return real.Draw(X[train], y[train], X[val], y[val], X[test], y[test], drawn.partial)


def claims(frame, seconds) -> list[Claim]:
    """The claims of Figure 2, fold by fold."""
    pairs = (
        ("Published version, ten folds: FI is ahead of IV", "a figure", FI, IV),
        (
            "Published version, ten folds: FI is ahead of random trimming",
            "a figure",
            FI,
            RANDOM,
        ),
        ("Published version, ten folds: trimming by FI raises accuracy", "a figure", FI, NONE),
        ("Left out of the ten folds: is the highest loss ahead of FI?", "not tried", LOSS, FI),
    )
    return [
        ahead(frame, text, paper, first, second, note=NOTE)
        for text, paper, first, second in pairs
    ]


EXPERIMENT = Experiment(
    name="tenfold", title="Trimming on real data over ten folds", about=ABOUT,
    settings=settings, run=run, draw=draw_as("tenfold", "Ten folds, accuracy by rows trimmed"),
    claims=claims, tables=tables, seeds=FOLDS, quick_seeds=2,
)  # fmt: skip
