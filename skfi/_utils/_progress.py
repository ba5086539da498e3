"""How far long work is: told to whoever shows it, or to a bar of tqdm's where one is asked for.

Work that consists of parts (the folds of a choice, each with a path of its own) is one bar:
its parts tell how far they are as they would alone, and it counts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

Told = Callable[[float], None]
# (total, title) to a context that takes what is done.
Display = Callable[[float, str], AbstractContextManager[Told]]


class _Parts:
    """Counts parts of a whole, one after the other."""

    def __init__(self, told: Told | None):
        self._told = told  # None: what is inside a part is not told
        self._done = 0.0

    @contextmanager
    def part(self, total: float) -> Iterator[Told | None]:
        if self._told is None:
            yield None
            return
        told, before = self._told, self._done
        with _set(_PARTS, _Parts(None)):
            yield lambda done: told(before + done)
        self._done = before + total
        told(self._done)


# Both hold in this thread alone: a worker tells nothing, its caller tells when it is done.
_DISPLAY: ContextVar[Display | None] = ContextVar("display", default=None)
_PARTS: ContextVar[_Parts | None] = ContextVar("parts", default=None)


@contextmanager
def progress_bar(
    total: float, title: str, shown, unit: str | None = " rows"
) -> Iterator[Told | None]:
    """A function to be told how much is done, or None where nothing is shown.

    Parameters
    ----------
    total : float
        How much there is to do.
    title : str
        What is done.
    shown : bool or int
        Whether tqdm shows it. A display, or a whole that this is a part of, is told anyway.
    unit : str or None, default=" rows"
        Of the numbers; None leaves them out.
    """
    parts, display = _PARTS.get(), _DISPLAY.get()
    if total <= 0:
        yield None
    elif parts is not None:
        with parts.part(total) as told:
            yield told
    elif display is not None:
        with display(total, title) as told:
            yield told
    elif shown:
        with _tqdm(total, title, unit) as told:
            yield told
    else:
        yield None


@contextmanager
def parts_of(told: Told | None) -> Iterator[None]:
    """Let each bar that is asked for meanwhile count as the next part of this work."""
    with _set(_PARTS, None if told is None else _Parts(told)):
        yield


@contextmanager
def shown_by(display: Display) -> Iterator[None]:
    """Let a display of the caller's own show what is done meanwhile, whatever `verbose`."""
    with _set(_DISPLAY, display):
        yield


@contextmanager
def _tqdm(total: float, title: str, unit: str | None) -> Iterator[Told | None]:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield None
        return
    form = None if unit else "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
    with tqdm(total=total, desc=title, unit=unit or "", bar_format=form, leave=False) as bar:

        def told(done: float) -> None:
            bar.update(done - bar.n)

        yield told


@contextmanager
def _set(variable: ContextVar, value) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
