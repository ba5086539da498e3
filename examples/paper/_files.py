"""Files of the paper's data sets: found in a folder, or downloaded into it by pooch.

A file put into the folder by hand counts as much as one that was downloaded. No pickle is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Missing(FileNotFoundError):
    """A data set or model that is not there; what needs it is left out."""


class Remote(NamedTuple):
    """A file on the web: the name it gets here, where it is, and its checksum."""

    name: str
    url: str
    sha256: str


class Source(NamedTuple):
    """Files that hold a data set together, and the function that reads them."""

    names: tuple[str, ...]
    read: Callable[[Sequence[Path]], Any]


def data_folder() -> Path:
    """The folder that SKFI_DATA names, else pooch's cache."""
    given = os.environ.get("SKFI_DATA")
    return Path(given).expanduser() if given else Path(_pooch().os_cache("skfi"))


def obtain(
    dataset: str, sources: Sequence[Source], remotes: Sequence[Remote] = (), why_not: str = ""
) -> tuple[Any, list[Path]]:
    """Read the first source whose files are there, or download those of the first one."""
    folder = data_folder()
    for source in sources:
        paths = [folder / name for name in source.names]
        if all(path.is_file() for path in paths):
            try:
                return source.read(paths), paths
            except (ValueError, KeyError, EOFError) as error:
                names = ", ".join(map(str, paths))
                raise ValueError(f"{names} cannot be read: {error}") from error
    advice = (
        f"Put {' and '.join(sources[0].names)} into {folder}, or name the folder that holds "
        "them by the environment variable SKFI_DATA."
    )
    if not remotes:
        raise Missing(f"{dataset}: no file of it in {folder}. {why_not} {advice}")
    try:
        for remote in remotes:
            _pooch().retrieve(
                remote.url, f"sha256:{remote.sha256}", remote.name, folder, progressbar=False
            )
    except (OSError, ValueError) as error:
        raise Missing(f"{dataset} could not be downloaded: {error}. {advice}") from error
    return obtain(dataset, sources)


def _pooch():
    try:
        import pooch
    except ImportError as error:
        raise Missing(
            'Downloading data needs pooch: pip install ".[paper]", or name a folder that holds '
            "the files by the environment variable SKFI_DATA."
        ) from error
    return pooch
