"""Ignore, raise or record warnings in the calling thread only.

`warnings.catch_warnings` replaces the filters and the printing of warnings for the whole
process. Where threads overlap, the last one restores what another one set, and every later
warning is lost. The scopes here act on the calling thread (context) only, and each of them
removes what it has added.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any


class _Message:
    """The message of a filter, which matches in the context that asked for it only."""

    def __init__(self, start: str) -> None:
        self._regex = re.compile(start, re.IGNORECASE)
        self.pattern = start  # scikit-learn makes a plain filter of it for its workers

    def match(self, text: str) -> bool:
        return self in _filtered.get() and self._regex.match(text) is not None

    def __reduce__(self) -> Any:
        return re.compile, (self.pattern, re.IGNORECASE)


_filtered: ContextVar[tuple[_Message, ...]] = ContextVar("filtered", default=())


def ignored(
    category: type[Warning] = Warning, message: str = ""
) -> AbstractContextManager[None]:
    """Ignore warnings of a category whose text starts with a regular expression."""
    return _filter("ignore", category, message)


def raised(
    category: type[Warning] = Warning, message: str = ""
) -> AbstractContextManager[None]:
    """Raise warnings of a category whose text starts with a regular expression."""
    return _filter("error", category, message)


@contextmanager
def _filter(action: str, category: type[Warning], message: str) -> Iterator[None]:
    here = _Message(message)
    entry = (action, here, category, None, 0)
    filters: Any = warnings.filters  # extended in place: others hold this list, and copies
    token = _filtered.set((*_filtered.get(), here))
    try:
        filters.insert(0, entry)
        yield
    finally:
        _filtered.reset(token)
        current: Any = warnings.filters
        for some in (filters, current):
            if entry in some:
                some.remove(entry)


class _Printer:
    """`warnings.showwarning` while somebody records; others' warnings are shown as before."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.users = 0
        self.before: Any = None

    def __call__(
        self,
        message: Any,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: Any = None,
    ) -> None:
        log = _log.get()
        if log is None:
            self.before(message, category, filename, lineno, file, line)
            if not self.users:  # some other code has put this back after the last user
                self._restore()
        else:
            log.append(warnings.WarningMessage(message, category, filename, lineno))

    def enter(self) -> None:
        with self.lock:
            self.users += 1
            if warnings.showwarning is not self:
                self.before, warnings.showwarning = warnings.showwarning, self

    def leave(self) -> None:
        with self.lock:
            self.users -= 1
            if not self.users:
                self._restore()

    def _restore(self) -> None:
        if warnings.showwarning is self:
            warnings.showwarning = self.before


_log: ContextVar[list[warnings.WarningMessage] | None] = ContextVar("log", default=None)
_printer = _Printer()


@contextmanager
def recorded() -> Iterator[list[warnings.WarningMessage]]:
    """Record the warnings that would be shown, instead of showing them."""
    log: list[warnings.WarningMessage] = []
    token = _log.set(log)
    _printer.enter()
    try:
        yield log
    finally:
        _printer.leave()
        _log.reset(token)
