"""Which gradient of an unlabelled row is scored, and how its influence becomes a score.

Three readings of "the prediction hangs on the training set", each a gradient in log P and a
last step:

- "fi", the paper's: the loss of the predicted label;
- "fi_margin": the same, times ``1 - (p_1 - p_2)``: rows far from every boundary count less;
- "flip_ratio": the log-odds of the two most probable classes. √FI is how far a moved training
  set shifts them, and what it has to shift them by is their distance from 0: the ratio tells
  how near the row is to being decided the other way.
"""

from __future__ import annotations

import numpy as np

from ._losses import ValidationLoss, checked_loss

SCORES = ("fi", "fi_margin", "flip_ratio")
_TINY, _MAX = np.finfo(np.float64).tiny, np.finfo(np.float64).max


def score_gradient(
    score: str, log_p: np.ndarray, codes: np.ndarray | None, loss: ValidationLoss
) -> np.ndarray:
    """Derivative in log P of what a score measures (b, K); without codes of the prediction."""
    if score == "flip_ratio":
        first, second = _two(log_p)
        gradient = np.zeros_like(log_p)
        rows = np.arange(len(log_p))
        gradient[rows, first] = 1.0
        gradient[rows, second] = -1.0
        return gradient
    if codes is None:
        codes = log_p.argmax(axis=1)
    return checked_loss(loss, codes, log_p)


def finish(score: str, fi: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """From FI of that gradient to the score (b,)."""
    if score == "fi":
        return fi
    rows = np.arange(len(log_p))
    first, second = _two(log_p)
    if score == "fi_margin":
        p = np.exp(log_p)
        return fi * (1.0 - (p[rows, first] - p[rows, second]))
    apart = log_p[rows, first] - log_p[rows, second]
    with np.errstate(over="ignore"):
        return np.minimum(np.sqrt(fi) / np.maximum(apart, np.sqrt(_TINY)), _MAX)


def _two(log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two most probable classes of each row."""
    two = np.argpartition(log_p, -2, axis=1)[:, -2:]
    swapped = np.take_along_axis(log_p, two, 1)
    first = np.where(swapped[:, 1] >= swapped[:, 0], two[:, 1], two[:, 0])
    return first, two.sum(axis=1) - first
