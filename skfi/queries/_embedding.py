"""FIEmbedding: rows in the coordinates in which FI^active is a squared length."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_feature_names, _check_n_features, check_is_fitted

from .._utils._checks import check_sliceable
from .._utils._trained_rows import fit_on_own_rows, keep_trained_rows
from .._utils._versioned import VersionedState
from ..bridge._base import require_bridge
from ..bridge._network import END_IN_LINEAR, advising
from ..bridge._refusals import check_classifier
from ..bridge._skorch import given_or_default
from ..influence._active import score_pool
from ..influence._measure import Measure
from ..influence._pairing import LinearPairing, pair_fitted, read_linear
from ..influence._rows import check_columns
from ..linear._active import gradients
from ..linear._losses import resolve_validation_loss
from ._base import check_labelled


class FIEmbedding(
    VersionedState, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Rows in coordinates in which FI^active, under a mean over training rows, is a length.

    With u_j the gradient of the loss of row j's predicted label, ``FI^active(u) = uᵀ C u`` for
    one matrix C, and ``e_j = C^½ u_j`` has ``‖e_j‖² = FI^active(x_j)``. Predictions of nearby
    rows are sensitive to the same changes of the training set: cluster the rows, plot them, or
    pass them to another query strategy.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier of a kind that `skfi.fi_util` takes, of a network its last layer. A clone of
        it is fitted; a `FrozenEstimator` is used as it is. None is `LogisticRegression()`.
    n_components : int, default=None
        Coordinates to keep, those of the largest eigenvalues of C; None keeps all, so that
        lengths are exact.
    aggregate : {"mean", "row_trimmed_mean"}, default="mean"
        Over which training rows FI is averaged, see `skfi.fi_active`.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, default="log_loss"
        Loss of the predicted label.
    metric : {"euclidean", "mahalanobis"}, default="euclidean"
        Coordinates of the pseudo-inverse, as in `skfi.fi_util`.
    curvature : {"auto", "exact", "ggn", "kfac"}, default="auto"
        Approximation of the Hessian, as in `skfi.fi_util`.
    damping : float or "auto", default="auto"
        As in `skfi.fi_util`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted classifier.
    components_ : ndarray of shape (`n_components_`, m)
        C^½ᵀ: gradients in the classifier's parameters -> coordinates. For K > 2 classes the
        parameters are those of K - 1 contrasts of the classes.
    explained_variance_ratio_ : ndarray of shape (`n_components_`,)
        Share of the trace of C that each coordinate has.
    n_components_ : int
        Coordinates there are: at most `n_components`, or the rank of C.
    classes_ : ndarray of shape (K,)
        Class labels.
    n_features_in_, feature_names_in_ : int, ndarray of shape (`n_features_in_`,)
        Features seen in `fit`, and their names, where `X` has string column names.

    See Also
    --------
    FIActiveSampler : Picks batches in this embedding.

    Notes
    -----
    Coordinates are those of an eigendecomposition and their signs arbitrary. The embedding is
    discontinuous where the predicted label changes, as FI^active is.

    References
    ----------
    :cite:t:`yu2025`, Section 4: the measure. The embedding is not in it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skfi import FIEmbedding
    >>> X, y = load_digits(return_X_y=True)
    >>> embedding = FIEmbedding(n_components=2).fit(X[:100] / 16, y[:100])
    >>> embedding.transform(X[100:] / 16).shape
    (1697, 2)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"]), None],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "aggregate": [StrOptions({"mean", "row_trimmed_mean"})],
        "validation_loss": [str, callable],
        "metric": [StrOptions({"euclidean", "mahalanobis"})],
        "curvature": [StrOptions({"auto", "exact", "ggn", "kfac"})],
    }

    def __init__(
        self,
        estimator=None,
        *,
        n_components=None,
        aggregate="mean",
        validation_loss="log_loss",
        metric="euclidean",
        curvature="auto",
        damping="auto",
    ):
        self.estimator = estimator
        self.n_components = n_components
        self.aggregate = aggregate
        self.validation_loss = validation_loss
        self.metric = metric
        self.curvature = curvature
        self.damping = damping

    def fit(self, X, y):
        """Fit the classifier, and average FI over its training rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n, n_features)
            Labelled rows.
        y : array-like of shape (n,)
            Their labels, of two classes or more.

        Returns
        -------
        self : FIEmbedding
            Fitted. If an error is raised, it is left as it was.

        Raises
        ------
        TypeError
            skfi cannot compute influence for the classifier; the message says what to do.
        ValueError
            A parameter out of range, or data that cannot be fitted.

        Warns
        -----
        ConvergenceWarning
            The classifier is not at the optimum of these rows.
        """
        self._validate_params()
        resolve_validation_loss(self.validation_loss)
        check_classifier(self.estimator, "estimator")
        measure = Measure(
            curvature=self.curvature,
            damping=self.damping,
            validation_loss=self.validation_loss,
            metric=self.metric,
        )
        estimator = given_or_default(self.estimator)
        require_bridge(estimator, "embedding")
        X, y = check_labelled(self, X, y, "Pass the rows with a label alone.")
        with keep_trained_rows(), advising(END_IN_LINEAR):
            if not isinstance(estimator, FrozenEstimator):
                estimator = fit_on_own_rows(clone(estimator), X, y)
            pairing = pair_fitted(estimator, (X, y, None), measure)
        assert isinstance(pairing, LinearPairing)  # a network's last layer is linear
        root, variance = pairing.root(self.aggregate)
        if not len(variance):  # all scores are 0, and so is the one coordinate
            root, variance = np.zeros((len(root), 1)), np.zeros(1)
        kept = slice(0, self.n_components)
        _check_feature_names(self, X, reset=True)
        _check_n_features(self, X, reset=True)
        self.estimator_ = estimator
        self.classes_ = estimator.classes_
        self.components_ = np.ascontiguousarray(root[:, kept].T)
        self.explained_variance_ratio_ = (variance / max(variance.sum(), 1e-300))[kept]
        self.n_components_ = len(self.components_)
        return self

    def transform(self, X):
        """Coordinates of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n, n_features)
            Rows, labelled or not.

        Returns
        -------
        embedding : ndarray of shape (n, `n_components_`)
            Squared lengths are FI^active where all coordinates were kept, and fall short of
            it otherwise.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        ValueError
            Other columns than the rows of `fit` had, or values the classifier does not take.
        """
        check_is_fitted(self)
        check_sliceable(X, "X")
        check_columns(self, X, "X")
        components = self.components_
        reader = read_linear(self.estimator_, X, self.validation_loss)
        coordinates = reader.mapped(
            lambda x, read: gradients(x, read.c) @ components.T,
            2 * components.shape[1] + components.shape[0],
        )
        return score_pool(reader, X, coordinates, name="X")

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags
