"""What a user asks afterwards: which rows went, what they looked like, what it changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from .._utils._checks import encode_labels, predicted_labels
from .._utils._extras import require
from ._path import RemovalPath


def ranking(path: RemovalPath, support: np.ndarray) -> np.ndarray:
    """1 for the row that goes first; kept rows follow by their last score (n,).

    Rows that were not scored share the last rank.
    """
    influence = path.influence
    gone = path.order((~support).astype(float))
    left = np.flatnonzero(support & ~np.isnan(influence))
    left = left[np.argsort(-influence[left], kind="stable")]
    order = np.concatenate([gone, left])
    rank = np.full(len(influence), len(order) + 1)
    rank[order] = np.arange(1, len(order) + 1)
    return rank


def describe_rows(estimator, X, y, rows: np.ndarray) -> dict[str, np.ndarray]:
    """How the final classifier sees the rows it was not trained on."""
    # A list has an `index` as well.
    index = X.index[rows] if hasattr(X, "iloc") else rows
    predicted = np.empty(0, dtype=np.asarray(y).dtype)
    probability, loss = np.full((2, len(rows)), np.nan)
    if len(rows):
        predicted = _predicted(estimator, X, rows)
    known = np.flatnonzero([label is not None for label in predicted])
    if len(known) and hasattr(estimator, "predict_proba"):
        X_known = _safe_indexing(X, rows[known])
        proba = np.asarray(estimator.predict_proba(X_known))
        probability[known] = proba.max(axis=1)
        classes = np.asarray(estimator.classes_)
        codes = encode_labels(np.asarray(y)[rows[known]], classes, "y")
        given = proba[np.arange(len(known)), codes]
        loss[known] = -np.log(np.maximum(given, np.finfo(np.float64).tiny))
    return {
        "index": index,
        "given_label": np.asarray(y)[rows],
        "predicted_label": predicted,
        "predicted_probability": probability,
        "loss": loss,
    }


def _predicted(estimator, X, rows: np.ndarray) -> np.ndarray:
    """Labels of rows (n,), None where an encoder refuses a category it never saw."""
    try:
        return predicted_labels(estimator, _safe_indexing(X, rows))
    except ValueError:
        if len(rows) == 1:
            return np.full(1, None, dtype=object)
        halves = [_predicted(estimator, X, half) for half in np.array_split(rows, 2)]
        return np.concatenate([half.astype(object) for half in halves])


def report_frame(facts: dict[str, Any], rows: np.ndarray, influence, gain, frame=None):
    """The facts of the trimmed rows as a DataFrame, first to go first.

    ``frame`` has columns of all rows that were passed, to stand beside the facts.
    """
    otherwise = "trimmed_indices_ and influence_ hold the rows and scores without it."
    pd = require("pandas", "report()", otherwise=otherwise)
    agrees = (
        pd.array([pd.NA] * len(rows), dtype="boolean")
        if gain is None
        else pd.array(gain[rows] > 0, dtype="boolean")
    )
    columns = {
        "position": rows,
        "influence": influence[rows],
        **{key: value for key, value in facts.items() if key != "index"},
        "removal_lowers_validation_loss": agrees,
    }
    report = pd.DataFrame(columns).set_axis(facts["index"])  # keeps its names and levels
    if frame is None:
        return report
    both = report.columns.intersection(frame.columns)
    if len(both):
        raise ValueError(
            f"frame has the columns {both.tolist()}, which the report has as well. Rename "
            "them, as with frame.add_prefix('x_')."
        )
    return pd.concat([report, frame.iloc[rows].set_axis(report.index)], axis=1)


class ReportMixin:
    """What a fitted trimmer tells of the rows it dropped."""

    support_: np.ndarray
    trimmed_indices_: np.ndarray
    influence_: np.ndarray
    removal_gain_: np.ndarray | None
    _facts: dict[str, Any]

    def report(self, frame=None):
        """The rows that were dropped, one a line, first to go first.

        Parameters
        ----------
        frame : DataFrame, Series, list or ndarray of shape (n, …), default=None
            Columns to add: of all rows that were passed to `fit`, in their order, as in
            `to_html`.

        Returns
        -------
        report : pandas.DataFrame of shape (`n_trimmed_`, 7 or more)
            Index as in the `X` that was passed to `fit` (positions, if it had none).
            Columns: ``position`` in X, from 0; ``influence``, the score by which it
            went; ``given_label``; ``predicted_label``, ``predicted_probability`` (of
            the predicted label) and ``loss`` (−log P of the given label), all by
            `estimator_`, which was not trained on the row (missing where it cannot take
            the row, as an encoder that knows no such category);
            ``removal_lowers_validation_loss``, whether the row's removal lowers the
            validation loss to first order (the sign of `skfi.baselines.iv`; missing
            for scores that do not know).

        Raises
        ------
        ImportError
            pandas is not installed.
        TypeError, ValueError
            `frame` is of another type, length or order than the rows of `fit`, or has
            columns that the report has as well.

        Examples
        --------
        >>> from sklearn.datasets import make_classification
        >>> from skfi import FITrimmer
        >>> X, y = make_classification(200, random_state=0)
        >>> report = FITrimmer(budget=3, random_state=0).fit(X, y).report()
        >>> report.shape
        (3, 7)
        """
        check_is_fitted(self)
        facts = self._facts, self.trimmed_indices_, self.influence_, self.removal_gain_
        report = report_frame(*facts)
        if frame is None:
            return report
        from ..report._rows import check_frame, check_order

        names = getattr(self, "feature_names_in_", None)
        frame = check_frame(frame, len(self.support_), names)
        check_order(frame, report, names)
        return report_frame(*facts, frame)

    def suggestions(self):
        """What to decide about each dropped row: keep it, or another label for it.

        Returns
        -------
        suggestions : pandas.DataFrame of shape (`n_trimmed_`, 5)
            First to be dropped first. ``position`` in X, from 0; ``action``, "relabel" where
            `estimator_`, which was not trained on the row, predicts another label than the
            given one, else "keep"; ``label``, the predicted one of a relabelling ("" of a kept
            row); ``given_label``; ``probability`` of the predicted label.
            `skfi.review.apply_decisions` takes such a table, once a person has looked at it.

        Raises
        ------
        ImportError
            pandas is not installed.

        Examples
        --------
        >>> from sklearn.datasets import make_classification
        >>> from skfi import FITrimmer
        >>> X, y = make_classification(200, random_state=0)
        >>> trimmer = FITrimmer(budget=1, random_state=0).fit(X, y)
        >>> trimmer.suggestions()[["position", "action", "label", "given_label"]]
           position   action label  given_label
        0        76  relabel     0            1
        """
        report = self.report()
        given, predicted = report["given_label"], report["predicted_label"]
        other = (given.to_numpy() != predicted.to_numpy()) & predicted.notna().to_numpy()
        return (
            report.assign(
                action=np.where(other, "relabel", "keep"),
                label=predicted.astype(object).where(other, ""),
            )
            .rename(columns={"predicted_probability": "probability"})[
                ["position", "action", "label", "given_label", "probability"]
            ]
            .reset_index(drop=True)
        )

    def to_html(
        self, path=None, *, frame=None, images=None, title=None, max_rows=None, date=None
    ):
        """A self-contained HTML page about what was dropped, for domain experts.

        Parameters
        ----------
        path : str or path-like, default=None
            File to write, replaced as a whole. None returns the page.
        frame : DataFrame, Series, list or ndarray of shape (n, …), default=None
            The rows as they are to be shown: all that were passed to `fit`, in their order.
        images : ndarray of shape (n, height, width) or (n, height, width, c), default=None
            A picture of each row, with c of 1, 3 or 4 channels.
        title : str, default=None
            Heading of the page.
        max_rows : int, default=None
            Number of dropped rows to list, the first to go first; None is all.
        date : str or datetime.date, default=None
            Shown where given. Without, the same input makes the same page.

        Returns
        -------
        page : str or pathlib.Path
            The page, or where it was written.

        Raises
        ------
        ImportError
            jinja2 or pandas is not installed.
        sklearn.exceptions.NotFittedError
            The trimmer is not fitted.
        TypeError, ValueError
            An argument of another type, length or order than the rows of `fit`.

        Examples
        --------
        >>> from sklearn.datasets import make_classification
        >>> from skfi import FITrimmer
        >>> X, y = make_classification(200, random_state=0)
        >>> trimmer = FITrimmer(budget=3, step=None).fit(X, y)
        >>> page = trimmer.to_html(frame=X)  # doctest: +SKIP
        >>> page[:15]  # doctest: +SKIP
        '<!DOCTYPE html>'
        """
        from ..report._report import html_report

        return html_report(
            self, path, frame=frame, images=images, title=title, max_rows=max_rows, date=date
        )
