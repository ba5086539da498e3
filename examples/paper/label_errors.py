"""Beyond the paper: do the scores find labels that people really got wrong."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from skfi import FITrimmerCV, fi_util
from skfi.baselines import iv, knn_shapley, loss, random, self_confidence

from ._drawing import curve, legend_below, save
from ._experiment import Claim, Experiment, Options, Row, Settings
from ._label_data import FILTERS, LABELS, PATCH, STRIDE, cifar, cifar_errors, mnist
from ._statistics import Paired, compare, paired, spread, verdict
from ._table import markdown
from ._trim import FI, IV, LOSS, NONE, RANDOM, SIGNED, without

IV_ERROR, CONFIDENCE, SHAPLEY = "IV, expected error", "self-confidence", "KNN-Shapley"
METHODS = (FI, SIGNED, IV, IV_ERROR, LOSS, CONFIDENCE, SHAPLEY, RANDOM)
WITHOUT_FI = (IV, IV_ERROR, LOSS, CONFIDENCE, SHAPLEY)
NEED_NO_VALIDATION = (LOSS, CONFIDENCE, RANDOM)
CHOSEN, ONLY_RIGHT = "FITrimmerCV", "only right labels"

CIFAR, MNIST = "cifar10n", "mnist"
TOLD = {"aggre": "majority of three", "random1": "one of three", "worse": "worst of three"}
# Training and validation rows, images out of which they are drawn, features.
SIZES = {CIFAR: (5000, 1500, 10_000, 100), MNIST: (10_000, 3000, 16_000, 100)}
QUICK_SIZES = {CIFAR: (600, 200, 1000, 30), MNIST: (600, 200, 1000, 30)}
BUDGETS = (0.05, 0.1, 0.2)
CHOICES = (0, 0.05, 0.1, 0.2, 0.4)
LOOKED_AT = {
    CIFAR: (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    MNIST: (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
}
FIRST = 100  # as many of MNIST's test images were reviewed
MODEL = {"C": 1.0, "tol": 1e-6, "max_iter": 5000}
PICKED = "the best is picked by its mean, which favours it"

_N, _N_VAL, _IMAGES, _FEATURES = SIZES[CIFAR]
ABOUT = f"""
The paper makes its noise itself. Here people got the labels wrong.

**CIFAR-10N** (Wei et al. 2022) has labels that paid workers gave to CIFAR-10's training images:
the majority of three (aggre), one of three (random1) and, where any of the three is wrong, a
wrong one (worse). CIFAR-10's own labels count as the right ones. Each seed draws {_N:,}
training and {_N_VAL:,} validation rows out of {_IMAGES:,} training images, the first of each
class; the other {_IMAGES - _N - _N_VAL:,} and {_IMAGES // 10:,} images of the test set, all
with clean labels, are the test rows. Validation labels are as noisy as the training labels, as
they would be in practice and as the claims ask, or clean (in the table).

**MNIST's test set** (Northcutt et al. 2021): {FIRST} images, picked by confident learning with
a network, were shown to five people each; an error counts as confirmed if fewer than three of
them chose the given label. The {SIZES[MNIST][0]:,} test images are the training rows here, and
seeds draw {SIZES[MNIST][1]:,} validation rows from the training images. What was not shown
counts as right. That favours scores like the one which picked: self-confidence.

**Features** are learnt without labels, as by Coates and Ng (2011): {FILTERS} random patches of
{PATCH} × {PATCH} pixels, whitened, as filters at one pixel in {STRIDE} each way, a soft
threshold, means over quadrants, and {_FEATURES} principal components. A logistic regression on
them (C = {MODEL["C"]:g}, with an intercept, at its minimum) is trained and scored. On CIFAR-10
it is far from what a network can do, so that its loss is high on many rows that are right.

**Scores.** FI and IV are the paper's: log loss, euclidean. Signed FI is the default of
`FITrimmer`, another than in the experiments that follow the paper: √FI by expected error in the
mahalanobis metric, times what a row's removal gains. Self-confidence is cleanlab's: one minus
the out-of-fold probability of the label. Rows are scored once and go at once. `FITrimmerCV`
chooses between {", ".join(f"{100 * b:g}" for b in CHOICES)} % in two folds of the noisy
validation rows.
"""


def settings(options: Options) -> list[Settings]:
    sizes = QUICK_SIZES if options.quick else SIZES
    names = ("n_train", "n_val", "images", "features")
    return [
        {"labels": labels, **dict(zip(names, sizes[part], strict=True)), "seed": seed}
        for part, kinds in ((CIFAR, LABELS), (MNIST, (MNIST,)))
        for labels in kinds
        for seed in range(options.seeds)
    ]


def _fit(X, y):
    return LogisticRegression(**MODEL).fit(X, y)


def _scores(model, X, y, X_val, y_val, seed: int, methods=METHODS) -> dict[str, np.ndarray]:
    """Score by method (n,), the highest is looked at first."""
    data = (model, X, y, X_val, y_val)
    error = {"validation_loss": "expected_error"}
    score = {
        FI: lambda: fi_util(*data),
        SIGNED: lambda: (
            np.sqrt(fi_util(*data, metric="mahalanobis", **error)) * iv(*data, **error)
        ),
        IV: lambda: iv(*data),
        IV_ERROR: lambda: iv(*data, **error),
        LOSS: lambda: loss(*data),
        CONFIDENCE: lambda: self_confidence(*data, random_state=seed),
        SHAPLEY: lambda: knn_shapley(*data),
        RANDOM: lambda: random(*data, random_state=seed),
    }
    return {method: score[method]() for method in methods}


def _found(score: np.ndarray, wrong: np.ndarray, looked_at: tuple = ()) -> list[Row]:
    """How many of the errors come first; all in %."""
    hits = wrong[np.argsort(-score, kind="stable")].cumsum()
    total = int(hits[-1])
    rows = [
        {"measure": "precision", "at": total, "value": 100 * hits[total - 1] / total},
        {"measure": "average precision", "value": 100 * average_precision_score(wrong, score)},
    ]
    for share in looked_at:
        looked = max(1, round(share * len(hits)))
        rows.append({"measure": "found", "at": share, "value": 100 * hits[looked - 1] / total})
    return rows


def run(cell: Settings) -> list[Row]:
    """What each method finds, and what trimming by it does."""
    rows = _run_mnist(cell) if cell["labels"] == MNIST else _run_cifar(cell)
    return [{**row, "value": round(float(row["value"]), 4)} for row in rows]


def _run_cifar(cell: Settings) -> list[Row]:
    features, clean, labels = cifar(cell["images"], cell["features"])
    given = labels[cell["labels"]]
    n, n_val, seed = cell["n_train"], cell["n_val"], cell["seed"]
    order = np.random.default_rng(seed).permutation(len(given))
    train, val = order[:n], order[n : n + n_val]
    test = np.setdiff1d(np.arange(len(clean)), order[: n + n_val])
    X, y, X_val = features[train], given[train], features[val]
    wrong = y != clean[train]
    model = _fit(X, y)

    def accuracy(method: str, at: float, fitted, validation: str = "none") -> Row:
        value = 100 * fitted.score(features[test], clean[test])
        return {"method": method, "validation": validation, "measure": "accuracy", "at": at,
                "value": value}  # fmt: skip

    rows = [
        accuracy(NONE, 0, model),
        accuracy(ONLY_RIGHT, wrong.mean(), _fit(X[~wrong], y[~wrong])),
        {"method": NONE, "validation": "none", "measure": "wrong", "value": 100 * wrong.mean()},
    ]
    for validation, y_val in (("noisy", given[val]), ("clean", clean[val])):
        noisy = validation == "noisy"
        methods = [m for m in METHODS if noisy or m not in NEED_NO_VALIDATION]
        for method, score in _scores(model, X, y, X_val, y_val, seed, methods).items():
            name = {"method": method, "validation": validation}
            shares = LOOKED_AT[CIFAR] if noisy else ()
            rows += [name | row for row in _found(score, wrong, shares)]
            for budget in BUDGETS:
                kept = without(score, int(budget * n))
                rows.append(accuracy(method, budget, _fit(X[kept], y[kept]), validation))
    trimmer = FITrimmerCV(
        LogisticRegression(**MODEL), budgets=CHOICES, cv=2, step=None, random_state=seed
    ).fit(X, y, X_val=X_val, y_val=given[val])
    return [*rows, accuracy(CHOSEN, trimmer.budget_, trimmer, "noisy")]


def _run_mnist(cell: Settings) -> list[Row]:
    n, n_val, seed = cell["n_train"], cell["n_val"], cell["seed"]
    features, y, wrong = mnist(n, cell["images"] - n, cell["features"])
    val = n + np.random.default_rng(seed).permutation(len(y) - n)[:n_val]
    model = _fit(features[:n], y[:n])
    accuracy = 100 * model.score(features[val], y[val])
    none = {"method": NONE, "validation": "none"}
    rows = [none | {"measure": "validation accuracy", "value": accuracy}]
    scores = _scores(model, features[:n], y[:n], features[val], y[val], seed)
    for method, score in scores.items():
        place = np.empty(n)
        place[np.argsort(-score, kind="stable")] = np.arange(1, n + 1)
        ranks = place[wrong]
        found = _found(score, wrong, LOOKED_AT[MNIST])
        found.append({"measure": "first", "at": FIRST, "value": (ranks <= FIRST).sum()})
        found += [{"measure": "rank", "at": i, "value": rank} for i, rank in enumerate(ranks)]
        rows += [{"method": method, "validation": "clean", **row} for row in found]
    at_hand, some, every = cifar_errors()
    for at, count in ((at_hand, some), (10_000, every)):
        rows.append(none | {"measure": "cifar10 errors", "at": at, "value": count})
    return rows


def _practice(frame, labels: str, measure: str):
    """Lines of one measure, on CIFAR-10N with noisy validation labels."""
    some = (frame.labels == labels) & (frame.measure == measure)
    return frame[some if labels == MNIST else some & (frame.validation != "clean")]


def _gain(frame, labels: str, method: str, budget: float | None, validation: str = "noisy"):
    """Points of accuracy over no trimming, (seeds,); no budget is whatever was chosen."""
    part = frame[(frame.labels == labels) & (frame.measure == "accuracy")]
    plain = part[part.method == NONE].set_index("seed").value
    some = (part.method == method) & part.validation.isin(("none", validation))
    if budget is not None:
        some &= part["at"] == budget
    return part[some].set_index("seed").value - plain


def _ranks(frame):
    """Decimal logarithm of the errors' ranks, mean over seeds: (errors, methods)."""
    part = _practice(frame, MNIST, "rank")
    part = part.assign(value=np.log10(part.value))
    return part.pivot_table(index="at", columns="method", values="value")


def draw(frame, folder: Path, seconds) -> list[Path]:
    """Share of the errors found over rows looked at, and what trimming does."""
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 4.3), sharey=True, layout="constrained")
    for ax, labels in zip(axes, ("aggre", "worse", MNIST), strict=True):
        lines = _practice(frame, labels, "found")
        for method in METHODS:
            wide = lines[lines.method == method].pivot(
                index="seed", columns="at", values="value"
            )
            curve(ax, 100 * wide.columns.to_numpy(), wide.to_numpy(), method)
        ax.set_xlabel("rows looked at, %")
        if labels == MNIST:
            ax.set_xscale("log")
            ax.set_title("MNIST's test set, confirmed errors", fontsize=9.5)
            continue
        rate = _practice(frame, labels, "wrong").value.mean()
        ax.plot([0, rate, 100], [0, 100, 100], color="0.5", lw=1, ls=":")
        ax.set_title(f"CIFAR-10N, {TOLD[labels]}: {rate:.0f} % wrong", fontsize=9.5)
    axes[0].set_ylabel("wrong labels found, %")
    axes[0].text(
        0.97, 0.03, "dotted: all errors first", ha="right", fontsize=9, color="0.3",
        transform=axes[0].transAxes,
    )  # fmt: skip
    legend_below(figure, axes[0], 4)
    return save(figure, folder, "label_errors_found") + _draw_gain(frame, folder)


def _draw_gain(frame, folder: Path) -> list[Path]:
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 4.3), layout="constrained")
    for ax, labels in zip(axes, LABELS, strict=True):
        for method in METHODS:
            gains = [_gain(frame, labels, method, b).to_numpy() for b in BUDGETS]
            gains = np.stack([np.zeros_like(gains[0]), *gains], axis=1)
            curve(
                ax,
                (0, *(100 * b for b in BUDGETS)),
                gains,
                method,
            )
        ax.axhline(0, color="0.6", lw=0.8)
        rate = _practice(frame, labels, "wrong").value.mean()
        best = _gain(frame, labels, ONLY_RIGHT, None).mean()
        told = f"{TOLD[labels]}: {rate:.0f} % wrong\n(trained on the right ones: {best:+.1f})"
        ax.set_title(told, fontsize=10)
        ax.set_xlabel("rows trimmed, %")
    axes[0].set_ylabel("gain on clean test labels, points")
    legend_below(figure, axes[0], 4)
    return save(figure, folder, "label_errors_gain")


def _best(means: dict[str, float]) -> str:
    return max(means, key=means.get)


def _ours(question: str, told: list[str], frame, against: list[Paired], note: str) -> Claim:
    return Claim(
        f"Beyond the paper: {question}", "not tried", "", "; ".join(told),
        str(frame.seed.nunique()), verdict(against), note,
    )  # fmt: skip


def claims(frame, seconds) -> list[Claim]:
    """Who finds the errors, what trimming gains, and the test sets."""
    n_train = frame[frame.labels != MNIST].n_train.iloc[0]
    note = (
        f"CIFAR-10N, {n_train:,} training rows, validation labels as noisy; share of wrong "
        "labels among as many rows as there are wrong ones, %"
    )
    told, against = {FI: [], SIGNED: []}, {FI: [], SIGNED: []}
    for labels in LABELS:
        part = _practice(frame, labels, "precision")
        values = {method: part[part.method == method].value for method in METHODS}
        others = {FI: IV, SIGNED: _best({m: values[m].mean() for m in WITHOUT_FI})}
        for method, other in others.items():
            against[method].append(compare(part, "value", "method", method, other))
            means = [spread(values[m], 1) for m in (method, other, RANDOM)]
            told[method].append(
                f"{labels}: {means[0]} against {means[1]} ({other}; random {means[2]})"
            )
    return [
        _ours("does FI find labels that people got wrong better than IV?", told[FI], frame,
              against[FI], note),
        _ours("does signed FI find them better than the best score without FI?", told[SIGNED],
              frame, against[SIGNED], f"{note}; {PICKED}"),
        *_trimming_claims(frame), *_test_set_claims(frame),
    ]  # fmt: skip


def _trimming_claims(frame) -> list[Claim]:
    """Whether trimming gains accuracy on clean labels, and more than others do."""
    note = "CIFAR-10N, points of accuracy on clean labels; validation labels as noisy"
    shares = ", ".join(f"{100 * b:g}" for b in BUDGETS)
    gained, told, versus, compared, chosen = [], [], [], [], []
    for labels in LABELS:
        gains = {m: [_gain(frame, labels, m, b) for b in BUDGETS] for m in METHODS}
        gained += [paired(gain, 0 * gain) for gain in gains[SIGNED]]
        signed, fi = (", ".join(f"{g.mean():+.2f}" for g in gains[m]) for m in (SIGNED, FI))
        told.append(f"{labels}: {signed} (FI, which has no sign: {fi})")
        results = []
        for j, ours in enumerate(gains[SIGNED]):
            best = _best({m: gains[m][j].mean() for m in WITHOUT_FI})
            versus.append(paired(ours, gains[best][j]))
            results.append(f"{versus[-1]} ({best})")
        compared.append(f"{labels}: {', '.join(results)}")
        chosen.append(_gain(frame, labels, CHOSEN, None))
    by_labels = [f"{name}: {spread(gain)}" for name, gain in zip(LABELS, chosen, strict=True)]
    return [
        _ours(f"does trimming {shares} % of the rows by signed FI gain accuracy?", told, frame,
              gained, note),
        _ours(f"does it gain more than the best score without FI, at {shares} %?", compared,
              frame, versus, f"{note}; {PICKED}"),
        _ours("does FITrimmerCV gain when its validation labels are noisy too?", by_labels,
              frame, [paired(gain, 0 * gain) for gain in chosen], note),
    ]  # fmt: skip


def _test_set_claims(frame) -> list[Claim]:
    """The confirmed errors in the test sets of MNIST and CIFAR-10."""
    ranks = _ranks(frame)
    first = _practice(frame, MNIST, "first")
    best = _best({m: -ranks[m].mean() for m in WITHOUT_FI})
    told = [
        f"{method}: {10 ** ranks[method].mean():.0f}, "
        f"{first[first.method == method].value.mean():.1f} of {len(ranks)} in the first {FIRST}"
        for method in (SIGNED, best, FI, IV)
    ]
    note = (
        f"geometric mean rank among {first.n_train.iloc[0]:,} rows; paired over the "
        f"{len(ranks)} errors are logarithms of ranks; {PICKED}; which errors were confirmed "
        "favours self-confidence and the loss"
    )
    counts = _practice(frame, MNIST, "cifar10 errors").groupby("at").value.first()
    few = (
        f"{counts.iloc[0]:.0f} of {counts.iloc[-1]:.0f} confirmed errors lie in the "
        f"{counts.index[0]:,.0f} test images at hand"
    )
    return [
        _ours("does signed FI rank the confirmed errors of MNIST's test set before the best "
              "score without FI?", list(dict.fromkeys(told)), frame,
              [paired(ranks[best], ranks[SIGNED])], note),
        Claim("Beyond the paper: the same for CIFAR-10's test set", "not tried", "", "", "0",
              "not testable here", few),
    ]  # fmt: skip


def tables(frame, seconds) -> str:
    """What is found and what is gained by all methods, for noisy and clean validation."""
    lines = []
    for method in METHODS:
        for validation in ("noisy",) if method in NEED_NO_VALIDATION else ("noisy", "clean"):
            cells = []
            part = frame[(frame.method == method) & (frame.validation == validation)]
            for labels in LABELS:
                some = part[part.labels == labels]
                cells += [
                    spread(some[some.measure == measure].value, 1)
                    for measure in ("precision", "average precision")
                ]
                gains = (_gain(frame, labels, method, b, validation).mean() for b in BUDGETS)
                cells.append(", ".join(f"{gain:+.2f}" for gain in gains))
            shown = "none" if method in NEED_NO_VALIDATION else validation
            lines.append((method, shown, *cells))
    head = ["score", "validation labels"]
    for labels in LABELS:
        shares = ", ".join(f"{100 * b:g}" for b in BUDGETS)
        head += [f"{labels}: precision, %", "average precision, %", f"gain at {shares} %"]
    ranks = _ranks(frame)
    few = []
    for method in METHODS:
        part = frame[(frame.labels == MNIST) & (frame.method == method)]
        cells = [
            spread(part[part.measure == measure].value, 1)
            for measure in ("first", "average precision")
        ]
        few.append((method, f"{10 ** ranks[method].mean():.0f}", *cells))
    told = ("score", "MNIST's test set: geometric mean rank of an error",
            f"errors in the first {FIRST}", "average precision, %")  # fmt: skip
    return f"{markdown(head, lines)}\n{markdown(told, few)}"


EXPERIMENT = Experiment(
    name="label_errors", title="Beyond the paper: real label errors", about=ABOUT,
    settings=settings, run=run, draw=draw, claims=claims, tables=tables, seeds=5,
    quick_seeds=2,
)  # fmt: skip
