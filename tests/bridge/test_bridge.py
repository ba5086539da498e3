"""Reading classifiers, and bringing one's own."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

from skfi import FITrimmer, fi_util
from skfi.bridge import Bridge, bridge, read_penalty
from tests.conftest import make_split


@pytest.mark.parametrize(("C", "l1_ratio"), [(0.3, 0.0), (2.0, 1.0), (5.0, 0.4)])
def test_penalty_as_the_newest_version_states_it(C, l1_ratio):
    model = LogisticRegression(C=C, l1_ratio=l1_ratio)
    if model.penalty == "l2":
        model.set_params(penalty="elasticnet")
    assert [part.tolist() for part in read_penalty(model)] == [[C], [l1_ratio]]


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [("l1", ([3.0], [1.0])), ("l2", ([3.0], [0.0])), (None, ([np.inf], [0.0]))],
)
def test_penalty_as_the_oldest_version_states_it(penalty, expected):
    model = LogisticRegression(C=3.0, penalty=penalty, l1_ratio=None)
    assert tuple(part.tolist() for part in read_penalty(model)) == expected


def test_penalty_chosen_by_cross_validation():
    model = LogisticRegressionCV()
    if model.penalty == "deprecated":
        shapes = (0.5, 0.0), (np.array([0.5]), np.array([0.0]))
    else:
        shapes = ((np.array([0.5]), np.array([None])),)
    for model.C_, model.l1_ratio_ in shapes:
        assert [part.tolist() for part in read_penalty(model)] == [[0.5], [0.0]]


def test_own_classifier():
    class Mine(ClassifierMixin, BaseEstimator):
        """A classifier skfi has never heard of, that holds a logistic regression."""

        def fit(self, X, y):
            self.inner_ = LogisticRegression(C=2.0, solver="newton-cholesky").fit(X, y)
            self.classes_ = self.inner_.classes_
            return self

        def predict(self, X):
            return self.inner_.predict(X)

    X, y, X_val, y_val, _ = make_split()
    with pytest.raises(TypeError, match="influence for Mine"):
        fi_util(Mine().fit(X, y), X, y, X_val, y_val)

    @bridge.register(Mine)
    def _(estimator):
        inner = estimator.inner_
        return Bridge.linear(
            inner.coef_, inner.intercept_, classes=inner.classes_, l2=1.0 / inner.C
        )

    mine = Mine().fit(X, y)
    np.testing.assert_array_equal(
        fi_util(mine, X, y, X_val, y_val), fi_util(mine.inner_, X, y, X_val, y_val)
    )
    assert FITrimmer(Mine(), budget=5, random_state=0).fit(X, y).n_trimmed_ == 5


def test_wrong_number_of_rows_in_coef():
    with pytest.raises(ValueError, match="coef has 3 rows for 2 classes"):
        Bridge.linear(np.ones((3, 3)), classes=[0, 1])


@pytest.mark.parametrize("name", ["l2", "l1"])
def test_penalties(name):
    pair = {"coef": [[1.0, 2.0]], "intercept": [0.0], "classes": [0, 1]}
    with pytest.raises(ValueError, match=rf"{name} has 2 values.* pass a number, a list of 1 "):
        Bridge.linear(**pair, **{name: [1.0, 2.0]})
    for bad in (-1, np.nan, [[1.0, -0.5]]):
        with pytest.raises(ValueError, match=rf"^{name} must hold finite numbers"):
            Bridge.linear(**pair, **{name: bad})
    with pytest.raises(ValueError, match=rf"^{name}_intercept must hold finite"):
        Bridge.linear(**pair, **{f"{name}_intercept": -1})
    three = {"coef": np.eye(3), "intercept": np.zeros(3), "classes": [0, 1, 2]}
    with pytest.raises(ValueError, match=rf"{name}_intercept has 2 values"):
        Bridge.linear(**three, **{f"{name}_intercept": [1.0, 2.0]})
    for good in (2.0, [2.0], [2.0] * 3, np.full((3, 3), 2.0)):
        read = Bridge.linear(**three, **{name: good, f"{name}_intercept": 2.0})
        assert (getattr(read.make_model(1), name) == 2).all()


def test_wrong_number_of_intercepts():
    with pytest.raises(ValueError, match="intercept has 2 values, and coef 3 rows"):
        Bridge.linear(np.eye(3), [0.0, 1.0], classes=[0, 1, 2])


def test_class_weights_pickle():
    X, y, _, _, _ = make_split(3)
    model = LogisticRegression(class_weight="balanced").fit(X, y)
    weight = pickle.loads(pickle.dumps(bridge(model).loss_weight))
    counts = np.bincount(y)
    np.testing.assert_allclose(weight(y, np.ones(len(y))), (len(y) / 3 / counts)[y])


@pytest.mark.skipif(
    "multi_class" not in LogisticRegression().get_params(),
    reason="multi_class is gone from this scikit-learn",
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
class TestOldMultiClass:
    @pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1, 1: 2, 2: 3}])
    @pytest.mark.parametrize("solver", ["liblinear", "lbfgs"])
    def test_one_vs_rest_is_at_its_optimum(self, solver, class_weight):
        """Read wrongly, weights or penalty would leave a gradient, and a warning."""
        X, y, X_val, y_val, _ = make_split(3, n=400)
        kept = (y != 2) | (np.arange(len(y)) % 8 == 0)
        X, y = X[kept], y[kept]
        model = LogisticRegression(
            solver=solver, multi_class="ovr", class_weight=class_weight, C=0.05, tol=1e-9
        ).fit(X, y)
        assert np.isfinite(fi_util(model, X, y, X_val, y_val)).all()

    def test_two_class_softmax_is_refused(self):
        X, y, X_val, y_val, _ = make_split()
        model = LogisticRegression(multi_class="multinomial").fit(X, y)
        with pytest.raises(TypeError, match="multi_class at its default"):
            fi_util(model, X, y, X_val, y_val)
