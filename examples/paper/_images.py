"""MNIST, EMNIST's letters and CIFAR-10: bytes of 0 to 255, as their files have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ._files import Remote, Source, obtain
from ._image_files import (
    CIFAR_BATCHES,
    read_cifar,
    read_cifar_tar,
    read_idx,
    read_idx_zip,
    read_npz,
)

Parts = dict[str, tuple[np.ndarray, np.ndarray]]  # images and classes by part of the split


class Pictures(NamedTuple):
    """A data set of images."""

    images: np.ndarray  # (n, height, width) or (n, height, width, 3)
    target: np.ndarray  # (n,)
    split: np.ndarray  # "train" or "test"
    partial: bool  # only a part of the images is there
    source: list[Path]


def pictures(name: str) -> Pictures:
    """The data set "MNIST", "EMNIST" or "CIFAR-10"."""
    sources, remotes, n_classes, n_rows = _SETS[name]
    parts, paths = obtain(name, sources, remotes)
    for part, (images, labels) in parts.items():
        if len(images) != len(labels):
            raise ValueError(
                f"{len(images)} images of the {part} set have {len(labels)} labels"
            )
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts.values(), strict=True))
    target = labels.astype(np.intp)
    if not 0 <= target.min() <= target.max() < n_classes:
        raise ValueError(f"labels {target.min()} to {target.max()} of {n_classes} classes")
    split = np.repeat(list(parts), [len(labels) for _, labels in parts.values()])
    return Pictures(images, target, split, len(target) != n_rows, paths)


def _pair(arrays: Sequence[np.ndarray]) -> Parts:
    X_train, y_train, X_test, y_test = arrays
    return {"train": (X_train, y_train), "test": (X_test, y_test)}


def _upright(parts: Parts) -> Parts:
    """The files hold letters transposed, and count them from 1."""
    return {
        part: (images.transpose(0, 2, 1), labels.astype(np.int16) - 1)
        for part, (images, labels) in parts.items()
    }


def _letters_part(paths: Sequence[Path]) -> Parts:
    """The first 10,000 images of the test set, upright."""
    images, labels = read_npz(paths[0], "X", "y")
    return {"test": (images, labels.astype(np.int16) - 1)}


def _cifar(batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> Parts:
    *training, test = batches
    images, labels = zip(*training, strict=True)
    return {"train": (np.concatenate(images), np.concatenate(labels)), "test": test}


# SHA-256: tensorflow/datasets, url_checksums/mnist.txt, emnist.txt and cifar10.txt.
_MNIST_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
_LETTERS = tuple(
    f"emnist-letters-{part}-{kind}-ubyte.gz"
    for part in ("train", "test")
    for kind in ("images-idx3", "labels-idx1")
)
_SETS = {
    "MNIST": (
        [
            Source(tuple(_MNIST_SHA256), lambda paths: _pair(read_idx(paths))),
            Source(
                tuple(name.removesuffix(".gz") for name in _MNIST_SHA256),
                lambda paths: _pair(read_idx(paths)),
            ),
            Source(
                ("mnist.npz",),
                lambda paths: _pair(
                    read_npz(paths[0], "x_train", "y_train", "x_test", "y_test")
                ),
            ),
        ],
        [Remote(name, _MNIST_URL + name, sha) for name, sha in _MNIST_SHA256.items()],
        10,
        70_000,
    ),
    "EMNIST": (
        [
            Source(
                ("gzip.zip",), lambda paths: _upright(_pair(read_idx_zip(paths[0], _LETTERS)))
            ),
            Source(_LETTERS, lambda paths: _upright(_pair(read_idx(paths)))),
            Source(("emnist_letters_test10k.npz",), _letters_part),
        ],
        [
            Remote(
                "gzip.zip",
                "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
                "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
            )
        ],
        26,
        145_600,
    ),
    "CIFAR-10": (
        [
            Source(("cifar-10-binary.tar.gz",), lambda paths: _cifar(read_cifar_tar(paths[0]))),
            Source(
                tuple(f"cifar-10-batches-bin/{name}" for name in CIFAR_BATCHES),
                lambda paths: _cifar(read_cifar(paths)),
            ),
            Source(
                ("cifar10_train10k_a.npz",),
                lambda paths: _pair(
                    read_npz(paths[0], "X_train", "y_train", "X_test", "y_test")
                ),
            ),
        ],
        [
            Remote(
                "cifar-10-binary.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            )
        ],
        10,
        60_000,
    ),
}
