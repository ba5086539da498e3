"""Curvatures of special modules: "auto" ends in one that works, K-FAC where it is exact."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

torch = pytest.importorskip("torch")

from skfi import FIActiveSampler, fi_active, fi_util  # noqa: E402
from skfi.network import _scores as _network_scores  # noqa: E402
from tests.contract.network_zoo import ZOO  # noqa: E402
from tests.contract.test_network_zoo import (  # noqa: E402, F401
    _one_thread,
    classifier,
    expected,
    make,
    rows,
)

FORM = {"params": "all", "perturbation": "input", "damping": 0.5}
# Those whose layers K-FAC has no form for, or has.
WITHOUT = [
    "0-d parameter",
    "weight used as a function",
    "layer used twice",
    "pruned body",
    "transformer encoder",
    "batch norm",
    "depthwise convolution",
    "padding by name",
]
WITH = ["plain", "unused layer", "squeezed features", "squeezed, binary"]


@pytest.fixture
def no_small_matrices(monkeypatch):
    """Let "auto" choose for small modules as it does for large ones."""
    monkeypatch.setattr(_network_scores, "_LARGEST_DENSE", 0)


@pytest.mark.usefixtures("no_small_matrices")
@pytest.mark.parametrize("name", WITHOUT)
def test_auto_without_kfac(name):
    train, val, (X_pool, _) = rows(name)
    model = classifier(make(ZOO[name].make), name)
    scores, details = fi_util(model, *train, *val, **FORM, return_details=True)
    assert details.curvature == "cg"
    reference, pairs = expected(name, "every")
    np.testing.assert_allclose(scores, reference, rtol=1e-3, atol=1e-4 * reference.max())
    scores = fi_active(model, *train, X_pool, aggregate="mean", **FORM)
    np.testing.assert_allclose(scores, pairs.mean(0), rtol=1e-3)
    sampler = FIActiveSampler(FrozenEstimator(model), **FORM).fit(*train)
    assert sampler.influence_details_.curvature == "ggn"
    assert len(sampler.query(X_pool)) == 1


@pytest.mark.usefixtures("no_small_matrices")
@pytest.mark.parametrize("name", WITH)
def test_auto_with_kfac(name):
    train, val, (X_pool, _) = rows(name)
    model = classifier(make(ZOO[name].make), name)
    scores, details = fi_util(model, *train, *val, **FORM, return_details=True)
    assert details.curvature == "kfac"
    by_name = fi_util(model, *train, *val, curvature="kfac", **FORM)
    np.testing.assert_array_equal(scores, by_name)
    assert np.isfinite(fi_active(model, *train, X_pool, **FORM)).all()


@pytest.mark.usefixtures("no_small_matrices")
def test_auto_says_what_to_leave_out(monkeypatch):
    monkeypatch.setattr(_network_scores, "LARGEST_MATRIX", 10)
    train, _, (X_pool, _) = rows("layer norm")
    model = classifier(make(ZOO["layer norm"].make), "layer norm")
    with pytest.raises(ValueError, match=r"'1.weight'.* Leave these out"):
        fi_active(model, *train, X_pool, **FORM)
    scores = fi_active(
        model, *train, X_pool, **{**FORM, "params": lambda n: not n.startswith("1.")}
    )
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("curvature", ["kfac", "ekfac"])
@pytest.mark.parametrize("name", WITHOUT)
def test_refused_by_kfac(name, curvature):
    train, val, _ = rows(name)
    model = classifier(make(ZOO[name].make), name)
    with pytest.raises(ValueError, match=r'K-FAC .* or use curvature="ggn" or "cg"'):
        fi_util(model, *train, *val, curvature=curvature, **FORM)


@pytest.mark.parametrize("curvature", ["kfac", "ekfac", "cg"])
def test_unused_layers_change_nothing(curvature):
    train, val, _ = rows("plain")
    form = {**FORM, "curvature": curvature}
    module = make(ZOO["unused layer"].make)
    scores = fi_util(classifier(module, "plain"), *train, *val, **form)
    used = [name for name, _ in module.named_parameters() if "parts.1" not in name]
    without = fi_util(classifier(module, "plain"), *train, *val, **{**form, "params": used})
    np.testing.assert_allclose(scores, without, rtol=1e-4)
