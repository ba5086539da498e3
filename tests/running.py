"""Other processes that tests run, and what these print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.data import ROOT

# Warnings are errors here as in all tests; torch deprecates parts of itself. Python compares
# the message with the text itself, where pytest takes it for a pattern.
STRICT = ("-W", "error", "-W", "ignore:`torch.jit:DeprecationWarning")
_SERVER = """
import contextlib, importlib, json, os, sys, traceback, warnings
for name in ("pandas", "matplotlib.pyplot", "sklearn.datasets", "sklearn.ensemble",
             "sklearn.linear_model", "sklearn.model_selection", "sklearn.pipeline", "skfi"):
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(name)
for line in sys.stdin:
    code, folder, streams = json.loads(line)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forks of processes with threads
        child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    status = 0
    try:
        for number, name in enumerate(("in", "out", "err")):
            mode = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
            os.dup2(os.open(os.path.join(streams, name), mode), number)
        os.chdir(folder)
        sys.stdin = open(0, closefd=False)
        exec(compile(code, "<code>", "exec"), sys.modules["__main__"].__dict__)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
"""


def output(*command: str | Path, cwd: Path = ROOT, env: dict | None = None) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {"MPLBACKEND": "Agg"} if env is None else env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(code: str, *flags: str, **options) -> str:
    """What code prints in a new interpreter."""
    return output(sys.executable, *flags, "-c", code, **options)


class Forks:
    """Runs code in forks of one interpreter, which has imported what most code needs.

    Each fork begins where a new interpreter would be after these imports.
    """

    def __init__(self, *command: str | Path, env: dict | None = None):
        self._command = [*map(str, command), "-c", _SERVER]
        self._env = os.environ | {"MPLBACKEND": "Agg"} if env is None else env
        self._server = None

    def run(self, code: str, cwd: Path, stdin: str = "") -> str:
        """What code prints in a folder; it must succeed."""
        if self._server is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self._server = subprocess.Popen(self._command, cwd=ROOT, env=self._env, **pipes)
        with tempfile.TemporaryDirectory() as streams:
            Path(streams, "in").write_text(stdin)
            print(json.dumps([code, str(cwd), streams]), file=self._server.stdin, flush=True)
            status = self._server.stdout.readline().strip()
            assert status == "0", f"{status}: {Path(streams, 'err').read_text()}"
            return Path(streams, "out").read_text()

    def close(self) -> None:
        """End the interpreter."""
        if self._server is not None:
            self._server.communicate()
