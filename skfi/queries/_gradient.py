"""How far a label would move the last layer: its gradient, were the prediction the label.

The gradient of the log loss of a row in the weights of a softmax layer is the outer product
``(p - e_y) ⊗ φ`` of residual and representation. Lengths and inner products of such matrices
factor, so none of them is ever made.
"""

from __future__ import annotations

import numpy as np
from sklearn.utils.extmath import row_norms
from sklearn.utils.validation import _num_samples

from .._utils._in_place import own_rows
from ..linear._vectors import FactoredVectors
from ._base import QueryStrategy, pool_blocks, representation
from ._select import select_diverse


class GradientNorm(QueryStrategy):
    """Rows with the longest gradient, the predicted label taken for the label.

    The score is ``‖p - e_ŷ‖ ‖(φ, 1)‖``: the Euclidean length of the gradient of the row's log
    loss in the weights and intercepts of the last layer, where ŷ is the predicted class and φ
    the representation of the row (what enters the last layer of a network; what the steps of
    a Pipeline make of the row; otherwise the row itself).

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier with `predict_proba`; a clone of it is fitted, a `FrozenEstimator` is used
        as it is. None is `LogisticRegression()`.
    batch_size : int, default=1
        Rows a query asks for.
    random_state : int, RandomState instance or None, default=None
        The order of ties.

    Attributes
    ----------
    estimator_ : estimator or None
        The fitted classifier; None where all labels are of one class.
    classes_ : ndarray of shape (K,)
        Its class labels.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` has string column names.

    See Also
    --------
    BADGE : A batch of long gradients that differ.

    Notes
    -----
    Every classifier is read as if a softmax layer on φ gave its probabilities; for one that
    has none, a forest for example, the score is that of such a layer. Lengths of φ matter:
    scale the features in a Pipeline.

    The expected gradient length of Settles et al. is a mean over all labels by their
    probabilities. With the predicted label it is a lower bound on the length for any other
    label, as Ash et al. show (Proposition 1).

    References
    ----------
    B. Settles, M. Craven, S. Ray: "Multiple-Instance Active Learning", NIPS 2007; with the
    predicted label J. T. Ash et al., see `BADGE`.

    Examples
    --------
    >>> from skfi.queries import GradientNorm
    >>> strategy = GradientNorm().fit([[-1.0], [1.0]], [0, 1])
    >>> strategy.score_samples([[0.0]]).round(3)  # ‖(1/2, -1/2)‖ · ‖(0, 1)‖
    array([0.707])
    """

    def _score(self, X_pool) -> np.ndarray:
        return _lengths(self.estimator_, X_pool, constant=1.0)


class BADGE(QueryStrategy):
    """A batch of rows with long gradients that point in different directions.

    Each row is embedded as the gradient of its log loss in the weights of the last layer,
    ``(p - e_ŷ) ⊗ φ``, the predicted class ŷ taken for the label. k-means++ draws the batch:
    the longest embedding first, each further one in proportion to its squared distance to
    the nearest of those chosen. The score is the length of the embedding.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier with `predict_proba`; a clone of it is fitted, a `FrozenEstimator` is used
        as it is. None is `LogisticRegression()`.
    batch_size : int, default=1
        Rows a query asks for.
    random_state : int, RandomState instance or None, default=None
        The draw. With an int each query of the same pool is the same.

    Attributes
    ----------
    estimator_ : estimator or None
        The fitted classifier; None where all labels are of one class.
    classes_ : ndarray of shape (K,)
        Its class labels.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` has string column names.

    See Also
    --------
    GradientNorm : The rows with the longest gradients, alike or not.

    Notes
    -----
    φ is what enters the last layer, without a constant for its intercept, as in the paper:
    the layer's input in a network; what the steps of a Pipeline make of the row; otherwise
    the row itself. Rows at the origin are thus asked for last; scale the features in a
    Pipeline.

    Inner products of embeddings are ``(r_i · r_j)(φ_i · φ_j)`` with ``r = p - e_ŷ``, so that
    each row of the batch costs one pass over the pool, O(n_pool (K + d)) time and O(n_pool)
    memory beside r and φ. A sparse φ stays sparse.

    References
    ----------
    J. T. Ash, C. Zhang, A. Krishnamurthy, J. Langford, A. Agarwal: "Deep Batch Active
    Learning by Diverse, Uncertain Gradient Lower Bounds", ICLR 2020.

    Examples
    --------
    A row and its twin do not go together:

    >>> from skfi.queries import BADGE
    >>> strategy = BADGE(batch_size=2, random_state=0).fit([[-1.0], [1.0]], [0, 1])
    >>> strategy.query([[1.0], [0.1], [1.0]])[1:]
    array([1])
    """

    _selects_by_score = False

    def _score(self, X_pool) -> np.ndarray:
        return _lengths(self.estimator_, X_pool, constant=0.0)

    def _select(
        self, X_pool, scores: np.ndarray, size: int, rng: np.random.RandomState
    ) -> np.ndarray:
        r = _residuals(self._proba(X_pool))
        vectors = FactoredVectors(representation(self.estimator_, X_pool), r, False)
        return select_diverse(vectors.lengths, vectors.inner, size, rng)


def _lengths(model, X_pool, constant: float) -> np.ndarray:
    """``‖p - e_ŷ‖ ‖(φ, constant)‖`` of each row (n_pool,)."""
    lengths = np.empty(_num_samples(X_pool))
    for rows, part in pool_blocks(X_pool):
        proba = model.predict_proba(own_rows(model, part))
        r = _residuals(np.asarray(proba, dtype=np.float64))
        squares = _squares(representation(model, part)) + constant**2
        lengths[rows] = row_norms(r) * np.sqrt(squares)
    return lengths


def _residuals(proba: np.ndarray) -> np.ndarray:
    """``p - e_ŷ`` (n, K), ŷ the most probable class."""
    r = proba.copy()
    rows, predicted = np.arange(len(r)), r.argmax(axis=1)
    # p - 1 as minus the others' sum, which is not lost where p rounds to 1.
    r[rows, predicted] = 0.0
    r[rows, predicted] = -r.sum(axis=1)
    return r


def _squares(phi) -> np.ndarray:
    return row_norms(phi, squared=True)
