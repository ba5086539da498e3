"""Logistic regression on rows that are gone through block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from .._utils._in_place import own_rows
from .._utils._progress import progress_bar
from ..passes._sums import fit_linear
from ._reduce import Passes
from ._source import Block, RowSource, check_source, named


def fit_logistic(
    rows: Any,
    *,
    transformer: Any = None,
    C: float = 1.0,
    fit_intercept: bool = True,
    class_weight: Any = None,
    classes: Any = None,
    tol: float = 1e-10,
    max_iter: int = 50,
    verbose: bool | int = 0,
) -> Any:
    """Fit a logistic regression on rows of any number, exactly.

    Newton's method on sums over all rows: a pass a step, about eight in all, to the same
    minimum that `LogisticRegression` finds on rows in memory. For K classes and d features
    the Hessian has a side of (K - 1)(d + 1), which has to fit into memory.

    Parameters
    ----------
    rows : ArrayRows, ParquetRows or BatchRows
        Training rows.
    transformer : transformer, default=None
        What the features go through first. One with `partial_fit` (`StandardScaler`, …) is
        cloned and fitted in a pass of its own, on all rows alike; one that needs no fit, or
        is fitted and in a `FrozenEstimator`, is used as it is.
    C : float, default=1.0
        Inverse strength of the L2 penalty; large is weak.
    fit_intercept : bool, default=True
        Whether there is a constant, which is not penalised.
    class_weight : dict or "balanced", default=None
        Weights of the classes, as in `LogisticRegression`. "balanced" takes a pass more.
    classes : array-like of shape (K,), default=None
        All labels, sorted; None is found out by a pass over the labels.
    tol : float, default=1e-10
        Share of the objective that the last step may still gain; the error left is of the
        order of its square.
    max_iter : int, default=50
        Most steps.
    verbose : bool or int, default=0
        Show a progress bar for each pass, where tqdm is installed.

    Returns
    -------
    estimator : LogisticRegression or Pipeline
        Fitted, as by scikit-learn itself; a Pipeline where there is a `transformer`. It
        predicts, and goes to `fi_util`, like any other.

    Raises
    ------
    TypeError
        `rows` is no source of rows, or `transformer` cannot be fitted block by block.
    ValueError
        A parameter makes no sense, there is only one class, or rows cannot be used; the
        message names them.

    Warns
    -----
    ConvergenceWarning
        The method has not converged within `max_iter` steps.

    See Also
    --------
    fi_util : Which rows matter to it.
    trim : Fit, score, leave rows out and fit again.

    Notes
    -----
    On the objective's scale all rows count, so what `C` means depends on their number, as in
    scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skfi.outofcore import ArrayRows, fit_logistic
    >>> X, y = make_classification(500, random_state=0)
    >>> model = fit_logistic(ArrayRows(X, y), transformer=StandardScaler())
    >>> model.predict_proba(X).shape
    (500, 2)
    """
    check_source(rows)
    step = None if transformer is None else fit_transformer(rows, transformer, verbose)
    settings = dict(
        C=C, fit_intercept=fit_intercept, class_weight=class_weight, tol=tol, max_iter=max_iter
    )
    return fit_on(rows, step, classes, settings, verbose, "Fit")


def fit_on(
    rows: RowSource,
    step: Any,
    classes: Any,
    settings: dict[str, Any],
    verbose: bool | int,
    title: str,
) -> Any:
    """The fit, behind a transformer that is fitted."""
    _check_classes(classes)
    if classes is None:
        classes = rows.classes()
    seen = rows if step is None else Transformed(rows, step)
    reduce = Passes(
        seen, rows._block_rows(), step is not None, lambda k: f"{title}, pass {k + 1}", verbose
    )
    estimator = fit_linear(reduce, seen.n_features, classes, **settings)
    if step is not None:
        return make_pipeline(step, estimator)
    if rows.feature_names is not None:
        estimator.feature_names_in_ = np.asarray(rows.feature_names, dtype=object)
    return estimator


def _check_classes(classes: Any) -> None:
    if classes is None:
        return
    found = np.asarray(classes)
    if found.ndim != 1 or not np.array_equal(np.unique(found), found):
        raise ValueError(f"classes={classes!r} must be all labels, each once, in sorted order.")


def fit_transformer(rows: RowSource, transformer: Any, verbose: bool | int) -> Any:
    """A transformer fitted on all rows, block by block."""
    if isinstance(transformer, FrozenEstimator):
        return transformer
    by_parts = hasattr(transformer, "partial_fit")
    if not by_parts and get_tags(transformer).requires_fit:
        raise TypeError(
            f"{type(transformer).__name__} has no partial_fit, so it cannot be fitted block by "
            "block. Fit it on a part of the rows, and pass it as "
            "transformer=FrozenEstimator(fitted)."
        )
    fitted = clone(transformer)
    with progress_bar(rows.n_rows or 0, "Transformer", verbose) as report:
        for block in rows._read(rows._block_rows(), frames=True):
            with named(block.where):
                if not by_parts:
                    return fitted.fit(own_rows(fitted, block.X))
                fitted.partial_fit(own_rows(fitted, block.X))
            if report is not None:
                report(block.stop)
    return fitted


class Transformed(RowSource):
    """Rows behind a transformer."""

    def __init__(self, rows: RowSource, transformer: Any) -> None:
        self._rows, self._transformer = rows, transformer
        self._n_features: int | None = None

    @property
    def n_rows(self) -> int | None:
        return self._rows.n_rows

    @property
    def n_features(self) -> int:
        if self._n_features is None:
            for block in self._read(1, frames=True):
                self._n_features = int(block.X.shape[1])
                break
        assert self._n_features is not None
        return self._n_features

    def _row_bytes(self) -> float:
        return self._rows._row_bytes()

    def _settings(self) -> dict[str, dict[str, str]]:
        return self._rows._settings()

    def _read(self, size: int, start: int = 0, frames: bool = False) -> Iterator[Block]:
        for block in self._rows._read(size, start, frames):
            with named(block.where):
                rows = own_rows(self._transformer, block.X)
                X = self._transformer.transform(rows)
            yield block._replace(X=X)
