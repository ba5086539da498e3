"""From a fitted classifier to the differentiable model the measure works on.

``bridge`` is a single-dispatch function. Classifiers of your own take part once
they are registered::

    from skfi.bridge import Bridge, bridge

    @bridge.register(MyClassifier)
    def _(estimator):
        return Bridge.linear(estimator.coef_, estimator.intercept_,
                             classes=estimator.classes_, l2=1.0 / estimator.C)
"""

from ._base import Bridge, bridge
from ._linear import read_penalty

__all__ = ["Bridge", "bridge", "read_penalty"]
