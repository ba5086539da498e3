"""What scores are called, and how far they go."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import get_scorer, get_scorer_names, log_loss, make_scorer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from skfi.inspection._score_names import score_name, score_range, trimmer_score_name


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("Accuracy", (0, 1)),
        ("Balanced accuracy", (0, 1)),
        ("test accuracy", (0, 1)),
        ("Roc auc ovr weighted", (0, 1)),
        ("F1 macro", (0, 1)),
        ("Matthews corrcoef", (-1, 1)),
        ("Negative log loss", (-np.inf, 0)),
        ("Negative brier", (-np.inf, 0)),
        ("gain in accuracy, points", (-np.inf, np.inf)),
        ("Inaccuracy", (-np.inf, np.inf)),
        ("Score", (-np.inf, np.inf)),
        (None, (-np.inf, np.inf)),
    ],
)
def test_ranges(name, limits):
    assert score_range(name) == limits


@pytest.mark.filterwarnings("ignore")
def test_no_score_of_scikit_learn_is_beyond_its_range():
    """Scores of a good model, of one that is always wrong, and of two and three classes."""
    iris, label = load_iris(return_X_y=True)
    known = set()
    for n_classes, scoring in product((2, 3), get_scorer_names()):
        low, high = score_range(score_name(scoring))
        if np.isinf([low, high]).all():
            continue
        X, y = iris[label < n_classes], label[label < n_classes]
        for taught in (y, (y + 1) % n_classes):
            try:
                value = get_scorer(scoring)(GaussianNB().fit(X, taught), X, y)
            except ValueError:  # not for so many classes
                continue
            if np.isfinite(value):
                known.add(scoring)
                assert low <= value <= high
    assert len(known) > 20


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"estimator_": LogisticRegression(), "scoring": None}, "Accuracy"),
        ({"estimator_": make_pipeline(LogisticRegression()), "scoring": None}, "Accuracy"),
        ({"estimator_": LogisticRegression(), "scoring": "roc_auc"}, "Roc auc"),
        ({"estimator_": LinearRegression(), "scoring": None}, None),
        ({"scorer_": make_scorer(log_loss, greater_is_better=False)}, "Negative log loss"),
        ({}, None),
    ],
)
def test_score_of_a_trimmer(attributes, name):
    assert trimmer_score_name(SimpleNamespace(**attributes)) == name
