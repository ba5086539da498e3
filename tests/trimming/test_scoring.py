"""The models that score along a path are those that a fit from scratch gives."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skfi import FITrimmer, fi_signed
from tests.conftest import make_split


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_later_steps_score_by_a_model_at_its_optimum(solver, n_classes):
    X, y, X_val, y_val, _ = make_split(n_classes)
    model = LogisticRegression(solver=solver, tol=1e-10, max_iter=1000)
    trimmer = FITrimmer(
        model, budget=8, step=4, validation_loss="log_loss", checked_rows="judge"
    )
    trimmer.fit(X, y, X_val=X_val, y_val=y_val)
    left = np.ones(len(y), dtype=bool)
    left[trimmer.trimmed_indices_[:4]] = False
    fresh = model.fit(X[left], y[left])
    expected = fi_signed(fresh, X[left], y[left], X_val, y_val, metric="mahalanobis")
    largest = np.abs(expected).max()
    np.testing.assert_allclose(
        trimmer.influence_[left], expected, rtol=1e-5, atol=1e-5 * largest
    )


class Label(str):
    """A label that counts its comparisons."""

    count = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Label.count += 1
        return str.__eq__(self, other)


def test_texts_as_labels_are_compared_only_a_few_times_a_row_beside_fits():
    X, y, _, _, _ = make_split(2)
    labels = np.array([Label("yes" if code else "no") for code in y], dtype=object)
    fits = []

    class Counted(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            before = Label.count
            super().fit(X, y, sample_weight)
            fits.append(len(y))
            Label.count = before
            return self

    Label.count = 0
    FITrimmer(Counted(), budget=0.1).fit(X, labels)
    assert Label.count < 10 * sum(fits)
