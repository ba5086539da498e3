"""Values that files write in different ways: ``True`` and ``true``, ``0`` and ``0.0``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][+-][0-9]{1,3})?")  # not 007
_BOOLEANS = {"true", "false"}


def meaning(text: str) -> str | Decimal:
    """The boolean or number that a text writes, or else the text itself."""
    if text.casefold() in _BOOLEANS:
        return text.casefold()
    return Decimal(text) if _NUMBER.fullmatch(text) else text


def respelled(texts: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Spellings among ``known`` of the texts that are known in another one.

    A text that is known as it is, or could be two of the known ones, is left out.
    """
    known = set(known)
    unknown = set(texts) - known
    by_meaning = defaultdict(list)
    for text in known if unknown else ():
        by_meaning[meaning(text)].append(text)
    same = {text: by_meaning.get(meaning(text), []) for text in unknown}
    return {text: names[0] for text, names in same.items() if len(names) == 1}
