"""Data and models that several tests share, each in memory of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from skfi import FITrimmer

ROOT = Path(__file__).resolve().parent.parent

# Logistic regression at its minimum, where scores are compared with definitions and refits.
TIGHT = {"solver": "newton-cholesky", "tol": 1e-14, "max_iter": 1000}
# Parameters of a trimmer of the paper's form, Algorithm 3, with a held-out fifth.
PAPER = {
    "influence": "fi",
    "step": None,
    "validation": 0.2,
    "checked_rows": "judge",
    "validation_loss": "log_loss",
    "metric": "euclidean",
}


def classic(estimator=None, **params):
    """A trimmer of the paper's form."""
    return FITrimmer(estimator, **{**PAPER, **params})


def sparse_logistic():
    """A logistic regression with an L1 penalty, as each version of scikit-learn states it."""
    model = LogisticRegression(l1_ratio=1, solver="saga", max_iter=5000)
    return model.set_params(penalty="elasticnet") if model.penalty == "l2" else model


def make_split(n_classes=2, n=140, d=5, n_val=40, seed=0, flip=0.25):
    """X, y, X_val, y_val and integer weights, noisy enough for moderate P."""
    X, y = make_classification(
        n + n_val,
        d,
        n_informative=d,
        n_redundant=0,
        n_classes=n_classes,
        n_clusters_per_class=1,
        flip_y=flip,
        random_state=seed,
    )
    weight = np.random.default_rng(seed).integers(1, 4, n).astype(float)
    return X[:n], y[:n], X[n:], y[n:], weight


def fitted_split(n_classes=2, *, weighted=False, model=None, **split):
    """A logistic regression at its minimum, and X, y, X_val, y_val of `make_split`."""
    *rows, weight = make_split(n_classes, **split)
    model = LogisticRegression(**TIGHT) if model is None else model
    model.fit(*rows[:2], **({"sample_weight": weight} if weighted else {}))
    return (model, *rows, weight) if weighted else (model, *rows)
