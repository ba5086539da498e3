"""Examples in docstrings may draw: those need matplotlib, and leave no figure open."""

from __future__ import annotations

import importlib.util
import sys

import pytest

HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
collect_ignore_glob = [] if HAS_MATPLOTLIB else ["skfi/inspection/*.py"]


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
