"""Files that are whole or not there: a run may be killed, and two may write at once."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LONGEST = 200  # bytes of a name that a longer one can be made of; file systems take 255


def part_stem(path: Path) -> str:
    """What names of temporary files of a path begin with."""
    name = os.fsencode(path.name)
    return path.name if len(name) <= _LONGEST else hashlib.sha256(name).hexdigest()


@contextmanager
def replacing(path: Path, *, same: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes the place of `path` once it is complete.

    Each writer has a temporary file of its own beside `path`, so that two processes may
    write at once; what is under `path` is always one writer's whole file.

    Parameters
    ----------
    path : Path
        The file.
    same : bool, default=False
        Every writer writes the same content: one that cannot be replaced, as another process
        reads it (Windows), will do.
    """
    part = path.with_name(f".{part_stem(path)}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            os.replace(part, path)
        except PermissionError:
            if not same or not path.exists():
                raise
            part.unlink()
    except BaseException:
        part.unlink(missing_ok=True)
        raise
