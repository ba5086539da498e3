"""The scores of each small module are right, or refused with what to do."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import cache

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

torch = pytest.importorskip("torch")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402

from skfi import FIActiveSampler, FITrimmer, fi_active, fi_util  # noqa: E402
from skfi.bridge import TorchClassifier  # noqa: E402
from tests.contract.network_zoo import ZOO  # noqa: E402
from tests.network_reference import DenseNetwork  # noqa: E402

DECAY, DAMPING = 0.05, 0.5
N, N_VAL, N_POOL = 12, 4, 2
pytestmark = [
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning"),
    # torch 2.4, of its own checkpoints
    pytest.mark.filterwarnings("ignore:.*torch.cpu.amp.autocast:FutureWarning"),
]
CASES = [(name, form) for name in ZOO for form in ("head", "every")]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small are the matrices that more threads wait for each other
    with threadpool_limits(1), torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(threads)


def make(factory):
    torch.default_generator.manual_seed(0)
    return factory().eval()


def rows(name):
    """Training rows, validation rows and a pool."""
    rng = np.random.default_rng(0)
    shape = N + N_VAL + N_POOL, 4
    if ZOO[name].tokens:
        X = rng.integers(0, 9, shape)
    else:
        X = rng.normal(size=shape).astype(np.float32)
    y = np.arange(len(X)) % max(ZOO[name].outputs, 2)
    parts = slice(0, N), slice(N, N + N_VAL), slice(N + N_VAL, None)
    return [(X[part], y[part]) for part in parts]


def classifier(module, name):
    binary = ZOO[name].outputs == 1
    criterion = torch.nn.BCEWithLogitsLoss() if binary else torch.nn.CrossEntropyLoss()
    classes = range(2 if binary else 3)
    return TorchClassifier(module, criterion, classes=classes, weight_decay=DECAY)


def choices(name, form):
    if form == "head":
        return {"damping": DAMPING}
    perturbation = "features" if ZOO[name].tokens else "input"
    return {
        "params": "all",
        "perturbation": perturbation,
        "curvature": "ggn",
        "damping": DAMPING,
    }


@contextmanager
def without_fused_attention():
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@cache
def expected(name, form):
    """FI of each training row by the validation rows, and through each row of the pool."""
    entry = ZOO[name]
    module = make(entry.plain or entry.make).double()
    (X, y), (X_val, y_val), (X_pool, _) = rows(name)
    parts = [torch.as_tensor(part) for part in (X, X_val, X_pool)]
    parts = [p.double() if p.is_floating_point() else p for p in parts]
    features = entry.tokens and form == "every"
    with without_fused_attention():
        if form == "head":
            heads = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
            head, seen = heads[-1], []
            head.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
            for part in parts:
                module(part)
            module, parts = torch.nn.Sequential(head), seen[:3]
            head._forward_pre_hooks.clear()
        names = [n for n, p in module.named_parameters() if p.requires_grad]
        reference = DenseNetwork(
            module,
            names,
            dict.fromkeys(names, DECAY),
            features=features,
            damping=DAMPING,
            outputs=entry.outputs,
        )
        X, X_val, X_pool = parts
        one = torch.ones(N, dtype=torch.float64)
        inverse = torch.linalg.inv(reference.gauss_newton(X, one))
        predicted = [int(reference.log_proba(reference.theta, x).argmax()) for x in X_pool]
        u = torch.stack(
            [
                reference.validation_gradient(X_val, y_val),
                *(
                    reference.validation_gradient([x], [c])
                    for x, c in zip(X_pool, predicted, strict=True)
                ),
            ]
        )
        g, D = reference.ingredients(inverse, u, X, y, one)
        log_p = [reference.log_proba(reference.theta, x).detach().numpy() for x in X]
    fi = np.empty((N, len(u)))
    for i in range(N):
        G = np.einsum("c,ci,cj->ij", np.exp(log_p[i]), D[i], D[i])
        G = np.linalg.pinv(G, rcond=1e-10, hermitian=True)
        fi[i] = np.einsum("pi,ij,pj->p", g[i], G, g[i])
    return fi[:, 0], fi[:, 1:]


def by_fi_util(name, form, model):
    train, val, _ = rows(name)
    return fi_util(model, *train, *val, **choices(name, form)), expected(name, form)[0]


def by_fi_active(name, form, model):
    train, _, (X_pool, _) = rows(name)
    scores = fi_active(model, *train, X_pool, aggregate="mean", **choices(name, form))
    return scores, expected(name, form)[1].mean(0)


def by_trimmer(name, form, model):
    train, (X_val, y_val), _ = rows(name)
    trimmer = FITrimmer(
        LogisticRegression(),
        budget=2,
        step=None,
        influence="fi",
        influence_estimator=FrozenEstimator(model),
        influence_params=choices(name, form),
        validation_loss="log_loss",
        metric="euclidean",
    )
    trimmer.fit(*train, X_val=X_val, y_val=y_val)
    return trimmer.influence_, expected(name, form)[0]


def by_sampler(name, form, model):
    train, _, (X_pool, _) = rows(name)
    sampler = FIActiveSampler(
        FrozenEstimator(model),
        utility="fi",
        aggregate="mean",
        selection="top",
        **choices(name, form),
    )
    _, scores = sampler.fit(*train).query(X_pool, return_utilities=True)
    return np.ravel(scores), expected(name, form)[1].mean(0)


CALLERS = {
    "fi_util": by_fi_util,
    "fi_active": by_fi_active,
    "FITrimmer": by_trimmer,
    "FIActiveSampler": by_sampler,
}
# Trimmers and samplers score by these functions: modules of each kind, and of each refusal.
WHOLE = ["plain", "squeezed, binary", "pruned last layer", "bfloat16", "autocast", "LSTM",
         "no second derivative", "embedding, sparse gradients", "noise", "no parameters",
         "dictionary", "error in a hook"]  # fmt: skip
CALLS = [(caller, *case) for caller in list(CALLERS)[:2] for case in CASES]
CALLS += [(c, *case) for c in list(CALLERS)[2:] for case in CASES if case[0] in WHOLE]


@pytest.mark.parametrize(("caller", "name", "form"), CALLS, ids=map("-".join, CALLS))
@pytest.mark.filterwarnings("ignore:X_val is not on the scale:UserWarning")
def test_right_or_refused(caller, name, form):
    entry = ZOO[name]
    message = getattr(entry, form)
    model = classifier(make(entry.make), name)
    state = torch.get_rng_state()
    if message:
        with pytest.raises(entry.kind, match=message):
            CALLERS[caller](name, form, model)
    else:
        scores, reference = CALLERS[caller](name, form, model)
        assert reference.max() > 0 or name == "no gradient to the input"
        np.testing.assert_allclose(scores, reference, rtol=1e-4, atol=1e-4 * reference.max())
    assert torch.equal(state, torch.get_rng_state())


def _state(module):
    """All that a module holds, as numbers."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    out = {
        n: t.detach().double().clone() for n, t in tensors if t.numel() and not t.is_complex()
    }
    for part in module.modules():
        out |= {k: v.detach().double().clone() for k, v in vars(part).items()
                if isinstance(v, torch.Tensor)}  # fmt: skip
    return out, [m.training for m in module.modules()]


@pytest.mark.parametrize(("name", "form"), CASES, ids=["-".join(case) for case in CASES])
def test_nothing_of_the_callers_changes(name, form):
    if name in ("lazy", "scripted", "complex numbers"):
        pytest.skip("refused before it is called")
    module = make(ZOO[name].make)
    (X, y), (X_val, y_val), (X_pool, _) = rows(name)
    copies = [part.copy() for part in (X, X_val, X_pool)]
    before, modes = _state(module)
    model = classifier(module, name)
    for call in (
        lambda: fi_util(model, X, y, X_val, y_val, **choices(name, form)),
        lambda: fi_active(model, X, y, X_pool, **choices(name, form)),
        lambda: model.predict(X),
    ):
        with suppress(ValueError, TypeError, RuntimeError):
            call()
    after, modes_after = _state(module)
    assert modes == modes_after
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert torch.equal(value, after[key]), key
    for part, copy in zip((X, X_val, X_pool), copies, strict=True):
        np.testing.assert_array_equal(part, copy)
