"""ActiveLearningCurveDisplay: which strategy gets further with the same number of labels.

Curves of repeats spread more by their test rows and first labels than by what asked; as these
are shared, the picture can also show differences, which is where strategies are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._utils._extras import require
from ..queries._learning_curve import active_learning_curve, normalised_area
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
        Mean scores, by strategy; of an error-bar plot its lines.
    fill_betweens_ : dict of matplotlib PolyCollection or None
        Bands of one standard error, for ``std_display_style="fill_between"`` and two
        repeats or more.
    errorbars_ : dict of matplotlib ErrorbarContainer or None
        Means with bars, for ``std_display_style="errorbar"`` and two repeats or more.
    reference_line_ : matplotlib Line2D or None
        Line of the reference strategy at 0, where differences are drawn.
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    ActiveLearningCurveDisplay.from_results : Draw a result.
    ActiveLearningCurveDisplay.from_estimator : Run the strategies, and draw.
    skfi.inspection.TrimmingCurveDisplay : Scores against the number of rows dropped.

    Notes
    -----
    The standard error is the standard deviation over the repeats (with n_repeats − 1 in the
    denominator) divided by the square root of their number. With `difference_to` it is that
    of the paired differences, and often far smaller than the bands of the curves suggest.
    Repeats draw from one data set, so it says nothing of other data.

    Numbers in the legend are mean areas under the curves, divided by the range of
    `n_labelled`: mean heights. A point with a score that is not finite on some repeat is
    left out, and so is the area.

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
    def from_results(
        cls,
        results,
        *,
        score_name=None,
        difference_to=None,
        std_display_style="fill_between",
        ax=None,
        line_kw=None,
        fill_between_kw=None,
        errorbar_kw=None,
    ):
        """Draw what `active_learning_curve` returned.

        Parameters
        ----------
        results : ActiveLearningCurve
            Or any object with `n_labelled` and `scores`.
        score_name : str, default=None
            Name of the score; None takes it from the `scoring` of the results.
        difference_to : str, default=None
            See `plot`, as for all that follow.
        std_display_style : {"fill_between", "errorbar"} or None, default="fill_between"
            How standard errors are shown.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        line_kw : dict, default=None
            Properties of all lines.
        fill_between_kw : dict, default=None
            Properties of all bands.
        errorbar_kw : dict, default=None
            Properties of all lines with error bars.

        Returns
        -------
        display : ActiveLearningCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            As `plot`.
        """
        require("matplotlib", f"{cls.__name__}.from_results")
        if score_name is None:
            score_name = name_of(getattr(results, "scoring", None))
        display = cls(results.n_labelled, results.scores, score_name=score_name)
        return display.plot(
            ax=ax,
            difference_to=difference_to,
            std_display_style=std_display_style,
            line_kw=line_kw,
            fill_between_kw=fill_between_kw,
            errorbar_kw=errorbar_kw,
        )

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        strategies,
        *,
        n_initial=10,
        batch_size=10,
        n_rounds=10,
        n_repeats=5,
        X_test=None,
        y_test=None,
        test_size=0.3,
        scoring=None,
        oracle=None,
        checkpoint=None,
        error_score="raise",
        n_jobs=None,
        random_state=None,
        verbose=0,
        score_name=None,
        difference_to=None,
        std_display_style="fill_between",
        ax=None,
        line_kw=None,
        fill_between_kw=None,
        errorbar_kw=None,
    ):
        """Run query strategies, and draw their curves.

        Parameters
        ----------
        estimator : estimator or None
            Classifier. All down to `verbose` are as in `active_learning_curve`.
        X : {array-like, sparse matrix, DataFrame} of shape (n, n_features) or (n, ...)
            All rows.
        y : array-like of shape (n,) or None
            Their labels.
        strategies : QueryStrategy, list or dict of QueryStrategy
            What asks.
        n_initial, batch_size, n_rounds, n_repeats : int, default=10, 10, 10, 5
            How many rows are labelled, and how often.
        X_test : {array-like, sparse matrix, DataFrame} of shape (n_test, ...), default=None
            Rows to score on.
        y_test : array-like of shape (n_test,), default=None
            Their labels.
        test_size : float, int or None, default=0.3
            What is held out to score on, without `X_test`.
        scoring : str, callable or None, default=None
            What is scored.
        oracle : callable, default=None
            Who labels the rows that `y` does not.
        checkpoint : path-like, default=None
            Folder where the state is kept.
        error_score : "raise" or float, default="raise"
            What to do where the score cannot be computed.
        n_jobs : int, default=None
            Jobs over repeats and strategies.
        random_state : int, RandomState instance or None, default=None
            Where all seeds come from.
        verbose : int, default=0
            Show a progress bar.
        score_name, difference_to, std_display_style : default=None, None, "fill_between"
            As in `from_results`.
        ax, line_kw, fill_between_kw, errorbar_kw : default=None
            As in `from_results`.

        Returns
        -------
        display : ActiveLearningCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            matplotlib is not installed; nothing is run.
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
        results = active_learning_curve(
            estimator,
            X,
            y,
            strategies,
            n_initial=n_initial,
            batch_size=batch_size,
            n_rounds=n_rounds,
            n_repeats=n_repeats,
            X_test=X_test,
            y_test=y_test,
            test_size=test_size,
            scoring=scoring,
            oracle=oracle,
            checkpoint=checkpoint,
            error_score=error_score,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        return cls.from_results(
            results,
            score_name=score_name,
            difference_to=difference_to,
            std_display_style=std_display_style,
            ax=ax,
            line_kw=line_kw,
            fill_between_kw=fill_between_kw,
            errorbar_kw=errorbar_kw,
        )

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
            Name of the score, in place of the stored one.
        line_kw : dict, default=None
            Properties of all lines, passed to `Axes.plot`.
        fill_between_kw : dict, default=None
            Properties of all bands, passed to `Axes.fill_between`.
        errorbar_kw : dict, default=None
            Properties of all lines with bars, passed to `Axes.errorbar`.

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
        from matplotlib.ticker import MaxNLocator

        check_option("std_display_style", std_display_style, ("fill_between", "errorbar", None))
        x, scores = _check_scores(self.n_labelled, self.scores)
        # Each strategy looks the same in every picture of these results.
        looks = {name: _look(place, len(x)) for place, name in enumerate(scores)}
        if difference_to is not None:
            scores = _differences(scores, difference_to)
        n_repeats = len(next(iter(scores.values())))
        if n_repeats == 1:
            std_display_style = None

        self.ax_ = axes_for(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        self.reference_line_ = None
        if difference_to is not None:
            self.reference_line_ = self.ax_.axhline(
                0.0, color=BLACK, linewidth=1, zorder=1.5, label=plain_text(difference_to)
            )
        drawn = {}
        for name, values in scores.items():
            mean = values.mean(axis=0)
            error = np.zeros(len(x))
            if std_display_style is not None:
                error = values.std(axis=0, ddof=1) / np.sqrt(n_repeats)
            area = normalised_area(x, values).mean()
            drawn[name] = draw_mean(
                self.ax_,
                x,
                mean,
                error,
                std_display_style,
                look=looks[name] | {"label": _label(name, area, difference_to is not None)},
                band={"alpha": 0.15},
                bars={"elinewidth": 1},
                line_kw=line_kw,
                fill_between_kw=fill_between_kw,
                errorbar_kw=errorbar_kw,
            )
        lines, bars, bands = (
            dict(zip(drawn, artists, strict=True))
            for artists in zip(*drawn.values(), strict=True)
        )
        self.lines_ = lines
        self.errorbars_ = bars if std_display_style == "errorbar" else None
        self.fill_betweens_ = bands if std_display_style == "fill_between" else None
        self.ax_.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        measured = self.score_name if score_name is None else score_name
        told = plain_text("Score" if measured is None else measured)
        title, bounds = "mean area", score_range(measured)
        if difference_to is not None:
            told += f" minus that of {plain_text(difference_to)}"
            title, bounds = "difference in mean area", (-np.inf, np.inf)
        over = f"mean of {count(n_repeats, 'repeat')}" if n_repeats > 1 else "one repeat"
        over += "" if std_display_style is None else " ± 1 standard error"
        self.ax_.set(xlabel="number of labelled rows", ylabel=f"{told}\n{over}")
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
