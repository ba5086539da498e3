"""Adult and Bank: the tables of the UCI repository in the paper's experiments on trimming."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.utils._param_validation import validate_params

from ._chhabra import adult_halves, bank_halves, read_halves
from ._fetch_table import TABULAR, Raw, TableSet, fetch_table
from ._home import RETRIES, Remote, Source
from ._tables import parse_csv, read_parquet, stacked

# SHA-256: tensorflow/datasets, url_checksums/adult.txt.
_UCI = "https://archive.ics.uci.edu/"
_ADULT_REMOTES = [
    Remote(
        "adult.data",
        _UCI + "ml/machine-learning-databases/adult/adult.data",
        "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    ),
    Remote(
        "adult.test",
        _UCI + "ml/machine-learning-databases/adult/adult.test",
        "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
    ),
]
_ADULT_COLUMNS = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status",
    "occupation", "relationship", "race", "sex", "capital-gain", "capital-loss",
    "hours-per-week", "native-country", "income",
]  # fmt: skip

# SHA-256: pinned alike in several public repositories that fetch this archive; that of the
# file in it, 74adfc57..., is that of the copies of the data set that circulate.
_BANK_REMOTES = [
    Remote(
        "bank+marketing.zip",
        _UCI + "static/public/222/bank+marketing.zip",
        "e0bf5f5de5b846e2f18e9d90606637267d46dfa260e0f17bb12e605db5efbeb4",
    )
]
_BANK_FILE = "bank-additional-full.csv"
_BANK_COLUMNS = [
    "age", "job", "marital", "education", "default", "housing", "loan", "contact", "month",
    "day_of_week", "duration", "campaign", "pdays", "previous", "poutcome", "emp.var.rate",
    "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed", "y",
]  # fmt: skip


@validate_params({**TABULAR, **RETRIES}, prefer_skip_nested_validation=True)
def fetch_adult(
    *,
    data_home=None,
    preparation=None,
    download_if_missing=True,
    return_X_y=False,
    as_frame=False,
    n_retries=3,
    delay=1.0,
):
    """Adult: census data, by which to tell who earns more than 50,000 dollars a year.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder where the files are looked for, in it or its subfolder `adult`. None is the
        folder that the environment variable ``SKFI_DATA`` names, else ``skfi`` in
        scikit-learn's data home (`sklearn.datasets.get_data_home`).
    preparation : {"chhabra2024"}, default=None
        None gives the table as it is. "chhabra2024" gives the matrix of Chhabra et al.:
        complete rows without fnlwgt, a column for each category, scaled, with a validation
        part.
    download_if_missing : bool, default=True
        If False, raise an error where no file is found, and do not try to fetch one.
    return_X_y : bool, default=False
        Give ``(data, target)`` instead of a `Bunch`.
    as_frame : bool, default=False
        Give a DataFrame and a Series, with categories as such.
    n_retries : int, default=3
        How often a failed download is tried again.
    delay : float, default=1.0
        Seconds between tries.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        With these attributes:

        - data : ndarray or DataFrame of shape (n, d). 14 features of 48,842 rows, or
          prepared 102 of 45,222. Categories in an array are codes, missing ones NaN.
        - target : ndarray or Series of shape (n,). 1 for more than 50,000 dollars.
        - target_names : ndarray of shape (2,). The labels in the files.
        - feature_names : list of str.
        - frame : DataFrame of features and target with `as_frame`, else None.
        - split : ndarray of shape (n,). "train" or "test", and "val" where it is prepared.
        - categories : dict. The categories of a column, by their code; None with `as_frame`
          and where it is prepared.
        - sensitive : ndarray of shape (n,) of 0 and 1, male or not; prepared only.
        - l2_reg : float. The penalty that they use with this matrix; prepared only.
        - partial : bool. True where the files hold other numbers of rows than the official
          ones.
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
    Read are ``adult.data`` and ``adult.test``, the official files, which are fetched from the
    UCI repository where nothing is found. Else the prepared files ``adult.parquet`` and
    ``infdatasel_adult.npz``; `DESCR` has their content.

    References
    ----------
    Becker and Kohavi 1996, "Adult", UCI Machine Learning Repository,
    doi:10.24432/C5XW20.

    Chhabra, Li, Mohapatra and Liu 2024, "'What data benefits my classifier?' Enhancing
    model performance and interpretability through influence-based data selection", ICLR.

    Examples
    --------
    >>> from skfi.datasets import fetch_adult
    >>> adult = fetch_adult(preparation="chhabra2024")  # doctest: +SKIP
    >>> adult.data[adult.split == "train"].shape  # doctest: +SKIP
    (30162, 102)
    """
    return fetch_table(
        _ADULT,
        data_home,
        preparation,
        return_X_y,
        as_frame,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=delay,
    )


def _adult_text(paths: Sequence[Path]) -> Raw:
    parts = []
    for path in paths:
        lines = path.read_text("utf-8").splitlines()
        if lines and lines[0].startswith("|"):  # of adult.test: no row
            lines[0] = ""
        part = parse_csv(lines, _ADULT_COLUMNS, path.name, missing="?")
        part["income"] = np.array([value.rstrip(".") for value in part["income"]], object)
        parts.append(part)
    sizes = [len(part["income"]) for part in parts]
    return stacked(parts), np.repeat(["train", "test"], sizes)


def _adult_parquet(paths: Sequence[Path]) -> Raw:
    table = read_parquet(paths[0], [*_ADULT_COLUMNS, "split"])
    return table, table.pop("split").astype(str)


_ADULT = TableSet(
    name="adult",
    caller="fetch_adult",
    label="income",
    values=["<=50K", ">50K"],
    target_names=["<=50K", ">50K"],
    l2_reg=2.2622,
    n_rows={None: 48_842, "chhabra2024": 45_222},
    raw=[
        Source(("adult.data", "adult.test"), _adult_text),
        Source(("adult.parquet",), _adult_parquet),
    ],
    prepared=Source(("infdatasel_adult.npz",), read_halves),
    prepare=adult_halves,
    remotes=_ADULT_REMOTES,
)


@validate_params({**TABULAR, **RETRIES}, prefer_skip_nested_validation=True)
def fetch_bank(
    *,
    data_home=None,
    preparation=None,
    download_if_missing=True,
    return_X_y=False,
    as_frame=False,
    n_retries=3,
    delay=1.0,
):
    """Bank marketing: calls, by which to tell who subscribes a deposit.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder where the files are looked for, in it or its subfolder `bank`. None is the
        folder that the environment variable ``SKFI_DATA`` names, else ``skfi`` in
        scikit-learn's data home (`sklearn.datasets.get_data_home`).
    preparation : {"chhabra2024"}, default=None
        None gives the table as it is. "chhabra2024" gives the matrix of Chhabra et al.:
        rows without "unknown", a column for each category, an age below 37 under the name
        of sex, scaled and split.
    download_if_missing : bool, default=True
        If False, raise an error where no file is found, and do not try to fetch one.
    return_X_y : bool, default=False
        Give ``(data, target)`` instead of a `Bunch`.
    as_frame : bool, default=False
        Give a DataFrame and a Series, with categories as such.
    n_retries : int, default=3
        How often a failed download is tried again.
    delay : float, default=1.0
        Seconds between tries.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        With these attributes:

        - data : ndarray or DataFrame of shape (n, d). 20 features of 41,188 rows, or
          prepared 51 of 30,488. Categories in an array are codes.
        - target : ndarray or Series of shape (n,). 1 for a subscription.
        - target_names : ndarray of shape (2,). The labels in the file.
        - feature_names : list of str.
        - frame : DataFrame of features and target with `as_frame`, else None.
        - split : ndarray of shape (n,) of "train", "test" and "val" where it is prepared,
          else None: there is no official split.
        - categories : dict. The categories of a column, by their code; None with `as_frame`
          and where it is prepared.
        - sensitive : ndarray of shape (n,) of 0 and 1, an age below 37; prepared only.
        - l2_reg : float. The penalty that they use with this matrix; prepared only.
        - partial : bool. True where the files hold other numbers of rows than the official
          ones.
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
    Read is ``bank-additional-full.csv``, or ``bank+marketing.zip``, the archive with that file,
    which is fetched from the UCI repository where nothing is found. Else the prepared files
    ``bank_additional_full.parquet`` and ``infdatasel_bank.npz``; `DESCR` has their content.

    References
    ----------
    Moro, Cortez and Rita 2014, "A data-driven approach to predict the success of bank
    telemarketing", Decision Support Systems 62.

    Chhabra, Li, Mohapatra and Liu 2024, "'What data benefits my classifier?' Enhancing
    model performance and interpretability through influence-based data selection", ICLR.

    Examples
    --------
    >>> from skfi.datasets import fetch_bank
    >>> bank = fetch_bank(as_frame=True)  # doctest: +SKIP
    >>> bank.frame.shape  # doctest: +SKIP
    (41188, 21)
    """
    return fetch_table(
        _BANK,
        data_home,
        preparation,
        return_X_y,
        as_frame,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=delay,
    )


def _bank_csv(content: bytes) -> Raw:
    lines = content.decode("utf-8").splitlines()
    return parse_csv(lines, _BANK_COLUMNS, _BANK_FILE, header=True, delimiter=";"), None


def _bank_zip(paths: Sequence[Path]) -> Raw:
    """The archive of the data set's page, which holds another archive."""
    with zipfile.ZipFile(paths[0]) as archive:
        content = io.BytesIO(archive.read("bank-additional.zip"))
    with zipfile.ZipFile(content) as archive:
        return _bank_csv(archive.read(f"bank-additional/{_BANK_FILE}"))


_BANK = TableSet(
    name="bank",
    caller="fetch_bank",
    label="y",
    values=["no", "yes"],
    target_names=["no", "yes"],
    l2_reg=1.1622,
    n_rows={None: 41_188, "chhabra2024": 30_488},
    raw=[
        Source((_BANK_FILE,), lambda paths: _bank_csv(paths[0].read_bytes())),
        Source(("bank+marketing.zip",), _bank_zip),
        Source(
            ("bank_additional_full.parquet",),
            lambda paths: (read_parquet(paths[0], _BANK_COLUMNS), None),
        ),
    ],
    prepared=Source(("infdatasel_bank.npz",), read_halves),
    prepare=bank_halves,
    remotes=_BANK_REMOTES,
)
