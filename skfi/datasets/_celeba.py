"""CelebA's table of attributes, the largest of the paper's tables on trimming."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.utils._param_validation import validate_params

from ._chhabra import celeba_halves, read_halves
from ._fetch_table import TABULAR, Raw, TableSet, fetch_table
from ._home import Source

_CELEBA_FILE = "list_attr_celeba.txt"
_CELEBA_ENDS = (162_770, 182_637)  # last training and last validation image, by number


@validate_params(TABULAR, prefer_skip_nested_validation=True)
def fetch_celeba_attributes(
    *,
    data_home=None,
    preparation=None,
    download_if_missing=True,
    return_X_y=False,
    as_frame=False,
):
    """CelebA's attributes, by which to tell whether a face smiles.

    No image is read. The file cannot be fetched, as its home gives it to people only.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder where the file is looked for, in it or its subfolder `celeba_attributes`.
        None is the folder that the environment variable ``SKFI_DATA`` names, else ``skfi``
        in scikit-learn's data home (`sklearn.datasets.get_data_home`).
    preparation : {"chhabra2024"}, default=None
        None gives the table as it is. "chhabra2024" gives the matrix of Chhabra et al.:
        distinct rows in sorted order without Male, "sex" for not male, scaled and split.
    download_if_missing : bool, default=True
        Not used: there is nothing to fetch. It is there for the fetchers to be alike.
    return_X_y : bool, default=False
        Give ``(data, target)`` instead of a `Bunch`.
    as_frame : bool, default=False
        Give a DataFrame and a Series.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        With these attributes:

        - data : ndarray or DataFrame of shape (n, 39). Attributes -1 or 1 of 202,599
          images, or prepared scaled ones of 104,163.
        - target : ndarray or Series of shape (n,). 1 for a smile.
        - target_names : ndarray of shape (2,). "not smiling" and "smiling".
        - feature_names : list of str.
        - frame : DataFrame of features and target with `as_frame`, else None.
        - split : ndarray of shape (n,). "train", "val" or "test".
        - sensitive : ndarray of shape (n,) of 0 and 1, not male; prepared only.
        - l2_reg : float. The penalty that they use with this matrix; prepared only.
        - partial : bool. True where the files hold other numbers of rows than the official
          ones.
        - source : list of str. The files that were read.
        - DESCR : str. Where the data is from, its licence, and what was done to it.

        With `return_X_y` the tuple ``(data, target)``.

    Raises
    ------
    OSError
        No file is there. The message says which file to put where.
    ValueError
        A file is cut off or of another format.

    Notes
    -----
    Read is ``list_attr_celeba.txt`` of https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, for
    non-commercial research only. Prepared, else ``infdatasel_celeba.npz``, a prepared file;
    `DESCR` has its content. Prepared rows that are held out follow another distribution than
    training rows.

    References
    ----------
    Liu, Luo, Wang and Tang 2015, "Deep learning face attributes in the wild", ICCV.

    Chhabra, Li, Mohapatra and Liu 2024, "'What data benefits my classifier?' Enhancing
    model performance and interpretability through influence-based data selection", ICLR.

    Examples
    --------
    >>> from skfi.datasets import fetch_celeba_attributes
    >>> celeba = fetch_celeba_attributes(preparation="chhabra2024")  # doctest: +SKIP
    >>> celeba.data.shape  # doctest: +SKIP
    (104163, 39)
    """
    return fetch_table(
        _CELEBA,
        data_home,
        preparation,
        return_X_y,
        as_frame,
        download_if_missing=download_if_missing,
    )


def _celeba_text(paths: Sequence[Path]) -> Raw:
    """The attribute file: a count, the names, then an image's name and its 40 values."""
    with paths[0].open(encoding="utf-8") as lines:
        count, names = int(lines.readline()), lines.readline().split()
        columns = range(1, len(names) + 1)
        values = np.loadtxt(lines, dtype=np.int8, usecols=columns, ndmin=2)
    if len(values) != count:
        raise ValueError(f"it says {count} images and has {len(values)}")
    if not (np.abs(values) == 1).all():
        raise ValueError("an attribute is neither -1 nor 1")
    # Images are in the order of their numbers, by which the official split goes.
    part = np.searchsorted(_CELEBA_ENDS, np.arange(1, count + 1))
    split = np.array(["train", "val", "test"])[part]
    return dict(zip(names, values.T, strict=True)), split


_CELEBA = TableSet(
    name="celeba_attributes",
    caller="fetch_celeba_attributes",
    label="Smiling",
    values=[-1, 1],
    target_names=["not smiling", "smiling"],
    l2_reg=15.1622,
    n_rows={None: 202_599, "chhabra2024": 104_163},
    raw=[Source((_CELEBA_FILE,), _celeba_text)],
    prepared=Source(("infdatasel_celeba.npz",), read_halves),
    prepare=celeba_halves,
    why_not=(
        "It cannot be fetched: its home, https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, "
        "gives it to people for non-commercial research, from a drive without stable "
        f"addresses. Take {_CELEBA_FILE} from there (folder Anno). Without it, only the "
        "prepared file infdatasel_celeba.npz can be read, with preparation='chhabra2024'."
    ),
)
