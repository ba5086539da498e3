"""What a table or figure has to say for itself, so that one runner makes them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = ("holds", "holds in part", "does not hold", "not testable here")

Settings = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Parameters
    ----------
    seeds : int
        Repetitions.
    quick : bool
        A small version, to see that it runs; its numbers say nothing.
    device : str
        Where networks are trained.
    """

    seeds: int
    quick: bool = False
    device: str = "cpu"


@dataclass(frozen=True)
class Claim:
    """A row of the reproduction table.

    Parameters
    ----------
    text : str
        What the paper says, with where it says so.
    paper : str
        Its number.
    ours : str
        Found in the paper's setting, with the unit and the error.
    converged : str
        Found with a converged model with an intercept, where there is one to compare.
    seeds : str
        Seeds or repetitions behind the numbers.
    verdict : str
        One of `VERDICTS`.
    note : str
        What a reader must know beside it: other data, smaller sizes, another reading.
    """

    text: str
    paper: str
    ours: str
    converged: str
    seeds: str
    verdict: str
    note: str = ""

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict={self.verdict!r} is none of {VERDICTS}.")


@dataclass(frozen=True)
class Experiment:
    """One table or figure.

    Parameters
    ----------
    name : str
        As in the paper: "table1".
    title : str
        One line.
    about : str
        What was done and where it departs from the paper, as paragraphs of Markdown.
    settings : callable
        ``settings(options) -> list of dicts``: all that a cell depends on, as plain numbers
        and strings. A cell is what is computed, or done again, as a whole.
    run : callable
        ``run(settings) -> list of dicts``: the rows that a cell adds to the results, plain
        numbers and strings. The same settings give the same rows. Columns whose name ends
        in ``_seconds`` are times, which are kept apart.
    draw : callable
        ``draw(frame, folder, seconds) -> list of paths``: pictures of the results.
        ``seconds`` has the columns of times beside those of the settings.
    claims : callable
        ``claims(frame, seconds) -> list of Claim``.
    tables : callable or None
        ``tables(frame, seconds) -> Markdown``: the numbers that are worth a table.
    seeds : int
        Repetitions unless the command line says otherwise.
    quick_seeds : int
        The same with ``--quick``.
    version : int
        Raised where a change of the code makes cells that are kept say something else.
    alone : bool
        Whether cells must run one at a time, because they measure times.
    """

    name: str
    title: str
    about: str
    settings: Callable[[Options], list[Settings]]
    run: Callable[[Settings], list[Row]]
    draw: Callable[[pd.DataFrame, Path, pd.DataFrame], list[Path]]
    claims: Callable[[pd.DataFrame, pd.DataFrame], list[Claim]]
    tables: Callable[[pd.DataFrame, pd.DataFrame], str] | None = None
    seeds: int = 5
    quick_seeds: int = 2
    version: int = 1
    alone: bool = False
