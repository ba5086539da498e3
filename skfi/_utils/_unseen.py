"""Categories that an encoder never saw: where they are, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# What scikit-learn's encoders say in transform.
_UNSEEN = re.compile(r"Found unknown categories (.+) in column (\d+) during transform")


@contextmanager
def naming_unseen(where: str) -> Iterator[None]:
    """Name the held-out rows, the column and the remedy where an encoder refuses a category."""
    try:
        yield
    except ValueError as error:
        unseen = _UNSEEN.search(str(error))
        if unseen is None:
            raise
        categories, column = unseen.groups()
        raise ValueError(
            f"{where} holds categories that the training rows lack: {categories[:200]} in "
            f"column {_column_name(error, int(column))}. Make the encoder take them, with "
            'OneHotEncoder(handle_unknown="ignore") or OrdinalEncoder(handle_unknown='
            '"use_encoded_value", unknown_value=-1), or leave these rows out.'
        ) from error


def _column_name(error: ValueError, column: int) -> str:
    """The column's name in the encoder that raised the error, where it has one."""
    names: Any = None
    cause: BaseException | None = error
    while cause is not None:
        traceback = cause.__traceback__
        while traceback is not None:
            encoder = traceback.tb_frame.f_locals.get("self")
            if hasattr(encoder, "categories_"):
                names = getattr(encoder, "feature_names_in_", None)
            traceback = traceback.tb_next
        cause = cause.__cause__
    return f"{column} of the encoder" if names is None else repr(str(names[column]))
