"""Training rows are scored on what the last step of the Pipeline was fitted on."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from skfi import FIActiveSampler, FIEmbedding, FITrimmer, baselines, fi_signed, fi_util
from skfi._utils._trained_rows import fit_on_own_rows, keep_trained_rows, trained_rows


class LeaveOneOut(TransformerMixin, BaseEstimator):
    """Mean label of each value of a column; of a training row without its own label."""

    def fit(self, X, y):
        self.n_features_in_ = np.shape(X)[1]
        self.counts_ = np.zeros((self.n_features_in_, 40))
        self.sums_ = np.zeros((self.n_features_in_, 40))
        for k, column in enumerate(np.asarray(X, dtype=int).T):
            np.add.at(self.counts_[k], column, 1)
            np.add.at(self.sums_[k], column, y)
        return self

    def fit_transform(self, X, y):
        return self.fit(X, y)._means(X, 1, np.asarray(y)[:, None])

    def transform(self, X):
        return self._means(X, 0, 0)

    def _means(self, X, own, label):
        cells = np.arange(self.n_features_in_), np.asarray(X, dtype=int)
        return (self.sums_[cells] - label + 0.5) / (self.counts_[cells] - own + 1)


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    X = rng.randint(40, size=(300, 2)).astype(float)
    logit = rng.normal(size=41)[X.astype(int)].sum(axis=1)
    y = (logit + rng.logistic(size=300) > 0).astype(int)
    return X[:200], y[:200], X[200:], y[200:]


def own_fit(data, steps):
    """The classifier, and all rows, as an independent fit of the steps prepares them."""
    X, y, X_val, y_val = data
    prepared = steps.fit_transform(X, y)
    model = LogisticRegression().fit(prepared, y)
    return model, prepared, y, steps.transform(X_val), y_val


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("influence", ["fi_signed", "fi", "iv", "loss"])
def test_a_trimmer_scores_what_the_classifier_was_trained_on(data, influence, nested):
    X, y, X_val, y_val = data
    classifier = LogisticRegression()
    if nested:
        classifier = make_pipeline(StandardScaler(with_mean=False, with_std=False), classifier)
    trimmer = FITrimmer(
        make_pipeline(LeaveOneOut(), classifier),
        budget=5,
        step=None,
        influence=influence,
        validation_loss="log_loss",
        metric="euclidean",
        checked_rows="judge",
    ).fit(X, y, X_val=X_val, y_val=y_val)
    score = {"fi": fi_util, "fi_signed": fi_signed}.get(influence)
    score = getattr(baselines, influence) if score is None else score
    assert_allclose(trimmer.influence_, score(*own_fit(data, LeaveOneOut())), rtol=1e-6)


def test_folds_and_later_steps_keep_what_each_model_was_trained_on(data):
    X, y, _, _ = data
    # The stationarity check would raise a warning, an error here.
    trimmer = FITrimmer(make_pipeline(LeaveOneOut(), LogisticRegression()), budget=30, step=15)
    assert trimmer.fit(X, y).n_trimmed_ == 30


def test_a_fitted_pipeline_with_such_a_step_is_warned_of_by_name(data):
    X, y, X_val, y_val = data
    model = make_pipeline(LeaveOneOut(), LogisticRegression()).fit(X, y)
    for score in (fi_util, fi_signed, baselines.iv, baselines.loss):
        with pytest.warns(UserWarning, match=r"step 'leaveoneout' \(LeaveOneOut\)") as caught:
            score(model, X, y, X_val, y_val)
        assert len(caught) == 1
        assert "max_iter" not in str(caught[0].message)
        assert caught[0].filename == __file__ or score is fi_signed


def test_such_a_step_is_found_inside_others_and_in_a_search(data):
    X, y, X_val, y_val = data
    frame, frame_val = (pd.DataFrame(rows, columns=["a", "b"]) for rows in (X, X_val))
    columns = make_column_transformer((LeaveOneOut(), ["a"]), remainder=StandardScaler())
    model = make_pipeline(columns, StandardScaler(), LogisticRegression()).fit(frame, y)
    with pytest.warns(UserWarning, match=r"'columntransformer' \(LeaveOneOut\)"):
        fi_util(model, frame, y, frame_val, y_val)
    model = make_pipeline(StandardScaler(), TargetEncoder(), LogisticRegression()).fit(X, y)
    with pytest.warns(UserWarning, match=r"'targetencoder' \(TargetEncoder\)"):
        fi_util(model, X, y, X_val, y_val)
    search = GridSearchCV(make_pipeline(LeaveOneOut(), LogisticRegression()), {}, cv=2).fit(
        X, y
    )
    with pytest.warns(UserWarning, match="'leaveoneout'"):
        fi_util(search, X, y, X_val, y_val)


def test_a_step_that_gives_the_same_in_both_is_not_warned_of(data):
    class Same(StandardScaler):
        def fit_transform(self, X, y=None):
            return self.fit(X).transform(X)

    X, y, X_val, y_val = data
    fi_util(make_pipeline(Same(), PCA(), LogisticRegression()).fit(X, y), X, y, X_val, y_val)


def test_the_check_draws_nothing_from_the_state_of_numpy(data):
    X, y, X_val, y_val = data
    model = make_pipeline(TargetEncoder(), LogisticRegression()).fit(X, y)
    before = np.random.mtrand._rand.get_state()[1].copy()
    with pytest.warns(UserWarning, match="TargetEncoder"):
        fi_util(model, X, y, X_val, y_val)
    assert_array_equal(np.random.mtrand._rand.get_state()[1], before)


def test_a_sampler_and_an_embedding_keep_the_rows_too(data):
    X, y, X_pool, _ = data
    model = make_pipeline(LeaveOneOut(), LogisticRegression())
    _, prepared, _, pool, _ = own_fit(data, LeaveOneOut())
    sampler = FIActiveSampler(model, utility="fi", aggregate="mean").fit(X, y)
    expected = FIActiveSampler(LogisticRegression(), utility="fi", aggregate="mean")
    expected = expected.fit(prepared, y).score_samples(pool)
    assert_allclose(sampler.score_samples(X_pool), expected, rtol=1e-6)
    loaded = pickle.loads(pickle.dumps(sampler))
    assert_allclose(loaded.score_samples(X_pool), expected, rtol=1e-6)
    embedding = FIEmbedding(model).fit(X, y).transform(X_pool)
    assert_allclose((embedding**2).sum(axis=1), expected, rtol=1e-5)


def test_rows_are_kept_within_the_context_only_and_the_classifier_stays_as_it_was(data):
    X, y, _, _ = data
    model = make_pipeline(LeaveOneOut(), LogisticRegression())
    with keep_trained_rows():
        fit_on_own_rows(model, X, y)
        assert_allclose(trained_rows(model, X), LeaveOneOut().fit_transform(X, y))
        assert trained_rows(model, X.copy()) is None
    assert trained_rows(model, X) is None
    assert "fit" not in vars(model[-1])
