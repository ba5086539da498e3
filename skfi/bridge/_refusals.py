"""Why skfi cannot read some of the classifiers that people will try, and what to do instead.

Classes are known by name: importing ensembles, support vector machines and neighbours
only to say no to them would slow down ``import skfi``.
"""

from __future__ import annotations

from typing import Any, Literal

from sklearn.utils import get_tags

# Whom a refusal is for: what helps one user does not help another.
User = Literal["scores", "trimmer", "query", "embedding"]

_ADVICE: dict[User, str] = {
    "scores": "Pass a supported classifier that is fitted on the same rows, such as "
    "LogisticRegression().fit(X, y).",
    "trimmer": "Let a supported classifier score the rows, and fit {name} on those that are "
    "kept: pass influence_estimator=LogisticRegression().",
    "query": "Query by a supported classifier, such as LogisticRegression, and train {name}, "
    "or any other, on the labels. skfi.queries.Margin queries by every classifier that has "
    "predict_proba.",
    "embedding": "Embed rows by a supported classifier: "
    "FIEmbedding(estimator=LogisticRegression()).",
}
_RESAMPLED: dict[User, str] = {
    "scores": "Resample the rows first; then fit the pipeline without that step on them, and "
    "score it.",
    "trimmer": "Put FITrimmer inside, as a step of that pipeline, or pass an "
    "influence_estimator that does not resample.",
    "query": "Query by the pipeline without that step, and train the whole pipeline on the "
    "labels.",
    "embedding": "Pass the pipeline without that step.",
}

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
    "folds, none of which was fitted on all rows.",
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
    + " OneVsRestClassifier and OneVsOneClassifier are supported.",
}


def check_classifier(value: Any, name: str) -> None:
    """Refuse a class, a torch module alone, and an estimator that is known to be no classifier.

    ``name`` is that of the argument; the message begins with it.
    """
    if value is None:  # the default, whose tags scikit-learn 1.7 would warn of
        return
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
    if not hasattr(value, "__sklearn_tags__"):  # what has no tags may be one
        return
    try:
        other = get_tags(value).estimator_type
    except (AttributeError, TypeError, ValueError):
        return
    if other is not None and other != "classifier":
        raise TypeError(
            f"{name} is a {other.replace('_', ' ')} ({kind.__name__}), and must be a "
            "classifier, such as LogisticRegression(), with class labels in y."
        )


def refuse_resampling(pipeline: Any, user: User = "scores") -> None:
    """Refuse a Pipeline, as imbalanced-learn has them, that resamples its rows in `fit`."""
    for name, step in pipeline.steps[:-1]:
        if hasattr(step, "fit_resample"):
            raise TypeError(
                f"The Pipeline resamples its rows in fit (step {name!r}, "
                f"{type(step).__name__}), so its classifier is trained on other rows than "
                f"those that would be scored. {_RESAMPLED[user]}"
            )


def refusal(estimator: Any, user: User) -> str:
    """Why skfi cannot compute influence for a classifier, and what to do, as sentences.

    Subclasses count as what they derive from.
    """
    kinds = [k for k in type(estimator).__mro__ if k.__module__.partition(".")[0] == "sklearn"]
    reasons = [_REASONS[kind.__name__] for kind in kinds if kind.__name__ in _REASONS]
    advice = _ADVICE[user].format(name=type(estimator).__name__)
    if user == "trimmer" and any(k.__name__ == "CalibratedClassifierCV" for k in kinds):
        advice = f"Calibrate after trimming: CalibratedClassifierCV(FITrimmer()). Or: {advice}"
    if user == "trimmer" and reasons[:1] == [_TREES]:
        advice += ' Its own trees score them with influence_estimator="leaves".'
    return f"{reasons[0] if reasons else _GENERAL} {advice}"
