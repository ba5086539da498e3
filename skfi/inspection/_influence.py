"""InfluenceDisplay: how the scores of the training rows fall off, and which rows went.

A budget cuts a ranking, and the ranking alone does not show whether it was cut at a
step or in the middle of a slope. Scores span many decades, or have both signs, so the
picture must choose its scale; this one does.
"""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils._extras import require
from ._plotting import (
    BLACK,
    BLUE,
    LIGHT_GREY,
    VERMILION,
    add_legend,
    axes_for,
    check_option,
    count,
    plain_text,
    style,
)
from ._ranking import bin_edges, choose_scale, choose_threshold, is_top, rank_rows


class InfluenceDisplay:
    """Scores of training rows, and which of the rows were dropped.

    Use `from_estimator` for a fitted `FITrimmer`, and `from_scores` for scores you
    have, of whichever method. All parameters are stored as attributes.

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
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    InfluenceDisplay.from_estimator : Draw the scores of a fitted trimmer.
    InfluenceDisplay.from_scores : Draw scores of any method.
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
    def from_estimator(
        cls,
        trimmer,
        *,
        kind="ranked",
        scale="auto",
        threshold="auto",
        highlight=None,
        highlight_label="highlighted",
        score_name="influence",
        bins=30,
        name=None,
        ax=None,
        line_kw=None,
        highlight_kw=None,
    ):
        """Draw the scores that a fitted trimmer gave to its training rows.

        Parameters
        ----------
        trimmer : estimator
            Fitted `FITrimmer`, or any fitted estimator with `influence_` and
            `support_`, both of shape (n,).
        kind, scale, threshold : default="ranked", "auto", "auto"
            As in `from_scores`.
        highlight, highlight_label : default=None, "highlighted"
            As in `from_scores`.
        score_name, bins : default="influence", 30
            As in `from_scores`.
        name : str, default=None
            Name shown above the legend; None is the class name of `trimmer`.
        ax, line_kw, highlight_kw : default=None
            As in `from_scores`.

        Returns
        -------
        display : InfluenceDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            matplotlib is not installed.
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
        missing = [a for a in ("influence_", "support_") if not hasattr(trimmer, a)]
        if missing:
            check_is_fitted(trimmer)
            raise TypeError(
                f"{type(trimmer).__name__} has no {' and no '.join(missing)}. Pass a fitted "
                "FITrimmer (the step itself where it is part of a Pipeline), or scores to "
                f"{cls.__name__}.from_scores."
            )
        return cls.from_scores(
            trimmer.influence_,
            support=trimmer.support_,
            kind=kind,
            scale=scale,
            threshold=threshold,
            highlight=highlight,
            highlight_label=highlight_label,
            score_name=score_name,
            bins=bins,
            name=type(trimmer).__name__ if name is None else name,
            ax=ax,
            line_kw=line_kw,
            highlight_kw=highlight_kw,
        )

    @classmethod
    def from_scores(
        cls,
        influence,
        *,
        support=None,
        kind="ranked",
        scale="auto",
        threshold="auto",
        highlight=None,
        highlight_label="highlighted",
        score_name="influence",
        bins=30,
        name=None,
        ax=None,
        line_kw=None,
        highlight_kw=None,
    ):
        """Draw scores of training rows, of whichever method.

        Parameters
        ----------
        influence : array-like of shape (n,)
            Score of each row, NaN where a row was not scored. High is bad: pass
            Shapley values and the like with their sign turned.
        support : array-like of bool of shape (n,), default=None
            Rows that were kept; None where nothing was dropped yet.
        kind, scale : default="ranked", "auto"
            As in `plot`.
        threshold : float, "auto" or None, default="auto"
            Score to draw a dashed line at, see `InfluenceDisplay`.
        highlight, highlight_label : default=None, "highlighted"
            As in `plot`.
        score_name, bins : default="influence", 30
            As in `plot`.
        name : str, default=None
            Name shown above the legend.
        ax, line_kw, highlight_kw : default=None
            As in `plot`.

        Returns
        -------
        display : InfluenceDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            matplotlib is not installed.
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
        return display.plot(
            ax=ax,
            kind=kind,
            scale=scale,
            highlight=highlight,
            highlight_label=highlight_label,
            score_name=score_name,
            bins=bins,
            line_kw=line_kw,
            highlight_kw=highlight_kw,
        )

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
            ``"ranked"`` is the curve of the scores from the highest down;
            ``"hist"`` their histogram, with bins equally wide on `scale`.
        scale : {"auto", "log", "symlog", "linear"}, default="auto"
            Scale of the scores. ``"auto"`` is logarithmic where all are positive
            and span more than a decade. With zeros or negative scores it is
            ``"symlog"``, which is linear around 0, where they span two decades or
            more, and else linear.
        highlight : array-like of bool of shape (n,) or of int, default=None
            Rows to mark, as a mask or as indices: those with known wrong labels, say.
            Rows that were not scored cannot be shown, and are not counted.
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
        from matplotlib.ticker import MaxNLocator

        check_option("kind", kind, ("ranked", "hist"))
        check_option("scale", scale, ("auto", "log", "symlog", "linear"))
        if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
            raise ValueError(f"bins={bins!r} must be a number of bins, 1 or more.")
        scores, dropped, marked, n = rank_rows(self.influence, self.support, highlight)
        scale, linthresh = choose_scale(scores, scale)
        threshold = choose_threshold(self.threshold, scores, dropped)

        self.ax_ = axes_for(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        self.line_ = self.kept_ = self.dropped_ = self.span_ = None
        self.highlight_ = self.threshold_line_ = None
        whole = f" ({len(scores):,} of {count(n)} scored)" if n > len(scores) else ""
        label = plain_text(score_name)
        unit = {"log": ", log scale", "symlog": ", log scale, linear near 0"}.get(scale, "")
        if highlight is not None:
            text = f"{plain_text(highlight_label)}: {count(int(marked.sum()))}"
            if dropped.any():
                text += f", {int((marked & dropped).sum()):,} of them dropped"
        else:
            text = None

        if kind == "ranked":
            self.ax_.xaxis.set_major_locator(
                MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10])
            )
            self.ax_.set_yscale(scale, **linthresh)
            self._draw_ranked(scores, dropped, marked, text, line_kw, highlight_kw)
            self.ax_.set(
                xlabel=f"rank of the row, highest {label} first{whole}",
                ylabel=f"{label}{unit}",
            )
        else:
            self.ax_.yaxis.set_major_locator(
                MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10])
            )
            self.ax_.set_xscale(scale, **linthresh)
            self._draw_hist(scores, dropped, marked, text, bins, threshold, highlight_kw)
            self.ax_.set(xlabel=f"{label}{unit}", ylabel=f"number of rows{whole}")
        if threshold is not None:
            draw = self.ax_.axhline if kind == "ranked" else self.ax_.axvline
            auto = isinstance(self.threshold, str)
            self.threshold_line_ = draw(
                threshold,
                color=BLACK,
                linewidth=1,
                linestyle="--",
                label=f"{'lowest dropped' if auto else 'threshold'}: {threshold:.3g}",
            )
        if scale == "symlog":
            axis = self.ax_.yaxis if kind == "ranked" else self.ax_.xaxis
            axis.get_major_locator().set_params(numticks=9)
        legend = add_legend(self.ax_, self.estimator_name)
        if kind == "ranked":
            for handle in legend.legend_handles:
                if handle.get_label() == text:
                    handle.set_markeredgewidth(1.5)
        return self

    def _draw_ranked(self, scores, dropped, marked, text, line_kw, highlight_kw):
        from matplotlib.lines import Line2D

        rank = np.arange(1, len(scores) + 1)
        kept = int((~dropped).sum())
        line_kw = style(
            {
                "color": BLUE,
                "linewidth": 1.8,
                "marker": "o" if len(scores) <= 60 else "",
                "markersize": 4,
                "label": f"{'kept' if dropped.any() else 'scored'}: {count(kept)}",
            },
            line_kw,
            Line2D,
        )
        (self.line_,) = self.ax_.plot(rank, scores, **line_kw)
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
            highlight_kw = style(
                {
                    "color": BLACK,
                    "marker": "|",
                    "linestyle": "",
                    "markersize": 9,
                    "markeredgewidth": np.clip(width / len(scores), 0.3, 1.5),
                    "label": text,
                },
                highlight_kw,
                Line2D,
            )
            at = rank[marked]
            (self.highlight_,) = self.ax_.plot(
                at,
                np.full(len(at), 0.035),
                transform=self.ax_.get_xaxis_transform(),
                **highlight_kw,
            )
            if self.ax_.get_autoscaley_on():
                self.ax_.margins(y=0.1)

    def _draw_hist(self, scores, dropped, marked, text, bins, threshold, highlight_kw):
        from matplotlib.patches import Patch

        # Bins are equally wide on the scale of the axis.
        transform = self.ax_.xaxis.get_transform()
        position = transform.transform(scores)
        cut = None if threshold is None else transform.transform(np.array([threshold]))[0]
        edges = bin_edges(position, bins, cut)
        kept, gone, shown = (
            np.histogram(position[mask], edges)[0] for mask in (~dropped, dropped, marked)
        )
        edges = transform.inverted().transform(edges)
        self.kept_ = self.ax_.stairs(
            kept,
            edges,
            fill=True,
            color=LIGHT_GREY,
            label=f"{'kept' if dropped.any() else 'scored'}: {count(int(kept.sum()))}",
        )
        if dropped.any():
            self.dropped_ = self.ax_.stairs(
                kept + gone,
                edges,
                baseline=kept,
                fill=True,
                color=VERMILION,
                label=f"dropped: {count(int(gone.sum()))}",
            )
        if text is not None:
            highlight_kw = style(
                {"edgecolor": BLACK, "linewidth": 1.5, "label": text}, highlight_kw, Patch
            )
            self.highlight_ = self.ax_.stairs(shown, edges, **highlight_kw)
