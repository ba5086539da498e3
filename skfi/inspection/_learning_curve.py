"""ActiveLearningCurveDisplay: which strategy scores higher with the same number of labels.

Curves of repeats vary more by test rows and first labels than by strategy. Strategies share
both, so paired differences tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np

from .._utils._extras import require
from ..queries._curve import normalised_area
from ..queries._learning_curve import active_learning_curve
from ._plotting import (
    BLACK,
    BLUE,
    VERMILION,
    add_legend,
    axes_for,
    check_option,
    count,
    draw_mean,
    end_at,
    plain_text,
    whole_ticks,
)
from ._score_names import score_name as name_of
from ._score_names import score_range

# Okabe and Ito's colours; lines and marks differ as well, for prints in grey.
_COLOURS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", BLACK)
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_MOST_MARKS = 15  # on a line


class ActiveLearningCurveDisplay:
    """Mean score of each query strategy against the number of labelled rows.

    Use `from_results` for what `active_learning_curve` returned, and `from_estimator` to run
    it as well. All parameters are stored as attributes.

    Parameters
    ----------
    n_labelled : array-like of shape (n_points,)
        Labelled rows at each point, ascending.
    scores : dict of array-likes of shape (n_repeats, n_points)
        Scores of the repeats, by strategy. Repeats are paired: those of the same place
        share test rows and first labels.
    score_name : str, default=None
        Name of the score; None is "Score". One that names a score of known range, as
        "Accuracy" does, keeps the axis within that range.

    Attributes
    ----------
    lines_ : dict of matplotlib Line2D
        Mean scores, by strategy.
    fill_betweens_, errorbars_ : dict of matplotlib artists or None
        Bands or bars of one standard error, for the `std_display_style` of that name and
        two repeats or more.
    reference_line_ : matplotlib Line2D or None
        Line of the reference strategy at 0, where differences are drawn.
    ax_, figure_ : matplotlib Axes, matplotlib Figure
        Axes with the picture, and their figure.

    See Also
    --------
    skfi.inspection.TrimmingCurveDisplay : Scores against the number of rows dropped.

    Notes
    -----
    The standard error of the mean is over repeats, with n_repeats − 1 in the denominator. With
    `difference_to` it is that of the paired differences, and often far smaller than the bands
    of the curves suggest. Repeats draw from one data set, so it says nothing of other data.

    Numbers in the legend are mean areas under the curves, divided by the range of
    `n_labelled`. A point with a score that is not finite on some repeat is left out, and so
    is the area.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skfi.inspection import ActiveLearningCurveDisplay
    >>> display = ActiveLearningCurveDisplay(
    ...     [10, 20, 30],
    ...     {
    ...         "Random": [[0.60, 0.70, 0.74], [0.50, 0.66, 0.72]],
    ...         "Margin": [[0.60, 0.75, 0.80], [0.50, 0.69, 0.76]],
    ...     },
    ...     score_name="Accuracy",
    ... )
    >>> display.plot(difference_to="Random")
    <...>
    >>> display.lines_["Margin"].get_ydata().round(3).tolist()
    [0.0, 0.04, 0.05]
    """

    def __init__(self, n_labelled, scores, *, score_name=None):
        self.n_labelled = n_labelled
        self.scores = scores
        self.score_name = score_name

    @classmethod
    def from_results(cls, results, *, score_name=None, ax=None, **plot_options):
        """Draw what `active_learning_curve` returned.

        Parameters
        ----------
        results : ActiveLearningCurve
            Or any object with `n_labelled` and `scores`.
        score_name : str, default=None
            Name of the score; None takes it from the `scoring` of the results.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **plot_options : dict
            Further arguments of `plot`.

        Returns
        -------
        display : ActiveLearningCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            As `plot`.
        """
        require("matplotlib", f"{cls.__name__}.from_results")
        if score_name is None:
            score_name = name_of(getattr(results, "scoring", None))
        display = cls(results.n_labelled, results.scores, score_name=score_name)
        return display.plot(ax=ax, **plot_options)

    @classmethod
    def from_estimator(
        cls, estimator, X, y, strategies, *, score_name=None, ax=None, **options
    ):
        """Run query strategies, and draw their curves.

        Parameters
        ----------
        estimator : estimator or None
            Classifier, as in `active_learning_curve`.
        X : {array-like, sparse matrix, DataFrame} of shape (n, n_features) or (n, ...)
            All rows.
        y : array-like of shape (n,) or None
            Their labels.
        strategies : QueryStrategy, list or dict of QueryStrategy
            Strategies to compare.
        score_name : str, default=None
            Name of the score; None takes it from `scoring`.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options : dict
            Further arguments of `active_learning_curve`, from `n_initial` to `verbose`, and
            of `plot`.

        Returns
        -------
        display : ActiveLearningCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            matplotlib is not installed; no strategy is run.
        ValueError
            As `active_learning_curve` and `plot`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skfi.inspection import ActiveLearningCurveDisplay
        >>> from skfi.queries import Margin
        >>> display = ActiveLearningCurveDisplay.from_estimator(
        ...     LogisticRegression(max_iter=1000), *load_iris(return_X_y=True), Margin(),
        ...     n_rounds=2, n_repeats=2, random_state=0,
        ... )
        >>> display.ax_.get_xlabel()
        'number of labelled rows'
        """
        require("matplotlib", f"{cls.__name__}.from_estimator")
        drawn_by = signature(cls.plot).parameters
        drawing = {key: options.pop(key) for key in drawn_by if key in options}
        results = active_learning_curve(estimator, X, y, strategies, **options)
        return cls.from_results(results, score_name=score_name, ax=ax, **drawing)

    def plot(
        self,
        ax=None,
        *,
        difference_to=None,
        std_display_style="fill_between",
        score_name=None,
        line_kw=None,
        fill_between_kw=None,
        errorbar_kw=None,
    ):
        """Draw the mean scores against the number of labelled rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        difference_to : str, default=None
            Name of a strategy to subtract from the others, repeat by repeat. None draws
            the scores as they are.
        std_display_style : {"fill_between", "errorbar"} or None, default="fill_between"
            How one standard error to each side of the mean is shown; None for not at all.
            One repeat has none.
        score_name : str, default=None
            Name of the score, instead of the stored one.
        line_kw, fill_between_kw, errorbar_kw : dict, default=None
            Properties of all lines (`Axes.plot`), of bands (`Axes.fill_between`) and of lines
            with bars (`Axes.errorbar`).

        Returns
        -------
        display : ActiveLearningCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            Shapes do not fit, there is nothing to draw, `difference_to` is no strategy or
            the only one, or `std_display_style` is none of those above.
        """
        require("matplotlib", f"{type(self).__name__}.plot")
        check_option("std_display_style", std_display_style, ("fill_between", "errorbar", None))
        x, scores = _check_scores(self.n_labelled, self.scores)
        # Each strategy looks the same in every picture of these results.
        looks = {name: _look(place, len(x)) for place, name in enumerate(scores)}
        if difference_to is not None:
            scores = _differences(scores, difference_to)
        n_repeats = len(next(iter(scores.values())))
        if n_repeats == 1:
            std_display_style = None

        self.ax_ = axes_for(ax)
        self.figure_ = self.ax_.figure
        self.reference_line_ = None
        if difference_to is not None:
            self.reference_line_ = self.ax_.axhline(
                0.0, color=BLACK, linewidth=1, zorder=1.5, label=plain_text(difference_to)
            )
        drawn = {}
        for name, values in scores.items():
            area = normalised_area(x, values).mean()
            drawn[name] = draw_mean(
                self.ax_,
                x,
                values.T,
                std_display_style,
                looks[name] | {"label": _label(name, area, difference_to is not None)},
                band={"alpha": 0.15},
                bars={"elinewidth": 1},
                line_kw=line_kw,
                fill_between_kw=fill_between_kw,
                errorbar_kw=errorbar_kw,
            )
        self.lines_ = {name: curve.line for name, curve in drawn.items()}
        self.errorbars_ = self.fill_betweens_ = None
        if std_display_style == "errorbar":
            self.errorbars_ = {name: curve.errorbar for name, curve in drawn.items()}
        elif std_display_style == "fill_between":
            self.fill_betweens_ = {name: curve.fill_between for name, curve in drawn.items()}
        whole_ticks(self.ax_.xaxis)
        measured = self.score_name if score_name is None else score_name
        label = plain_text("Score" if measured is None else measured)
        title, bounds = "mean area", score_range(measured)
        if difference_to is not None:
            label += f" minus that of {plain_text(difference_to)}"
            title, bounds = "difference in mean area", (-np.inf, np.inf)
        over = f"mean of {count(n_repeats, 'repeat')}" if n_repeats > 1 else "one repeat"
        over += "" if std_display_style is None else " ± 1 standard error"
        self.ax_.set(xlabel="number of labelled rows", ylabel=f"{label}\n{over}")
        end_at(self.ax_, bounds)
        add_legend(self.ax_, title, handlelength=3.2)
        return self


def _check_scores(n_labelled, scores) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Points with a finite score in all repeats of some strategy."""
    x = np.asarray(n_labelled, dtype=float)
    if x.ndim != 1 or not len(x) or (np.diff(x) <= 0).any():
        raise ValueError(
            "n_labelled must be numbers of rows in ascending order, of shape (n_points,)."
        )
    if not isinstance(scores, Mapping) or not scores:
        raise ValueError("scores must be a dict that holds at least one strategy.")
    arrays = {name: np.asarray(values, dtype=float) for name, values in scores.items()}
    shapes = {values.shape for values in arrays.values()}
    (shape, *others) = shapes
    if others or len(shape) != 2 or shape[0] == 0 or shape[1] != len(x):
        raise ValueError(
            f"scores must be arrays of one shape (n_repeats, {len(x)}), as n_labelled has "
            f"{len(x)} points, and are of {sorted(shapes)}."
        )
    finite = [np.isfinite(values).all(axis=0) for values in arrays.values()]
    drawn = np.any(finite, axis=0)
    if not drawn.any():
        raise ValueError("No point has a finite score on every repeat: nothing to draw.")
    return x, {
        name: np.where(kept, values, np.nan)
        for (name, values), kept in zip(arrays.items(), finite, strict=True)
    }


def _differences(scores, reference: str) -> dict[str, np.ndarray]:
    """Scores of the other strategies less those of the reference, repeat by repeat."""
    if reference not in scores:
        raise ValueError(
            f"difference_to={reference!r} is none of the strategies: {', '.join(scores)}."
        )
    others = {name: v - scores[reference] for name, v in scores.items() if name != reference}
    if not others or not any(np.isfinite(v).any() for v in others.values()):
        raise ValueError(f"There is no strategy to compare with difference_to={reference!r}.")
    return others


def _look(place: int, n_points: int) -> dict[str, Any]:
    """Colour, line and mark of a strategy; all combinations differ for 35 of them."""
    every = -(-n_points // _MOST_MARKS)
    return {
        "color": _COLOURS[place % len(_COLOURS)],
        "linestyle": _LINES[place % len(_LINES)],
        "marker": _MARKS[place % len(_MARKS)],
        "markevery": (place % every, every),
        "markersize": 5,
        "linewidth": 1.8,
    }


def _label(name, area: float, signed: bool) -> str:
    text = plain_text(name)
    if not np.isfinite(area):
        return text
    number = f"{area:+.3f}" if signed else f"{area:.3f}"
    if float(number) == 0:  # rounded, it has no sign
        number = number.lstrip("+-")
    return f"{text}: {number.replace('-', '−')}"
