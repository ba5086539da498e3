"""Ctrl-C while the modules of the command load ends it with one line, not a traceback.

Python imports the package before any code of the command runs, so this module is the first
that the package imports. In all other programs it changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any

CODE, LINE = 130, "skfi: error: interrupted."


def _is_the_command() -> bool:
    program = (getattr(sys, "argv", None) or [""])[0]
    if program == "-m":  # python -m is still looking for the module
        words = sys.orig_argv
        return "-mskfi" in words or "skfi" in words[words.index("-m") + 1 :][:1]
    return os.path.splitext(os.path.basename(program))[0] == "skfi"


def _end(*_: Any) -> None:
    os.write(2, f"{LINE}\n".encode())
    os._exit(CODE)


def raise_again() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` again, as files may have to be removed."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if _is_the_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    with contextlib.suppress(ValueError):  # not the main thread, so not the command
        signal.signal(signal.SIGINT, _end)
