"""Figure 10: active learning where the pool has rare classes, or rows that nobody asked for."""

from __future__ import annotations

from pathlib import Path

from skfi.datasets import make_redundant, make_unbalanced

from . import figure4
from ._active import (
    COMPARED,
    DEFAULT,
    FI,
    MARGIN,
    RANDOM,
    TOLD,
    FromCandidates,
    against,
    areas,
    draw_curves,
    learn,
    strategy,
    table,
    told,
)
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._networks import images
from ._statistics import paired, verdict

UNBALANCED, REDUNDANT, PLAIN = "unbalanced MNIST", "redundant MNIST", "MNIST"
ASKED = {UNBALANCED: (*COMPARED, MARGIN, DEFAULT), REDUNDANT: (*COMPARED, MARGIN, DEFAULT),
         PLAIN: (FI, RANDOM)}  # fmt: skip
RATIOS = [1] * 5 + [10] * 5
TOTAL = 27_500
RELEVANT = (1, 7)
ROUNDS = 10

ABOUT = f"""
{TOLD}

The network, its training and the settings of MNIST are those of Figure 4, but with {ROUNDS}
rounds; the paper gives no others. A pool of 420 would hold 8 images of each rare digit, so the
"unlabeled pool size" is
read as the number of candidates that are drawn again for each query.

- *Unbalanced MNIST* (`skfi.datasets.make_unbalanced`): {TOTAL:,} training images, 500 of each
  digit 0 to 4 and 5,000 of each digit 5 to 9. Accuracy is that on
  {figure4.N_TEST:,} test images with about as many of each digit: the paper does not say
  whether its test set is unbalanced, too.
- *Redundant MNIST* (`skfi.datasets.make_redundant`): as many images of 1 as of 7, all other
  digits are "neither". The task is "to classify solely the digits 1 and 7, presented in equal
  proportions", so accuracy is that of the three-way classifier on test images of 1 and 7 alone,
  as many of each; "neither" is a wrong answer there.
- *MNIST* itself is run for FI and random alone, to tell whether FI's lead is smaller there.
"""


def settings(options: Options) -> list[Settings]:
    sizes = figure4.sizes("MNIST", options)
    sizes["rounds"] = min(sizes["rounds"], ROUNDS)
    return [
        {"data": data, "strategy": name, "seed": seed} | sizes
        for seed in range(options.seeds)
        for data, names in ASKED.items()
        for name in names
    ]


def _prepared(cell: Settings):
    """Training and test rows of a cell."""
    seed = cell["seed"]
    if cell["data"] == REDUNDANT:
        found = images("MNIST", seed, 10_000)
        X, y, _ = make_redundant(found.X, found.y, RELEVANT, random_state=seed)
        T, t, _ = make_redundant(
            found.X_test, found.y_test, RELEVANT, n_other=0, random_state=seed
        )
        return X, y, T, t
    X, y, T, t, _ = images("MNIST", seed, cell["n_test"])
    if cell["data"] == UNBALANCED:
        X, y, _ = make_unbalanced(X, y, RATIOS, n_samples=TOTAL, random_state=seed)
    return X, y, T, t


def run(cell: Settings) -> list[Row]:
    """Accuracy by round."""
    X, y, T, t = _prepared(cell)
    n_classes = 3 if cell["data"] == REDUNDANT else 10
    asking = strategy(cell["strategy"], network=True)
    asking = FromCandidates(asking, cell["pool"], cell["seed"])
    return learn(figure4.classifier(cell, n_classes), asking, X, y, T, t, cell)


def draw(frame, folder: Path, seconds) -> list[Path]:
    """The two data sets of the figure."""
    titles = {UNBALANCED: "unbalanced MNIST", REDUNDANT: "redundant MNIST"}
    return draw_curves(frame, folder, "figure10", titles, ncols=2)


def claims(frame, seconds) -> list[Claim]:
    """FI against the others, and whether its lead is larger than on MNIST itself."""
    found, margin, ours, leads = [], {}, {}, {}
    parts = {data: frame[frame.data == data] for data in ASKED}
    n = str(frame.seed.nunique())
    for data in (UNBALANCED, REDUNDANT):
        others = against(parts[data], FI, figure4.RIVALS)
        text = f"Figure 10: FI is ahead of IV, BALD and random on {data}"
        paper = "a figure: FI above all others"
        said = verdict(others.values())
        found.append(Claim(text, paper, told(others), "", n, said, figure4.UNIT))
        margin[data] = against(parts[data], FI, (MARGIN,))
        ours[data] = against(parts[data], DEFAULT, (FI, MARGIN, RANDOM))
    for data, part in parts.items():
        wide = areas(part)
        leads[data] = wide[FI] - wide[RANDOM]
    larger = {data: paired(leads[data], leads[PLAIN]) for data in (UNBALANCED, REDUNDANT)}
    text = "Figure 10: FI's lead is larger than on MNIST itself"
    shown = "; ".join(f"{data}: lead larger by {c}" for data, c in larger.items())
    note = f"lead over random in {figure4.UNIT}, with fresh candidates in all three"
    paper = "“advantages even more pronounced”"
    found.append(Claim(text, paper, shown, "", n, verdict(larger.values()), note))
    for asked, by_data in (
        ("FI ahead of margin sampling", margin),
        ("the library's default ahead of FI, margin and random", ours),
    ):
        said = verdict(c for each in by_data.values() for c in each.values())
        shown = ". ".join(f"{data}: {told(each)}" for data, each in by_data.items())
        text = f"Left out of Figure 10: is {asked}?"
        found.append(Claim(text, "not tried", shown, "", n, said, figure4.UNIT))
    return found


def tables(frame, seconds) -> str:
    return table(frame)


EXPERIMENT = Experiment(
    name="figure10", title="Figure 10: active learning on unbalanced and redundant MNIST",
    about=ABOUT, settings=settings, run=run, draw=draw, claims=claims, tables=tables,
    seeds=3, quick_seeds=2,
)  # fmt: skip
