"""BALD against loops over draws and labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi.linear._blocks import BlockCurvature
from skfi.linear._curvature import covariance_factor
from skfi.linear._kronecker import KroneckerCurvature
from skfi.queries import _posterior
from skfi.queries._bald import BALD, mutual_information
from tests.reference import definition_of

X, Y = make_classification(
    160, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.2, random_state=0
)
LABELLED, LABELS, POOL = X[:50], Y[:50], X[50:]
BINARY = (LABELS > 0).astype(int)


def random_draws(n_draws=7, n_rows=12, n_classes=3, seed=0):
    """Probabilities (n_draws, n_rows, n_classes), some of them 0."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(n_classes, 0.5), size=(n_draws, n_rows))
    proba[:, 0] = np.eye(n_classes)[rng.integers(n_classes, size=n_draws)]
    proba[:, 1] = proba[0, 1]  # all draws agree
    return proba


def entropy(p):
    return -sum(q * np.log(q) for q in p if q > 0)


def naive_bald(proba):
    scores = []
    for row in range(proba.shape[1]):
        mean = sum(draw[row] for draw in proba) / len(proba)
        scores.append(entropy(mean) - sum(entropy(draw[row]) for draw in proba) / len(proba))
    return np.array(scores)


def drawn(strategy, pool=POOL):
    return strategy._posterior.reader(strategy.estimator_, pool)(pool)


# --- The score ---


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_mutual_information(n_classes):
    proba = random_draws(n_classes=n_classes)
    np.testing.assert_allclose(mutual_information(proba), naive_bald(proba), atol=1e-12)
    assert mutual_information(proba)[1] == 0.0


@pytest.mark.parametrize("posterior", ["laplace", "committee"])
@pytest.mark.parametrize("labels", [BINARY, LABELS], ids=["binary", "three classes"])
def test_scores_are_those_of_the_draws(posterior, labels):
    strategy = BALD(posterior=posterior, n_draws=6, random_state=0).fit(LABELLED, labels)
    assert strategy.posterior_ == posterior
    proba = drawn(strategy)
    assert proba.shape == (6, len(POOL), len(np.unique(labels)))
    np.testing.assert_allclose(proba.sum(axis=2), 1.0)
    np.testing.assert_allclose(strategy.score_samples(POOL), naive_bald(proba), atol=1e-12)
    assert np.ptp(strategy.score_samples(POOL)) > 1e-3
    best = np.argsort(-naive_bald(proba))[:4]
    np.testing.assert_array_equal(strategy.query(POOL, 4), best)


# --- Laplace ---


def test_laplace_draws_go_through_the_model():
    strategy = BALD(posterior="laplace", n_draws=4, random_state=0).fit(LABELLED, BINARY)
    for beta, proba in zip(strategy._posterior.beta[:, 0], drawn(strategy), strict=True):
        expected = [expit(beta[:-1] @ x + beta[-1]) for x in POOL]
        np.testing.assert_allclose(proba[:, 1], expected)
    strategy.fit(LABELLED, LABELS)
    basis = strategy._posterior.model.link.basis
    for contrasts, proba in zip(strategy._posterior.beta, drawn(strategy), strict=True):
        beta = basis @ contrasts
        expected = [softmax(beta[:, :-1] @ x + beta[:, -1]) for x in POOL]
        np.testing.assert_allclose(proba, expected)


@pytest.mark.parametrize("labels", [BINARY, LABELS], ids=["binary", "three classes"])
def test_laplace_covariance_is_the_inverse_hessian(labels):
    strategy = BALD(LogisticRegression(C=0.3), posterior="laplace", n_draws=20_000)
    strategy.set_params(random_state=0).fit(LABELLED, labels)
    model, beta = strategy.estimator_, strategy._posterior.beta
    definition = definition_of(model, len(labels))
    hessian = definition.hessian(LABELLED, labels, np.ones(len(labels)))
    covariance = np.linalg.pinv(hessian, rcond=1e-12, hermitian=True)
    mean = definition.beta
    if len(model.classes_) > 2:  # in contrasts, to which a common shift is nothing
        basis = strategy._posterior.model.link.basis
        spread = np.kron(basis, np.eye(definition.p))
        covariance, mean = spread.T @ covariance @ spread, basis.T @ mean
    draws = beta.reshape(len(beta), -1)
    size = np.sqrt(np.diagonal(covariance))
    np.testing.assert_allclose(draws.mean(axis=0), mean.ravel(), atol=0.04 * size.max())
    correlation = np.cov(draws.T) / np.outer(size, size)
    np.testing.assert_allclose(correlation, covariance / np.outer(size, size), atol=0.04)


@pytest.mark.parametrize("kind", ["coupled", "separate", "kronecker"])
def test_noise_takes_the_covariance_exactly(kind):
    rng = np.random.default_rng(0)

    def spd(m, rank=None):
        root = rng.normal(size=(m, rank or m)) * np.logspace(-4, 3, m)[:, None]
        return root @ root.T

    outputs, p = 3, 4
    if kind == "coupled":
        expected = spd(outputs * p, rank=9)
        curvature = BlockCurvature(expected[None])
    elif kind == "separate":
        curvature = BlockCurvature(np.stack([spd(p) for _ in range(outputs)]))
        expected = np.zeros((outputs * p, outputs * p))
        for k, block in enumerate(curvature.blocks):
            expected[k * p : (k + 1) * p, k * p : (k + 1) * p] = block
    else:
        curvature = KroneckerCurvature(spd(outputs), spd(p))
        expected = curvature.dense()
    m = outputs * p
    unit = np.eye(m).reshape(m, outputs, p)
    factor = curvature.half_solve(unit).reshape(m, m).T
    size = np.sqrt(np.outer(np.diagonal(expected), np.diagonal(expected)))
    np.testing.assert_allclose(factor @ factor.T / size, expected / size, atol=1e-10)


def test_equal_eigenvalues_do_not_turn_the_draws():
    """Directions that only the penalty knows have them; rounding must not matter there."""
    S = np.eye(6)
    S[0, 0] = 0.3
    noise = 1e-15 * np.random.default_rng(0).normal(size=(6, 6))
    moved = covariance_factor(S + noise + noise.T) - covariance_factor(S)
    assert np.abs(moved).max() < 1e-12


def test_a_large_softmax_takes_kfac(monkeypatch):
    exact = BALD(posterior="laplace", random_state=0).fit(LABELLED, LABELS)
    monkeypatch.setattr(_posterior, "_LARGEST_EXACT", 5)
    drawn_from = []
    for kind in (KroneckerCurvature, BlockCurvature):
        draw = kind.half_solve
        monkeypatch.setattr(
            kind,
            "half_solve",
            lambda S, noise, draw=draw: drawn_from.append(type(S)) or draw(S, noise),
        )
    kfac = BALD(posterior="laplace", random_state=0).fit(LABELLED, LABELS)
    BALD(posterior="laplace").fit(LABELLED, BINARY)  # one output: a covariance of its own
    assert drawn_from == [KroneckerCurvature, BlockCurvature]
    scores = exact.score_samples(POOL), kfac.score_samples(POOL)
    assert np.corrcoef(*scores)[0, 1] > 0.8


def test_laplace_sees_what_the_last_step_sees():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    strategy = BALD(pipeline, random_state=0).fit(100 * LABELLED, LABELS)
    scale = StandardScaler().fit(LABELLED)
    bare = BALD(random_state=0).fit(scale.transform(LABELLED), LABELS)
    np.testing.assert_allclose(
        strategy.score_samples(100 * POOL), bare.score_samples(scale.transform(POOL)), rtol=1e-4
    )


def test_more_labels_leave_less_to_learn():
    few = BALD(n_draws=100, random_state=0).fit(X[:25], Y[:25]).score_samples(POOL)
    many = BALD(n_draws=100, random_state=0).fit(X, Y).score_samples(POOL)
    assert many.mean() < 0.6 * few.mean()


# --- Committees ---


def test_committee_by_hand():
    forest = RandomForestClassifier(3, max_depth=2)
    strategy = BALD(forest, n_draws=5, random_state=0).fit(LABELLED, LABELS)
    assert strategy.posterior_ == "committee"
    members = strategy._posterior.members
    assert len(members) == 5
    proba = np.array([member.predict_proba(POOL) for member in members])
    assert (proba != proba[0]).any()
    np.testing.assert_allclose(strategy.score_samples(POOL), naive_bald(proba), atol=1e-12)
    assert not hasattr(forest, "classes_")


class Remembers(LogisticRegression):
    def fit(self, X, y):
        self.rows_ = X[:, 0].astype(int)
        return super().fit(X, y)


def test_bootstraps_keep_every_class():
    """A class of one row is there in each, in its share."""
    labels = np.repeat(["a", "b", "c"], [1, 5, 14])
    rows = np.column_stack([np.arange(20), np.random.default_rng(0).normal(size=20)])
    strategy = BALD(Remembers(C=1e-3), posterior="committee", n_draws=12, random_state=0)
    strategy.fit(rows, labels)
    samples = [member.rows_ for member in strategy._posterior.members]
    assert len({tuple(sample) for sample in samples}) == 12
    for sample in samples:
        assert [(labels[sample] == label).sum() for label in "abc"] == [1, 5, 14]
    assert len(set(np.concatenate(samples))) == 20
    assert all(len(set(sample)) < 20 for sample in samples)


def test_members_draw_each_for_itself():
    forest = RandomForestClassifier(2, random_state=0)
    strategy = BALD(forest, n_draws=4, random_state=0).fit(LABELLED, LABELS)
    assert len({member.random_state for member in strategy._posterior.members}) == 4
    assert strategy.estimator_.random_state == 0


def test_members_of_a_frozen_classifier_are_new():
    forest = RandomForestClassifier(3, random_state=0).fit(LABELLED, LABELS)
    strategy = BALD(FrozenEstimator(forest), n_draws=3, random_state=0).fit(LABELLED, LABELS)
    assert strategy.estimator_.estimator is forest
    for member in strategy._posterior.members:
        assert member is not forest
        assert isinstance(member, RandomForestClassifier)
    with pytest.warns(UserWarning, match="no committee can be fitted") as caught:
        strategy.fit(LABELLED[:2], LABELS[[0, 0]])
    assert caught[0].filename == __file__
    assert not strategy.score_samples(POOL).any()


def test_members_have_the_settings_that_a_search_chose():
    search = GridSearchCV(LogisticRegression(), {"C": [1e-3]}, cv=2)
    strategy = BALD(search, posterior="committee", n_draws=3).fit(LABELLED, LABELS)
    assert [type(m) for m in strategy._posterior.members] == [LogisticRegression] * 3
    assert [m.C for m in strategy._posterior.members] == [1e-3] * 3


# --- Which posterior ---


def test_auto(monkeypatch):
    network = MLPClassifier((6,), solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0)
    for estimator, expected in [
        (None, "laplace"),
        (FrozenEstimator(LogisticRegression().fit(LABELLED, LABELS)), "laplace"),
        (network, "laplace"),
        (RandomForestClassifier(3), "committee"),
    ]:
        strategy = BALD(estimator, n_draws=3).fit(LABELLED, LABELS)
        assert strategy.posterior_ == expected
    monkeypatch.setattr(_posterior, "_MOST_COLUMNS", 5)  # with the intercept there are 6
    assert BALD(n_draws=3).fit(LABELLED, LABELS).posterior_ == "committee"
    assert BALD(posterior="laplace").fit(LABELLED, LABELS).posterior_ == "laplace"


def test_what_is_refused():
    forest = RandomForestClassifier(2)
    with pytest.raises(TypeError, match=r'"laplace" needs .* RandomForestClassifier'):
        BALD(forest, posterior="laplace").fit(LABELLED, LABELS)
    network = MLPClassifier((3,), solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0)
    for estimator in (forest, LogisticRegression(), network):
        with pytest.raises(ValueError, match=r'"dropout" needs a torch network'):
            BALD(estimator, posterior="dropout").fit(LABELLED, LABELS)
    for params in ({"posterior": "exact"}, {"n_draws": 1}):
        with pytest.raises(ValueError, match=next(iter(params))):
            BALD(**params).fit(LABELLED, LABELS)


def test_one_class():
    strategy = BALD(random_state=0).fit(LABELLED, LABELS)
    with pytest.warns(UserWarning, match="one class"):
        strategy.fit(LABELLED, np.zeros(50))
    assert strategy.posterior_ is None
    assert len(set(strategy.query(POOL, 5))) == 5
