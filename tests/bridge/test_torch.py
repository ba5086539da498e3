"""Torch and skorch networks: against the same linear model, and dense derivatives."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from sklearn import config_context
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skfi import fi_util
from skfi.bridge import SkorchClassifier, TorchClassifier
from tests.conftest import make_split

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")

from torch import nn  # noqa: E402

from skfi.bridge._torch_loss import read_weight_decay  # noqa: E402
from tests.bridge.dense import dense_fi  # noqa: E402
from tests.bridge.nets import Linear  # noqa: E402

C = 0.5
GENERIC = {"params": "all", "perturbation": "input"}
# Ways to the scores of a linear net, all of them exact.
FORMS = [
    {},
    {"curvature": "exact", **GENERIC},
    {"curvature": "ggn", **GENERIC},
    {"perturbation": "input", "curvature": "ggn"},
    {"params": lambda name: name.startswith("layer"), "curvature": "exact"},
]
NETS = [
    (nn.CrossEntropyLoss, 3),
    (nn.CrossEntropyLoss, 2),
    (nn.NLLLoss, 3),
    (nn.NLLLoss, 2),
    (nn.BCEWithLogitsLoss, 2),
]


@pytest.fixture(autouse=True)
def _seeded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small are the matrices that more threads wait for each other
    with threadpool_limits(1), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield
    torch.set_num_threads(threads)


def close(actual, expected, rtol=1e-6):
    assert np.all(expected >= 0)
    assert expected.max() > 0
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-12 * expected.max())


def split(n_classes, n=40, **settings):
    X, y, X_val, y_val, _ = make_split(n_classes, n=n, d=4, n_val=15, **settings)
    return X, y, X_val, y_val


def unfitted(criterion, n_classes, n_rows, **params):
    """A linear net with LogisticRegression's penalty; its bias has none."""
    binary = criterion is nn.BCEWithLogitsLoss
    kind = skorch.NeuralNetBinaryClassifier if binary else skorch.NeuralNetClassifier
    # Two outputs ±w/2 have half the squared norm of one w.
    share = 2.0 if n_classes == 2 and not binary else 1.0
    settings = {
        "module__n_features": 4,
        "module__n_classes": 1 if binary else n_classes,
        "module__probabilities": criterion is nn.NLLLoss,
        "module__dtype": torch.float64,
        "optimizer__weight_decay": share / (C * n_rows),
        "optimizer__param_groups": [("*.bias", {"weight_decay": 0.0})],
        "train_split": None,
        "max_epochs": 0,
        "verbose": 0,
    }
    return kind(Linear, criterion=criterion, **{**settings, **params})


def give(net, logistic):
    """Overwrite a fitted net's parameters by those of a LogisticRegression."""
    W, b = logistic.coef_, logistic.intercept_
    layer = net.module_.layer
    if len(W) < layer.out_features:
        W, b = np.r_[-W, W] / 2, np.r_[-b, b] / 2
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(W))
        layer.bias.copy_(torch.as_tensor(b))
    return net


def fit_net(criterion, X, y, logistic, **params):
    net = unfitted(criterion, len(np.unique(y)), len(X), **params)
    target = y.astype(float) if criterion is nn.BCEWithLogitsLoss else y
    return give(net.fit(X, target), logistic)


@pytest.mark.parametrize("form", FORMS, ids=["closed", "exact", "ggn", "input", "predicate"])
@pytest.mark.parametrize(("criterion", "n_classes"), NETS)
def test_linear_net_is_the_logistic_regression(criterion, n_classes, form):
    data = split(n_classes)
    logistic = LogisticRegression(C=C, tol=1e-8).fit(*data[:2])
    net = fit_net(criterion, *data[:2], logistic)
    loss, metric = "gce", "mahalanobis"
    for settings in ({}, {"validation_loss": loss, "metric": metric}):
        expected = fi_util(logistic, *data, **settings)
        scores, details = fi_util(
            net, *data, damping=0, return_details=True, **settings, **form
        )
        close(scores, expected)
    # An optimum of the net's own objective: its penalty was read.
    assert details.gradient_norm < 1e-7
    assert details.damping == 0


@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss, nn.BCEWithLogitsLoss])
@pytest.mark.parametrize("form", [{}, GENERIC], ids=["closed", "generic"])
def test_inside_of_other_estimators(criterion, form):
    X, y, X_val, y_val = split(2)
    form = {"damping": 0, **form}
    names = np.array(["yes", "no"])
    scaler = StandardScaler().fit(X)
    logistic = LogisticRegression(C=C, tol=1e-8).fit(scaler.transform(X), y)
    pipeline = make_pipeline(StandardScaler(), unfitted(criterion, 2, len(X)))
    pipeline.fit(X, y.astype(float) if criterion is nn.BCEWithLogitsLoss else y)
    give(pipeline[-1], logistic)
    expected = fi_util(make_pipeline(scaler, logistic), X, y, X_val, y_val)
    close(fi_util(pipeline, X, y, X_val, y_val, **form), expected)
    close(fi_util(FrozenEstimator(pipeline), X, y, X_val, y_val, **form), expected)

    # Of strings the second in alphabetical order is the positive class.
    labelled = (X, names[y], X_val, names[y_val])
    logistic.fit(X, names[y])
    wrapper = SkorchClassifier(unfitted(criterion, 2, len(X)), random_state=0)
    search = GridSearchCV(wrapper, {"net__lr": [0.1]}, cv=2).fit(X, names[y])
    give(search.best_estimator_.net_, logistic)
    expected = fi_util(logistic, *labelled)
    close(fi_util(search, *labelled, **form), expected)
    close(fi_util(search.best_estimator_, *labelled, **form), expected)


@pytest.mark.parametrize("form", [{}, GENERIC], ids=["closed", "generic"])
def test_torch_classifier(form):
    X, y, X_val, y_val = split(3)
    names = np.array(["ham", "eggs", "spam"])[[1, 0, 2]]
    data = X, names[y], X_val, names[y_val]
    logistic = LogisticRegression(C=C, tol=1e-8, fit_intercept=False).fit(*data[:2])
    # Outputs need not stand in the order of the sorted labels.
    for order in ([0, 1, 2], [2, 0, 1]):
        module = nn.Linear(4, 3, bias=False, dtype=torch.float64)
        with torch.no_grad():
            module.weight.copy_(torch.as_tensor(logistic.coef_[order]))
        classes = logistic.classes_[order]
        decay = 1 / (C * len(X))
        for whole in (module, nn.Sequential(module, nn.LogSoftmax(1))):
            criterion = nn.CrossEntropyLoss() if whole is module else nn.NLLLoss()
            model = TorchClassifier(whole, criterion, classes=classes, weight_decay=decay)
            close(fi_util(model, *data, damping=0, **form), fi_util(logistic, *data))
        assert (model.predict(X) == logistic.predict(X)).all()
        proba = logistic.predict_proba(X)[:, order]
        np.testing.assert_allclose(model.predict_proba(X), proba, rtol=1e-9)


def test_data_frame_tensor_and_list():
    pd = pytest.importorskip("pandas")
    X, y, X_val, y_val = split(3)
    net = fit_net(nn.CrossEntropyLoss, X, y, LogisticRegression().fit(X, y))
    for form in ({}, GENERIC):
        expected = fi_util(net, X, y, X_val, y_val, **form)
        for kind in (pd.DataFrame, torch.as_tensor, np.ndarray.tolist):
            rows, labels = kind(X), pd.Series(y) if kind is pd.DataFrame else y
            scores = fi_util(net, rows, labels, kind(X_val), y_val, **form)
            np.testing.assert_array_equal(scores, expected)


CRITERIA = {
    "plain": (nn.CrossEntropyLoss(), 3),
    "weighted": (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 0.2, 3.0])), 3),
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.2), 3),
    "one logit": (nn.BCEWithLogitsLoss(), 2),
    "positive": (nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0])), 2),
}


@pytest.mark.parametrize("hidden", [False, True], ids=["linear", "hidden"])
@pytest.mark.parametrize("name", CRITERIA)
def test_criteria_by_their_own_derivatives(name, hidden):
    criterion, n_classes = CRITERIA[name]
    criterion = criterion.double()
    data = split(n_classes, n=8)
    n_outputs = 1 if isinstance(criterion, nn.BCEWithLogitsLoss) else n_classes
    layers = [nn.Linear(4, 2), nn.Tanh()] if hidden else []
    module = nn.Sequential(*layers, nn.Linear(2 if hidden else 4, n_outputs)).double()
    model = TorchClassifier(module, criterion, classes=range(n_classes), weight_decay=0.1)
    scores = fi_util(model, *data, curvature="exact", damping=5.0, **GENERIC)
    close(scores, dense_fi(module, criterion, *data, decay=0.1, damping=5.0))
    if not hidden:
        close(fi_util(model, *data, damping=5.0), scores, rtol=1e-9)
        close(fi_util(model, *data, curvature="ggn", damping=5.0, **GENERIC), scores)


def test_class_weights_of_nll_loss():
    data = split(3, n=8)
    weight = torch.tensor([1.0, 0.2, 3.0], dtype=torch.float64)
    module = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)).double()
    model = TorchClassifier(module, nn.NLLLoss(weight), classes=range(3), weight_decay=0.1)
    expected = dense_fi(module, nn.NLLLoss(weight), *data, decay=0.1, damping=0.5)
    close(fi_util(model, *data, damping=0.5), expected)


def test_sample_weights_count_as_copies():
    X, y, X_val, y_val, weight = make_split(3, n=12, d=4, n_val=15)
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 0.2, 3.0]).double())
    module = nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 3)).double()
    model = TorchClassifier(module, criterion, classes=range(3), weight_decay=0.1)
    times = weight.astype(int)
    copies = np.repeat(np.arange(12), times)
    first = np.r_[0, times.cumsum()[:-1]]
    for form in ({}, {"curvature": "exact", **GENERIC}):
        form = {"damping": 5.0, **form}
        scores = fi_util(model, X, y, X_val, y_val, sample_weight=weight, **form)
        close(scores, fi_util(model, X[copies], y[copies], X_val, y_val, **form)[first])


OPTIMIZERS = {
    "sgd": (torch.optim.SGD, 0.3, {}),
    "momentum": (torch.optim.SGD, 0.3, {"momentum": 0.5, "nesterov": True}),
    "adam": (torch.optim.Adam, 0.3, {}),
    "decoupled adam": (torch.optim.Adam, None, {"decoupled_weight_decay": True}),
    "adamw": (torch.optim.AdamW, None, {"eps": 1e-3}),
    "amsgrad": (torch.optim.AdamW, None, {"amsgrad": True}),
    "asgd": (torch.optim.ASGD, 0.3, {"lambd": 0.05}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay(name):
    optimizer, decay, settings = OPTIMIZERS[name]
    if not set(settings) <= set(inspect.signature(optimizer).parameters):
        pytest.skip("this torch has no Adam with decoupled weight decay")
    data = X, y, *_ = split(3, n=12)
    groups = [("*.weight", {"weight_decay": 0.3}), ("*.bias", {"weight_decay": 0.1})]
    settings = {f"optimizer__{key}": value for key, value in settings.items()}
    net = unfitted(
        nn.CrossEntropyLoss,
        3,
        len(X),
        optimizer=optimizer,
        optimizer__param_groups=groups,
        max_epochs=3,
        lr=0.01,
        **settings,
    ).fit(X, y)
    layer, state = net.module_.layer, net.optimizer_.state
    more = settings.get("optimizer__lambd", 0.0)
    decays = {"layer.weight": 0.3 + more, "layer.bias": 0.1 + more}
    if decay is None:
        # (√v + ε) λ, with v Adam's running mean of squares, corrected for its start at 0.
        eps = settings.get("optimizer__eps", 1e-8)
        for key, p in layer.named_parameters():
            largest = "max_exp_avg_sq" if name == "amsgrad" else "exp_avg_sq"
            v = state[p][largest] / (1 - 0.999 ** float(state[p]["step"]))
            decays[f"layer.{key}"] = decays[f"layer.{key}"] * (v.sqrt().flatten() + eps)
    expected = dense_fi(net.module_, nn.CrossEntropyLoss(), *data, decay=decays, damping=0.1)
    for form in ({}, {"curvature": "exact", **GENERIC}):
        close(fi_util(net, *data, damping=0.1, **form), expected)
    # "auto" counts the weakest penalty as damping that is there already.
    proba = net.predict_proba(X)
    trace = np.mean((1 - (proba**2).sum(1)) * ((X**2).sum(1) + 1))
    weakest = min(float(np.min(np.asarray(value))) for value in decays.values())
    for form in ({}, GENERIC):
        _, details = fi_util(net, *data, return_details=True, **form)
        expected = max(0.0, 0.1 * trace / 15 - weakest)
        np.testing.assert_allclose(details.damping, expected, atol=1e-12)


class Shrinking(torch.optim.SGD):
    """Decays weights apart from the gradient, in a step of its own."""

    def step(self, closure=None):
        if closure is not None:
            closure()
        for group in self.param_groups:
            for p in group["params"]:
                p.data.mul_(1 - group["lr"] * group["weight_decay"])
                p.data.sub_(p.grad.sign(), alpha=group["lr"])


class Renamed(torch.optim.SGD):
    """Takes the steps of SGD."""


DECAYING = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and "weight_decay" in inspect.signature(kind).parameters
)


@pytest.mark.parametrize("name", [*DECAYING, "Shrinking", "Renamed"])
def test_penalties_are_known_where_the_optimizer_rests_by_them(name):
    """At a gradient of -λθ the parameters stay, or the penalty is not said to be λ."""
    kind = getattr(torch.optim, name, None) or globals()[name]
    module = nn.Linear(3, 2, bias=False).double()
    optimizer = kind(module.parameters(), lr=0.1, weight_decay=0.25)
    before = module.weight.detach().clone()
    decay = read_weight_decay(module, optimizer) if name != "AdamW" else None
    strength = 0.25 if decay is None else float(decay["weight"])
    for _ in range(3):
        module.weight.grad = -strength * before
        optimizer.step()
    rests = bool(torch.allclose(module.weight, before, rtol=1e-9))
    assert rests == (decay is not None)


def test_decoupled_decay_of_radam_is_not_known():
    module = nn.Linear(3, 2)
    settings = {"weight_decay": 0.3, "decoupled_weight_decay": True}
    optimizer = torch.optim.RAdam(module.parameters(), **settings)
    assert read_weight_decay(module, optimizer) is None


def test_adamw_rests_by_its_penalty():
    module = nn.Linear(3, 2, bias=False).double()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, weight_decay=0.3, eps=1e-2)
    gradient = torch.full((2, 3), 0.5, dtype=torch.float64)
    with torch.no_grad():
        module.weight.copy_(-gradient / (0.3 * (gradient + 1e-2)))
    before = module.weight.detach().clone()
    for _ in range(3):
        module.weight.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(module.weight.detach(), before)
    penalty = read_weight_decay(module, optimizer)["weight"]
    torch.testing.assert_close(-penalty * before, gradient)


@pytest.mark.parametrize("form", [{}, GENERIC], ids=["last layer", "all"])
def test_penalties_that_are_not_known(form):
    data = X, y, *_ = split(3, n=12)
    settings = {"optimizer": Shrinking, "optimizer__weight_decay": 0.3, "max_epochs": 3}
    net = unfitted(nn.CrossEntropyLoss, 3, len(X), **settings).fit(X, y)
    with pytest.warns(UserWarning, match=r"penalty .* not known.* torch.optim.SGD, Adam or"):
        scores, details = fi_util(net, *data, damping=0.1, return_details=True, **form)
    assert details.penalty_known is False
    close(scores, dense_fi(net.module_, nn.CrossEntropyLoss(), *data, damping=0.1))
    settings["optimizer__weight_decay"] = 0.0
    net = unfitted(nn.CrossEntropyLoss, 3, len(X), **settings).fit(X, y)
    assert fi_util(net, *data, return_details=True, **form)[1].penalty_known is True


def test_adamw_without_its_state():
    data = X, y, *_ = split(3)
    settings = {"optimizer": torch.optim.AdamW}
    net = unfitted(nn.CrossEntropyLoss, 3, len(X), **settings).fit(X, y)
    with pytest.raises(
        ValueError, match=r"AdamW decays .* Load the optimizer too, or set weig"
    ):
        fi_util(net, *data)
    settings["optimizer__weight_decay"] = 0.0
    net = unfitted(nn.CrossEntropyLoss, 3, len(X), **settings).fit(X, y)
    expected = dense_fi(net.module_, nn.CrossEntropyLoss(), *data, damping=0.1)
    close(fi_util(net, *data, damping=0.1), expected)


class Recorder(nn.Module):
    """A module with all that should stay as it is."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.Tanh())
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.out = nn.Linear(3, 3)
        self.called = 0
        self.register_forward_hook(self._count)
        self.body.eval()  # a mixture of modes

    @staticmethod
    def _count(module, args, output):
        module.called += 1

    def forward(self, x):
        return self.out(torch.tanh(self.frozen(self.body(x))))


def state_of(module):
    """Everything about a module that a user could notice."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [
        {name: t.clone().numpy().tobytes() for name, t in module.state_dict().items()},
        {name: p.requires_grad for name, p in module.named_parameters()},
        {
            name: None if p.grad is None else p.grad.numpy().tobytes()
            for name, p in module.named_parameters()
        },
        {name: id(p) for name, p in module.named_parameters()},
        [m.training for m in module.modules()],
        [[len(getattr(m, kind)) for kind in hooks] for m in module.modules()],
        module.called,
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),  # noqa: NPY002
        np.random.get_state()[2],  # noqa: NPY002
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.backends.mha.get_fastpath_enabled(),
    ]


FINAL = ["out.weight", "out.bias"]
EVERY_FORM = [
    {},
    {"dtype": "float64"},
    {"curvature": "exact", **GENERIC},
    {"curvature": "cg", **GENERIC},
    {"params": FINAL, "perturbation": "input", "curvature": "kfac"},
    {"params": FINAL, "curvature": "ekfac"},
    {"params": FINAL, "approximation": "kfsvd", "n_components": 2, "random_state": 0},
    {"params": [], "raises": "chooses no parameter"},
]


@pytest.mark.filterwarnings("ignore:The network is not at a minimum")
@pytest.mark.parametrize("form", EVERY_FORM)
def test_module_stays_as_it_is(form):
    data = split(3, n=12)
    module = Recorder()
    nn.functional.cross_entropy(module(torch.randn(6, 4)), torch.arange(6) % 3).backward()
    model = TorchClassifier(module, nn.CrossEntropyLoss(), classes=range(3))
    raises = form.get("raises")
    form = {"damping": 1.0, **{key: value for key, value in form.items() if key != "raises"}}
    before = state_of(module)
    if raises:
        with pytest.raises(ValueError, match=raises):
            fi_util(model, *data, **form)
    else:
        fi_util(model, *data, **form)
    model.predict_proba(data[0])
    assert state_of(module) == before


CURVATURES = [
    {"curvature": "exact"},
    {"curvature": "ggn"},
    {"curvature": "kfac"},
    {"curvature": "ekfac"},
    {"curvature": "cg"},
    {"approximation": "kfsvd", "n_components": 2, "random_state": 0},
]


@pytest.mark.parametrize("perturbation", ["features", "input"])
@pytest.mark.parametrize("form", CURVATURES, ids=lambda form: next(iter(form.values())))
def test_scores_do_not_depend_on_the_blocks(form, perturbation):
    data = split(3, n=5 if form.get("curvature") == "cg" else 10)
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    model = TorchClassifier(module, nn.CrossEntropyLoss(), classes=range(3), weight_decay=0.05)
    settings = {"params": "all", "perturbation": perturbation, "damping": 5.0, **form}
    whole = fi_util(model, *data, **settings)
    with config_context(working_memory=0.001):  # place for one row at a time
        close(fi_util(model, *data, **settings), whole, rtol=1e-10)
