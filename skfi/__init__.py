"""Which training rows hurt a classifier, and which rows to label next, by FI."""

from . import _interrupt  # noqa: F401  # first, see there
from ._embedding import FIEmbedding
from ._learning_curve import ActiveLearningCurve, active_learning_curve
from ._sampler import FIActiveSampler
from ._trimmer import FITrimmer
from ._trimmer_cv import FITrimmerCV
from .active import fi_active, fi_pairwise
from .influence import fi_signed, fi_util
from .kernels._aggregate import Quantile, TrimmedMean
from .kernels._losses import GeneralizedCrossEntropy

try:
    from ._version import __version__
except ImportError:  # a source tree that was never built or installed
    __version__ = "0+unknown"

__all__ = [
    "ActiveLearningCurve",
    "FIActiveSampler",
    "FIEmbedding",
    "FITrimmer",
    "FITrimmerCV",
    "GeneralizedCrossEntropy",
    "Quantile",
    "TrimmedMean",
    "active_learning_curve",
    "fi_active",
    "fi_pairwise",
    "fi_signed",
    "fi_util",
]
