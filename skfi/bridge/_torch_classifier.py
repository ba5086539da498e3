"""A trained torch module as a classifier: the module, its loss, and what its outputs are."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NoReturn

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from .._utils._extras import require
from .._utils._versioned import VersionedState


class TorchClassifier(VersionedState, ClassifierMixin, BaseEstimator):
    """A torch module that was trained elsewhere, for the influence functions.

    It predicts and is scored; it is not trained. `FITrimmer` trains its classifier again,
    and takes a `skorch.NeuralNetClassifier`.

    Parameters
    ----------
    module : torch.nn.Module
        The trained module: rows in, one output a class out (one in all for
        `BCEWithLogitsLoss`).
    criterion : torch.nn.Module
        The loss it was trained by, with its settings: `CrossEntropyLoss` on scores, `NLLLoss`
        on log probabilities, as in torch itself, or `BCEWithLogitsLoss`.
    classes : array-like of shape (K,)
        Labels in the order of the outputs; for `BCEWithLogitsLoss` the second is the one
        whose score it is.
    weight_decay : float, default=0.0
        Strength λ of the penalty ``λ/2 ‖θ‖²`` beside the mean loss (of weighted rows the
        weighted mean).

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        Labels.

    See Also
    --------
    skfi.fi_util : Influence of each training row.

    Examples
    --------
    >>> import numpy as np
    >>> from skfi import fi_util
    >>> from skfi.bridge import TorchClassifier
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> model = TorchClassifier(module, nn.CrossEntropyLoss(), classes=["no", "yes"])
    >>> X = np.random.default_rng(0).normal(size=(30, 3))
    >>> y = np.where(X[:, 0] > 0, "yes", "no")
    >>> fi_util(model, X[:20], y[:20], X[20:], y[20:]).shape
    (20,)
    """

    def __init__(
        self, module: Any, criterion: Any, *, classes: Any, weight_decay: float = 0.0
    ) -> None:
        self.module = module
        self.criterion = criterion
        self.classes = classes
        self.weight_decay = weight_decay

    @property
    def classes_(self) -> np.ndarray:
        """Labels in the order of the outputs."""
        return np.asarray(self.classes)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Any, y: Any) -> NoReturn:
        """Refuse: the module was trained elsewhere.

        Parameters
        ----------
        X, y : ignored
            Rows and labels.

        Raises
        ------
        TypeError
            Always. scikit-learn takes nothing without a `fit` for an estimator.
        """
        raise TypeError(
            "TorchClassifier holds a trained module and cannot train it. What fits its "
            "classifier again, such as FITrimmer, takes a skorch.NeuralNetClassifier."
        )

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, K)
            Probabilities, columns as in `classes_`.
        """
        require("torch", type(self).__name__)
        # That module registers this class, and imports torch.
        reader = import_module("._torch", __package__)
        return reader.read_torch_classifier(self).predict_proba(X)

    def predict(self, X: Any) -> np.ndarray:
        """Class labels.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Rows.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            The most probable labels.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
