"""MNIST, EMNIST's letters and CIFAR-10, the image sets of the paper's experiments."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.utils._param_validation import validate_params

from ._home import FETCHER, RETRIES, Remote, Source
from ._image_files import (
    CIFAR_BATCHES,
    read_cifar,
    read_cifar_tar,
    read_idx,
    read_idx_zip,
    read_npz,
)
from ._pictures import Pictures, fetch_pictures, idx_pair

# SHA-256: tensorflow/datasets, url_checksums/mnist.txt.
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
_MNIST = [Remote(name, _MNIST_URL + name, sha) for name, sha in _MNIST_SHA256.items()]

# SHA-256: tensorflow/datasets, url_checksums/emnist.txt; the address is torchvision's.
_EMNIST = [
    Remote(
        "gzip.zip",
        "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
    )
]
_LETTERS = tuple(
    f"emnist-letters-{part}-{kind}-ubyte.gz"
    for part in ("train", "test")
    for kind in ("images-idx3", "labels-idx1")
)

# SHA-256: tensorflow/datasets, url_checksums/cifar10.txt. The page of the data set has the
# archive's MD5, c32a1d4ab5d03f1284b67883e8d87530.
_CIFAR = [
    Remote(
        "cifar-10-binary.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    )
]
_CIFAR_NAMES = ["airplane", "automobile", "bird", "cat", "deer"]
_CIFAR_NAMES += ["dog", "frog", "horse", "ship", "truck"]


def _mnist_npz(paths: Sequence[Path]) -> Pictures:
    arrays = read_npz(paths[0], "x_train", "y_train", "x_test", "y_test")
    return Pictures(
        idx_pair(arrays),
        remark=(
            "An `mnist.npz` is not the original: in one made from convnetjs's pictures, "
            "training pixels of value 1 (0.05 %) are 0. Keras's is exact."
        ),
    )


@validate_params({**FETCHER, **RETRIES}, prefer_skip_nested_validation=True)
def fetch_mnist(
    *,
    data_home=None,
    download_if_missing=True,
    return_X_y=False,
    n_retries=3,
    delay=1.0,
):
    """MNIST: handwritten digits.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder where the files are looked for, in it or its subfolder `mnist`. None is the
        folder that the environment variable ``SKFI_DATA`` names, else ``skfi`` in
        scikit-learn's data home (`sklearn.datasets.get_data_home`).
    download_if_missing : bool, default=True
        If False, raise an error where no file is found, and do not try to fetch one.
    return_X_y : bool, default=False
        Give ``(data, target)`` instead of a `Bunch`.
    n_retries : int, default=3
        How often a failed download is tried again.
    delay : float, default=1.0
        Seconds between tries.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        With these attributes:

        - data : ndarray of shape (n, 784) of uint8. A row for each image, 0 to 255; n is
          70,000 where all are there.
        - images : ndarray of shape (n, 28, 28). The same memory as images.
        - target : ndarray of shape (n,). The digit.
        - target_names : ndarray of shape (10,).
        - feature_names : list of str. ``pixel_row_column``.
        - split : ndarray of shape (n,). "train" or "test", the official split.
        - partial : bool. True where only a part of the images is there.
        - source : list of str. The files that were read.
        - DESCR : str. Where the data is from, its licence, and what was done to it.

        With `return_X_y` the tuple ``(data, target)``.

    Raises
    ------
    OSError
        No file is there and none could be fetched, or what came is not the file that was
        meant. The message says which file to put where.
    ValueError
        A file is cut off or of another format.

    Notes
    -----
    Read are the four files of ``train-images-idx3-ubyte.gz`` and its like, gzipped or not,
    which are fetched where nothing is found; else ``mnist.npz``, a prepared file (`DESCR`).

    References
    ----------
    LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86.

    Examples
    --------
    >>> from skfi.datasets import fetch_mnist
    >>> mnist = fetch_mnist()  # doctest: +SKIP
    >>> mnist.images[mnist.split == "train"].shape  # doctest: +SKIP
    (60000, 28, 28)
    """
    names = tuple(_MNIST_SHA256)
    sources = [
        Source(names, lambda paths: Pictures(idx_pair(read_idx(paths)))),
        Source(
            tuple(name.removesuffix(".gz") for name in names),
            lambda paths: Pictures(idx_pair(read_idx(paths))),
        ),
        Source(("mnist.npz",), _mnist_npz),
    ]
    return fetch_pictures(
        "mnist",
        sources,
        _MNIST,
        string.digits,
        70_000,
        data_home,
        return_X_y,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=delay,
    )


def _letters(arrays: Sequence[np.ndarray]) -> Pictures:
    """Upright images; the files hold them transposed, and count letters from 1."""
    parts = {
        part: (images.transpose(0, 2, 1), labels.astype(np.int16) - 1)
        for part, (images, labels) in idx_pair(arrays).items()
    }
    return Pictures(parts)


def _letters_npz(paths: Sequence[Path]) -> Pictures:
    images, labels = read_npz(paths[0], "X", "y")
    return Pictures(
        {"test": (images, labels.astype(np.int16) - 1)},
        remark=(
            "**A part only**: the first 10,000 images of the official test set, the letters "
            "a to m (of m 400, of the others 800). There is no training set. The labels are "
            "inferred from the order of the official file, in which letters are sorted."
        ),
    )


@validate_params({**FETCHER, **RETRIES}, prefer_skip_nested_validation=True)
def fetch_emnist_letters(
    *,
    data_home=None,
    download_if_missing=True,
    return_X_y=False,
    n_retries=3,
    delay=1.0,
):
    """EMNIST letters: handwritten letters, capital and small in one class.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder where the files are looked for, in it or its subfolder `emnist_letters`. None
        is the folder that the environment variable ``SKFI_DATA`` names, else ``skfi`` in
        scikit-learn's data home (`sklearn.datasets.get_data_home`).
    download_if_missing : bool, default=True
        If False, raise an error where no file is found, and do not try to fetch one.
    return_X_y : bool, default=False
        Give ``(data, target)`` instead of a `Bunch`.
    n_retries : int, default=3
        How often a failed download is tried again.
    delay : float, default=1.0
        Seconds between tries.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        With these attributes:

        - data : ndarray of shape (n, 784) of uint8. A row for each image, 0 to 255; n is
          145,600 where all are there.
        - images : ndarray of shape (n, 28, 28). The same memory as images.
        - target : ndarray of shape (n,). 0 for a to 25 for z.
        - target_names : ndarray of shape (26,).
        - feature_names : list of str. ``pixel_row_column``.
        - split : ndarray of shape (n,). "train" or "test", the official split.
        - partial : bool. True where only a part of the images is there.
        - source : list of str. The files that were read.
        - DESCR : str. Where the data is from, its licence, and what was done to it.

        With `return_X_y` the tuple ``(data, target)``.

    Raises
    ------
    OSError
        No file is there and none could be fetched, or what came is not the file that was
        meant. The message says which file to put where.
    ValueError
        A file is cut off or of another format.

    Notes
    -----
    Read is ``gzip.zip`` (560 MB), which is fetched where nothing is found, or the letters'
    four files of it (``emnist-letters-train-images-idx3-ubyte.gz`` and its like); else
    ``emnist_letters_test10k.npz``, a prepared file with a part of the test set (`DESCR`).

    References
    ----------
    Cohen, Afshar, Tapson and van Schaik 2017, "EMNIST: Extending MNIST to handwritten
    letters", IJCNN.

    Examples
    --------
    >>> from skfi.datasets import fetch_emnist_letters
    >>> letters = fetch_emnist_letters()  # doctest: +SKIP
    >>> letters.images[letters.split == "test"].shape  # doctest: +SKIP
    (20800, 28, 28)
    """
    sources = [
        Source(("gzip.zip",), lambda paths: _letters(read_idx_zip(paths[0], _LETTERS))),
        Source(_LETTERS, lambda paths: _letters(read_idx(paths))),
        Source(("emnist_letters_test10k.npz",), _letters_npz),
    ]
    return fetch_pictures(
        "emnist_letters",
        sources,
        _EMNIST,
        string.ascii_lowercase,
        145_600,
        data_home,
        return_X_y,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=delay,
    )


def _cifar(batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> Pictures:
    *training, test = batches
    images, labels = zip(*training, strict=True)
    return Pictures({"train": (np.concatenate(images), np.concatenate(labels)), "test": test})


def _cifar_npz(paths: Sequence[Path]) -> Pictures:
    X_train, y_train, X_test, y_test = read_npz(
        paths[0], "X_train", "y_train", "X_test", "y_test"
    )
    return Pictures(
        {"train": (X_train, y_train), "test": (X_test, y_test)},
        remark=(
            f"**A part only**: {len(y_train):,} training images, the first of each class, "
            f"and the first {len(y_test):,} test images."
        ),
    )


@validate_params({**FETCHER, **RETRIES}, prefer_skip_nested_validation=True)
def fetch_cifar10(
    *,
    data_home=None,
    download_if_missing=True,
    return_X_y=False,
    n_retries=3,
    delay=1.0,
):
    """CIFAR-10: small photographs of ten classes.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder where the files are looked for, in it or its subfolder `cifar10`. None is the
        folder that the environment variable ``SKFI_DATA`` names, else ``skfi`` in
        scikit-learn's data home (`sklearn.datasets.get_data_home`).
    download_if_missing : bool, default=True
        If False, raise an error where no file is found, and do not try to fetch one.
    return_X_y : bool, default=False
        Give ``(data, target)`` instead of a `Bunch`.
    n_retries : int, default=3
        How often a failed download is tried again.
    delay : float, default=1.0
        Seconds between tries.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        With these attributes:

        - data : ndarray of shape (n, 3072) of uint8. A row for each image, 0 to 255; n is
          60,000 where all are there.
        - images : ndarray of shape (n, 32, 32, 3). The same memory as images.
        - target : ndarray of shape (n,). The class, an index of `target_names`.
        - target_names : ndarray of shape (10,).
        - feature_names : list of str. ``pixel_row_column````_channel``.
        - split : ndarray of shape (n,). "train" or "test", the official split.
        - partial : bool. True where only a part of the images is there.
        - source : list of str. The files that were read.
        - DESCR : str. Where the data is from, its licence, and what was done to it.

        With `return_X_y` the tuple ``(data, target)``.

    Raises
    ------
    OSError
        No file is there and none could be fetched, or what came is not the file that was
        meant. The message says which file to put where.
    ValueError
        A file is cut off or of another format.

    Notes
    -----
    Read is the binary version, ``cifar-10-binary.tar.gz`` (170 MB), which is fetched where
    nothing is found, or its unpacked folder ``cifar-10-batches-bin``; else
    ``cifar10_train10k_a.npz``, a prepared file with a part of the images (`DESCR`). The
    Python version is a pickle and is not read.

    References
    ----------
    Krizhevsky 2009, "Learning multiple layers of features from tiny images", technical
    report, University of Toronto.

    Examples
    --------
    >>> from skfi.datasets import fetch_cifar10
    >>> cifar = fetch_cifar10()  # doctest: +SKIP
    >>> cifar.images.shape  # doctest: +SKIP
    (60000, 32, 32, 3)
    """
    batches = tuple(f"cifar-10-batches-bin/{name}" for name in CIFAR_BATCHES)
    sources = [
        Source(("cifar-10-binary.tar.gz",), lambda paths: _cifar(read_cifar_tar(paths[0]))),
        Source(batches, lambda paths: _cifar(read_cifar(paths))),
        Source(("cifar10_train10k_a.npz",), _cifar_npz),
    ]
    return fetch_pictures(
        "cifar10",
        sources,
        _CIFAR,
        _CIFAR_NAMES,
        60_000,
        data_home,
        return_X_y,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=delay,
    )
