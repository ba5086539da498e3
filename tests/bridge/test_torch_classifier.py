"""A trained module serves whatever only asks it, and says that it cannot be fitted."""

import numpy as np
import pytest
from sklearn.utils.validation import check_is_fitted

from skfi import FITrimmer
from skfi.baselines import knn_shapley, loss
from skfi.bridge import TorchClassifier

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

X = np.random.default_rng(0).normal(size=(30, 3))
y = np.where(X[:, 0] > 0, "yes", "no")


def _model():
    torch.manual_seed(0)
    return TorchClassifier(
        nn.Linear(3, 2).double(), nn.CrossEntropyLoss(), classes=["no", "yes"]
    )


def test_scores_that_ask_the_classifier_alone():
    model = _model()
    check_is_fitted(model)
    given = model.predict_proba(X)[np.arange(30), (y == "yes").astype(int)]
    np.testing.assert_allclose(loss(model, X, y), -np.log(given))
    assert knn_shapley(model, X[:20], y[:20], X[20:], y[20:]).shape == (20,)


def test_it_is_not_trained():
    with pytest.raises(TypeError, match=r"takes a skorch\.NeuralNetClassifier"):
        FITrimmer(_model()).fit(X, y)
