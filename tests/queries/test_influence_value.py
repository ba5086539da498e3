"""Influence value of pool rows against refits with the row added at a small weight."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skfi.baselines import iv
from skfi.queries._influence_value import InfluenceValue
from tests.reference import Definition

TIGHT = dict(solver="newton-cholesky", tol=1e-14, max_iter=1000)
X, Y = make_classification(
    100, 4, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.2, random_state=1
)
LABELLED, LABELS, POOL = X[:60], Y[:60], X[60:70]
BINARY = (LABELS > 0).astype(int)


def folds(y, n_splits=5):
    return list(StratifiedKFold(n_splits).split(np.zeros(len(y)), y))


def losses(model, X, y, kind):
    log_p = model.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return np.mean(-log_p if kind == "log_loss" else 1 - np.exp(log_p))


def by_refits(estimator, X, y, pool, kind="log_loss", step=1e-4):
    """Decrease of the held-out loss per unit of the row's weight, by central differences."""
    labels = clone(estimator).fit(X, y).predict(pool)
    scores = np.zeros(len(pool))
    splits = folds(y)
    for fit, look in splits:
        for row, label in enumerate(labels):
            rows, targets = np.vstack([X[fit], pool[row]]), np.append(y[fit], label)
            outcome = []
            for change in (-step, step):
                # scikit-learn takes no negative weights: both are on top of a small one.
                weight = np.append(np.ones(len(fit)), step + change)
                model = clone(estimator).fit(rows, targets, weight)
                outcome.append(losses(model, X[look], y[look], kind))
            scores[row] -= (outcome[1] - outcome[0]) / (2 * step) / len(splits)
    return scores


@pytest.mark.parametrize("kind", ["log_loss", "expected_error"])
@pytest.mark.parametrize(
    ("labels", "settings"),
    [
        (BINARY, {}),
        (BINARY, {"C": 0.05, "class_weight": {0: 3.0, 1: 1.0}}),
        (LABELS, {"fit_intercept": False}),
        (LABELS, {"class_weight": {0: 1.0, 1: 0.5, 2: 2.0}}),
    ],
    ids=["binary", "weighted", "three", "three weighted"],
)
def test_equals_refits(labels, settings, kind):
    estimator = LogisticRegression(**TIGHT, **settings)
    strategy = InfluenceValue(estimator, validation_loss=kind).fit(LABELLED, labels)
    scores = strategy.score_samples(POOL)
    expected = by_refits(estimator, LABELLED, labels, POOL, kind)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert (scores > 0).any()
    np.testing.assert_array_equal(strategy.query(POOL, 3), np.argsort(-scores)[:3])


def test_the_label_is_the_prediction_of_the_whole():
    """A row on which a fold's model and the whole one differ counts with the latter's."""
    estimator = LogisticRegression(**TIGHT)
    strategy = InfluenceValue(estimator).fit(LABELLED, LABELS)
    fold = clone(estimator).fit(LABELLED[folds(LABELS)[0][0]], LABELS[folds(LABELS)[0][0]])
    pool = np.random.default_rng(0).normal(scale=2, size=(3000, 4))
    differ = pool[fold.predict(pool) != strategy.estimator_.predict(pool)][:4]
    assert len(differ) == 4
    np.testing.assert_allclose(
        strategy.score_samples(differ),
        by_refits(estimator, LABELLED, LABELS, differ),
        rtol=2e-3,
    )


def test_pipelines_and_held_out_shares():
    model = make_pipeline(StandardScaler(), LogisticRegression(**TIGHT))
    strategy = InfluenceValue(model, validation=0.3, random_state=0).fit(LABELLED, LABELS)
    ((trained, (witness,)),) = strategy._seen_by
    rows = trained[0].n_samples_seen_
    assert rows == 42
    assert len(strategy.query(POOL, 3)) == 3
    # In the space of the last step, where a row is what the scaler makes of it.
    z = trained[0].transform(POOL)
    definition = Definition(trained[-1].coef_, trained[-1].intercept_, 1.0)
    codes = strategy.estimator_.predict(POOL)
    basis = witness.model.link.basis
    h = (basis @ witness.h).ravel()
    expected = [
        h @ np.kron(definition.loss_derivatives(x, c)[0], np.append(x, 1.0))
        for x, c in zip(z, codes, strict=True)
    ]
    np.testing.assert_allclose(strategy.score_samples(POOL), expected, rtol=1e-6)


# --- A frozen classifier ---


def test_frozen_classifiers_are_near_those_fitted_again():
    rows, labels = make_classification(600, 4, n_informative=4, n_redundant=0, random_state=1)
    rows, pool = rows[:400], rows[400:]
    labels = labels[:400]
    model = LogisticRegression(**TIGHT).fit(rows, labels)
    scores = InfluenceValue(FrozenEstimator(model)).fit(rows, labels).score_samples(pool)
    refits = InfluenceValue(LogisticRegression(**TIGHT)).fit(rows, labels).score_samples(pool)
    np.testing.assert_allclose(scores, refits, atol=0.02 * np.abs(refits).max())


@pytest.mark.parametrize("smoothing", [0.0, 1e-2])
def test_frozen_by_one_newton_step(smoothing):
    """Also of a model that is not at an optimum, whose remaining gradient is left alone."""
    model = LogisticRegression(C=0.5, **TIGHT).fit(LABELLED, BINARY)
    model.coef_ = model.coef_ + smoothing
    strategy = InfluenceValue(FrozenEstimator(model)).fit(LABELLED, BINARY)
    ((seen, witnesses),) = strategy._seen_by
    assert seen.estimator is model
    beta = np.append(model.coef_, model.intercept_)
    for (fit, look), witness in zip(folds(BINARY), witnesses, strict=True):
        before = Definition(model.coef_, model.intercept_, 2.0)
        hessian = before.hessian(LABELLED[fit], BINARY[fit], np.ones(len(fit)))
        gone = sum(
            before.loss_derivatives(x, c)[0][0] * np.append(x, 1.0)
            for x, c in zip(LABELLED[look], BINARY[look], strict=True)
        )
        moved = beta + np.linalg.solve(hessian, gone)
        np.testing.assert_allclose(witness.model.beta[0], moved, rtol=1e-8)
        after = Definition(moved[None, :-1], moved[-1:], 2.0)
        hessian = after.hessian(LABELLED[fit], BINARY[fit], np.ones(len(fit)))
        u = after.validation_gradient(LABELLED[look], BINARY[look], np.ones(len(look)))
        np.testing.assert_allclose(witness.h[0], np.linalg.solve(hessian, u), rtol=1e-8)


def test_frozen_of_rows_that_it_was_not_trained_on():
    model = LogisticRegression().fit(LABELLED, LABELS)
    strategy = InfluenceValue(FrozenEstimator(model)).fit(X[90:91], Y[90:91])
    assert np.ptp(strategy.score_samples(POOL)) > 0
    strategy.fit(X[90:92], [0, 1])
    assert np.ptp(strategy.score_samples(POOL)) > 0
    inside = make_pipeline(StandardScaler(), FrozenEstimator(model))
    strategy = InfluenceValue(inside).fit(LABELLED, LABELS)
    assert strategy._seen_by[0][0] is strategy.estimator_
    assert len(strategy._seen_by[0][1]) == 5


# --- Values of the labelled rows, carried over ---


@pytest.mark.parametrize("regressor", [None, LinearRegression()])
def test_regression(regressor):
    scale = make_pipeline(StandardScaler(), LogisticRegression(**TIGHT))
    strategy = InfluenceValue(scale, label="regression", regressor=regressor, random_state=0)
    strategy.fit(LABELLED, LABELS)
    total, count = np.zeros(60), np.zeros(60)
    for fit, look in folds(LABELS):
        model = clone(scale).fit(LABELLED[fit], LABELS[fit])
        data = LABELLED[fit], LABELS[fit], LABELLED[look], LABELS[look]
        total[fit] -= iv(model, *data)
        count[fit] += 1
    features = StandardScaler().fit(LABELLED)
    expected = DecisionTreeRegressor() if regressor is None else clone(regressor)
    if regressor is None:
        kind, seed = DecisionTreeRegressor, strategy.regressor_.random_state
        assert isinstance(strategy.regressor_, kind)
        expected.set_params(random_state=seed)
        train = strategy.regressor_.predict(features.transform(LABELLED))
        np.testing.assert_allclose(train, total / count, atol=1e-8)
    else:
        expected.fit(features.transform(LABELLED), total / count)
        np.testing.assert_allclose(
            strategy.score_samples(POOL), expected.predict(features.transform(POOL)), atol=1e-8
        )
        assert not hasattr(regressor, "coef_")
    assert len(strategy.query(POOL, 4)) == 4


def test_regression_leaves_out_rows_that_were_only_held_out():
    strategy = InfluenceValue(
        label="regression", regressor=LinearRegression(), validation=0.5, random_state=0
    )
    scores = strategy.fit(LABELLED, LABELS).score_samples(POOL)
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0


# --- Few labels ---


def test_too_few_rows_to_hold_any_out():
    for label in ("predicted", "regression"):
        strategy = InfluenceValue(label=label, random_state=0)
        with pytest.warns(UserWarning, match="too few to hold any out") as caught:
            strategy.fit(LABELLED[:3], [0, 1, 2])
        assert caught[0].filename == __file__
        assert not strategy.score_samples(POOL).any()
        batches = {tuple(strategy.set_params(random_state=s).query(POOL, 4)) for s in range(9)}
        assert len(batches) > 1
        strategy.fit(LABELLED[:4], [0, 1, 2, 2])  # nothing is warned about
        assert strategy.score_samples(POOL).any()


def test_a_class_that_a_fold_lacks():
    """Its rows are valued by the other folds' models."""
    labels = np.where(np.arange(60) == 2, 2, BINARY)  # one row, in one fold only
    strategy = InfluenceValue(LogisticRegression(C=100, **TIGHT)).fit(LABELLED, labels)
    known = [len(witness.classes) for _, (witness,) in strategy._seen_by]
    assert sorted(known) == [2, 3, 3, 3, 3]
    pool = LABELLED[2:3]
    assert strategy.estimator_.predict(pool) == [2]
    parts = []
    for model, (witness,) in strategy._seen_by:
        if len(witness.classes) == 3:
            parts.append(witness.value(pool, np.array([2]))[0])
            assert 2 in model.classes_
    np.testing.assert_allclose(strategy.score_samples(pool), np.mean(parts))


# --- Which classifiers ---


def test_classifiers_without_a_bridge_are_refused_before_they_are_fitted():
    class Unfit(RandomForestClassifier):
        def fit(self, X, y):
            raise AssertionError

    with pytest.raises(TypeError, match="Query by a supported classifier"):
        InfluenceValue(Unfit()).fit(LABELLED, LABELS)
    with pytest.raises(ValueError, match="label"):
        InfluenceValue(label="none").fit(LABELLED, LABELS)
    with pytest.raises(ValueError, match="validation=1"):
        InfluenceValue(validation=1).fit(LABELLED, LABELS)
    with pytest.raises(ValueError, match="validation_loss"):
        InfluenceValue(validation_loss="hinge").fit(LABELLED, LABELS)


def test_classifiers_with_one():
    names = np.array(["x", "y", "z"])[LABELS]
    for estimator in (
        OneVsOneClassifier(LogisticRegression()),
        OneVsRestClassifier(LogisticRegression()),
        MLPClassifier((5,), solver="lbfgs", alpha=1.0, max_iter=2000, random_state=0),
    ):
        scores = InfluenceValue(estimator).fit(LABELLED, names).score_samples(POOL)
        assert np.isfinite(scores).all()
        assert np.ptp(scores) > 0


def test_balanced_class_weights_are_those_of_the_training():
    """Not balanced anew among the rows of a block."""
    labels = np.where(np.arange(60) < 10, 1, 0)  # the same shares in each fold
    shares = 60 / (2 * np.bincount(labels))
    kept = dict(zip([0, 1], shares, strict=True))
    estimator = LogisticRegression(class_weight="balanced", **TIGHT)
    scores = InfluenceValue(estimator).fit(LABELLED, labels).score_samples(POOL)
    given = LogisticRegression(class_weight=kept, **TIGHT)
    expected = InfluenceValue(given).fit(LABELLED, labels).score_samples(POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    # Any part of the pool by itself gives the same.
    strategy = InfluenceValue(estimator).fit(LABELLED, labels)
    alone = [strategy.score_samples(row[None])[0] for row in POOL]
    np.testing.assert_allclose(alone, scores)


def test_nets_that_stop_early_are_read_without_a_word():
    net = MLPClassifier((5,), early_stopping=True, max_iter=300, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = InfluenceValue(net, label="regression").fit(LABELLED, LABELS)
        assert len(scores.query(POOL, 2)) == 2


def test_scores_differ_from_uncertainty():
    strategy = InfluenceValue(LogisticRegression(**TIGHT)).fit(LABELLED, LABELS)
    margin = -np.ptp(log_softmax(strategy.estimator_.decision_function(X), axis=1), axis=1)
    assert spearmanr(strategy.score_samples(X), margin)[0] < 0.9
