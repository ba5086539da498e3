"""Influence scores: a fitted classifier and data in, one score a row out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..linear._losses import ValidationLoss, resolve_validation_loss
from ._curved import InfluenceDetails
from ._measure import NETWORK_CHOICES, Measure
from ._reading import read_fitted

__all__ = ["InfluenceDetails", "fi_signed", "fi_util"]


@dataclass(frozen=True)
class Scores:
    """What rows are ordered by, and what is known beside it."""

    scores: np.ndarray  # (n,)
    gain: np.ndarray  # what one copy's removal takes off the validation loss (n,)
    details: InfluenceDetails


def fi_util(
    estimator: Any,
    X: Any,
    y: Any,
    X_val: Any,
    y_val: Any,
    *,
    sample_weight: Any = None,
    sample_weight_val: Any = None,
    validation_loss: str | ValidationLoss = "log_loss",
    metric: str = "euclidean",
    unit: str = "copy",
    params: Any = "last_layer",
    perturbation: str = "features",
    curvature: str = "auto",
    damping: float | str = "auto",
    approximation: str | None = None,
    n_components: int | None = None,
    dtype: str | None = None,
    random_state: Any = None,
    return_details: bool = False,
) -> Any:
    """Influence of each training row on the loss over a validation set, FI^util.

    How fast could the mean validation loss change if the row's features moved a little and the
    classifier were fitted again? The derivative of that loss is measured against how far the
    same move shifts the row's own predicted probabilities (their Fisher information). The paper
    trims the rows with the highest scores.

    The score is exact for the fitted classifier: its whole objective, penalty and weights
    included. The cost is two products of X with d×d matrices (of size d(K-1) for K classes);
    with an L2 penalty and fewer rows than columns it is a matrix of n×n instead, for two
    classes or with ``curvature="kfac"``, and X stays sparse.

    Parameters
    ----------
    estimator : estimator
        Classifier fitted on exactly `X`, `y` and `sample_weight`:
        `LogisticRegression`, `LogisticRegressionCV`,
        `SGDClassifier(loss="log_loss")`, a network (`MLPClassifier`,
        `skorch.NeuralNetClassifier`, or a torch module in a
        `skfi.bridge.TorchClassifier`), or a Pipeline, search or `FrozenEstimator`
        that holds one. For a Pipeline rows are perturbed in the space its last step
        sees. With an L1 or elastic-net penalty the coefficients that are zero are
        taken to stay zero.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Training rows; for a network of any shape (n, ...).
    y : array-like of shape (n,)
        Training labels.
    X_val : {array-like, sparse matrix} of shape (n_val, n_features)
        Validation rows, not used in training: at the optimum the training set's own
        gradient vanishes.
    y_val : array-like of shape (n_val,)
        Validation labels, all of classes the estimator knows.
    sample_weight : array-like of shape (n,), default=None
        Weights the estimator was fitted with. A weight of w counts as w copies.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows in the mean.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, \
            default="log_loss"
        Loss on the validation rows: the paper's log loss; ``1 - P(y|x)``, in which
        no single validation label can dominate; or between them the generalised
        cross-entropy ``(1 - P(y|x)^q) / q`` with q = 0.5 (another q:
        `skfi.GeneralizedCrossEntropy`). A callable
        ``(y, log_proba) -> (loss, gradient)`` gets class codes (b,) and log
        probabilities (b, K), which are also valid logits, and returns the loss (b,)
        and its gradient in them (b, K).
    metric : {"euclidean", "mahalanobis"}, default="euclidean"
        Coordinates in which the metric tensor is inverted: the features as they are (the
        paper), or whitened by the training covariance, which makes the score the same in
        all affine coordinates of the features.
    unit : {"copy", "row"}, default="copy"
        What is perturbed where rows are weighted: one copy of a row of weight w, so
        that weights and repetition give the same scores, or the row with its whole weight.
    params : {"last_layer", "all"}, list of str or callable, default="last_layer"
        Parameters of a network that follow a perturbed row: those of its last linear
        layer, all that are not frozen, those of the given names, or those for whose
        name a function returns True.
    perturbation : {"features", "input"}, default="features"
        What is perturbed in a row: the last layer's input, or the network's own. With
        ``params="last_layer"`` the former has a closed form; all else takes K backward
        passes and as many double ones for each row.
    curvature : {"auto", "exact", "ggn", "kfac", "ekfac", "cg"}, default="auto"
        What stands for the Hessian of m parameters. "exact": the Hessian itself, m×m.
        "ggn": the generalised Gauss-Newton matrix, which is never negative, and is the
        Hessian for a linear model or last layer; m×m too. "kfac": one Kronecker product a
        layer, and no m×m matrix. "ekfac": the same eigenvectors with eigenvalues of their
        own. "cg": conjugate gradients on Gauss-Newton products, K solves a row, for few
        rows. "auto" is exact for a linear classifier, unless that costs more than the fit
        (many classes and columns): then K-FAC has the metric, and the sign and the removal
        gain come from one exact solve by conjugate gradients (`InfluenceDetails` has the
        reason and the residual). For a network it is exact or "ggn" up to 1,000 parameters,
        then "kfac", or "cg" where there are layers that K-FAC does not know.
    damping : float or "auto", default="auto"
        Added to the Hessian of the mean loss, in K-FAC to both factors. "auto": nothing for
        a linear classifier; for a network what lifts the weakest penalty to a tenth of the
        curvature's mean eigenvalue.
    approximation : {None, "kfsvd"}, default=None
        "kfsvd" is the paper's: K-FAC, and each row's mixed derivative ``∂_x∂_θL`` cut to
        rank `n_components` by randomised power iteration. The exact products are faster and
        better.
    n_components : int, default=None
        Rank of the approximation.
    dtype : {None, "float32", "float64"}, default=None
        Precision of a network's derivatives; None is the network's own. Linear classifiers
        are scored in float64.
    random_state : int, RandomState instance or None, default=None
        Start of the power iteration.
    return_details : bool, default=False
        Also return how the scores came about.

    Returns
    -------
    influence : ndarray of shape (n,)
        FI^util of each row, non-negative: squared change of the mean validation loss per unit
        of squared Fisher length. It has no sign. 0 for rows of weight 0.
    details : InfluenceDetails
        Only if `return_details`.

    Raises
    ------
    TypeError
        skfi cannot compute influence for the classifier; the message says what to do.
    ValueError
        NaN or infinity, widths that differ, labels the classifier does not know, or
        no weight at all; a network that is no function of each row by itself.
    MemoryError
        Neither the Hessian nor a matrix of rows by rows fits into memory.
    numpy.linalg.LinAlgError
        Solving through the rows lost all digits (columns of very different scales do that),
        and the Hessian does not fit into memory.

    Warns
    -----
    UserWarning
        Solving through the rows left a relative error of more than 1e-8, and the Hessian does
        not fit into memory.
    ConvergenceWarning
        The gradient of a linear classifier's objective is not near zero: the solver stopped
        early, or `X`, `y` or the weights are not those the classifier was fitted on.

    See Also
    --------
    FITrimmer : Fits, scores, drops the worst rows and fits again.

    Notes
    -----
    A network is not trained to a strict minimum. Its scores describe the quadratic model of its
    objective around the parameters as they are, with the Gauss-Newton matrix and damping in
    place of the Hessian; ``return_details=True`` reports the gradient's norm and the damping.
    Networks are read in evaluation mode (dropout off, batch statistics frozen), from a copy.

    References
    ----------
    :cite:t:`yu2025`, Section 3, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi import fi_util
    >>> X, y = make_classification(200, random_state=0)
    >>> y[0] = 1 - y[0]  # a wrong label
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> influence = fi_util(model, X[:100], y[:100], X[100:], y[100:])
    >>> influence.shape
    (100,)
    >>> bool(influence[0] > np.quantile(influence, 0.8))
    True
    """
    measure = Measure(
        params, perturbation, curvature, damping, approximation, n_components, dtype,
        random_state, validation_loss, metric, unit,
    )  # fmt: skip
    training, held_out = (X, y, sample_weight), (X_val, y_val, sample_weight_val)
    loss = resolve_validation_loss(validation_loss)
    reading = read_fitted(estimator, training, measure, held_out, wide=True)
    solved = reading.curve().solve(reading.held_out, loss)
    influence = solved.influence(metric, unit)
    return (influence, solved.details) if return_details else influence


def fi_signed(
    estimator: Any,
    X: Any,
    y: Any,
    X_val: Any,
    y_val: Any,
    *,
    sample_weight: Any = None,
    sample_weight_val: Any = None,
    validation_loss: str | ValidationLoss = "log_loss",
    metric: str = "euclidean",
    **params: Any,
) -> np.ndarray:
    """FI^util with a direction: its root times what removing the row gains.

    FI has no sign, so rows that support the model score as high as rows that pull it down.
    The first-order gain of removal (`skfi.baselines.iv`) tells them apart, and the product
    goes first where both agree that a row matters. It is the order in which `FITrimmer`
    removes rows by default, there with ``validation_loss="expected_error"`` and
    ``metric="mahalanobis"``.

    Parameters
    ----------
    estimator : estimator
        Classifier fitted on exactly `X`, `y` and `sample_weight`, see `fi_util`.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Training rows.
    y : array-like of shape (n,)
        Training labels.
    X_val : {array-like, sparse matrix} of shape (n_val, n_features)
        Validation rows, not used in training.
    y_val : array-like of shape (n_val,)
        Validation labels.
    sample_weight : array-like of shape (n,), default=None
        Weights the estimator was fitted with. One copy of a row is scored.
    sample_weight_val : array-like of shape (n_val,), default=None
        Weights of the validation rows in the mean.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, \
            default="log_loss"
        Loss on the validation rows, see `fi_util`.
    metric : {"euclidean", "mahalanobis"}, default="euclidean"
        Coordinates of the perturbation, see `fi_util`.
    **params : dict
        How a network is differentiated: `params`, `perturbation`, `curvature`, `damping`,
        `approximation`, `n_components`, `dtype` and `random_state` of `fi_util`.

    Returns
    -------
    scores : ndarray of shape (n,)
        Highest goes first; of the gain's sign: positive where the validation loss would be
        lower without the row. √FI · gain, whose unit means nothing: compare the order, within
        one model.

    Raises
    ------
    TypeError
        skfi cannot compute influence for the classifier; the message says what to do.
        `params` holds another name.
    ValueError
        As for `fi_util`.

    See Also
    --------
    fi_util : The measure itself, without a direction.
    skfi.baselines.iv : The gain alone.

    References
    ----------
    FI: :cite:t:`yu2025`, Section 3. The product with the gain is skfi's own.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi import fi_signed
    >>> X, y = make_classification(200, random_state=0)
    >>> y[0] = 1 - y[0]  # a wrong label
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> scores = fi_signed(model, X[:100], y[:100], X[100:], y[100:])
    >>> bool(scores[0] > np.quantile(scores, 0.9)), bool((scores < 0).any())
    (True, True)
    """
    unknown = sorted(set(params) - set(NETWORK_CHOICES))
    if unknown:
        raise TypeError(
            f"fi_signed does not take {unknown}. Its **params are {NETWORK_CHOICES}."
        )
    measure = Measure(validation_loss=validation_loss, metric=metric, **params)
    weights = {"sample_weight": sample_weight, "sample_weight_val": sample_weight_val}
    rows = X, y, X_val, y_val
    return fi_and_gain(estimator, *rows, **weights, measure=measure, signed=True).scores


def fi_and_gain(
    estimator: Any,
    X: Any,
    y: Any,
    X_val: Any,
    y_val: Any,
    *,
    measure: Measure,
    sample_weight: Any = None,
    sample_weight_val: Any = None,
    signed: bool = False,
) -> Scores:
    """`fi_util`, or `fi_signed`, and what removing one copy takes off the validation loss.

    Both stand on the same curvature, so that together they cost little more than either.
    """
    training, held_out = (X, y, sample_weight), (X_val, y_val, sample_weight_val)
    loss = resolve_validation_loss(measure.validation_loss)
    reading = read_fitted(estimator, training, measure, held_out, wide=True)
    solved = reading.curve().solve(reading.held_out, loss)
    influence, gain = solved.influence_and_gain(measure.metric, measure.unit)
    scores = np.sqrt(influence) * gain if signed else influence
    return Scores(scores, gain, solved.details)
