"""Pairs and queries of networks, with all their parameters and with the last layer's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import config_context
from sklearn.frozen import FrozenEstimator

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from skfi import FIActiveSampler, fi_active, fi_pairwise, fi_util  # noqa: E402
from skfi.bridge import SkorchClassifier  # noqa: E402
from tests.bridge.nets import Width, logits  # noqa: E402
from tests.conftest import make_split  # noqa: E402

DEEP = dict(params="all", perturbation="input", curvature="ggn", dtype="float64")


class Hidden(torch.nn.Module):
    """One hidden layer."""

    def __init__(self, n_features=2, n_classes=2):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(n_features, 4), torch.nn.Tanh(), torch.nn.Linear(4, n_classes)
        )

    def forward(self, X):
        return self.layers(X)


@pytest.fixture(scope="module")
def trained():
    X, y, V, w, _ = make_split(3, n=40, n_val=12, d=4)
    net = logits(module=Hidden, callbacks=[Width()], max_epochs=15)
    X, V = X.astype(np.float32), V.astype(np.float32)
    return SkorchClassifier(net, random_state=0).fit(X, y), X, y, V, w


@pytest.mark.parametrize(
    "settings",
    [
        DEEP,
        DEEP | {"curvature": "kfac", "metric": "mahalanobis"},
        DEEP | {"params": "last_layer"},
        {"curvature": "kfac"},
        {"curvature": "exact", "validation_loss": "expected_error"},
    ],
    ids=["ggn", "kfac mahalanobis", "input", "last layer kfac", "last layer"],
)
def test_a_pair_is_fi_util_with_one_validation_row(trained, settings):
    model, X, y, V, w = trained
    pairs = fi_pairwise(model, X, y, V, w, **settings)
    for j in range(3):
        expected = fi_util(model, X, y, V[j : j + 1], w[j : j + 1], **settings)
        np.testing.assert_allclose(pairs[j], expected, rtol=1e-5, atol=1e-12)


def test_active_is_an_aggregate_of_pairs(trained):
    model, X, y, V, _ = trained
    pairs = fi_pairwise(model, X, y, V, **DEEP)
    for aggregate, expected in [
        ("mean", pairs.mean(axis=1)),
        ("median", np.median(pairs, axis=1)),
    ]:
        found = fi_active(model, X, y, V, aggregate=aggregate, **DEEP)
        np.testing.assert_allclose(found, expected, rtol=1e-8)
    trimmed = fi_active(model, X, y, V, aggregate="row_trimmed_mean", **DEEP)
    # With the last layer's parameters by name, torch does what the closed form does.
    settings = dict(curvature="ggn", dtype="float64", damping=0.1)
    named = dict(params=["layers.2.weight", "layers.2.bias"], perturbation="features")
    for name in ("row_trimmed_mean", "mean"):
        found = fi_active(model, X, y, V, aggregate=name, **named, **settings)
        closed = fi_active(model, X, y, V, aggregate=name, **settings)
        np.testing.assert_allclose(found, closed, rtol=1e-6)
    with config_context(working_memory=0.02):
        found = fi_active(model, X, y, V, aggregate="row_trimmed_mean", **DEEP)
    np.testing.assert_allclose(found, trimmed, rtol=1e-8)


def test_approximations(trained):
    model, X, y, V, _ = trained
    settings = DEEP | {"curvature": "kfac"}
    exact = fi_active(model, X, y, V, **settings)
    full = fi_active(model, X, y, V, approximation="kfsvd", n_components=4, **settings)
    np.testing.assert_allclose(full, exact, rtol=1e-5)


@pytest.mark.parametrize("utility", ["fi", "fi_margin", "flip_ratio"])
@pytest.mark.parametrize("settings", [DEEP, {}], ids=["all", "last layer"])
def test_a_sampler(trained, utility, settings):
    model, X, y, V, _ = trained
    pool = np.repeat(V, 2, axis=0)
    sampler = FIActiveSampler(
        FrozenEstimator(model), utility=utility, batch_size=12, random_state=0, **settings
    ).fit(X, y)
    state = torch.get_rng_state()
    asked = sampler.query(pool)
    assert torch.equal(state, torch.get_rng_state())
    assert len(set(asked // 2)) == 12
    np.testing.assert_array_equal(asked, sampler.query(pool))


def test_a_net_is_wrapped_and_fitted(trained):
    _, X, y, V, _ = trained
    names = np.array(["x", "y", "z"])
    net = logits(max_epochs=3)
    sampler = FIActiveSampler(net, batch_size=3, random_state=0)
    asked = sampler.fit(X.astype(np.float64), names[y]).query(V.astype(np.float64))
    assert isinstance(sampler.estimator_, SkorchClassifier)
    assert len(set(asked)) == 3
    assert not hasattr(net, "module_")


def test_pools_that_are_refused(trained):
    model, X, y, V, _ = trained
    with pytest.raises(ValueError, match="X_pool"):
        fi_active(model, X, y, V[:, :3], **DEEP)
    holes = V.copy()
    holes[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fi_active(model, X, y, holes, **DEEP)
