"""Strategies that choose which unlabelled rows to label next."""

from ._base import QueryStrategy
from ._uncertainty import Margin

__all__ = ["Margin", "QueryStrategy"]
