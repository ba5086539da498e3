"""
Trim wrong labels out of a training set
=======================================

A fifth of the training labels of a data set that scikit-learn ships is flipped. Each
method then drops rows, the classifier is trained again, and its accuracy on clean test
rows is compared: FITrimmer in the paper's form and in the form that withstands flips
best, against dropping the rows of highest loss and random rows.

``make demo`` runs this. With ``SKFI_DATA`` set to a folder that holds
``adult.parquet``, it does the same on Adult. No download, no torch.
"""

from __future__ import annotations

import argparse
import os
import platform
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skfi
from skfi import FITrimmer

FLIPPED = 0.2
BUDGETS = np.array([0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3])
METHODS = {
    "signed FI (default)": {},
    "FI, paper's form": {
        "influence": "fi",
        "step": None,
        "validation_loss": "log_loss",
        "metric": "euclidean",
        "checked_rows": "judge",
    },
    "highest loss": None,
    "random": None,
}
STYLE = {  # colours of Okabe and Ito, told apart by colour-blind readers
    "signed FI (default)": ("#0072B2", "o", "-"),
    "FI, paper's form": ("#56B4E9", "s", "--"),
    "highest loss": ("#D55E00", "^", "-."),
    "random": ("#666666", "x", ":"),
}


def load(data_folder):
    """(name, X, y, classifier, rows to train on, seeds)."""
    path = Path(data_folder) / "adult.parquet" if data_folder else None
    if path is not None and path.exists():
        import pandas as pd

        frame = pd.read_parquet(path).dropna()
        X = frame.drop(columns=["income", "split"])
        y = (frame["income"] == ">50K").to_numpy().astype(int)
        categories = make_column_selector(dtype_exclude="number")
        prepare = make_column_transformer(
            (StandardScaler(), make_column_selector(dtype_include="number")),
            (OneHotEncoder(handle_unknown="ignore", min_frequency=20), categories),
        )
        return "Adult", X, y, make_pipeline(prepare, _logistic()), 3000, 5
    X, y = load_breast_cancer(return_X_y=True)
    return "Breast cancer", X, y, make_pipeline(StandardScaler(), _logistic()), 250, 20


def _logistic():
    return LogisticRegression(max_iter=1000)


def split(X, y, n_train, seed):
    """Training rows with planted flips, clean validation and test rows."""
    n_val = n_train // 2
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=n_train + n_val, stratify=y, random_state=seed
    )
    X_train, X_val, y_train, y_val = train_test_split(
        X_train, y_train, test_size=n_val, stratify=y_train, random_state=seed
    )
    rng = np.random.default_rng(seed)
    planted = np.zeros(len(y_train), bool)
    planted[rng.permutation(len(y_train))[: int(FLIPPED * len(y_train))]] = True
    y_train = np.where(planted, 1 - y_train, y_train)
    return X_train, y_train, planted, X_val, y_val, X_test, y_test


def rows(X, index):
    """Rows of an array or a DataFrame."""
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


def experiment(X, y, classifier, n_train, seed):
    """Accuracy over budgets and share of planted flips caught, for each method."""
    X_train, y_train, planted, X_val, y_val, X_test, y_test = split(X, y, n_train, seed)
    plain = clone(classifier).fit(X_train, y_train)
    log_p = plain.predict_log_proba(X_train)
    example = None  # one is drawn
    scores = {
        "highest loss": -log_p[np.arange(n_train), y_train],
        "random": np.random.default_rng(seed).random(n_train),
    }
    for name in ("signed FI (default)", "FI, paper's form"):
        trimmer = FITrimmer(classifier, budget=BUDGETS[-1], **METHODS[name])
        with warnings.catch_warnings():
            # The longest path takes more than half of a class; it is not what is used.
            warnings.filterwarnings("ignore", message="Trimming took more than half")
            trimmer.fit(X_train, y_train, X_val=X_val, y_val=y_val)
            scores[name] = -trimmer.ranking_  # every smaller budget is a prefix
            if name == "signed FI (default)" and seed == 0:
                trimmer.set_params(budget=FLIPPED)
                trimmer.fit(X_train, y_train, X_val=X_val, y_val=y_val)
                example = (X_train, y_train, planted, trimmer)
    accuracy, caught = {}, {}
    for name in METHODS:
        order = np.argsort(-scores[name], kind="stable")
        accuracy[name] = []
        for budget in BUDGETS:
            kept = np.sort(order[int(budget * n_train) :])
            again = clone(classifier).fit(rows(X_train, kept), y_train[kept])
            accuracy[name].append(again.score(X_test, y_test))
        caught[name] = planted[order[: planted.sum()]].mean()
    return accuracy, caught, example


def draw_curve(name, accuracy, path):
    """Accuracy over budgets, mean and standard error over the seeds."""
    fig, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
    for method, values in accuracy.items():
        colour, marker, line = STYLE[method]
        mean = 100 * values.mean(axis=0)
        # Paired with the untrimmed model: only the spread of the gain is shown.
        gain = 100 * (values - values[:, :1])
        error = gain.std(axis=0, ddof=1) / np.sqrt(len(values))
        ax.plot(100 * BUDGETS, mean, line, marker=marker, color=colour, label=method)
        ax.fill_between(100 * BUDGETS, mean - error, mean + error, color=colour, alpha=0.15)
    ax.axvline(100 * FLIPPED, color="black", lw=0.8, ls=(0, (1, 3)))
    ax.annotate(
        "share of labels\nflipped",
        (100 * FLIPPED, ax.get_ylim()[0]),
        xytext=(4, 4),
        textcoords="offset points",
        fontsize=9,
    )
    ax.set(
        xlabel="training rows dropped (%)",
        ylabel="accuracy on clean test rows (%)",
        title=f"{name}: {100 * FLIPPED:.0f} % of training labels flipped",
    )
    ax.legend(frameon=False, loc="lower left")
    fig.savefig(path, dpi=150)
    plt.close(fig)


def draw_rows(name, example, path):
    """The dropped rows: where they lie, and how many of them were planted flips."""
    X_train, y_train, planted, trimmer = example
    Z = trimmer.estimator_[:-1].transform(X_train)
    Z = PCA(2, random_state=0).fit_transform(Z.toarray() if hasattr(Z, "toarray") else Z)
    gone = ~trimmer.support_
    shown = np.zeros(len(Z), bool)
    shown[np.random.default_rng(0).permutation(len(Z))[:400]] = True
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for label, colour in ((0, "#E69F00"), (1, "#0072B2")):
        mine = (y_train == label) & ~gone & shown
        left.scatter(*Z[mine].T, s=14, color=colour, alpha=0.5, label=f"kept, label {label}")
        mine = (y_train == label) & gone & shown
        left.scatter(
            *Z[mine].T, s=46, marker="X", color=colour, ec="black", lw=0.7,
            label=f"dropped, label {label}",
        )  # fmt: skip
    low, high = np.quantile(Z, [0.01, 0.99], axis=0)
    margin = 0.2 * (high - low)
    left.set_xlim(low[0] - margin[0], high[0] + margin[0])
    left.set_ylim(low[1] - margin[1], high[1] + 3 * margin[1])
    left.set(xlabel="first principal component", ylabel="second principal component")
    sample = " (400 shown)" if len(Z) > 400 else ""
    left.set_title(f"{name}: dropped rows{sample}")
    left.legend(frameon=False, fontsize=9, ncols=2, loc="upper center")

    order = np.argsort(trimmer.ranking_, kind="stable")
    rank = 100 * np.arange(len(order)) / len(order)
    flips = planted[order]
    right.hist(
        [rank[flips], rank[~flips]],
        bins=np.linspace(0, 100, 21),
        stacked=True,
        color=["#D55E00", "#CCCCCC"],
        label=["planted flip", "label as given in the data"],
        ec="white",
    )
    right.axvline(100 * trimmer.n_trimmed_ / len(order), color="black", ls="--")
    right.set_ylim(0, 1.3 * len(order) / 20)
    right.annotate(
        f"dropped: {gone.sum()} rows, {planted[gone].sum()} of the {planted.sum()} flips",
        (100 * trimmer.n_trimmed_ / len(order), 1.1 * len(order) / 20),
        xytext=(6, 4),
        textcoords="offset points",
        fontsize=9,
    )
    right.set(xlabel="rank by influence, highest first (% of rows)", ylabel="rows")
    right.set_title("planted flips rank high")
    right.legend(frameon=False, fontsize=9, loc="upper right", ncols=2)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main(output: Path, data_folder, fewer: int | None = None) -> None:
    """Run all seeds, print the table and save the pictures."""
    name, X, y, classifier, n_train, n_seeds = load(data_folder)
    n_seeds = n_seeds if fewer is None else fewer
    results = [experiment(X, y, classifier, n_train, seed) for seed in range(n_seeds)]
    accuracy = {m: np.array([r[0][m] for r in results]) for m in METHODS}
    caught = {m: np.mean([r[1][m] for r in results]) for m in METHODS}
    at = int(np.flatnonzero(BUDGETS == FLIPPED)[0])
    before = 100 * accuracy["random"][:, 0].mean()
    print(
        f"{name}: {n_train} training rows, {100 * FLIPPED:.0f} % of their labels flipped; "
        f"{n_train // 2} clean rows to score against; seeds 0 to {n_seeds - 1}"
    )
    print(f"accuracy on clean test rows, nothing dropped: {before:.2f} %\n")
    print(f"{100 * FLIPPED:.0f} % of rows dropped by   accuracy    gain ± s.e.   flips caught")
    for method, values in accuracy.items():
        gain = 100 * (values[:, at] - values[:, 0])
        print(
            f"  {method:<20} {100 * values[:, at].mean():8.2f} %  {gain.mean():+6.2f} "
            f"± {gain.std(ddof=1) / np.sqrt(n_seeds):.2f}   {100 * caught[method]:8.0f} %"
        )
    output.mkdir(parents=True, exist_ok=True)
    stem = name.lower().replace(" ", "_")
    draw_curve(name, accuracy, output / f"{stem}_accuracy_over_budget.png")
    draw_rows(name, results[0][2], output / f"{stem}_rows_that_went.png")
    print(
        f"\npictures in {output}; skfi {skfi.__version__}, scikit-learn "
        f"{sklearn.__version__}, numpy {np.__version__}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    parser.add_argument("--data", default=os.environ.get("SKFI_DATA"))
    parser.add_argument("--seeds", type=int, help="default: 20, or 5 of Adult")
    options = parser.parse_args()
    if options.seeds is not None and options.seeds < 2:
        parser.error("--seeds: a spread takes at least 2")
    main(options.output, options.data, options.seeds)
