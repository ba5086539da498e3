"""Reading image files byte by byte: idx, CIFAR's records, and archives of either.

None of these formats can carry code. CIFAR-10 also comes as a Python pickle, which can, and
is not read. Members of archives are read by name and never unpacked to disk.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_RECORD = 1 + 3 * 32 * 32  # bytes: the class, then red, green and blue planes
CIFAR_BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")


def parse_idx(content: bytes, what: str) -> np.ndarray:
    """Unsigned bytes in the shape that an idx file's head tells."""
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except EOFError as error:
            raise ValueError(f"{what} is cut off") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"{what} is not an idx file of unsigned bytes")
    n_axes = content[3]
    start = 4 + 4 * n_axes
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    size = int(np.prod(shape, dtype=np.int64))
    if len(shape) < n_axes or len(content) != start + size:
        raise ValueError(f"{what} has {len(content)} bytes, its head says {start + size}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_idx(paths: Sequence[Path]) -> list[np.ndarray]:
    """Arrays of idx files, gzipped or not."""
    return [parse_idx(path.read_bytes(), path.name) for path in paths]


def read_idx_zip(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of idx files in a zip archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name.rpartition("/")[2]: name for name in archive.namelist()}
        missing = [name for name in names if name not in members]
        if missing:
            raise ValueError(f"the archive has no {missing[0]}")
        return [parse_idx(archive.read(members[name]), name) for name in names]


def parse_cifar(content: bytes, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Images of shape (n, 32, 32, 3) and classes of one of CIFAR-10's binary batches."""
    if not content or len(content) % _RECORD:
        raise ValueError(f"{what} has {len(content)} bytes, no multiple of {_RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1), records[:, 0]


def read_cifar(paths: Sequence[Path]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches that lie unpacked."""
    return [parse_cifar(path.read_bytes(), path.name) for path in paths]


def read_cifar_tar(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches in CIFAR-10's archive, in the order of their names."""
    found: dict[str, bytes] = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            name = member.name.rpartition("/")[2]
            if name in CIFAR_BATCHES and member.isfile():
                file = archive.extractfile(member)
                assert file is not None  # of regular files only
                found[name] = file.read()
    missing = [name for name in CIFAR_BATCHES if name not in found]
    if missing:
        raise ValueError(f"the archive has no {missing[0]}")
    return [parse_cifar(found[name], name) for name in CIFAR_BATCHES]


def read_npz(path: Path, *names: str) -> list[np.ndarray]:
    """Arrays of an npz file by name, upper or lower case, never pickled ones."""
    # From memory: a broken archive would stay open if NumPy opened it.
    content = path.read_bytes()
    if not content.startswith(b"PK"):
        raise ValueError("it is no npz file")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        stored = {name.lower(): name for name in arrays.files}
        missing = [name for name in names if name.lower() not in stored]
        if missing:
            raise ValueError(f"there is no array {missing[0]!r} in it")
        return [arrays[stored[name.lower()]] for name in names]
