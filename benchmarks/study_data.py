"""Data sets of the studies: scikit-learn's, and local files where there are any.

Every loader gives features that need nothing but scaling, and class codes. Files are looked
for in the folder that ``SKFI_DATA`` names; data sets whose file is missing are left out, and
the study says which.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

FOLDER = Path(os.environ.get("SKFI_DATA", "data"))

Data = tuple[np.ndarray, np.ndarray]


def _tabular(frame, label: str) -> Data:
    """One column a category but one, numbers as they are, no column without variance."""
    import pandas as pd

    y = np.unique(frame[label].astype(str), return_inverse=True)[1]
    X = pd.get_dummies(frame.drop(columns=label), drop_first=True).to_numpy(np.float64)
    return X[:, X.std(axis=0) > 0], y


def adult() -> Data:
    """Census income: 45,222 complete rows."""
    import pandas as pd

    frame = pd.read_parquet(FOLDER / "adult.parquet").dropna()
    return _tabular(frame.drop(columns=["split", "fnlwgt"]), "income")


def bank() -> Data:
    """Bank marketing, bank-additional-full: 41,188 rows."""
    import pandas as pd

    return _tabular(pd.read_parquet(FOLDER / "bank_additional_full.parquet"), "y")


def celeba() -> Data:
    """CelebA's 39 attributes, smiling or not (both halves of the published split)."""
    with np.load(FOLDER / "infdatasel_celeba.npz") as part:
        X = np.concatenate([part["X_train"], part["X_heldout"]]).astype(np.float64)
        y = np.concatenate([part["y_train"], part["y_heldout"]])
    return X, np.unique(y, return_inverse=True)[1]


def spambase() -> Data:
    """Word frequencies of e-mail: 4,601 × 57."""
    return _arrays("spambase.npz")


def phoneme() -> Data:
    """Nasal and oral vowels: 5,404 × 5."""
    return _arrays("phoneme.npz")


def _arrays(name: str) -> Data:
    with np.load(FOLDER / name) as part:
        return part["X"].astype(np.float64), np.unique(part["y"], return_inverse=True)[1]


def _text(name: str) -> Data:
    """TF-IDF in 100 latent components."""
    import pandas as pd

    frame = pd.read_parquet(FOLDER / name)
    text = frame.columns[[frame[c].astype(str).str.len().mean() > 20 for c in frame][0:]][0]
    label = next(c for c in frame.columns if c != text)
    words = TfidfVectorizer(min_df=3, sublinear_tf=True).fit_transform(frame[text].astype(str))
    X = TruncatedSVD(100, random_state=0).fit_transform(words)
    return X, np.unique(frame[label].astype(str), return_inverse=True)[1]


def sms() -> Data:
    """SMS spam: 5,574 messages."""
    return _text("sms_spam.parquet")


def toxic() -> Data:
    """Toxic comments: 5,000."""
    return _text("wiki_toxic_5k.parquet")


def mnist() -> Data:
    """MNIST's ten digits in 30 principal components (12,000 of its images)."""
    with np.load(FOLDER / "mnist.npz") as part:
        X, y = part["X_train"][:12_000].reshape(12_000, -1) / 255.0, part["y_train"][:12_000]
    return PCA(30, random_state=0).fit_transform(X), y.astype(np.intp)


def emnist() -> Data:
    """EMNIST's letters a to m in 50 principal components: 10,000 images, thirteen classes."""
    with np.load(FOLDER / "emnist_letters_test10k.npz") as part:
        X, y = part["X"].reshape(10_000, -1) / 255.0, part["y"]
    return PCA(50, random_state=0).fit_transform(X), np.unique(y, return_inverse=True)[1]


def cifar() -> Data:
    """CIFAR-10 in 50 principal components: 10,000 of its images."""
    with np.load(FOLDER / "cifar10_train10k_a.npz") as part:
        X, y = part["X_train"].reshape(10_000, -1) / 255.0, part["y_train"]
    return PCA(50, random_state=0).fit_transform(X), y.astype(np.intp)


def digits() -> Data:
    """scikit-learn's digits, 8×8: 1,797 rows, ten classes."""
    X, y = load_digits(return_X_y=True)
    return X[:, X.std(axis=0) > 0], y


def cancer() -> Data:
    """Breast cancer: 569 × 30."""
    return load_breast_cancer(return_X_y=True)


LOADERS = {
    loader.__name__: loader
    for loader in (
        adult, bank, celeba, spambase, phoneme, sms, toxic, mnist, digits, cancer,
        emnist, cifar,
    )
}  # fmt: skip


def available(names) -> tuple[dict[str, Data], list[str]]:
    """The data sets that could be read, and the names of those that could not."""
    read, missing = {}, []
    for name in names:
        try:
            read[name] = LOADERS[name]()
        except (FileNotFoundError, ImportError):
            missing.append(name)
    return read, missing
