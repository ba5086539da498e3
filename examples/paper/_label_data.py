"""Pictures with labels that people got wrong, and features of them learnt without labels."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.decomposition import PCA

from ._files import Missing, data_folder
from ._images import pictures

PATCH, STRIDE, FILTERS = 6, 2, 256
CONTRAST, WHITENING, THRESHOLD = (10 / 255) ** 2, 0.1, 0.5
LABELS = ("aggre", "random1", "worse")
COLUMNS = {"aggre": "aggre_label", "random1": "random_label1", "worse": "worse_label"}

HUMAN, REVIEWED = "cifar10n_human_labels.npz", "test_label_errors_mnist_cifar10.npz"
FILES = {
    HUMAN: (
        "CIFAR-10N's labels (UCSC-REAL/cifar-10-100n, CIFAR-10_human.pt; CC BY-NC 4.0) as "
        "arrays clean_label, aggre_label, random_label1 and worse_label of 50,000 class "
        "numbers each, in the order of data_batch_1 to 5"
    ),
    REVIEWED: (
        "the reviewed test labels (cleanlab/label-errors, mturk; Apache 2.0) as arrays "
        "mnist_mturk and cifar10_mturk, one line a reviewed image with columns named in "
        "mturk_columns, and mnist_given, the labels of all 10,000 images"
    ),
}


def _arrays(name: str) -> dict[str, np.ndarray]:
    path = data_folder() / name
    if not path.is_file():
        raise Missing(
            f"There is no {path}. It is not downloaded; name the folder that holds it by the "
            f"environment variable SKFI_DATA. It has {FILES[name]}."
        )
    with np.load(path) as file:
        return dict(file)


@cache
def cifar(n_images: int, n_features: int):
    """Part of CIFAR-10's images and the people's labels of CIFAR-10N.

    Parameters
    ----------
    n_images : int
        Training images, the first of each class; a tenth as many test images follow.
    n_features : int
        See `patch_features`.

    Returns
    -------
    features : ndarray of shape (n_images + n_images // 10, n_features)
        Training images first.
    clean : ndarray of int
        CIFAR-10's labels of all of them.
    given : dict of ndarrays of int, (n_images,)
        CIFAR-10N's labels of the training images, by `LABELS`.
    """
    data = pictures("CIFAR-10")
    is_train = data.split == "train"
    index = np.arange(is_train.sum())
    if data.partial:  # the part says which images it has
        with np.load(data.source[0]) as file:
            index = file["train_index"]
    images, y = data.images[is_train], data.target[is_train]
    order = np.argsort(index)
    first = [order[y[order] == label][: n_images // 10] for label in np.unique(y)]
    rows = np.concatenate(first)
    rows = rows[np.argsort(index[rows])]
    human = _arrays(HUMAN)
    if (human["clean_label"][index[rows]] != y[rows]).any():
        raise ValueError("The labels of CIFAR-10N and the images of CIFAR-10 do not match.")
    test = np.flatnonzero(~is_train)[: n_images // 10]
    features = patch_features(np.concatenate([images[rows], data.images[test]]), n_features)
    given = {name: human[column][index[rows]].astype(int) for name, column in COLUMNS.items()}
    return features, np.concatenate([y[rows], data.target[test]]), given


@cache
def mnist(n_test: int, n_train: int, n_features: int):
    """MNIST's test images, and training images to judge them by.

    Parameters
    ----------
    n_test : int
        Test images: those with a confirmed error, and others.
    n_train : int
        Training images.
    n_features : int
        See `patch_features`.

    Returns
    -------
    features : ndarray of shape (n_test + n_train, n_features)
        Test images first.
    y : ndarray of int
        Their labels.
    wrong : ndarray of bool, (n_test,)
        Which of the test images' labels are confirmed errors.
    """
    data = pictures("MNIST")
    is_test = data.split == "test"
    y = data.target[is_test]
    reviewed = _arrays(REVIEWED)
    if (reviewed["mnist_given"] != y).any():
        raise ValueError("The reviewed labels and the test labels of MNIST do not match.")
    errors = _confirmed(reviewed, "mnist")
    rng = np.random.default_rng(0)
    others = rng.permutation(np.setdiff1d(np.arange(len(y)), errors))
    rows = np.sort(np.concatenate([errors, others[: n_test - len(errors)]]))
    train = rng.choice(np.flatnonzero(~is_test), n_train, replace=False)
    images = np.concatenate([data.images[is_test][rows], data.images[train]])
    labels = np.concatenate([y[rows], data.target[train]])
    return patch_features(images, n_features), labels, np.isin(rows, errors)


def cifar_errors() -> tuple[int, int, int]:
    """Test images of CIFAR-10 at hand, confirmed errors among them, and all of those."""
    errors = _confirmed(_arrays(REVIEWED), "cifar10")
    at_hand = int((pictures("CIFAR-10").split == "test").sum())
    return at_hand, int((errors < at_hand).sum()), len(errors)


def _confirmed(reviewed: dict, name: str) -> np.ndarray:
    """Test images whose given label fewer than three of five people chose."""
    column = reviewed["mturk_columns"].tolist().index
    votes = reviewed[f"{name}_mturk"]
    return votes[votes[:, column("votes_given")] < 3, column("test_index")]


def patch_features(images: np.ndarray, n_features: int) -> np.ndarray:
    """What random patches of the images respond to, as by Coates and Ng (2011).

    Parameters
    ----------
    images : ndarray of shape (n, height, width) or (n, height, width, channels)
        Bytes.
    n_features : int
        Principal components that are kept.

    Returns
    -------
    features : ndarray of shape (n, n_features)
        The first has unit variance.
    """
    pixels = np.asarray(images, dtype=np.float32) / 255
    pixels = pixels if pixels.ndim == 4 else pixels[..., None]
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (PATCH, PATCH), axis=(1, 2))
    windows = windows[:, ::STRIDE, ::STRIDE]
    n, high, wide = windows.shape[:3]
    rng = np.random.default_rng(0)
    some = _equal_contrast(windows[tuple(rng.integers(windows.shape[:3], size=(50_000, 3)).T)])
    centre = some.mean(axis=0)
    value, vector = np.linalg.eigh(np.cov(some.T))
    whitening = (vector / np.sqrt(value + WHITENING)) @ vector.T
    filters = (some[rng.choice(len(some), FILTERS, replace=False)] - centre) @ whitening
    filters /= np.linalg.norm(filters, axis=1, keepdims=True)
    product = (whitening @ filters.T).astype(np.float32)
    found = []
    for start in range(0, n, 200):
        block = _equal_contrast(windows[start : start + 200].reshape(-1, *windows.shape[3:]))
        found.append(_pooled(((block - centre) @ product).reshape(-1, high, wide, FILTERS)))
    pooled = np.sqrt(np.vstack(found).astype(np.float64))
    pooled = (pooled - pooled.mean(axis=0)) / (pooled.std(axis=0) + 1e-3)
    features = PCA(n_features, svd_solver="covariance_eigh").fit_transform(pooled)
    return features / features[:, 0].std()


def _equal_contrast(patches: np.ndarray) -> np.ndarray:
    patches = patches.reshape(len(patches), -1)
    patches = patches - patches.mean(axis=1, keepdims=True)
    return patches / np.sqrt(patches.var(axis=1, keepdims=True) + CONTRAST)


def _pooled(response: np.ndarray) -> np.ndarray:
    """Mean of what passes the threshold in each quadrant, either sign by itself."""
    quadrants = [
        part
        for rows in np.array_split(response, 2, axis=1)
        for part in np.array_split(rows, 2, axis=2)
    ]
    passed = [
        np.maximum(sign * part - THRESHOLD, 0).mean(axis=(1, 2))
        for part in quadrants
        for sign in (1, -1)
    ]
    return np.hstack(passed)
