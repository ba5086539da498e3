"""Warnings that many fits give alike, said once.

A path of removals fits the same classifier dozens of times, and what one fit has to say each of
them says again, with other figures.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ._warning_scopes import recorded

_START = 60  # signs by which two warnings are told to be alike, up to the first figure


@contextmanager
def one_of_each() -> Iterator[None]:
    """Let warnings that are alike through once, with how many there were.

    Those that the filters in force make errors are raised, and those that they ignore are
    ignored, as without it.
    """
    caught: list[warnings.WarningMessage] = []
    try:
        with recorded() as caught:
            yield
    finally:
        alike: dict[tuple[type[Warning], str], list[warnings.WarningMessage]] = {}
        for warning in caught:
            start = re.split(r"\d", str(warning.message), maxsplit=1)[0][:_START]
            alike.setdefault((warning.category, start), []).append(warning)
        for first, *others in alike.values():
            text = str(first.message)
            if others:
                text += f" (There were {len(others)} more like it in this fit.)"
            warnings.warn_explicit(text, first.category, first.filename, first.lineno)
