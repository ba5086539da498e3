"""Real data sets; tests that need one skip where it is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.data import PAPER, ROOT, classic, make_split

__all__ = ["PAPER", "ROOT", "classic", "make_split"]  # until every test imports tests.data


@pytest.fixture(scope="session")
def data_folder():
    """Folder with real data sets; tests that need it skip where it is missing."""
    folder = Path(os.environ.get("SKFI_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}; set SKFI_DATA to one")
    return folder


@pytest.fixture(scope="session")
def adult(data_folder):
    """Adult as a DataFrame of features and labels (first 4,000 training rows)."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = data_folder / "adult.parquet"
    if not path.exists():
        pytest.skip(f"no adult.parquet in {data_folder}")
    frame = pd.read_parquet(path).dropna().iloc[:4000]
    return frame.drop(columns=["income", "split"]), frame["income"].astype(str)
