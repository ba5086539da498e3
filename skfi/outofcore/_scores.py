"""FI^util of rows that are gone through block by block: sums in a pass, scores in the next."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._utils._checkpoint import data_setting, setting
from .._utils._progress import Report, progress_bar
from ..bridge._linear import balances
from ..influence._rows import check_equal_names, column_names
from ..passes._sums import SCORES, Scorer, check_settings, linear_bridge, make_scorer
from ._journal import Journal
from ._reduce import Passes
from ._source import RowSource, check_source, named

HeldOut = tuple[Any, ArrayLike, ArrayLike | None]  # X_val, y_val, sample_weight_val


def fi_util(
    estimator: Any,
    rows: RowSource,
    X_val: Any,
    y_val: ArrayLike,
    *,
    sample_weight_val: ArrayLike | None = None,
    validation_loss: Any = "log_loss",
    metric: str = "euclidean",
    unit: str = "copy",
    influence: str = "fi",
    out: str | PathLike[str] | None = None,
    overwrite: bool = False,
    verbose: bool | int = 0,
) -> np.ndarray:
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
    must be the same; training rows are recognised by the size and time of their files or by a
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
    settings = dict(
        validation_loss=validation_loss, metric=metric, unit=unit, influence=influence
    )
    held_out = X_val, y_val, sample_weight_val
    scores, journal = score_rows(estimator, rows, held_out, settings, out, overwrite, verbose)
    if journal is not None:
        journal.clear()
    return scores


def score_rows(
    estimator: Any,
    rows: Any,
    held_out: HeldOut,
    settings: dict[str, Any],
    out: Any,
    overwrite: bool,
    verbose: bool | int,
) -> tuple[np.ndarray, Journal | None]:
    """The scores; with ``out`` also what lies beside them, which the caller removes."""
    check_source(rows)
    check_settings(settings)  # before anything that is there may be replaced
    fitted = linear_bridge(estimator, "skfi.outofcore.fi_util")
    check_equal_names(column_names(estimator), rows.feature_names, "rows")
    journal = None
    if out is not None:
        known = _settings(estimator, rows, held_out, settings)
        journal = Journal(out, known, rows._block_rows(), overwrite)
    # Steps may choose columns by name.
    frames = bool(fitted.steps) and getattr(estimator, "feature_names_in_", None) is not None
    n_passes = 3 if balances(fitted) else 2
    passes = Passes(
        rows,
        rows._block_rows() if journal is None else journal.size,
        frames,
        lambda k: f"Pass {k + 1} of {n_passes}",
        verbose,
        journal,
    )
    pick = SCORES[settings["influence"]]
    choices = {name: value for name, value in settings.items() if name != "influence"}
    try:
        if journal is not None and journal.complete:
            return journal.read(), journal
        scorer = make_scorer(passes, estimator, *held_out, **choices)
        title = f"Pass {n_passes} of {n_passes}"
        with progress_bar(scorer.n_rows, title, verbose) as report:
            scores = _score(scorer, passes, pick, journal, report)
        if journal is not None:
            del scores
            journal.place()
            scores = journal.read()
    except BaseException:
        if journal is not None:
            journal.abandon()
        raise
    return scores, journal


def _score(
    scorer: Scorer,
    passes: Passes,
    pick: Callable[[np.ndarray, np.ndarray], np.ndarray],
    journal: Journal | None,
    report: Report | None,
) -> np.ndarray:
    """The scores of all rows, from where the journal is."""
    n_rows = scorer.n_rows
    scores = np.empty(n_rows) if journal is None else journal.scores(n_rows)
    start = stop = 0 if journal is None else journal.next_row
    for block in passes.blocks(start, report):
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
        read = "more" if stop > n_rows else f"{stop:,}"
        raise ValueError(
            f"The pass before read {n_rows:,} rows, and this one {read}. The rows must stay "
            "the same until all passes are done."
        )
    return scores


def _settings(
    estimator: Any, rows: RowSource, held_out: HeldOut, settings: dict[str, Any]
) -> dict[str, dict[str, str]]:
    known = {"estimator": setting(estimator, "estimator")}
    for name, data in zip(("X_val", "y_val", "sample_weight_val"), held_out, strict=True):
        known[name] = data_setting(data)
    known |= {name: setting(value, name) for name, value in settings.items()}
    return known | rows._settings()
