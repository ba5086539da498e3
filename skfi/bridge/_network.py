"""What the measure asks of a fitted network, and the choices it leaves to the user.

A network is read in two ways. With the last layer's parameters and its input perturbed it
is a softmax-linear model on features, and takes the closed form of all linear classifiers
(`NetworkBridge.last_layer`). With other parameters, or its own input perturbed, it is
differentiated by torch (`NetworkBridge.network`), which is imported only then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._utils._warning_scopes import ignored
from ._base import Bridge, LossWeight, as_given, bridge

if TYPE_CHECKING:
    from ..network._network import Network

CURVATURES = ("auto", "exact", "ggn", "kfac", "ekfac", "cg")
_NAMED_PARAMS = ("last_layer", "all")
_SAMPLE = 8  # rows on which a network is tried out
# What else helps where sparse rows are refused, of an MLPClassifier.
SPARSE_LAYER = ' Or leave params and perturbation at "last_layer" and "features".'


# What bridges say of nets that stop early, of the scores of training rows.
_HELD_BACK = r"(The net|MLPClassifier\(early_stopping=True\)) keeps"


def of_other_rows() -> AbstractContextManager[None]:
    """Read classifiers without the warnings that are about scores of training rows."""
    return ignored(UserWarning, _HELD_BACK)


class NoLastLayer(ValueError):
    """The module's scores are not those of a linear layer at its end; the caller advises."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason} {advice}")
        self.reason, self.advice = reason, advice

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.advice)


# For callers without a `params`.
END_IN_LINEAR = "End the module in the nn.Linear whose scores it returns."
QUERY_OTHERWISE = (
    END_IN_LINEAR + " Or query by skfi.queries.Margin, Entropy or LeastConfident, which read "
    "probabilities alone."
)
TRIM_OTHERWISE = (
    'Pass influence_params={"params": "all", "perturbation": "input"}: the module is then '
    "differentiated as it is. Or end it in the nn.Linear whose scores it returns."
)


@contextmanager
def advising(advice: str) -> Iterator[None]:
    """Say what to do where a last layer cannot be read, in the caller's terms."""
    try:
        yield
    except NoLastLayer as error:
        raise NoLastLayer(error.reason, advice) from error


def _is(kind: type, value: Any, least: int) -> bool:
    """Whether a finite number of a kind, which a bool is not, is at least so large."""
    number = isinstance(value, kind) and not isinstance(value, bool)
    return number and least <= value < np.inf


@dataclass(frozen=True)
class Choices:
    """How a network is differentiated; see `skfi.fi_util` for what each means."""

    params: Any = "last_layer"  # or "all", names, or a predicate on names
    perturbation: str | None = "features"  # or "input"; None: no row is moved
    curvature: str = "auto"
    damping: float | str = "auto"
    approximation: str | None = None
    n_components: int | None = None
    dtype: str | None = None
    random_state: Any = None

    def __post_init__(self) -> None:
        if self.perturbation not in ("features", "input", None):
            raise ValueError(
                f'perturbation={self.perturbation!r} is not known; use "features" (the '
                'last layer\'s input) or "input".'
            )
        if self.curvature not in CURVATURES:
            raise ValueError(
                f"curvature={self.curvature!r} is not known; use one of {list(CURVATURES)}."
            )
        if self.approximation not in (None, "kfsvd"):
            raise ValueError(
                f'approximation={self.approximation!r} is not known; use None or "kfsvd".'
            )
        if self.approximation is None and self.n_components is not None:
            raise ValueError(
                f"n_components={self.n_components!r} is the rank of an approximation, and "
                'approximation is None. Set approximation="kfsvd", or leave it out.'
            )
        if self.approximation is not None:
            self._check_rank()
        if self.dtype not in (None, "float32", "float64"):
            raise ValueError(
                f"dtype={self.dtype!r} is not known; use None (the network's own), "
                '"float32" or "float64".'
            )
        self._check_damping()
        self._check_params()

    def _check_rank(self) -> None:
        if not _is(Integral, self.n_components, 1):
            raise ValueError(
                f"n_components={self.n_components!r} must be an integer of at least 1: the "
                f"rank to which approximation={self.approximation!r} cuts mixed derivatives."
            )

    def _check_damping(self) -> None:
        if self.damping != "auto" and not _is(Real, self.damping, 0):
            raise ValueError(
                f'damping={self.damping!r} must be a finite number of at least 0, or "auto".'
            )

    def _check_params(self) -> None:
        if callable(self.params) or self._params_named:
            return
        named = isinstance(self.params, Collection) and not isinstance(self.params, str)
        if not named or not all(isinstance(name, str) for name in self.params):
            raise ValueError(
                f"params={self.params!r} is not known; use one of {list(_NAMED_PARAMS)}, a "
                "list of parameter names, or a function of a name that tells whether it "
                "moves."
            )

    def check_linear(self, name: str) -> None:
        """Refuse what makes no sense for a softmax-linear classifier."""
        if not self._params_named:
            raise ValueError(
                f"params={self.params!r} chooses among a network's parameters, and {name} is "
                'linear: all of its coefficients move. Leave it at "last_layer".'
            )
        if self.curvature in ("ekfac", "cg"):
            raise ValueError(
                f'curvature={self.curvature!r} is for networks; for {name} use "exact" (or '
                '"auto", the same), or "kfac".'
            )
        if self.dtype == "float32":
            raise ValueError(
                f'dtype="float32" is for networks; the scores of {name} are computed in '
                "float64. Leave it out."
            )
        if self.approximation is not None:
            raise ValueError(
                f"approximation={self.approximation!r} is for networks; the scores of {name} "
                "are exact at a lower cost. Leave it out."
            )

    @property
    def _params_named(self) -> bool:
        return isinstance(self.params, str) and self.params in _NAMED_PARAMS

    @property
    def closed_form(self) -> bool:
        """Whether this is the last layer on its own features, known in closed form."""
        return (
            isinstance(self.params, str)
            and self.params == "last_layer"
            and self.perturbation != "input"
            and self.curvature in ("auto", "exact", "ggn", "kfac")
            and self.approximation is None
        )


@dataclass(frozen=True)
class NetworkBridge:
    """A fitted network as the measure sees it.

    Parameters
    ----------
    make_last_layer : callable
        ``(choices, rows) -> Bridge`` of the last layer, whose steps turn rows into
        features; a few rows, as `prepare` returns them, on which to try the network out.
    make_network : callable
        ``(choices, rows, n_rows) -> Network``, the torch module for `skfi.network`; n_rows
        is that of the whole training set.
    classes : ndarray of shape (K,)
        Labels in the order of the outputs.
    prepare : callable
        Rows as they come -> array the module takes, (n, …).
    loss_weight : callable
        As in `Bridge`.
    weighted : bool
        Was it trained by a fit that takes sample weights?
    steps : tuple of callables
        What the data goes through before it reaches the network.
    penalty_known : bool
        Is the penalty that it was trained with known? Otherwise it is read as none.
    """

    make_last_layer: Callable[[Choices, Any], Bridge]
    make_network: Callable[[Choices, Any, int], Network]
    classes: np.ndarray
    prepare: Callable[[Any], Any]
    loss_weight: LossWeight = as_given
    weighted: bool = True
    steps: tuple[Callable[[Any], Any], ...] = field(default=())
    penalty_known: bool = True

    def last_layer(self, choices: Choices, X: Any) -> Bridge:
        """The softmax-linear model on the last layer's input; X as it comes."""
        linear = self.make_last_layer(choices, self._sample(X))
        return replace(linear, classes=self.classes, steps=(self.transform, *linear.steps))

    def network(self, choices: Choices, X: Any) -> Network:
        """The torch module to differentiate; X as it comes."""
        return self.make_network(choices, self._sample(X), _num_samples(X))

    def check_weight(self, sample_weight: Any) -> None:
        """Refuse weights that the fit cannot have seen."""
        if sample_weight is not None and not self.weighted:
            raise ValueError(
                "sample_weight was passed, but skorch's fit takes none, so the net was trained "
                "without. Leave the weights out."
            )

    def _sample(self, X: Any) -> Any:
        if isinstance(X, Mapping | tuple):  # inputs in parts, as skorch takes them
            return self.transform(X)
        return self.transform(_safe_indexing(X, np.arange(min(_SAMPLE, _num_samples(X)))))

    def transform(self, X: Any) -> Any:
        """Send X through the steps before the network, and into an array it takes."""
        for step in self.steps:
            X = step(X)
        return self.prepare(X)


def linear_part(estimator: Any, X: Any) -> Bridge:
    """The linear model and the steps before it; some rows of X find a network's last layer."""
    with of_other_rows(), advising(QUERY_OTHERWISE):
        fitted = bridge(estimator)
        if isinstance(fitted, NetworkBridge):
            fitted = fitted.last_layer(Choices(), X)
    return fitted
