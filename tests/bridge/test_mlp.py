"""MLPClassifier: its last layer without torch, all of it with; and the choices there are."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skfi import fi_util
from skfi.bridge import bridge
from skfi.bridge._network import Choices
from tests.conftest import make_split
from tests.reference import Definition

GENERIC = {"params": "all", "perturbation": "input"}
ALPHA, BATCH = 2.0, 10
NAMES = np.array(["spam", "eggs", "ham"])
ACTIVATIONS = {
    "identity": lambda a: a,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda a: np.where(a > 0, a, 0),
}
SOLVERS = {
    "lbfgs": {"solver": "lbfgs", "tol": 1e-10, "batch_size": BATCH},  # which it ignores
    "adam": {"solver": "adam", "batch_size": BATCH},
    "sgd": {"solver": "sgd", "batch_size": BATCH},
}


def split(n_classes, n=40):
    X, y, X_val, y_val, weight = make_split(n_classes, n=n, d=4, n_val=15)
    return X, NAMES[y], X_val, NAMES[y_val], weight


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):  # more of them wait for each other on matrices this small
        yield


@pytest.fixture
def dense():
    """FI by torch's own derivatives, of an MLPClassifier's module rebuilt here."""
    torch = pytest.importorskip("torch")
    from tests.bridge.dense import dense_fi

    def score(model, X, y, X_val, y_val, decay, damping):
        kinds = {"identity": "Identity", "logistic": "Sigmoid", "tanh": "Tanh", "relu": "ReLU"}
        layers = []
        for W, b in zip(model.coefs_, model.intercepts_, strict=True):
            layer = torch.nn.Linear(*W.shape, dtype=torch.float64)
            layer.weight.data, layer.bias.data = torch.as_tensor(W.T), torch.as_tensor(b)
            layers += [layer, getattr(torch.nn, kinds[model.activation])()]
        module = torch.nn.Sequential(*layers[:-1])
        weights = {name: decay for name, _ in module.named_parameters() if "weight" in name}
        binary = len(model.classes_) == 2
        criterion = torch.nn.BCEWithLogitsLoss() if binary else torch.nn.CrossEntropyLoss()
        codes = [np.searchsorted(model.classes_, labels) for labels in (y, y_val)]
        data = X, codes[0], X_val, codes[1]
        return dense_fi(module, criterion, *data, decay=weights, damping=damping)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield score
    torch.set_num_threads(threads)


def network(solver="lbfgs", hidden=(3,), **params):
    settings = {"activation": "tanh", "alpha": ALPHA, "max_iter": 2000, "random_state": 0}
    return MLPClassifier(hidden, **{**settings, **SOLVERS[solver], **params})


def fitted(solver, X, y, **params):
    """Fitted to the end by lbfgs; else one pass, as no solver gets to the end."""
    model = network(solver, **params)
    return (
        model.fit(X, y) if solver == "lbfgs" else model.partial_fit(X, y, classes=np.unique(y))
    )


def hidden_layers(model, X):
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        X = ACTIVATIONS[model.activation](X @ W + b)
    return X


def close(actual, expected, rtol=1e-7):
    assert expected.max() > 0
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-12 * expected.max())


@pytest.mark.parametrize("hidden", [(3,), (5, 3), ()])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_last_layer_is_linear_on_what_is_hidden(n_classes, solver, hidden):
    X, y, X_val, y_val, _ = split(n_classes)
    model = fitted(solver, X, y, hidden=hidden)
    # Beside the sum over all rows: α for lbfgs, and α once for each batch.
    l2 = ALPHA * (1 if solver == "lbfgs" else len(X) / BATCH)
    rows = [hidden_layers(model, part) for part in (X, X_val)]
    codes = [np.searchsorted(model.classes_, part) for part in (y, y_val)]
    for damping in (0.0, 0.3):
        lifted = damping * len(X)
        reference = Definition(model.coefs_[-1].T, model.intercepts_[-1], l2 + lifted, lifted)
        u = reference.validation_gradient(rows[1], codes[1], np.ones(len(y_val)))
        expected = reference.fi(rows[0], codes[0], np.ones(len(X)), np.ones(len(X)), u)
        for curvature in ("auto", "exact", "ggn"):
            form = {"damping": damping, "curvature": curvature}
            close(fi_util(model, X, y, X_val, y_val, **form), expected)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_all_parameters_against_dense_derivatives(dense, n_classes, activation, solver):
    X, y, X_val, y_val, _ = split(n_classes, n=20)
    data = X[:6], y[:6], X_val, y_val
    model = fitted(solver, X, y, activation=activation)
    decay = ALPHA / (6 if solver == "lbfgs" else min(BATCH, 6))
    scores = fi_util(model, *data, curvature="exact", damping=2.0, **GENERIC)
    close(scores, dense(model, *data, decay, 2.0))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_bridge_has_the_same_probabilities(n_classes, activation):
    X, y, *_ = split(n_classes)
    model = fitted("lbfgs", X, y, activation=activation, hidden=(5, 3))
    expected = model.predict_proba(X)
    linear = bridge(model).last_layer(Choices(), X)
    last = linear.make_model(len(X))
    log_proba = last.link.log_proba(last.scores(linear.transform(X)))
    np.testing.assert_allclose(np.exp(log_proba), expected, rtol=1e-9)
    # and the bridge's features are those of a forward pass written down
    z = hidden_layers(model, X) @ model.coefs_[-1] + model.intercepts_[-1]
    by_hand = np.c_[expit(-z), expit(z)] if n_classes == 2 else softmax(z, axis=1)
    np.testing.assert_allclose(np.exp(log_proba), by_hand, rtol=1e-9)
    pytest.importorskip("torch")
    from skfi.network._network import scores_all

    network = bridge(model).network(Choices(**GENERIC), X)
    log_proba = network.link.log_proba(scores_all(network, X))
    np.testing.assert_allclose(np.exp(log_proba), expected, rtol=1e-9)


FORMS = pytest.mark.parametrize("form", [{}, GENERIC], ids=["closed", "generic"])


def gradient_norm(model, data, form, **settings):
    if form:
        pytest.importorskip("torch")
    return fi_util(model, *data, return_details=True, **form, **settings)[1].gradient_norm


@FORMS
@pytest.mark.parametrize("n_classes", [2, 3])
def test_optimum_of_the_objective_that_is_read(n_classes, form):
    *data, weight = split(n_classes)
    model = fitted("lbfgs", *data[:2])
    at_rest = gradient_norm(model, data, form)
    assert at_rest < 3e-4
    assert gradient_norm(model.set_params(alpha=1.1 * ALPHA), data, form) > 10 * at_rest
    weighted = network().fit(*data[:2], sample_weight=weight)
    assert gradient_norm(weighted, data, form, sample_weight=weight) < 3e-4
    assert gradient_norm(weighted, data, form) > 3e-3


@FORMS
def test_penalty_of_batches_is_what_a_pass_applies(form):
    """With small steps one pass goes (n/b) steps along the gradient of the mean objective."""
    if form:
        pytest.importorskip("torch")
    *data, _ = split(3)
    lr = 1e-7
    model = network("sgd", momentum=0.0, learning_rate_init=lr, shuffle=False)
    model.partial_fit(*data[:2], classes=np.unique(data[1]))
    before = [t.copy() for t in (*model.coefs_, *model.intercepts_)]
    model.partial_fit(*data[:2])
    moved = [t - s for t, s in zip((*model.coefs_, *model.intercepts_), before, strict=True)]
    if not form:  # the last layer alone
        moved = [moved[1], moved[3]]
    length = np.sqrt(sum((t**2).sum() for t in moved)) / (lr * len(data[0]) / BATCH)
    norm = gradient_norm(model, data, form)
    if form:
        np.testing.assert_allclose(norm, length, rtol=1e-5)
    else:  # in K - 1 contrasts; the penalty pulls at the mean of the classes too
        assert norm <= length * (1 + 1e-5)
    assert abs(gradient_norm(model.set_params(alpha=0), data, form) / norm - 1) > 1e-2


@FORMS
def test_sample_weights_count_as_copies(form):
    if form:
        pytest.importorskip("torch")
    X, y, X_val, y_val, weight = split(3, n=20)
    model = network().fit(X, y, sample_weight=weight)
    times = weight.astype(int)
    copies = np.repeat(np.arange(len(X)), times)
    first = np.r_[0, times.cumsum()[:-1]]
    for damping in (0.0, 0.01, "auto"):
        settings = {"damping": damping, "curvature": "ggn", **form}
        settings["return_details"] = True
        scores, details = fi_util(model, X, y, X_val, y_val, sample_weight=weight, **settings)
        expected, repeated = fi_util(model, X[copies], y[copies], X_val, y_val, **settings)
        close(scores, expected[first])
        for name in ("damping", "gradient_norm"):
            value = getattr(repeated, name)
            np.testing.assert_allclose(getattr(details, name), value, rtol=1e-6, atol=1e-9)


def test_sparse_rows():
    X, y, X_val, y_val, _ = split(3)
    X, X_val = np.where(X > 0, X, 0), np.where(X_val > 0, X_val, 0)
    for hidden in ((3,), ()):
        model = fitted("lbfgs", X, y, hidden=hidden)
        expected = fi_util(model, X, y, X_val, y_val)
        for kind in (sparse.csr_array, sparse.csc_matrix):
            scores = fi_util(model, kind(X), y, kind(X_val), y_val)
            np.testing.assert_allclose(scores, expected, rtol=1e-9)
    pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"X is sparse.* Pass X.toarray\(\).* \"last_layer\""):
        fi_util(model, sparse.csr_array(X), y, X_val, y_val, **GENERIC)


def test_float32_rows():
    X, y, X_val, y_val, _ = split(3)
    X, X_val = X.astype(np.float32), X_val.astype(np.float32)
    model = fitted("adam", X, y)
    assert model.coefs_[0].dtype == np.float32
    wide = [part.astype(float) for part in (X, X_val)]
    scores = fi_util(model, X, y, X_val, y_val)
    close(scores, fi_util(model, wide[0], y, wide[1], y_val), rtol=1e-3)
    pytest.importorskip("torch")
    form = {"curvature": "ggn", "damping": 1.0, **GENERIC}
    exact = fi_util(model, X, y, X_val, y_val, dtype="float64", **form)
    close(fi_util(model, X, y, X_val, y_val, **form), exact, rtol=1e-3)


@FORMS
def test_inside_of_other_estimators(form):
    if form:
        pytest.importorskip("torch")
    X, y, X_val, y_val, _ = split(3)
    scaler = StandardScaler().fit(X)
    model = fitted("lbfgs", scaler.transform(X), y)
    expected = fi_util(model, scaler.transform(X), y, scaler.transform(X_val), y_val, **form)
    pipeline = make_pipeline(scaler, model)
    search = GridSearchCV(make_pipeline(StandardScaler(), network()), {}, cv=2).fit(X, y)
    for estimator in (pipeline, FrozenEstimator(pipeline), search):
        scores = fi_util(estimator, X, y, X_val, y_val, **form)
        np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_early_stopping_keeps_rows_to_itself():
    X, y, X_val, y_val, _ = make_split(
        2, n=40, d=4, n_val=15
    )  # 1.7 stops early on numbers only
    settings = {"early_stopping": True, "n_iter_no_change": 1, "max_iter": 200, "tol": 1.0}
    model = network("adam", **settings).fit(X, y)
    with pytest.warns(UserWarning, match="keeps a share of its training rows .* never trains"):
        fi_util(model, X, y, X_val, y_val)


def test_refused():
    X, y, X_val, y_val, _ = split(3)
    model = fitted("lbfgs", X, y)
    with pytest.raises(ValueError, match=r"X has 3 features .* fitted on 4\. Pass the columns"):
        fi_util(model, X[:, :3], y, X_val, y_val)
    several = network().fit(X, np.c_[X[:, 0] > 0, X[:, 1] > 0])
    with pytest.raises(TypeError, match="several labels a row; FI needs one"):
        fi_util(several, X, y, X_val, y_val)


def test_only_the_last_layer_needs_no_torch():
    code = """
        import sys
        import numpy as np
        from sklearn.neural_network import MLPClassifier
        from skfi import fi_util

        class NoTorch:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("torch", "skorch"):
                    raise ModuleNotFoundError(name)

        sys.meta_path.insert(0, NoTorch())
        X = np.random.default_rng(0).normal(size=(30, 2))
        y = (X[:, 0] > 0).astype(int)
        data = X[:20], y[:20], X[20:], y[20:]
        model = MLPClassifier((2,), solver="lbfgs", tol=1.0, max_iter=500).fit(X[:20], y[:20])
        for curvature in ("exact", "ggn", "kfac"):
            assert fi_util(model, *data, curvature=curvature).shape == (20,)
        fi_util(model, *data, params="all")
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert 'needs torch, which is not installed: pip install "skfi[torch]"' in last


CHOICES = [
    ({"perturbation": "outputs"}, "use .*features.*input"),
    ({"perturbation": None}, "use .*features.*input"),
    ({"curvature": "fisher"}, "use one of .*'auto', 'exact', 'ggn', 'kfac', 'ekfac', 'cg'"),
    ({"approximation": "svd"}, r'use None or "kfsvd"'),
    ({"dtype": "float16"}, 'use None .* "float32" or "float64"'),
    ({"damping": -1e-3}, 'finite number of at least 0, or "auto"'),
    ({"damping": np.nan}, 'finite number of at least 0, or "auto"'),
    ({"damping": True}, 'finite number of at least 0, or "auto"'),
    ({"damping": "none"}, 'finite number of at least 0, or "auto"'),
    ({"n_components": 3}, 'Set approximation="kfsvd", or leave it out'),
    ({"approximation": "kfsvd"}, "n_components=None must be an integer of at least 1"),
    ({"approximation": "kfsvd", "n_components": 0}, "integer of at least 1"),
    ({"approximation": "kfsvd", "n_components": 1.5}, "integer of at least 1"),
    ({"params": "first_layer"}, "use one of .*last_layer.*all.* a list of parameter names"),
    ({"params": None}, "a list of parameter names"),
    ({"params": [0]}, "a list of parameter names"),
    ({"params": (name for name in "ab")}, "a list of parameter names"),
]


@pytest.mark.parametrize("estimator", ["linear", "network"])
@pytest.mark.parametrize(("choice", "message"), CHOICES)
def test_unknown_choices(choice, message, estimator):
    *data, _ = split(3)
    kind = network() if estimator == "network" else LogisticRegression()
    model = kind.fit(*data[:2])
    with pytest.raises(ValueError, match=message):
        fi_util(model, *data, **choice)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"params": ["x"]}, 'LogisticRegression is linear.* Leave it at "last_layer"'),
        ({"params": str.isalpha}, 'Leave it at "last_layer"'),
        ({"curvature": "cg"}, 'for LogisticRegression use "exact"'),
        ({"curvature": "ekfac"}, 'or "kfac"'),
        ({"approximation": "kfsvd", "n_components": 2}, "exact at a lower cost. Leave it out"),
    ],
)
def test_choices_for_networks_only(choice, message):
    *data, _ = split(3)
    model = LogisticRegression().fit(*data[:2])
    with pytest.raises(ValueError, match=message):
        fi_util(model, *data, **choice)
    # These mean for a linear classifier what it is anyway.
    same = {"params": "all", "perturbation": "input", "curvature": "ggn"}
    np.testing.assert_array_equal(fi_util(model, *data, **same), fi_util(model, *data))


def test_networks_one_against_the_rest():
    *data, _ = split(3)
    model = OneVsRestClassifier(MLPClassifier((2,), solver="lbfgs", tol=1e-2)).fit(*data[:2])
    with pytest.raises(TypeError, match="Use MLPClassifier by itself, which knows several"):
        fi_util(model, *data)


def test_reading_all_parameters_draws_no_random_numbers():
    torch = pytest.importorskip("torch")
    X, y, X_val, y_val, _ = split(2)
    model = MLPClassifier((4,), alpha=0.1, solver="lbfgs", random_state=0).fit(X, y)
    before = torch.get_rng_state()
    fi_util(model, X, y, X_val, y_val, params="all")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("curvature", ["exact", "cg"])
def test_threads_get_the_scores_of_one_thread(curvature):
    """torch has one count of forward mode's levels for all threads."""
    pytest.importorskip("torch")
    pytest.importorskip("curvlinops")
    X, y, X_val, y_val, _ = split(2)
    model = MLPClassifier((3,), alpha=0.1, solver="lbfgs", random_state=0).fit(X, y)

    def score(_):
        return fi_util(model, X, y, X_val, y_val, params="all", curvature=curvature)

    alone = score(0)
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(score, range(8)):
            np.testing.assert_allclose(scores, alone, rtol=1e-9)
