"""QueryDisplay: where in the pool the rows of a batch lie.

Scores do not show whether a batch repeats itself or consists of outliers; a picture does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples, check_array, check_is_fitted

from .._utils._extras import require
from .._utils._in_place import own_rows
from .._utils._trained_rows import fit_on_own_rows
from ..queries._base import representation
from ._plotting import BLACK, GREY, VERMILION, add_legend, axes_for, count, plain_text, style

_MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "8")


class QueryDisplay:
    """The pool in two dimensions, coloured by score, with the batch that was asked for.

    Use `from_estimator` for a fitted query strategy. All parameters are stored as attributes.

    Parameters
    ----------
    coordinates : array-like of shape (n_pool, 2)
        Where rows of the pool are drawn.
    batch : array-like of shape (batch_size,)
        Positions in the pool that were asked for, best first.
    scores : array-like of shape (n_pool,), default=None
        How much each row is worth asking for; None draws all in one colour.
    labelled : array-like of shape (n_labelled, 2), default=None
        Where labelled rows are drawn; None draws none.
    labels : array-like of shape (n_labelled,), default=None
        Their labels, which decide the marks.
    names : tuple of two str, default=None
        Names of the axes.
    score_name : str, default=None
        Name of the scores; None is "score".

    Attributes
    ----------
    pool_ : matplotlib PathCollection
        Rows of the pool.
    batch_ : matplotlib PathCollection
        Rings around the batch.
    labelled_ : list of matplotlib PathCollection
        Labelled rows, one entry a class.
    colorbar_ : matplotlib Colorbar or None
        Scale of the scores, if there are some and it was asked for.
    legend_ : matplotlib Legend or None
        Legend outside of the axes, if it was asked for.
    ax_, figure_ : matplotlib Axes, matplotlib Figure
        Axes with the picture, and their figure.

    See Also
    --------
    skfi.FIEmbedding : Coordinates in which FI is a squared length.

    Notes
    -----
    Colours are ranks, from 0 for the lowest score to 1 for the highest, since scores of many
    strategies differ by orders of magnitude. Rows that score alike share their mean rank.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skfi import FIActiveSampler
    >>> from skfi.inspection import QueryDisplay
    >>> X, y = make_classification(300, 5, random_state=0)
    >>> sampler = FIActiveSampler(batch_size=10, random_state=0).fit(X[:30], y[:30])
    >>> display = QueryDisplay.from_estimator(sampler, X[30:], X[:30], y[:30])
    >>> display.batch_.get_offsets().shape
    (10, 2)
    """

    def __init__(
        self,
        coordinates,
        batch,
        *,
        scores=None,
        labelled=None,
        labels=None,
        names=None,
        score_name=None,
    ):
        self.coordinates = coordinates
        self.batch = batch
        self.scores = scores
        self.labelled = labelled
        self.labels = labels
        self.names = names
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        strategy,
        X_pool,
        X_labelled=None,
        y_labelled=None,
        *,
        batch_size=None,
        projection=None,
        random_state=0,
        score_name=None,
        ax=None,
        **plot_options,
    ):
        """Query a strategy for a batch, and draw it.

        Parameters
        ----------
        strategy : QueryStrategy
            A fitted strategy, such as `skfi.FIActiveSampler`.
        X_pool : {array-like, sparse matrix, DataFrame} of shape (n_pool, n_features) or \
                (n_pool, ...)
            Unlabelled rows.
        X_labelled : {array-like, sparse matrix, DataFrame} of shape (n_labelled, ...), \
                default=None
            Rows to draw as labelled.
        y_labelled : array-like of shape (n_labelled,), default=None
            Their labels.
        batch_size : int, default=None
            Size of the batch; None is the strategy's own number.
        projection : transformer, default=None
            From rows to at least two columns, of which the first two are drawn. One that is
            not fitted is fitted on the pool. None draws rows of two features as they are,
            and others in the first two principal components of what the classifier's last
            step gets of them.
        random_state : int, RandomState instance or None, default=0
            Of the principal components.
        score_name : str, default=None
            Name of the scores; None is the strategy's class.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **plot_options : dict
            Further arguments of `plot`.

        Returns
        -------
        display : QueryDisplay
            The display, drawn.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            The strategy is not fitted.
        ValueError
            One of `X_labelled` and `y_labelled` is missing, or the projection gives fewer
            than two columns.
        """
        require("matplotlib", f"{cls.__name__}.from_estimator")
        check_is_fitted(strategy)
        if (X_labelled is None) != (y_labelled is None):
            raise ValueError("Pass X_labelled and y_labelled together, or neither.")
        batch, scores = strategy.query(X_pool, batch_size, return_utilities=True)
        plane = _plane(getattr(strategy, "estimator_", None), X_pool, projection, random_state)
        return cls(
            plane.project(X_pool),
            batch,
            scores=scores,
            labelled=None if X_labelled is None else plane.project(X_labelled),
            labels=y_labelled,
            names=plane.names,
            score_name=score_name or f"score of {type(strategy).__name__}",
        ).plot(ax=ax, **plot_options)

    def plot(
        self,
        ax=None,
        *,
        legend=True,
        colorbar=True,
        pool_kw=None,
        batch_kw=None,
        labelled_kw=None,
    ):
        """Draw the pool, the labelled rows and the batch.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        legend : bool, default=True
            Add a legend, below the axes where the figure was made here. Of several panels, one
            is enough.
        colorbar : bool, default=True
            Add the scale of the scores beside the axes. Scales are the same in all
            pictures; for one beside several panels, see `matplotlib.figure.Figure.colorbar`
            and `pool_`.
        pool_kw, batch_kw, labelled_kw : dict, default=None
            Properties of the marks of the pool, of the rings around the batch and of the
            marks of labelled rows, passed to `Axes.scatter`.

        Returns
        -------
        self : QueryDisplay
            The display.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            Shapes do not fit together.
        """
        require("matplotlib", f"{type(self).__name__}.plot")
        from matplotlib.collections import PathCollection

        points = _points(self.coordinates, "coordinates")
        batch = np.asarray(self.batch)
        if batch.ndim != 1 or len(batch) > len(points) or batch.dtype.kind not in "iu":
            raise ValueError(
                f"batch must hold positions in the {len(points)} rows of the pool, got an "
                f"array of shape {batch.shape} and type {batch.dtype}."
            )
        plain = {"s": 14, "linewidth": 0, "label": count(len(points)) + " of the pool"}
        shade: dict[str, Any] = {"color": GREY}
        if self.scores is not None:
            shade = {"c": _ranks(self.scores, len(points)), "cmap": "viridis", "vmin": 0}
            shade["vmax"] = 1
        classes = [] if self.labelled is None else self._classes()

        alone = ax is None
        ax = axes_for(ax)
        self.pool_ = ax.scatter(*points.T, **style(plain | shade, pool_kw, PathCollection))
        self.colorbar_ = None
        if colorbar and self.scores is not None:
            self.colorbar_ = ax.figure.colorbar(self.pool_, ax=ax)
            name = "score" if self.score_name is None else plain_text(self.score_name)
            self.colorbar_.set_label(f"rank of the {name}")
        self.labelled_ = []
        for k, (label, rows) in enumerate(classes):
            mark = {"facecolor": "white", "edgecolor": BLACK, "linewidth": 1.0, "zorder": 3}
            mark |= {"s": 30, "marker": _MARKS[k % len(_MARKS)], "label": label}
            self.labelled_.append(
                ax.scatter(*rows.T, **style(mark, labelled_kw, PathCollection))
            )
        ring = {"facecolor": "none", "edgecolor": VERMILION, "linewidth": 1.8, "zorder": 4}
        ring |= {"s": 70, "label": f"asked for ({len(batch)})"}
        self.batch_ = ax.scatter(*points[batch].T, **style(ring, batch_kw, PathCollection))
        xlabel, ylabel = ("", "") if self.names is None else map(plain_text, self.names)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        self.legend_ = None
        if legend and alone:
            look = {"loc": "outside lower center", "ncols": 2, "frameon": False}
            self.legend_ = ax.figure.legend(**look)
        elif legend:
            self.legend_ = add_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _classes(self) -> list[tuple[str, np.ndarray]]:
        """What the labelled rows of each class are called, and where they are."""
        points = _points(self.labelled, "labelled")
        if self.labels is None:
            return [("labelled", points)]
        labels = np.asarray(self.labels)
        if labels.shape != (len(points),):
            raise ValueError(
                f"labels has shape {labels.shape}, and there are {len(points)} labelled rows."
            )
        return [
            (f"labelled {plain_text(label)}", points[labels == label])
            for label in np.unique(labels)
        ]


def _points(values, name: str) -> np.ndarray:
    points = check_array(values, input_name=name)
    if points.shape[1] != 2:
        raise ValueError(f"{name} must have two columns, got {points.shape[1]}.")
    return points


def _ranks(scores, n: int) -> np.ndarray:
    """Shares of the rows that score lower; ties share the middle."""
    from scipy.stats import rankdata

    scores = np.asarray(scores, dtype=float)
    if scores.shape != (n,):
        raise ValueError(f"scores has shape {scores.shape}, and the pool has {n} rows.")
    return (rankdata(scores) - 1) / max(n - 1, 1)


class _Plane(NamedTuple):
    """How rows are drawn in two dimensions."""

    project: Callable[[Any], np.ndarray]
    names: tuple[str, ...]


def _plane(model, X_pool, projection, random_state) -> _Plane:
    """The two features of the rows, two principal components, or a projection's columns."""
    if projection is None:
        if len(getattr(X_pool, "shape", ())) == 2 and X_pool.shape[1] == 2:
            columns = getattr(X_pool, "columns", ("feature 0", "feature 1"))
            return _Plane(partial(representation, None), tuple(columns))
        rows = representation(model, X_pool)
        pca = PCA(2, random_state=check_random_state(random_state)).fit(rows)
        names = (
            f"component {k} ({share:.0%} of the variance)"
            for k, share in enumerate(pca.explained_variance_ratio_, start=1)
        )
        return _Plane(lambda X: pca.transform(representation(model, X)), tuple(names))
    try:
        check_is_fitted(projection)
    except NotFittedError:
        projection = fit_on_own_rows(clone(projection), X_pool, None)

    def project(X):
        columns = np.asarray(projection.transform(own_rows(projection, X)))
        if columns.ndim != 2 or len(columns) != _num_samples(X) or columns.shape[1] < 2:
            raise ValueError(
                f"projection must give at least two columns, got an array of shape "
                f"{columns.shape} for {_num_samples(X)} rows."
            )
        return columns[:, :2]

    kind = type(projection).__name__
    return _Plane(project, (f"{kind} 1", f"{kind} 2"))
