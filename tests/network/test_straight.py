"""Passes of networks linear in pieces: against dense derivatives, and which networks are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from skfi.bridge import bridge  # noqa: E402
from skfi.bridge._network import Choices  # noqa: E402
from skfi.network import _layers as _network_layers  # noqa: E402
from skfi.network._layers import along_layers, layer_curvature  # noqa: E402
from skfi.network._network import unflat  # noqa: E402
from skfi.network._rows import perturb_all  # noqa: E402
from skfi.network._straight import _common, linear_in_pieces, straight  # noqa: E402
from skfi.network._watch import watched  # noqa: E402
from tests.network.test_factors import stacked, viewed  # noqa: E402
from tests.network.test_layers import (  # noqa: E402
    PARAMS,
    classifier,
    convolutional,
    dense_inverse,
    perceptron,
    sequences,
)


def rectified(make):
    """The same network with ReLU in the place of smooth functions."""

    def made(outputs=3, seed=0):
        module, *data = make(outputs, seed)
        layers = [
            nn.LeakyReLU(0.3) if isinstance(m, nn.Tanh | nn.Softplus) else m for m in module
        ]
        return nn.Sequential(*layers), *data

    return made


class Skipping(nn.Module):
    """Layers in another order than they are used in; a sum, a mean, frozen statistics."""

    def __init__(self, outputs):
        super().__init__()
        self.last = nn.Linear(3, outputs)
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.norm.running_mean[:] = torch.tensor([0.1, -0.2, 0.3])

    def forward(self, X):
        inner = torch.relu(self.norm(self.first(X / 2.0)))
        return self.last((inner + self.second(inner)).mean((2, 3)))


def skipping(outputs=3, seed=0):
    _, X, y, V, w = viewed(outputs, seed)
    torch.manual_seed(seed)
    module = nn.Sequential(Skipping(outputs)).double()
    module[-1].out_features = outputs
    return module, X, y, V, w


MAKERS = {
    "perceptron": rectified(perceptron),
    "sequences": rectified(sequences),
    "convolutional": rectified(convolutional),
    "stacked": stacked,
    "viewed": viewed,
    "skipping": skipping,
}


def moving(network, X):
    x = torch.as_tensor(X[:1])
    return x, network.still(x).requires_grad_()


def network_of(module, X, params="all", perturbation="input"):
    return bridge(classifier(module)).network(Choices(params, perturbation), X)


CASES = [(make, params, "input") for make in MAKERS for params in ("all", "first")]
# Features are asked of modules that end with their last layer.
CASES += [(make, "all", "features") for make in MAKERS if make not in ("viewed", "skipping")]


@pytest.mark.parametrize(("make", "params", "perturbation"), CASES)
def test_against_the_dense_matrix(make, params, perturbation):
    module, X, y, _, _ = MAKERS[make]()
    names = PARAMS[params]
    if make == "skipping":  # K-FAC has no form for the norm's parameters
        names = [n for n, _ in module.named_parameters() if "norm" not in n]
        names = names if params == "all" else names[2:3]
    network = network_of(module, X, names, perturbation)
    curvature = layer_curvature(network, X, y, np.ones(len(X)), "kfac", 0.1)
    inverse = dense_inverse(curvature)
    h = unflat(network, torch.randn(network.n_parameters, dtype=torch.float64))
    moved = np.linspace(0.5, 2.0, len(X))
    through = list(along_layers(curvature, X, y, moved, h, chunk=5))
    general = list(perturb_all(network, X, y, moved, lambda V: V @ inverse, h, chunk=5))
    assert linear_in_pieces(network.scores(network.theta, *moving(network, X)))
    for (rows, *ours), (same, *dense) in zip(through, general, strict=True):
        assert rows == same
        for part, expected in zip(ours, dense, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("outputs", [1, 2, 6])
@pytest.mark.parametrize("make", ["perceptron", "convolutional"])
def test_both_ways(make, outputs, monkeypatch):
    """By one backward pass and by gradients of gradients."""
    module, X, y, _, _ = MAKERS[make](outputs)
    network = network_of(module, X)
    weight = np.random.default_rng(0).random(len(X))
    curvature = layer_curvature(network, X, y, weight, "kfac", 0.1)
    h = unflat(network, torch.randn(network.n_parameters, dtype=torch.float64))
    ((_, *quick),) = along_layers(curvature, X, y, weight, h)
    monkeypatch.setattr(_network_layers, "straight", lambda *_: None)
    ((_, *usual),) = along_layers(curvature, X, y, weight, h)
    for one, other in zip(quick, usual, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-14)


class Branching(nn.Module):
    """Straight for rows of one sign, bent or in another order for the others."""

    def __init__(self, bent):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.bent = bent

    def forward(self, X):
        if X[0, 0] > 0:
            return self.second(torch.relu(self.first(X)))
        if self.bent:
            return self.second(torch.tanh(self.first(X)))
        return self.first(torch.relu(self.second(X)))


@pytest.mark.parametrize("bent", [False, True])
def test_modules_may_branch_on_their_rows(bent, monkeypatch):
    """Rows of a sample are looked at, and others may go another way."""
    _, X, y, _, _ = perceptron()
    X = X[:12, :4].copy()
    X[:, 0] = abs(X[:, 0])
    torch.manual_seed(0)
    module = nn.Sequential(Branching(bent), nn.Linear(4, 3)).double()
    network = network_of(module, X)
    X[::3, 0] *= -1
    X[0] = -X[0]
    weight = np.ones(12)
    curvature = layer_curvature(network, X, y[:12], weight, "kfac", 0.1, chunk=1)
    h = unflat(network, torch.randn(network.n_parameters, dtype=torch.float64))
    ours = list(along_layers(curvature, X, y[:12], weight, h, chunk=1))
    monkeypatch.setattr(_network_layers, "straight", lambda *_: None)
    usual = list(along_layers(curvature, X, y[:12], weight, h, chunk=1))
    for (_, *parts), (_, *expected) in zip(ours, usual, strict=True):
        for part, other in zip(parts, expected, strict=True):
            np.testing.assert_allclose(part, other, rtol=1e-9, atol=1e-14)


def test_layers_may_share_passes_or_not():
    module, X, y, _, _ = MAKERS["convolutional"](4)
    network = network_of(module, X)
    curvature = layer_curvature(network, X, y, np.ones(len(X)), "kfac", 0.1)
    h = unflat(network, torch.randn(network.n_parameters, dtype=torch.float64))
    inverses = [(factor.S, factor.A) for factor in curvature.factors]
    x, codes, share = network.block(X, y, np.ones(len(X)), slice(0, len(X)))
    plan = straight(network, curvature.layers, inverses, h, x[:1])
    parts = [replace(plan, common=count).block(x, codes, share) for count in (0, 1, 2)]
    for other in parts[1:]:
        for one, same in zip(parts[0], other, strict=True):
            torch.testing.assert_close(one, same, rtol=1e-9, atol=1e-13)


def test_the_cheaper_of_both():
    """A pass of each of two linear layers, or nine of all."""
    costs, singles = [0.0, 1.0, 20.0, 30.0], [False, False, True, True]
    assert _common(costs, singles, 9) == 2  # 9 · 1 + 20 + 30, not 9 · 20 + 30
    assert _common(costs, singles, 1) == 0  # 30
    assert _common([0.0, 10.0, 20.0], [True] * 3, 2) == 3  # 30 < 40
    assert _common([0.0], [True], 9) == 1


class Relu(torch.autograd.Function):
    """What is called as if it were linear in pieces, and is not."""

    @staticmethod
    def forward(ctx, z):
        return z**2

    @staticmethod
    def backward(ctx, grad):
        return grad


def scores_of(function):
    module = nn.Linear(4, 4).double().requires_grad_(False)
    omega = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    return function(module(omega))


def test_what_is_linear_in_pieces():
    weight = torch.randn(4, 4, dtype=torch.float64)
    bends = [
        torch.relu,
        nn.LeakyReLU(0.1),
        nn.Hardtanh(),
        lambda z: torch.nn.functional.max_pool2d(z.reshape(1, 1, 2, 2), 2),
        lambda z: nn.BatchNorm1d(4).double().eval().requires_grad_(False)(z),
        lambda z: 2.0 * z - z @ weight / 3.0,
        lambda z: torch.cat([z, z[:, :2]], 1).mean(1),
    ]
    curves = [
        torch.tanh,
        nn.GELU(),
        nn.LayerNorm(4).double(),
        lambda z: z * z,
        lambda z: z @ z.T,
        lambda z: 1.0 / (3.0 + z),
        lambda z: weight / (3.0 + z),
        lambda z: z / (3.0 + z),
        Relu.apply,
        lambda z: torch.log_softmax(z, 1),
        lambda z: torch.nn.functional.batch_norm(
            torch.cat([z, 2 * z]), None, None, training=True
        ),
    ]
    assert [linear_in_pieces(scores_of(f)) for f in bends] == [True] * len(bends)
    assert [linear_in_pieces(scores_of(f)) for f in curves] == [False] * len(curves)
    for make, expected in ((convolutional, False), (rectified(convolutional), True)):
        module, X, _, _, _ = make()
        network = network_of(module, X)
        layers = _network_layers.find_layers(network)
        for twice in (False, True):
            z, _ = watched(network, layers, *moving(network, X), twice=twice)
            assert linear_in_pieces(z) == expected
