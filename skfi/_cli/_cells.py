"""Cells of a column as numbers or as text."""

from __future__ import annotations

import numpy as np

_MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "?"}


def as_numbers(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,), NaN where missing or no number; and which are no number (n,)."""
    if cells.dtype.kind == "f":
        return cells, np.zeros(len(cells), dtype=bool)
    plain = _plain_numbers(cells)
    if plain is not None:
        return plain, np.zeros(len(cells), dtype=bool)
    import pandas as pd

    text, missing = as_text(cells)
    cleaned = pd.Series(text, dtype=object).mask(missing)
    values = pd.to_numeric(cleaned, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    return values, np.isnan(values) & ~missing


def _plain_numbers(cells: np.ndarray) -> np.ndarray | None:
    """Values (n,) where every cell is a finite number: far quicker than to look at each."""
    try:
        values = cells.astype(np.float64)
    except ValueError:
        return None
    # Python's numbers may have underscores.
    return values if np.isfinite(values).all() and "_" not in "".join(cells) else None


def as_text(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Text without blanks around it (n,), and which cells say nothing (n,)."""
    if cells.dtype.kind == "M":
        return cells.astype(str).astype(object), np.isnat(cells)
    if cells.dtype.kind == "f":
        missing = np.isnan(cells)
        texts = [str(int(v)) if v.is_integer() else str(v) for v in cells.tolist()]
        return np.array(texts, dtype=object), missing
    stripped = [cell.strip() for cell in cells]
    missing = np.array([cell.casefold() in _MISSING for cell in stripped], dtype=bool)
    return np.array(stripped, dtype=object), missing
