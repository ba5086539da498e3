"""ModALQueryStrategy: what modAL's learners hand over, and what they want back.

modAL itself pins packages that nothing else here can live with, so its two ways to call a
strategy are also written down in stand-ins, and the same tests run on whichever is there.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
from inspect import signature
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from skfi import FIActiveSampler
from skfi.integrations.modal import ModALQueryStrategy
from skfi.queries import Margin
from tests.conftest import ROOT
from tests.docs.pages import blocks, printed
from tests.test_package import run


class Learner:
    """What both versions share: fitted where it is made, and the rows it was fitted on."""

    def __init__(self, estimator, query_strategy, X_training=None, y_training=None):
        self.estimator, self.query_strategy = estimator, query_strategy
        self.X_training, self.y_training = X_training, y_training
        if X_training is not None:
            estimator.fit(X_training, y_training)


class Learner041(Learner):
    def query(self, X_pool, *args, **kwargs):
        result = self.query_strategy(self, X_pool, *args, **kwargs)
        assert not isinstance(result, tuple)  # modAL would return it as it is
        return result, X_pool[result]


class Learner042(Learner):
    def query(self, X_pool, *args, return_metrics=False, **kwargs):
        # modAL falls back on what it does not unpack, and so mistakes two positions for a pair.
        result, metrics = self.query_strategy(self, X_pool, *args, **kwargs)
        rows = X_pool[result]
        return (result, rows, metrics) if return_metrics else (result, rows)


LEARNERS = [Learner041, Learner042]
if importlib.util.find_spec("modAL") is not None:
    from modAL.models import ActiveLearner

    LEARNERS.append(ActiveLearner)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


def sampled(X, y, size, strategy=None, **params):
    """The rows and scores by the strategy on its own."""
    strategy = FIActiveSampler(random_state=0) if strategy is None else strategy
    model = FrozenEstimator(LogisticRegression(**params).fit(X[:60], y[:60]))
    strategy = clone(strategy).set_params(estimator=model).fit(X[:60], y[:60])
    return strategy.query(X[60:], size, return_utilities=True)


@pytest.mark.parametrize("kind", LEARNERS)
@pytest.mark.parametrize("size", [1, 2, 5])  # two positions look like a pair
def test_asks_the_learners_own_model(digits, kind, size):
    X, y = digits
    asks = ModALQueryStrategy(FIActiveSampler(random_state=0))
    learner = kind(LogisticRegression(C=0.5), asks, X_training=X[:60], y_training=y[:60])
    before = pickle.dumps(learner.estimator)
    indices, rows = learner.query(X[60:], n_instances=size)
    np.testing.assert_array_equal(indices, sampled(X, y, size, C=0.5)[0])
    np.testing.assert_array_equal(rows, X[60:][indices])
    assert pickle.dumps(learner.estimator) == before
    assert not hasattr(asks.strategy, "estimator_")


@pytest.mark.parametrize("kind", LEARNERS[1:])
def test_metrics_are_the_scores_of_the_rows_asked_for(digits, kind):
    X, y = digits
    asks = ModALQueryStrategy(Margin(random_state=0))
    learner = kind(LogisticRegression(), asks, X_training=X[:60], y_training=y[:60])
    if "return_metrics" not in signature(learner.query).parameters:
        pytest.skip("modAL 0.4.1 has no metrics")
    indices, _, metrics = learner.query(X[60:], n_instances=3, return_metrics=True)
    expected, scores = sampled(X, y, 3, Margin(random_state=0))
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(metrics, scores[expected])


@pytest.mark.parametrize("kind", LEARNERS)
def test_learners_of_a_class_that_adds_arguments(digits, kind):
    class Logged(kind):
        def query(self, *args, **kwargs):
            return super().query(*args, **kwargs)

    X, y = digits
    asks = ModALQueryStrategy(Margin(random_state=0))
    learner = Logged(LogisticRegression(), asks, X_training=X[:60], y_training=y[:60])
    indices, _ = learner.query(X[60:], n_instances=2)
    np.testing.assert_array_equal(indices, sampled(X, y, 2, Margin(random_state=0))[0])


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_pipeline_on_sparse_rows(digits, kind):
    X, y = digits
    X = sparse.csr_matrix(X)
    asks = ModALQueryStrategy(FIActiveSampler(selection="top", random_state=0))
    model = make_pipeline(MaxAbsScaler(), LogisticRegression())
    learner = kind(model, asks, X_training=X[:60], y_training=y[:60])
    indices, rows = learner.query(X[60:], n_instances=3)
    strategy = FIActiveSampler(FrozenEstimator(model), selection="top").fit(X[:60], y[:60])
    best = np.sort(strategy.score_samples(X[60:]))[-3:]
    np.testing.assert_allclose(np.sort(strategy.score_samples(rows)), best)
    assert len(set(indices)) == 3


def test_sampler_is_the_default(digits):
    X, y = digits
    learner = SimpleNamespace(
        estimator=LogisticRegression().fit(X[:60], y[:60]), X_training=X[:60], y_training=y[:60]
    )
    # The first row of a batch is the one that scores highest: nothing is drawn.
    assert ModALQueryStrategy()(learner, X[60:]) == sampled(X, y, 1)[0]


def test_a_random_state_moves_on_from_query_to_query(digits):
    X, y = digits
    same = np.zeros_like(X)  # all rows tie
    learner = SimpleNamespace(
        estimator=LogisticRegression().fit(X[:60], y[:60]), X_training=X[:60], y_training=y[:60]
    )
    fixed = ModALQueryStrategy(Margin(random_state=0))
    moving = ModALQueryStrategy(Margin(random_state=np.random.RandomState(0)))
    assert (fixed(learner, same, 5) == fixed(learner, same, 5)).all()
    assert (moving(learner, same, 5) != moving(learner, same, 5)).any()


def test_pickles_and_clones():
    asks = ModALQueryStrategy(FIActiveSampler(utility="fi", random_state=0))
    for other in (pickle.loads(pickle.dumps(asks)), clone(asks)):
        assert other.get_params(deep=True)["strategy__utility"] == "fi"


def test_a_learner_without_rows_or_estimator(digits):
    X, _ = digits
    asks = ModALQueryStrategy()
    with pytest.raises(ValueError, match="no training rows"):
        asks(Learner041(LogisticRegression(), asks), X)
    with pytest.raises(TypeError, match="SimpleNamespace has no X_training"):
        asks(SimpleNamespace(estimator=LogisticRegression()), X)
    with pytest.raises(TypeError, match="has no estimator"):
        asks(SimpleNamespace(learner_list=[], X_training=None), X)


def test_teach_is_still_broken(digits):
    """The docstring and the page say so."""
    pytest.importorskip("modAL")
    pytest.importorskip("sklearn", minversion="1.8")
    X, y = digits
    asks = ModALQueryStrategy()
    learner = ActiveLearner(LogisticRegression(), asks, X_training=X[:60], y_training=y[:60])
    for change in (learner.teach, learner.fit):
        with pytest.raises(TypeError, match="force_all_finite"):
            change(X[60:70], y[60:70])


def test_neither_package_is_needed():
    code = (
        "import sys; sys.modules.update(skactiveml=None, modAL=None)\n"
        "import skfi.integrations.modal\n"
        "try:\n    import skfi.integrations.skactiveml\n"
        "except ImportError as error:\n    print(error)"
    )
    assert 'pip install "skfi[activeml]"' in run(code)


def test_page_runs(monkeypatch, capsys):
    """On modAL where it is installed, else on a stand-in of its last version."""
    if importlib.util.find_spec("modAL") is None:
        package, models = ModuleType("modAL"), ModuleType("modAL.models")
        package.models = models
        models.ActiveLearner = Learner042
        monkeypatch.setitem(sys.modules, "modAL", package)
        monkeypatch.setitem(sys.modules, "modAL.models", models)
    page = ROOT / "docs" / "how-to" / "modal.md"
    (code,) = [block for block in blocks(page) if "modAL" in block]
    exec(code, {})
    expected = printed(code)
    assert expected
    assert capsys.readouterr().out.splitlines() == expected
