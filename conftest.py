"""Examples in docstrings need what they draw or train with, and leave no figure open."""

from __future__ import annotations

import importlib.util
import sys

import pytest

NEEDED = {
    "dask": ["skfi/integrations/dask.py", "skfi/integrations/_dask_*.py"],
    "matplotlib": ["skfi/inspection/*.py", "skfi/report/*.py"],
    "pyarrow": ["skfi/outofcore/_parquet.py"],
    "rich": ["skfi/_cli/_screen.py"],
    "skactiveml": [
        "skfi/integrations/skactiveml.py",
        "skfi/integrations/_foreign_strategy.py",
    ],
    "torch": [
        "skfi/bridge/_skorch.py",
        "skfi/bridge/_torch*.py",
        "skfi/network/*.py",
        "skfi/queries/_dropout.py",
        "tests/bridge/dense.py",
        "tests/contract/network_zoo.py",
        "tests/network_reference.py",
    ],
}
collect_ignore_glob = [
    pattern
    for package, patterns in NEEDED.items()
    if importlib.util.find_spec(package) is None
    for pattern in patterns
]


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
