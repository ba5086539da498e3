"""The preparation of Chhabra et al. (2024), so that results can be laid beside theirs.

It was read off their code. Where it surprises (the held-out rows of CelebA follow another
distribution, Bank's "sex" is an age), it is kept, and the descriptions say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from .._extras import require
from ._image_files import read_npz
from ._tables import Table, codes_of, taken, with_frame


class Halves(NamedTuple):
    """Unscaled training rows and held-out rows, sensitive attribute and all."""

    X: np.ndarray
    y: np.ndarray
    sensitive: np.ndarray | None
    n_train: int
    feature_names: list[str]


def chhabra_bunch(
    halves: Halves, label: str, l2_reg: float, *, as_frame: bool, caller: str
) -> Bunch:
    """Scale, split the held-out rows in half, and name the parts.

    Rows come as training, test and validation rows, each in the order of their arrays.
    """
    X, y, sensitive, n_train, names = halves
    X = np.asarray(X, dtype=np.float64)
    # They set a quarter of the training rows aside while they scale.
    scaler = StandardScaler().fit(X[: n_train - round(n_train / 4)])
    heldout = np.arange(n_train, len(X))
    test, val = train_test_split(heldout, test_size=0.5, random_state=42000)
    rows = np.concatenate([np.arange(n_train), test, val])
    data: Any = scaler.transform(X)[rows]
    target = y[rows].astype(np.intp)
    bunch = Bunch(data=data, target=target, frame=None, categories=None)
    if as_frame:
        pd = require("pandas", f"{caller} with as_frame=True")
        frame = pd.DataFrame(data, columns=names)
        bunch = with_frame(frame, target, label, categories=None)
    bunch.feature_names = names
    bunch.split = np.repeat(["train", "test", "val"], [n_train, len(test), len(val)])
    bunch.sensitive = None if sensitive is None else sensitive[rows].astype(np.intp)
    bunch.l2_reg = l2_reg
    return bunch


def read_halves(paths: Sequence[Path]) -> Halves:
    """Matrices that were prepared before, from an npz file."""
    X, y, s, X_held, y_held, s_held, names = read_npz(
        paths[0],
        *("X_train", "y_train", "s_train", "X_heldout", "y_heldout", "s_heldout"),
        "feature_names",
    )
    # Their own spelling of one name, and what was added to two others.
    told = [str(n).split("(=")[0].replace("eduction-num", "education-num") for n in names]
    return Halves(
        np.concatenate([X, X_held]),
        np.concatenate([y, y_held]),
        np.concatenate([s, s_held]),
        len(y),
        told,
    )


def adult_halves(raw: tuple[Table, Any]) -> Halves:
    """Adult: complete rows, all but fnlwgt; sex is male or not."""
    table, split = raw
    whole = _complete(table)
    train, test = (taken(table, whole & (split == part)) for part in ("train", "test"))
    coded = {name for name, column in train.items() if column.dtype == object}
    numbers = [name for name in train if name not in coded | {"fnlwgt"}]
    parts = []
    names: list[str] = []
    for part in (train, test):
        blocks, names = [np.column_stack([part[name] for name in numbers])], [*numbers]
        for name, column in part.items():
            if name == "sex":
                blocks.append((column == "Male")[:, None])
                names.append(name)
            elif name in coded - {"income"}:
                block, values = _one_hot(column, train[name])
                blocks.append(block)
                names += [f"{name}={value}" for value in values]
        parts.append(np.hstack([block.astype(np.float64) for block in blocks]))
    both = [np.concatenate([train[name], test[name]]) for name in ("income", "sex")]
    return Halves(
        np.concatenate(parts), both[0] == ">50K", both[1] == "Male", len(parts[0]), names
    )


def bank_halves(raw: tuple[Table, Any]) -> Halves:
    """Bank: rows without "unknown"; age itself is out, and "sex" is an age below 37."""
    table, _ = raw
    known = np.ones(len(table["y"]), dtype=bool)
    for column in table.values():
        if column.dtype == object:
            known &= column != "unknown"
    table = taken(table, known)
    single = {
        "marital": "married",
        "default": "yes",
        "housing": "yes",
        "loan": "yes",
        "contact": "cellular",
    }
    coded = [n for n, column in table.items() if column.dtype == object and n != "y"]
    names = [n for n in table if n not in {*coded, "y", "age"}]
    blocks = [np.column_stack([table[name] for name in names]).astype(np.float64)]
    for name in coded:
        if name in single:
            blocks.append((table[name] == single[name])[:, None])
            names.append(f"{name}={single[name]}")
        else:
            block, values = _one_hot(table[name], table[name])
            blocks.append(block)
            names += [f"{name}={value}" for value in values]
    sensitive = table["age"] < 37
    X = np.hstack([*blocks, sensitive[:, None]])
    train, held = train_test_split(np.arange(len(X)), test_size=0.4, random_state=42)
    rows = np.concatenate([train, held])
    return Halves(
        X[rows], (table["y"] == "yes")[rows], sensitive[rows], len(train), [*names, "sex"]
    )


def celeba_halves(raw: tuple[Table, Any]) -> Halves:
    """CelebA: distinct rows of 38 attributes, sorted; "sex" is not Male."""
    table, _ = raw
    names = [name for name in table if name not in ("Male", "Smiling")]
    X, first = np.unique(
        np.column_stack([table[name] for name in names]), axis=0, return_index=True
    )
    sensitive = table["Male"][first] != 1
    # Not shuffled, so the held-out rows are the last ones in this order.
    train, _ = train_test_split(np.arange(len(X)), test_size=0.4, shuffle=False)
    return Halves(
        np.column_stack([X, sensitive]),
        table["Smiling"][first] == 1,
        sensitive,
        len(train),
        [*names, "sex"],
    )


def _complete(table: Table) -> np.ndarray:
    whole = np.ones(len(next(iter(table.values()))), dtype=bool)
    for column in table.values():
        if column.dtype == object:
            whole &= np.array([value is not None for value in column])
    return whole


def _one_hot(column: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """A column per value, in the order in which `order` first has them."""
    values = list(dict.fromkeys(order))
    new = sorted(set(column) - set(values))
    if new:
        raise ValueError(f"test rows have {new[:3]}, which no training row has")
    return np.eye(len(values))[codes_of(column, values)], values
