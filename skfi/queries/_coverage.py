"""Which parts of the pool no label speaks for: strategies that look at distances alone.

They need no probabilities, and a classifier only for the space in which it sees the rows, so
that they work from the first label on.
"""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import euclidean_distances, pairwise_distances_argmin
from sklearn.metrics.pairwise import paired_euclidean_distances
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import Interval

from .._utils._chunks import one_blas_thread
from .._utils._trained_rows import fit_on_own_rows
from .._utils._warning_scopes import ignored
from ._base import QueryStrategy, representation
from ._select import select_top

# As in the authors' code of TypiClust: clusters of so many rows are taken for outliers, and
# more clusters than this are found on batches of rows.
_SMALL_CLUSTER = 5
_MANY_CLUSTERS = 50
_KMEANS_BATCH = 5000


class _Coverage(QueryStrategy):
    """What strategies in the space of `representation` share."""

    _needs_model = False
    _needs_proba = False

    def _fitted_model(self, X, y):
        model = super()._fitted_model(X, y)
        if model is None and isinstance(self.estimator, Pipeline):
            # One class fits no classifier, but what stands before it can be fitted.
            last = self.estimator.steps[-1][0]
            steps = clone(self.estimator).set_params(**{last: "passthrough"})
            model = fit_on_own_rows(steps, X, y)
        return model

    def _prepare(self, model, X, y):
        return {"_labelled": representation(model, X)}

    def _pool_and_labelled(self, X_pool):
        """Representations of both, either dense or both CSR."""
        pool, labelled = representation(self.estimator_, X_pool), self._labelled
        if sparse.issparse(pool) and not sparse.issparse(labelled):
            labelled = type(pool)(labelled)
        elif sparse.issparse(labelled) and not sparse.issparse(pool):
            labelled = labelled.toarray()
        return pool, labelled


class CoreSet(_Coverage):
    """Rows far from all that are labelled, and from each other: greedy k-centre.

    The score is the Euclidean distance to the nearest labelled row. A batch takes the row of
    the largest distance, counts it as labelled, and so on.

    Parameters
    ----------
    estimator : estimator, default=None
        Whose representation distances are taken in: what enters the last layer of a network,
        what the steps of a Pipeline make of the rows. No probabilities are needed. A clone
        is fitted, a `FrozenEstimator` is used as it is. None: the rows as they are.
    batch_size : int, default=1
        Rows a query asks for.
    random_state : int, RandomState instance or None, default=None
        The order of ties.

    Attributes
    ----------
    estimator_ : estimator or None
        The fitted classifier; None where none was given. Where all labels are of one class,
        of a Pipeline the steps before the classifier, else None. None takes distances
        between the rows as they are.
    classes_ : ndarray of shape (K,)
        Labels seen in `fit`, or the classifier's.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` has string column names.

    See Also
    --------
    TypiClust : Prefers dense regions, where this one goes to the edges.

    Notes
    -----
    The largest distance from a row to its nearest centre is at most twice the smallest that
    any choice of the batch could reach. Scale the features in a Pipeline. A query takes
    O((n_labelled + batch_size) n_pool d) time, and no matrix of all distances is held.

    References
    ----------
    O. Sener, S. Savarese: "Active Learning for Convolutional Neural Networks: A Core-Set
    Approach", ICLR 2018 (Algorithm 1).

    Examples
    --------
    >>> from skfi.queries import CoreSet
    >>> strategy = CoreSet(batch_size=2).fit([[0.0], [1.0]], [0, 1])
    >>> strategy.query([[0.5], [9.0], [8.0], [-3.0]])
    array([1, 3])
    """

    def _score(self, X_pool) -> np.ndarray:
        pool, labelled = self._pool_and_labelled(X_pool)
        near = pairwise_distances_argmin(pool, labelled)
        # By differences: from norms and products, a copy is 1e-8 away, or 0 on other machines.
        return paired_euclidean_distances(pool, labelled[near])

    def _select(
        self, X_pool, scores: np.ndarray, size: int, rng: np.random.RandomState
    ) -> np.ndarray:
        pool = representation(self.estimator_, X_pool)
        order = rng.permutation(len(scores))  # of ties
        nearest = scores.copy()
        chosen = np.empty(size, dtype=np.intp)
        for place in range(size):
            farthest = np.flatnonzero(nearest == nearest.max())
            row = farthest[order[farthest].argmin()]
            chosen[place] = row
            distance = euclidean_distances(pool, pool[[row]]).ravel()
            nearest = np.minimum(nearest, distance)
            nearest[row] = -1.0  # below every distance, for good
        return chosen


class TypiClust(_Coverage):
    """The most typical row of each large cluster that holds no label yet.

    Labelled rows and pool are clustered together into ``n_labelled + batch_size`` clusters.
    From the largest cluster without a labelled row on, each gives its most typical row: the
    one with the smallest mean distance to its nearest neighbours within the cluster. The
    score of a row is its typicality, one over its mean distance to its nearest neighbours
    among all rows, which depends on no clustering.

    Parameters
    ----------
    estimator : estimator, default=None
        Whose representation distances are taken in: what enters the last layer of a network,
        what the steps of a Pipeline make of the rows. No probabilities are needed. A clone
        is fitted, a `FrozenEstimator` is used as it is. None: the rows as they are.
    n_neighbors : int, default=20
        Neighbours that typicality is a mean over; all others, where there are fewer.
    max_clusters : int, default=500
        Most clusters to look for.
    batch_size : int, default=1
        Rows a query asks for.
    random_state : int, RandomState instance or None, default=None
        Where clustering starts, and the order of ties. With an int each query of the same
        pool is the same.

    Attributes
    ----------
    estimator_ : estimator or None
        The fitted classifier; None where none was given. Where all labels are of one class,
        of a Pipeline the steps before the classifier, else None. None takes distances
        between the rows as they are.
    classes_ : ndarray of shape (K,)
        Labels seen in `fit`, or the classifier's.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` has string column names.

    See Also
    --------
    CoreSet : Goes to the edges, where this one prefers dense regions.

    Notes
    -----
    For the first few labels. Clusters go in the order of labelled rows they hold, and of
    their size where that is equal; with more rows asked for than there are clusters each
    gives its second most typical row next, and so on. Clusters of 5 rows or fewer, outliers
    rather than clusters, come after all others; more than 50 are found by `MiniBatchKMeans`.
    All this is as in the authors' code, but for typicality: it is computed once per cluster,
    with distances that are not squared, as the paper has it.

    References
    ----------
    G. Hacohen, A. Dekel, D. Weinshall: "Active Learning on a Budget: Opposite Strategies Suit
    High and Low Budgets", ICML 2022.

    Examples
    --------
    The middle of the cluster that no label speaks for, and not the outlier:

    >>> import numpy as np
    >>> from skfi.queries import TypiClust
    >>> X_pool = np.r_[np.linspace(-1, 1, 9), np.linspace(9, 11, 9), 25.0].reshape(-1, 1)
    >>> strategy = TypiClust(random_state=0).fit([[0.0], [0.1]], [0, 0])
    >>> X_pool[strategy.query(X_pool)].round()
    array([[10.]])
    """

    _selects_by_score = False
    _parameter_constraints: dict = {
        **QueryStrategy._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "max_clusters": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator=None,
        *,
        n_neighbors=20,
        max_clusters=500,
        batch_size=1,
        random_state=None,
    ):
        super().__init__(estimator, batch_size=batch_size, random_state=random_state)
        self.n_neighbors = n_neighbors
        self.max_clusters = max_clusters

    def _score(self, X_pool) -> np.ndarray:
        rows, n_labelled = self._together(X_pool)
        return _typicality(rows, self.n_neighbors)[n_labelled:]

    def _select(
        self, X_pool, scores: np.ndarray, size: int, rng: np.random.RandomState
    ) -> np.ndarray:
        rows, n_labelled = self._together(X_pool)
        n_clusters = min(n_labelled + size, self.max_clusters)
        cluster = _clusters(rows, n_clusters, rng)
        n_rows = np.bincount(cluster, minlength=n_clusters)
        covered = np.bincount(cluster[:n_labelled], minlength=n_clusters)
        small = n_rows <= _SMALL_CLUSTER
        order = np.lexsort((-n_rows, covered, small))
        order = order[n_rows[order] > covered[order]]

        # A cluster gives one row a turn, so none after the first `size` has a say.
        index, turn, place = [], [], []
        for position, k in enumerate(order[:size]):
            members = np.flatnonzero(cluster == k)
            in_pool = members >= n_labelled
            typicality = _typicality(rows[members], self.n_neighbors)[in_pool]
            best = select_top(typicality, size, rng)
            index.append(members[in_pool][best] - n_labelled)
            turn.append(np.arange(len(best)))
            place.append(np.full(len(best), position))
        places = np.concatenate(place)
        keys = (places, np.concatenate(turn), small[order[places]])
        return np.concatenate(index)[np.lexsort(keys)[:size]]

    def _together(self, X_pool):
        """Representations of the labelled rows and then the pool; number of the former."""
        pool, labelled = self._pool_and_labelled(X_pool)
        if sparse.issparse(pool):
            rows = sparse.vstack([labelled, pool], format="csr")
        else:
            rows = np.vstack([labelled, pool])
        return rows, labelled.shape[0]


def _clusters(rows, n_clusters: int, rng: np.random.RandomState) -> np.ndarray:
    """Cluster of each row (n,)."""
    if n_clusters <= _MANY_CLUSTERS:
        means = KMeans(n_clusters, random_state=rng)
    else:
        means = MiniBatchKMeans(n_clusters, batch_size=_KMEANS_BATCH, random_state=rng)
    # Fewer distinct rows than clusters: some stay empty, which is no harm here.
    with ignored(ConvergenceWarning), one_blas_thread():
        return means.fit_predict(rows)


def _typicality(rows, n_neighbors: int) -> np.ndarray:
    """One over the mean distance to the nearest others (n,); largest for copies."""
    n_others = rows.shape[0] - 1
    if n_others == 0:
        return np.zeros(1)
    nearest = NearestNeighbors(n_neighbors=min(n_neighbors, n_others)).fit(rows)
    with one_blas_thread():
        distance, _ = nearest.kneighbors()
    return 1.0 / np.maximum(distance.mean(axis=1), np.finfo(np.float64).tiny)
