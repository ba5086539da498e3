"""Results that survive a killed run: one file a cell, and tables made of them.

A cell's file is written whole or not at all, so that a run that was stopped goes on with the
cells that are missing and ends with the same table.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import uuid
from pathlib import Path

import pandas as pd

import skfi

from ._experiment import Experiment, Row, Settings

SECONDS = "_seconds"


def _release() -> str:
    """The version without what tells one development build from the next."""
    return re.sub(r"\.dev.*", ".dev0", skfi.__version__)


class Store:
    """The folder of one experiment's cells.

    Parameters
    ----------
    output : Path
        Where results, pictures and cells go.
    experiment : Experiment
        Whose cells they are.
    """

    def __init__(self, output: Path, experiment: Experiment):
        self.output, self.experiment = output, experiment
        self.folder = output / "cells" / experiment.name

    def _path(self, settings: Settings) -> Path:
        told = [self.experiment.name, self.experiment.version, _release(), settings]
        text = json.dumps(told, sort_keys=True, allow_nan=False)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"

    def has(self, settings: Settings) -> bool:
        """Whether the cell is done."""
        return self._path(settings).exists()

    def save(self, settings: Settings, rows: list[Row], seconds: float) -> None:
        """Keep a cell's rows, and how long it took."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {"settings": settings, "rows": rows, "seconds": seconds}
        write_whole(self._path(settings), json.dumps(kept))

    def _load(self, settings: Settings) -> dict:
        return json.loads(self._path(settings).read_text(encoding="utf-8"))

    def frame(self, cells: list[Settings]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Results and times of the cells, in their order: one line a row of a cell."""
        lines = []
        for settings in cells:
            lines += [settings | row for row in self._load(settings)["rows"]]
        return split_seconds(pd.DataFrame(lines))

    def write(self, cells: list[Settings], facts: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tables and facts of the run as files; returns results and times."""
        frame, seconds = self.frame(cells)
        facts = facts | {"cell_seconds": sum(self._load(cell)["seconds"] for cell in cells)}
        folder = self.output / "results"
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{self.experiment.name}.csv", _csv(frame))
        times = folder / f"{self.experiment.name}.seconds.csv"
        if len(seconds.columns):
            write_whole(times, _csv(seconds))
        write_whole(folder / f"{self.experiment.name}.json", json.dumps(facts, indent=1) + "\n")
        return read(self.output, self.experiment.name)


def split_seconds(lines: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results without times, and times with what they are times of."""
    is_time = lines.columns.str.endswith(SECONDS)
    frame = lines.loc[:, ~is_time]
    seconds = lines if is_time.any() else pd.DataFrame(index=lines.index)
    return frame, seconds


def read(output: Path, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results and times as `Store.write` left them; no times are an empty table."""
    folder = output / "results"
    frame = pd.read_csv(folder / f"{name}.csv")
    times = folder / f"{name}.seconds.csv"
    return frame, pd.read_csv(times) if times.exists() else pd.DataFrame(index=frame.index)


def _csv(frame: pd.DataFrame) -> str:
    text = io.StringIO()
    frame.to_csv(text, index=False, float_format="%.10g", lineterminator="\n")
    return text.getvalue()


def write_whole(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader sees the old one or the new one."""
    beside = path.with_name(f"{path.name}-{uuid.uuid4().hex}.tmp")
    try:
        with beside.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
