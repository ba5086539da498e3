"""scikit-learn's MLPClassifier: a network whose last layer needs no torch.

Its objective is ``(1/b) Σ L + α/(2b) ‖W‖²`` on batches of b rows, so that the penalty is α n/b
beside the sum over n rows; biases are not penalised.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit
from sklearn.neural_network import MLPClassifier
from sklearn.utils.validation import check_array, check_is_fitted

from .._utils._chunks import block_rows, row_blocks
from .._utils._extras import require
from .._utils._user_warnings import warn_user
from ._base import Bridge, bridge
from ._network import Choices, NetworkBridge

if TYPE_CHECKING:
    from ..linear._softmax import SoftmaxLinear
    from ..network._network import Network

_ACTIVATIONS = {
    "identity": lambda a: a,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0.0),
}


_TORCH = {"identity": "Identity", "logistic": "Sigmoid", "tanh": "Tanh", "relu": "ReLU"}


def _batch(estimator: MLPClassifier, n_rows: int) -> int:
    if estimator.solver == "lbfgs":
        return n_rows
    if estimator.batch_size == "auto":
        return min(200, n_rows)
    return int(min(estimator.batch_size, n_rows))


class _Reader:
    """A fitted MLPClassifier, read with and without torch."""

    def __init__(self, estimator: MLPClassifier) -> None:
        self.estimator = estimator

    def prepare(self, X: Any) -> np.ndarray:
        X = check_array(X, accept_sparse="csr", dtype=(np.float64, np.float32), input_name="X")
        width = self.estimator.coefs_[0].shape[0]
        if X.shape[1] != width:
            raise ValueError(
                f"X has {X.shape[1]} features where the network sees it, but it was fitted on "
                f"{width}. Pass the columns it was fitted on."
            )
        return X

    def features(self, X: Any) -> np.ndarray:
        """What goes into the last layer (n, width)."""
        activation = _ACTIVATIONS[self.estimator.activation]
        layers = list(zip(self.estimator.coefs_, self.estimator.intercepts_, strict=True))
        widths = [len(W) for W, _ in layers]
        out = np.empty((X.shape[0], widths[-1]), dtype=layers[0][0].dtype)
        for rows in row_blocks(X.shape[0], block_rows(3 * max(widths))):
            a = X[rows]
            for W, b in layers[:-1]:
                a = activation(a @ W + b)
            out[rows] = a.toarray() if hasattr(a, "toarray") else a
        return out

    def last_layer(self, choices: Choices, X: Any) -> Bridge:
        estimator = self.estimator
        linear = Bridge.linear(
            estimator.coefs_[-1].T,
            estimator.intercepts_[-1],
            classes=estimator.classes_,
            l2=float(estimator.alpha),
        )
        make_model = linear.make_model

        def in_sums(n_rows: int) -> SoftmaxLinear:
            # α is stated against the sum over a batch.
            model = make_model(n_rows)
            share = n_rows / _batch(estimator, n_rows)
            return replace(model, l2=model.l2 * share)

        return replace(linear, make_model=in_sums, steps=(self.features,))

    def network(self, choices: Choices, X: Any, n_rows: int) -> Network:
        require("torch", "Reading more than the last layer of an MLPClassifier")
        import torch
        from torch.nn.utils import skip_init

        from ._torch import Trained
        from ._torch_loss import Output, read_scores, read_single

        estimator = self.estimator
        layers: list[torch.nn.Module] = []
        for W, b in zip(estimator.coefs_, estimator.intercepts_, strict=True):
            n_in, n_out = W.shape
            # Weights that are drawn and then replaced would advance the global random state.
            linear = skip_init(torch.nn.Linear, n_in, n_out, dtype=torch.as_tensor(W).dtype)
            with torch.no_grad():
                linear.weight.copy_(torch.as_tensor(W.T))
                linear.bias.copy_(torch.as_tensor(b))
            layers += [linear, getattr(torch.nn, _TORCH[estimator.activation])()]
        module = torch.nn.Sequential(*layers[:-1])
        decay = {}
        strength = float(estimator.alpha) / _batch(estimator, n_rows)
        for name, p in module.named_parameters():
            if name.endswith("weight") and strength:
                decay[name] = torch.tensor(strength, dtype=p.dtype)
        binary = len(estimator.classes_) == 2
        output = Output(binary, read_single if binary else read_scores)
        return Trained(module, output, estimator.classes_, decay).network(choices, X)


@bridge.register(MLPClassifier)
def _mlp(estimator: MLPClassifier) -> NetworkBridge:
    check_is_fitted(estimator)
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        raise TypeError("The MLPClassifier was fitted on several labels a row; FI needs one.")
    if estimator.early_stopping:
        warn_user(
            "MLPClassifier(early_stopping=True) keeps a share of its training rows for its own "
            "validation and never trains on them; their scores are those they would have had "
            "otherwise.",
        )
    reader = _Reader(estimator)
    return NetworkBridge(reader.last_layer, reader.network, estimator.classes_, reader.prepare)
