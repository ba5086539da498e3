"""Passes over a source of rows: what its blocks give, added up in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy

from .._utils._progress import Report, progress_bar
from ..passes._totals import Part, Totals
from ._journal import Journal
from ._source import Block, RowSource, named


class Passes:
    """The `reduce` that `make_scorer` and `fit_linear` take.

    Parameters
    ----------
    rows : RowSource
        The rows.
    size : int
        Rows of a block.
    frames : bool
        Whether columns keep their names.
    title : callable
        Number of a pass -> title of its bar.
    verbose : bool or int
        Whether tqdm shows it.
    journal : Journal, default=None
        Where sums are kept, so that a killed run can go on.
    """

    def __init__(
        self,
        rows: RowSource,
        size: int,
        frames: bool,
        title: Callable[[int], str],
        verbose: bool | int,
        journal: Journal | None = None,
    ) -> None:
        self._rows, self._size, self._frames = rows, size, frames
        self._title, self._verbose, self._journal = title, verbose, journal
        self._number = 0

    def __call__(self, part: Part) -> Totals:
        """One pass."""
        number, self._number = self._number, self._number + 1
        total, start, done = None, 0, False
        if self._journal is not None:
            total, start, done = self._journal.sums(number)
        if not done:
            total, start = self._sum(part, number, total, start)
        assert total is not None
        if self._journal is not None and not done:
            self._journal.keep_sums(number, total, start, True)
        # A penalty is added in place, and what is kept stays without.
        return total if self._journal is None else deepcopy(total)

    def _sum(
        self, part: Part, number: int, total: Totals | None, start: int
    ) -> tuple[Totals, int]:
        with progress_bar(self._rows.n_rows or 0, self._title(number), self._verbose) as report:
            for block in self.blocks(start, report):
                with named(block.where):
                    sums = part(block.X, block.y, block.sample_weight)
                total, start = sums if total is None else total + sums, block.stop
                if self._journal is not None:
                    self._journal.keep_sums(number, total, start, False)
        if total is None:
            raise ValueError("There are no rows.")
        return total, start

    def blocks(self, start: int, report: Report | None) -> Iterator[Block]:
        """Blocks from a row on; `report` is called with the end of each."""
        for block in self._rows._read(self._size, start, self._frames):
            yield block
            if report is not None:
                report(block.stop)
