"""Files a command writes: refused before any work, put in place only when all are whole."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ._console import CommandError, shown


class Outputs:
    """Where results go, by the option that named the place.

    Parameters
    ----------
    named : dict of str to (str or None)
        Option to path; None where the option was not given.
    inputs : list of str
        Files that are read, which no output may take the place of.
    force : bool
        Whether files that exist may be replaced.

    Raises
    ------
    CommandError
        A place that cannot be written to, that exists, or that is used twice.
    """

    def __init__(self, named: dict[str, str | None], inputs: list[str], force: bool):
        self._force = force
        self._given = {option: path for option, path in named.items() if path is not None}
        # A link is followed, as it is when a file is opened for writing.
        self._targets = {option: Path(path).resolve() for option, path in self._given.items()}
        before: dict[str, Path] = {}
        for option, target in self._targets.items():
            try:
                target.lstat()
            except FileNotFoundError:
                pass
            except OSError as problem:  # a name that is too long, a folder that is a file
                raise CommandError(
                    f"{option} {shown(self._given[option], 200)} cannot be written: "
                    f"{problem.strerror}."
                ) from None
            for path in inputs:
                if same_file(target, path):
                    raise CommandError(
                        f"{option} {shown(path, 200)} is a file that is read. Input files are "
                        "never changed; give another path."
                    )
            for other, earlier in before.items():
                if same_file(target, earlier):
                    raise CommandError(
                        f"{other} and {option} are the same file; give them different paths."
                    )
            before[option] = target
            self._check_place(option, target)

    def __contains__(self, option: str) -> bool:
        return option in self._given

    def as_given(self) -> dict[str, str]:
        """Option without dashes to the path, as the user wrote it."""
        return {option.lstrip("-"): path for option, path in self._given.items()}

    @contextmanager
    def written(self) -> Iterator[dict[str, Path]]:
        """Temporary paths beside the targets, which take their places at the end.

        If anything fails before, nothing is replaced and no temporary file is left.
        """
        parts = {
            option: target.with_name(f".{uuid.uuid4().hex}.part")
            for option, target in self._targets.items()
        }
        try:
            yield parts
            for option, part in parts.items():
                with part.open("rb+") as file:
                    os.fsync(file.fileno())
                self._check_place(option, self._targets[option])  # it may have come up since
            for option, part in parts.items():
                target = self._targets[option]
                if target.exists():
                    shutil.copymode(target, part)
                os.replace(part, target)
        except OSError as problem:
            raise CommandError(f"Could not write: {problem}") from problem
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)

    def _check_place(self, option: str, target: Path) -> None:
        named = f"{option} {shown(self._given[option], 200)}"
        if target.is_dir():
            raise CommandError(f"{named} is a directory; give the path of a file.")
        if target.exists() and not target.is_file():
            raise CommandError(f"{named} is no regular file; give another path.")
        if not target.parent.is_dir():
            raise CommandError(f"{named}: there is no directory {shown(target.parent, 200)}.")
        probe = target.with_name(f".{uuid.uuid4().hex}.part")
        try:
            probe.touch(exist_ok=False)
            probe.unlink()
        except OSError as problem:
            raise CommandError(
                f"{named}: the directory {shown(target.parent, 200)} cannot be written to: "
                f"{problem.strerror}."
            ) from None
        if target.exists() and not self._force:
            raise CommandError(f"{named} exists. Give another path, or --force to replace it.")


def same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to one file, which need not exist."""
    one, other = Path(one).resolve(), Path(other).resolve()
    if one == other:
        return True
    return one.exists() and other.exists() and os.path.samefile(one, other)
