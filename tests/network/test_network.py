"""Networks by torch: against dense float64 derivatives, refits, and the closed form."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.linalg import helmert
from sklearn import config_context
from sklearn.linear_model import LogisticRegression

torch = pytest.importorskip("torch")

from skfi import fi_util  # noqa: E402
from skfi.baselines import iv  # noqa: E402
from skfi.bridge import TorchClassifier, bridge  # noqa: E402
from skfi.bridge._network import Choices  # noqa: E402
from skfi.linear._losses import expected_error, log_loss  # noqa: E402
from skfi.network._network import Labelled  # noqa: E402
from skfi.network._scores import curve_network, perturbed, solve_for  # noqa: E402
from tests.network_reference import DenseNetwork, make_network  # noqa: E402

DECAY = 0.05
PARAMS = {
    "all": ["0.weight", "0.bias", "2.weight", "2.bias"],
    "last_layer": ["2.weight", "2.bias"],
    "first": ["0.weight", "0.bias"],
}


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def classifier(module, smoothing=0.0):
    outputs = module[-1].out_features
    if outputs == 1:
        criterion = torch.nn.BCEWithLogitsLoss()
    else:
        criterion = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
    classes = range(max(outputs, 2))
    return TorchClassifier(module, criterion, classes=classes, weight_decay=DECAY)


def chosen(params):
    return PARAMS["first"] if params == "first" else params


def dense_of(module, params="all", perturbation="input", **settings):
    names = PARAMS[params]
    penalty = dict.fromkeys(names, DECAY)
    return DenseNetwork(module, names, penalty, perturbation == "features", **settings)


def ingredients(model, X, y, V, w, weight=None, loss=log_loss, **choices):
    """g, D and the change of each row's loss along h, as the package has them."""
    choices = Choices(**choices)
    fitted = bridge(model)
    network = fitted.network(choices, X)
    weight = fitted.loss_weight(y, np.ones(len(X)) if weight is None else weight)
    train = Labelled(X, y, weight)
    curvature, _ = curve_network(network, train, choices.curvature, choices.damping)
    h = solve_for(network, curvature, Labelled(V, w, np.ones(len(V))), loss)
    _, *parts = zip(*perturbed(network, curvature, h, train), strict=True)
    g, change, Z = map(np.concatenate, parts)
    p = model.predict_proba(X)
    D = np.matmul(helmert(p.shape[1]).T, Z)
    return g, D - np.einsum("bc,bcd->bd", p, D)[:, None], change


def tensors(X):
    return torch.as_tensor(X)


@pytest.mark.parametrize("perturbation", ["input", "features"])
@pytest.mark.parametrize("params", list(PARAMS))
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_against_dense_derivatives(outputs, params, perturbation):
    """Full Hessian plus damping, full mixed derivative, pinv: g, D and FI."""
    module, X, y, V, w, weight = make_network(outputs)
    model = classifier(module)
    dense = dense_of(module, params, perturbation, damping=1.0)
    inverse = torch.linalg.pinv(dense.hessian(tensors(X), y, weight))
    u = dense.validation_gradient(tensors(V), w)
    expected = dense.ingredients(inverse, u, tensors(X), y, weight)
    choices = {
        "params": chosen(params),
        "perturbation": perturbation,
        "curvature": "exact",
        "damping": 1.0,
    }
    g, D, _ = ingredients(model, X, y, V, w, weight, **choices)
    np.testing.assert_allclose(g, expected[0], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(D, expected[1], rtol=1e-6, atol=1e-9)
    fi = fi_util(model, X, y, V, w, sample_weight=weight, unit="row", **choices)
    np.testing.assert_allclose(
        fi, dense.fi(inverse, u, tensors(X), y, weight), rtol=1e-6, atol=1e-15
    )


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("params", ["all", "last_layer"])
def test_gauss_newton_and_label_smoothing(outputs, params):
    module, X, y, V, w, weight = make_network(outputs, seed=1)
    smoothing = 0.0 if outputs == 1 else 0.2
    dense = dense_of(module, params, damping=0.01, smoothing=smoothing)
    inverse = torch.linalg.inv(dense.gauss_newton(tensors(X), weight))
    u = dense.validation_gradient(tensors(V), w, error=True)
    expected = dense.ingredients(inverse, u, tensors(X), y, weight)
    model = classifier(module, smoothing)
    for curvature in ("ggn", "cg"):
        g, D, _ = ingredients(
            model,
            *(X, y, V, w, weight),
            loss=expected_error,
            params=params,
            perturbation="input",
            curvature=curvature,
            damping=0.01,
        )
        np.testing.assert_allclose(g, expected[0], rtol=1e-6, atol=1e-11)
        np.testing.assert_allclose(D, expected[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("damping", [0.3, "auto"])
@pytest.mark.parametrize("curvature", ["exact", "kfac"])
@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_last_layer_in_closed_form_is_the_autograd_form(outputs, curvature, damping, smoothing):
    if smoothing and outputs == 1:
        pytest.skip("binary cross-entropy has no label smoothing")
    module, X, y, V, w, weight = make_network(outputs, seed=2)
    model = classifier(module, smoothing)
    options = {"curvature": curvature, "damping": damping, "return_details": True}
    data = (model, X, y, V, w)
    closed, short = fi_util(*data, sample_weight=weight, **options)
    # The same layer by its names, so that autograd has to do it.
    names = PARAMS["last_layer"]
    general, full = fi_util(*data, sample_weight=weight, params=names, **options)
    np.testing.assert_allclose(closed, general, rtol=1e-8)
    assert short.curvature == full.curvature == curvature
    assert short.n_parameters == full.n_parameters
    np.testing.assert_allclose(short.damping, full.damping, rtol=1e-10, atol=1e-100)
    # A common shift of all classes changes no score; the closed form leaves it out.
    assert 0.95 * full.gradient_norm < short.gradient_norm < full.gradient_norm * (1 + 1e-9)
    np.testing.assert_allclose(
        iv(*data, sample_weight=weight, curvature=curvature, damping=damping),
        iv(*data, sample_weight=weight, params=names, curvature=curvature, damping=damping),
        rtol=1e-8,
    )


@pytest.mark.parametrize("perturbation", ["input", "features"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_refits_of_a_convex_head(outputs, perturbation):
    """A row moves, the head is trained again on frozen features: g and D by differences."""
    module, X, y, V, w, _ = make_network(outputs, seed=3)
    if outputs == 1:
        y, w = y % 2, w % 2
    body, head = module[:-1], module[-1]

    def features(X):
        with torch.no_grad():
            return body(torch.as_tensor(X)).numpy()

    def fit(phi):
        # scikit-learn: C Σ L + ½‖W‖², here (1/n) Σ L + decay/2 ‖W‖².
        settings = {"C": 1 / (DECAY * len(phi)), "tol": 1e-12, "solver": "newton-cholesky"}
        return LogisticRegression(**settings).fit(phi, y)

    phi, phi_val = features(X), features(V)
    start = fit(phi)
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(start.coef_))
        head.bias.copy_(torch.as_tensor(start.intercept_))
    model = BiasFree(
        module, classifier(module).criterion, classes=range(max(outputs, 2)), weight_decay=DECAY
    )
    choices = {"params": ["2.weight", "2.bias"], "perturbation": perturbation}
    choices |= {"curvature": "exact", "damping": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g, D, _ = ingredients(model, X, y, V, w, **choices)

    def outcome(row, step):
        moved, own = phi.copy(), X[row] + step if perturbation == "input" else None
        moved[row] = phi[row] + step if own is None else features(own[None])[0]
        again = fit(moved)
        loss = -again.predict_log_proba(phi_val)[np.arange(len(w)), w].mean()
        return loss, again.predict_log_proba(moved[row][None])[0]

    width = X.shape[1] if perturbation == "input" else phi.shape[1]
    for row in range(5):
        for j in range(width):
            step = np.zeros(width)
            step[j] = 1e-4
            (loss_up, up), (loss_down, down) = outcome(row, step), outcome(row, -step)
            slope = (loss_up - loss_down) / 2e-4
            np.testing.assert_allclose(g[row, j], slope, rtol=1e-3, atol=1e-8)
            np.testing.assert_allclose(D[row, :, j], (up - down) / 2e-4, rtol=1e-3, atol=1e-6)


class BiasFree(TorchClassifier):
    """A classifier whose weight decay leaves the biases alone, as scikit-learn's does."""


@bridge.register(BiasFree)
def _(estimator):
    from skfi.bridge._torch import network_bridge, read_torch_classifier

    trained = read_torch_classifier(estimator)
    trained.decay = {k: v for k, v in trained.decay.items() if not k.endswith("bias")}
    return network_bridge(trained, weighted=True)


@pytest.mark.parametrize("curvature", ["exact", "ggn", "kfac", "ekfac", "cg"])
def test_blocks_of_rows_change_nothing(curvature):
    module, X, y, V, w, _ = make_network(3, seed=4)
    options = {"params": "all", "perturbation": "input", "curvature": curvature, "damping": 2.0}
    usual = ingredients(classifier(module), X, y, V, w, **options)
    with config_context(working_memory=0):  # a row a block
        cut = ingredients(classifier(module), X, y, V, w, **options)
    for one, other in zip(usual, cut, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-11)


def test_rows_and_classes_may_be_permuted():
    module, X, y, V, w, weight = make_network(3, seed=5)
    options = {"params": "all", "perturbation": "input", "damping": 0.1}
    rng = np.random.default_rng(0)
    rows, classes = rng.permutation(len(X)), rng.permutation(3)
    for curvature in ("ggn", "kfac"):
        options["curvature"] = curvature
        plain = fi_util(classifier(module), X, y, V, w, sample_weight=weight, **options)
        shuffled = fi_util(
            classifier(module), X[rows], y[rows], V, w, sample_weight=weight[rows], **options
        )
        np.testing.assert_allclose(shuffled, plain[rows], rtol=1e-8)
        other = make_network(3, seed=5)[0]
        with torch.no_grad():
            other[-1].weight.copy_(module[-1].weight[classes])
            other[-1].bias.copy_(module[-1].bias[classes])
        place = np.argsort(classes)
        renamed = fi_util(
            classifier(other), X, place[y], V, place[w], sample_weight=weight, **options
        )
        np.testing.assert_allclose(renamed, plain, rtol=1e-8)


def test_mahalanobis_does_not_see_the_units_of_the_input():
    module, X, y, V, w, _ = make_network(3, seed=6)
    scale = np.array([10.0, 1.0, 0.1, 3.0])
    other = make_network(3, seed=6)[0]
    with torch.no_grad():
        other[0].weight.copy_(module[0].weight / torch.as_tensor(scale))
    options = {"params": "last_layer", "perturbation": "input", "damping": 0.1}
    scores = {
        metric: (
            fi_util(classifier(module), X, y, V, w, metric=metric, **options),
            fi_util(classifier(other), X * scale, y, V * scale, w, metric=metric, **options),
        )
        for metric in ("mahalanobis", "euclidean")
    }
    np.testing.assert_allclose(*scores["mahalanobis"], rtol=1e-7)
    assert not np.allclose(*scores["euclidean"], rtol=0.1)


@pytest.mark.parametrize("curvature", ["ggn", "kfac"])
def test_gain_is_the_first_order_change(curvature):
    """iv by itself is the gain that FI brings along, and minus h·∂L of each row."""
    module, X, y, V, w, weight = make_network(3, seed=7)
    options = {"params": "all", "curvature": curvature, "damping": 0.1}
    _, _, change = ingredients(
        classifier(module), X, y, V, w, weight, perturbation="input", **options
    )
    gain = iv(classifier(module), X, y, V, w, sample_weight=weight, **options)
    np.testing.assert_allclose(-change, weight * gain, rtol=1e-8, atol=1e-15)  # of a row
    if curvature == "ggn":
        dense = dense_of(module, damping=0.1)
        inverse = torch.linalg.inv(dense.gauss_newton(tensors(X), weight))
        h = inverse @ dense.validation_gradient(tensors(V), w)
        for i in range(4):
            own = torch.func.grad(lambda t, i=i: dense.loss(t, tensors(X)[i], y[i]))(
                dense.theta
            )
            np.testing.assert_allclose(gain[i], -float(h @ own) / weight.sum(), rtol=1e-7)


def test_an_indefinite_hessian_warns():
    module, X, y, V, w, _ = make_network(3)
    settings = {"params": "all", "curvature": "exact", "damping": 0.0}
    for score in (fi_util, iv):
        with pytest.warns(UserWarning, match=r"not at a minimum.*=.ggn.") as caught:
            score(classifier(module), X, y, V, w, **settings)
        assert caught[0].filename == __file__


def test_float32_is_near_float64():
    module, X, y, V, w, _ = make_network(3, seed=8)
    options = {"params": "all", "perturbation": "input", "damping": 0.1}
    exact = fi_util(classifier(module), X, y, V, w, **options)
    short = fi_util(classifier(module), X, y, V, w, dtype="float32", **options)
    assert short.dtype == np.float64
    np.testing.assert_allclose(short, exact, rtol=1e-3)
    assert not np.allclose(short, exact, rtol=1e-9)
    single = make_network(3, seed=8)[0].float()
    long = fi_util(classifier(single), X, y, V, w, dtype="float64", **options)
    np.testing.assert_allclose(long, exact, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("curvature", ["ggn", "kfac", "ekfac", "cg"])
def test_on_a_gpu(curvature):
    module, X, y, V, w, _ = make_network(3, seed=9)
    options = {"params": "all", "perturbation": "input", "damping": 0.1, "dtype": "float32"}
    options["curvature"] = curvature
    on_cpu = fi_util(classifier(module), X, y, V, w, **options)
    on_gpu = fi_util(classifier(module.cuda()), X, y, V, w, **options)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-2, atol=1e-4 * on_cpu.max())
