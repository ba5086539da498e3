"""Theorem 1: is FI the same in all coordinates of the perturbation."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import softmax
from scipy.stats import ortho_group, spearmanr
from sklearn.linear_model import LogisticRegression

from skfi import fi_util

from ._drawing import save
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._statistics import spread
from ._table import markdown

SHAPES = ((2, 5), (3, 5), (4, 3))  # classes, features
ROWS = {"train": 300, "validation": 300}
SCALES = (10.0, 1.0, 0.1)
STRETCH = 2.0  # the affine map's singular values lie between its inverse and itself
MAPS = ("scaling", "affine")
METRICS = ("euclidean", "mahalanobis")
FIRST = 0.1  # share of rows that a trimmer would take
SAME = 1e-6
DRAWN = {"classes": 3, "features": 5, "seed": 0}
COLOURS = {"scaling": "#0072B2", "affine": "#E69F00"}
MARKS = {"scaling": "o", "affine": "^"}
TOLD = {"scaling": "three features times 10, 1, 0.1", "affine": "random affine map"}

ABOUT = f"""
Theorem 1 says that FI is invariant under any diffeomorphism of the perturbation, "e.g.,
scaling". A change of the features' coordinates is one of the perturbation, so FI is computed
before and after (a) three features are multiplied by 10, 1 and 0.1, and (b) all go through a
random affine map with singular values between {1 / STRETCH:g} and {STRETCH:g}. Data: normal
features and labels drawn from a random softmax model, {ROWS["train"]} training and
{ROWS["validation"]} validation rows, K classes and d features. Logistic regression without a
penalty is fitted in both coordinates; it is the same classifier in both, and the largest
difference of a predicted probability is in the table. What is left to differ is the measure.

The proof needs a metric tensor G that is positive definite. G has rank K − 1 at most. For
K − 1 < d it is singular, and its pseudo-inverse depends on what "orthogonal" means in the
coordinates at hand. For K − 1 ≥ d what is left is rounding, most of it in rows whose G is
nearly singular. `metric="mahalanobis"` takes the pseudo-inverse in coordinates whitened by the
training rows' covariance, which follow the features wherever an affine map takes them.
"""


def settings(options: Options) -> list[Settings]:
    return [
        {"classes": classes, "features": features, "seed": seed}
        for classes, features in SHAPES
        for seed in range(options.seeds)
    ]


def _influence(cell: Settings) -> tuple[dict, dict]:
    """FI of the rows by (map, metric), map None being none; and how predictions differ."""
    n_classes, d = cell["classes"], cell["features"]
    rng = np.random.default_rng([n_classes, d, cell["seed"]])
    X = rng.normal(size=(sum(ROWS.values()), d))
    scores = X @ rng.normal(size=(d, n_classes)) + rng.normal(size=n_classes)
    y = (softmax(scores, axis=1).cumsum(axis=1) < rng.random((len(X), 1))).sum(axis=1)
    left, right = (ortho_group(d, seed=rng).rvs() for _ in range(2))
    between = STRETCH ** rng.uniform(-1, 1, size=d)
    scales = np.ones(d)
    scales[: len(SCALES)] = SCALES
    coordinates = {
        None: X,
        "scaling": X * scales,
        "affine": X @ (left * between) @ right + rng.normal(size=d),
    }
    found, proba = {}, {}
    n = ROWS["train"]
    for name, Z in coordinates.items():
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-13, max_iter=500)
        model.fit(Z[:n], y[:n])
        proba[name] = model.predict_proba(Z)
        for metric in METRICS:
            found[name, metric] = fi_util(model, Z[:n], y[:n], Z[n:], y[n:], metric=metric)
    apart = {name: float(np.abs(proba[name] - proba[None]).max()) for name in MAPS}
    return found, apart


def run(cell: Settings) -> list[Row]:
    """How FI changes, for each map and metric."""
    found, apart = _influence(cell)
    rows = []
    for name in MAPS:
        for metric in METRICS:
            before, after = found[None, metric], found[name, metric]
            change = np.abs(after - before) / before
            taken = int(FIRST * len(before))
            first = [set(np.argsort(-fi, kind="stable")[:taken]) for fi in (before, after)]
            rows.append(
                {
                    "coordinates": name,
                    "metric": metric,
                    "largest_change": float(change.max()),
                    "median_change": float(np.median(change)),
                    "doubled_or_halved": float((np.abs(np.log2(after / before)) > 1).mean()),
                    "spearman": float(spearmanr(before, after).statistic),
                    "same_first": len(first[0] & first[1]) / taken,
                    "proba_difference": apart[name],
                }
            )
    return rows


def draw(frame, folder: Path, seconds) -> list[Path]:
    """FI of each row after the change of coordinates against before."""
    found, _ = _influence(DRAWN)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
    for ax, metric in zip(axes, METRICS, strict=True):
        before = found[None, metric]
        for name in MAPS:
            ax.scatter(
                before, found[name, metric], s=12, alpha=0.6, lw=0, color=COLOURS[name],
                marker=MARKS[name], label=TOLD[name],
            )  # fmt: skip
        ends = [before.min(), before.max()]
        ax.plot(ends, ends, color="black", lw=1, label="unchanged")
        ax.set(xscale="log", yscale="log", xlabel="FI before")
        paper = " (the paper)" if metric == "euclidean" else ""
        ax.set_title(f'metric="{metric}"{paper}', fontsize=11)
    axes[0].set_ylabel("FI after")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(
        f"FI of {ROWS['train']} rows in other coordinates: K = {DRAWN['classes']} classes, "
        f"d = {DRAWN['features']} features, seed {DRAWN['seed']}",
        fontsize=11,
    )
    return save(figure, folder, "theorem1")


def _part(frame, metric: str, singular: bool | None = None):
    some = frame.metric == metric
    if singular is not None:
        some &= (frame.classes - 1 < frame.features) == singular
    return frame[some]


def _verdict(part) -> str:
    same = part.groupby(["classes", "features", "coordinates"]).largest_change.max() < SAME
    if same.all():
        return "holds"
    return "holds in part" if same.any() else "does not hold"


def _told(part) -> str:
    """Largest change of any row; median row, ranks and first rows, each the mean of cells."""
    told = []
    for (classes, features), some in part.groupby(["classes", "features"]):
        for name in MAPS:
            lines = some[some.coordinates == name]
            largest = lines.largest_change.max()
            text = f"K={classes}, d={features}, {name}: largest {largest:.1e}"
            if largest >= SAME:
                text += (
                    f", median row {lines.median_change.mean():.2f}, doubled or halved in "
                    f"{100 * lines.doubled_or_halved.mean():.0f} % of rows, rank correlation "
                    f"{lines.spearman.mean():.2f}, {100 * lines.same_first.mean():.0f} % of "
                    "the first tenth the same"
                )
            told.append(text)
    return "change of FI over FI: " + "; ".join(told)


def claims(frame, seconds) -> list[Claim]:
    """The paper's metric where G must be singular and where not, and the whitened one."""
    rule = (
        f"holds: no row's FI changes by {SAME:g} of itself or more, in any seed; in part: in "
        f"some of shapes and maps. Predicted probabilities differ by at most "
        f"{frame.proba_difference.max():.0e} between the coordinates."
    )
    asked = (
        ("Theorem 1: FI is invariant under any diffeomorphism of the perturbation, e.g. "
         "scaling; K − 1 < d, so that G is singular", "a theorem", ("euclidean", True), rule),
        ("Theorem 1, the same; K − 1 ≥ d", "a theorem", ("euclidean", False), rule),
        ('Left out of Theorem 1: is FI invariant with metric="mahalanobis"?', "not tried",
         ("mahalanobis",), f"affine maps only. {rule}"),
    )  # fmt: skip
    found = []
    for text, paper, which, note in asked:
        part = _part(frame, *which)
        seeds = str(part.seed.nunique())
        found.append(Claim(text, paper, _told(part), "", seeds, _verdict(part), note))
    return found


def tables(frame, seconds) -> str:
    """All shapes, maps and metrics."""
    rows = []
    for (classes, features, name, metric), part in frame.groupby(
        ["classes", "features", "coordinates", "metric"], sort=False
    ):
        rows.append(
            (
                classes, features, name, metric, f"{part.largest_change.max():.1e}",
                f"{part.median_change.mean():.1e}", spread(part.spearman, 3),
                spread(100 * part.doubled_or_halved, 0), spread(100 * part.same_first, 0),
                f"{part.proba_difference.max():.0e}",
            )
        )  # fmt: skip
    head = (
        "K", "d", "map", "metric", "largest change, any seed", "median row's, mean of seeds",
        "Spearman's ρ", "rows doubled or halved, %", "same among the first tenth, %",
        "largest difference of probabilities",
    )  # fmt: skip
    return markdown(head, rows)


EXPERIMENT = Experiment(
    name="theorem1", title="Theorem 1: FI in other coordinates of the features", about=ABOUT,
    settings=settings, run=run, draw=draw, claims=claims, tables=tables, seeds=20,
    quick_seeds=3,
)  # fmt: skip
