"""Runs that are killed, and go on: a script, whose children die of SIGKILL.

``python -m tests.outofcore.killed FOLDER`` prints, as JSON, what each kill left. Children are
forked, so that what is imported is imported once. They die at a line of the library's, drawn
by a seeded generator, or by their parent's hand after a time that is drawn as well.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from skfi._utils import _checkpoint, _files
from skfi.outofcore import ArrayRows, _journal, fi_util, fit_logistic, trim

N, D, BLOCK = 400, 4, 50
TRACED = (str(Path(_journal.__file__).parent), _files.__file__, _checkpoint.__file__)


def make(folder: Path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D))
    y = (X[:, 0] + rng.normal(size=N) > 0).astype(int)
    np.save(folder / "X.npy", X)
    rows = ArrayRows(np.load(folder / "X.npy", mmap_mode="r"), y, np.arange(N) % 3)
    rows._block_rows = lambda working_memory=None: BLOCK
    V = rng.normal(size=(50, D))
    return rows, V, (V[:, 0] > 0).astype(int)


def traced(call, at_line):
    """A call, with a function that is told each line of the library's before it is run."""

    def local(frame, event, arg):
        if event == "line":
            at_line(frame)
        return local

    def enter(frame, event, arg):
        return local if frame.f_code.co_filename.startswith(TRACED) else None

    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(None)


def lines(call) -> tuple[int, int]:
    """Lines until the first score is written, and lines in all."""
    count, first = 0, 0

    def at_line(frame):
        nonlocal count, first
        count += 1
        if not first and frame.f_code.co_name == "_score":
            first = count

    traced(call, at_line)
    return first, count


def child(call) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        call()
    except FileExistsError:
        os._exit(3)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def ended(pid: int) -> str:
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return {0: "done", 3: "exists"}.get(os.WEXITSTATUS(status), "failed")


def dies_at(call, line: int):
    def run():
        count = 0

        def at_line(frame):
            nonlocal count
            count += 1
            if count == line:
                os.kill(os.getpid(), signal.SIGKILL)

        traced(call, at_line)

    return run


def left(out: Path, expected: bytes) -> dict:
    beside = sorted(path.name for path in out.parent.iterdir())
    return {"same": out.read_bytes() == expected, "beside": beside}


def main(folder: Path) -> None:
    _journal.EVERY = 0.0  # an entry for each block
    rows, V, w = make(folder)
    model = fit_logistic(rows, class_weight="balanced")
    place = folder / "runs"
    place.mkdir()
    out = place / "scores.npy"

    def score():
        fi_util(model, rows, V, w, metric="mahalanobis", out=out)

    def trimmed():
        trim(rows, V, w, budget=20, out=out)

    def clear():
        for path in place.iterdir():
            path.unlink()

    rng = np.random.default_rng(0)
    results = []
    for name, call in (("score", score), ("trim", trimmed)):
        clear()
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
        expected = out.read_bytes()
        clear()
        first, last = lines(call)
        for part, low, high in (("before scores", 1, first), ("scores", first, last)):
            for _ in range(5 if name == "score" else 1):
                clear()
                line = int(rng.integers(low, high))
                ends = [ended(child(dies_at(call, line))), ended(child(call))]
                results.append({"run": name, "part": part, "ends": ends} | left(out, expected))
        # One run that is killed again and again.
        clear()
        ends = []
        low, high = (last // 6, last // 2) if name == "score" else (first, last)
        while (not ends or ends[-1] == "SIGKILL") and len(ends) < 50:
            ends.append(ended(child(dies_at(call, int(rng.integers(low, high))))))
        results.append({"run": name, "part": "again", "ends": ends} | left(out, expected))
        # By another process.
        for _ in range(3 if name == "score" else 1):
            clear()
            pid = child(call)
            time.sleep(float(rng.uniform(0, seconds)))
            os.kill(pid, signal.SIGKILL)
            ends = [ended(pid), ended(child(call))]
            results.append({"run": name, "part": "outside", "ends": ends} | left(out, expected))
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
