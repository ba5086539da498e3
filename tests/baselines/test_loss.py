"""The training loss of rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skfi.baselines import loss
from tests.conftest import make_split


@pytest.mark.parametrize("n_classes", [2, 3])
def test_is_minus_log_probability(n_classes):
    X, y, *_ = make_split(n_classes)
    names = np.array(["no", "perhaps", "yes"])[y]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, names)
    expected = -model.predict_log_proba(X)[np.arange(len(y)), y]
    actual = loss(model, X, names)
    np.testing.assert_allclose(actual, expected)
    np.testing.assert_array_equal(loss(model, X, list(names), None, None), actual)
    order = np.random.default_rng(0).permutation(len(y))
    np.testing.assert_array_equal(loss(model, X[order], names[order]), actual[order])


def test_probabilities_of_zero_and_one_stay_finite():
    X, y, *_ = make_split()
    model = DecisionTreeClassifier(random_state=0).fit(X, y)
    wrong = y.copy()
    wrong[0] = 1 - wrong[0]
    actual = loss(model, X, wrong)
    assert actual[0] == pytest.approx(708.4, abs=0.1)
    assert (actual[1:] == 0).all()
    assert not np.signbit(actual).any()


def test_frames():
    pd = pytest.importorskip("pandas")
    X, y, *_ = make_split()
    frame, names = pd.DataFrame(X).add_prefix("f"), pd.Series(y).map({0: "a", 1: "b"})
    model = RandomForestClassifier(5, random_state=0).fit(frame, names)
    assert loss(model, frame, names).shape == (len(y),)


def test_errors_say_what_is_wrong():
    X, y, *_ = make_split()
    with pytest.raises(TypeError, match=r"loss needs predict_proba.*LinearSVC"):
        loss(LinearSVC().fit(X, y), X, y)
    with pytest.raises(NotFittedError):
        loss(LogisticRegression(), X, y)
    model = LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match=r"labels the classifier never saw: \[3\]"):
        loss(model, X, np.where(y == 1, 3, y))
    with pytest.raises(ValueError, match=r"X has 140 rows and y 139"):
        loss(model, X, y[1:])
    model.coef_[:] = np.nan
    with pytest.raises(ValueError, match="returned NaN"):
        loss(model, X, y)
