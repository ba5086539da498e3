"""The bridge's contract: all that the measure asks of a fitted classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial, singledispatch, wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _get_feature_names, check_is_fitted

from .._utils._extras import require
from .._utils._in_place import own_rows
from ..linear._links import OneVsRest, Sigmoid, Softmax
from ..linear._softmax import LARGEST, SoftmaxLinear
from ._refusals import NETWORKS, User, check_classifier, refusal, refuse_resampling

if TYPE_CHECKING:
    from ._network import NetworkBridge

# (class codes, sample weights) -> weight of each row's loss, (n,) or (n, n_outputs)
LossWeight = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Classifiers of several classes made of binary ones.
_JOINED = (OneVsRestClassifier, OneVsOneClassifier)


def as_given(codes: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    return sample_weight


@dataclass(frozen=True)
class Bridge:
    """A fitted classifier as the measure sees it.

    Parameters
    ----------
    make_model : callable
        ``n_rows -> SoftmaxLinear``: coefficients, link and penalties in units of the
        summed training loss (some classifiers state theirs per row).
    classes : ndarray of shape (K,)
        Labels in the order of the model's outputs.
    loss_weight : callable
        ``(class codes, sample_weight) -> weights``: how much each row's loss counts
        in training, class weights included.
    steps : tuple of callables
        What the data goes through before it reaches the model.

    Examples
    --------
    >>> from skfi.bridge import Bridge
    >>> read = Bridge.linear([[2.0, -1.0]], [0.5], classes=["no", "yes"], l2=1.0)
    >>> read.classes
    array(['no', 'yes'], dtype='<U3')
    """

    make_model: Callable[[int], SoftmaxLinear]
    classes: np.ndarray
    loss_weight: LossWeight = as_given
    steps: tuple[Callable[[Any], Any], ...] = field(default=())

    @classmethod
    def linear(
        cls,
        coef: Any,
        intercept: Any = None,
        *,
        classes: Any,
        l2: Any = 0.0,
        l1: Any = 0.0,
        l2_intercept: Any = 0.0,
        l1_intercept: Any = 0.0,
        l2_per_row: bool = False,
        one_vs_rest: bool = False,
        label_smoothing: float = 0.0,
        loss_weight: LossWeight = as_given,
    ) -> Bridge:
        """Bridge of a classifier with ``decision_function(X) = X @ coef.T + intercept``.

        Parameters
        ----------
        coef : array-like of shape (1, d) or (K, d)
            One row a class; for two classes also a single row, the score of
            ``classes[1]``.
        intercept : array-like of shape (1,) or (K,), default=None
            None: the model was fitted without one.
        classes : array-like of shape (K,)
            Class labels in order.
        l2, l1 : float or array-like of shape (n_outputs,) or (n_outputs, d), default=0.0
            The trained objective is ``Σ_i s_i L_i + l2/2 ‖coef‖² + l1 ‖coef‖₁``.
        l2_intercept, l1_intercept : float or array-like of shape (n_outputs,), default=0.0
            The same for the intercept, where the solver penalises it.
        l2_per_row : bool, default=False
            Penalties are stated against the mean of the losses, not their sum.
        one_vs_rest : bool, default=False
            The rows of `coef` are independent binary models whose probabilities are
            normalised, not a softmax. Ignored for a single row.
        label_smoothing : float, default=0.0
            Share of each label that the training loss spread over all classes; for a
            softmax.
        loss_weight : callable, optional
            ``(class codes, sample_weight) -> weights``; by default the sample weights.

        Returns
        -------
        read : Bridge
            The classifier as the measure sees it.

        Raises
        ------
        ValueError
            `coef` has another number of rows than there are classes, coefficients are not
            finite, or a penalty is negative or of another shape.
        """
        classes = np.asarray(classes)
        coef = np.atleast_2d(np.asarray(coef, dtype=np.float64))
        n_outputs = len(coef)
        single = n_outputs == 1 and len(classes) == 2
        if len(classes) < 2 or not (single or n_outputs == len(classes)):
            raise ValueError(
                f"coef has {len(coef)} rows for {len(classes)} classes; a linear "
                "classifier has one row a class, or a single one for two classes."
            )
        fit_intercept = intercept is not None
        beta = coef
        if fit_intercept:
            column = np.ravel(np.asarray(intercept, dtype=np.float64))[:, None]
            if len(column) != n_outputs:
                raise ValueError(
                    f"intercept has {len(column)} values, and coef {n_outputs} rows: it takes "
                    "one a row, or None where the model was fitted without."
                )
            beta = np.concatenate([coef, column], axis=1)
        if not np.isfinite(beta).all():
            raise ValueError(
                "The fitted coefficients hold NaN or infinity: the fit diverged. Scale "
                "the features or penalise more."
            )
        if np.abs(beta).max(initial=0.0) > LARGEST:
            raise ValueError(
                f"The fitted coefficients reach {np.abs(beta).max():.2g}, and their squares "
                "overflow. Scale the features."
            )

        def spread(name: str, value: Any, value_intercept: Any) -> np.ndarray:
            full = np.empty_like(beta)
            full[:, : coef.shape[1]] = _penalty(name, value, coef.shape)
            if fit_intercept:
                name = f"{name}_intercept"
                full[:, -1:] = _penalty(name, value_intercept, (n_outputs, 1))
            return full

        l2s, l1s = spread("l2", l2, l2_intercept), spread("l1", l1, l1_intercept)
        link: Sigmoid | Softmax | OneVsRest
        if n_outputs == 1:
            link = Sigmoid()
        elif one_vs_rest:
            link = OneVsRest(n_outputs)
        else:
            # An L1 penalty's active set is one of single coefficients, not contrasts,
            # and contrasts mix classes, which must then be penalised alike.
            alike = bool((l2s == l2s[0]).all())
            link = Softmax(
                n_outputs, reduced=alike and not l1s.any(), smoothing=label_smoothing
            )
            if link.reduced:
                beta = link.basis.T @ beta
                l2s, l1s = l2s[1:], l1s[1:]

        def make_model(n_rows: int) -> SoftmaxLinear:
            unit = n_rows if l2_per_row else 1
            return SoftmaxLinear(beta, link, fit_intercept, l2s * unit, l1s * unit)

        return cls(make_model, classes, loss_weight)

    def transform(self, X: Any) -> Any:
        """Send rows through the steps before the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n, n_features)
            Rows as the classifier takes them.

        Returns
        -------
        X : {array-like, sparse matrix} of shape (n, d)
            The same rows as the model sees them.
        """
        for step in self.steps:
            X = step(X)
        return X


def _penalty(name: str, value: Any, shape: tuple[int, int]) -> np.ndarray:
    """A penalty that spreads over coefficients of this shape: a number, one a row, or all."""
    value = np.asarray(value, dtype=np.float64)
    if value.ndim < 2:
        value = value.reshape(-1, 1)
    if value.shape not in {shape, (shape[0], 1), (1, 1)}:
        raise ValueError(
            f"{name} has {value.size} values, which do not fit coefficients of shape {shape}: "
            f"pass a number, a list of {shape[0]} (one a row), or an array of that shape."
        )
    if not (np.isfinite(value) & (value >= 0)).all():
        raise ValueError(
            f"{name} must hold finite numbers of at least 0, got {value.min():g}; 0 is no "
            "penalty."
        )
    return value


# fitted estimator -> Bridge
BridgeFunction = Callable[[Any], Bridge]


@singledispatch
def bridge(estimator: BaseEstimator) -> Bridge | NetworkBridge:
    """The differentiable model behind a fitted classifier.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier: `LogisticRegression`, `LogisticRegressionCV`,
        `SGDClassifier(loss="log_loss")`, `OneVsRestClassifier` or `OneVsOneClassifier`
        over these, a network (`MLPClassifier`, a skorch classifier, a
        `TorchClassifier`), a `Pipeline`, hyper-parameter search or `FrozenEstimator`
        that holds one, or a class that was registered with `register_bridge`.

    Returns
    -------
    Bridge or NetworkBridge
        What the measure asks of the classifier; for a network its last layer as a
        `Bridge`, or the module to differentiate.

    Raises
    ------
    TypeError
        skfi cannot compute influence for the classifier; the message says why and what to do.
    sklearn.exceptions.NotFittedError
        The classifier is not fitted.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skfi.bridge import bridge
    >>> model = make_pipeline(StandardScaler(), LogisticRegression())
    >>> read = bridge(model.fit([[0.0], [2.0]], ["no", "yes"]))
    >>> read.transform([[0.0], [4.0]])  # as the logistic regression sees them
    array([[-1.],
           [ 3.]])
    """
    if _read_late(type(estimator)):
        return bridge(estimator)
    raise TypeError(_no_bridge(estimator, "scores"))


def register_bridge(classifier: type) -> Callable[[BridgeFunction], BridgeFunction]:
    """Decorator that tells skfi how to read a classifier of your own.

    Parameters
    ----------
    classifier : type
        The class. Its subclasses are read in the same way, unless they are registered
        themselves. A class that is registered already is read again.

    Returns
    -------
    callable
        Decorator for a function ``fitted estimator -> Bridge``, which it returns as it
        is.

    Raises
    ------
    TypeError
        `classifier` is not a class, or what is decorated not a function; when the
        function is used, it returned something other than a `Bridge`.

    Notes
    -----
    State the penalty exactly as the classifier's objective has it: the scores describe
    how its fit would change. `fi_util` warns where the gradient of the stated objective
    does not vanish at the coefficients.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfi.bridge import Bridge, bridge, register_bridge
    >>> class Mine(LogisticRegression):
    ...     pass  # stands for a class that skfi has never heard of
    >>> @register_bridge(Mine)
    ... def read_mine(estimator):
    ...     return Bridge.linear(
    ...         estimator.coef_,
    ...         estimator.intercept_,
    ...         classes=estimator.classes_,
    ...         l2=1.0 / estimator.C,
    ...     )
    >>> bridge(Mine(C=0.5).fit([[0.0], [1.0], [2.0]], [0, 0, 1])).classes
    array([0, 1])
    """
    if not isinstance(classifier, type):
        raise TypeError(
            f"register_bridge takes a class, got {classifier!r}. Write "
            "@register_bridge(MyClassifier) above the function that reads a fitted "
            "MyClassifier."
        )

    def register(function: BridgeFunction) -> BridgeFunction:
        if isinstance(function, type) or not callable(function):
            raise TypeError(
                f"register_bridge({classifier.__name__}) decorates a function "
                f"(fitted estimator) -> Bridge, got {function!r}."
            )

        @wraps(function)
        def checked(estimator: BaseEstimator) -> Bridge:
            result = function(estimator)
            if not isinstance(result, Bridge):
                raise TypeError(
                    f"The function registered for {classifier.__name__} must return a "
                    f"Bridge, got {type(result).__name__}; return Bridge.linear(...)."
                )
            return result

        bridge.register(classifier, checked)
        return function

    return register


def _read_late(kind: type) -> bool:
    """Whether a class has a bridge, once those of skorch and torch are imported for it.

    Networks are read by modules of their own, which not everyone has use for; torch takes
    seconds to import and is no dependency.
    """
    packages = {base.__module__.partition(".")[0] for base in kind.__mro__}
    names = {base.__name__ for base in kind.__mro__}
    if packages & {"skorch", "torch"} or names & {"TorchClassifier", "SkorchClassifier"}:
        require("torch", f"Reading a {kind.__name__}")
        import_module("._torch", __package__)  # registers its bridges
    elif "MLPClassifier" in names:
        import_module("._mlp", __package__)
    return bridge.dispatch(kind) is not bridge.dispatch(object)


def _no_bridge(estimator: BaseEstimator, user: User) -> str:
    check_classifier(estimator, "The classifier")
    known = {kind.__name__ for kind in bridge.registry if kind not in (object, BaseSearchCV)}
    # That of torch's Module only refuses.
    supported = sorted((known | set(NETWORKS)) - {"Module"})
    name = type(estimator).__name__
    here = ""
    if type(estimator).__module__ == "__main__":
        here = (
            f" If you registered {name} in this script or notebook, this is a worker process "
            f"(n_jobs), which did not run that: move {name} and its register_bridge into a "
            "module and import them, or leave n_jobs at None."
        )
    return (
        f"skfi cannot compute influence for {name}: {refusal(estimator, user)}{here} "
        f"Supported: {', '.join(supported)} and hyper-parameter searches over these. Register "
        "a linear classifier of your own with skfi.bridge.register_bridge."
    )


def _layers(estimator: BaseEstimator) -> Iterator[BaseEstimator]:
    """The estimator, and the classifiers inside it, fitted or not."""
    while True:
        yield estimator
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif isinstance(estimator, (BaseSearchCV, *_JOINED)):
            estimator = estimator.estimator
        else:
            return


def innermost(estimator: BaseEstimator) -> BaseEstimator:
    """The classifier inside Pipelines, searches and the like, fitted or not."""
    *_, last = _layers(estimator)
    return last


def has_steps(estimator: BaseEstimator) -> bool:
    """Whether a Pipeline's step before the classifier, fitted or not, changes rows."""
    for layer in _layers(estimator):
        if isinstance(layer, FrozenEstimator):
            return has_steps(layer.estimator)
        if isinstance(layer, Pipeline) and any(
            step not in (None, "passthrough") for _, step in layer.steps[:-1]
        ):
            return True
    return False


def require_bridge(estimator: BaseEstimator, user: User) -> None:
    """Refuse a classifier that skfi cannot read before time is spent on fitting it.

    One that preprocesses inside a one-versus-rest or one-versus-one classifier, or resamples
    its rows in `fit`, is refused, too.
    """
    joined = None
    for layer in _layers(estimator):
        if isinstance(layer, Pipeline):
            refuse_resampling(layer, user)
        if isinstance(layer, _JOINED):
            joined = layer
        elif joined is not None and isinstance(layer, Pipeline) and len(layer.steps) > 1:
            raise TypeError(steps_inside(joined))
    if isinstance(layer, FrozenEstimator):
        require_bridge(layer.estimator, user)
    elif not _read_late(type(layer)):
        raise TypeError(_no_bridge(layer, user))


def steps_inside(estimator: BaseEstimator) -> str:
    """Why preprocessing has to stand outside of a classifier made of several."""
    name = type(estimator).__name__
    return (
        f"skfi cannot compute influence for {name} over a Pipeline: each of its classifiers "
        "preprocesses by itself, so there is no one space in which a row could be moved. Put "
        f"the steps in front: make_pipeline(StandardScaler(), {name}(LogisticRegression()))."
    )


@bridge.register(Pipeline)
def _pipeline(estimator: Pipeline) -> Bridge | NetworkBridge:
    refuse_resampling(estimator)
    check_is_fitted(estimator)
    inner = bridge(estimator.steps[-1][1])
    if len(estimator.steps) == 1:
        return inner
    return replace(inner, steps=(partial(transform_before_last, estimator), *inner.steps))


class _Unchanged(BaseEstimator):
    """A last step that is fitted and changes nothing."""

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Any, y: Any = None) -> Any:
        return self

    def transform(self, X: Any) -> Any:
        return X


def transform_before_last(pipeline: Pipeline, X: Any) -> Any:
    """Rows as the last step of a fitted Pipeline sees them; X itself stays as it is.

    A slice alone would not do: it is fitted if its last step is, and scikit-learn 1.7 takes
    HashingVectorizer, which has nothing to fit, for one that is not.
    """
    sliced = pipeline[:-1]
    sliced.steps = [*sliced.steps, ("unchanged", _Unchanged())]
    X = sliced.transform(own_rows(sliced, X))
    last = pipeline.steps[-1][1]
    fitted_on, names = getattr(last, "feature_names_in_", None), _get_feature_names(X)
    if fitted_on is not None and names is not None and not np.array_equal(fitted_on, names):
        raise ValueError(
            f"{type(last).__name__} was fitted on the columns {list(fitted_on[:10])}, and the "
            f"steps before it return {list(names[:10])}. Pass rows with the columns of the "
            "training rows, in the same order."
        )
    return X


@bridge.register(FrozenEstimator)
def _frozen(estimator: FrozenEstimator) -> Bridge | NetworkBridge:
    return bridge(estimator.estimator)


@bridge.register(BaseSearchCV)
def _search(estimator: BaseSearchCV) -> Bridge | NetworkBridge:
    check_is_fitted(estimator)
    if not hasattr(estimator, "best_estimator_"):
        raise TypeError(
            f"{type(estimator).__name__} was run with refit=False and holds no fitted "
            "classifier. Set refit=True."
        )
    return bridge(estimator.best_estimator_)
