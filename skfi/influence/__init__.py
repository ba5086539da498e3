"""Influence scores: a fitted classifier and rows in, one number a row out."""

from ._active import fi_active, fi_pairwise
from ._curved import InfluenceDetails
from ._training import fi_signed, fi_util

__all__ = ["InfluenceDetails", "fi_active", "fi_pairwise", "fi_signed", "fi_util"]
