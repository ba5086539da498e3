"""Trimming networks: through FITrimmer, FITrimmerCV and searches."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import (
    FIActiveSampler,
    FIEmbedding,
    FITrimmer,
    FITrimmerCV,
    active_learning_curve,
    fi_util,
)
from skfi.bridge import SkorchClassifier, TorchClassifier
from skfi.queries import BALD, Margin

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from tests.bridge.nets import logits  # noqa: E402
from tests.conftest import make_split  # noqa: E402

DEEP = {"params": "all", "perturbation": "input", "curvature": "kfac"}


@pytest.fixture(scope="module")
def flipped():
    """Two classes as strings, in float64, 15 % of the training labels wrong."""
    X, y, X_val, y_val, _ = make_split(2, n=240, d=4, n_val=200, flip=0.0)
    wrong = np.random.default_rng(0).random(len(y)) < 0.15
    names = np.array(["no", "yes"])
    return X, names[np.where(wrong, 1 - y, y)], X_val, names[y_val], wrong


@pytest.mark.parametrize("influence_params", [None, DEEP], ids=["last layer", "all"])
def test_wrong_labels_go_first(flipped, influence_params):
    X, y, X_val, y_val, wrong = flipped
    model = make_pipeline(StandardScaler(), logits(max_epochs=10))
    trimmer = FITrimmer(
        model, budget=0.1, step=0.05, influence_params=influence_params, random_state=0
    ).fit(X, y, X_val=X_val, y_val=y_val)
    assert isinstance(trimmer.estimator_[-1], SkorchClassifier)
    assert wrong[trimmer.trimmed_indices_].mean() > 0.6
    assert trimmer.score(X_val, y_val) > 0.85
    assert len(trimmer.influence_details_) == 5  # one for each fold
    details = trimmer.influence_details_[0]
    assert details.curvature == ("exact" if influence_params is None else "kfac")
    assert details.damping > 0
    assert details.gradient_norm > 0
    assert trimmer.report().shape == (24, 7)


def test_scores_are_those_of_fi_util(flipped):
    X, y, X_val, y_val, _ = flipped
    trimmer = FITrimmer(
        logits(max_epochs=3),
        budget=10,
        step=None,
        influence="fi",
        influence_params=DEEP,
        metric="euclidean",
        checked_rows="judge",
        random_state=0,
    ).fit(X, y, X_val=X_val, y_val=y_val)
    expected = fi_util(
        trimmer.initial_estimator_, X, y, X_val, y_val, validation_loss="expected_error", **DEEP
    )
    np.testing.assert_allclose(trimmer.influence_, expected, rtol=1e-4)


def test_search_over_the_nets_own_parameters(flipped):
    X, y, X_val, y_val, _ = flipped
    trimmer = FITrimmer(
        logits(max_epochs=5), validation=0.3, step=None, budget=0.1, random_state=0
    )
    search = GridSearchCV(trimmer, {"estimator__lr": [1e-6, 0.1], "budget": [0, 0.1]}, cv=2)
    search.fit(X, y)
    assert search.best_params_["estimator__lr"] == 0.1
    assert search.score(X_val, y_val) > 0.8
    assert search.best_estimator_.estimator_.net_.lr == 0.1
    chosen = FITrimmerCV(
        logits(max_epochs=5), budgets=(0, 0.1), cv=0.3, validation=0.3, random_state=0
    )
    assert chosen.fit(X, y).budget_ in (0, 0.1)


def test_the_same_seed_gives_the_same_rows(flipped):
    X, y, *_ = flipped
    before = torch.get_rng_state()
    first, second = (
        FITrimmer(logits(max_epochs=3), budget=12, validation=0.3, random_state=3).fit(X, y)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.trimmed_indices_, second.trimmed_indices_)
    assert torch.equal(before, torch.get_rng_state())


def test_mlp_classifier(flipped):
    X, y, X_val, y_val, wrong = flipped
    mlp = MLPClassifier((5,), solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0)
    trimmer = FITrimmer(mlp, budget=0.1, influence_params={"params": "all"}).fit(
        X, y, X_val=X_val, y_val=y_val
    )
    assert wrong[trimmer.trimmed_indices_].mean() > 0.6


def test_influence_params_are_checked(flipped):
    X, y, *_ = flipped
    for params, message in [
        ({"colour": 1}, r"influence=fi_signed does not take \['colour'\].*It takes \['appr"),
        ({"metric": "euclidean"}, r"'metric', which is a parameter of the trimmer's own"),
    ]:
        with pytest.raises(ValueError, match=message):
            FITrimmer(logits(), influence_params=params).fit(X, y)
    with pytest.raises(ValueError, match=r"does not take .'params'..*It takes none"):
        FITrimmer(logits(), influence="loss", influence_params={"params": "all"}).fit(X, y)
    with pytest.raises(ValueError, match="sample_weight was passed"):
        FITrimmer(logits()).fit(X, y, sample_weight=np.ones(len(y)))


@pytest.fixture
def three_of_five():
    """Labels of three of five classes, one of them on a single row, and a net that has five."""
    rng = np.random.default_rng(0)
    y = np.array(["d", "b"] * 15)
    y[7] = "a"
    X = rng.normal(size=(30, 4)) + (y == "d")[:, None]
    sizes = {"module__n_features": 4, "module__n_classes": 5, "callbacks": []}
    return X, y, logits(classes=list("edcba"), max_epochs=2, **sizes)


@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
def test_trimming_with_classes_that_the_folds_lack(three_of_five):
    X, y, net = three_of_five
    trimmer = FITrimmer(net, budget=3, random_state=0).fit(X, y)
    assert trimmer.classes_.tolist() == list("edcba")
    shares = [
        [np.mean(part == label) for label in "edcba"] for part in (y, y[trimmer.support_])
    ]
    np.testing.assert_allclose(trimmer.class_shares_, shares)
    assert set(trimmer.report()["given_label"]) <= set("dba")
    assert FITrimmerCV(net, budgets=[0, 2], cv=2, random_state=0).fit(X, y).classes_.size == 5


@pytest.mark.parametrize(
    "strategy", [FIActiveSampler, Margin, BALD], ids=lambda strategy: strategy.__name__
)
def test_active_learning_begins_before_every_class_is_labelled(three_of_five, strategy):
    X, y, net = three_of_five
    fitted = strategy(net, batch_size=2, random_state=0).fit(X, y)
    assert fitted.classes_.tolist() == list("edcba")
    assert len(set(fitted.query(X + 0.1))) == 2
    assert FIEmbedding(net).fit(X, y).transform(X).shape[0] == 30


def test_learning_curve_before_every_class_is_labelled(three_of_five):
    _, _, net = three_of_five
    rng = np.random.default_rng(0)
    y = np.array(list("abcde") * 12)
    X = rng.normal(size=(60, 4)) + np.eye(5, 4)[np.arange(60) % 5]
    curve = active_learning_curve(
        net,
        X,
        y,
        [Margin()],
        n_initial=3,
        batch_size=2,
        n_rounds=2,
        n_repeats=1,
        random_state=0,
    )
    assert np.isfinite(curve.scores["Margin"]).all()


def test_trained_module_of_more_classes_than_y(three_of_five):
    X, y, _ = three_of_five
    module = torch.nn.Linear(4, 5)
    model = TorchClassifier(module, torch.nn.CrossEntropyLoss(), classes=list("edcba"))
    assert len(FIActiveSampler(FrozenEstimator(model), batch_size=2).fit(X, y).query(X)) == 2
    trimmer = FITrimmer(
        LogisticRegression(), budget=2, influence_estimator=FrozenEstimator(model), step=None
    )
    assert trimmer.fit(X, y, X_val=X[::2] + 0.1, y_val=y[::2]).n_trimmed_ == 2


@pytest.fixture
def tempered():
    """Rows, and a net that does more with its last layer than a closed form can have."""

    class Tempered(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def forward(self, x):
            return 2.0 * self.layer(x)

    X = np.random.default_rng(0).normal(size=(24, 4))
    return X, (X[:, 0] > 0).astype(int), logits(module=Tempered, callbacks=[], max_epochs=2)


@pytest.mark.parametrize(
    "caller",
    [
        lambda X, y, net: FIEmbedding(net).fit(X, y),
        lambda X, y, net: BALD(net, posterior="laplace").fit(X, y),
        lambda X, y, net: (
            FIActiveSampler(
                net, params="all", perturbation="input", subsample=0.5, selection="top"
            )
            .fit(X, y)
            .query(X + 0.1)
        ),
    ],
    ids=["FIEmbedding", "BALD", "subsample"],
)
def test_callers_without_params_do_not_advise_them(tempered, caller):
    with pytest.raises(ValueError, match=r"End the module in the nn\.Linear whose") as caught:
        caller(*tempered)
    assert "params" not in str(caught.value)


def test_strategies_that_need_no_last_layer_take_any_net(tempered):
    X, y, net = tempered
    for strategy in (Margin(net), BALD(net, random_state=0)):
        assert len(strategy.fit(X, y).query(X)) == 1


def test_trimmers_advise_influence_params(tempered):
    X, y, net = tempered
    with pytest.raises(ValueError, match=r"Pass influence_params=\{.params.: .all., .pert"):
        FITrimmer(net, budget=2).fit(X, y)
    params = {"params": "all", "perturbation": "input"}
    trimmer = FITrimmer(net, budget=2, influence_params=params, random_state=0)
    assert trimmer.fit(X, y).n_trimmed_ == 2
