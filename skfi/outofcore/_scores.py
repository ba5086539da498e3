"""FI^util of rows that are gone through block by block: sums in a pass, scores in the next."""

from __future__ import annotations

import numpy as np

from .._utils._checkpoint import data_setting, setting
from .._utils._checks import check_choice
from .._utils._progress import progress_bar
from ..bridge import Bridge
from ..bridge._linear import balances
from ..influence._rows import column_names
from ..linear._losses import resolve_validation_loss
from ..passes._sums import SCORES, Scorer, make_scorer, readable
from ._journal import Journal
from ._reduce import Passes
from ._source import RowSource, check_source, named


def fi_util(
    estimator,
    rows,
    X_val,
    y_val,
    *,
    sample_weight_val=None,
    validation_loss="log_loss",
    metric="euclidean",
    unit="copy",
    influence="fi",
    out=None,
    overwrite=False,
    verbose=0,
):
    """Influence of each training row on a validation set, of rows of any number.

    The scores of `skfi.fi_util`, in two passes over the rows: one adds up what the objective
    needs, one scores. In memory are a block, matrices of the size of the model's Hessian, and
    the scores, unless these go to a file.

    Parameters
    ----------
    estimator : estimator
        Linear classifier fitted on exactly these rows, as `skfi.fi_util` takes it: by
        `fit_logistic`, or a `LogisticRegression` and the like, also in a Pipeline.
    rows : ArrayRows, ParquetRows or BatchRows
        Training rows.
    X_val : {array-like, sparse matrix, DataFrame} of shape (n_val, n_features)
        Validation rows, not used in training. They are held in memory.
    y_val : array-like of shape (n_val,)
        Their labels.
    sample_weight_val : array-like of shape (n_val,), default=None
        Their weights in the mean.
    validation_loss : {"log_loss", "expected_error", "gce"} or callable, \
            default="log_loss"
        Loss on the validation rows, as in `skfi.fi_util`.
    metric : {"euclidean", "mahalanobis"}, default="euclidean"
        Coordinates of the perturbation, as in `skfi.fi_util`.
    unit : {"copy", "row"}, default="copy"
        What of a weighted row is perturbed, as in `skfi.fi_util`.
    influence : {"fi", "fi_signed", "gain"}, default="fi"
        Which score: FI^util, which has no sign; what the removal of one copy takes off the
        validation loss to first order (`skfi.baselines.iv`); or FI's root times that gain, by
        which `FITrimmer` goes.
    out : path-like, default=None
        A .npy file for the scores, which are written as they come and are not held in memory.
        None returns an array.
    overwrite : bool, default=False
        Whether `out` may be replaced, and with it what a run of other settings has left.
    verbose : bool or int, default=0
        Show a progress bar for each pass, where tqdm is installed.

    Returns
    -------
    influence : ndarray of shape (n,)
        Score of each row, in their order; with `out` a read-only memory map of it. 0 for rows
        of weight 0.

    Raises
    ------
    FileExistsError
        `out` is there already.
    FileNotFoundError
        The folder of `out` is not there.
    TypeError
        `rows` is no source of rows, or the classifier is not linear.
    ValueError
        Rows cannot be used, which the message names; or what lies beside `out` is of a run
        with other settings.

    Warns
    -----
    ConvergenceWarning
        The classifier is not at the optimum of these rows and weights.

    See Also
    --------
    skfi.fi_util : The same of rows in memory, and what the score means.
    select_top : The rows with the highest scores.

    Notes
    -----
    With `out` the scores go to ``out.part`` first, and ``out.progress.json`` and
    ``out.progress.npz`` beside it tell how far they are. A run that was killed goes on from
    there when it is called again with the same arguments, and the scores come out the same,
    byte by byte on the same machine with the same number of threads. These files go when all
    is done, or when rows turn out to be unusable. Classifier, validation rows and settings
    must be the same; training rows are told by the size and time of their files or by a
    sample, batches by the first of them.

    Rows are worked on in threads, as many as BLAS has.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from skfi.outofcore import ArrayRows, fi_util, fit_logistic
    >>> X, y = make_classification(500, random_state=0)
    >>> rows = ArrayRows(X[:400], y[:400])
    >>> model = fit_logistic(rows)
    >>> fi_util(model, rows, X[400:], y[400:]).shape
    (400,)
    """
    scores, journal = score_rows(
        estimator,
        rows,
        (X_val, y_val, sample_weight_val),
        dict(validation_loss=validation_loss, metric=metric, unit=unit),
        influence,
        out,
        overwrite,
        verbose,
    )
    if journal is not None:
        journal.clear()
    return scores


def score_rows(
    estimator,
    rows: RowSource,
    held_out: tuple,
    settings: dict,
    influence: str,
    out,
    overwrite: bool,
    verbose,
) -> tuple[np.ndarray, Journal | None]:
    """The scores; with ``out`` also what lies beside them, which the caller removes."""
    check_source(rows)
    # Before anything that is there may be replaced.
    check_choice("influence", influence, tuple(SCORES))
    check_choice("metric", settings["metric"], ("euclidean", "mahalanobis"))
    check_choice("unit", settings["unit"], ("copy", "row"))
    resolve_validation_loss(settings["validation_loss"])
    fitted = readable(estimator, "skfi.outofcore.fi_util")
    _check_columns(estimator, fitted, rows)
    # Steps may choose columns by name.
    frames = bool(fitted.steps) and getattr(estimator, "feature_names_in_", None) is not None
    size, journal = rows._block_rows(), None
    if out is not None:
        known = _settings(estimator, rows, held_out, {**settings, "influence": influence})
        journal = Journal(out, known, size, overwrite)
        size = journal.size
    try:
        scores = _computed(
            estimator,
            rows,
            held_out,
            settings,
            influence,
            fitted,
            (size, frames),
            journal,
            verbose,
        )
    except BaseException:
        if journal is not None:
            journal.abandon()
        raise
    return scores, journal


def _computed(
    estimator, rows, held_out, settings, influence, fitted, blocks, journal, verbose
) -> np.ndarray:
    """The scores, from where the journal is."""
    if journal is not None and journal.complete:
        return np.load(journal.out, mmap_mode="r")
    size, frames = blocks
    n_passes = 3 if balances(fitted) else 2
    passes = Passes(
        rows, size, frames, lambda k: f"Pass {k + 1} of {n_passes}", verbose, journal
    )
    scorer, total = make_scorer(
        passes,
        estimator,
        *held_out,
        **settings,
        what="skfi.outofcore.fi_util",
        stacklevel=5,
    )
    title = f"Pass {n_passes} of {n_passes}"
    with progress_bar(total.n_rows, title, verbose) as told:
        scores = _score(scorer, passes, total.n_rows, SCORES[influence], journal, told)
    if journal is None:
        return scores
    del scores
    journal.place()
    return np.load(journal.out, mmap_mode="r")


def _score(scorer: Scorer, passes: Passes, n_rows: int, pick, journal, told) -> np.ndarray:
    scores = np.empty(n_rows) if journal is None else journal.scores(n_rows)
    start = stop = 0 if journal is None else journal.next_row
    for block in passes.blocks(start, told):
        stop = block.stop
        if stop > n_rows:
            break
        with named(block.where):
            scores[block.start : stop] = pick(*scorer(block.X, block.y, block.sample_weight))
        if journal is not None:
            journal.keep_scores(stop)
    if stop != n_rows:
        if journal is not None:
            journal.forget()  # the sums are of other rows
        seen = "more" if stop > n_rows else f"{stop:,}"
        raise ValueError(
            f"The pass before saw {n_rows:,} rows, and this one {seen}. The rows must stay the "
            "same until all passes are done."
        )
    return scores


def _check_columns(estimator, fitted: Bridge, rows: RowSource) -> None:
    """Refuse other columns than the classifier was fitted on, before a pass."""
    names, given = column_names(estimator), rows.feature_names
    if names is not None and given is not None and list(names) != given:
        raise ValueError(
            "rows must have the columns that the classifier was fitted on, in the same order: "
            f"{list(names[:10])}; got {given[:10]}."
        )


def _settings(estimator, rows: RowSource, held_out: tuple, settings: dict) -> dict:
    known = {"estimator": setting(estimator, "estimator")}
    for name, data in zip(("X_val", "y_val", "sample_weight_val"), held_out, strict=True):
        known[name] = data_setting(data)
    known |= {name: setting(value, name) for name, value in settings.items()}
    return known | rows._settings()
