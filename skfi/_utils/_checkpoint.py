"""What a long labelling run leaves on disk, so that one that was killed can go on.

Everything is JSON, which reads back floats exactly, runs no code when it is read, and can be
read without this library: a person's labels must not be locked in. A file is written beside
its place and then moved there, so that at any moment there is a whole one.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
from pathlib import Path
from pickle import PicklingError
from types import NoneType
from typing import Any

import joblib
import numpy as np
from joblib.hashing import NumpyHasher
from scipy import sparse

from ._files import replacing

_FORMAT = 1


class Checkpoint:
    """A folder with the settings of a run, its records so far, and the answers given.

    Parameters
    ----------
    folder : path-like
        Created where it is missing.
    """

    def __init__(self, folder: Any) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def answers_path(self) -> Path:
        return self.folder / "answers.json"

    def open(self, settings: dict[str, dict[str, str]], seed: int, any_seed: bool) -> int:
        """Take the folder for these settings, or go on where they are the ones it has.

        Parameters
        ----------
        settings : dict of dicts
            Name -> "digest", which is compared, and "text", which is shown.
        seed : int
            The seed of a new run.
        any_seed : bool
            Whether the seed of a run that is there does as well.

        Returns
        -------
        seed : int
            The seed of the run.

        Raises
        ------
        ValueError
            The folder holds a run of other settings.
        """
        path = self.folder / "settings.json"
        found = read_json(path)
        if found is None:
            if self.answers_path.exists():
                raise ValueError(
                    f"checkpoint={str(self.folder)!r} holds answers.json but no settings.json. "
                    "Use another folder."
                )
            content = {"format": _FORMAT, "seed": seed, "settings": settings}
            write_json(path, content)
            return seed
        _check_shape(path, found, {"format": int})
        if found["format"] != _FORMAT:
            raise ValueError(f"{path} was written by another version of skfi.")
        _check_shape(path, found, {"seed": int, "settings": dict})
        held = found["settings"]
        for value in held.values():
            _check_shape(path, value, {"digest": str, "text": str})
        changed = {
            name: (held.get(name, {}).get("text"), setting["text"])
            for name, setting in settings.items()
            if held.get(name, {}).get("digest") != setting["digest"]
        }
        if found["seed"] != seed and not any_seed:
            changed["random_state"] = f"seed {found['seed']}", f"seed {seed}"
        if changed:
            told = "; ".join(
                f"{name} was {was} and is {now}"
                if was != now
                else f"{name} ({now}) has other contents"
                for name, (was, now) in changed.items()
            )
            kept = ""
            if self.answers_path.exists():
                kept = f" The labels given so far are in {self.answers_path}."
            raise ValueError(
                f"checkpoint={str(self.folder)!r} holds a run of other settings: {told}. "
                f"Use another folder, or the settings of that run.{kept}"
            )
        return found["seed"]

    def load(self, name: str, repeat: int, digest: str) -> list[dict[str, Any]]:
        """Records of the rounds of one curve that are done.

        Raises
        ------
        ValueError
            They are those of a strategy with other parameters.
        """
        found = read_json(self._curve_path(name, repeat))
        if found is None:
            return []
        path = self._curve_path(name, repeat)
        _check_shape(path, found, {"digest": str, "rounds": list})
        if found["digest"] != digest:
            raise ValueError(
                f"checkpoint={str(self.folder)!r} holds rounds of strategy {name!r} with other "
                "parameters. Give the strategy another name, or use another folder."
            )
        for record in found["rounds"]:
            _check_shape(path, record, _ROUND)
            rows = record["rows"] or []
            if not all(type(row) is int and row >= 0 for row in rows):
                raise _misshapen(path, f"rows are {rows[:5]}")
        return found["rounds"]

    def save(self, name: str, repeat: int, digest: str, rounds: list[dict[str, Any]]) -> None:
        """Keep the records of the rounds of one curve."""
        content = {"strategy": name, "repeat": repeat, "digest": digest, "rounds": rounds}
        write_json(self._curve_path(name, repeat), content)

    def load_answers(self) -> dict[int, Any]:
        """Labels given so far, by row."""
        found = read_json(self.answers_path)
        if found is None:
            return {}
        _check_shape(self.answers_path, found, {"rows": list, "labels": list, "sha256": str})
        rows, labels = found["rows"], found["labels"]
        # Rounds that are kept were queried with these labels.
        if found["sha256"] != _answers_digest(rows, labels):
            raise _misshapen(self.answers_path, "rows or labels are not those that were given")
        return dict(zip(rows, labels, strict=True))

    def save_answers(self, answers: dict[int, Any]) -> None:
        """Keep the labels given so far."""
        rows, labels = list(answers), list(answers.values())
        content = {"rows": rows, "labels": labels, "sha256": _answers_digest(rows, labels)}
        write_json(self.answers_path, content)

    def _curve_path(self, name: str, repeat: int) -> Path:
        # Names may differ in what file systems do not tell apart.
        short = re.sub(r"[^A-Za-z0-9]+", "_", name)[:40]
        code = hashlib.sha256(name.encode()).hexdigest()[:8]
        return self.folder / f"rounds-{short}-{code}-{repeat}.json"


# A round of a curve, as `skfi.queries._labelling.Round` keeps it.
_ROUND = {
    "score": (int, float, NoneType),
    "fit_seconds": (int, float),
    "query_seconds": (int, float, NoneType),
    "rows": (list, NoneType),
}


def _answers_digest(rows: list[int], labels: list[Any]) -> str:
    return hashlib.sha256(json.dumps([rows, labels]).encode()).hexdigest()


def _check_shape(path: Path, found: Any, types: dict[str, Any]) -> None:
    """Refuse JSON that is not of the form in which this library writes it."""
    if not isinstance(found, dict):
        raise _misshapen(path, f"it holds a {type(found).__name__} instead of an object")
    for name, kind in types.items():
        if name not in found:
            raise _misshapen(path, f"there is no {name!r} in it")
        if not isinstance(found[name], kind) or isinstance(found[name], bool):
            raise _misshapen(path, f"{name} is {found[name]!r}")


def _misshapen(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} was changed by hand: {why}. Restore or remove it.")


def read_json(path: Path) -> Any:
    """What a file holds; None where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"{path} is no JSON ({error}), so it was not written by this library. Restore or "
            "remove it."
        ) from error
    if content is None:  # stands for a file that is not there
        raise _misshapen(path, "it holds null")
    return content


def write_json(path: Path, content: Any) -> None:
    """Replace a file as a whole: a reader sees the old one or the new one."""
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", write_through=True)
        json.dump(content, text)
        text.detach()


class _Hasher(NumpyHasher):
    """joblib's, with torch's tensors by their numbers.

    Their pickles hold an address in memory, which is another in each process.
    """

    def save(self, obj: Any) -> None:
        if "torch" in sys.modules and isinstance(obj, sys.modules["torch"].Tensor):
            flat = obj.detach().cpu().contiguous().reshape(-1)
            numbers = flat.view(sys.modules["torch"].uint8).numpy()
            obj = (type(obj).__name__, str(obj.dtype), tuple(obj.shape), numbers)
        super().save(obj)


def digest(value: Any, name: str) -> str:
    """Hash of an estimator, a strategy, a scorer or a plain value by its contents.

    Raises
    ------
    TypeError
        It holds something without a name of its own, such as a lambda, so that nobody can
        tell whether it is the same in the next run.
    """
    try:
        return _Hasher(hash_name="md5").hash(value)
    except PicklingError as error:
        raise TypeError(
            f"With a checkpoint, {name} must hold nothing that cannot be told again in "
            "another run: use functions of a module instead of lambdas and functions "
            f"within functions ({error.args[0]})."
        ) from error


def setting(value: Any, name: str) -> dict[str, str]:
    """Digest and description of an argument."""
    value = value.item() if isinstance(value, np.generic) else value
    return {"digest": digest(value, name), "text": repr(value)}


def data_setting(data: Any) -> dict[str, str]:
    """Digest and description of rows or labels: type of the numbers, shape, and bytes.

    The order in memory and the container's private state do not count.
    """
    hashed = hashlib.sha256()
    if data is None:
        return {"digest": "", "text": "None"}
    if sparse.issparse(data):
        rows = sparse.csr_array(data)
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        parts: list[Any] = [rows.indptr.astype(np.int64), rows.indices.astype(np.int64)]
        parts.append(rows.data)
        text = f"sparse {rows.dtype} {rows.shape}"
    elif hasattr(data, "iloc") and hasattr(data, "columns"):  # pandas
        parts = [str([(str(name), str(kind)) for name, kind in data.dtypes.items()])]
        parts += [data.iloc[:, column].to_numpy() for column in range(data.shape[1])]
        text = f"DataFrame {data.shape}"
    elif hasattr(data, "dtype") or hasattr(data, "__array__"):
        parts = [np.asarray(data)]
        text = f"{parts[0].dtype} {parts[0].shape}"
    else:
        parts, text = [data], f"{type(data).__name__} of {len(data)}"
    hashed.update(text.encode())
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype != object:
            hashed.update(f"{part.dtype.str}{part.shape}".encode())
            hashed.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        else:
            part = part.tolist() if isinstance(part, np.ndarray) else part
            hashed.update(joblib.hash(part).encode())
    return {"digest": hashed.hexdigest(), "text": text}
