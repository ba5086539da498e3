"""A file that only one run holds at a time; a run that was killed no longer holds it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO


class Lock:
    """An exclusive lock on a file beside what is written.

    Parameters
    ----------
    path : Path
        The lock's own file, removed on release.
    what : str
        What is being written, for the error.

    Raises
    ------
    RuntimeError
        Another run, thread or process holds the lock.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        while self._file is None:
            file = path.open("ab")
            try:
                _lock(file)
            except OSError as error:
                file.close()
                raise RuntimeError(
                    f"{what} is being written by another run. Wait for it, or pass another out."
                ) from error
            # The one before may have removed the file between opening and locking it.
            try:
                same = os.path.samestat(path.stat(), os.fstat(file.fileno()))
            except FileNotFoundError:
                same = False
            if same:
                self._file = file
            else:
                file.close()

    def release(self) -> None:
        """Give the lock up and remove its file; a second call does nothing."""
        if self._file is not None:
            if sys.platform != "win32":  # an open file cannot be removed there
                self.path.unlink(missing_ok=True)
            self._file.close()
            self._file = None
            if sys.platform == "win32":
                self.path.unlink(missing_ok=True)


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
