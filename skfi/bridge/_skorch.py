"""A skorch net as a classifier that keeps scikit-learn's contract.

skorch hands rows and labels to torch as they come: float64 rows fail in a float32 module,
labels must be the codes 0 to K - 1, and the weights a net starts from depend on how many
random numbers the process has drawn before. A trimmer fits the same net many times on
subsets and compares the fits, so all of this has to hold still. `adapt` puts a net inside a
`SkorchClassifier`; nothing here imports torch or skorch before there is a net.
"""

from __future__ import annotations

from copy import copy
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    check_is_fitted,
    validate_data,
)

from .._utils._checks import check_exact, check_rows, floats_looked_up
from .._utils._extras import require
from .._utils._versioned import VersionedState


def is_skorch(estimator: Any) -> bool:
    """Whether a class of skorch is among the estimator's; no torch is imported to tell."""
    kinds = type(estimator).__mro__
    return any(kind.__module__.partition(".")[0] == "skorch" for kind in kinds)


def adapt(estimator: Any, random_state: Any = None) -> Any:
    """The estimator with a skorch net at its end in a `SkorchClassifier`, as a copy.

    A Pipeline that ends in a net keeps its other steps and settings. Other estimators are
    returned as they are, also a search over a net: search around the trimmer.
    """
    if isinstance(estimator, Pipeline) and estimator.steps:
        name, last = estimator.steps[-1]
        adapted = adapt(last, random_state)
        if adapted is last:
            return estimator
        pipeline = copy(estimator)  # a subclass, its memory and requests stay
        pipeline.steps = [*estimator.steps[:-1], (name, adapted)]
        return pipeline
    if not is_skorch(estimator):
        return estimator
    from skorch import NeuralNet

    if not isinstance(estimator, NeuralNet):  # skorch has estimators without a module, too
        return estimator
    _check_net(estimator)
    return SkorchClassifier(estimator, random_state=random_state)


class SkorchClassifier(VersionedState, ClassifierMixin, BaseEstimator):
    """Classifier around an unfitted skorch net.

    Parameters
    ----------
    net : skorch.NeuralNetClassifier or skorch.NeuralNetBinaryClassifier
        The net; a clone of it is fitted. All its settings hold, those that hold rows out
        (`train_split`) and stop early among them. Its module returns one output a class
        (logits for `CrossEntropyLoss`, probabilities for skorch's `NLLLoss`), that of a
        binary net one logit a row. Its `classes=[...]` names the classes in the order of
        the outputs; y may then hold only some of them.
    random_state : int, RandomState instance or None, default=None
        Seed of torch's and numpy's global generators during the fit, which stand after it
        where they stood before. An int is the seed itself; otherwise it is drawn from the
        instance, or from numpy's global generator (None).

    Attributes
    ----------
    net_ : skorch.NeuralNetClassifier or skorch.NeuralNetBinaryClassifier
        The fitted net, trained on the codes 0 to K - 1 of the labels. Its `history` and
        its attributes that end in an underscore are found on the classifier as well.
    input_dtype_ : numpy.dtype
        What rows are cast to before the module sees them: int64 where `fit` saw integers only
        and the module holds an `Embedding` or `EmbeddingBag`, else the dtype of the
        module's parameters.
    classes_ : ndarray of shape (K,)
        Class labels: the net's `classes` where they are set, else the sorted labels of y.
    n_features_in_ : int
        Length of the second axis of the rows seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` has string column names.

    Notes
    -----
    skorch's `fit` knows no sample weights, so this one takes none either. Each fit starts
    afresh, whatever the net's `warm_start`: from weights that are drawn again where the
    net's module is a class, from those that are there where it is an object.

    Examples
    --------
    >>> import numpy as np
    >>> from skfi.bridge import SkorchClassifier
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = np.where(X[:, 0] > 0, "yes", "no")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=3, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, verbose=0,
    ... )
    >>> SkorchClassifier(net, random_state=0).fit(X, y).predict_proba(X).shape
    (60, 2)
    """

    def __init__(self, net: Any, random_state: Any = None) -> None:
        self.net = net
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> SkorchClassifier:
        """Fit a clone of the net.

        Parameters
        ----------
        X : {array-like, DataFrame} of shape (n, n_features) or (n, ...)
            Training rows: numbers, of any number of axes (images, sequences, ...).
        y : array-like of shape (n,)
            Labels: of any type, two classes or more unless the net has `classes`.

        Returns
        -------
        self : SkorchClassifier
            The fitted classifier. If an error is raised it is left as it was.

        Raises
        ------
        TypeError
            `net` is not a skorch classifier, or X is sparse or a dict.
        ValueError
            Data that cannot be fitted, labels that the net's `classes` lack, outputs that
            are no probabilities of the classes, or a fit that diverged.
        """
        from .._utils._checks import checked_labels

        _check_net(self.net)
        check_rows(X, "X")
        if y is not None:
            y = checked_labels(y, self, "Pass the rows with a label alone.")
        # A copy takes what validation sets: an error later must leave nothing behind.
        checked, y = validate_data(copy(self), X, y, allow_nd=True)
        check_classification_targets(y)
        classes, codes = _encode(self.net, y)
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the data, "
                f"but the data contains only one class: {classes[0]!r}"
            )
        seed = _draw_seed(self.random_state)
        net = clone(self.net)
        from ._torch_random import seeded

        with seeded(seed, net.device):
            net.initialize()
            floating, dtype = _input_dtypes(net.module_, checked)
            rows, checked = checked, _cast(checked, dtype)
            if _looks_up(net.module_):
                check_exact(rows, checked)
            target = floating if _is_binary(net, len(classes)) else np.int64
            try:
                _fit_initialized(net, checked, codes.astype(target))
                _check_probabilities(net, checked[:2], len(classes))
            except (RuntimeError, TypeError) as error:
                raise _explained(error, net.module_, checked) from error
        _check_feature_names(self, X, reset=True)
        _check_n_features(self, checked, reset=True)
        self.classes_ = classes
        self.input_dtype_ = dtype
        self.net_ = net
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, DataFrame} of shape (n, n_features) or (n, ...)
            Rows, as in `fit`.

        Returns
        -------
        y_pred : ndarray of shape (n,)
            Class labels; of a binary net by its `threshold`.
        """
        codes = self._ask("predict", X)
        return self.classes_[codes.astype(np.intp)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities.

        Parameters
        ----------
        X : {array-like, DataFrame} of shape (n, n_features) or (n, ...)
            Rows, as in `fit`.

        Returns
        -------
        proba : ndarray of shape (n, K)
            Probabilities in the module's dtype, columns as in `classes_`.
        """
        return self._ask("predict_proba", X)

    def _ask(self, method: str, X: Any) -> np.ndarray:
        check_is_fitted(self)
        check_rows(X, "X")
        X = validate_data(self, X, allow_nd=True, reset=False)
        X = _cast(X, self.input_dtype_)
        from ._torch_random import random_state_kept

        with random_state_kept():  # a DataLoader draws a number even where it keeps order
            return getattr(self.net_, method)(X)

    def __getattr__(self, name: str) -> Any:
        # What is fitted, not what trains: a partial_fit that came with the first fit would
        # take raw labels. Copies and pickles ask before there is anything in __dict__.
        fitted = name == "history" or (name.endswith("_") and not name.startswith("_"))
        if fitted and "net_" in self.__dict__:
            return getattr(self.__dict__["net_"], name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_is_fitted__(self) -> bool:
        return "net_" in self.__dict__

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        bases = {base.__name__ for base in type(self.net).__mro__}
        tags.classifier_tags.multi_class = "NeuralNetBinaryClassifier" not in bases
        return tags


def _check_net(net: Any) -> None:
    """Refuse what is not a classifier of skorch's."""
    require("skorch", "SkorchClassifier")
    wanted = "a skorch.NeuralNetClassifier or skorch.NeuralNetBinaryClassifier"
    if is_skorch(net):
        from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier

        if isinstance(net, (NeuralNetClassifier, NeuralNetBinaryClassifier)):
            return
    given = f"the class {net.__name__}" if isinstance(net, type) else type(net).__name__
    raise TypeError(
        f"net must be {wanted}, or of a class derived from one; got {given}. Pass an "
        "unfitted net that predicts classes."
    )


def _encode(net: Any, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class labels in the order of the outputs, and the code of each row's label."""
    named = getattr(net, "classes", None)
    if named is None or not len(named):
        classes, codes = np.unique(y, return_inverse=True)
        return classes, codes
    classes = np.asarray(named)
    lookup = {label: code for code, label in enumerate(classes.ravel().tolist())}
    if classes.ndim != 1 or len(lookup) < len(classes):
        raise ValueError(f"The net's classes={named!r} must be a list of different labels.")
    codes = np.array([lookup.get(label, -1) for label in y.tolist()])
    if (codes < 0).any():
        unknown = sorted(set(y[codes < 0].tolist()), key=repr)
        raise ValueError(
            f"y has labels that are not among the net's classes={classes.tolist()[:10]}: "
            f"{unknown[:5]}. Pass classes=[...] with all labels as y has them, in the order of "
            "the module's outputs."
        )
    return classes, codes


def _draw_seed(random_state: Any) -> int:
    generator = check_random_state(random_state)  # refuses what numpy cannot take
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(generator.randint(np.iinfo(np.int32).max))


def _input_dtypes(module: Any, X: np.ndarray) -> tuple[np.dtype, np.dtype]:
    """The module's floating dtype, and what these rows are cast to."""
    import torch

    known: dict[Any, Any] = {torch.float64: np.float64, torch.float16: np.float16}
    tensors = [*module.parameters(), *module.buffers()]
    kinds = [t.dtype for t in tensors if t.dtype.is_floating_point] or [torch.float32]
    floating = np.dtype(known.get(kinds[0], np.float32))
    tokens = X.dtype.kind in "iub" and _looks_up(module)
    return floating, np.dtype(np.int64) if tokens else floating


def _looks_up(module: Any) -> bool:
    import torch

    tables = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    return any(isinstance(m, tables) for m in module.modules())


def _explained(error: Exception, module: Any, X: np.ndarray) -> Exception:
    """What a module's refusal of rows means to who passed them."""
    import torch

    if "indices" in str(error) and X.dtype.kind == "f" and _looks_up(module):
        return ValueError(floats_looked_up(X))
    if any(p.dtype == torch.bfloat16 for p in module.parameters()):
        return ValueError(
            f"The module's parameters are in bfloat16, which NumPy lacks ({error}). Convert "
            "rows and scores in its forward, x.to(self.layer.weight.dtype) and scores.float(), "
            "or train it in float32."
        )
    return error


def _cast(X: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rows in a dtype, in an array that torch can share."""
    if dtype.kind == "i" and X.dtype.kind == "f" and (np.trunc(X) != X).any():
        raise ValueError(
            "X holds fractions, but the module looks up values in an nn.Embedding and was "
            "fitted on integers. Pass integers as in `fit`; or, where only some columns are "
            "looked up, cast these in the module's forward and fit it on floats."
        )
    with np.errstate(over="ignore"):
        cast = np.require(X, dtype, ["C", "W"])
    if dtype.kind == "f" and not np.isfinite(cast).all():
        raise ValueError(
            f"Input X contains infinity or a value too large for {dtype!r}, the dtype of the "
            "module. Scale the features."
        )
    return cast


def _is_binary(net: Any, n_classes: int) -> bool:
    """Whether the initialised net's target is a number in [0, 1], not a class's code."""
    from skorch import NeuralNetBinaryClassifier
    from torch.nn import BCELoss, BCEWithLogitsLoss

    criterion = getattr(net.criterion_, "_orig_mod", net.criterion_)  # where it is compiled
    one_output = isinstance(criterion, (BCELoss, BCEWithLogitsLoss))
    if not one_output and not isinstance(net, NeuralNetBinaryClassifier):
        return False
    if n_classes > 2:
        raise ValueError(
            f"Only binary classification is supported by {type(net).__name__} with "
            f"{type(criterion).__name__}. The type of the target is multiclass ({n_classes} "
            "classes). Use a skorch.NeuralNetClassifier with torch.nn.CrossEntropyLoss."
        )
    return True


def _fit_initialized(net: Any, X: np.ndarray, codes: np.ndarray) -> None:
    given = net.warm_start
    net.warm_start = True  # or fit would initialise again, from other random numbers
    net.fit(X, codes)
    net.warm_start = given


def _check_probabilities(net: Any, X: np.ndarray, n_classes: int) -> None:
    """Refuse a fitted net that gives a few rows anything but one probability a class."""
    proba = net.predict_proba(X)
    if proba.shape != (len(X), n_classes):
        raise ValueError(
            f"The module gives outputs of shape {proba.shape} for {len(X)} row(s), but there "
            f"are {n_classes} classes, in y or in the net's classes=. Set the number of its "
            "outputs to that of the classes (1 for a binary net), for example in a callback's "
            "on_train_begin(net, X, y) by net.set_params(module__...). If y, or a fold of it, "
            "may lack some of the classes, pass all to the net: classes=[...]."
        )
    if not np.isfinite(proba).all():
        raise ValueError(
            "The fitted net's probabilities hold NaN or infinity: the fit diverged. Scale "
            "the features or lower the learning rate; a module trained by skorch's NLLLoss "
            "must return probabilities, not their logarithms."
        )
    tolerance = np.sqrt(np.finfo(proba.dtype).eps)
    if (proba < 0).any() or not np.allclose(proba.sum(axis=1), 1, atol=tolerance):
        raise ValueError(
            "The net's probabilities do not sum to one: criterion="
            f"{type(net.criterion_).__name__}, predict_nonlinearity="
            f'{net.predict_nonlinearity!r}. Set predict_nonlinearity="auto", and the '
            "criterion to CrossEntropyLoss where the module returns logits, NLLLoss where "
            "it returns probabilities, BCEWithLogitsLoss for a binary net's logit."
        )


def given_or_default(estimator: Any) -> Any:
    """The classifier as it is fitted: the default for None, a skorch net in its wrapper."""
    return LogisticRegression() if estimator is None else adapt(estimator)
