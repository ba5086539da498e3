"""One way from image files to what their fetchers return.

Bytes stay bytes: rows of 0 to 255 in `data`, pictures in `images`. Networks want them divided
by 255; that would take four times the memory here, and it is done soon enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from ._home import DataFolder, Remote, Source, describe, naming, obtain


class Pictures:
    """Images and classes by part of the official split, as a source gives them."""

    def __init__(
        self,
        parts: dict[str, tuple[np.ndarray, np.ndarray]],
        remark: str = "",
    ) -> None:
        for part, (images, labels) in parts.items():
            if len(images) != len(labels):
                raise ValueError(
                    f"{len(images)} images of the {part} set have {len(labels)} labels"
                )
        self.images = np.concatenate([images for images, _ in parts.values()])
        self.labels = np.concatenate([labels for _, labels in parts.values()])
        sizes = [len(labels) for _, labels in parts.values()]
        self.split = np.repeat(list(parts), sizes)
        self.remark = remark

    def bunch(
        self, dataset: str, paths: Sequence[Path], target_names: Sequence[str], n_rows: int
    ) -> Bunch:
        """What a fetcher returns."""
        target = self.labels.astype(np.intp)
        if target.size and not 0 <= target.min() <= target.max() < len(target_names):
            raise ValueError(
                f"it has labels {target.min()} to {target.max()} for the "
                f"{len(target_names)} classes"
            )
        _, *shape = self.images.shape
        axes = np.indices(shape).reshape(len(shape), -1).T
        return Bunch(
            data=self.images.reshape(len(target), -1),
            target=target,
            images=self.images,
            target_names=np.array(list(target_names)),
            feature_names=["pixel_" + "_".join(map(str, at)) for at in axes.tolist()],
            split=self.split,
            partial=len(target) != n_rows,
            source=[str(path) for path in paths],
            DESCR=describe(dataset, paths, self.remark),
        )


def idx_pair(arrays: Sequence[np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    X_train, y_train, X_test, y_test = arrays
    return {"train": (X_train, y_train), "test": (X_test, y_test)}


def fetch_pictures(
    dataset: str,
    sources: Sequence[Source],
    remotes: Sequence[Remote],
    target_names: Sequence[str],
    n_rows: int,
    data_home,
    return_X_y: bool,
    **options,
):
    """The bunch, or data and target, of images by the arguments of their fetcher."""
    folder = DataFolder(data_home, dataset)
    pictures, paths = obtain(folder, sources, remotes, **options)
    with naming(paths):
        bunch = pictures.bunch(dataset, paths, target_names, n_rows)
    return (bunch.data, bunch.target) if return_X_y else bunch
