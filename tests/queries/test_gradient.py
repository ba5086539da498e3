"""Gradients of the last layer, against explicit (K, d) matrices and torch's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import chisquare
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi.queries._gradient import BADGE, GradientNorm, _residuals

X, Y = make_classification(
    150, 6, n_informative=5, n_redundant=0, n_classes=3, flip_y=0.2, random_state=0
)
LABELLED, POOL = slice(0, 60), slice(60, 150)


def embedding(p, phi):
    """Gradient of -log p_ŷ of softmax(Wφ) in W (K, d), ŷ the most probable class."""
    residual = np.array(p, dtype=float)
    residual[np.argmax(p)] -= 1
    return np.outer(residual, phi)


def embeddings(proba, phi):
    return np.array([embedding(p, row).ravel() for p, row in zip(proba, phi, strict=True)])


def hidden(model, X):
    """What enters the last layer of a relu MLPClassifier."""
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        X = np.maximum(X @ W + b, 0)
    return X


def plain(model, X):
    return X


def scaled(model, X):
    return model[0].transform(X)


SPACES = [
    (LogisticRegression(), plain),
    (make_pipeline(StandardScaler(), LogisticRegression()), scaled),
    (MLPClassifier((7, 5), solver="lbfgs", alpha=3.0, max_iter=2000, random_state=0), hidden),
    (RandomForestClassifier(20, random_state=0), plain),
]
spaces = pytest.mark.parametrize(
    ("model", "space"), SPACES, ids=["linear", "pipeline", "mlp", "forest"]
)


def fitted(kind, model, **params):
    model = model.fit(X[LABELLED], Y[LABELLED])
    strategy = kind(FrozenEstimator(model), **params).fit(X[LABELLED], Y[LABELLED])
    return strategy, model


@spaces
def test_gradient_norm_is_the_length_with_intercepts(model, space):
    strategy, model = fitted(GradientNorm, model)
    phi = np.column_stack([space(model, X[POOL]), np.ones(90)])
    expected = np.linalg.norm(embeddings(model.predict_proba(X[POOL]), phi), axis=1)
    np.testing.assert_allclose(strategy.score_samples(X[POOL]), expected, rtol=1e-10)


@spaces
def test_badge_scores_by_the_length_without(model, space):
    strategy, model = fitted(BADGE, model)
    proba, phi = model.predict_proba(X[POOL]), space(model, X[POOL])
    expected = np.linalg.norm(embeddings(proba, phi), axis=1)
    np.testing.assert_allclose(strategy.score_samples(X[POOL]), expected, rtol=1e-10)


@spaces
def test_badge_is_k_means_plus_plus_of_the_embeddings(model, space):
    """The draw of the naive definition, from the same random numbers."""
    strategy, model = fitted(BADGE, model, random_state=5)
    V = embeddings(model.predict_proba(X[POOL]), space(model, X[POOL]))
    rng = np.random.RandomState(5)
    rng.permutation(90)  # the order of ties
    expected = [int(np.linalg.norm(V, axis=1).argmax())]
    while len(expected) < 12:
        gaps = ((V[:, None] - V[expected]) ** 2).sum(axis=2).min(axis=1)
        gaps[expected] = 0
        mass = np.cumsum(gaps)
        expected.append(int(np.flatnonzero(mass > rng.uniform(0, mass[-1]))[0]))
    np.testing.assert_array_equal(strategy.query(X[POOL], 12), expected)


def test_badge_draws_by_squared_distance():
    pool = X[POOL][:6]
    random_state = np.random.RandomState(0)
    strategy, model = fitted(BADGE, LogisticRegression(), random_state=random_state)
    V = embeddings(model.predict_proba(pool), pool)
    first = int(np.linalg.norm(V, axis=1).argmax())
    gaps = ((V - V[first]) ** 2).sum(axis=1)
    pairs = Counter(tuple(strategy.query(pool, 2).tolist()) for _ in range(2000))
    others = [row for row in range(6) if row != first]
    assert set(pairs) <= {(first, row) for row in others}
    observed = [pairs[first, row] for row in others]
    assert chisquare(observed, 2000 * gaps[others] / gaps.sum()).pvalue > 1e-4


def test_badge_takes_no_copies():
    """Where the best by length are all the same row."""
    strategy, _ = fitted(BADGE, LogisticRegression(), random_state=0)
    best = X[POOL][strategy.query(X[POOL], 1)]
    pool = np.r_[best.repeat(20, axis=0), X[POOL][:15]]
    lengths = GradientNorm.score_samples(fitted(GradientNorm, LogisticRegression())[0], pool)
    assert (np.argsort(-lengths)[:10] < 20).all()
    assert (strategy.query(pool, 10) < 20).sum() == 1


def test_residuals_of_probabilities_that_round_to_one():
    r = _residuals(np.array([[1.0, 1e-40, 1e-30], [0.5, 0.5, 0.0]]))
    np.testing.assert_allclose(r, [[-1e-30, 1e-40, 1e-30], [-0.5, 0.5, 0.0]], rtol=1e-9)


def test_no_matrix_of_all_gradients(monkeypatch):
    """1,000 rows of 100 classes and 300 features would take 240 MB."""
    import tracemalloc

    class Many(LogisticRegression):
        def predict_proba(self, X):
            logits = X[:, :100]
            e = np.exp(logits - logits.max(axis=1, keepdims=True))
            return e / e.sum(axis=1, keepdims=True)

    pool = np.random.default_rng(0).standard_normal((1000, 300))
    model = Many().fit(pool[:20], np.arange(20) % 2)
    strategy = BADGE(FrozenEstimator(model), random_state=0).fit(pool[:1], [0])
    tracemalloc.start()
    try:
        strategy.query(pool, 5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30e6


@pytest.mark.parametrize("kind", [GradientNorm, BADGE])
def test_sparse_rows_are_never_dense(kind, monkeypatch):
    rng = np.random.default_rng(0)
    pool = sparse.random(60, 40, 0.1, "csr", random_state=0)
    labels = rng.integers(0, 3, 60)
    model = LogisticRegression().fit(pool, labels)
    strategy = kind(FrozenEstimator(model), random_state=0).fit(pool, labels)
    expected = strategy.query(pool.toarray(), 8)
    whole = type(pool).toarray

    def small(self, *args, **kwargs):
        assert self.shape[0] <= 1
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(type(pool), "toarray", small)
    np.testing.assert_array_equal(strategy.query(pool, 8), expected)


def test_against_torch():
    """A skorch net: the gradient that autograd gives for its last layer."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("skorch")
    from tests.bridge.nets import logits

    class Net(torch.nn.Module):
        def __init__(self, n_features=2, n_classes=2):
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Linear(n_features, 4), torch.nn.Tanh())
            self.head = torch.nn.Linear(4, n_classes)

        def forward(self, X):
            return self.head(self.body(X))

    net = logits(module=Net, max_epochs=5)
    norm = GradientNorm(net, random_state=0).fit(X[LABELLED], Y[LABELLED])
    badge = BADGE(FrozenEstimator(norm.estimator_)).fit(X[LABELLED], Y[LABELLED])
    module = norm.estimator_.net_.module_
    with_bias, without = [], []
    for row in torch.as_tensor(X[POOL][:20], dtype=torch.float32):
        module.zero_grad()
        out = module(row[None])
        torch.nn.functional.cross_entropy(out, out.argmax(dim=1)).backward()
        weight, bias = module.head.weight.grad, module.head.bias.grad
        without.append(float(weight.norm()))
        with_bias.append(float(torch.sqrt(weight.norm() ** 2 + bias.norm() ** 2)))
    scores = norm.score_samples(X[POOL][:20])
    np.testing.assert_allclose(scores, with_bias, rtol=1e-4)
    np.testing.assert_allclose(badge.score_samples(X[POOL][:20]), without, rtol=1e-4)
