"""Images, and the paper's networks, which hundreds of fits on few rows have to be fast for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import skorch
import torch
from skorch.callbacks import LRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from skfi.bridge import SkorchClassifier

from ._images import pictures


class Images(NamedTuple):
    """Images (n, channels, height, width) of pixels 0 to 255, and their labels (n,)."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    partial: bool


_pictures_once = lru_cache(maxsize=1)(pictures)


def images(data: str, seed: int, n_test: int) -> Images:
    """A data set with so many test images, drawn by the seed.

    A part of a data set that has no training images is split by the seed.
    """
    bunch = _pictures_once(data)
    X, y = bunch.images, bunch.target
    X = X[:, None] if X.ndim == 3 else X.transpose(0, 3, 1, 2)
    rng = np.random.default_rng([seed, 1])
    tested = np.flatnonzero(bunch.split == "test")
    test = rng.choice(tested, min(n_test, len(tested)), replace=False)
    train = np.flatnonzero(bunch.split == "train")
    if not len(train):
        train = np.setdiff1d(tested, test)
    return Images(X[train], y[train], X[test], y[test], bunch.partial)


class Standardise(nn.Module):
    """Pixels of 0 to 255 brought near 0, so that rows can stay bytes."""

    def forward(self, x: Tensor) -> Tensor:
        # Channels last: depthwise convolutions then take half the time on a CPU.
        return ((x - 64.0) / 64.0).contiguous(memory_format=torch.channels_last)


class CNN(nn.Sequential):
    """Table 6 of the paper; strides of 2 and kernels of 3 follow from its output sizes."""

    def __init__(self, n_classes: int):
        super().__init__(
            Standardise(),
            nn.Conv2d(1, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 256),
            nn.ReLU(),
            nn.Linear(256, n_classes),
        )


class Residual(nn.Sequential):
    """Adds what goes in to what comes out."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class ConvMixer(nn.Sequential):
    """The network of Trockman & Kolter (2023), with a dropout layer before the last one."""

    def __init__(self, n_classes: int, width: int, depth: int, kernel: int, patch: int):
        def normed(convolution):
            return convolution, nn.GELU(), nn.BatchNorm2d(width)

        block = [
            layer
            for _ in range(depth)
            for layer in (
                Residual(
                    *normed(nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width))
                ),
                *normed(nn.Conv2d(width, width, 1)),
            )
        ]
        super().__init__(
            Standardise(),
            *normed(nn.Conv2d(3, width, patch, stride=patch)),
            *block,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(width, n_classes),
        )


class Batches:
    """Whole batches at once; a `DataLoader` puts them together row by row."""

    def __init__(self, dataset, batch_size: int, shuffle: bool = False):
        self.X, self.y = torch.as_tensor(dataset.X), dataset.y
        self.y = torch.zeros(len(self.X)) if self.y is None else torch.as_tensor(self.y)
        self.batch_size, self.shuffle = batch_size, shuffle

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.X)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for rows in order.split(self.batch_size):
            yield self.X[rows], self.y[rows]


def network(
    module: type[nn.Module],
    *,
    epochs: int,
    batch: int,
    lr: float = 1e-3,
    device: str = "cpu",
    **settings,
) -> SkorchClassifier:
    """A classifier trained by Adam from new weights at each fit.

    The rate falls to 0 along a cosine, so that fits that differ in their seed alone end near
    each other.

    Parameters
    ----------
    module : type
        `CNN` or `ConvMixer`.
    epochs, batch : int
        Passes over the rows, and rows of an update.
    lr : float
        Adam's rate at the start.
    device : str
        Where it is trained.
    **settings
        What the module takes.
    """  # fmt: skip
    net = skorch.NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam,
        optimizer__fused=True, lr=lr, max_epochs=epochs, batch_size=batch, train_split=None,
        iterator_train=Batches, iterator_train__shuffle=True, iterator_valid=Batches,
        iterator_valid__batch_size=500, device=device, verbose=0,
        callbacks=[("rate", LRScheduler(CosineAnnealingLR, T_max=epochs))],
        **{f"module__{name}": value for name, value in settings.items()},
    )  # fmt: skip
    return SkorchClassifier(net)
