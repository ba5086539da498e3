"""K-FAC and EKFAC through the layers: against the dense matrix of the same factors."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import config_context

torch = pytest.importorskip("torch")

from skfi import fi_util  # noqa: E402
from skfi.bridge import TorchClassifier, bridge  # noqa: E402
from skfi.bridge._network import Choices  # noqa: E402
from skfi.network._layers import along_layers, layer_curvature  # noqa: E402
from skfi.network._network import Labelled, flat, unflat  # noqa: E402
from skfi.network._rows import perturb_all  # noqa: E402
from tests.network_reference import make_network  # noqa: E402


def convolutional(outputs=3, seed=0):
    """Two convolutions of odd strides and paddings, an in-place ReLU, two linear layers."""
    torch.manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, stride=2, padding=1),
        torch.nn.Tanh(),
        torch.nn.Conv2d(3, 4, (2, 1), dilation=(1, 2), bias=False),
        torch.nn.ReLU(inplace=True),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 2 * 3, 5),
        torch.nn.Softplus(),
        torch.nn.Linear(5, outputs),
    ).double()
    rng = np.random.default_rng(seed)
    X, V = rng.normal(size=(12, 2, 6, 6)), rng.normal(size=(5, 2, 6, 6))
    return module, X, rng.integers(0, 3, 12) % max(outputs, 2), V, rng.integers(0, 2, 5)


def perceptron(outputs=3, seed=0):
    module, X, y, V, w, _ = make_network(outputs, seed=seed)
    return module, X, y, V, w


def sequences(outputs=3, seed=0):
    """Linear layers that are applied at each of three positions."""
    torch.manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(12, outputs)
    ).double()
    rng = np.random.default_rng(seed)
    X, V = rng.normal(size=(14, 3, 2)), rng.normal(size=(5, 3, 2))
    return module, X, rng.integers(0, 3, 14) % max(outputs, 2), V, rng.integers(0, 2, 5)


class Skipping(torch.nn.Module):
    """Layers in another order than they are used in; a sum, a mean, frozen statistics."""

    def __init__(self, outputs):
        super().__init__()
        self.last = torch.nn.Linear(3, outputs)
        self.first = torch.nn.Conv2d(2, 3, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(3).requires_grad_(False)
        self.second = torch.nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.norm.running_mean[:] = torch.tensor([0.1, -0.2, 0.3])

    def forward(self, X):
        inner = torch.relu(self.norm(self.first(X / 2.0)))
        return self.last((inner + self.second(inner)).mean((2, 3)))


class Branching(torch.nn.Module):
    """Uses its layers in another order for rows of the other sign."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

    def forward(self, X):
        if X[0, 0] > 0:
            return self.second(torch.relu(self.first(X)))
        return self.first(torch.relu(self.second(X)))


def classifier(module, decay=0.02, weight=None):
    outputs = module[-1].out_features
    if outputs == 1:
        criterion = torch.nn.BCEWithLogitsLoss()
    else:
        criterion = torch.nn.CrossEntropyLoss(weight=weight)
    return TorchClassifier(
        module, criterion, classes=range(max(outputs, 2)), weight_decay=decay
    )


def dense_inverse(curvature):
    """The block diagonal (m, m) of the factors, laid out as the parameters are."""
    network = curvature.network
    m = network.n_parameters
    columns = []
    for column in torch.eye(m, dtype=torch.float64):
        theta, out = unflat(network, column), {}
        for layer, factor in zip(curvature.layers, curvature.factors, strict=True):
            G = layer.join(theta)
            if factor.eigen is None:
                H = torch.kron(factor.S, factor.A)
            else:
                basis = torch.kron(factor.S, factor.A)
                H = basis @ torch.diag(factor.eigen.flatten()) @ basis.T
            out |= layer.split((H @ G.flatten()).reshape(G.shape), network.theta)
        columns.append(flat(out[name] for name in network.theta))
    return torch.stack(columns)


PARAMS = {
    "all": "all",
    "weights": lambda name: name.endswith("weight"),
    "biases": lambda name: name.endswith("bias"),
    "first": lambda name: name.startswith("0."),
}


@pytest.mark.parametrize("kind", ["kfac", "ekfac"])
@pytest.mark.parametrize("perturbation", ["input", "features"])
@pytest.mark.parametrize("params", list(PARAMS))
@pytest.mark.parametrize("make", [perceptron, convolutional, sequences])
def test_against_the_dense_matrix(make, params, perturbation, kind):
    module, X, y, _, _ = make()
    network = bridge(classifier(module)).network(Choices(PARAMS[params], perturbation), X)
    curvature = layer_curvature(network, Labelled(X, y, np.ones(len(X))), kind, 0.1)
    inverse = dense_inverse(curvature)
    u = torch.randn(network.n_parameters, dtype=torch.float64)
    torch.testing.assert_close(curvature.solve(u[None])[0], inverse @ u, rtol=1e-9, atol=1e-12)
    h = unflat(network, inverse @ u)
    data = Labelled(X, y, np.linspace(0.5, 2.0, len(X)))
    assert_same_rows(
        along_layers(curvature, data, h),
        perturb_all(network, data, lambda V: V @ inverse, h),
    )


def assert_same_rows(through, general):
    for (rows, *ours), (same, *dense) in zip(through, general, strict=True):
        assert rows == same
        for part, expected in zip(ours, dense, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("kind", ["kfac", "ekfac"])
@pytest.mark.parametrize("name", ["rectified", "skipping", "branching"])
def test_layers_used_in_any_order_against_the_dense_matrix(name, kind):
    module, X, y, _, _ = perceptron()
    torch.manual_seed(0)
    if name == "rectified":
        layers = [torch.nn.ReLU() if isinstance(m, torch.nn.Tanh) else m for m in module]
        module = torch.nn.Sequential(*layers)
    elif name == "skipping":
        X = np.random.default_rng(0).normal(size=(len(X), 2, 4, 4))
        module = torch.nn.Sequential(Skipping(3)).double()
        module[-1].out_features = 3
    else:
        X = abs(X[:, :4])
        module = torch.nn.Sequential(Branching(), torch.nn.Linear(4, 3)).double()
    network = bridge(classifier(module)).network(Choices("all", "input"), X)
    if name == "branching":
        X[::3, 0] *= -1
    data = Labelled(X, y, np.ones(len(X)))
    with config_context(working_memory=0):  # a row a block
        curvature = layer_curvature(network, data, kind, 0.1)
        inverse = dense_inverse(curvature)
        h = unflat(network, torch.randn(network.n_parameters, dtype=torch.float64))
        assert_same_rows(
            along_layers(curvature, data, h),
            perturb_all(network, data, lambda V: V @ inverse, h),
        )


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("make", [perceptron, convolutional])
def test_two_classes(make, outputs):
    module, X, y, V, w = make(outputs)
    y, w = y % 2, w % 2
    settings = {"params": "all", "perturbation": "input", "curvature": "kfac", "damping": 0.1}
    network = bridge(classifier(module)).network(Choices("all", "input"), X)
    curvature = layer_curvature(network, Labelled(X, y, np.ones(len(X))), "kfac", 0.1)
    inverse = dense_inverse(curvature)
    assert torch.linalg.eigvalsh(inverse)[0] > 0
    fi = fi_util(classifier(module), X, y, V, w, **settings)
    assert fi.shape == (len(X),)
    assert (fi > 0).all()


def test_ekfac_is_nearer_to_gauss_newton_than_kfac():
    """In Frobenius norm, by construction: George et al. 2018, Theorem 1."""
    module, X, y, _, _ = perceptron(seed=1)
    network = bridge(classifier(module, decay=0.0)).network(Choices("all", "input"), X)
    from skfi.network._curvature import _gauss_newton

    data = Labelled(X, y, np.ones(len(X)))
    exact = torch.as_tensor(_gauss_newton(network, data))
    error = {}
    for kind in ("kfac", "ekfac"):
        tiny = layer_curvature(network, data, kind, 1e-14)
        H = torch.linalg.inv(dense_inverse(tiny))
        blocks = torch.zeros_like(H)
        for part in (slice(0, 25), slice(25, None)):  # the two layers
            blocks[part, part] = exact[part, part]
        error[kind] = float((H - blocks).norm())
    assert error["ekfac"] < error["kfac"] < float(exact.norm())


@pytest.mark.parametrize("kind", ["kfac", "ekfac"])
def test_auto_damping_lifts_the_penalty_to_a_tenth_of_the_mean_eigenvalue(kind):
    module, X, y, V, w = perceptron()
    settings = {"params": "all", "curvature": kind, "return_details": True}
    _, without = fi_util(classifier(module, 0.0), X, y, V, w, **settings)
    assert without.curvature == kind
    share = 0.25 * without.damping
    _, some = fi_util(classifier(module, share), X, y, V, w, **settings)
    np.testing.assert_allclose(some.damping, 0.75 * without.damping, rtol=1e-8)
    _, plenty = fi_util(classifier(module, 10 * without.damping), X, y, V, w, **settings)
    assert plenty.damping < 1e-100


def test_class_weights_count_in_the_factors():
    """A class of weight 2 is one whose rows are there twice."""
    module, X, y, V, w = perceptron(seed=2)
    twice = np.concatenate([np.arange(len(X)), np.flatnonzero(y == 1)])
    settings = {"params": "all", "perturbation": "input", "curvature": "kfac", "damping": 0.1}
    weight = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    weighted = fi_util(classifier(module, weight=weight), X, y, V, w, **settings)
    repeated = fi_util(classifier(module), X[twice], y[twice], V, w, **settings)[: len(X)]
    other = y != 1  # a row of class 1 moves with both of its copies
    np.testing.assert_allclose(weighted[other], repeated[other], rtol=1e-8)


def test_weights_are_repetition():
    module, X, y, V, w = convolutional()
    count = np.random.default_rng(0).integers(1, 3, len(X))
    again = np.repeat(np.arange(len(X)), count)
    for curvature in ("kfac", "ekfac", "ggn", "cg"):
        settings = {"params": "all", "perturbation": "input", "curvature": curvature}
        model = classifier(module)
        weighted = fi_util(model, X, y, V, w, sample_weight=count, damping=0.1, **settings)
        repeated = fi_util(model, X[again], y[again], V, w, damping=0.1, **settings)
        np.testing.assert_allclose(weighted[again], repeated, rtol=1e-7)


class Shared(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(4, 4)
        self.last = torch.nn.Linear(4, 3)

    def forward(self, X):
        return self.last(torch.tanh(self.inner(torch.tanh(self.inner(X)))))


def test_what_kfac_has_no_form_for():
    _, X, y, V, w = perceptron()
    settings = {"params": "all", "perturbation": "input", "curvature": "kfac"}
    criterion = torch.nn.CrossEntropyLoss()

    def score(module, **others):
        model = TorchClassifier(module.double(), criterion, classes=range(3))
        return fi_util(model, X, y, V, w, **{**settings, **others})

    normalised = torch.nn.Sequential(torch.nn.LayerNorm(4), torch.nn.Linear(4, 3))
    with pytest.raises(ValueError, match=r"other layers: \['0.weight', '0.bias'\]"):
        score(normalised)
    assert score(normalised, params=["1.weight", "1.bias"]).shape == (24,)
    assert score(normalised, curvature="auto").shape == (24,)
    with pytest.raises(ValueError, match=r"more than once .*\['inner'\]"):
        score(Shared())
    assert score(Shared(), params=["last.weight"]).shape == (24,)
    assert score(Shared(), curvature="cg").shape == (24,)
    grouped = torch.nn.Sequential(
        torch.nn.Unflatten(1, (2, 2, 1)),
        torch.nn.Conv2d(2, 2, 1, groups=2),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    )
    with pytest.raises(ValueError, match=r"no form for the grouped"):
        score(grouped)
    settings["sample_weight"] = np.random.default_rng(0).random(24)
    plain = torch.nn.Sequential(torch.nn.Linear(4, 3))
    assert score(plain).shape == (24,)
    X, y = np.repeat(X, 4, axis=0), np.repeat(y, 4)
    settings["sample_weight"] = 1.0 + np.arange(96)
    assert score(plain).shape == (96,)  # however many different weights
