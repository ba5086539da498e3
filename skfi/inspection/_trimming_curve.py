"""TrimmingCurveDisplay: whether dropping rows helps, and how many.

The scores are compared with each other and with that of training on all rows; how far the
folds agree shows how sure the comparison is.
"""

from __future__ import annotations

import numpy as np

from .._utils._extras import require
from ._budget_scores import check_scores, kind_of, position, read_cv_results, unit_of
from ._plotting import (
    BLACK,
    BLUE,
    GREY,
    VERMILION,
    add_legend,
    axes_for,
    check_has,
    check_option,
    count,
    draw_mean,
    end_at,
    plain_text,
    whole_ticks,
)
from ._score_names import score_range, trimmer_score_name


class TrimmingCurveDisplay:
    """Mean cross-validated score against the share or number of rows dropped.

    Use `from_estimator` for a fitted `FITrimmerCV`, and `from_cv_results` for the
    results of a search over budgets. All parameters are stored as attributes.

    Parameters
    ----------
    budgets : array-like of shape (n_budgets,)
        Budgets that were tried, in any order: shares of the rows (floats in [0, 1)) or
        numbers of rows (ints, or whole floats from 1 up). 0 is both.
    scores : array-like of shape (n_budgets, n_folds)
        Score of each budget on each fold. Budgets with a score that is not finite
        could not be tried, and are left out.
    chosen : int or float, default=None
        Budget to mark, one of `budgets`.
    baseline : float, "auto" or None, default="auto"
        Score of training on all rows, drawn as a horizontal line. ``"auto"`` is the
        mean score of the budget 0, if that was tried; None draws no line.
    n_samples : int, default=None
        Number of rows that the numbers in `budgets` are taken of. Only needed to draw
        shares and numbers on one axis.
    score_name : str, default=None
        Name of the score; None is "Score". One that names a score of known range, as
        "Accuracy" does, keeps the axis within that range.
    estimator_name : str, default=None
        Name shown above the legend.
    fold_name : str, default="fold"
        What a column of `scores` is, in the singular: ``"repeat"``, say.

    Attributes
    ----------
    line_ : matplotlib Line2D or None
        Mean scores; None for ``std_display_style="errorbar"``.
    errorbar_, fill_between_ : matplotlib ErrorbarContainer, PolyCollection or None
        Bars or band of one standard error, for the `std_display_style` of that name and
        two folds or more.
    fold_lines_ : list of matplotlib Line2D or None
        One line a fold, if these were asked for.
    baseline_line_ : matplotlib Line2D or None
        Line at the score of training on all rows.
    chosen_marker_ : matplotlib Line2D or None
        Mark on the chosen budget.
    ax_, figure_ : matplotlib Axes, matplotlib Figure
        Axes with the picture, and their figure.

    See Also
    --------
    InfluenceDisplay : Scores of the rows, and which were dropped.

    Notes
    -----
    Curves drawn on the same axes share one legend, in which entries that say the same
    are shown once; tell them apart by ``line_kw={"label": …, "color": …}``.

    The standard error of the mean is over folds, with n_folds − 1 in the denominator. All
    budgets are scored on the same folds, so that two budgets can differ more surely than
    their bands suggest: look at the lines of the single folds. The score of the best of many
    budgets is too good, however narrow the band.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skfi.inspection import TrimmingCurveDisplay
    >>> display = TrimmingCurveDisplay(
    ...     [0, 0.05, 0.1],
    ...     [[0.81, 0.85, 0.82], [0.84, 0.86, 0.85], [0.83, 0.86, 0.82]],
    ...     chosen=0.05,
    ...     score_name="Accuracy",
    ... )
    >>> display.plot()
    <...>
    >>> display.line_.get_xdata().tolist()
    [0.0, 5.0, 10.0]
    """

    def __init__(
        self,
        budgets,
        scores,
        *,
        chosen=None,
        baseline="auto",
        n_samples=None,
        score_name=None,
        estimator_name=None,
        fold_name="fold",
    ):
        self.budgets = budgets
        self.scores = scores
        self.chosen = chosen
        self.baseline = baseline
        self.n_samples = n_samples
        self.score_name = score_name
        self.estimator_name = estimator_name
        self.fold_name = fold_name

    @classmethod
    def from_estimator(
        cls, trimmer, *, score_name=None, baseline="auto", name=None, ax=None, **plot_options
    ):
        """Draw the scores of a fitted FITrimmerCV for each budget, and which it chose.

        Parameters
        ----------
        trimmer : estimator
            Fitted `FITrimmerCV`, or any fitted estimator with `cv_results_` and
            `budget_`.
        score_name : str, default=None
            Name of the score; None takes it from the trimmer's `scoring`, or from its
            classifier where that is scored by its accuracy.
        baseline : float, "auto" or None, default="auto"
            Score of training on all rows, see `TrimmingCurveDisplay`.
        name : str, default=None
            Name shown above the legend; None is the class name of `trimmer`.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **plot_options : dict
            Further arguments of `plot`.

        Returns
        -------
        display : TrimmingCurveDisplay
            The display, drawn.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            The trimmer is not fitted.
        TypeError
            The estimator has no `cv_results_` or `budget_`.
        ValueError
            As `from_cv_results`.
        """
        require("matplotlib", f"{cls.__name__}.from_estimator")
        check_has(
            trimmer,
            ("cv_results_", "budget_"),
            "Pass a fitted FITrimmerCV, or the cv_results_ of a search over budgets to "
            f"{cls.__name__}.from_cv_results.",
        )
        support = getattr(trimmer, "support_", None)
        return cls.from_cv_results(
            trimmer.cv_results_,
            chosen=trimmer.budget_,
            baseline=baseline,
            n_samples=None if support is None else len(support),
            score_name=trimmer_score_name(trimmer) if score_name is None else score_name,
            name=type(trimmer).__name__ if name is None else name,
            ax=ax,
            **plot_options,
        )

    @classmethod
    def from_cv_results(
        cls,
        cv_results,
        *,
        chosen=None,
        baseline="auto",
        n_samples=None,
        score_name=None,
        name=None,
        ax=None,
        **plot_options,
    ):
        """Draw the results of a search over budgets.

        Parameters
        ----------
        cv_results : dict of array-likes of shape (n_budgets,)
            `cv_results_` of a search: one key ``"param_budget"`` (or ``"param_…__budget"``,
            where the trimmer is a step), and "split0_test_score" and so on.
        chosen : int or float, default=None
            Budget to mark, e.g. ``search.best_params_["budget"]``.
        baseline : float, "auto" or None, default="auto"
            Score of training on all rows, see `TrimmingCurveDisplay`.
        n_samples : int, default=None
            Number of training rows, see `TrimmingCurveDisplay`.
        score_name : str, default=None
            Name of the score; None is "Score".
        name : str, default=None
            Name shown above the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **plot_options : dict
            Further arguments of `plot`.

        Returns
        -------
        display : TrimmingCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Not exactly one parameter is a budget, a budget is listed more than once,
            scores of single folds are missing, or as `plot`.

        Examples
        --------
        >>> from sklearn.datasets import make_classification
        >>> from sklearn.model_selection import GridSearchCV
        >>> from skfi import FITrimmer
        >>> from skfi.inspection import TrimmingCurveDisplay
        >>> X, y = make_classification(200, flip_y=0.2, random_state=0)
        >>> search = GridSearchCV(
        ...     FITrimmer(validation=3), {"budget": [0, 0.05, 0.1]}, cv=3
        ... ).fit(X, y)
        >>> display = TrimmingCurveDisplay.from_cv_results(
        ...     search.cv_results_, chosen=search.best_params_["budget"], score_name="Accuracy"
        ... )
        >>> display.ax_.get_xlabel()
        'rows dropped, %'
        """
        require("matplotlib", f"{cls.__name__}.from_cv_results")
        searched = read_cv_results(cv_results)
        return cls(
            searched.budgets,
            searched.scores,
            chosen=chosen,
            baseline=baseline,
            n_samples=n_samples,
            score_name=score_name,
            estimator_name=name,
        ).plot(ax=ax, **plot_options)

    def plot(
        self,
        *,
        ax=None,
        std_display_style="fill_between",
        show_folds=False,
        score_name=None,
        line_kw=None,
        fill_between_kw=None,
        errorbar_kw=None,
    ):
        """Draw the scores against the budgets.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        std_display_style : {"fill_between", "errorbar"} or None, default="fill_between"
            How one standard error to each side of the mean is shown; None for not
            at all. One fold has none.
        show_folds : bool, default=False
            Draw a thin line for each fold.
        score_name : str, default=None
            Name of the score, instead of the stored one.
        line_kw, fill_between_kw, errorbar_kw : dict, default=None
            Properties of the line (`Axes.plot`), of bands (`Axes.fill_between`) and of lines
            with bars (`Axes.errorbar`).

        Returns
        -------
        display : TrimmingCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            Lengths differ, no budget has scores, shares are mixed with numbers of rows
            while `n_samples` is None, `chosen` is no budget with scores, a budget makes
            no sense, or `std_display_style` is none of those above.
        """
        require("matplotlib", f"{type(self).__name__}.plot")
        check_option("std_display_style", std_display_style, ("fill_between", "errorbar", None))
        budgets, scores = check_scores(self.budgets, self.scores)
        unit = unit_of(budgets, self.n_samples)
        x = np.array([position(budget, unit, self.n_samples) for budget in budgets])
        order = np.argsort(x, kind="stable")
        x, scores = x[order], scores[order]
        mean, n_folds = scores.mean(axis=1), scores.shape[1]
        chosen = self._locate_chosen(x, unit)
        baseline = self._find_baseline(x, mean)

        self.ax_ = axes_for(ax)
        self.figure_ = self.ax_.figure
        self.fold_lines_ = None
        if show_folds:
            self.fold_lines_ = self.ax_.plot(x, scores, color=GREY, linewidth=0.7, zorder=1.5)
            self.fold_lines_[0].set_label(plain_text(f"single {self.fold_name}s"))
        one = f"one {self.fold_name}"
        label = plain_text(f"mean over {self.fold_name}s" if n_folds > 1 else one)
        look = {"color": BLUE, "linewidth": 1.8, "marker": "o", "markersize": 5}
        drawn = draw_mean(
            self.ax_,
            x,
            scores,
            std_display_style,
            look | {"label": label},
            band={"alpha": 0.2, "label": "± 1 standard error"},
            bars={"label": f"{label} ± 1 standard error"},
            line_kw=line_kw,
            fill_between_kw=fill_between_kw,
            errorbar_kw=errorbar_kw,
        )
        self.errorbar_, self.fill_between_ = drawn.errorbar, drawn.fill_between
        self.line_ = drawn.line if drawn.errorbar is None else None
        self.baseline_line_ = self.chosen_marker_ = None
        if baseline is not None:
            self.baseline_line_ = self.ax_.axhline(
                baseline, color=BLACK, linewidth=1, linestyle="--", label="nothing dropped"
            )
        if chosen is not None:
            at = x[chosen]
            amount = f"{at:.3g} %" if unit == "share" else count(int(at))
            star = {"marker": "*", "markersize": 15, "color": VERMILION, "linestyle": ""}
            star |= {"markeredgecolor": BLACK, "markeredgewidth": 0.8, "zorder": 3}
            (self.chosen_marker_,) = self.ax_.plot(
                [at], [mean[chosen]], label=f"chosen: {amount}", **star
            )
        if unit == "rows":
            whole_ticks(self.ax_.xaxis)
        name = self.score_name if score_name is None else score_name
        over = f"mean of {count(n_folds, self.fold_name)}" if n_folds > 1 else one
        self.ax_.set(
            xlabel="rows dropped, %" if unit == "share" else "number of rows dropped",
            ylabel=plain_text(f"{'Score' if name is None else name}, {over}"),
        )
        end_at(self.ax_, score_range(name))
        add_legend(self.ax_, self.estimator_name)
        return self

    def _locate_chosen(self, x, unit):
        """Where among the budgets the chosen one is."""
        if self.chosen is None:
            return None
        close = np.array([], dtype=int)
        if kind_of(self.chosen) in ("none", unit) or self.n_samples is not None:
            at = position(self.chosen, unit, self.n_samples)
            close = np.flatnonzero(np.isclose(x, at, rtol=1e-9, atol=1e-12))
        if not len(close):
            raise ValueError(f"chosen={self.chosen} is none of the budgets that have scores.")
        return close[0]

    def _find_baseline(self, x, mean):
        """Score of training on all rows, where known."""
        if self.baseline is None:
            return None
        if isinstance(self.baseline, str):
            if self.baseline != "auto":
                raise ValueError(f"baseline={self.baseline!r} must be a score, 'auto' or None.")
            return mean[0] if x[0] == 0 else None
        return float(self.baseline)
