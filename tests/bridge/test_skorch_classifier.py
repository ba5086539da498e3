"""A skorch net inside the adapter keeps scikit-learn's contract."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from skfi import FITrimmer
from skfi.bridge._skorch import SkorchClassifier, adapt, is_skorch

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")

from skorch.helper import SliceDict  # noqa: E402

from tests.bridge.nets import Linear, Width, binary, logits, probabilities  # noqa: E402

# Shuffling draws from torch's global generator, and the split from numpy's.
DRAWS = {"iterator_train__shuffle": True, "train_split": skorch.dataset.ValidSplit(0.3)}


def fitted(X, y, net=logits, **params):
    return SkorchClassifier(net(**params), random_state=0).fit(X, y)


@pytest.fixture
def blobs():
    X, y = make_blobs(90, centers=3, cluster_std=0.8, random_state=0)
    return StandardScaler().fit_transform(X), y


def generators():
    """Where the global generators stand."""
    return pickle.dumps((torch.get_rng_state().numpy(), np.random.get_state()))  # noqa: NPY002


def weights(classifier):
    return np.concatenate([p.detach().numpy().ravel() for p in classifier.module_.parameters()])


@parametrize_with_checks(
    [SkorchClassifier(net(), random_state=0) for net in (logits, probabilities, binary)]
)
def test_sklearn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("net", [logits, probabilities])
def test_probabilities_are_the_softmax(blobs, net):
    X, y = blobs
    names = np.array(["ham", "eggs", "spam"])[y]
    classifier = fitted(X, names, net)
    assert classifier.classes_.tolist() == ["eggs", "ham", "spam"]
    assert classifier.score(X, names) > 0.8
    with torch.no_grad():
        expected = classifier.module_.layer(torch.as_tensor(X, dtype=torch.float32)).numpy()
    proba = classifier.predict_proba(X)
    np.testing.assert_allclose(proba, softmax(expected, axis=1), rtol=1e-5)
    assert (classifier.predict(X) == classifier.classes_[proba.argmax(axis=1)]).all()


@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_binary_net(blobs, threshold):
    X, y = blobs
    X, y = X[y < 2], np.array(["yes", "no"])[y[y < 2]]
    classifier = fitted(X, y, binary, threshold=threshold)
    with torch.no_grad():
        logit = classifier.module_(torch.as_tensor(X, dtype=torch.float32)).numpy()[:, 0]
    proba = classifier.predict_proba(X)
    np.testing.assert_allclose(proba, np.c_[expit(-logit), expit(logit)], rtol=1e-5, atol=1e-7)
    expected = np.where(proba[:, 1] > threshold, "yes", "no")
    np.testing.assert_array_equal(classifier.predict(X), expected)
    assert not get_tags(classifier).classifier_tags.multi_class


def one_logit():
    return torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Flatten(0))


def convolution():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, (6, 5)), torch.nn.Flatten())


def bag_of_tokens():
    return torch.nn.Sequential(torch.nn.EmbeddingBag(20, 3), torch.nn.Linear(3, 2))


def test_bce_without_the_binary_class_takes_numbers_too(blobs):
    X, y = blobs
    one = {"module": one_logit, "criterion": torch.nn.BCEWithLogitsLoss, "callbacks": []}
    assert fitted(X[y < 2], y[y < 2], **one).predict_proba(X).shape == (90, 2)
    with pytest.raises(ValueError, match="Only binary classification"):
        fitted(X, y, **one)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"callbacks": [], "module__n_classes": 5}, r"\(2, 5\) for 2 row.*3 classes"),
        ({"predict_nonlinearity": None}, "do not sum to one"),
        ({"criterion": torch.nn.NLLLoss}, "do not sum to one"),
        ({"optimizer": torch.optim.SGD, "lr": np.inf}, "the fit diverged"),
    ],
)
def test_what_gives_no_probabilities_is_refused(blobs, params, message):
    with pytest.raises(ValueError, match=message):
        fitted(*blobs, **params)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int64", "bool"])
def test_rows_are_cast_to_the_module(blobs, dtype):
    X, y = blobs
    X = (X * 5).round().clip(0).astype(dtype)
    wide = fitted(X, y, module__dtype=torch.float64)
    assert wide.input_dtype_ == wide.predict_proba(X).dtype == np.float64
    usual = fitted(X, y)
    assert usual.input_dtype_ == usual.predict_proba(X).dtype == np.float32
    as_float = usual.predict_proba(X.astype(np.float32))
    np.testing.assert_array_equal(usual.predict_proba(X), as_float)


def test_read_only_and_reversed_rows(blobs):
    X, y = blobs
    X = X.astype(np.float32)
    locked = X[:, ::-1].copy()[:, ::-1]
    locked.flags.writeable = False
    np.testing.assert_array_equal(weights(fitted(X, y)), weights(fitted(locked, y)))


def test_too_large_for_the_module(blobs):
    X, y = blobs
    with pytest.raises(ValueError, match="too large for dtype"):
        fitted(X, y).predict(X * 1e300)


def test_data_frame(blobs):
    pd = pytest.importorskip("pandas")
    X, y = blobs
    frame = pd.DataFrame(X, columns=["a", "b"])
    classifier = fitted(frame, pd.Series(y))
    assert classifier.feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(weights(classifier), weights(fitted(X, y)))
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame[["b", "a"]])


def test_images():
    X = np.random.default_rng(0).integers(0, 256, (40, 3, 6, 5)).astype(np.uint8)
    classifier = fitted(X, np.arange(40) % 2, module=convolution, callbacks=[])
    assert classifier.predict_proba(X).shape == (40, 2)
    assert classifier.n_features_in_ == 3
    with pytest.raises(ValueError, match="expecting 3 features"):
        classifier.predict(X[:, :2])


def test_tokens():
    X = np.random.default_rng(0).integers(0, 20, (60, 4))
    y = (X < 10).sum(axis=1) > 2
    classifier = fitted(X.astype(np.int32), y, module=bag_of_tokens, callbacks=[])
    assert classifier.input_dtype_ == np.int64
    assert classifier.score(X.astype(float), y) > 0.8
    with pytest.raises(ValueError, match="X holds fractions"):
        classifier.predict(X + 0.5)


@pytest.mark.parametrize("random_state", [3, np.random.RandomState(3)], ids=["int", "own"])
def test_global_generators_are_left_alone(blobs, random_state):
    before = generators()
    classifier = SkorchClassifier(logits(**DRAWS), random_state=random_state)
    classifier.fit(*blobs).predict(blobs[0])
    assert generators() == before
    with pytest.raises(ValueError, match="sum to one"):
        classifier.set_params(net__predict_nonlinearity=None).fit(*blobs)
    assert generators() == before


def test_same_seed_same_weights(blobs):
    first = fitted(*blobs, **DRAWS)
    torch.rand(3)
    np.random.rand(3)  # noqa: NPY002
    for again in (clone(first), copy.copy(first)):
        np.testing.assert_array_equal(weights(first), weights(again.fit(*blobs)))
    for seed in (1, None):
        other = clone(first).set_params(random_state=seed).fit(*blobs)
        assert (weights(first) != weights(other)).any()


def test_fits_as_the_net_would_by_itself(blobs):
    X, y = blobs
    classifier = fitted(X, y)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        alone = logits().fit(X.astype(np.float32), y)
    np.testing.assert_array_equal(weights(classifier), weights(alone))
    assert classifier.history[:, "train_loss"] == alone.history[:, "train_loss"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_beside_a_gpu(blobs, device):
    torch.cuda.manual_seed(7)
    before = torch.cuda.get_rng_state()
    one, other = (fitted(*blobs, device=device).predict_proba(blobs[0]) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert torch.equal(before, torch.cuda.get_rng_state())


def test_failed_fit_leaves_nothing(blobs):
    X, y = blobs
    bad = SkorchClassifier(logits(callbacks=[], module__n_features=9), random_state=0)
    before = dict(vars(bad))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        bad.fit(X, y)
    assert vars(bad) == before
    with pytest.raises(NotFittedError):
        bad.predict(X)

    good = fitted(X, y)
    before = dict(vars(good))
    for wrong, labels in [(X[:, :1] * np.nan, y), (X[:, :1], y * 0), (X[:, :1], y + 0.5)]:
        with pytest.raises(ValueError, match=r"NaN|one class|Unknown label type"):
            good.fit(wrong, labels)
        assert vars(good) == before


# torch 2.4 says so of the copies that skorch makes of its own nets.
@pytest.mark.filterwarnings("ignore:You are using `torch.load`:FutureWarning")
def test_copies(blobs):
    X, y = blobs
    original = fitted(X, y)
    assert not original.net.initialized_  # a clone was fitted
    for same in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        np.testing.assert_array_equal(same.predict_proba(X), original.predict_proba(X))
    for blank in (clone(original), pickle.loads(pickle.dumps(clone(original)))):
        assert not hasattr(blank, "module_")
        assert not hasattr(blank, "history")


def test_fitted_attributes_of_the_net(blobs):
    classifier = fitted(*blobs)
    assert classifier.module_ is classifier.net_.module_
    assert len(classifier.history) == 20
    for name in ("partial_fit", "initialize", "lr", "nothing_", "_modules", "__nothing__"):
        assert not hasattr(classifier, name)


def test_adapt_a_pipeline(blobs):
    pipeline = Pipeline([("scale", StandardScaler()), ("net", logits())], verbose=True)
    pipeline.set_params(net__lr=0.05)
    steps = list(pipeline.steps)
    adapted = adapt(pipeline, 3)
    assert pipeline.steps == steps
    assert adapted.steps[0] == steps[0]
    assert adapted.verbose
    assert isinstance(adapted["net"], SkorchClassifier)
    assert adapted["net"].net is pipeline["net"]
    assert adapted["net"].random_state == 3
    assert adapted["net"].net.lr == 0.05
    assert cross_val_score(adapted.set_params(verbose=False), *blobs, cv=3).mean() > 0.8
    nested = adapt(make_pipeline(StandardScaler(), pipeline), 0)
    assert isinstance(nested[-1][-1], SkorchClassifier)


def test_adapt_leaves_the_rest_as_it_is():
    plain = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(logits(), {"lr": [0.1]})
    done = SkorchClassifier(logits())
    for given in (plain, search, done, Width(), None, "passthrough", Pipeline([])):
        assert adapt(given) is given
    assert is_skorch(logits())
    assert not is_skorch(search)


@pytest.mark.parametrize("wrap", [lambda net: net, make_pipeline], ids=["alone", "pipeline"])
def test_adapt_refuses_a_regressor(wrap):
    with pytest.raises(TypeError, match="got NeuralNetRegressor"):
        adapt(wrap(skorch.NeuralNetRegressor(Linear)))


@pytest.mark.parametrize("net", [LogisticRegression(), Linear, skorch.NeuralNetClassifier])
def test_fit_refuses_what_is_no_net(blobs, net):
    with pytest.raises(TypeError, match=r"net must be a skorch\.NeuralNetClassifier"):
        SkorchClassifier(net).fit(*blobs)


def test_importing_it_loads_no_torch():
    code = (
        "import sys; from sklearn.linear_model import LogisticRegression as LR;"
        "from skfi.bridge._skorch import adapt; adapt(LR());"
        "assert not {'torch', 'skorch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_are_refused_in_the_net_s_name(blobs):
    X, y = blobs
    for estimator in (logits(), make_pipeline(StandardScaler(), logits())):
        trimmer = FITrimmer(estimator, budget=2, step=None)
        with pytest.raises(ValueError, match="skorch's NeuralNetClassifier does not take it"):
            trimmer.fit(X.astype(np.float32), y, sample_weight=np.ones(len(y)))


def declared(classes, **params):
    """A net of as many outputs as classes, whatever labels y has."""
    sizes = {"module__n_features": 2, "module__n_classes": len(classes), "callbacks": []}
    return logits(classes=classes, max_epochs=2, **sizes, **params)


@pytest.mark.parametrize("classes", [list("abcde"), list("edcba"), [0, 1, 2, 3, 4]])
def test_labels_are_coded_by_the_classes_of_the_net(blobs, classes):
    X, codes = blobs
    y = np.asarray(classes)[codes]
    model = SkorchClassifier(declared(classes), random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.classes_, classes)
    module = torch.nn.Linear(2, 5)
    module.load_state_dict(model.module_.layer.state_dict())
    scores = module(torch.as_tensor(X, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(model.predict_proba(X), softmax(scores, axis=1), atol=1e-6)
    np.testing.assert_array_equal(model.predict(X), np.asarray(classes)[scores.argmax(1)])
    alone = SkorchClassifier(declared(classes), random_state=0).fit(
        X, y[codes == 0][:1].repeat(90)
    )
    assert alone.predict_proba(X).shape == (90, 5)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([0, 1], r"not among the net's classes=\[0, 1\]: \[2\]"),
        (["0", "1", "2"], r"not among the net's classes=.* Pass classes=\[...\]"),
        ([0, 1, 2, 2], "list of different labels"),
        ([0, 1, 2, 3], r"\(2, 3\) for 2 row.* 4 classes"),
    ],
)
def test_classes_that_do_not_fit_are_refused(blobs, classes, message):
    net = declared([0, 1, 2]).set_params(classes=classes)
    with pytest.raises(ValueError, match=message):
        SkorchClassifier(net).fit(*blobs)


def test_outputs_for_classes_that_y_lacks_are_refused_with_what_to_do(blobs):
    net = declared(range(5)).set_params(classes=None)
    with pytest.raises(ValueError, match=r"pass all to the net: classes=\[...\]"):
        SkorchClassifier(net).fit(*blobs)


@pytest.mark.parametrize("missing", [np.nan, None])
def test_labels_that_are_missing_are_said_of_y(blobs, missing):
    X, y = blobs
    labels = [missing if code == 0 else f"class {code}" for code in y]
    with pytest.raises(ValueError, match="y holds None or NaN instead of a label for 30"):
        fitted(X, labels)


@pytest.mark.parametrize("kind", [dict, SliceDict])
def test_inputs_in_parts_are_refused_with_what_to_do(blobs, kind):
    X, y = blobs
    parts = kind(a=X[:, :1], b=X[:, 1:])
    message = r"X is a \w+, and must be one array.*np.column_stack"
    with pytest.raises(TypeError, match=message):
        SkorchClassifier(logits()).fit(parts, y)
    with pytest.raises(TypeError, match=message):
        fitted(X, y, max_epochs=1).predict(parts)


def dense(X):
    return X.toarray()


@pytest.mark.parametrize("step", [TruncatedSVD(2), FunctionTransformer(dense)])
def test_texts_need_a_step_that_makes_dense_rows(step):
    texts, y = np.array(["a b", "a c", "d e", "d f"] * 5), np.array([0, 0, 1, 1] * 5)
    vectors = TfidfVectorizer(token_pattern=r"\w")
    net = logits(max_epochs=1)
    with pytest.raises(TypeError, match=r"TruncatedSVD\(100\), or FunctionTransformer\("):
        FITrimmer(make_pipeline(vectors, net), budget=1).fit(texts, y)
    model = make_pipeline(vectors, step, net)
    assert FITrimmer(model, budget=1).fit(texts, y).n_trimmed_ == 1
