"""Which training rows hurt a classifier, and which rows to label next, by FI."""

from ._utils import _interrupt  # noqa: F401  # first, see there
from ._utils._versioned import __version__ as __version__
from .influence._active import fi_active, fi_pairwise
from .influence._training import fi_signed, fi_util
from .linear._aggregate import Quantile, TrimmedMean
from .linear._losses import GeneralizedCrossEntropy
from .queries._embedding import FIEmbedding
from .queries._learning_curve import ActiveLearningCurve, active_learning_curve
from .queries._sampler import FIActiveSampler
from .trimming._trimmer import FITrimmer
from .trimming._trimmer_cv import FITrimmerCV

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
