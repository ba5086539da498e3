"""What is being done right now, on a terminal: a spinner, the time, a bar of what has an end.

rich draws it on stderr, in another thread, so that the time goes on while a fit takes long. It
is gone when the work is done or has failed, and nothing of it reaches stdout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from .._utils._progress import Report, shown_by
from ._console import shown

_BAR = 30  # signs
_WINDOW = 3600  # seconds whose pace tells the time that is left: single steps may take minutes


class Screen:
    """The last line of a terminal that stderr is."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, force_jupyter=False)

    @property
    def usable(self) -> bool:
        """Whether the terminal can take a line back."""
        return self._console.is_terminal and self._console.is_interactive

    @contextmanager
    def working(self, text: str, bars: tuple[str, ...]) -> Iterator[None]:
        """Show that something is done, and the library's bars, named one after the other."""
        unicode = self._console.encoding.startswith("utf")
        columns = (
            SpinnerColumn("dots" if unicode else "line"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=_BAR),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            _TimeLeft(table_column=Column(no_wrap=True)),
        )
        progress = Progress(
            *columns,
            console=self._console,
            transient=True,
            redirect_stdout=False,  # it would go to stderr
            speed_estimate_period=_WINDOW,
        )
        text = shown(text, max(10, self._console.width - _BAR - 30))
        task = progress.add_task(text, total=None)
        names = iter(bars)

        @contextmanager
        def display(total: float, _: str) -> Iterator[Report]:
            progress.reset(task, total=total, description=next(names, text))
            yield lambda done: progress.update(task, completed=min(done, total))

        with progress, shown_by(display):
            yield


class _TimeLeft(TimeRemainingColumn):
    """``0:01:20 left``, once there is a pace."""

    max_refresh = 0.5

    def render(self, task) -> Text:
        if task.total is None or task.time_remaining is None or task.finished:
            return Text("")
        return Text.assemble(super().render(task), " left")
