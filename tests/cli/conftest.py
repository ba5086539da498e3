"""Small tables with planted wrong labels, and the command line run in this process."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from skfi._cli import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class Tables(NamedTuple):
    folder: Path
    wrong: np.ndarray  # which rows of train.csv have a wrong label

    def path(self, name):
        return str(self.folder / name)


@pytest.fixture
def skfi(capsys):
    """``skfi(*arguments)``: exit code, stdout, stderr."""
    pytest.importorskip("pandas")
    pytest.importorskip("skrub")

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def _rows():
    rng = np.random.default_rng(0)
    n = 300
    age = rng.normal(40, 12, n).round(1)
    income = rng.lognormal(3, 0.5, n).round(2)
    city = rng.choice(["Bern", "Oslo", "Rome"], n)
    z = (age - 40) / 6 + 2.0 * (city == "Oslo") - 2.0 * (city == "Rome")
    label = np.where(z > 0, "yes", "no")
    rows = [
        [
            f"{1 + i}",
            "" if i % 17 == 0 else str(age[i]),
            str(income[i]),
            city[i],
            f"{1 + i % 7:03d}",
            f"2024-01-{1 + i % 28:02d}",
            f'note, "{i}"',
            label[i],
        ]
        for i in range(n)
    ]
    return rows, rng.random(n) < 0.15


@pytest.fixture
def tables(tmp_path, _rows):
    """train.csv (160 rows, 15 % flipped), val.csv (80) and pool.csv (60, no labels)."""
    rows, wrong = _rows
    head = ["id", "age", "income", "city", "code", "seen", "remark", "label"]
    other = {"yes": "no", "no": "yes"}
    dirty = [
        [*row[:-1], other[row[-1]] if flip else row[-1]]
        for row, flip in zip(rows, wrong, strict=True)
    ]
    write(tmp_path / "train.csv", [head, *dirty[:160]])
    write(tmp_path / "val.csv", [head, *rows[160:240]])
    write(tmp_path / "pool.csv", [head[:-1], *(row[:-1] for row in rows[240:])])
    return Tables(tmp_path, wrong[:160])


def write(path, rows, **options):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n", **options).writerows(rows)


def read(path, delimiter=","):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=delimiter))
