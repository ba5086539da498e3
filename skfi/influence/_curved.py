"""A softmax-linear model with the curvature of its objective, and the scores on it.

The last layer of a network is one, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from .._utils._chunks import one_blas_thread
from .._utils._user_warnings import warn_user
from ..bridge import Bridge
from ..bridge._base import as_given, innermost
from ..bridge._network import Choices
from ..linear._by_rows import RowHessian, sum_by_rows
from ..linear._conjugate import (
    ConjugateCurvature,
    exact_is_cheap,
    exact_operations,
    fit_operations,
    takes_kfac,
)
from ..linear._covariance import Whitening
from ..linear._curvature import resolve_damping
from ..linear._losses import ValidationLoss
from ..linear._memory import (
    by_rows,
    check_fits,
    columns_instead,
    kronecker_fits,
)
from ..linear._objective import fit_curvature, mean_eigenvalue
from ..linear._operators import Curvature, Objective
from ..linear._removal import removal_all
from ..linear._softmax import SoftmaxLinear, validation_gradient
from ..linear._span import basis_of_span, in_basis
from ..linear._sparse_columns import SparseHessian, sparse_width
from ._rows import Rows

# A fit is taken as converged when one Newton step would lower its objective by less than this
# share. LogisticRegression's default tolerance on scaled features stays under it.
_STATIONARY = 1e-3
# A Hessian of more parameters is worth all of BLAS's threads; a smaller one goes with one.
LARGE = 1500
_OPERATIONS_A_MINUTE = 60 * 2e10  # of one core
# A network's last layer of more parameters is taken by K-FAC: exact costs K² times as much.
_LARGEST_EXACT_LAYER = 1000
_FEWER_COLUMNS = (
    "Cut the columns within the Pipeline (TruncatedSVD, SelectKBest, "
    "HashingVectorizer(n_features=2**12)), or pass a classifier of fewer columns (to a "
    "trimmer: influence_estimator=...)."
)
_KFAC = (
    'Pass curvature="kfac" (to a trimmer: influence_params={"curvature": "kfac"}), an '
    "approximation whose matrices fit here. Or: "
)


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
        Relative error where a matrix of rows by rows stands for H, or K-FAC's: the larger of
        ``‖Hh - u‖/‖u‖``, u the validation loss's gradient, and of what a step of refinement
        changes in a sample of the rows' solves. Where "auto" took K-FAC for a linear
        classifier, ``‖Hh - u‖/‖u‖`` with the exact H. Otherwise None.
    penalty_known : bool
        False where a network's optimizer decays weights in a way whose penalty is not known;
        scores are then computed without a penalty.
    reason : str
        Why "auto" took that curvature; empty where it is exact or was asked for.
    """

    curvature: str
    damping: float
    n_parameters: int
    gradient_norm: float
    residual: float | None = None
    penalty_known: bool = True
    reason: str = ""


@dataclass(frozen=True)
class LinearReading:
    """Checked rows of a softmax-linear model, whose curvature is still to be summed up."""

    fitted: Bridge
    train: Rows
    held_out: Rows | None
    choices: Choices
    own_name: str = ""  # of a classifier that is not scikit-learn's
    network: bool = False  # the last layer of one
    at_optimum: bool = True  # whether the training ended there, as it should have
    wide: bool = False  # whether rows may stand for H where there are fewer than columns
    penalty_known: bool = True
    basis: np.ndarray | None = None  # in which the training rows are already

    def in_span(self) -> tuple[LinearReading, np.ndarray | None]:
        """The same in a basis of the span of the rows, for pairs; the basis where there is one.

        K-FAC and damping that are asked for depend on the number of columns, and stay.
        """
        train, choices = self.train, self.choices
        if self.network or choices.curvature == "kfac" or choices.damping != "auto":
            return self, None
        model = self.fitted.make_model(train.X.shape[0])
        check_width(model, train.X, "X")
        basis = basis_of_span(model, train.X)
        if basis is None:
            return self, None
        return replace(self, train=replace(train, X=train.X @ basis), basis=basis), basis

    def curve(self) -> CurvedLinear:
        """Sum up and invert the Hessian of the objective."""
        train, choices = self.train, self.choices
        model = self.fitted.make_model(train.X.shape[0])
        n_parameters = model.n_parameters
        if self.basis is not None:
            model = in_basis(model, self.basis)
        check_width(model, train.X, "X")
        weight = self.fitted.loss_weight(train.codes, train.weight)
        # What a penalty beside the mean loss is multiplied by beside the sum. A skorch net's
        # and a TorchClassifier's weights sum to the number of rows.
        mean_of_rows = self.network and self.fitted.loss_weight is not as_given
        unit = float(train.X.shape[0] if mean_of_rows else train.weight.sum())
        n_present = int(np.count_nonzero(train.weight))
        curvature, reason = self._kind_of_curvature(model, weight, n_present)
        kronecker = curvature == "kfac"
        narrow = self.wide and not kronecker
        columns = sparse_width(model, train.X, n_present) if narrow else 0
        rows = bool(columns) or (self.wide and by_rows(model, n_present, kronecker))
        remedy = _FEWER_COLUMNS
        if self.wide and choices.curvature == "auto" and weight.ndim == 1:
            remedy = (_KFAC if kronecker_fits(model, n_present) else "") + remedy
        check_fits(model, columns or n_present, rows, kronecker, remedy)
        if choices.curvature == "exact" and not self.network:
            warn_of_cost(model, n_present)

        def damping(total: Objective) -> float:
            if choices.damping == "auto" and not self.network:
                return 0.0  # at an optimum there is nothing to make up for
            mean = mean_eigenvalue(total, model, unit)
            return resolve_damping(choices.damping, mean, float(model.l2.min()) / unit)

        # What is left of sparse columns is inverted sooner than threads have met.
        side = 0 if columns else n_present if rows else model.beta.size
        with one_blas_thread(unless=side > LARGE):
            data = model, train.X, train.codes, weight
            total: Objective
            inverse: Curvature | None = None
            if rows:
                kind = SparseHessian if columns else RowHessian
                total = sum_by_rows(*data, kronecker=kronecker, kind=kind)
                added = damping(total) * unit
                inverse = _invert_by_rows(total, model, added, n_present, kronecker)
            rows = inverse is not None
            if inverse is None:
                total = fit_curvature(*data, kronecker=kronecker)
                inverse = total.hessian.invert(model, damping(total) * unit)
        if self.at_optimum and not self.network:
            check_stationary(total, inverse, float(train.weight.sum()), self.own_name)
        norm = float(np.linalg.norm(total.gradient)) / unit
        used = damping(total)
        if self.wide and reason and not self.network:  # the sign is exact, the metric is not
            inverse = ConjugateCurvature(inverse, model, train.X, weight, used * unit)
        details = InfluenceDetails(
            curvature, used, n_parameters, norm,
            penalty_known=self.penalty_known, reason=reason,
        )  # fmt: skip
        copy = one_copy(weight, train.weight)
        return CurvedLinear(
            self.fitted, model, train, weight, copy, inverse, details, used * unit, rows
        )

    def _kind_of_curvature(
        self, model: SoftmaxLinear, weight: np.ndarray, n_rows: int
    ) -> tuple[str, str]:
        """What stands for H, and why "auto" does not take H itself."""
        chosen = self.choices.curvature
        if chosen != "auto":
            # Scores are linear in the parameters: ggn is exact.
            return "exact" if chosen == "ggn" else chosen, ""
        if self.network:
            if model.n_parameters <= _LARGEST_EXACT_LAYER:
                return "exact", ""
            return "kfac", f"a last layer of more than {_LARGEST_EXACT_LAYER:,} parameters"
        if exact_is_cheap(model, n_rows) or not takes_kfac(model, weight):
            return "exact", ""
        times = exact_operations(model, n_rows) / fit_operations(model, n_rows)
        return (
            "kfac",
            f"exact scores take {times:.0f} times the operations of 100 steps of a fit",
        )


def warn_of_cost(model: SoftmaxLinear, n_rows: int) -> None:
    """Say beforehand that exact scores of several classes will take minutes."""
    minutes = exact_operations(model, n_rows) / _OPERATIONS_A_MINUTE
    if minutes > 1 and model.link.coupled:
        warn_user(
            f'curvature="exact" takes about {minutes:.1g} minutes on one core for {n_rows:,} '
            f'rows and {model.beta.size:,} parameters. curvature="auto" takes K-FAC for the '
            "metric there, and the exact sign."
        )


def check_width(model: SoftmaxLinear, X: Any, name: str) -> None:
    """Refuse rows of other columns than the model was fitted on."""
    if X.shape[1] != model.n_features:
        raise ValueError(
            f"{name} has {X.shape[1]} features where the model sees it, but the model was "
            f"fitted on {model.n_features}. Pass the columns it was fitted on."
        )


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
    by_rows: bool = False  # whether a matrix of rows by rows stands for H

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

    @property
    def large(self) -> bool:
        """Whether products are worth all of BLAS's threads."""
        return self.model.beta.size > LARGE and self.curvature.threaded

    def columns_instead(self, residual: float) -> bool:
        """Whether solves by rows lost digits, and memory holds the matrices."""
        return columns_instead(self.model, len(self.train.codes), residual, self._kronecker)

    @cached_property
    def whitening(self) -> Whitening:
        """The training covariance, in which Mahalanobis' lengths are measured."""
        return Whitening(self.train.X, self.train.weight)

    def perturbed_weight(self, unit: str) -> np.ndarray:
        """Weights of what is perturbed: one copy of each row, or the row with all of them."""
        return self.copy if unit == "copy" else self.weight

    def solve(self, held_out: Rows | None, loss: ValidationLoss) -> SolvedLinear:
        """Solve for the gradient of the mean loss over held-out rows."""
        assert held_out is not None  # the data was checked with them
        data = self.model, held_out.X, held_out.codes, held_out.weight
        curved = self
        with one_blas_thread(unless=self.large):
            u = validation_gradient(*data, loss)
            h, residual = curved.curvature.refined(u)
            if residual is not None and curved.by_rows and curved.columns_instead(residual):
                curved = curved.by_columns()
                h, residual = curved.curvature.refined(u)
        if residual is not None:
            curved.curvature.check(residual)
            curved = replace(curved, details=replace(curved.details, residual=residual))
        return SolvedLinear(curved, h)


@dataclass(frozen=True)
class SolvedLinear:
    """A softmax-linear model, solved."""

    curved: CurvedLinear
    h: np.ndarray  # H⁻¹u, u the gradient of the mean validation loss

    @property
    def details(self) -> InfluenceDetails:
        return self.curved.details

    def influence(self, metric: str, unit: str) -> np.ndarray:
        """FI of each row."""
        curved, train = self.curved, self.curved.train
        whitening = curved.whitening if metric == "mahalanobis" else None
        data = curved.model, train.X, train.codes, curved.perturbed_weight(unit)
        with one_blas_thread(unless=curved.large):
            return curved.curvature.influence(*data, self.h, whitening)

    def influence_and_gain(self, metric: str, unit: str) -> tuple[np.ndarray, np.ndarray]:
        """FI of each row, and what the removal of what moves gains."""
        with one_blas_thread(unless=self.curved.large):
            return self.influence(metric, unit), self.gain(self.curved.perturbed_weight(unit))

    def gain(self, weight: np.ndarray | None = None) -> np.ndarray:
        """First-order decrease of the validation loss when each row goes."""
        curved = self.curved
        weight = curved.copy if weight is None else weight
        return removal_all(curved.model, curved.train.X, curved.train.codes, weight, self.h)


def own_class(estimator: Any) -> str:
    """Name of a classifier that is not scikit-learn's; empty for those that are."""
    inner = innermost(estimator)
    while isinstance(inner, FrozenEstimator):
        inner = innermost(inner.estimator)
    kind = type(inner)
    return "" if kind.__module__.partition(".")[0] == "sklearn" else kind.__name__


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
        warn_user(
            f"The classifier is not at its optimum on these rows: the gradient of its "
            f"objective is {size:.2g} per unit of weight, and one Newton step would "
            f"lower the objective by {100 * excess:.2g} %. Influence describes the "
            "optimum, so the scores are off. Let the solver finish (larger max_iter, "
            "smaller tol, scaled features), and pass the X, y and sample_weight that "
            f"the classifier was fitted on.{own}",
            ConvergenceWarning,
        )
