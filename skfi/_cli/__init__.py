"""The command ``skfi``: trimming a table, and asking for rows, without writing Python.

Nothing here is imported by the library itself, so that pandas is needed by the commands alone.
"""

from ._main import main

__all__ = ["main"]
