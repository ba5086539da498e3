"""Small skorch nets that fit data of any width and any number of classes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")


class Width(skorch.callbacks.Callback):
    """Tell the module how wide the data is: the checks bring data of many widths."""

    def __repr__(self):  # part of the tests' names, which must not change from run to run
        return "Width()"

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        sizes = {"module__n_features": X.shape[1]}
        if isinstance(net, skorch.NeuralNetClassifier):
            sizes["module__n_classes"] = len(np.unique(y))
        net.set_params(**sizes)


class Linear(torch.nn.Module):
    """Logits, or probabilities; one output for a binary net."""

    def __init__(self, n_features=2, n_classes=1, probabilities=False, dtype=torch.float32):
        super().__init__()
        self.layer = torch.nn.Linear(n_features, n_classes, dtype=dtype)
        self.last = torch.nn.Softmax(dim=-1) if probabilities else torch.nn.Identity()

    def forward(self, X):
        return self.last(self.layer(X))


SETTINGS = {
    "module": Linear,
    "callbacks": [Width()],
    "optimizer": torch.optim.Adam,
    "lr": 0.1,
    "max_epochs": 20,
    "batch_size": 32,
    "train_split": None,
    "verbose": 0,
}


def logits(**params):
    params = {**SETTINGS, "criterion": torch.nn.CrossEntropyLoss, **params}
    return skorch.NeuralNetClassifier(**params)


def probabilities(**params):
    return logits(criterion=torch.nn.NLLLoss, module__probabilities=True, **params)


def binary(**params):
    return skorch.NeuralNetBinaryClassifier(**{**SETTINGS, **params})
