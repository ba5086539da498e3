"""Which training rows hurt a classifier, by the influence measure FI."""

from ._trimmer import FITrimmer
from .influence import fi_util

__version__ = "0.1.0.dev0"

__all__ = ["FITrimmer", "fi_util"]
