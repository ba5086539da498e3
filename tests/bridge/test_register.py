"""Classifiers of one's own: registering them, and the example in the documents."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skfi import fi_util
from skfi.bridge import Bridge, bridge, register_bridge
from tests.conftest import ROOT, make_split


def test_the_pages_example_runs_and_is_right():
    page = (ROOT / "docs" / "how-to" / "custom-bridge.md").read_text()
    section = page.split("## A classifier of your own")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    space: dict = {}
    exec(compile(code, "custom-bridge.md", "exec"), space)
    X, y = space["X"], space["y"]
    plain = LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-12)
    plain.fit(X[:200], y[:200])
    expected = fi_util(plain, X[:200], y[:200], X[200:], y[200:])
    np.testing.assert_allclose(space["influence"], expected, rtol=1e-3)
    trimmer = space["trimmer"]
    assert trimmer.n_trimmed_ == 10
    assert isinstance(trimmer.estimator_, space["RidgeLogistic"])
    weighted = space["RidgeLogistic"]().fit(X, y, sample_weight=np.full(len(y), 2.0))
    half = space["RidgeLogistic"](penalty=0.5).fit(X, y)
    np.testing.assert_allclose(weighted.w_, half.w_, rtol=1e-3)


def read(estimator):
    return Bridge.linear(estimator.coef_, estimator.intercept_, classes=estimator.classes_)


def test_returns_the_function_and_so_stacks():
    class One(LogisticRegression):
        pass

    class Other(LogisticRegression):
        pass

    assert register_bridge(One)(register_bridge(Other)(read)) is read
    X, y, _, _, _ = make_split()
    for kind in (One, Other):
        np.testing.assert_array_equal(bridge(kind().fit(X, y)).make_model(1).l2, 0)


def test_subclass_is_read_like_its_class_unless_registered():
    class Parent(LogisticRegression):
        pass

    class Child(Parent):
        pass

    register_bridge(Parent)(read)
    X, y, _, _, _ = make_split()
    child = Child(C=0.25).fit(X, y)
    assert bridge(child).make_model(1).l2.max() == 0
    register_bridge(Child)(bridge.dispatch(LogisticRegression))
    assert bridge(child).make_model(1).l2.max() == 4


def test_a_refused_class_can_be_registered():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    class Mine(LinearDiscriminantAnalysis):
        pass

    X, y, _, _, _ = make_split()
    model = Mine().fit(X, y)
    with pytest.raises(TypeError, match="influence for Mine"):
        bridge(model)
    register_bridge(Mine)(read)
    assert bridge(model).make_model(1).n_features == X.shape[1]


class TestRefusals:
    def test_not_a_class(self):
        with pytest.raises(TypeError, match=r"takes a class, got LogisticRegression\(\)"):
            register_bridge(LogisticRegression())

        with pytest.raises(TypeError, match=r"Write @register_bridge\(MyClassifier\)"):

            @register_bridge
            def _(estimator):
                raise NotImplementedError

    @pytest.mark.parametrize("decorated", [3, Bridge])
    def test_not_a_function(self, decorated):
        with pytest.raises(TypeError, match="decorates a function"):
            register_bridge(LogisticRegression)(decorated)

    def test_not_a_bridge(self):
        class Wrong(BaseEstimator):
            pass

        @register_bridge(Wrong)
        def _(estimator):
            return np.ones(3), 0.0

        with pytest.raises(TypeError, match=r"registered for Wrong .* Bridge, got tuple"):
            bridge(Wrong())

    def test_workers_know_nothing_of_a_script(self):
        """A worker process gets the class of a script or notebook, but not its registration."""

        class Scripted(BaseEstimator):
            pass

        elsewhere = "Scripted: influence needs .* an optimum. Pass a supported [^_]*Supported: "
        with pytest.raises(TypeError, match=elsewhere):
            bridge(Scripted())
        Scripted.__module__ = "__main__"
        with pytest.raises(TypeError, match=r"a worker process \(n_jobs\).*into a module"):
            bridge(Scripted())


def test_a_misstated_penalty_is_named():
    class Misstated(LogisticRegression):
        pass

    @register_bridge(Misstated)
    def _(estimator):
        return Bridge.linear(
            estimator.coef_, estimator.intercept_, classes=estimator.classes_, l2=50
        )

    X, y, X_val, y_val, _ = make_split()
    for wrapped in (
        Misstated().fit(X, y),
        make_pipeline(FrozenEstimator(Misstated().fit(X, y))).fit(X, y),
    ):
        with pytest.warns(ConvergenceWarning, match="bridge of Misstated states another"):
            fi_util(wrapped, X, y, X_val, y_val)
    own = LogisticRegression().fit(X[:50], y[:50])
    with pytest.warns(ConvergenceWarning, match=r"was fitted on\.$"):
        fi_util(own, X, y, X_val, y_val)
