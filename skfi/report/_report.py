"""A page about a fitted trimmer, for those who have to decide what happens to the rows.

Whoever knows the data seldom runs Python. The page is one file without anything from
elsewhere, and what it shows is text of the user's: it is never read as markup, and the
page's content policy lets nothing but its own script and style run.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

from sklearn.base import MetaEstimatorMixin
from sklearn.utils.validation import check_is_fitted

from .._utils._extras import require
from .._utils._files import replacing
from ._curve import curve_svg
from ._facts import class_table, settings, share, summary, text_of, verdict, versions
from ._rows import check_frame, check_images, check_order, collect_rows

_STATIC_ROWS = 200  # for readers without JavaScript


def html_report(
    trimmer,
    path=None,
    *,
    frame=None,
    images=None,
    title=None,
    max_rows=None,
    date=None,
    first_row=0,
    lines=None,
    source=None,
    measured=None,
):
    """Write a self-contained HTML page about a fitted trimmer.

    See `FITrimmer.to_html`, which calls this.

    Parameters
    ----------
    trimmer : FITrimmer or FITrimmerCV
        Fitted.
    path : str or path-like, default=None
        File to write. None returns the page.
    frame : DataFrame, Series, list or ndarray of shape (n, …), default=None
        The rows as they are to be shown, all that were passed to `fit` and in their
        order.
    images : ndarray of shape (n, height, width) or (n, height, width, c), default=None
        Pictures of the rows, with c of 1, 3 or 4 channels.
    title : str, default=None
        Heading of the page.
    max_rows : int, default=None
        Number of dropped rows to list, the first to go first; None is all.
    date : str or datetime.date, default=None
        Shown in the page where given. None shows no date, so that the same input makes
        the same page.
    first_row : int, default=0
        Number of the first row of `fit`. 0 shows positions, as `report()` has them; the
        command line counts rows from 1.
    lines : sequence of int of length n, default=None
        Lines of the rows in the file they come from, shown beside their numbers.
    source : str, default=None
        Where the rows come from, shown above the title.
    measured : Measured, default=None
        What was measured on held-out rows, for a trimmer that held none out itself.

    Returns
    -------
    page : str or pathlib.Path
        The page, or where it was written.

    Raises
    ------
    FileNotFoundError
        `path` lies in a folder that does not exist.
    ImportError
        jinja2 or pandas is not installed.
    sklearn.exceptions.NotFittedError
        The trimmer is not fitted.
    TypeError
        `trimmer`, `frame`, `images` or `title` is of another type.
    ValueError
        `frame` or `images` has another length than the rows of `fit`, or another order,
        or `max_rows` is no number of rows.
    """
    if not isinstance(trimmer, MetaEstimatorMixin) or not hasattr(trimmer, "report"):
        raise TypeError(
            f"trimmer must be a fitted FITrimmer or FITrimmerCV, and is a "
            f"{type(trimmer).__name__}. Where it is a step of a Pipeline, pass that step."
        )
    check_is_fitted(trimmer)
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title must be a str or None, and is a {type(title).__name__}.")
    if max_rows is not None and (
        isinstance(max_rows, bool) or not isinstance(max_rows, Integral) or max_rows < 1
    ):
        raise ValueError(f"max_rows={max_rows!r} must be a number of rows, 1 or more, or None.")
    target = None if path is None else Path(path)
    if target is not None and not target.parent.is_dir():
        raise FileNotFoundError(
            f"path={str(target)!r} lies in a folder that does not exist; make it first."
        )
    template = _template()
    report = trimmer.report()
    n = len(trimmer.support_)
    names = getattr(trimmer, "feature_names_in_", None)
    frame = check_frame(frame, n, names)
    check_order(frame, report, names)
    check_images(images, n)

    limit = None if max_rows is None else int(max_rows)
    rows = collect_rows(report, frame, images, limit, first_row, lines)
    page = _render(template, trimmer, report, rows, title, date, first_row, source, measured)
    # A lone half of a surrogate pair has no bytes.
    content = page.encode("utf-8", "backslashreplace")
    if target is None:
        return content.decode("utf-8")
    with replacing(target) as file:
        file.write(content)
    return target


def _template():
    require("jinja2", "to_html()")
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("report.html.jinja"))


class Measured(NamedTuple):
    """A gain measured on held-out rows, as a figure and in sentences."""

    figure: str
    sentences: list[str]


def _render(template, trimmer, report, rows, title, date, first_row, source, measured) -> str:
    from markupsafe import Markup

    css, script = (
        _asset("page.css") + _asset("tables.css"),
        _asset("review.js") + _asset("report.js"),
    )
    policy = {
        "default-src": "'none'",
        "script-src": f"'sha256-{_digest(script)}'",
        "style-src": f"'sha256-{_digest(css)}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    judged = verdict(trimmer)
    curve = None if judged is None else curve_svg(trimmer, judged.score_name)
    classes, classes_note = class_table(trimmer, report)
    n, gone = len(trimmer.support_), trimmer.n_trimmed_
    return template.render(
        policy="; ".join(f"{key} {value}" for key, value in policy.items()),
        css=Markup(css),
        script=Markup(script),
        title="Trimming report" if title is None else title,
        kind=type(trimmer).__name__,
        source=source,
        measured=measured,
        date=None if date is None else str(date),
        summary=summary(trimmer),
        n=n,
        gone=gone,
        gone_share=share(gone / n),
        judged=judged,
        curve=None if curve is None else Markup(curve),
        classes=classes,
        classes_note=classes_note,
        weighted=trimmer.sample_weight_ is not None,
        rows=rows,
        rows_json=Markup(rows.json(list(map(str, trimmer.classes_)), first_row)),
        static=range(min(_STATIC_ROWS, rows.count)),
        own=[column.name for column in rows.columns if not column.id],
        ids=[column.id for column in rows.columns],
        names={column.id: column.name for column in rows.columns if column.id},
        model_text=text_of(trimmer.estimator_),
        settings=settings(trimmer),
        versions=versions(),
    )


def _asset(name: str) -> str:
    return files("skfi.report").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Hash of an element's content, as a content policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
