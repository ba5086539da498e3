"""K-FAC's own factors: against curvlinops', repetition, and torch's gradients."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import config_context

torch = pytest.importorskip("torch")

from skfi.bridge import bridge  # noqa: E402
from skfi.bridge._network import Choices  # noqa: E402
from skfi.network._curvature import hessian_root  # noqa: E402
from skfi.network._factors import kronecker_factors  # noqa: E402
from skfi.network._network import Labelled  # noqa: E402
from skfi.network._watch import (  # noqa: E402
    channels_last,
    find_layers,
    forward_with_flows,
)
from tests.network.test_layers import (  # noqa: E402
    PARAMS,
    Shared,
    classifier,
    convolutional,
    perceptron,
    sequences,
)


class Viewed(torch.nn.Module):
    """Convolutions of few and of many channels; a view that wants the usual layout."""

    def __init__(self, outputs):
        super().__init__()
        self.first = torch.nn.Conv2d(2, 9, 3, stride=2, padding=(1, 2), dilation=(1, 2))
        self.second = torch.nn.Conv2d(9, 4, (2, 3), stride=(1, 2), padding=1, bias=False)
        self.last = torch.nn.Linear(4 * 4 * 2 + 9 * 9, outputs)
        self.out_features = outputs

    def forward(self, X):
        inner = torch.relu(self.first(X))
        outer = torch.nn.functional.max_pool2d(self.second(inner), (1, 1))
        flat = [inner.view(len(X), -1)[:, : 9 * 9], outer.view(len(X), -1)]
        return self.last(torch.cat(flat, 1))


def viewed(outputs=3, seed=0):
    torch.manual_seed(seed)
    module = torch.nn.Sequential(Viewed(outputs)).double()
    rng = np.random.default_rng(seed)
    X, V = rng.normal(size=(12, 2, 6, 6)), rng.normal(size=(5, 2, 6, 6))
    return module, X, rng.integers(0, 3, 12) % max(outputs, 2), V, rng.integers(0, 2, 5)


def stacked(outputs=3, seed=0):
    """Two convolutions in a row."""
    _, X, y, V, w = viewed(outputs, seed)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 8, 3, padding=1),
        torch.nn.ReLU(inplace=True),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 3, 2, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(12, outputs),
    ).double()
    return module, X, y, V, w


def strided():
    """Memory that is read as it lies."""

    class Strided(torch.nn.Module):
        def forward(self, X):
            channels, height, width = X.shape[1:]
            strides = channels * height * width, height * width, width, 1
            return X.as_strided(X.shape, strides)

    module, *data = stacked()
    return module.insert(1, Strided()), *data


def network_of(module, X, params="all"):
    return bridge(classifier(module)).network(Choices(params, "input"), X)


def factors_by_curvlinops(network, layers, X, y):
    curvlinops = pytest.importorskip("curvlinops")
    binary = network.module[-1].out_features == 1
    target = torch.as_tensor(y)
    if binary:
        target = target[:, None].double()
    operator = curvlinops.KFACLinearOperator(
        network.module,
        torch.nn.BCEWithLogitsLoss() if binary else torch.nn.CrossEntropyLoss(),
        [p for name, p in network.module.named_parameters() if name in network.theta],
        [(torch.as_tensor(X), target)],
        check_deterministic=False,
        fisher_type="type-2",
        separate_weight_and_bias=False,
        num_per_example_loss_terms=1,
    )
    operator.compute_kronecker_factors()
    state = operator.state_dict()
    return [
        (
            state["gradient_covariances"][layer.name],
            state["input_covariances"].get(layer.name, torch.ones(1, 1, dtype=torch.float64)),
        )
        for layer in layers
    ]


def assert_same(ours, others):
    for (S, A, *_), expected in zip(ours, others, strict=True):
        for factor, other in zip((S, A), expected[:2], strict=True):
            torch.testing.assert_close(factor, other, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("params", list(PARAMS))
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("make", [perceptron, convolutional, sequences, stacked])
def test_against_curvlinops(make, outputs, params):
    module, X, y, _, _ = make(outputs)
    network = network_of(module, X, PARAMS[params])
    layers = find_layers(network)
    ours = kronecker_factors(network, layers, Labelled(X, y, np.ones(len(X))))
    assert_same(ours, factors_by_curvlinops(network, layers, X, y))


@pytest.mark.parametrize("make", [viewed, lambda: (torch.nn.Sequential(Shared()).double(),)])
def test_modules_of_ones_own(make):
    """A view that wants the usual layout; a layer that is used twice."""
    module, *data = make()
    X, y = data[:2] if data else perceptron()[1:3]
    module[-1].out_features = 3
    network = network_of(module, X)
    layers = find_layers(network)
    ours = kronecker_factors(network, layers, Labelled(X, y, np.ones(len(X))))
    assert_same(ours, factors_by_curvlinops(network, layers, X, y))


@pytest.mark.parametrize("make", [perceptron, convolutional])
def test_blocks_of_rows_change_nothing(make):
    module, X, y, _, _ = make()
    network = network_of(module, X)
    layers = find_layers(network)
    data = Labelled(X, y, np.random.default_rng(0).random(len(X)))
    whole = kronecker_factors(network, layers, data)
    with config_context(working_memory=0):  # a row a block
        assert_same(kronecker_factors(network, layers, data), whole)


def test_every_row_may_have_a_weight_of_its_own():
    """As many different ones as there are rows: copies, and none at all of the first."""
    module, _, _, _, _ = perceptron()
    rng = np.random.default_rng(0)
    X, y, count = rng.normal(size=(80, 4)), rng.integers(0, 3, 80), np.arange(80)
    network = network_of(module, X)
    layers = find_layers(network)
    weight = count / count.mean()
    again = np.repeat(np.arange(80), count)
    copies = Labelled(X[again], y[again], np.ones(len(again)))
    repeated = kronecker_factors(network, layers, copies)
    assert_same(kronecker_factors(network, layers, Labelled(X, y, weight)), repeated)
    # In units of the mean loss: S carries the weights' sum, A is a mean.
    doubled = kronecker_factors(network, layers, Labelled(X, y, 2 * weight))
    assert_same(doubled, [(2 * S, A) for S, A, _ in repeated])


@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_root_of_the_hessian(outputs):
    module, X, _, _, _ = perceptron(outputs)
    network = network_of(module, X)
    z = torch.tensor([[0.0, 1.0, -2.0, 0.5, 3.0], [90.0, 0.0, -90.0, 89.0, 1.0]]).double()
    z = z[:, :outputs]
    root = hessian_root(network, z)
    if outputs == 1:
        p = torch.sigmoid(z)
        expected = (p * torch.sigmoid(-z))[:, :, None]
    else:
        p = torch.softmax(z, 1)
        expected = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    assert root.shape == (2, outputs, max(outputs - 1, 1))
    torch.testing.assert_close(root @ root.transpose(1, 2), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("make", [stacked, convolutional, viewed, strided])
def test_quick_gradients_are_torchs(make):
    module, X, _, _, _ = make()
    network = network_of(module, X)
    layers = find_layers(network)
    x = torch.as_tensor(X)
    last = channels_last(network, layers, x[:1])
    plain = {m for m in network.module.modules() if isinstance(m, torch.nn.Conv2d)}
    usual = {viewed: plain, strided: {network.module[0]}}
    assert last == plain - usual.get(make, set())
    towards = torch.randn(len(x), 3, dtype=torch.float64)
    parts = []
    for options in ({"last": last}, {}, {"twice": True}):
        omega = network.still(x).requires_grad_()
        z, flows = forward_with_flows(network, layers, x, omega, **options)
        back = torch.autograd.grad(z, [omega, *(flow.output for flow in flows)], towards)
        parts.append([z.detach(), *(flow.input.detach() for flow in flows), *back])
    for ours, other, torchs in zip(*parts, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-10, atol=1e-14)
        torch.testing.assert_close(other, torchs, rtol=1e-10, atol=1e-14)
    for place, a, o in flows:
        layer = layers[place]
        rows = layer.input_rows(a)
        torch.testing.assert_close(rows, layer.inputs(a).transpose(1, 2)[..., layer.order])
        torch.testing.assert_close(layer.output_rows(o), layer.outputs(o).transpose(1, 2))
