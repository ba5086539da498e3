"""Progress of long computations, reported to a callback or a tqdm bar.

Work in parts (folds, each with a path of its own) is one bar, which counts the parts together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

Report = Callable[[float], None]
# (total, title) to a context that takes what is done.
Display = Callable[[float, str], AbstractContextManager[Report]]


class _Parts:
    """Counts parts of a whole, one after the other."""

    def __init__(self, report: Report | None) -> None:
        self._report = report  # None: a part does not report its own parts
        self._done = 0.0

    @contextmanager
    def part(self, total: float) -> Iterator[Report | None]:
        if self._report is None:
            yield None
            return
        report, before = self._report, self._done
        with _set(_PARTS, _Parts(None)):
            yield lambda done: report(before + done)
        self._done = before + total
        report(self._done)


# Both hold in this thread alone: a worker reports nothing, its caller reports for it.
_DISPLAY: ContextVar[Display | None] = ContextVar("display", default=None)
_PARTS: ContextVar[_Parts | None] = ContextVar("parts", default=None)


@contextmanager
def progress_bar(
    total: float, title: str, shown: bool | int, unit: str | None = " rows"
) -> Iterator[Report | None]:
    """A callback that takes how much is done, or None where nothing is shown.

    Parameters
    ----------
    total : float
        How much there is to do.
    title : str
        What is done.
    shown : bool or int
        Whether tqdm shows it. A display, or work that this is a part of, is called anyway.
    unit : str or None, default=" rows"
        Of the numbers; None leaves them out.
    """
    parts, display = _PARTS.get(), _DISPLAY.get()
    if total <= 0:
        yield None
    elif parts is not None:
        with parts.part(total) as report:
            yield report
    elif display is not None:
        with display(total, title) as report:
            yield report
    elif shown:
        with _tqdm(total, title, unit) as report:
            yield report
    else:
        yield None


@contextmanager
def parts_of(report: Report | None) -> Iterator[None]:
    """Count each bar that is opened meanwhile as the next part of this work."""
    with _set(_PARTS, None if report is None else _Parts(report)):
        yield


@contextmanager
def shown_by(display: Display) -> Iterator[None]:
    """Show progress on a display of the caller's own meanwhile, whatever `verbose`."""
    with _set(_DISPLAY, display):
        yield


@contextmanager
def _tqdm(total: float, title: str, unit: str | None) -> Iterator[Report | None]:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield None
        return
    form = None if unit else "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
    with tqdm(total=total, desc=title, unit=unit or "", bar_format=form, leave=False) as bar:

        def report(done: float) -> None:
            bar.update(done - bar.n)

        yield report


@contextmanager
def _set(variable: ContextVar[Any], value: object) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
