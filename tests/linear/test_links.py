"""Links: derivatives against differences of the losses they belong to."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.linalg import helmert
from scipy.special import expit

from skfi.linear._links import OneVsOne, OneVsRest, Sigmoid, Softmax, curve, curve_columns

LINKS = [
    Sigmoid(),
    Softmax(3),
    Softmax(4, reduced=False),
    OneVsRest(3),
    OneVsOne(3),
    OneVsOne(5),
]


@pytest.fixture(params=LINKS, ids=lambda link: f"{type(link).__name__}-{link.n_outputs}")
def case(request):
    rng = np.random.default_rng(0)
    link = request.param
    z = rng.standard_normal((20, link.n_outputs)) * 2
    return link, z, rng.integers(0, link.n_classes, 20)


def difference(function, z, k, step=1e-6):
    move = step * np.eye(z.shape[1])[k]
    return (function(z + move) - function(z - move)) / (2 * step)


def test_residual_and_curvature(case):
    link, z, y = case
    r, S = link.residual(z, y), link.curvature(z)
    for k in range(link.n_outputs):
        loss = link.loss(z, y)
        if loss.ndim == 2:
            slope = difference(lambda z: link.loss(z, y), z, k)[:, k]
        else:
            slope = difference(lambda z: link.loss(z, y), z, k)
        np.testing.assert_allclose(r[:, k], slope, atol=1e-8)
        bend = difference(lambda z: link.residual(z, y), z, k)
        np.testing.assert_allclose(S[:, k], bend if link.coupled else bend[:, k], atol=1e-8)


def test_log_proba_and_pull_back(case):
    link, z, _ = case
    log_p = link.log_proba(z)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1)
    c = np.random.default_rng(1).standard_normal(log_p.shape)
    pulled = link.pull_back(z, c)
    for k in range(link.n_outputs):
        slope = difference(lambda z: (link.log_proba(z) * c).sum(axis=1), z, k)
        np.testing.assert_allclose(pulled[:, k], slope, atol=1e-7)


def test_contrasts(case):
    """K - 1 derivatives of independent log-odds; the helmert contrasts of log P."""
    link, z, _ = case
    dz = np.random.default_rng(1).standard_normal((len(z), link.n_outputs, 2))
    actual = link.contrasts(z, dz)
    if link.n_outputs == 1:
        basis = np.array([[-1.0], [1.0]])  # the log-odds themselves
    else:
        basis = helmert(link.n_classes).T
    for j in range(2):

        def log_odds(z):
            return link.log_proba(z) @ basis

        step = 1e-6 * dz[:, :, j]
        slope = (log_odds(z + step) - log_odds(z - step)) / 2e-6
        np.testing.assert_allclose(actual[:, :, j], slope, atol=1e-7)
    if link.n_outputs > 1:
        spread = basis.T @ link.class_scores(z, dz)
        np.testing.assert_allclose(actual, spread, atol=1e-12)


@pytest.mark.parametrize("reduced", [True, False])
def test_curvature_of_confident_rows_keeps_its_digits(reduced):
    link = Softmax(5, reduced=reduced)
    z = 40 * np.random.default_rng(0).standard_normal((30, 5)) @ link.basis
    p, U = np.exp(link.log_proba(z)), link.basis
    assert p.max(axis=1).max() == 1.0
    apart = U[:, None] - U[None]
    expected = 0.5 * np.einsum("bi,bj,ijk,ijl->bkl", p, p, apart, apart)
    scale = np.abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(link.curvature(z) / scale, expected / scale, atol=1e-13)
    v = np.random.default_rng(1).standard_normal((30, 5))
    Sv = curve(p, p.argmax(axis=1), v)
    expected = np.einsum("bi,bj,bij->bi", p, p, v[:, :, None] - v[:, None])
    np.testing.assert_allclose(Sv, expected, rtol=1e-10)
    columns = curve_columns(p.T.copy(), p.argmax(axis=1), v.T.copy())
    np.testing.assert_allclose(columns.T, expected, rtol=1e-10)


def test_one_vs_one_multiplies_the_pairs():
    link = OneVsOne(4)
    z = np.random.default_rng(0).standard_normal((1, 6))
    product = np.ones(4)
    for score, (i, j) in zip(z[0], combinations(range(4), 2), strict=True):
        product[i] *= expit(-score)
        product[j] *= expit(score)
    np.testing.assert_allclose(np.exp(link.log_proba(z))[0], product / product.sum())


def test_one_vs_one_of_one_pair_is_a_sigmoid():
    z, y = np.array([[-2.0], [0.3], [5.0]]), np.array([0, 1, 1])
    for name, args in (("residual", (z, y)), ("curvature", (z,)), ("log_proba", (z,))):
        expected = getattr(Sigmoid(), name)(*args)
        np.testing.assert_allclose(getattr(OneVsOne(2), name)(*args), expected, atol=1e-15)


def test_extreme_scores_stay_finite(case):
    link, z, y = case
    z = np.sign(z) * 1e4
    for part in (link.loss(z, y), link.residual(z, y), link.curvature(z), link.log_proba(z)):
        assert np.isfinite(part).all()
