"""Files are replaced as a whole, whatever happens on the way."""

from __future__ import annotations

import pytest

from skfi._utils import _files
from skfi._utils._files import replacing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_interrupted_writing_leaves_what_was_there(tmp_path):
    path = tmp_path / "array.npz"
    path.write_bytes(b"old")

    def interrupted():
        with replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == ["array.npz"]
    assert path.read_bytes() == b"old"


def test_two_writers_at_once(tmp_path):
    path = tmp_path / "array.npz"
    with replacing(path) as first:
        first.write(b"fir")
        with replacing(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        first.write(b"st")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["array.npz"]


def test_a_file_in_use_elsewhere(tmp_path, monkeypatch):
    path = tmp_path / "array.npz"

    def refuse(*_):
        raise PermissionError("in use")

    monkeypatch.setattr(_files.os, "replace", refuse)
    with pytest.raises(PermissionError), replacing(path, same=True) as file:
        file.write(b"new")
    path.write_bytes(b"whole")
    with pytest.raises(PermissionError), replacing(path) as file:
        file.write(b"other")
    with replacing(path, same=True) as file:
        file.write(b"whole")
    assert names(tmp_path) == ["array.npz"]
    assert path.read_bytes() == b"whole"
