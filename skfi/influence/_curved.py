"""A fitted classifier with the curvature of its objective over checked rows.

Softmax-linear models have theirs in closed form, the last layer of a network among them;
other networks by torch.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._utils._checks import check_rows, check_sliceable
from .._utils._chunks import one_blas_thread
from .._utils._trained_rows import trained_rows, unfrozen, warn_of_unequal_step
from ..bridge import Bridge, bridge
from ..bridge._base import as_given, innermost
from ..bridge._network import SPARSE_LAYER, Choices, NetworkBridge
from ..linear._by_rows import RowHessian, sum_by_rows
from ..linear._covariance import Whitening
from ..linear._curvature import resolve_damping
from ..linear._memory import by_rows, check_fits, columns_instead, kronecker_fits
from ..linear._objective import fit_curvature, mean_eigenvalue
from ..linear._operators import Curvature, Objective
from ..linear._softmax import SoftmaxLinear
from ..linear._sparse_columns import SparseHessian, sparse_width
from ._rows import (
    Rows,
    check_names,
    check_same_columns,
    column_names,
    labelled,
    linear_rows,
    through_steps,
)

if TYPE_CHECKING:
    from ..network._network import Network
    from ..network._scores import Curvature as NetworkCurvature

# A fit is taken as converged when one Newton step would lower its objective by less than this
# share. LogisticRegression's default tolerance on scaled features stays under it.
_STATIONARY = 1e-3
# A Hessian of more parameters is worth all of BLAS's threads; a smaller one goes with one.
LARGE = 1500
# A network's last layer of more parameters is taken by K-FAC: exact costs K² times as much.
_LARGEST_EXACT_LAYER = 1000
_FEWER_COLUMNS = (
    "Cut the columns within the Pipeline (TruncatedSVD, SelectKBest, "
    "HashingVectorizer(n_features=2**12)), or pass a classifier of fewer columns (to a "
    "trimmer: influence_estimator=...)."
)
_PENALTY_UNKNOWN = (
    "The penalty of the network is not known: skfi cannot read the weight_decay of its "
    "optimizer. Scores are computed without a penalty (penalty_known=False in the "
    "InfluenceDetails), with damping in its place. Train by torch.optim.SGD, Adam or AdamW, or "
    "another that the documentation of networks lists, or with weight_decay=0."
)
_KFAC = (
    'Pass curvature="kfac" (to a trimmer: influence_params={"curvature": "kfac"}), an '
    "approximation whose matrices fit here. Or: "
)


_AnyBridge = TypeVar("_AnyBridge", Bridge, NetworkBridge)


@dataclass(frozen=True)
class InfluenceDetails:
    """How scores came about.

    Attributes
    ----------
    curvature : str
        What stood for the Hessian: "exact", "ggn", "kfac", "ekfac" or "cg".
    damping : float
        What was added to its diagonal, in units of the mean loss: the value behind
        ``damping="auto"``.
    n_parameters : int
        Parameters that move.
    gradient_norm : float
        Euclidean norm of the gradient of the mean objective in these parameters; 0 at
        the optimum that the formulas differentiate.
    residual : float or None
        Relative error where a matrix of rows by rows stands for H, or K-FAC's, and where
        sparse columns are solved for: the larger of ``‖Hh - u‖/‖u‖``, u the validation loss's
        gradient, and of what a step of refinement changes in a sample of the rows' solves.
        Otherwise None.
    penalty_known : bool
        False where a network's optimizer decays weights in a way whose penalty is not known;
        scores are then computed without a penalty.
    """

    curvature: str
    damping: float
    n_parameters: int
    gradient_norm: float
    residual: float | None = None
    penalty_known: bool = True


@dataclass(frozen=True)
class CurvedLinear:
    """A softmax-linear model with its curvature."""

    fitted: Bridge
    model: SoftmaxLinear
    train: Rows
    weight: np.ndarray  # what a row counts in the objective, (n,) or (n, n_outputs)
    copy: np.ndarray  # what one copy of it counts
    curvature: Curvature
    details: InfluenceDetails
    damping: float = 0.0  # in units of the summed loss
    by_rows: bool = False  # whether rows, or sparse columns, stand for H

    @property
    def _kronecker(self) -> bool:
        return self.details.curvature == "kfac"

    def by_columns(self) -> CurvedLinear:
        """The same with H⁻¹ as matrices, summed up only now where the rows stood for it."""
        if not self.by_rows:
            return self
        model, rows = self.model, self.train
        check_fits(model, len(rows.codes), False, self._kronecker, _FEWER_COLUMNS)
        with one_blas_thread(unless=model.beta.size > LARGE):
            data = model, rows.X, rows.codes, self.weight
            H = fit_curvature(*data, kronecker=self._kronecker).hessian
            return replace(self, curvature=H.invert(model, self.damping), by_rows=False)

    def columns_instead(self, residual: float) -> bool:
        """Whether solves by rows lost digits, and memory holds the matrices."""
        return columns_instead(self.model, len(self.train.codes), residual, self._kronecker)

    @cached_property
    def whitening(self) -> Whitening:
        """The training covariance, in which Mahalanobis' lengths are measured."""
        return Whitening(self.train.X, self.train.weight)

    def moved(self, unit: str) -> np.ndarray:
        """Weights of what is perturbed: one copy of each row, or the row with all of them."""
        return self.copy if unit == "copy" else self.weight


@dataclass(frozen=True)
class CurvedNetwork:
    """A network whose parameters move as they were chosen, with its curvature."""

    fitted: NetworkBridge
    network: Network
    choices: Choices
    train: Rows
    weight: np.ndarray
    copy: np.ndarray
    curvature: NetworkCurvature
    details: InfluenceDetails

    def root(self) -> np.ndarray:
        """R with R Rᵀ the covariance of what is perturbed."""
        from ..network._scores import metric_root

        return metric_root(self.network, self.train.X, self.train.weight)


def curve_fitted(
    estimator,
    X,
    y,
    sample_weight,
    choices: Choices | None = None,
    held_out: tuple[Any, Any, Any] | None = None,
    stacklevel: int = 4,
    wide: bool = False,
    pairs: bool = False,
) -> tuple[CurvedLinear | CurvedNetwork, Rows | None]:
    """Check the data, and sum up the objective's curvature; with it the checked held-out rows.

    ``held_out`` are validation rows, labels and weights, as they come. ``wide`` lets the rows
    stand for H where there are fewer of them than columns. ``pairs`` need the root of H⁻¹.
    """
    choices = Choices() if choices is None else choices
    fitted = bridge(estimator)
    check_sliceable(X, "X")
    if held_out is not None:
        check_sliceable(held_out[0], "X_val")
    names = column_names(estimator)
    check_names(names, X, "X")
    if held_out is not None:
        check_names(names, held_out[0], "X_val")
    training = X, y, sample_weight
    prepared = trained_rows(estimator, X)
    unlike = prepared is None and warn_of_unequal_step(estimator, X, y, stacklevel)
    if isinstance(fitted, NetworkBridge):
        fitted.check_weight(sample_weight)
        if not fitted.penalty_known:
            warnings.warn(_PENALTY_UNKNOWN, UserWarning, stacklevel=stacklevel)
        reading = _with_prepared(fitted, estimator, X, prepared)
        if not choices.closed_form:
            network, rows = _curve_network(
                reading, choices, training, held_out, stacklevel, pairs
            )
            return replace(network, fitted=fitted), rows
        linear = fitted.last_layer(choices, X)
        layer = linear if prepared is None else reading.last_layer(choices, X)
        curved, others = _curve_linear(
            layer, choices, training, held_out, network=True, wide=wide
        )
        details = replace(curved.details, penalty_known=fitted.penalty_known)
        return replace(curved, fitted=linear, details=details), others
    choices.check_linear(type(estimator).__name__)
    curved, others = _curve_linear(
        _with_prepared(fitted, estimator, X, prepared),
        choices,
        training,
        held_out,
        own_class(estimator),
        stacklevel=stacklevel + 1,
        wide=wide,
        at_optimum=not unlike,
    )
    return replace(curved, fitted=fitted), others


def _with_prepared(fitted: _AnyBridge, estimator, X, prepared) -> _AnyBridge:
    """The bridge, with the rows that the last step was fitted on in place of X."""
    if prepared is None:
        return fitted
    n_steps: int = 0
    inner = unfrozen(estimator)
    while isinstance(inner, Pipeline):
        n_steps += len(inner.steps) > 1
        inner = inner.steps[-1][1]
    before = fitted.steps[:n_steps]

    def prepare(rows):
        if rows is X:
            return prepared
        for step in before:
            rows = step(rows)
        return rows

    return replace(fitted, steps=(prepare, *fitted.steps[n_steps:]))


def own_class(estimator) -> str:
    """Name of a classifier that is not scikit-learn's; empty for those that are."""
    inner = innermost(estimator)
    while isinstance(inner, FrozenEstimator):
        inner = innermost(inner.estimator)
    kind = type(inner)
    return "" if kind.__module__.partition(".")[0] == "sklearn" else kind.__name__


def _curve_linear(
    fitted: Bridge,
    choices: Choices,
    training: tuple[Any, Any, Any],
    held_out: tuple[Any, Any, Any] | None,
    own_name: str = "",
    network: bool = False,
    stacklevel: int = 0,
    wide: bool = False,
    at_optimum: bool = True,
) -> tuple[CurvedLinear, Rows | None]:
    train = linear_rows(fitted, *training)
    others = None if held_out is None else linear_rows(fitted, *held_out, "_val")
    if others is not None:
        check_same_columns(train, others)
    model = fitted.make_model(train.X.shape[0])
    if model.n_features != train.X.shape[1]:
        raise ValueError(
            f"X has {train.X.shape[1]} features where the model sees it, but the model "
            f"was fitted on {model.n_features}. Pass the columns it was fitted on."
        )
    weight = fitted.loss_weight(train.codes, train.weight)
    # What a penalty beside the mean loss is multiplied by beside the sum. A skorch net's and a
    # TorchClassifier's weights sum to the number of rows.
    mean_of_rows = network and fitted.loss_weight is not as_given
    unit = float(train.X.shape[0] if mean_of_rows else train.weight.sum())
    curvature = choices.curvature
    if curvature in ("auto", "ggn"):  # scores are linear in the parameters: ggn is exact
        small = not network or model.n_parameters <= _LARGEST_EXACT_LAYER
        curvature = "exact" if small or choices.curvature == "ggn" else "kfac"
    kronecker = curvature == "kfac"
    n_present = int(np.count_nonzero(train.weight))
    columns = sparse_width(model, train.X, n_present) if wide and not kronecker else 0
    rows = bool(columns) or (wide and by_rows(model, n_present, kronecker))
    remedy = _FEWER_COLUMNS
    if wide and choices.curvature == "auto" and weight.ndim == 1:
        remedy = (_KFAC if kronecker_fits(model, n_present) else "") + remedy
    check_fits(model, columns or n_present, rows, kronecker, remedy)
    damping = choices.damping
    if damping == "auto" and not network:
        damping = 0.0  # at an optimum there is nothing to make up for
    penalty = float(model.l2.min()) / unit
    with one_blas_thread(unless=(n_present if rows else model.beta.size) > LARGE):
        data = model, train.X, train.codes, weight
        total: Objective
        inverse: Curvature | None = None
        if rows:
            kind = SparseHessian if columns else RowHessian
            total = sum_by_rows(*data, kronecker=kronecker, kind=kind)
            used = resolve_damping(damping, mean_eigenvalue(total, model, unit), penalty)
            inverse = _invert_by_rows(total, model, used * unit, n_present, kronecker)
        rows = inverse is not None
        if inverse is None:
            total = fit_curvature(*data, kronecker=kronecker)
            used = resolve_damping(damping, mean_eigenvalue(total, model, unit), penalty)
            inverse = total.hessian.invert(model, used * unit)
    if at_optimum and not network:
        check_stationary(total, inverse, float(train.weight.sum()), own_name, stacklevel)
    norm = float(np.linalg.norm(total.gradient)) / unit
    details = InfluenceDetails(curvature, used, model.n_parameters, norm)
    copy = one_copy(weight, train.weight)
    curved = CurvedLinear(
        fitted, model, train, weight, copy, inverse, details, used * unit, rows
    )
    return curved, others


def _invert_by_rows(
    total: Objective, model: SoftmaxLinear, damping: float, n_rows: int, kronecker: bool
) -> Curvature | None:
    """H⁻¹ by rows; None where that loses digits, and memory holds the matrices."""
    error = np.inf
    try:
        curvature = total.hessian.invert(model, damping)
        error = curvature.error_of_rows
    except np.linalg.LinAlgError:
        if not columns_instead(model, n_rows, error, kronecker):
            raise
    return None if columns_instead(model, n_rows, error, kronecker) else curvature


def one_copy(weight: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """What one copy's loss counts: class weights stay, the sample weight goes."""
    if (sample_weight == 1.0).all():
        return weight
    share = np.divide(
        1.0, sample_weight, out=np.zeros_like(sample_weight), where=sample_weight > 0
    )
    return (weight.T * share).T


def check_stationary(
    total: Objective,
    curvature: Curvature,
    weight: float,
    own_name: str,
    stacklevel: int,
) -> None:
    """Warn where the coefficients are not the optimum the formulas differentiate."""
    step = curvature.refined(total.gradient).h
    excess = 0.5 * float((total.gradient * step).sum()) / max(total.loss, 1e-300)
    if excess > _STATIONARY:
        own = ""
        if own_name:
            own = (
                f" Otherwise the bridge of {own_name} states another penalty than its fit "
                "minimises: check l2, l1 and l2_per_row of Bridge.linear."
            )
        size = np.abs(total.gradient).max() / weight
        warnings.warn(
            f"The classifier is not at its optimum on these rows: the gradient of its "
            f"objective is {size:.2g} per unit of weight, and one Newton step would "
            f"lower the objective by {100 * excess:.2g} %. Influence describes the "
            "optimum, so the scores are off. Let the solver finish (larger max_iter, "
            "smaller tol, scaled features), and pass the X, y and sample_weight that "
            f"the classifier was fitted on.{own}",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )


def _curve_network(
    fitted: NetworkBridge,
    choices: Choices,
    training: tuple[Any, Any, Any],
    held_out: tuple[Any, Any, Any] | None,
    stacklevel: int,
    pairs: bool,
) -> tuple[CurvedNetwork, Rows | None]:
    train = _network_rows(fitted, training, "")
    network = fitted.network(choices, training[0])  # says so where there is no torch
    from ..network._scores import curve_network

    others = None if held_out is None else _network_rows(fitted, held_out, "_val")
    if others is not None:
        check_same_columns(train, others)
    weight = fitted.loss_weight(train.codes, train.weight)
    if fitted.loss_weight is as_given:  # of a sum; the network's objective is a mean of n rows
        share = len(weight) / weight.sum()
        weight = weight * share
        penalty = {name: value * share for name, value in network.penalty.items()}
        network = replace(network, penalty=penalty)
    curvature, facts = curve_network(
        network,
        (train.X, train.codes, weight),
        choices.curvature,
        choices.damping,
        low_rank=choices.approximation is not None,
        pairs=pairs,
    )
    smallest = getattr(curvature, "smallest", 0.0)
    if smallest < 0:
        warnings.warn(
            "The network is not at a minimum: its Hessian has eigenvalues down to "
            f"{smallest:.2g}. Scores then describe a stationary point that training would "
            'leave. Use curvature="ggn", or more damping than so far by that much.',
            UserWarning,
            stacklevel=stacklevel,
        )
    copy = one_copy(weight, train.weight)
    details = InfluenceDetails(**facts, penalty_known=fitted.penalty_known)
    curved = CurvedNetwork(fitted, network, choices, train, weight, copy, curvature, details)
    return curved, others


def _network_rows(fitted: NetworkBridge, data: tuple[Any, Any, Any], suffix: str) -> Rows:
    X, y, sample_weight = data
    X = through_steps(fitted.transform, X, f"X{suffix}")
    check_rows(X, f"X{suffix}", SPARSE_LAYER)
    return labelled(X, y, sample_weight, fitted.classes, suffix)
