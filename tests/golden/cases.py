"""Fixed models and rows, and every score of them that the library gives.

Coefficients are given, not fitted, so that the numbers depend on no solver. ``python -m
tests.golden.cases`` writes `scores.json`, which a change of structure must leave alone.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skfi import (
    FIActiveSampler,
    FIEmbedding,
    FITrimmer,
    FITrimmerCV,
    fi_active,
    fi_pairwise,
    fi_signed,
    fi_util,
)
from skfi.baselines import iv, knn_shapley, loss
from skfi.queries import BALD, Entropy, LeastConfident, Margin, PowerMargin, Random

SCORES = Path(__file__).with_name("scores.json")
HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_DASK = importlib.util.find_spec("dask") is not None


class Given:
    """Rows, labels and a classifier of given coefficients."""

    def __init__(self, n_classes: int, n: int = 24, d: int = 4, C: float = 0.5):
        rng = np.random.default_rng(n_classes * 100 + d)
        self.X, self.X_val = rng.normal(size=(n, d)), rng.normal(size=(15, d))
        self.pool = rng.normal(size=(18, d))
        coef = rng.normal(size=(n_classes, d)) / np.sqrt(d)
        scores = self.X @ coef.T + 0.8 * rng.normal(size=(n, n_classes))
        self.y, self.y_val = scores.argmax(axis=1), (self.X_val @ coef.T).argmax(axis=1)
        self.y[:n_classes] = np.arange(n_classes)
        self.weight = rng.integers(1, 4, n).astype(float)
        self.model = LogisticRegression(C=C)
        self.model.classes_ = np.arange(n_classes)
        self.model.n_features_in_ = d
        self.model.n_iter_ = np.array([1])
        one = n_classes == 2
        self.model.coef_ = coef[1:] - coef[:1] if one else coef - coef.mean(axis=0)
        intercept = 0.3 * rng.normal(size=n_classes)
        self.model.intercept_ = intercept[1:] if one else intercept - intercept.mean()

    @property
    def rows(self):
        return self.X, self.y, self.X_val, self.y_val


def linear_cases() -> dict[str, Callable[[], np.ndarray]]:
    cases: dict[str, Callable] = {}
    for k in (2, 3, 5):
        g = Given(k)
        for metric in ("euclidean", "mahalanobis"):
            for name in ("log_loss", "expected_error", "gce"):
                options = {"metric": metric, "validation_loss": name}
                cases[f"fi_util {k} {metric} {name}"] = lambda g=g, o=options: fi_util(
                    g.model, *g.rows, **o
                )
        for unit in ("copy", "row"):
            cases[f"fi_util {k} weights {unit}"] = lambda g=g, u=unit: fi_util(
                g.model, *g.rows, sample_weight=g.weight, unit=u
            )
        cases[f"fi_util {k} kfac"] = lambda g=g: fi_util(g.model, *g.rows, curvature="kfac")
        cases[f"fi_util {k} damping"] = lambda g=g: fi_util(g.model, *g.rows, damping=0.01)
        cases[f"fi_util {k} sparse"] = lambda g=g: fi_util(
            g.model, sparse.csr_array(g.X), g.y, sparse.csr_array(g.X_val), g.y_val
        )
        cases[f"fi_signed {k}"] = lambda g=g: fi_signed(g.model, *g.rows)
        cases[f"iv {k}"] = lambda g=g: iv(g.model, *g.rows)
        cases[f"loss {k}"] = lambda g=g: loss(g.model, *g.rows)
        cases[f"knn_shapley {k}"] = lambda g=g: knn_shapley(g.model, *g.rows)
        cases[f"fi_pairwise {k}"] = lambda g=g: fi_pairwise(g.model, g.X, g.y, g.pool)
        cases[f"fi_pairwise {k} kfac"] = lambda g=g: fi_pairwise(
            g.model, g.X, g.y, g.pool, curvature="kfac"
        )
        for aggregate in ("median", "trimmed_mean", "mean", "row_trimmed_mean"):
            cases[f"fi_active {k} {aggregate}"] = lambda g=g, a=aggregate: fi_active(
                g.model, g.X, g.y, g.pool, aggregate=a
            )
        cases[f"embedding {k}"] = lambda g=g: (
            FIEmbedding(FrozenEstimator(g.model)).fit(g.X, g.y).transform(g.pool) ** 2
        ).sum(axis=1)
        for strategy in (
            Random(),
            Margin(),
            Entropy(),
            LeastConfident(),
            PowerMargin(),
            BALD(posterior="laplace", n_draws=8),
            FIActiveSampler(),
            FIActiveSampler(selection="diverse"),
            FIActiveSampler(utility="fi_margin", aggregate="mean", selection="diverse"),
            FIActiveSampler(utility="fi", selection="top", aggregate="trimmed_mean"),
            FIActiveSampler(selection="power", curvature="kfac"),
        ):
            for part in ("scores", "batch"):
                cases[f"{strategy} {k} {part}"] = lambda g=g, s=strategy, p=part: _asked(
                    s, g, p
                )
    for k in (2, 3):
        g = Given(k, n=12, d=30)
        kfac = {"curvature": "kfac"} if k == 3 else {}
        for metric in ("euclidean", "mahalanobis"):
            cases[f"wide {k} {metric}"] = lambda g=g, o={"metric": metric, **kfac}: fi_util(
                g.model, *g.rows, **o
            )
        cases[f"wide iv {k}"] = lambda g=g: iv(g.model, *g.rows)
    many = Given(40, n=80, d=6)
    cases["many classes kfac"] = lambda: fi_util(many.model, *many.rows, curvature="kfac")
    few = Given(6, n=30, d=2)
    cases["few columns"] = lambda: fi_util(few.model, *few.rows)
    return cases


def _asked(strategy, g: Given, part: str) -> np.ndarray:
    strategy = type(strategy)(**{**strategy.get_params(False), "random_state": 0})
    strategy.set_params(estimator=FrozenEstimator(g.model), batch_size=5).fit(g.X, g.y)
    batch, scores = strategy.query(g.pool, return_utilities=True)
    return batch if part == "batch" else scores


def trimmer_cases() -> dict[str, Callable[[], np.ndarray]]:
    tight = LogisticRegression(solver="newton-cholesky", tol=1e-12)

    def of(trimmer, k, **more):
        g = Given(k, n=80)
        return trimmer.fit(g.X, g.y, **more)

    def with_checked(k):
        g = Given(k, n=80)
        return {"X_val": g.X_val, "y_val": g.y_val}

    return {
        f"{name} {k}": lambda t=trimmer, k=k, m=more: of(t(tight), k, **m(k)).trimmed_indices_
        for k in (2, 3)
        for name, trimmer, more in (
            ("FITrimmer", lambda m: FITrimmer(m, budget=0.2), lambda _: {}),
            (
                "FITrimmer checked",
                lambda m: FITrimmer(m, budget=0.2, checked_rows="judge"),
                with_checked,
            ),
            (
                "FITrimmer once",
                lambda m: FITrimmer(
                    m,
                    budget=9,
                    step=None,
                    influence="fi",
                    metric="euclidean",
                    checked_rows="judge",
                ),
                with_checked,
            ),
            ("FITrimmerCV", lambda m: FITrimmerCV(m, budgets=(0.1, 0.2), cv=3), lambda _: {}),
        )
    }


def network_cases() -> dict[str, Callable[[], np.ndarray]]:
    import torch
    from torch import nn

    from skfi.bridge import TorchClassifier

    g = Given(3)
    rng = np.random.default_rng(0)
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.as_tensor(0.5 * rng.normal(size=tuple(parameter.shape))))
    model = TorchClassifier(module, nn.CrossEntropyLoss(), classes=range(3), weight_decay=1e-2)
    cases: dict[str, Callable] = {
        f"network last layer {curvature}": lambda c=curvature: fi_util(
            model, *g.rows, curvature=c
        )
        for curvature in ("exact", "kfac")
    }
    for curvature in ("ggn", "kfac", "ekfac"):
        cases[f"network all {curvature}"] = lambda c=curvature: fi_util(
            model, *g.rows, curvature=c, params="all", perturbation="input"
        )
    cases["network all pairs"] = lambda: fi_pairwise(
        model, g.X, g.y, g.pool, params="all", perturbation="input", curvature="ggn"
    )
    cases["network active"] = lambda: fi_active(model, g.X, g.y, g.pool)
    return cases


def large_cases() -> dict[str, Callable[[], np.ndarray]]:
    from skfi import outofcore

    g = Given(3)

    def batches():
        source = outofcore.ArrayRows(g.X, g.y)
        return outofcore.fi_util(g.model, source, g.X_val, g.y_val)

    cases = {"out of core": batches}
    if HAS_DASK:
        import dask.array as da

        from skfi.integrations import dask as dasked

        cases["dask"] = lambda: dasked.fi_util(
            g.model, da.from_array(g.X, chunks=(7, 4)), da.from_array(g.y, chunks=7),
            g.X_val, g.y_val,
        ).compute()  # fmt: skip
    return cases


def all_cases() -> dict[str, Callable[[], np.ndarray]]:
    """Name of each case -> what computes it; networks and Dask where they are installed."""
    cases = linear_cases() | trimmer_cases() | large_cases()
    return cases | network_cases() if HAS_TORCH else cases


def compute(case: Callable[[], np.ndarray]) -> list:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the coefficients are not at a minimum
        return np.asarray(case()).ravel().tolist()


if __name__ == "__main__":
    lines = (f"{json.dumps(k)}: {json.dumps(compute(c))}" for k, c in all_cases().items())
    SCORES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
