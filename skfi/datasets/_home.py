"""Where data sets lie, and how they get there.

The paper's data sets come from six homes, with as many file formats, and two of them want an
account. So a file put into a folder by hand counts as much as one that is fetched, and what
is fetched appears under its name only when it is whole and is the file that was meant.
"""

from __future__ import annotations

import csv
import hashlib
import http.client
import os
import tarfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from numbers import Integral, Real
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from sklearn.datasets import get_data_home
from sklearn.utils._param_validation import Interval

from .._files import replacing

# What all fetchers take.
FETCHER = {
    "data_home": [str, os.PathLike, None],
    "download_if_missing": ["boolean"],
    "return_X_y": ["boolean"],
}
RETRIES = {
    "n_retries": [Interval(Integral, 0, None, closed="left")],
    "delay": [Interval(Real, 0, None, closed="left")],
}

_CHUNK = 1 << 20
_TIMEOUT = 60.0  # seconds without a byte, not for the whole file


class Remote(NamedTuple):
    """A file on the web: the name it gets here, where it is, and how to know it."""

    name: str
    url: str
    sha256: str


class Source(NamedTuple):
    """Files that hold a data set together, and the function that reads them."""

    names: tuple[str, ...]
    read: Callable[[Sequence[Path]], Any]


class DataFolder:
    """The folders in which one data set's files are looked for.

    Files lie in the folder itself or in its subfolder `dataset`. A folder that cannot be
    written to is only read; scikit-learn's data home then gets what is fetched.
    """

    def __init__(self, data_home: str | os.PathLike[str] | None, dataset: str) -> None:
        self.dataset = dataset
        given = data_home if data_home is not None else os.environ.get("SKFI_DATA")
        self.home = Path(given).expanduser() if given else self._spare()

    def find(self, names: Sequence[str], *, anywhere: bool = True) -> list[Path] | None:
        """The files of these names, or None where one is missing."""
        folders = [self.home / self.dataset, self.home]
        if anywhere and not _is_writable(self.home):
            folders.append(self._spare() / self.dataset)
        paths = []
        for name in names:
            there = [folder / name for folder in folders if (folder / name).is_file()]
            if not there:
                return None
            paths.append(there[0])
        return paths

    def path(self, name: str) -> Path:
        """Where a file of this name is written; its folder is made."""
        home = self.home if _is_writable(self.home) else self._spare()
        folder = home / self.dataset
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    @staticmethod
    def _spare() -> Path:
        return Path(get_data_home()) / "skfi"

    def advice(self, names: Sequence[str]) -> str:
        """How to do without the web."""
        return (
            f"Put {_listed(names)} into {self.home} (or its subfolder {self.dataset!r}), or "
            "name the folder that holds them by data_home or the environment variable "
            "SKFI_DATA."
        )


def obtain(
    folder: DataFolder,
    sources: Sequence[Source],
    remotes: Sequence[Remote] = (),
    *,
    why_not: str = "",
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> tuple[Any, list[Path]]:
    """Read the first source whose files are there, or fetch those of the first one.

    Without `remotes` nothing can be fetched, and `why_not` says why and where the files are.
    """
    # The data home is made when it is asked for; what the given folder has needs none.
    for anywhere in (False, True):
        for source in sources:
            paths = folder.find(source.names, anywhere=anywhere)
            if paths is not None:
                with naming(paths):
                    return source.read(paths), paths
    first = sources[0]
    if not remotes or not download_if_missing:
        reason = why_not if not remotes else "download_if_missing is False."
        raise FileNotFoundError(
            f"No file of {folder.dataset!r} in {folder.home}. {reason} "
            f"{folder.advice(first.names)}"
        )
    for remote in remotes:
        if folder.find([remote.name]) is None:
            told = folder.advice(first.names)
            path = folder.path(remote.name)
            download(remote, path, n_retries=n_retries, delay=delay, advice=told)
    return obtain(folder, sources, download_if_missing=False)


def download(
    remote: Remote, path: Path, *, n_retries: int = 3, delay: float = 1.0, advice: str = ""
) -> None:
    """Fetch a file; `path` appears only when its checksum is right."""
    for left in range(n_retries, -1, -1):
        try:
            with replacing(path, same=True) as file:
                _stream(remote, file)
            return
        except (OSError, http.client.HTTPException) as error:
            refused = False
            if isinstance(error, HTTPError):
                error.close()  # it is an open answer as well
                refused = 400 <= error.code < 500
            if left == 0 or refused or isinstance(error, _WrongFileError):
                raise OSError(f"Could not fetch {remote.url}: {error}. {advice}") from error
            warnings.warn(f"Retry downloading from url: {remote.url}", stacklevel=2)
            time.sleep(delay)


class _WrongFileError(OSError):
    """What arrived is whole, and not what was asked for; trying again does not help."""


def _stream(remote: Remote, file: IO[bytes]) -> None:
    digest, size = hashlib.sha256(), 0
    request = Request(remote.url, headers={"User-Agent": "skfi"})
    with urlopen(request, timeout=_TIMEOUT) as response:
        expected = response.headers.get("Content-Length")
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    if expected is not None and size < int(expected):
        raise OSError(f"the connection ended after {size} of {expected} bytes")
    if digest.hexdigest() != remote.sha256:
        raise _WrongFileError(
            f"{remote.name} has {size} bytes with SHA-256 {digest.hexdigest()}, not "
            f"{remote.sha256}. Nothing was kept. The file may have "
            "changed at its home, or something in between answered"
        )


@contextmanager
def naming(paths: Sequence[Path]) -> Iterator[None]:
    """Say of a file that cannot be read which one it is and what to do."""
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's own words: no permission, no such file
        named = _listed([str(path) for path in paths])
        raise ValueError(
            f"{named} cannot be read: {str(error) or type(error).__name__}. The file may be "
            "cut off or of another format; move it away, and put or fetch a whole one."
        ) from error


_BROKEN = (
    ValueError,
    KeyError,
    EOFError,
    OSError,
    csv.Error,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)


def describe(dataset: str, paths: Sequence[Path], *remarks: str) -> str:
    """Text about a data set, with what was read and what is to be kept in mind."""
    text = resources.files(__package__).joinpath("descr", f"{dataset}.rst").read_text("utf-8")
    read = f"**Read from** {_listed([path.name for path in paths])}."
    return "\n\n".join([text.rstrip(), read, *(remark for remark in remarks if remark)]) + "\n"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _is_writable(folder: Path) -> bool:
    """Whether files can be put there, or the folder can be made."""
    while not folder.exists():
        if folder == folder.parent:
            return False
        folder = folder.parent
    # The superuser may write anywhere; a folder without the bits is meant to be left alone.
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)
