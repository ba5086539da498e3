"""The trained rows of a fitted classifier, ready to be paired with any others.

What all of `fi_pairwise`, `fi_active`, the sampler and the embedding stand on. A softmax-linear
model (a network's last layer among them) is paired in closed form, other networks by torch.
Other rows come as they are, in one piece or as an iterator of batches, and are never held in
memory all at once unless they are already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import _num_samples, column_or_1d

from .._utils._checks import check_rows, encode_labels, sliceable
from .._utils._chunks import block_rows, dense_rows, map_blocks, one_blas_thread
from ..bridge import Bridge
from ..bridge._network import SPARSE_LAYER, linear_part
from ..linear._active import LinearPairs
from ..linear._aggregate import aggregate_rows, row_shares
from ..linear._losses import ValidationLoss, resolve_validation_loss
from ..linear._pool_gradients import finish, score_gradient
from ..linear._quadratic import Quadratic, cheaper_by_root, principal_root
from ..linear._softmax import SoftmaxLinear
from ..linear._span import project
from ..linear._vectors import DenseVectors, FactoredVectors
from ._curved import LARGE, CurvedLinear, LinearReading, check_width
from ._measure import Measure
from ._network import CurvedNetwork
from ._reading import LabelledData, read_fitted
from ._rows import check_names, column_names, linear_features, through_steps

if TYPE_CHECKING:
    from ..network._network import Labelled


@dataclass(frozen=True)
class PoolGradients:
    """Gradients of a block of other rows, and what the model predicts for them."""

    c: np.ndarray  # u = c ⊗ x̃ (b, n_outputs)
    log_p: np.ndarray  # (b, K)


@dataclass
class LinearReader:
    """A softmax-linear model, to look at rows through."""

    fitted: Bridge
    model: SoftmaxLinear
    loss: ValidationLoss
    names: np.ndarray | None  # of the columns, where no step before the model knows them

    @property
    def doubles_per_row(self) -> int:
        """Of another row, with all that is kept of it for a batch."""
        return self.model.n_features + 4 * self.model.link.n_classes

    @property
    def _one_thread(self) -> AbstractContextManager[None]:
        return one_blas_thread(unless=self.model.beta.size > LARGE)

    def features(self, X: Any, name: str) -> Any:
        """Rows where the model sees them (b, d), checked; CSR stays CSR."""
        check_names(self.names, X, name)
        X = linear_features(self.fitted, X, name)
        check_width(self.model, X, name)
        return X

    def codes(self, y: Any, name: str) -> np.ndarray:
        return encode_labels(column_or_1d(y, warn=True), self.fitted.classes, name)

    def gradients_of(
        self, X: np.ndarray, codes: np.ndarray | None, score: str = "fi"
    ) -> PoolGradients:
        """Gradients at features X, for labels or for those that the model predicts."""
        model = self.model
        z = model.scores(X)
        log_p = model.link.log_proba(z)
        c = model.link.pull_back(z, score_gradient(score, log_p, codes, self.loss))
        return PoolGradients(c, log_p)

    def _map(
        self,
        function: Callable,
        X: Any,
        codes: np.ndarray | None = None,
        size: int | None = None,
        score: str = "fi",
    ) -> np.ndarray:
        """``function(x̃, PoolGradients)`` of blocks of features, stacked."""
        model = self.model
        if size is None:
            size = block_rows(2 * model.n_features + 8 * model.link.n_classes)

        def part(rows: slice) -> np.ndarray:
            block = dense_rows(X, rows)
            pool = self.gradients_of(block, None if codes is None else codes[rows], score)
            return function(model.extended(block), pool)

        with self._one_thread:
            return np.concatenate(list(map_blocks(part, X.shape[0], size)))

    def log_proba(self, X: Any) -> np.ndarray:
        """Log-probabilities of features X (b, K)."""
        model = self.model

        def part(rows: slice) -> np.ndarray:
            return model.link.log_proba(model.scores(dense_rows(X, rows)))

        size = block_rows(model.n_features + 6 * model.link.n_classes)
        with self._one_thread:
            return np.concatenate(list(map_blocks(part, X.shape[0], size)))

    def mapped(self, function: Callable, doubles_per_row: int) -> Callable[[Any], np.ndarray]:
        """Function of features (b, d) out of one of blocks ``(x̃, PoolGradients)``."""
        return lambda X: self._map(function, X, size=block_rows(doubles_per_row))


@dataclass
class LinearPairing(LinearReader):
    """Training rows of a softmax-linear model."""

    curved: CurvedLinear  # in the basis, where there is one
    metric: str = "euclidean"
    unit: str = "copy"
    basis: np.ndarray | None = None  # of the span of few rows of many columns (d, r)
    forms: dict[str, Quadratic] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        train = self.curved.train
        self.present = np.flatnonzero(train.weight > 0)
        self.weight = train.weight[self.present]
        self.even = bool((self.weight == 1).all())

    @property
    def n_rows(self) -> int:
        """Training rows, those of weight 0 among them."""
        return self.curved.train.X.shape[0]

    @cached_property
    def pairs(self) -> LinearPairs:
        curved, train = self.curved, self.curved.train
        weight = curved.perturbed_weight(self.unit)
        every = len(self.present) == self.n_rows
        rows = slice(None) if every else self.present
        root = curved.whitening.root if self.metric == "mahalanobis" else None
        data = train.X[rows], train.codes[rows], weight[rows]
        return curved.curvature.pairs(curved.model, *data, root)

    def shares(self, aggregate: str) -> np.ndarray:
        """What each training row counts in a quadratic form."""
        if aggregate == "mean":
            return row_shares("mean", self.weight, self.weight)
        return row_shares("row_trimmed_mean", self.pairs.expected, self.weight)

    def quadratic(self, aggregate: str) -> Quadratic:
        """``uᵀCu`` the mean of FI, over all training rows or the middle of them; kept."""
        if aggregate not in self.forms:
            outputs = self.model.link.n_outputs
            with self._one_thread:
                C, L = self._matrix(aggregate)
                self.forms[aggregate] = Quadratic(outputs, C, L)
        return self.forms[aggregate]

    def _matrix(self, aggregate: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        """C, or a root of it where that has few columns."""
        rank = len(self.present) * (self.model.link.n_classes - 1)
        share = self.shares(aggregate)
        if cheaper_by_root(self.curved.model.beta.size, self.model.link.n_outputs, rank):
            return None, self.pairs.stacked(share)
        return self.pairs.quadratic(share), None

    def root(self, aggregate: str) -> tuple[np.ndarray, np.ndarray]:
        """L (m, rank) with L Lᵀ = C, and the variance of each coordinate of ``Lᵀu``."""
        with self._one_thread:
            C, L = self._matrix(aggregate)
            root, variance = principal_root(C, L, *self.curved.curvature.root())
        if self.basis is None:
            return root, variance
        outputs, r = len(self.model.beta), self.basis.shape[1]
        parts = root.reshape(outputs, -1, root.shape[1])
        lifted = np.einsum("dr,krc->kdc", self.basis, parts[:, :r])
        whole = np.concatenate([lifted, parts[:, r:]], axis=1)
        return whole.reshape(-1, root.shape[1]), variance

    def pairwise(self, X: Any, codes: np.ndarray | None) -> np.ndarray:
        """FI of features X through each training row (b, n)."""
        pairs = self.pairs.keep()
        fi = self._map(
            lambda x, pool: pairs.pairs(project(self.basis, x), pool.c),
            X,
            codes,
            pairs.other_rows(),
        )
        if len(self.present) == self.n_rows:
            return fi
        out = np.zeros((X.shape[0], self.n_rows))
        out[:, self.present] = fi
        return out

    def active(
        self, aggregate: str | Callable, score: str = "fi"
    ) -> Callable[[Any], np.ndarray]:
        """Function of features (b, d) that returns their scores (b,)."""
        if isinstance(aggregate, str):
            quadratic = self.quadratic(aggregate)
            size = block_rows(2 * self.model.beta.shape[1] + quadratic.doubles_per_row)

            def from_form(x: np.ndarray, pool: PoolGradients) -> np.ndarray:
                return finish(score, quadratic(project(self.basis, x), pool.c), pool.log_p)

            return lambda X: self._map(from_form, X, None, size, score)
        pairs, weight = self.pairs.keep(), None if self.even else self.weight

        def from_pairs(x: np.ndarray, pool: PoolGradients) -> np.ndarray:
            fi = aggregate_rows(aggregate, pairs.pairs(project(self.basis, x), pool.c), weight)
            return finish(score, fi, pool.log_p)

        size = pairs.other_rows()
        return lambda X: self._map(from_pairs, X, None, size, score)

    def vectors(self, X: Any, aggregate: str | Callable, score: str = "fi") -> FactoredVectors:
        """Vectors of features X in which FI, or the gradient's own length, is a length.

        For the flip ratio, whose gradients say nothing of what kind of row it is, those of the
        predicted label's loss, as BADGE has them.
        """
        model = self.model
        c = self._map(lambda x, pool: pool.c, X)
        if score == "flip_ratio":
            return FactoredVectors(X, c, model.fit_intercept)
        if self.basis is not None:
            X = X @ self.basis
        form = self.quadratic(_quadratic_of(aggregate))
        return FactoredVectors(X, c, model.fit_intercept, form)


@dataclass
class NetworkPairing:
    """Training rows of a network whose parameters move as they were chosen."""

    curved: CurvedNetwork
    loss: ValidationLoss
    metric: str = "euclidean"
    unit: str = "copy"
    names: np.ndarray | None = None  # as in `LinearReader`

    def __post_init__(self) -> None:
        train = self.curved.train
        self.present = np.flatnonzero(train.weight > 0)
        self.weight = train.weight[self.present]
        self.even = bool((self.weight == 1).all())
        self.n_rows = len(train.X)

    @property
    def doubles_per_row(self) -> int:
        """Of another row, its pairs with all training rows among them."""
        row = int(np.prod(self.curved.train.X.shape[1:]))
        return row + 3 * self.n_rows

    def features(self, X: Any, name: str) -> Any:
        """Rows as the module takes them."""
        check_names(self.names, X, name)
        X = through_steps(self.curved.fitted.transform, X, name)
        check_rows(X, name, SPARSE_LAYER)
        X = np.asarray(X)
        if X.dtype.kind == "f" and not np.isfinite(X).all():
            raise ValueError(f"Input {name} contains NaN or infinity.")
        if X.shape[1:] != self.curved.train.X.shape[1:]:
            raise ValueError(
                f"Rows of {name} have shape {X.shape[1:]}, but those the network was trained "
                f"on {self.curved.train.X.shape[1:]}."
            )
        return X

    def codes(self, y: Any, name: str) -> np.ndarray:
        return encode_labels(column_or_1d(y, warn=True), self.curved.fitted.classes, name)

    @property
    def _train(self) -> Labelled:
        from ..network._network import Labelled

        curved, rows = self.curved, self.present
        weight = curved.perturbed_weight(self.unit)
        # s_i/n is that of all training rows, also where some have no weight.
        share = weight[rows] * (len(rows) / self.n_rows)
        return Labelled(curved.train.X[rows], curved.train.codes[rows], share)

    @property
    def _settings(self) -> dict[str, Any]:
        choices = self.curved.choices
        return {
            "rank": choices.n_components if choices.approximation else None,
            "seed": choices.random_state,
            "root": self.curved.root() if self.metric == "mahalanobis" else None,
        }

    def log_proba(self, X: Any) -> np.ndarray:
        """Log-probabilities of rows X (b, K)."""
        from ..network._network import scores_all

        network = self.curved.network
        return network.link.log_proba(scores_all(network, X))

    def pairwise(self, X: Any, codes: np.ndarray | None, score: str = "fi") -> np.ndarray:
        """FI of rows X through each training row (b, n)."""
        from ..network._pairs import cotangents, fi_pairs

        curved = self.curved
        out = np.zeros((len(X), self.n_rows))
        out[:, self.present] = fi_pairs(
            curved.network,
            curved.curvature,
            self._train,
            X,
            cotangents(curved.network, X, codes, self.loss, score),
            **self._settings,
        )
        return out

    def active(
        self, aggregate: str | Callable, score: str = "fi"
    ) -> Callable[[Any], np.ndarray]:
        """Function of rows (b, ...) that returns their scores (b,)."""
        weight = None if self.even else self.weight
        share = self.shares(aggregate) if isinstance(aggregate, str) else None

        def function(X: Any) -> np.ndarray:
            pairs = self.pairwise(X, None, score)[:, self.present]
            if isinstance(aggregate, str):
                fi = pairs @ share
            else:
                fi = aggregate_rows(aggregate, pairs, weight)
            return finish(score, fi, self.log_proba(X))

        return function

    def shares(self, aggregate: str) -> np.ndarray:
        """What each training row of positive weight counts in a mean over them."""
        from ..network._pairs import expected_fi

        if aggregate == "mean":
            return row_shares("mean", self.weight, self.weight)
        curved = self.curved
        expected = expected_fi(curved.network, curved.curvature, self._train, **self._settings)
        return row_shares("row_trimmed_mean", expected, self.weight)

    def vectors(self, X: Any, aggregate: str | Callable, score: str = "fi") -> DenseVectors:
        """Vectors of rows X whose squared lengths are their mean FI, n (K - 1) long.

        For every score: gradients of all parameters are too long to keep.
        """
        from ..network._pairs import cotangents, pair_vectors

        curved = self.curved
        vectors = pair_vectors(
            curved.network,
            curved.curvature,
            self._train,
            X,
            cotangents(curved.network, X, None, self.loss),
            self.shares(_quadratic_of(aggregate)),
            **self._settings,
        )
        return DenseVectors(vectors)


def _quadratic_of(aggregate: str | Callable) -> str:
    """The quadratic form that stands in for an aggregate of pairs."""
    return "mean" if aggregate == "mean" else "row_trimmed_mean"


def pair_fitted(
    estimator: Any, training: LabelledData, measure: Measure
) -> LinearPairing | NetworkPairing:
    """Check the training rows of a fitted classifier, and make them ready."""
    loss = resolve_validation_loss(measure.validation_loss)
    if measure.curvature == "cg":
        raise ValueError(
            'curvature="cg" has products with the inverse only, and pairs need its root. Use '
            '"kfac", "ekfac" or "ggn".'
        )
    if measure.approximation is not None:  # all batches of a pool see the same draws
        seed = check_random_state(measure.random_state).randint(np.iinfo(np.int32).max)
        measure = replace(measure, random_state=int(seed))
    reading = read_fitted(estimator, training, measure, pairs=True)
    names, settings = column_names(estimator), (measure.metric, measure.unit)
    basis = None
    if isinstance(reading, LinearReading):
        reading, basis = reading.in_span()
    curved = reading.curve()
    if isinstance(curved, CurvedNetwork):
        return NetworkPairing(curved, loss, *settings, names)
    model = curved.fitted.make_model(curved.train.X.shape[0])
    return LinearPairing(curved.fitted, model, loss, names, curved, *settings, basis)


def read_linear(estimator: Any, X: Any, validation_loss: str | ValidationLoss) -> LinearReader:
    """A fitted classifier, of a network its last layer; X are rows to try a network on."""
    fitted = linear_part(estimator, X)
    model = fitted.make_model(1)  # penalties alone know of the number of rows
    names = column_names(estimator)
    return LinearReader(fitted, model, resolve_validation_loss(validation_loss), names)


def row_batches(X: Any, doubles_per_row: int) -> Iterator[Any]:
    """Rows in batches under scikit-learn's ``working_memory``; an iterator has its own."""
    if isinstance(X, Iterator):
        yield from X
        return
    n_rows = _num_samples(X)
    X = sliceable(X)
    memory = get_config()["working_memory"] * 2**20 / 8
    size = max(1, int(memory // (4 * doubles_per_row)))
    if size >= n_rows:
        yield X
        return
    for start in range(0, n_rows, size):
        rows = slice(start, min(start + size, n_rows))
        yield X[rows] if sparse.issparse(X) else _safe_indexing(X, rows)
