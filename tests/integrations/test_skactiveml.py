"""FIQueryStrategy and SkfiQueryStrategy under scikit-activeml's conventions."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import FIActiveSampler, fi_active
from skfi.queries import Margin

pytest.importorskip("skactiveml")

from skactiveml.base import SingleAnnotatorPoolQueryStrategy
from skactiveml.classifier import ParzenWindowClassifier, SklearnClassifier
from skactiveml.pool import SubSamplingWrapper, UncertaintySampling

from skfi.integrations.skactiveml import FIQueryStrategy, SkfiQueryStrategy

UNFITTED = "ignore:The 'base_estimator' could not be fitted:UserWarning"


@pytest.fixture(scope="module")
def data():
    """All rows, true labels, and labels of every third of the first 60 rows only."""
    X, y_true = make_classification(
        90,
        5,
        n_informative=4,
        n_redundant=0,
        n_classes=3,
        n_clusters_per_class=1,
        random_state=0,
    )
    y = np.full(90, np.nan)
    y[:60:3] = y_true[:60:3]
    return X, y_true, y


def classifier(estimator=None, classes=(0, 1, 2), **params):
    estimator = LogisticRegression() if estimator is None else estimator
    return SklearnClassifier(estimator, classes=list(classes), **params)


WEIGHTED = dict(
    utility="fi_margin",
    aggregate="row_trimmed_mean",
    validation_loss="expected_error",
    selection="diverse",
    shortlist=None,
)


def weighted(**params):
    """FI times 1 - (p_1 - p_2)."""
    return FIQueryStrategy(**{**WEIGHTED, **params})


def expected_scores(X, y, pool, **params):
    """What `weighted` scores, by fi_active itself."""
    labelled = ~np.isnan(y)
    model = LogisticRegression().fit(X[labelled], y[labelled])
    scores = fi_active(
        model,
        X[labelled],
        y[labelled],
        pool,
        aggregate="row_trimmed_mean",
        validation_loss="expected_error",
        **params,
    )
    p = np.sort(model.predict_proba(pool), axis=1)
    return scores * (1.0 - (p[:, -1] - p[:, -2]))


def test_is_one_of_theirs_with_the_parameters_of_the_sampler():
    assert issubclass(FIQueryStrategy, SingleAnnotatorPoolQueryStrategy)
    theirs = inspect.signature(UncertaintySampling.query).parameters
    ours = inspect.signature(FIQueryStrategy.query).parameters
    assert list(ours) == [name for name in theirs if name != "utility_weight"]
    assert all(ours[name].default == theirs[name].default for name in ours)
    sampler = FIActiveSampler().get_params(deep=False)
    sampler = {k: v for k, v in sampler.items() if k not in ("estimator", "batch_size")}
    strategy = FIQueryStrategy().get_params()
    assert np.isnan(strategy.pop("missing_label"))
    assert strategy == sampler


def test_every_parameter_reaches_the_sampler():
    given = {
        "utility": "fi",
        "selection": "power",
        "shortlist": 3,
        "aggregate": "median",
        "validation_loss": "gce",
        "metric": "mahalanobis",
        "curvature": "exact",
        "damping": 0.5,
        "params": "all",
        "perturbation": "input",
        "dtype": "float64",
        "approximation": "kfsvd",
        "n_components": 7,
        "subsample": 0.5,
    }
    made = weighted(**given, random_state=3)._make_strategy()
    assert type(made) is FIActiveSampler
    assert {name: getattr(made, name) for name in given} == given


def test_utilities_are_the_scores_of_the_unlabelled_rows(data):
    X, _, y = data
    strategy = weighted(random_state=0)
    asked, utilities = strategy.query(X, y, classifier(), batch_size=4, return_utilities=True)
    unlabelled = np.flatnonzero(np.isnan(y))
    assert utilities.shape == (4, 90)
    assert np.isnan(utilities[:, ~np.isnan(y)]).all()
    expected = expected_scores(X, y, X[unlabelled])
    np.testing.assert_allclose(utilities[0, unlabelled], expected, rtol=1e-6)
    for i in range(4):
        missing = np.isnan(utilities[i, unlabelled])
        assert set(unlabelled[missing]) == set(asked[:i])
        np.testing.assert_array_equal(
            utilities[i, unlabelled[~missing]], utilities[0, unlabelled[~missing]]
        )
    assert len(set(asked)) == 4
    np.testing.assert_array_equal(strategy.query(X, y, classifier(), batch_size=4), asked)


@pytest.mark.parametrize("selection", ["top", "cover", "diverse"])
def test_rows_asked_for_are_those_of_the_sampler(data, selection):
    X, _, y = data
    labelled = ~np.isnan(y)
    strategy = FIQueryStrategy(selection=selection, random_state=np.random.RandomState(5))
    asked = strategy.query(X, y, classifier(), batch_size=6)
    # One random state a call, from the given one and the number of unlabelled rows.
    seed = np.random.RandomState(5).randint(1, 2**31) * ((~labelled).sum() + 1) % 2**31
    seed = np.random.RandomState(seed).randint(np.iinfo(np.int32).max)
    model = LogisticRegression().fit(X[labelled], y[labelled])
    sampler = FIActiveSampler(FrozenEstimator(model), selection=selection, random_state=seed)
    sampler.fit(X[labelled], y[labelled])
    expected = np.flatnonzero(~labelled)[sampler.query(X[~labelled], batch_size=6)]
    np.testing.assert_array_equal(asked, expected)


def test_another_number_of_unlabelled_rows_is_another_draw(data):
    X, _, y = data
    strategy = SkfiQueryStrategy(Margin(), random_state=0)
    same = np.zeros_like(X)  # all rows tie
    first = strategy.query(same, y, classifier(), batch_size=5)
    np.testing.assert_array_equal(strategy.query(same, y, classifier(), batch_size=5), first)
    fewer = y.copy()
    fewer[89] = 0
    assert (strategy.query(same, fewer, classifier(), batch_size=5) != first).any()


@pytest.mark.parametrize("kind", ["indices", "with labelled", "rows"])
def test_candidates(data, kind):
    X, _, y = data
    positions = {
        "indices": np.array([1, 61, 70]),
        "with labelled": np.array([0, 1, 70]),
        "rows": np.array([70, 1, 61]),
    }[kind]
    candidates = X[positions] if kind == "rows" else positions
    asked, utilities = weighted(selection="top", random_state=0).query(
        X, y, classifier(), candidates=candidates, batch_size=2, return_utilities=True
    )
    expected = np.full(3 if kind == "rows" else 90, np.nan)
    where = np.arange(3) if kind == "rows" else positions
    expected[where] = expected_scores(X, y, X[positions])
    np.testing.assert_allclose(utilities[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(asked, where[np.argsort(-expected[where])[:2]])
    assert np.isnan(utilities[1, asked[0]])


def test_more_rows_than_candidates(data):
    X, _, y = data
    with pytest.warns(UserWarning, match="is larger than number of candidates"):
        asked, utilities = weighted(random_state=0).query(
            X, y, classifier(), candidates=[1, 2, 4], batch_size=5, return_utilities=True
        )
    assert sorted(asked) == [1, 2, 4]
    assert utilities.shape == (3, 90)


def test_a_fitted_classifier_is_used_as_it_is(data):
    X, _, y = data
    other = classifier(LogisticRegression(C=0.01)).fit(X, y)
    before = pickle.dumps(other)
    strategy = SkfiQueryStrategy(Margin(), random_state=0)
    _, utilities = strategy.query(X, y, other, fit_clf=False, return_utilities=True)
    p = np.sort(other.predict_proba(X), axis=1)
    expected = np.where(np.isnan(y), 1.0 - (p[:, -1] - p[:, -2]), np.nan)
    np.testing.assert_allclose(utilities[0], expected)
    assert pickle.dumps(other) == before
    strategy.query(X, y, classifier())  # is not fitted itself, either
    with pytest.raises(NotFittedError):
        strategy.query(X, y, classifier(), fit_clf=False)


def test_weights_are_the_classifiers(data):
    X, _, y = data
    weight = np.random.default_rng(0).uniform(0.1, 5.0, 90)
    _, utilities = SkfiQueryStrategy(Margin()).query(
        X, y, classifier(), sample_weight=weight, return_utilities=True
    )
    fitted = classifier().fit(X, y, weight)
    p = np.sort(fitted.predict_proba(X), axis=1)
    expected = np.where(np.isnan(y), 1.0 - (p[:, -1] - p[:, -2]), np.nan)
    np.testing.assert_allclose(utilities[0], expected)
    # What FI reads of the training rows no longer fits the model, and that is said.
    with pytest.warns(UserWarning, match="not at its optimum on these rows"):
        weighted().query(X, y, classifier(), sample_weight=weight)


@pytest.mark.parametrize(
    ("missing", "names"), [("", ["a", "b", "c"]), (None, ["a", "b", "c"]), (-1, [5, 7, 9])]
)
def test_labels_of_any_type(data, missing, names):
    X, y_true, y = data
    labels = np.array(names)[y_true].astype(object)
    labels[np.isnan(y)] = missing
    if missing is not None:
        labels = np.array(labels.tolist())
    clf = classifier(classes=names, missing_label=missing)
    strategy = weighted(missing_label=missing, random_state=0)
    asked, utilities = strategy.query(X, labels, clf, return_utilities=True)
    unlabelled = np.flatnonzero(np.isnan(y))
    expected = expected_scores(X, y, X[unlabelled])
    np.testing.assert_allclose(utilities[0, unlabelled], expected, rtol=1e-6)
    assert asked[0] == unlabelled[expected.argmax()]


def test_classes_that_nobody_has_seen(data):
    X, _, y = data
    clf = classifier(make_pipeline(StandardScaler(), LogisticRegression()), classes=range(6))
    _, utilities = weighted(random_state=0).query(X, y, clf, return_utilities=True)
    same = classifier(make_pipeline(StandardScaler(), LogisticRegression()))
    _, expected = weighted(random_state=0).query(X, y, same, return_utilities=True)
    np.testing.assert_allclose(utilities, expected)


@pytest.mark.filterwarnings(UNFITTED)
@pytest.mark.parametrize("n_labelled", [0, 1, 4])
@pytest.mark.parametrize("estimator", [LogisticRegression(), GaussianNB()])
def test_rows_are_drawn_at_random_before_there_are_two_classes(data, n_labelled, estimator):
    X, y_true, _ = data
    y = np.full(90, np.nan)
    y[np.flatnonzero(y_true == 1)[:n_labelled]] = 1
    drawn = []
    for seed in range(8):
        asked, utilities = weighted(random_state=seed).query(
            X, y, classifier(estimator), batch_size=3, return_utilities=True
        )
        assert len(set(asked)) == 3
        assert np.isnan(y[asked]).all()
        np.testing.assert_array_equal(np.isnan(utilities[0]), ~np.isnan(y))
        assert (utilities[0][np.isnan(y)] == 0).all()
        drawn.append(tuple(asked))
    assert len(set(drawn)) > 1


def test_a_loop_over_all_rows(data):
    X, y_true, y = data
    y, clf = y.copy(), classifier()
    strategy = weighted(random_state=0)
    for _ in range(7):
        asked = strategy.query(X, y, clf, batch_size=10)
        assert np.isnan(y[asked]).all()
        y[asked] = y_true[asked]
    np.testing.assert_array_equal(y, y_true)
    with (
        pytest.raises(ValueError, match="no candidates"),
        pytest.warns(UserWarning, match="is larger than number of candidates"),
    ):
        strategy.query(X, y, clf)


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("as_rows", [False, True])
def test_inside_their_wrapper(data, exclude, as_rows):
    X, _, y = data
    wrapped = SubSamplingWrapper(
        weighted(random_state=0),
        max_candidates=12,
        exclude_non_subsample=exclude,
        random_state=0,
    )
    candidates = X[60:] if as_rows else None
    asked, utilities = wrapped.query(
        X, y, clf=classifier(), candidates=candidates, batch_size=3, return_utilities=True
    )
    seen = np.flatnonzero(np.isfinite(utilities[0]))
    assert len(seen) == 12
    assert set(asked) <= set(seen)
    rows = X[60:] if as_rows else X
    expected = expected_scores(X, y, rows[seen])
    np.testing.assert_allclose(utilities[0, seen], expected, rtol=1e-6)


def test_own_random_state_of_a_wrapped_strategy(data):
    X, _, y = data
    same = np.zeros_like(X)

    def asked(strategy):
        return strategy.query(same, y, classifier(), batch_size=5).tolist()

    fixed = SkfiQueryStrategy(Margin(random_state=1))
    assert asked(fixed) == asked(fixed)
    moving = SkfiQueryStrategy(Margin(random_state=np.random.RandomState(1)))
    assert asked(moving) != asked(moving)
    ours = [SkfiQueryStrategy(Margin(random_state=s), random_state=2) for s in (1, 7)]
    assert asked(ours[0]) == asked(ours[1])


def test_clones_pickles_and_leaves_its_strategy_alone(data):
    X, _, y = data
    inner = Margin(batch_size=9)
    strategy = pickle.loads(pickle.dumps(clone(SkfiQueryStrategy(inner, random_state=0))))
    assert strategy.query(X, y, classifier()).shape == (1,)
    SkfiQueryStrategy(inner, random_state=0).query(X, y, classifier())
    assert inner.get_params() == Margin(batch_size=9).get_params()
    assert not hasattr(inner, "estimator_")


@pytest.mark.parametrize(
    ("strategy", "query", "error", "match"),
    [
        (SkfiQueryStrategy("margin"), {}, TypeError, "strategy"),
        (weighted(utility="best"), {}, ValueError, "utility"),
        (weighted(), {"clf": LogisticRegression()}, TypeError, "SkactivemlClassifier"),
        (
            weighted(),
            {"clf": ParzenWindowClassifier(classes=[0, 1, 2])},
            TypeError,
            "influence for ParzenWindowClassifier.*Query by a supported .* and train Parzen",
        ),
        (weighted(), {"clf": classifier(missing_label=-1)}, ValueError, "missing_label"),
        (weighted(), {"fit_clf": "yes"}, TypeError, "fit_clf"),
        (weighted(), {"batch_size": 0}, ValueError, "batch_size"),
        (weighted(), {"candidates": [[1.0, 2.0]]}, ValueError, "features"),
    ],
)
def test_bad_input(data, strategy, query, error, match):
    X, _, y = data
    with pytest.raises(error, match=match):
        strategy.query(**{"X": X, "y": y, "clf": classifier(), **query})


def test_bad_parameters_are_refused_before_there_is_a_label(data):
    X, _, y = data
    with pytest.raises(ValueError, match="utility"):
        weighted(utility="best").query(X, np.full_like(y, np.nan), classifier())


# skorch nets


def net_classifier(torch, **params):
    from skactiveml.classifier import SkorchClassifier

    module = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for layer in (module[0], module[2]):
            layer.reset_parameters()
    settings = {
        "optimizer": torch.optim.SGD,
        "optimizer__weight_decay": 0.1,
        "lr": 0.1,
        "max_epochs": 5,
        "train_split": None,
        "verbose": 0,
        **params.pop("net", {}),
    }
    given = {"classes": [0, 1, 2], **params}
    return SkorchClassifier(module, neural_net_param_dict=settings, **given)


@pytest.fixture
def torch():
    pytest.importorskip("skorch")
    return pytest.importorskip("torch")


def fi_of_net(torch, clf, X, labels, pool, **params):
    """By fi_active on the module itself, with its loss."""
    from skfi.bridge import TorchClassifier

    model = TorchClassifier(
        clf.neural_net_.module_,
        torch.nn.CrossEntropyLoss(),
        classes=clf.classes_,
        weight_decay=0.1,
    )
    if params.get("params") == "all":
        params["curvature"] = "ggn"
    return fi_active(
        model,
        X,
        labels,
        pool,
        aggregate="row_trimmed_mean",
        validation_loss="expected_error",
        **params,
    )


@pytest.mark.parametrize("params", ["last_layer", "all"])
def test_skorch_net(data, torch, params):
    X, y_true, y = data
    names = np.array(["a", "b", "c"])
    labels = np.where(np.isnan(y), "", names[y_true])
    clf = net_classifier(torch, classes=list(names), missing_label="").fit(X, labels)
    strategy = weighted(utility="fi", params=params, missing_label="", random_state=0)
    asked, utilities = strategy.query(
        X, labels, clf, fit_clf=False, batch_size=3, return_utilities=True
    )
    unlabelled, labelled = np.isnan(y), ~np.isnan(y)
    expected = fi_of_net(
        torch, clf, X[labelled], labels[labelled], X[unlabelled], params=params
    )
    np.testing.assert_allclose(utilities[0, unlabelled], expected, rtol=1e-4)
    assert len(set(asked)) == 3


def test_skorch_net_is_fitted_on_a_clone(data, torch):
    X, _, y = data
    clf = net_classifier(torch)
    asked = weighted(random_state=0).query(X, y, clf, batch_size=3)
    assert np.isnan(y[asked]).all()
    assert not hasattr(clf, "neural_net_")
    _, utilities = SkfiQueryStrategy(Margin()).query(X, y, clf, return_utilities=True)
    assert np.isfinite(utilities[0][np.isnan(y)]).all()


def test_skorch_net_that_returns_more_than_scores(data, torch):
    X, _, y = data

    class Both(torch.nn.Module):
        def __init__(self, swap):
            super().__init__()
            self.swap = swap
            self.body, self.head = torch.nn.Linear(5, 8), torch.nn.Linear(8, 3)

        def forward(self, x):
            h = torch.tanh(self.body(x))
            return (h, self.head(h)) if self.swap else (self.head(h), h)

    clf = net_classifier(torch)
    softmax = torch.nn.Softmax(dim=-1)
    outputs = {"proba": (0, softmax), "embedding": (1, None)}
    clf.set_params(module=Both(False), forward_outputs=outputs).fit(X, y)
    _, utilities = weighted(utility="fi").query(X, y, clf, fit_clf=False, return_utilities=True)
    labelled = ~np.isnan(y)
    expected = fi_of_net(torch, clf, X[labelled], y[labelled], X[~labelled])
    np.testing.assert_allclose(utilities[0, ~labelled], expected, rtol=1e-4)

    outputs = {"proba": (1, softmax), "embedding": (0, None)}
    clf.set_params(module=Both(True), forward_outputs=outputs)
    with pytest.raises(ValueError, match="Put the scores first"):
        weighted().query(X, y, clf)


def test_skorch_net_that_holds_rows_back_is_warned_about(data, torch):
    from skorch.dataset import ValidSplit

    X, _, y = data
    clf = net_classifier(torch, net={"train_split": ValidSplit(4)})
    with pytest.warns(UserWarning, match="keeps some of its training rows"):
        weighted(random_state=0).query(X, y, clf)
