"""What lies beside scores that are being written, so that a killed run can go on.

Scores go to ``out.part``, which becomes ``out`` when it is complete. Beside it,
``out.progress.json`` says what is being computed, how far it is and the checksum of the scores
so far, and ``out.progress.npz`` holds the sums of the passes before the scores. Each of them is
whole at any moment, and none holds anything that is run when it is read. ``out.lock`` belongs
to the run that is writing.
"""

from __future__ import annotations

import errno
import os
import time
import uuid
import zipfile
import zlib
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from .._utils._checkpoint import read_json, write_json
from .._utils._files import part_stem, replacing
from .._utils._locks import Lock
from ..linear._blocks import BlockHessian
from ..linear._covariance import Moments
from ..linear._operators import CurvatureSum
from ..passes._totals import Totals

_FORMAT = 2
# Seconds between two entries: a killed run repeats so much.
EVERY = 5.0

Sums = tuple[Totals | None, int, bool]  # over rows so far, the next row, whether all are in


class Journal:
    """The files beside `out`.

    Parameters
    ----------
    out : path-like
        Where the scores go.
    settings : dict of dicts
        Name -> digest and text of all that the scores depend on.
    size : int
        Rows of a block, of a new run; one that goes on has that of its start.
    overwrite : bool
        Whether what is there may be replaced.
    """

    def __init__(
        self, out: Any, settings: dict[str, dict[str, str]], size: int, overwrite: bool
    ) -> None:
        self.out = Path(out)
        if not self.out.parent.is_dir():
            raise FileNotFoundError(f"out={str(out)!r}: there is no folder {self.out.parent}.")
        self._json, self._npz, self._part = (
            self.out.with_name(self.out.name + end)
            for end in (".progress.json", ".progress.npz", ".part")
        )
        self._sums: dict[int, Sums] = {}
        self._written = time.monotonic()
        self._scores: np.memmap | None = None
        self._lock = Lock(self.out.with_name(self.out.name + ".lock"), str(self.out))
        try:
            self._open(settings, size, overwrite)
        except BaseException:
            self.release()
            raise

    def _open(self, settings: dict[str, dict[str, str]], size: int, overwrite: bool) -> None:
        """Go on with the run that is there, or begin one."""
        state = read_json(self._json)
        changed = None if state is None else _changes(state, settings)
        if state is not None and not changed:
            self._state = state
            self._check_state()
            self._sums = self._load_sums()
            return
        if not overwrite and changed:
            raise ValueError(
                f"{self._json} is of a run that was cut off and had other settings: {changed}. "
                "Pass what it had to go on with it, another out, or overwrite=True to begin "
                "again."
            )
        if not overwrite and self.out.exists():
            raise FileExistsError(
                f'{self.out} exists. Load it by np.load(path, mmap_mode="r"), or pass another '
                "out, or overwrite=True to compute it again."
            )
        self._state = {
            "format": _FORMAT,
            "run": uuid.uuid4().hex,
            "settings": settings,
            "block_rows": size,
            "n_rows": None,
            "next_row": None,
            "crc32": 0,
        }
        write_json(self._json, self._state)

    @property
    def size(self) -> int:
        """Rows of a block."""
        return self._state["block_rows"]

    @property
    def next_row(self) -> int:
        """First row without a score that is sure to be there."""
        return self._state["next_row"] or 0

    @property
    def complete(self) -> bool:
        """Whether all scores are in place."""
        done = self._state["n_rows"] is not None and self.next_row == self._state["n_rows"]
        if not done or self._part.exists() or not self.out.exists():
            return False
        self._checked(self.out, self._state["n_rows"])
        return True

    def sums(self, number: int) -> Sums:
        """What is known of a pass."""
        return self._sums.get(number, (None, 0, False))

    def keep_sums(self, number: int, total: Totals, next_row: int, done: bool) -> None:
        """Take down how far a pass is; written when it is time."""
        self._sums[number] = total, next_row, done
        if not (done or self._due()):
            return
        arrays: dict[str, Any] = {"run": self._state["run"], "numbers": list(self._sums)}
        for key, (sums, row, complete) in self._sums.items():
            assert sums is not None
            arrays[f"{key}.place"] = [row, complete]
            arrays |= {f"{key}.{name}": value for name, value in _to_arrays(sums).items()}
        with replacing(self._npz) as file:
            np.savez(file, **arrays)

    def scores(self, n_rows: int) -> np.memmap:
        """The scores as a map to be written to."""
        if self._state["next_row"] is None or not self._part.exists():
            scores = _create(self._part, n_rows)
            self._state |= {"n_rows": n_rows, "next_row": 0}
            write_json(self._json, self._state)
        else:
            scores = self._checked(self._part, n_rows)
        self._scores = scores
        return scores

    def keep_scores(self, next_row: int) -> None:
        """Take down how far the scores are; written when it is time."""
        if next_row == self._state["n_rows"] or self._due():
            assert self._scores is not None
            self._scores.flush()
            written = self._scores[self.next_row : next_row]
            self._state["crc32"] = zlib.crc32(written.data, self._state["crc32"])
            self._state["next_row"] = next_row
            write_json(self._json, self._state)

    def place(self) -> None:
        """Put complete scores in their place."""
        self._scores = None  # an open map cannot be moved everywhere
        os.replace(self._part, self.out)

    def read(self) -> np.ndarray:
        """Scores that are in their place, as a read-only map."""
        return np.load(self.out, mmap_mode="r")

    def clear(self) -> None:
        """Remove what is beside the scores."""
        self._scores = None
        # What a writer was killed over is beside them as well.
        cut_off = [
            path
            for own in (self._json, self._npz)
            for path in own.parent.glob(f".{escape(part_stem(own))}.*.part")
        ]
        for path in (*cut_off, self._npz, self._part, self._json):
            path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let another run write; what is beside the scores stays for it."""
        self._scores = None
        self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """What is beside the scores is removed only where all went well."""
        if kind is None:
            self.clear()
        else:
            self.release()

    def forget(self) -> None:
        """Keep nothing of what was computed so far."""
        self._sums, self._state["next_row"] = {}, None

    def abandon(self) -> None:
        """End a run after an error: nothing is left of one that had kept nothing yet."""
        if self._sums or self.next_row:
            self.release()
        else:
            self.clear()

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._written < EVERY:
            return False
        self._written = now
        return True

    def _check_state(self) -> None:
        """Refuse a state that this library did not write."""
        state = self._state
        whole = {"block_rows": False, "n_rows": True, "next_row": True, "crc32": False}
        for name, optional in whole.items():
            value = state.get(name)
            if (value is None and optional) or (type(value) is int and value >= 0):
                continue
            raise self._spoilt(self._json, f"{name} is {value!r}")
        if not isinstance(state.get("run"), str) or (state["n_rows"] or 0) < self.next_row:
            raise self._spoilt(self._json, "it is not as this library writes it")

    def _checked(self, path: Path, n_rows: int) -> np.memmap:
        """The scores so far, which must be those that were written."""
        try:
            # A map would fill up a file that was cut off.
            with path.open("rb") as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError("it has another version of the format")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                length = file.tell() + 8 * n_rows
        except ValueError as error:
            raise self._spoilt(path, str(error)) from error
        if shape != (n_rows,) or dtype != np.float64 or path.stat().st_size != length:
            raise self._spoilt(path, f"it does not have {n_rows:,} scores")
        scores = np.lib.format.open_memmap(path, mode="r+")
        if zlib.crc32(scores[: self.next_row].data) != self._state["crc32"]:
            raise self._spoilt(path, "its scores are not those that were written")
        return scores

    def _spoilt(self, path: Path, why: str) -> ValueError:
        return ValueError(
            f"{path} was changed since it was written: {why}. Remove {self._json} and call "
            "again with overwrite=True, which computes the scores again."
        )

    def _load_sums(self) -> dict[int, Sums]:
        if not self._npz.exists():
            return {}
        try:
            with self._npz.open("rb") as opened, np.load(opened) as file:
                arrays = dict(file)
        except (ValueError, zipfile.BadZipFile, EOFError) as error:
            raise ValueError(
                f"{self._npz} cannot be read ({error}), so it was not written by this library. "
                "Remove it to compute the sums again."
            ) from error
        if str(arrays.get("run")) != self._state["run"]:
            return {}
        sums: dict[int, Sums] = {}
        for number in arrays["numbers"].tolist():
            prefix = f"{number}."
            own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            row, complete = own["place"].tolist()
            sums[number] = _from_arrays(own), row, bool(complete)
        return sums


def _changes(state: Any, settings: dict[str, dict[str, str]]) -> str:
    """What another run had, in words; empty where it was this one."""
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        return "it was written by another version of skfi"
    held = state["settings"]
    changes = []
    for name in sorted(held.keys() | settings.keys()):
        was, now = held.get(name, {}), settings.get(name, {})
        if was.get("digest") != now.get("digest"):
            same = was.get("text") == now.get("text")
            changes.append(
                f"{name} ({now.get('text')}) has other contents"
                if same
                else f"{name} was {was.get('text')} and is {now.get('text')}"
            )
    return "; ".join(changes)


def _create(path: Path, n_rows: int) -> np.memmap:
    scores = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(n_rows,))
    if hasattr(os, "posix_fallocate"):
        # On a full disk a map would end the process without a word.
        try:
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            # Not every file system can say; what cannot is taken at its word.
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                del scores
                path.unlink()
                raise
    return scores


def _to_arrays(total: Totals) -> dict[str, Any]:
    arrays: dict[str, Any] = {"n_rows": total.n_rows, "weight": total.weight}
    if total.class_mass is not None:
        arrays["class_mass"] = total.class_mass
    if total.curvature is not None:
        arrays |= {key: getattr(total.curvature, key) for key in ("loss", "gradient")}
        assert isinstance(total.curvature.hessian, BlockHessian)  # passes have exact ones
        arrays["hessian"] = total.curvature.hessian.blocks
    if total.moments is not None:
        arrays["moments_weight"] = total.moments.weight
        arrays |= {key: getattr(total.moments, key) for key in ("mean", "scatter")}
    return arrays


def _from_arrays(arrays: dict[str, np.ndarray]) -> Totals:
    total = Totals(int(arrays["n_rows"]), float(arrays["weight"]))
    total.class_mass = arrays.get("class_mass")
    if "loss" in arrays:
        total.curvature = CurvatureSum(
            float(arrays["loss"]), arrays["gradient"], BlockHessian(arrays["hessian"])
        )
    if "mean" in arrays:
        weight = float(arrays["moments_weight"])
        total.moments = Moments(weight, arrays["mean"], arrays["scatter"])
    return total
