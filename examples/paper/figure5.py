"""Figure 5: the images with the highest FI in the first round, and what the network sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import entropy
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from . import figure4
from ._active import BALD_, DEFAULT, FI, MARGIN, strategy
from ._drawing import COLOURS, save
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._networks import images
from ._statistics import paired, spread, verdict
from ._table import markdown

ASKED = (FI, DEFAULT, BALD_, MARGIN)
POOL = "the pool"
SHOWN = 8
KINDS = {
    "largest": "largest probability",
    "entropy": "entropy in nats",
    "wrong": "share misread",
}
DIGITS = [f"p{k}" for k in range(10)]

ABOUT = f"""
A first query as in Figure 4 on MNIST: the network of Table 6, trained on 60 images, and a pool
of 420. The picture has the {SHOWN} images with the highest FI^active among the 30 that
are asked for, with the network's probabilities of the ten digits under each, and the same for
the library's default, whose scores are flip ratios; for the first seed. The paper says that FI
asks for points that are "more challenging for the current model to distinguish". Measured over
all seeds: the largest probability, the entropy (in nats) and the share of wrong predictions
among the 30, against those of the pool.
"""


def settings(options: Options) -> list[Settings]:
    sizes = figure4.sizes("MNIST", replace(options, quick=False))  # it is a single fit
    return [
        {"data": "MNIST", "reading": figure4.POOL, "seed": seed} | sizes
        for seed in range(options.seeds)
    ]


def run(cell: Settings) -> list[Row]:
    """A row for each image asked for, and one with the means of the pool."""
    seed, size = cell["seed"], cell["initial"] + cell["pool"]
    found = images("MNIST", seed, cell["n_test"])
    rng = np.random.default_rng([seed, 2])
    drawn = rng.choice(len(found.X), size, replace=False)
    X, y = found.X[drawn], found.y[drawn]
    first, pool = train_test_split(
        np.arange(size), train_size=cell["initial"], stratify=y, random_state=seed
    )
    model = figure4.classifier(cell, 10).set_params(random_state=seed).fit(X[first], y[first])
    proba = model.predict_proba(X[pool]).astype(float)
    wrong = proba.argmax(axis=1) != y[pool]
    rows = [
        {
            "asked_by": POOL, "largest": float(proba.max(axis=1).mean()),
            "entropy": float(entropy(proba, axis=1).mean()), "wrong": float(wrong.mean()),
        }
    ]  # fmt: skip
    for name in ASKED:
        asking = strategy(name, network=True)
        asking.set_params(estimator=FrozenEstimator(model), random_state=seed)
        asking.fit(X[first], y[first])
        score = asking.score_samples(X[pool])
        asked = asking.query(X[pool], batch_size=cell["batch"])
        for rank, k in enumerate(asked[np.argsort(-score[asked], kind="stable")]):
            rows.append(
                {
                    "asked_by": name, "largest": float(proba[k].max()),
                    "entropy": float(entropy(proba[k])), "wrong": float(wrong[k]),
                    "rank": rank, "image": int(drawn[pool[k]]), "label": int(y[pool[k]]),
                    "score": float(score[k]),
                }
                | {digit: round(float(p), 4) for digit, p in zip(DIGITS, proba[k], strict=True)}
            )  # fmt: skip
    return rows


def draw(frame, folder: Path, seconds) -> list[Path]:
    """Images and probabilities of the first seed."""
    pictures = images("MNIST", 0, 1).X
    figure = plt.figure(figsize=(9, 5.6), layout="constrained")
    for part_of, name in zip(figure.subfigures(2, 1), (FI, DEFAULT), strict=True):
        part_of.suptitle(
            f"{name}: score, image, probabilities (coloured: the true digit)",
            color=COLOURS[name], fontsize=11,
        )  # fmt: skip
        axes = part_of.subplots(2, SHOWN, height_ratios=(1.2, 1))
        part = frame[(frame.seed == frame.seed.min()) & (frame.asked_by == name)]
        best = part.sort_values("rank").head(SHOWN)
        for (image, bars), (_, row) in zip(axes.T, best.iterrows(), strict=True):
            image.imshow(pictures[int(row["image"]), 0], cmap="gray_r")
            image.set_axis_off()
            image.set_title(f"{row.score:.3g}", fontsize=10)
            colours = [COLOURS[name] if k == row.label else "0.55" for k in range(10)]
            bars.bar(range(10), row[DIGITS].astype(float), color=colours)
            bars.set_ylim(0, 1)
            bars.set_xticks((0, 3, 6, 9))
            bars.set_yticks((0, 0.5, 1), ("0", "", "1") if bars is axes[1, 0] else [""] * 3)
            bars.tick_params(labelsize=8, length=2)
    return save(figure, folder, "figure5")


def _means(frame):
    """By seed and what asked."""
    return frame.groupby(["seed", "asked_by"])[list(KINDS)].mean().unstack()


def claims(frame, seconds) -> list[Claim]:
    """Whether the network is less sure of what FI asks for than of the pool."""
    wide = _means(frame)
    n = str(len(wide))
    surer = paired(wide["largest"][POOL], wide["largest"][FI])
    flatter = paired(wide["entropy"][FI], wide["entropy"][POOL])
    than_margin = paired(wide["entropy"][FI], wide["entropy"][MARGIN])
    shown = "; ".join(
        f"{told}: FI's {spread(wide[kind][FI])}, the pool's {spread(wide[kind][POOL])}"
        for kind, told in KINDS.items()
    )
    misread = " against ".join(spread(wide["wrong"][name]) for name in (FI, MARGIN))
    return [
        Claim(
            "Figure 5: FI asks for images that the network finds hard to tell apart",
            "a figure: images with spread-out probabilities", shown, "", n,
            verdict([surer, flatter]),
            "asked: are the largest probability lower and the entropy higher than in the pool?",
        ),
        Claim(
            "Left out of Figure 5: are FI's images harder than those of margin sampling?",
            "not tried", f"entropy {than_margin} nats; share misread {misread}", "", n,
            verdict([than_margin]), "asked: is their mean entropy higher?",
        ),
    ]  # fmt: skip


def tables(frame, seconds) -> str:
    """Means over the images asked for."""
    wide = _means(frame)
    rows = [(name, *(spread(wide[kind][name]) for kind in KINDS)) for name in (POOL, *ASKED)]
    return markdown(("asked by", *KINDS.values()), rows)


EXPERIMENT = Experiment(
    name="figure5", title="Figure 5: what FI asks for first on MNIST",
    about=ABOUT, settings=settings, run=run, draw=draw, claims=claims, tables=tables,
    seeds=5, quick_seeds=2,
)  # fmt: skip
