"""A module is judged by what it computes, and run on copies of what the user passed."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")

from torch import nn  # noqa: E402
from torch.nn.functional import linear  # noqa: E402

from skfi import FIActiveSampler, FITrimmer, fi_active, fi_util  # noqa: E402
from skfi.bridge import SkorchClassifier, TorchClassifier  # noqa: E402
from skfi.queries import BALD, Margin  # noqa: E402
from tests.bridge.dense import dense_fi  # noqa: E402

CE = nn.CrossEntropyLoss()
HEAD = "does more with its last linear layer"
BY_INPUT = {"params": "all", "perturbation": "input", "curvature": "exact"}


@pytest.fixture(autouse=True)
def _double_and_seeded():
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)


class Function(nn.Module):
    """Any function of layers."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x):
        return self.function(x, *self.parts)


def rows(n=20, width=4, dtype=float):
    X = np.random.default_rng(0).normal(size=(n, width)).astype(dtype)
    return X, np.arange(n) % 3


def split(n=20):
    X, y = rows(n)
    return X[:-8], y[:-8], X[-8:], y[-8:]


def score(module, criterion=CE, **settings):
    model = TorchClassifier(module, criterion, classes=range(3))
    return fi_util(model, *split(), **{"damping": 2.0, **settings})


def layered(*last):
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), *last)


def close(actual, expected, rtol=1e-7):
    assert expected.max() > 0
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-12 * expected.max())


# Modules that work in place


def subtract_one(x, layer):
    x -= 1
    return layer(x)


IN_PLACE = {
    "relu": (
        lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 3)),
        lambda module: nn.Sequential(nn.ReLU(), module[1]),
    ),
    "subtraction": (
        lambda: Function(subtract_one, nn.Linear(4, 3)),
        lambda module: Function(lambda x, f: f(x - 1), module.parts[0]),
    ),
}


@pytest.mark.parametrize("settings", [{}, {"params": "all"}, {**BY_INPUT, "curvature": "kfac"}])
@pytest.mark.parametrize("name", IN_PLACE)
def test_modules_that_work_in_place_change_no_rows_and_score_as_others(name, settings):
    make, out_of_place = IN_PLACE[name]
    module, (X, y) = make(), rows()
    model, plain = (
        TorchClassifier(m, CE, classes=range(3)) for m in (module, out_of_place(module))
    )
    for data in (X, torch.as_tensor(X)):
        before = copy.deepcopy(data)
        proba = model.predict_proba(data)
        scores = fi_util(model, data, y, data, y, **settings)
        np.testing.assert_array_equal(data, before)
        np.testing.assert_array_equal(proba, plain.predict_proba(data))
        close(scores, fi_util(plain, X, y, X, y, **settings))


@pytest.mark.parametrize("name", IN_PLACE)
def test_trimmers_and_strategies_leave_rows_as_they_are(name):
    X, y = rows(dtype=np.float32)
    module = IN_PLACE[name][0]().float()
    net = skorch.NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0, max_epochs=2
    )
    before = X.copy()
    FITrimmer(net, budget=0.1, random_state=0).fit(X, y, X_val=X[:9], y_val=y[:9])
    fitted = SkorchClassifier(net, random_state=0).fit(X, y)
    fitted.predict_proba(X)
    for strategy in (FIActiveSampler, Margin, BALD):
        strategy(FrozenEstimator(fitted), random_state=0).fit(X, y).query(X[:12], 2)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("curvature", ["exact", "kfac", "ekfac", "cg"])
@pytest.mark.parametrize("perturbation", ["features", "input"])
def test_features_that_are_changed_behind_their_layer(perturbation, curvature):
    def changed(x, body, head):
        f = body(x) * 1.0
        z = head(f)
        f.div_(7.0)
        return z

    parts = nn.Linear(4, 5), nn.Linear(5, 3)
    in_place, plain = Function(changed, *parts), nn.Sequential(*parts)
    if perturbation == "features" and curvature == "exact":
        close(score(in_place), score(plain))
    settings = {"params": "all", "perturbation": perturbation, "curvature": curvature}
    close(score(in_place, **settings), score(plain, **settings), rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, BY_INPUT, {"curvature": "kfac"}])
def test_changing_what_gradients_need_is_named(settings):
    def changed(x, body, head):
        f = torch.tanh(body(x))
        z = head(f)
        f.mul_(2.0)
        return z

    module = Function(changed, nn.Linear(4, 5), nn.Linear(5, 3))
    with pytest.raises(ValueError, match=r"in place .*f = f \* 2"):
        score(module, **{"params": "all", **settings})
    assert (score(module) > 0).any()  # as the message advises


# What a module does with its last layer


def sure(module, factor):
    """The module with scores so far apart that it is certain of every row."""
    with torch.no_grad():
        module.get_submodule("2").weight.mul_(factor)
    return module


def scaled(function):
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), Function(function))


MORE = {
    "softmax": lambda: layered(nn.Softmax(1)),
    "temperature": lambda: scaled(lambda z: z / 1.1),
    "bounded": lambda: scaled(lambda z: 1e3 * torch.tanh(z / 1e3)),
    "clipped": lambda: scaled(lambda z: z.clamp(-30, 30)),
    "own norm": lambda: scaled(lambda z: z / z.norm(dim=1, keepdim=True)),
}


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("name", MORE)
def test_a_last_layer_that_does_more_is_refused_however_sure_the_module_is(name, factor):
    with pytest.raises(ValueError, match=HEAD + r".* by name \(params=\[\.\.\.\]\)"):
        score(sure(MORE[name](), factor))


def test_what_the_refusal_advises_is_the_model_itself():
    module = MORE["temperature"]()
    by_name = score(module, params=["2.weight", "2.bias"])
    f, head = module[:2], module[2]
    plain = nn.Linear(5, 3)
    with torch.no_grad():
        plain.weight.copy_(head.weight / 1.1)
        plain.bias.copy_(head.bias / 1.1)
    # The same scores from parameters 1.1 times smaller: curvature and damping with them.
    close(by_name, score(nn.Sequential(*f, plain), damping=2.0 * 1.1**2), rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_of_the_last_layers_scores_are_read_however_sure(dtype, factor):
    plain = sure(layered(), factor).to(dtype)
    log_softmax = nn.Sequential(*plain, nn.LogSoftmax(1))
    expected = score(plain)
    np.testing.assert_array_equal(score(log_softmax, nn.NLLLoss()), expected)
    np.testing.assert_array_equal(score(log_softmax), expected)
    X, y, *_ = split()
    net = skorch.NeuralNetClassifier(
        nn.Sequential(*plain, nn.Softmax(1)), classes=[0, 1, 2], train_split=None, verbose=0
    ).initialize()
    found = fi_util(net, X.astype("f"), y, *split()[2:], damping=2.0)
    if dtype == torch.float64:
        close(found, expected, rtol=1e-2)


# Weights that are used in more than one place


class CosineHead(nn.Linear):
    def forward(self, x):
        return linear(x, self.weight / self.weight.norm(dim=1, keepdim=True), self.bias)


def tied(first):
    """Two layers with one weight; which is registered first must not matter."""
    a, b = nn.Linear(4, 4), nn.Linear(4, 4)
    b.weight = a.weight
    pair = (a, b) if first == "a" else (b, a)
    f = (
        (lambda x, a, b, h: h(torch.tanh(b(torch.tanh(a(x))))))
        if first == "a"
        else (lambda x, b, a, h: h(torch.tanh(b(torch.tanh(a(x))))))
    )
    return Function(f, *pair, nn.Linear(4, 3))


def tied_to_head(first):
    body, head = nn.Linear(4, 4), nn.Linear(4, 3)
    body.weight = nn.Parameter(torch.randn(3, 4) / 2)
    body.bias = nn.Parameter(torch.zeros(3))
    head.weight = body.weight
    if first == "body":
        return Function(
            lambda x, body, head: head(torch.tanh(body(x)) @ body.weight), body, head
        )
    return Function(lambda x, head, body: head(torch.tanh(body(x)) @ body.weight), head, body)


def again(x, body, head):
    return head(torch.tanh(linear(torch.tanh(body(x)), body.weight)))


def head_norm(x, body, head):
    return head(torch.tanh(body(x))) / head.weight.norm()


MISUSED = {
    "tied, one order": lambda: tied("a"),
    "tied, the other order": lambda: tied("b"),
    "used again": lambda: Function(again, nn.Linear(4, 4), nn.Linear(4, 3)),
    "head tied": lambda: tied_to_head("body"),
    "head tied, the other order": lambda: tied_to_head("head"),
    "head by its norm": lambda: Function(head_norm, nn.Linear(4, 4), nn.Linear(4, 3)),
    "cosine head": lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), CosineHead(4, 3)),
}


@pytest.mark.parametrize("curvature", ["kfac", "ekfac"])
@pytest.mark.parametrize("name", MISUSED)
def test_kfac_refuses_weights_that_are_used_beside_their_layers(name, curvature):
    module = MISUSED[name]()
    with pytest.raises(ValueError, match=r'do more than multiply.* curvature="ggn" or "cg"'):
        score(module, params="all", curvature=curvature)
    kept = [n for n, _ in module.named_parameters() if n.endswith("bias")]
    assert np.isfinite(score(module, params=kept, curvature=curvature)).all()


def test_pairs_advise_only_curvatures_that_they_have():
    X, y = rows()
    model = TorchClassifier(tied("a"), CE, classes=range(3))
    settings = {"params": "all", "damping": 2.0, "aggregate": "mean"}
    with pytest.raises(ValueError, match=r'use curvature="ggn"\.$'):
        fi_active(model, X, y, X[:4], curvature="kfac", **settings)
    assert np.isfinite(fi_active(model, X, y, X[:4], curvature="ggn", **settings)).all()


def test_auto_curvature_of_many_tied_weights():
    X, y = rows(width=32)
    a, b, head = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 3)
    b.weight = a.weight
    module = Function(lambda x, a, b, head: head(torch.tanh(b(torch.tanh(a(x))))), a, b, head)
    model = TorchClassifier(module, CE, classes=range(3))
    scores, details = fi_util(model, X, y, X[:4], y[:4], params="all", return_details=True)
    assert details.curvature == "cg"
    assert np.isfinite(scores).all()
    assert np.isfinite(fi_active(model, X, y, X[:4], params="all", aggregate="mean")).all()


@pytest.mark.parametrize("name", MISUSED)
def test_other_curvatures_differentiate_shared_weights(name):
    module = MISUSED[name]()
    expected = dense_fi(module, CE, *split(), damping=9.0)
    close(score(module, damping=9.0, **BY_INPUT), expected, rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in MISUSED if "head" in n])
def test_a_head_whose_weight_is_used_beside_it_is_refused(name):
    with pytest.raises(ValueError, match=HEAD):
        score(MISUSED[name]())


@pytest.mark.parametrize("head_first", [False, True])
def test_an_embedding_tied_to_the_head(head_first):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            table, head = nn.Embedding(3, 5), nn.Linear(5, 3)
            head.weight = table.weight
            names = (
                {"head": head, "table": table} if head_first else {"table": table, "head": head}
            )
            for name, part in names.items():
                self.add_module(name, part)

        def forward(self, x):
            return self.head(torch.tanh(self.table(x)).mean(1))

    X, y = np.random.default_rng(0).integers(0, 3, (20, 6)), np.arange(20) % 3
    model = TorchClassifier(Tied(), CE, classes=range(3))
    with pytest.raises(ValueError, match=HEAD):
        fi_util(model, X, y, X, y)
    with pytest.raises(ValueError, match=r"do more than multiply|other layers"):
        fi_util(model, X, y, X, y, params="all", curvature="kfac")
    everything = fi_util(model, X, y, X, y, params="all", damping=1.0)
    assert (everything > 0).any()
    for name in ("head.weight", "table.weight"):
        found = fi_util(model, X, y, X, y, params=[name, "head.bias"], damping=1.0)
        close(found, everything)


def test_features_are_all_that_scores_depend_on():
    beside = Function(
        lambda x, body, head: head(torch.tanh(body(x))) + x[:, :3],
        nn.Linear(4, 5),
        nn.Linear(5, 3),
    )
    functional = Function(
        lambda x, body, head: linear(torch.tanh(body(x)), head.weight), *layered()[::2]
    )
    for module in (beside, functional):
        with pytest.raises(ValueError, match=r'depend on more than .*perturbation="input"'):
            score(module, params="all")
        expected = dense_fi(module, CE, *split(), damping=9.0)
        close(score(module, damping=9.0, **BY_INPUT), expected, rtol=1e-6)


# Compiled modules


@pytest.mark.parametrize("where", ["all", "part"])
def test_compiled_modules_are_read_as_what_was_compiled(where):
    module = layered()
    compiled = torch.compile(module)
    if where == "part":
        compiled = nn.Sequential(torch.compile(module[:2]), module[2])
    model = TorchClassifier(compiled, CE, classes=range(3), weight_decay=0.1)
    plain = TorchClassifier(module, CE, classes=range(3), weight_decay=0.1)
    names = [name for name, _ in compiled.named_parameters()]
    for settings, other in (
        ({}, {}),
        ({"params": "all"},) * 2,
        ({"params": names}, {"params": "all"}),
    ):
        expected = fi_util(plain, *split(), curvature="ggn", damping=0.1, **other)
        close(fi_util(model, *split(), curvature="ggn", damping=0.1, **settings), expected)


def test_nets_that_skorch_compiles():
    X, y = rows(dtype=np.float32)
    settings = {"classes": [0, 1, 2], "train_split": None, "verbose": 0, "criterion": CE}
    module = layered().float()
    compiled, plain = (
        skorch.NeuralNetClassifier(module, compile=on, **settings).initialize()
        for on in (True, False)
    )
    close(fi_util(compiled, X, y, X, y), fi_util(plain, X, y, X, y))


# Forward hooks of the user's

SEEN: list = []


def append_global(module, args, output):
    SEEN.append(output)


class Recorder:
    def __init__(self):
        self.outputs = []

    def __call__(self, module, args, output):
        self.outputs.append(output.detach().numpy())


def keep(store, key, module, args, output):
    store[key] = output.detach().numpy()


@pytest.mark.parametrize("settings", [{}, {"params": "all"}, BY_INPUT])
def test_hooks_record_nothing_of_what_runs_here(settings):
    module, seen, recorder, store = layered(), [], Recorder(), {}
    expected = score(module, **settings)
    handles = [
        module.register_forward_hook(append_global),
        module[0].register_forward_hook(lambda *_: seen.append(1)),
        module[0].register_forward_pre_hook(lambda *_: seen.append(2)),
        module[1].register_forward_hook(recorder),
        module[2].register_forward_hook(partial(keep, store, "head")),
        module[2].register_full_backward_hook(lambda *_: seen.append(3)),
    ]
    np.testing.assert_array_equal(score(module, **settings), expected)
    assert not any((SEEN, seen, recorder.outputs, store))
    module(torch.zeros(2, 4))
    assert all((SEEN, seen, recorder.outputs, store))
    kept = len(SEEN)
    score(module, **settings)  # also where there are tensors with a graph
    assert len(SEEN) == kept
    SEEN.clear()
    for handle in handles:
        handle.remove()


def test_hooks_that_change_outputs_are_part_of_the_module():
    module = layered()
    plain = nn.Sequential(*copy.deepcopy(module), Function(lambda z: 2 * z))
    module[2].register_forward_hook(lambda _, args, output: 2 * output)
    with pytest.raises(ValueError, match=HEAD):
        score(module)
    settings = {**BY_INPUT, "curvature": "ggn"}
    close(score(module, **settings), score(plain, **settings))


def test_hooks_that_compute_a_weight_are_part_of_the_module():
    module = layered()
    body = module[0]
    body.scale = nn.Parameter(torch.ones(5, 1))
    body.v = nn.Parameter(body.weight.detach().clone())
    del body.weight

    def compute(layer, args):
        layer.weight = layer.v * layer.scale

    body.register_forward_pre_hook(compute)
    with torch.no_grad():
        module(torch.zeros(1, 4))
    plain = Function(
        lambda x, body, head: head(torch.tanh(linear(x, body.v * body.scale, body.bias))),
        body,
        module[2],
    )
    close(score(module, **BY_INPUT), score(plain, **BY_INPUT))


def test_hooks_that_write_to_the_module_write_to_the_copy():
    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 3)
            self.body.register_forward_hook(lambda *hooked: setattr(self, "kept", hooked[2]))

        def forward(self, x):
            self.body(x)
            return self.head(torch.tanh(self.kept))

    module = Kept()
    plain = nn.Sequential(module.body, nn.Tanh(), module.head)
    expected = score(nn.Sequential(*copy.deepcopy(plain)), **BY_INPUT)
    close(score(module, **BY_INPUT), expected)
    assert not hasattr(module, "kept")


def test_modules_that_need_their_own_dtype_are_judged_in_it():
    def own_dtype(x, body, head):
        return head(torch.tanh(body(x.float())))

    parts = nn.Linear(4, 5).float(), nn.Linear(5, 3).float()
    module = Function(own_dtype, *parts)
    close(score(module), score(nn.Sequential(parts[0], nn.Tanh(), parts[1])), rtol=1e-4)
    by_layers = {"params": "all", "curvature": "kfac"}
    close(
        score(module, **by_layers),
        score(nn.Sequential(parts[0], nn.Tanh(), parts[1]), **by_layers),
        rtol=1e-3,
    )
    with pytest.raises(ValueError, match=HEAD):
        score(Function(lambda *args: 2 * own_dtype(*args), *parts))
