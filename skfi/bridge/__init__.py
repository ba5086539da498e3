"""From a fitted classifier to the differentiable model the measure works on.

``bridge`` is a single-dispatch function. It reads `LogisticRegression`,
`LogisticRegressionCV`, `SGDClassifier(loss="log_loss")`, `OneVsRestClassifier` and
`OneVsOneClassifier` over these, and Pipelines, searches and `FrozenEstimator`s around
them; and networks: `MLPClassifier`, skorch's classifiers, and torch modules in a
`TorchClassifier`. One-versus-one has no probabilities in scikit-learn; here a class's is
proportional to the product of its probabilities against each other class. Classifiers of
your own take part once they are registered::

    from skfi.bridge import Bridge, register_bridge

    @register_bridge(MyClassifier)
    def _(estimator):
        return Bridge.linear(estimator.coef_, estimator.intercept_,
                             classes=estimator.classes_, l2=1.0 / estimator.C)
"""

from . import _multiclass  # noqa: F401  registers its bridges
from ._base import Bridge, bridge, register_bridge
from ._linear import read_penalty
from ._skorch import SkorchClassifier
from ._torch_classifier import TorchClassifier

__all__ = [
    "Bridge",
    "SkorchClassifier",
    "TorchClassifier",
    "bridge",
    "read_penalty",
    "register_bridge",
]
