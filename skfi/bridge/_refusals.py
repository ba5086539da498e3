"""Why the classifiers that people will try have no bridge, and what to do instead.

Classes are known by name: importing ensembles, support vector machines and neighbours
only to say no to them would slow down ``import skfi``.
"""

from __future__ import annotations

# What `bridge` reads once it meets one; until then nothing of torch is imported.
NETWORKS = (
    "MLPClassifier",
    "NeuralNetBinaryClassifier",
    "NeuralNetClassifier",
    "SkorchClassifier",
    "TorchClassifier",
)

_GENERAL = "influence needs a classifier it can differentiate, and a fit that is an optimum."

_TREES = "trees are piecewise constant, and moving a row a little changes nothing."
_SUPPORT_VECTORS = (
    "the hinge loss gives no probabilities and has no second derivative. "
    "LogisticRegression is the nearest classifier that has both, for a kernel behind "
    "Nystroem: make_pipeline(Nystroem(), LogisticRegression())."
)
_GENERATIVE = (
    "its parameters maximise the joint likelihood of features and labels; they do not "
    "minimise the loss of its probabilities, which is what influence differentiates."
)
_SEVERAL = "its probabilities are joined from several classifiers, each with a fit of its own."

# Name of a scikit-learn class -> reason.
_REASONS = {
    "LinearDiscriminantAnalysis": _GENERATIVE
    + " Its coefficients look like those of a softmax, but moving a row moves them "
    "otherwise.",
    "QuadraticDiscriminantAnalysis": _GENERATIVE,
    "_BaseNB": _GENERATIVE,
    "CalibratedClassifierCV": "its probabilities average calibrated models of several "
    "folds, none of which was fitted on all rows. Calibrate after trimming: "
    "CalibratedClassifierCV(FITrimmer(LogisticRegression())).",
    "LinearSVC": _SUPPORT_VECTORS,
    "BaseSVC": _SUPPORT_VECTORS,
    "RidgeClassifier": "it regresses labels by squared loss and gives no probabilities. "
    "LogisticRegression has the same penalty and gives them.",
    "RidgeClassifierCV": "it regresses labels by squared loss and gives no "
    "probabilities. LogisticRegressionCV has the same penalty and gives them.",
    "DecisionTreeClassifier": _TREES,
    "ForestClassifier": _TREES,
    "BaseGradientBoosting": _TREES,
    "BaseHistGradientBoosting": _TREES,
    "NeighborsBase": "its votes are piecewise constant, and moving a row a little "
    "changes nothing.",
    "VotingClassifier": _SEVERAL,
    "StackingClassifier": _SEVERAL,
    "BaggingClassifier": _SEVERAL,
    "AdaBoostClassifier": _SEVERAL,
    "OutputCodeClassifier": _SEVERAL
    + " OneVsRestClassifier and OneVsOneClassifier have a bridge.",
}


def check_instance(value, name: str) -> None:
    """Refuse a class, and a torch module alone, which scikit-learn takes for what they are not.

    Parameters
    ----------
    value : object
        What was passed for a classifier.
    name : str
        Of the argument, as the message is to begin with it.

    Raises
    ------
    TypeError
        It is one of these.
    """
    kind = value if isinstance(value, type) else type(value)
    torch = any(base.__module__.partition(".")[0] == "torch" for base in kind.__mro__)
    if torch and not hasattr(value, "fit"):
        raise TypeError(
            f"{name} is a torch module ({kind.__name__}), which has no fit. To train it, pass "
            f"skorch.NeuralNetClassifier({kind.__name__}, ...); to have the scores of one that "
            "is trained, wrap it: skfi.bridge.TorchClassifier(module, criterion, classes=...)."
        )
    if isinstance(value, type):
        raise TypeError(
            f"{name} is the class {kind.__name__}, and must be an instance of it: pass "
            f"{kind.__name__}()."
        )


def refuse_resampling(pipeline) -> None:
    """Refuse a Pipeline, as imbalanced-learn has them, that trains on other rows than it gets.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted or not.

    Raises
    ------
    TypeError
        One of its steps resamples.
    """
    for name, step in pipeline.steps[:-1]:
        if hasattr(step, "fit_resample"):
            raise TypeError(
                f"The Pipeline resamples its rows in fit (step {name!r}, "
                f"{type(step).__name__}), so its classifier is trained on other rows than "
                "those that would be scored. Put FITrimmer inside, as a step of that "
                "pipeline, or pass an influence_estimator that does not resample."
            )


def refusal(estimator) -> str:
    """Why a classifier without a bridge has none, as a sentence.

    Parameters
    ----------
    estimator : object
        The classifier, fitted or not; subclasses count as what they derive from.

    Returns
    -------
    str
        The reason, and a hint where there is a better one than a stand-in.
    """
    for kind in type(estimator).__mro__:
        if kind.__module__.partition(".")[0] == "sklearn" and kind.__name__ in _REASONS:
            return _REASONS[kind.__name__]
    return _GENERAL
