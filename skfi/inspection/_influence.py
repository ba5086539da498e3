"""InfluenceDisplay: how the scores of the training rows fall off, and which rows went.

A budget cuts a ranking, and the ranking alone does not show whether it was cut at a
step or in the middle of a slope. Scores span many decades, or have both signs, so the
picture must choose its scale; this one does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from ._plotting import (
    BLACK,
    BLUE,
    LIGHT_GREY,
    VERMILLION,
    add_legend,
    axes_for,
    count,
    plain_text,
    stretch,
    style,
)


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
        kind : {"ranked", "hist"}, default="ranked"
            See `plot`, as for all that follow but `name`.
        scale : {"auto", "log", "symlog", "linear"}, default="auto"
            Scale of the scores.
        threshold : float, "auto" or None, default="auto"
            Score to draw a dashed line at, see `InfluenceDisplay`.
        highlight : array-like of bool of shape (n,) or of int, default=None
            Rows to mark.
        highlight_label : str, default="highlighted"
            What the marked rows are.
        score_name : str, default="influence"
            Name of the scores.
        bins : int, default=30
            Number of bins of the histogram.
        name : str, default=None
            Name shown above the legend; None is the class name of `trimmer`.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        line_kw : dict, default=None
            Properties of the curve.
        highlight_kw : dict, default=None
            Properties of the marks.

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
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
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
        kind : {"ranked", "hist"}, default="ranked"
            See `plot`, as for all that follow but `name`.
        scale : {"auto", "log", "symlog", "linear"}, default="auto"
            Scale of the scores.
        threshold : float, "auto" or None, default="auto"
            Score to draw a dashed line at, see `InfluenceDisplay`.
        highlight : array-like of bool of shape (n,) or of int, default=None
            Rows to mark.
        highlight_label : str, default="highlighted"
            What the marked rows are.
        score_name : str, default="influence"
            Name of the scores.
        bins : int, default=30
            Number of bins of the histogram.
        name : str, default=None
            Name shown above the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        line_kw : dict, default=None
            Properties of the curve.
        highlight_kw : dict, default=None
            Properties of the marks.

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
        check_matplotlib_support(f"{cls.__name__}.from_scores")
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
        check_matplotlib_support(f"{type(self).__name__}.plot")
        from matplotlib.ticker import MaxNLocator

        _check_option("kind", kind, ("ranked", "hist"))
        _check_option("scale", scale, ("auto", "log", "symlog", "linear"))
        if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
            raise ValueError(f"bins={bins!r} must be a number of bins, 1 or more.")
        influence, dropped = _check_scores(self.influence, self.support)
        marked = _check_highlight(highlight, len(influence))
        scored = ~np.isnan(influence)
        # Ties: dropped rows first, so that the rows a budget took are the first ranks.
        order = np.lexsort((~dropped, -influence))[: scored.sum()]
        scores, dropped, marked = influence[order], dropped[order], marked[order]
        scale, linthresh = _choose_scale(scores, scale)
        threshold = self._check_threshold(scores, dropped)

        self.ax_ = axes_for(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        self.line_ = self.kept_ = self.dropped_ = self.span_ = None
        self.highlight_ = self.threshold_line_ = None
        hidden = len(influence) - len(scores)
        whole = f" ({len(scores):,} of {count(len(influence))} scored)" if hidden else ""
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
            outline = self._draw_ranked(scores, dropped, marked, text, line_kw, highlight_kw)
            self.ax_.set(
                xlabel=f"rank of the row, highest {label} first{whole}",
                ylabel=f"{label}{unit}",
            )
        else:
            self.ax_.yaxis.set_major_locator(
                MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10])
            )
            self.ax_.set_xscale(scale, **linthresh)
            outline = self._draw_hist(
                scores, dropped, marked, text, bins, threshold, highlight_kw
            )
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
            if kind == "ranked":
                left, right = self.ax_.get_xlim()
                outline = (
                    np.r_[left, outline[0], right],
                    np.maximum(np.r_[threshold, outline[1], threshold], threshold),
                )
        if scale == "symlog":
            axis = self.ax_.yaxis if kind == "ranked" else self.ax_.xaxis
            axis.get_major_locator().set_params(numticks=9)
        legend = add_legend(self.ax_, outline, self.estimator_name)
        if kind == "ranked":
            for handle in legend.legend_handles:
                if handle.get_label() == text:
                    handle.set_markeredgewidth(1.5)
        return self

    def _check_threshold(self, scores, dropped):
        threshold = self.threshold
        if threshold is None:
            return None
        if isinstance(threshold, str):
            _check_option("threshold", threshold, ("auto",))
            return scores[dropped][-1] if _is_top(dropped) else None
        threshold = float(threshold)
        if not np.isfinite(threshold):
            raise ValueError(f"threshold={threshold} must be finite.")
        return threshold

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
                color=VERMILLION,
                markeredgecolor=BLACK,
                markeredgewidth=0.4 if dropped.sum() <= 100 else 0,
                label=f"dropped: {count(int(dropped.sum()))}",
            )
        if _is_top(dropped):
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
            stretch(self.ax_, below=0.08)
        return rank, scores

    def _draw_hist(self, scores, dropped, marked, text, bins, threshold, highlight_kw):
        from matplotlib.patches import Patch

        # On the scale of the axis, where the bins are equally wide.
        transform = self.ax_.xaxis.get_transform()
        position = transform.transform(scores)
        edges = np.histogram_bin_edges(position, bins)
        if threshold is not None and scores[-1] < threshold <= scores[0]:
            # A bin begins at the threshold, so that none holds rows of both sides of it.
            cut, width = transform.transform(np.array([threshold])), edges[1] - edges[0]
            before = np.ceil((cut - edges[0]) / width)
            after = np.floor((edges[-1] - cut) / width) + 1
            edges = cut + width * np.arange(-before[0], after[0] + 1)
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
                color=VERMILLION,
                label=f"dropped: {count(int(gone.sum()))}",
            )
        if text is not None:
            highlight_kw = style(
                {"edgecolor": BLACK, "linewidth": 1.5, "label": text}, highlight_kw, Patch
            )
            self.highlight_ = self.ax_.stairs(shown, edges, **highlight_kw)
        return np.repeat(edges, 2)[1:-1], np.repeat(kept + gone, 2)


def _check_option(name, value, options) -> None:
    if value not in options:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, options))}.")


def _check_scores(influence, support):
    """Scores as floats, and which scored rows were dropped."""
    influence = column_or_1d(influence, dtype=float)
    if np.isinf(influence).any():
        raise ValueError("influence holds infinite scores; only finite ones can be drawn.")
    if np.isnan(influence).all():
        raise ValueError("influence holds no scores: it is empty, or every row is NaN.")
    if support is None:
        return influence, np.zeros(len(influence), dtype=bool)
    support = column_or_1d(support)
    check_consistent_length(influence, support)
    if support.dtype != bool:
        raise ValueError(
            f"support must be a mask of the rows that were kept (bool), not {support.dtype}."
        )
    return influence, ~support & ~np.isnan(influence)


def _check_highlight(highlight, n):
    """Rows to mark, as a mask."""
    mask = np.zeros(n, dtype=bool)
    if highlight is None:
        return mask
    highlight = column_or_1d(highlight)
    if highlight.dtype == bool:
        if len(highlight) != n:
            raise ValueError(f"highlight has {len(highlight)} entries for {n} rows.")
        return highlight
    if not len(highlight):
        return mask
    if highlight.dtype.kind not in "iu":
        raise ValueError(
            f"highlight must be a mask (bool) or indices of rows (int), not {highlight.dtype}."
        )
    if highlight.min() < 0 or highlight.max() >= n:
        raise ValueError(f"highlight holds indices outside of 0 to {n - 1}.")
    mask[highlight] = True
    return mask


def _choose_scale(scores, scale) -> tuple[str, dict[str, Any]]:
    """Scale of the axis of scores, and where a symlog scale turns linear."""
    size = np.sort(np.abs(scores[scores != 0]))
    if not len(size):
        if scale == "log":
            raise ValueError('scale="log" needs positive scores, and all of them are 0.')
        return "linear", {}
    highest = np.log10(size[-1])
    if (scores > 0).all():
        lowest = np.log10(size[0])
        if scale == "auto":
            scale = "log" if highest - lowest > 1 else "linear"
    else:
        if scale == "log":
            raise ValueError(
                'scale="log" needs positive scores, and some are 0 or negative; use "symlog".'
            )
        # Scores with a sign come arbitrarily close to 0; the nearest tenth are drawn as
        # near 0, on the linear part. Zeros among positive scores hide no others.
        share = 0.1 if (scores < 0).any() else 0.0
        lowest = np.log10(size[int(share * len(size))])
        if scale == "auto":
            scale = "symlog" if highest - lowest >= 2 else "linear"
    if scale != "symlog":
        return scale, {}
    # A power of ten, where a tick is.
    return scale, {"linthresh": 10 ** np.floor(max(lowest, highest - 8))}


def _is_top(dropped) -> bool:
    """Whether the dropped rows, in order of rank, are the first."""
    n_dropped = int(dropped.sum())
    return bool(n_dropped and dropped[:n_dropped].all())
