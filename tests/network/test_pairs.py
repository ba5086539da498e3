"""Pairs of rows, and the paper's low-rank form."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import config_context

torch = pytest.importorskip("torch")

from skfi import fi_util  # noqa: E402
from skfi.bridge import bridge  # noqa: E402
from skfi.bridge._network import Choices  # noqa: E402
from skfi.linear._geometry import fi_multiclass, fisher_factors  # noqa: E402
from skfi.linear._losses import log_loss  # noqa: E402
from skfi.network._kfsvd import low_rank, start_low_rank  # noqa: E402
from skfi.network._network import Labelled  # noqa: E402
from skfi.network._pairs import cotangents  # noqa: E402
from skfi.network._pairs import fi_pairs as pairs_of  # noqa: E402
from skfi.network._scores import build_curvature  # noqa: E402
from tests.network.test_layers import convolutional, dense_inverse  # noqa: E402
from tests.network.test_network import classifier, dense_of, tensors  # noqa: E402
from tests.network_reference import make_network  # noqa: E402


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def fi_pairs(network, curvature, train, V, w, **settings):
    return pairs_of(
        network, curvature, train, V, cotangents(network, V, w, log_loss), **settings
    )


def prepared(outputs=3, curvature="ggn", perturbation="input", make=make_network, damping=0.1):
    module, X, y, V, w = make(outputs)[:5]
    model = classifier(module)
    network = bridge(model).network(Choices("all", perturbation), X)
    weight = np.linspace(0.5, 1.5, len(X)) if curvature != "ekfac" else np.ones(len(X))
    weight /= weight.mean()
    train = Labelled(X, y, weight)
    return model, network, build_curvature(network, train, curvature, damping), train, V, w


@pytest.mark.parametrize("perturbation", ["input", "features"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_pairs_against_the_definition(outputs, perturbation):
    _, network, curvature, train, V, w = prepared(outputs, "ggn", perturbation)
    X, y, weight = train
    dense = dense_of(make_network(outputs)[0], "all", perturbation, damping=0.1)
    inverse = torch.linalg.inv(dense.gauss_newton(tensors(X), weight))
    pairs = fi_pairs(network, curvature, train, V, w)
    for j in range(3):
        u = dense.validation_gradient(tensors(V[j : j + 1]), w[j : j + 1])
        expected = dense.fi(inverse, u, tensors(X), y, weight)
        np.testing.assert_allclose(pairs[j], expected, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("curvature", ["kfac", "ekfac"])
@pytest.mark.parametrize("make", [make_network, convolutional])
def test_pairs_through_the_layers(make, curvature):
    _, network, built, train, V, w = prepared(3, curvature, make=make)
    pairs = fi_pairs(network, built, train, V, w)
    assert pairs.shape == (len(V), len(train[0]))
    with config_context(working_memory=0):  # a row a block
        cut = fi_pairs(network, built, train, V, w)
    np.testing.assert_allclose(pairs, cut, rtol=1e-9, atol=1e-20)
    root = built.times_root(torch.eye(network.n_parameters))
    torch.testing.assert_close(root @ root.T, dense_inverse(built), rtol=1e-8, atol=1e-9)


def test_pairs_need_a_root():
    _, network, curvature, train, V, w = prepared(3, "cg")
    with pytest.raises(ValueError, match="products with the inverse only"):
        fi_pairs(network, curvature, train, V, w)
    _, network, curvature, train, V, w = prepared(3, "exact", damping=0.0)
    with pytest.raises(ValueError, match="no square root"):
        fi_pairs(network, curvature, train, V, w)


@pytest.mark.parametrize(("n_classes", "d"), [(2, 4), (4, 6), (4, 2), (3, 1)])
def test_fisher_factors(n_classes, d):
    """Also where Z has dependent rows, or more of them than there are features."""
    rng = np.random.default_rng(d)
    Z = rng.normal(size=(9, n_classes - 1, d))
    Z[0] = 0.0
    Z[1, -1] = Z[1, 0]
    log_p = np.log(rng.dirichlet(np.ones(n_classes), 9))
    g = rng.normal(size=(9, d))
    F = fisher_factors(Z, log_p)
    assert F.shape == Z.shape
    fi = (np.matmul(F, g[:, :, None]) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(fi, fi_multiclass(g, Z, log_p), rtol=1e-9)


def mixed_derivatives(network, X, y):
    """M_i of each row, dense (n, m, d)."""
    dense = dense_of(make_network(3)[0])
    return np.stack(
        [dense.mixed(x, c).detach().numpy() for x, c in zip(tensors(X), y, strict=True)]
    )


def test_low_rank_is_the_truncated_decomposition():
    _, network, _, (X, y, _), _, _ = prepared(3, "kfac")
    M = mixed_derivatives(network, X, y)
    U, values, Vt = np.linalg.svd(M, full_matrices=False)
    x, codes = tensors(X), torch.as_tensor(y)
    for rank in (1, 2, 4):
        with torch.no_grad():
            found = low_rank(network, x, codes, rank, start_low_rank(0))
        assert found.numbers == (network.n_parameters + X.shape[1] + 1) * rank
        np.testing.assert_allclose(found.values.numpy(), values[:, :rank], rtol=1e-6)
        truncated = np.einsum("bmk,bk,bkd->bmd", U[:, :, :rank], values[:, :rank], Vt[:, :rank])
        product = found.U * found.values[:, None] @ found.V.transpose(1, 2)
        np.testing.assert_allclose(product.numpy(), truncated, atol=1e-6)
        v = torch.ones(1, 1, network.n_parameters).expand(len(x), 1, -1)
        np.testing.assert_allclose(
            found.transposed(v).numpy(), truncated.sum(1)[:, None], atol=1e-5
        )
        w = torch.ones(1, 1, X.shape[1]).expand(len(x), 1, -1)
        np.testing.assert_allclose(found.times(w).numpy(), truncated.sum(2)[:, None], atol=1e-5)


@pytest.mark.parametrize("perturbation", ["input", "features"])
def test_kfsvd_of_full_rank_is_exact_and_of_low_rank_is_not(perturbation):
    module, X, y, V, w, _ = make_network(3)
    settings = {"params": "all", "perturbation": perturbation, "random_state": 0}
    exact = fi_util(classifier(module), X, y, V, w, curvature="kfac", **settings)
    d = 4 if perturbation == "input" else 5
    errors = []
    for rank in range(1, d + 1):
        approximate, details = fi_util(
            classifier(module),
            *(X, y, V, w),
            approximation="kfsvd",
            n_components=rank,
            return_details=True,
            **settings,
        )
        assert details.curvature == "kfac"
        errors.append(np.abs(approximate - exact).sum() / exact.sum())
    assert errors[0] > 0.1
    assert errors[-1] < 1e-8


def test_pairs_by_kfsvd():
    _, network, built, train, V, w = prepared(3, "kfac")
    exact = fi_pairs(network, built, train, V, w)
    full = fi_pairs(network, built, train, V, w, rank=4)
    np.testing.assert_allclose(full, exact, rtol=1e-6)
    one = fi_pairs(network, built, train, V, w, rank=1)
    assert np.abs(one - exact).sum() > 0.05 * exact.sum()
