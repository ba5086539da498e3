"""The base models of the trimming experiments: the paper's training, and a converged one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from skfi.bridge import TorchClassifier

PAPER, CONVERGED = "paper", "converged"
TRAININGS = (PAPER, CONVERGED)
TITLES = {PAPER: "the paper's training", CONVERGED: "converged, with an intercept"}
BATCH = 32

ABOUT = f"""
**The paper's training.** Logistic regression in torch (float64) by the log loss, with the
optimiser, learning rate and weight decay of Table 3. Whether there is an intercept is not said;
without one, as in Chhabra et al., Bank comes near the 78.36 % that the published version has.
Epochs, batch size and start are not given either. Ours: batches of {BATCH} in a seeded order,
from weights of zero, and this many epochs: {{epochs}}. Adult's and Bank's numbers were
chosen by the untrimmed accuracy alone, on other draws than those reported, to come near "about
76 %" and 78.36 %; for CelebA and Jigsaw there is nothing to go by. FI and IV take the Hessian
where training ends, weight decay included, without further damping: it is positive definite
everywhere.

**Converged.** `LogisticRegression(C=1, tol=1e-8, solver="newton-cholesky")` with an intercept.
"""


@dataclass(frozen=True)
class Recipe:
    """A column of Table 3, and the epochs that it leaves out."""

    optimiser: str
    learning_rate: float
    weight_decay: float
    epochs: int


CLEAN = {
    "adult": Recipe("SGD", 1e-2, 1e-2, 40),
    "bank": Recipe("SGD", 1e-2, 1e-2, 7),
    "celeba": Recipe("Adam", 1e-4, 1e-6, 20),
    "jigsaw": Recipe("Adam", 1e-2, 1e-2, 20),
}
# Of the noisy half of Table 3 the text at hand has "SGD" for three data sets, and no more.
NOISY = CLEAN | {"celeba": Recipe("SGD", 1e-2, 1e-6, 20)}


class LinearTraining(TorchClassifier):
    """Logistic regression without an intercept, trained for some epochs.

    Parameters
    ----------
    recipe : Recipe
        Optimiser and epochs.
    seed : int
        Of the order of the rows.
    """

    def __init__(self, recipe: Recipe, seed: int = 0):
        self.recipe = recipe
        self.seed = seed

    def fit(self, X, y):
        classes, codes = np.unique(y, return_inverse=True)
        X = torch.as_tensor(X, dtype=torch.float64)
        module = _train(X, torch.as_tensor(codes, dtype=X.dtype), self.recipe, self.seed)
        super().__init__(
            module, nn.BCEWithLogitsLoss(), classes=classes,
            weight_decay=self.recipe.weight_decay,
        )  # fmt: skip
        return self

    def predict(self, X) -> np.ndarray:
        # As the network does, without its checks: some experiments predict thousands of times.
        weight = self.module.weight.detach().numpy()[0]
        return self.classes_[(X @ weight > 0).astype(int)]


def _train(X: torch.Tensor, y: torch.Tensor, recipe: Recipe, seed: int) -> nn.Linear:
    generator = torch.Generator().manual_seed(seed)
    module = nn.Linear(X.shape[1], 1, bias=False, dtype=X.dtype)
    weight = nn.init.zeros_(module.weight)
    weight.grad = torch.zeros_like(weight)
    optimiser = getattr(torch.optim, recipe.optimiser)(
        [weight], lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=False
    )
    with torch.no_grad():
        for _ in range(recipe.epochs):
            order = torch.randperm(len(X), generator=generator)
            batches = zip(X[order].split(BATCH), y[order].split(BATCH), strict=True)
            for rows, labels in batches:
                # The gradient of BCEWithLogitsLoss, without what backward() keeps books of.
                error = torch.sigmoid(rows @ weight[0]) - labels
                torch.mv(rows.T, error / len(rows), out=weight.grad[0])
                optimiser.step()
    return module


def model_of(training: str, recipe: Recipe, seed: int):
    """The classifier of one of `TRAININGS`, not fitted."""
    if training == PAPER:
        return LinearTraining(recipe, seed)
    return LogisticRegression(solver="newton-cholesky", C=1.0, tol=1e-8, max_iter=1000)


def fitter(training: str, recipe: Recipe, seed: int) -> Callable:
    """``fit(X, y)`` of one of `TRAININGS`."""

    def fit(X, y):
        return model_of(training, recipe, seed).fit(X, y)

    return fit


def fi_options(training: str) -> dict:
    """Options of `fi_util` and `iv`: no damping beside the weight decay."""
    return {"damping": 0.0} if training == PAPER else {}
