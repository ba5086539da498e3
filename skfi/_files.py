"""Files that are whole or not there: a run may be killed, and two may write at once."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


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
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
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
