"""InfluenceDisplay: how the scores of the training rows fall off, and which rows were dropped.

A ranking alone does not show whether the budget cut it at a step or in the middle of a slope.
"""

from __future__ import annotations

import numpy as np

from .._utils._extras import require
from ._plotting import (
    BLACK,
    BLUE,
    LIGHT_GREY,
    VERMILION,
    add_legend,
    axes_for,
    check_has,
    check_option,
    count,
    plain_text,
    style,
    whole_ticks,
)
from ._ranking import bin_edges, choose_scale, choose_threshold, is_top, rank_rows


class InfluenceDisplay:
    """Scores of training rows, and which of the rows were dropped.

    Use `from_estimator` for a fitted `FITrimmer`, and `from_scores` for scores of any
    method. All parameters are stored as attributes.

    Parameters
    ----------
    influence : array-like of shape (n,)
        Score of each training row, NaN where a row was not scored. High scores are
        those that get rows dropped.
    support : array-like of bool of shape (n,), default=None
        Rows that were kept. None where nothing was dropped yet.
    threshold : float, "auto" or None, default="auto"
        Score to draw a dashed line at. ``"auto"`` is the lowest score among the
        dropped rows, if these are the ones that score highest; None draws no line.
    estimator_name : str, default=None
        Name shown above the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D or None
        Curve of all scores, highest first; None for ``kind="hist"``.
    dropped_ : matplotlib Line2D, StepPatch or None
        Dropped rows: points on the curve, or their part of the histogram.
    kept_ : matplotlib StepPatch or None
        Other rows' part of the histogram; None for ``kind="ranked"``.
    span_ : matplotlib Patch or None
        Shade over the ranks of the dropped rows; None unless they score highest.
    highlight_ : matplotlib Line2D, StepPatch or None
        Highlighted rows: ticks at their ranks, or the outline of their histogram.
    threshold_line_ : matplotlib Line2D or None
        Line at the threshold.
    ax_, figure_ : matplotlib Axes, matplotlib Figure
        Axes with the picture, and their figure.

    See Also
    --------
    TrimmingCurveDisplay : What each budget does to the cross-validated score.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import make_classification
    >>> from skfi import FITrimmer
    >>> from skfi.inspection import InfluenceDisplay
    >>> X, y = make_classification(300, random_state=0)
    >>> trimmer = FITrimmer(budget=0.05, validation=5).fit(X, y)
    >>> display = InfluenceDisplay(
    ...     trimmer.influence_, support=trimmer.support_, estimator_name="FITrimmer"
    ... )
    >>> display.plot()
    <...>
    >>> len(display.line_.get_xdata()), len(display.dropped_.get_xdata())
    (300, 15)
    """

    def __init__(self, influence, *, support=None, threshold="auto", estimator_name=None):
        self.influence = influence
        self.support = support
        self.threshold = threshold
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(cls, trimmer, *, threshold="auto", name=None, ax=None, **plot_options):
        """Draw the scores that a fitted trimmer gave to its training rows.

        Parameters
        ----------
        trimmer : estimator
            Fitted `FITrimmer`, or any fitted estimator with `influence_` and
            `support_`, both of shape (n,).
        threshold : float, "auto" or None, default="auto"
            Score to draw a dashed line at, see `InfluenceDisplay`.
        name : str, default=None
            Name shown above the legend; None is the class name of `trimmer`.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **plot_options : dict
            Further arguments of `plot`.

        Returns
        -------
        display : InfluenceDisplay
            The display, drawn.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            The trimmer is not fitted.
        TypeError
            The estimator has no `influence_` or `support_`.
        ValueError
            As `plot`.

        Examples
        --------
        >>> from sklearn.datasets import make_classification
        >>> from skfi import FITrimmer
        >>> from skfi.inspection import InfluenceDisplay
        >>> X, y = make_classification(300, random_state=0)
        >>> y[:15] = 1 - y[:15]  # wrong labels
        >>> trimmer = FITrimmer(budget=15, validation=5).fit(X, y)
        >>> InfluenceDisplay.from_estimator(
        ...     trimmer, highlight=range(15), highlight_label="wrong label"
        ... )
        <...>
        """
        require("matplotlib", f"{cls.__name__}.from_estimator")
        check_has(
            trimmer,
            ("influence_", "support_"),
            "Pass a fitted FITrimmer (the step itself where it is part of a Pipeline), or "
            f"scores to {cls.__name__}.from_scores.",
        )
        return cls(
            trimmer.influence_,
            support=trimmer.support_,
            threshold=threshold,
            estimator_name=type(trimmer).__name__ if name is None else name,
        ).plot(ax=ax, **plot_options)

    @classmethod
    def from_scores(
        cls, influence, *, support=None, threshold="auto", name=None, ax=None, **plot_options
    ):
        """Draw scores of training rows, of whichever method.

        Parameters
        ----------
        influence : array-like of shape (n,)
            Score of each row, NaN where a row was not scored. High is bad: pass
            Shapley values and the like with their sign turned.
        support : array-like of bool of shape (n,), default=None
            Rows that were kept; None where nothing was dropped yet.
        threshold : float, "auto" or None, default="auto"
            Score to draw a dashed line at, see `InfluenceDisplay`.
        name : str, default=None
            Name shown above the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **plot_options : dict
            Further arguments of `plot`.

        Returns
        -------
        display : InfluenceDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            As `plot`.

        Examples
        --------
        >>> import numpy as np
        >>> from skfi.inspection import InfluenceDisplay
        >>> shapley = np.random.default_rng(0).normal(0.2, 1.0, size=500)
        >>> display = InfluenceDisplay.from_scores(
        ...     -shapley, kind="hist", score_name="negative Shapley value"
        ... )
        >>> display.ax_.get_xlabel()
        'negative Shapley value'
        """
        require("matplotlib", f"{cls.__name__}.from_scores")
        display = cls(influence, support=support, threshold=threshold, estimator_name=name)
        return display.plot(ax=ax, **plot_options)

    def plot(
        self,
        *,
        ax=None,
        kind="ranked",
        scale="auto",
        highlight=None,
        highlight_label="highlighted",
        score_name="influence",
        bins=30,
        line_kw=None,
        highlight_kw=None,
    ):
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        kind : {"ranked", "hist"}, default="ranked"
            Curve of the scores from the highest down, or their histogram, with bins
            equally wide on `scale`.
        scale : {"auto", "log", "symlog", "linear"}, default="auto"
            Scale of the scores. ``"auto"`` is logarithmic where all are positive
            and span more than a decade. With zeros or negative scores it is
            ``"symlog"``, which is linear around 0, where they span two decades or
            more, and else linear.
        highlight : array-like of bool of shape (n,) or of int, default=None
            Rows to mark, as a mask or as indices: those with known wrong labels, say.
            Rows that were not scored are left out.
        highlight_label : str, default="highlighted"
            What the marked rows are.
        score_name : str, default="influence"
            Name of the scores, for the axis label.
        bins : int, default=30
            Number of bins of the histogram; one more where a bin is made to begin at
            the threshold.
        line_kw : dict, default=None
            Properties of the curve, passed to `Axes.plot`; unused for ``"hist"``.
        highlight_kw : dict, default=None
            Properties of the marks: of a Line2D for ``"ranked"``, of a Patch for
            ``"hist"``.

        Returns
        -------
        display : InfluenceDisplay
            The display itself.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            Lengths differ, no row was scored, a score is infinite, a logarithmic scale
            is asked of scores that are not positive, or `kind`, `scale`, `threshold`,
            `bins`, `support` or `highlight` is none of those above.
        """
        require("matplotlib", f"{type(self).__name__}.plot")
        check_option("kind", kind, ("ranked", "hist"))
        check_option("scale", scale, ("auto", "log", "symlog", "linear"))
        if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
            raise ValueError(f"bins={bins!r} must be a number of bins, 1 or more.")
        rows = rank_rows(self.influence, self.support, highlight)
        scale, linthresh = choose_scale(rows.scores, scale)
        threshold = choose_threshold(self.threshold, rows.scores, rows.dropped)

        self.ax_ = axes_for(ax)
        self.figure_ = self.ax_.figure
        self.line_ = self.kept_ = self.dropped_ = self.span_ = None
        self.highlight_ = self.threshold_line_ = None
        text = None
        if highlight is not None:
            text = f"{plain_text(highlight_label)}: {count(int(rows.marked.sum()))}"
            if rows.dropped.any():
                text += f", {int((rows.marked & rows.dropped).sum()):,} of them dropped"
        name = plain_text(score_name)
        unit = {"log": ", log scale", "symlog": ", log scale, linear near 0"}.get(scale, "")
        n_scored = len(rows.scores)
        scored = f" ({n_scored:,} of {count(rows.n)} scored)" if rows.n > n_scored else ""
        if kind == "ranked":
            score_axis, draw_line = self.ax_.yaxis, self.ax_.axhline
            whole_ticks(self.ax_.xaxis)
            self.ax_.set_yscale(scale, **linthresh)
            self._draw_ranked(rows, text, line_kw, highlight_kw)
            self.ax_.set_xlabel(f"rank of the row, highest {name} first{scored}")
        else:
            score_axis, draw_line = self.ax_.xaxis, self.ax_.axvline
            whole_ticks(self.ax_.yaxis)
            self.ax_.set_xscale(scale, **linthresh)
            self._draw_hist(rows, text, bins, threshold, highlight_kw)
            self.ax_.set_ylabel(f"number of rows{scored}")
        score_axis.set_label_text(f"{name}{unit}")
        if threshold is not None:
            what = "lowest dropped" if isinstance(self.threshold, str) else "threshold"
            look = {"color": BLACK, "linewidth": 1, "linestyle": "--"}
            self.threshold_line_ = draw_line(
                threshold, label=f"{what}: {threshold:.3g}", **look
            )
        if scale == "symlog":
            score_axis.get_major_locator().set_params(numticks=9)
        add_legend(self.ax_, self.estimator_name)
        return self

    def _draw_ranked(self, rows, text, line_kw, highlight_kw):
        from matplotlib.lines import Line2D

        scores, dropped, marked, _ = rows
        rank = np.arange(1, len(scores) + 1)
        look = {"color": BLUE, "linewidth": 1.8, "markersize": 4, "label": _others(dropped)}
        look["marker"] = "o" if len(scores) <= 60 else ""
        (self.line_,) = self.ax_.plot(rank, scores, **style(look, line_kw, Line2D))
        if dropped.any():
            (self.dropped_,) = self.ax_.plot(
                rank[dropped],
                scores[dropped],
                linestyle="",
                marker="o",
                markersize=5,
                color=VERMILION,
                markeredgecolor=BLACK,
                markeredgewidth=0.4 if dropped.sum() <= 100 else 0,
                label=f"dropped: {count(int(dropped.sum()))}",
            )
        if is_top(dropped):
            self.span_ = self.ax_.axvspan(
                0.5, dropped.sum() + 0.5, color=LIGHT_GREY, alpha=0.45, linewidth=0, zorder=0
            )
        if text is not None:
            # Ticks thin out with the number of rows, so that their density shows.
            width = 72 * self.ax_.get_window_extent().width / self.ax_.figure.figure.dpi
            look = {"color": BLACK, "marker": "|", "linestyle": "", "markersize": 9}
            look |= {"markeredgewidth": np.clip(width / len(scores), 0.3, 1.5), "label": text}
            (self.highlight_,) = self.ax_.plot(
                rank[marked],
                np.full(marked.sum(), 0.035),
                transform=self.ax_.get_xaxis_transform(),
                **style(look, highlight_kw, Line2D),
            )
            if self.ax_.get_autoscaley_on():
                self.ax_.margins(y=0.1)

    def _draw_hist(self, rows, text, bins, threshold, highlight_kw):
        from matplotlib.patches import Patch

        scores, dropped, marked, _ = rows
        # Bins are equally wide on the scale of the axis.
        transform = self.ax_.xaxis.get_transform()
        position = transform.transform(scores)
        cut = None if threshold is None else transform.transform(np.array([threshold]))[0]
        edges = bin_edges(position, bins, cut)
        n_kept, n_dropped, n_marked = (
            np.histogram(position[mask], edges)[0] for mask in (~dropped, dropped, marked)
        )
        edges = transform.inverted().transform(edges)
        filled = {"fill": True, "edges": edges}
        self.kept_ = self.ax_.stairs(n_kept, color=LIGHT_GREY, label=_others(dropped), **filled)
        if dropped.any():
            label = f"dropped: {count(int(dropped.sum()))}"
            self.dropped_ = self.ax_.stairs(
                n_kept + n_dropped, baseline=n_kept, color=VERMILION, label=label, **filled
            )
        if text is not None:
            look = {"edgecolor": BLACK, "linewidth": 1.5, "label": text}
            look = style(look, highlight_kw, Patch)
            self.highlight_ = self.ax_.stairs(n_marked, edges, **look)


def _others(dropped) -> str:
    """Label of the rows that were not dropped."""
    return f"{'kept' if dropped.any() else 'scored'}: {count(int((~dropped).sum()))}"
