"""Monte-Carlo dropout and Laplace draws of torch networks, against forward passes by hand."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import config_context
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from skfi.bridge import TorchClassifier  # noqa: E402
from skfi.queries._bald import BALD, mutual_information  # noqa: E402
from skfi.queries._dropout import DropoutDraws  # noqa: E402

X, Y = make_blobs(90, 4, centers=3, cluster_std=3.0, random_state=0)
X = X / X.std(axis=0)
LABELLED, LABELS, POOL = X[:40], Y[:40], X[40:]


def dropped(p=0.5, norm=True):
    torch.manual_seed(0)
    layers = [nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(p), nn.Linear(8, 3)]
    return nn.Sequential(*(layers if norm else layers[:1] + layers[2:]))


def frozen(module, classes=(0, 1, 2), criterion=None):
    criterion = nn.CrossEntropyLoss() if criterion is None else criterion
    return FrozenEstimator(TorchClassifier(module, criterion, classes=list(classes)))


def strategy_of(module, kind=BALD, **params):
    params = {"n_draws": 6, "random_state": 0, "batch_size": 3, **params}
    return kind(frozen(module), **params).fit(LABELLED, LABELS)


def drawn(strategy, pool=POOL):
    return strategy._posterior.reader(strategy.estimator_, pool)(pool)


class Masks:
    """The masks that a strategy's draws have, by running the first row again."""

    def __init__(self, strategy):
        from skfi.bridge import bridge
        from skfi.queries._posterior import _WHOLE

        fitted = bridge(strategy.estimator_)
        self.draws = DropoutDraws(fitted.network(_WHOLE, POOL), strategy._posterior.seeds)
        self.draws.reaches(fitted.transform(POOL))

    def __iter__(self):
        return iter([[m.double().numpy() for m in masks] for masks in self.draws.masks])


# --- Dropout ---


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout_by_hand(p):
    module = dropped(p, norm=False).eval()
    strategy = strategy_of(module)
    assert strategy.posterior_ == "dropout"
    W, b, V, c = (t.detach().double().numpy() for t in module.parameters())
    masks = list(Masks(strategy))
    assert len({mask.tobytes() for (mask,) in masks}) > 1
    proba = drawn(strategy)
    for (mask,), draw in zip(masks, proba, strict=True):
        assert mask.shape == (1, 8)
        assert set(np.unique(mask)) <= {0.0, 1.0}
        for x, row in zip(POOL, draw, strict=True):
            hidden = np.maximum(W @ x + b, 0) * mask[0] / (1 - p)
            np.testing.assert_allclose(row, softmax(V @ hidden + c), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        strategy.score_samples(POOL), mutual_information(proba), atol=1e-6
    )
    assert np.ptp(strategy.score_samples(POOL)) > 1e-3


# torch 2.4 says so of the copies that skorch makes of its own nets.
@pytest.mark.filterwarnings("ignore:You are using `torch.load`:FutureWarning")
def test_a_draw_is_one_network_for_all_rows():
    strategy = strategy_of(dropped())
    whole, batch = drawn(strategy), strategy.query(POOL)
    for working_memory in (1e-9, 0.01):
        with config_context(working_memory=working_memory):
            np.testing.assert_allclose(drawn(strategy), whole, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(strategy.query(POOL), batch)
    order = np.random.default_rng(0).permutation(len(POOL))
    np.testing.assert_allclose(drawn(strategy, POOL[order]), whole[:, order], rtol=1e-4)
    np.testing.assert_allclose(drawn(strategy, POOL[7:8]), whole[:, 7:8], rtol=1e-4)
    again = strategy_of(dropped())
    np.testing.assert_array_equal(again.query(POOL), batch)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(strategy)).query(POOL), batch)
    other = strategy_of(dropped(), random_state=1)
    assert np.abs(drawn(other) - whole).max() > 0.01


def test_nothing_of_the_users_moves():
    module = dropped()
    module.train()
    module[1].eval()
    module[3].eval()
    modes = [m.training for m in module.modules()]
    weights = copy.deepcopy(module.state_dict())
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    fast = torch.backends.mha.get_fastpath_enabled()
    strategy = strategy_of(module)
    strategy.query(POOL)
    assert [m.training for m in module.modules()] == modes
    assert torch.equal(torch.get_rng_state(), before[0])
    assert pickle.dumps(np.random.get_state()) == before[1]  # noqa: NPY002
    for name, value in module.state_dict().items():  # batch norm's statistics among them
        assert torch.equal(value, weights[name]), name
    assert not any(m._forward_hooks for m in module.modules())
    assert torch.is_grad_enabled()
    assert torch.backends.mha.get_fastpath_enabled() == fast


def test_batch_norm_keeps_its_statistics():
    """Shifted rows come out shifted: nothing is normalised by the pool."""
    module = dropped(p=1e-12)
    proba = drawn(strategy_of(module))
    with torch.no_grad():
        expected = module.eval()(torch.as_tensor(POOL, dtype=torch.float32)).softmax(1).numpy()
    np.testing.assert_allclose(proba, np.broadcast_to(expected, proba.shape), rtol=1e-5)


class Only(nn.Module):
    """A dropout layer between ones and the output."""

    def __init__(self, layer, shape):
        super().__init__()
        self.layer, self.shape = layer, shape
        self.head = nn.Linear(1, 1)

    def forward(self, x):
        return self.layer(torch.full((len(x), *self.shape), 0.7))


def masked(layer, shape, seeds):
    """What a dropout layer makes of 0.7 everywhere, for each draw and two rows."""
    module = Only(copy.deepcopy(layer), shape).eval()
    draws = DropoutDraws(Raw(module), seeds)
    rows = np.zeros((2, 1), dtype=np.float32)
    draws.reaches(rows)
    outputs = []
    for masks in draws.masks:
        draws._begin(masks)
        outputs.append(module(torch.zeros(2, 1)).numpy())
    return np.array(outputs)


class Raw:
    def __init__(self, module):
        self.module = module

    def rows(self, X, block):
        return torch.as_tensor(X[block])


@pytest.mark.parametrize(
    ("layer", "shape", "channels"),
    [
        (nn.Dropout(0.3), (40,), False),
        (nn.Dropout(0.3), (4, 5, 6), False),
        (nn.Dropout1d(0.3), (6, 5), True),
        (nn.Dropout2d(0.3), (6, 5, 4), True),
        (nn.Dropout3d(0.3), (6, 2, 3, 4), True),
        (nn.AlphaDropout(0.3), (40,), False),
        (nn.FeatureAlphaDropout(0.3), (6, 5, 4), True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_each_kind_of_layer(layer, shape, channels):
    outputs = masked(layer, shape, range(200))
    np.testing.assert_array_equal(outputs[:, 0], outputs[:, 1])  # rows share the mask
    torch.manual_seed(0)
    by_torch = layer.train()(torch.full((500, *shape), 0.7)).numpy()
    # torch rounds its own way; what goes and what stays are the two values there are.
    values = np.unique(np.round(by_torch, 4))
    assert len(values) == 2
    assert set(np.unique(np.round(outputs, 4))) == set(values)
    gone = np.isclose(outputs[:, 0], by_torch.min(), atol=1e-4)
    assert abs(gone.mean() - 0.3) < 0.05
    flat = gone.reshape(200, shape[0], -1)
    assert (flat == flat[:, :, :1]).all() == (channels or len(shape) == 1)


def test_all_dropped():
    for layer in (nn.Dropout(1.0), nn.AlphaDropout(1.0)):
        assert not masked(layer, (5,), [0]).any()


class Twice(nn.Module):
    """One dropout module called at two places of different widths."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 9), nn.Linear(9, 5)
        self.last, self.dropout = nn.Linear(5, 3), nn.Dropout(0.4)

    def forward(self, x):
        x = self.dropout(self.first(x).relu())
        return self.last(self.dropout(self.second(x).relu()))


def test_a_module_that_is_called_twice():
    torch.manual_seed(0)
    strategy = strategy_of(Twice())
    for masks in Masks(strategy):
        assert [mask.shape for mask in masks] == [(1, 9), (1, 5)]
    assert strategy.posterior_ == "dropout"
    assert strategy.score_samples(POOL).min() > 0


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.TransformerEncoderLayer(2, 1, 8, dropout=0.4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(x.reshape(len(x), 2, 2)).flatten(1))


def test_layers_of_a_transformer_are_called():
    torch.manual_seed(0)
    strategy = strategy_of(Attentive())
    assert strategy.posterior_ == "dropout"
    assert strategy.score_samples(POOL).max() > 1e-3


class RowsNotFirst(nn.Module):
    """Rows and steps share an axis where the dropout is."""

    def __init__(self):
        super().__init__()
        self.inner, self.dropout, self.head = nn.Linear(2, 4), nn.Dropout(), nn.Linear(8, 3)

    def forward(self, x):
        steps = self.dropout(self.inner(x.reshape(-1, 2)))
        return self.head(steps.reshape(len(x), 8))


def test_rows_without_an_axis_of_their_own():
    strategy = strategy_of(RowsNotFirst())
    with pytest.raises(ValueError, match=r"Dropout layer sees \(100, 4\)"):
        strategy.score_samples(POOL)
    assert strategy.set_params(posterior="laplace").fit(LABELLED, LABELS).query(POOL).size == 3


# --- Which posterior ---


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.dropout = nn.Linear(4, 3), nn.Dropout()

    def forward(self, x):
        return self.head(x)


@pytest.mark.parametrize("module", [dropped(0.0), Unused()], ids=["p=0", "never called"])
def test_dropout_that_leaves_nothing_out(module):
    assert strategy_of(module).posterior_ == "laplace"
    with pytest.raises(ValueError, match=r'"dropout" needs a torch network'):
        strategy_of(module, posterior="dropout")


def test_a_trained_module_makes_no_committee():
    with pytest.raises(TypeError, match="TorchClassifier cannot be fitted"):
        strategy_of(dropped(), posterior="committee")


def test_binary_scores():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))
    model = frozen(module, ["no", "yes"], nn.BCEWithLogitsLoss())
    labels = np.where(LABELS > 0, "yes", "no")
    strategy = BALD(model, n_draws=5, random_state=0).fit(LABELLED, labels)
    proba = drawn(strategy)
    assert proba.shape == (5, len(POOL), 2)
    np.testing.assert_allclose(proba.sum(axis=2), 1.0)
    assert strategy.score_samples(POOL).max() > 0


def test_laplace_of_the_last_layer():
    module = dropped().eval()
    strategy = strategy_of(module, posterior="laplace")
    with torch.no_grad():
        hidden = module[:4](torch.as_tensor(POOL, dtype=torch.float32)).double().numpy()
    basis, mean = strategy._posterior.model.link.basis, strategy._posterior.model.beta
    last = torch.cat([module[4].weight, module[4].bias[:, None]], 1).detach().double().numpy()
    np.testing.assert_allclose(basis.T @ last, mean, atol=1e-6)
    for contrasts, proba in zip(strategy._posterior.beta, drawn(strategy), strict=True):
        z = [basis @ (contrasts @ np.append(h, 1.0)) for h in hidden]
        np.testing.assert_allclose(proba, softmax(z, axis=1), atol=1e-5)


# --- skorch ---


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU())
        self.dropout, self.head = nn.Dropout(0.3), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.dropout(self.body(x)))


@pytest.mark.parametrize("pipeline", [False, True])
def test_skorch_nets(pipeline):
    skorch = pytest.importorskip("skorch")
    net = skorch.NeuralNetClassifier(
        Net, criterion=nn.CrossEntropyLoss, max_epochs=5, lr=0.1, verbose=0
    )  # with skorch's own train_split, which is of no account here
    estimator = make_pipeline(StandardScaler(), net) if pipeline else net
    strategy = BALD(estimator, n_draws=5, batch_size=4, random_state=0)
    strategy.fit(LABELLED, np.array(["a", "b", "c"])[LABELS])
    assert strategy.posterior_ == "dropout"
    batch = strategy.query(POOL)
    assert len(set(batch)) == 4
    np.testing.assert_array_equal(strategy.query(POOL), batch)
    assert np.ptp(strategy.score_samples(POOL)) > 1e-4
    laplace = BALD(estimator, posterior="laplace", random_state=0)
    assert len(laplace.fit(LABELLED, LABELS).query(POOL, 4)) == 4


def test_a_committee_of_nets():
    skorch = pytest.importorskip("skorch")
    net = skorch.NeuralNetClassifier(
        Net, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0, train_split=None
    )
    strategy = BALD(net, posterior="committee", n_draws=3, random_state=0)
    scores = strategy.fit(LABELLED, LABELS).score_samples(POOL)
    again = strategy.fit(LABELLED, LABELS).score_samples(POOL)
    np.testing.assert_array_equal(scores, again)
    assert scores.max() > 1e-4
