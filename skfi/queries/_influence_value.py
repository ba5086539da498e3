"""Influence value as a query strategy: what a row of the pool, once labelled, would change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import _num_samples

from .._utils._checks import encode_labels, predicted_labels
from .._utils._chunks import one_blas_thread
from .._utils._trained_rows import fit_on_own_rows
from .._utils._unseen import naming_unseen
from .._utils._warning_scopes import ignored
from ..bridge import Bridge
from ..bridge._base import require_bridge
from ..bridge._network import linear_part, of_other_rows
from ..influence._curved import CurvedLinear, curve_fitted
from ..influence._rows import Rows
from ..influence._validation import Split
from ..linear._losses import ValidationLoss, resolve_validation_loss
from ..linear._objective import fit_curvature
from ..linear._operators import Curvature
from ..linear._removal import removal_all
from ..linear._softmax import SoftmaxLinear, validation_gradient
from ._base import QueryStrategy, pool_blocks
from ._held_out import Mean, fit_regressor, held_out_splits, predict_pool
from ._linear_part import is_frozen, linear_features

_LARGE = 1500  # parameters whose Hessian is worth all of BLAS's threads


@dataclass(frozen=True)
class _Witness:
    """A linear model that was trained without some labelled rows, and what they say of it."""

    model: SoftmaxLinear
    h: np.ndarray  # H⁻¹u, u the gradient of their mean loss
    classes: np.ndarray
    weight: np.ndarray  # of a row of each class in the objective, (K,) or (K, n_outputs)

    def value(self, X, codes: np.ndarray) -> np.ndarray:
        """First-order decrease of their mean loss where a row is added to the training."""
        return -removal_all(self.model, X, codes, self.weight[codes], self.h)


class InfluenceValue(QueryStrategy):
    """Rows whose addition to the training rows would lower the held-out loss most.

    By how much, to first order, would the mean loss of held-out labelled rows fall if the row
    were trained on with label ŷ? ``uᵀH⁻¹ ∂_θL(ŷ, x)``, with u the gradient of that mean loss
    and H the Hessian of the training objective, is the influence value of Chhabra et al.
    (2024) with the row's label guessed, computed anew at each `fit`.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier of a kind that `skfi.fi_util` takes: a logistic regression, a network (its
        last layer), or a Pipeline, search or `FrozenEstimator` that holds one. Clones are
        fitted on the labelled rows, and on those that each split leaves. None is
        `LogisticRegression()`.
    label : {"predicted", "regression"}, default="predicted"
        What stands for the label that a row of the pool lacks.

        - "predicted": the label that `estimator_` predicts.
        - "regression": no label. The values of the labelled rows are computed with their own
          labels, and a regression of the values on the features predicts the pool's, as
          Chhabra et al. do in their experiment on active learning.
    regressor : estimator, default=None
        For "regression"; a clone of it is fitted on what the classifier's last step sees. None
        is `DecisionTreeRegressor()`, as published.
    validation : float, int or cross-validation splitter, default=5
        Labelled rows that u stands on. A float holds out that share once; an int is a number
        of stratified folds, and values are means over the models that each was left out of.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, default="log_loss"
        Loss on the held-out rows, as in `skfi.fi_util`.
    batch_size : int, default=1
        Rows a query asks for.
    random_state : int, RandomState instance or None, default=None
        Draw of a held-out share, of the regressor, and the order of ties.

    Attributes
    ----------
    regressor_ : estimator or None
        The regression, for "regression".
    estimator_ : estimator or None
        The classifier fitted on all labelled rows; None where these are of one class and it
        could not be fitted.
    classes_ : ndarray of shape (K,)
        Its class labels.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` has string column names.

    See Also
    --------
    skfi.baselines.iv : The same of training rows, with the sign of their removal.

    Notes
    -----
    Scores are in units of the held-out loss. A positive one says that training on the row as
    predicted would help. Classifiers that state their penalty per row (`SGDClassifier`) have a
    larger penalty with every further row, which this leaves out: their scores are off by
    a constant, which changes no order.

    The published experiments have validation rows of their own. Here some of the labelled rows
    serve, since those are what an active learner has; the rows that a model was trained on
    cannot, as the gradient over them vanishes at its optimum.

    The influence value was proposed for active learning with values computed once, before the
    first query. The comparison in the paper that FI was published in recomputes them in each
    round, as this does; it does not say which label stands for the missing one. "regression"
    with its default is the former's procedure repeated each round.

    A `FrozenEstimator` cannot be fitted without the held-out rows. Its linear part is then
    moved by one Newton step to where it would be without them, from the training rows, which
    the rows passed to `fit` have to be. Where too few are labelled to hold any out, all of
    them serve as if it had not been trained on them. Others then have scores of 0, and `fit`
    warns.

    Five folds are five fits beside the one on all rows. Of a network that is costly to train
    hold out a share, or freeze it.

    References
    ----------
    A. Chhabra, P. Li, P. Mohapatra, H. Liu: "What Data Benefits My Classifier? Enhancing Model
    Performance and Interpretability through Influence-Based Data Selection", ICLR 2024.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skfi.queries import InfluenceValue
    >>> X, y = make_classification(300, random_state=0)
    >>> strategy = InfluenceValue(batch_size=5, random_state=0).fit(X[:40], y[:40])
    >>> strategy.query(X[40:]).shape
    (5,)
    """

    _parameter_constraints: dict = {
        **QueryStrategy._parameter_constraints,
        "label": [StrOptions({"predicted", "regression"})],
        "regressor": [HasMethods(["fit", "predict"]), None],
        "validation": "no_validation",  # by what makes the splits
        "validation_loss": "no_validation",  # by what reads it
    }
    _needs_proba = False

    def __init__(
        self,
        estimator=None,
        *,
        label="predicted",
        regressor=None,
        validation=5,
        validation_loss="log_loss",
        batch_size=1,
        random_state=None,
    ):
        super().__init__(estimator, batch_size=batch_size, random_state=random_state)
        self.label = label
        self.regressor = regressor
        self.validation = validation
        self.validation_loss = validation_loss

    def _check_proba(self, estimator) -> None:
        # Nothing is asked for probabilities, but the classifier must be one we can read.
        require_bridge(estimator, "query")

    def _prepare(self, model, X, y) -> dict[str, Any]:
        loss = resolve_validation_loss(self.validation_loss)
        rng = check_random_state(self.random_state)
        seeds = [int(seed) for seed in rng.randint(np.iinfo(np.int32).max, size=2)]
        name = None if is_frozen(model) else type(self).__name__
        splits = held_out_splits(self.validation, X, y, seeds[0], name)
        own = Mean(len(y))  # values of the labelled rows, with their labels
        # Models, each with the witnesses that see rows through its steps.
        seen_by: list[tuple[Any, list[_Witness]]] = []
        if is_frozen(model):
            seen_by.append((model, _one_step(model, X, y, splits, loss, own)))
        else:
            for k, (fit, look) in enumerate(splits, start=1):
                rows = _safe_indexing(X, fit)
                trained = fit_on_own_rows(clone(model), rows, y[fit])
                held_out = _safe_indexing(X, look), y[look], None
                with naming_unseen(f"Fold {k} of {len(splits)} of validation"):
                    witness = _refitted(trained, rows, y[fit], fit, held_out, loss, own)
                seen_by.append((trained, [witness]))
        regressor = None
        if self.label == "regression" and splits:
            chosen = DecisionTreeRegressor() if self.regressor is None else self.regressor
            regressor = fit_regressor(chosen, seeds[1], model, X, own.value())
        return {"_seen_by": seen_by, "regressor_": regressor}

    def _score(self, X_pool) -> np.ndarray:
        if self.regressor_ is not None:
            return predict_pool(self.regressor_, self.estimator_, X_pool)
        mean = Mean(_num_samples(X_pool))
        read = [linear_part(model, X_pool) for model, _ in self._seen_by]
        for rows, part in pool_blocks(X_pool):
            label = predicted_labels(self.estimator_, part)
            position = np.arange(rows.start, rows.stop)
            for linear, (_, witnesses) in zip(read, self._seen_by, strict=True):
                features = linear_features(linear, part)
                for witness in witnesses:
                    # A class that is rare may be missing where rows are held out.
                    known = np.flatnonzero(np.isin(label, witness.classes))
                    if len(known):
                        codes = encode_labels(label[known], witness.classes, "y")
                        mean.add(position[known], witness.value(features[known], codes))
        return mean.value(unknown=0.0)


def _refitted(
    trained,
    X,
    y: np.ndarray,
    fit: np.ndarray,
    held_out: tuple[Any, np.ndarray, None],
    loss: ValidationLoss,
    own: Mean,
) -> _Witness:
    """The witness of a model that was fitted on X, without the rows that look at it."""
    with of_other_rows():
        curved, rows = curve_fitted(trained, X, y, None, None, held_out, stacklevel=6)
    assert isinstance(curved, CurvedLinear)
    assert rows is not None
    train, classes = curved.train, curved.fitted.classes
    return _witness(
        curved.model, curved.curvature, train, curved.weight, rows, classes, loss, fit, own
    )


def _witness(
    model: SoftmaxLinear,
    curvature: Curvature,
    train: Rows,
    weight: np.ndarray,
    held_out: Rows,
    classes: np.ndarray,
    loss: ValidationLoss,
    fit: np.ndarray,
    own: Mean,
) -> _Witness:
    with one_blas_thread(unless=model.beta.size > _LARGE):
        u = validation_gradient(model, held_out.X, held_out.codes, held_out.weight, loss)
        h = curvature.solve(u)
    by_class = np.ones((len(classes), *weight.shape[1:]))
    by_class[train.codes] = weight  # the same for all rows of a class
    witness = _Witness(model, h, classes, by_class)
    own.add(fit, witness.value(train.X, train.codes))
    return witness


def _one_step(
    model, X, y: np.ndarray, splits: list[Split], loss: ValidationLoss, own: Mean
) -> list[_Witness]:
    """Witnesses of a model that is not to be fitted again: a Newton step without the rows."""
    # It is used as it is, wherever it was trained.
    with of_other_rows(), ignored(ConvergenceWarning):
        curved, _ = curve_fitted(model, X, y, None)
    assert isinstance(curved, CurvedLinear)
    linear: Bridge = curved.fitted
    train, kronecker = curved.train, curved.details.curvature == "kfac"
    if not splits:
        rows = np.arange(len(y))
        parts = curved.model, curved.curvature, train, curved.weight, train
        return [_witness(*parts, linear.classes, loss, rows, own)]
    whole = fit_curvature(
        curved.model, train.X, train.codes, curved.weight, kronecker=kronecker
    )
    witnesses = []
    for fit, look in splits:
        part, rest = _take(train, fit), _take(train, look)
        weight = linear.loss_weight(part.codes, part.weight)
        damping = curved.details.damping * len(fit)
        start = linear.make_model(len(fit))
        total = fit_curvature(start, part.X, part.codes, weight, kronecker=kronecker)
        curvature = total.hessian.invert(start, damping)
        # What is left of the gradient before rows go is no reason to move.
        step = curvature.solve(total.gradient - whole.gradient)
        moved = replace(start, beta=start.beta - step)
        total = fit_curvature(moved, part.X, part.codes, weight, kronecker=kronecker)
        curvature = total.hessian.invert(moved, damping)
        witnesses.append(
            _witness(moved, curvature, part, weight, rest, linear.classes, loss, fit, own)
        )
    return witnesses


def _take(rows: Rows, which: np.ndarray) -> Rows:
    return Rows(rows.X[which], rows.codes[which], rows.weight[which])
