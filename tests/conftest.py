"""Data and small helpers that several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_classification

from skfi import FITrimmer

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_folder():
    """Folder with real data sets; tests that need it skip where it is missing."""
    folder = Path(os.environ.get("SKFI_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}; set SKFI_DATA to one")
    return folder


@pytest.fixture(scope="session")
def adult(data_folder):
    """Adult as a DataFrame of features and labels (first 4,000 training rows)."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = data_folder / "adult.parquet"
    if not path.exists():
        pytest.skip(f"no adult.parquet in {data_folder}")
    frame = pd.read_parquet(path).dropna().iloc[:4000]
    return frame.drop(columns=["income", "split"]), frame["income"].astype(str)


PAPER = {
    "influence": "fi",
    "step": None,
    "validation": 0.2,
    "validation_loss": "log_loss",
    "metric": "euclidean",
}


def classic(estimator=None, **params):
    """A trimmer of the paper's form: Algorithm 3, with a held-out fifth."""
    return FITrimmer(estimator, **{**PAPER, **params})


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
