"""What is looked at on the validation rows: the loss whose change FI measures.

A validation loss is a function ``(y, log_proba) -> (loss, gradient)``: class codes
(b,) and log probabilities (b, K) in, loss (b,) and its gradient in ``log_proba``
(b, K) out. Log probabilities are logits too (their softmax is P), so a loss
written for logits works unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ValidationLoss = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def log_loss(y: np.ndarray, log_proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-log P(y|x), the paper's."""
    rows = np.arange(len(y))
    gradient = np.zeros_like(log_proba)
    gradient[rows, y] = -1.0
    return -log_proba[rows, y], gradient


def expected_error(y: np.ndarray, log_proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 - P(y|x): a smooth error rate, in which no single label can shout."""
    rows = np.arange(len(y))
    p = np.exp(log_proba[rows, y])
    gradient = np.zeros_like(log_proba)
    gradient[rows, y] = -p
    return 1.0 - p, gradient


@dataclass(frozen=True)
class GeneralizedCrossEntropy:
    """Validation loss (1 − P(y|x)^q)/q, between the log loss and the expected error.

    It is the log loss for q towards 0, and the expected error for q = 1.

    Parameters
    ----------
    q : float, default=0.5
        In (0, 1]; the larger, the less a wrong label on a validation row counts.

    Raises
    ------
    ValueError
        q is not in (0, 1].

    References
    ----------
    Zhang & Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks
    with Noisy Labels", NeurIPS 2018.

    Examples
    --------
    >>> from skfi import FITrimmer, GeneralizedCrossEntropy
    >>> FITrimmer(validation_loss=GeneralizedCrossEntropy(0.7))
    FITrimmer(validation_loss=GeneralizedCrossEntropy(q=0.7))
    """

    q: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.q <= 1:
            raise ValueError(
                f"q={self.q} must be in (0, 1]: near 0 the loss is the log loss, at 1 "
                "the expected error."
            )

    def __call__(self, y: np.ndarray, log_proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.arange(len(y))
        p_q = np.exp(self.q * log_proba[rows, y])
        gradient = np.zeros_like(log_proba)
        gradient[rows, y] = -p_q
        return (1.0 - p_q) / self.q, gradient


VALIDATION_LOSSES: dict[str, ValidationLoss] = {
    "log_loss": log_loss,
    "expected_error": expected_error,
    "gce": GeneralizedCrossEntropy(),
}


def resolve_validation_loss(loss: str | ValidationLoss) -> ValidationLoss:
    """The function behind a name; callables pass through."""
    if callable(loss):
        return loss
    try:
        return VALIDATION_LOSSES[loss]
    except (KeyError, TypeError):
        raise ValueError(
            f"validation_loss={loss!r} is not known. Use one of "
            f"{sorted(VALIDATION_LOSSES)} or a callable (y, log_proba) -> "
            "(loss, gradient)."
        ) from None


def checked_loss(loss: ValidationLoss, y: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """The loss's gradient in log P, refused where a callable returns nonsense."""
    result = loss(y, log_p)
    if not (isinstance(result, tuple) and len(result) == 2):
        raise ValueError(
            "validation_loss must return a tuple (loss, gradient), got "
            f"{type(result).__name__}."
        )
    value, gradient = (np.asarray(part, dtype=np.float64) for part in result)
    if value.shape != y.shape or gradient.shape != log_p.shape:
        raise ValueError(
            f"validation_loss must return a loss of shape {y.shape} and a gradient of "
            f"shape {log_p.shape}, got {value.shape} and {gradient.shape}."
        )
    if not np.isfinite(gradient).all():
        raise ValueError("validation_loss returned a gradient with NaN or infinity.")
    return gradient
