"""scikit-activeml's own strategies in skfi's loops, against calls of scikit-activeml itself."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pool = pytest.importorskip("skactiveml.pool")

from skactiveml.classifier import SklearnClassifier  # noqa: E402

from skfi import FIActiveSampler, active_learning_curve  # noqa: E402
from skfi.integrations.skactiveml import SkactivemlStrategy, SkfiQueryStrategy  # noqa: E402
from skfi.queries import Margin  # noqa: E402

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
LABELLED, LABELS, POOL = X[::10], np.array(["a", "b", "c"])[Y[::10]], X[1::3]
MODEL = LogisticRegression()


@pytest.mark.parametrize(
    "theirs", [pool.Badge(), pool.CoreSet(), pool.TypiClust(), pool.ProbCover()], ids=repr
)
def test_a_batch_is_that_of_scikit_activeml(theirs):
    strategy = SkactivemlStrategy(theirs, MODEL, batch_size=5, random_state=0)
    batch, scores = strategy.fit(LABELLED, LABELS).query(POOL, return_utilities=True)
    rows = np.concatenate([LABELLED, POOL])
    y = np.concatenate([Y[::10], np.full(len(POOL), np.nan)])
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    clf = SklearnClassifier(LogisticRegression(), classes=[0, 1, 2])
    own = type(theirs)(random_state=seed)
    arguments = {"clf": clf} if isinstance(theirs, pool.Badge) else {}
    expected = own.query(rows, y, batch_size=5, **arguments)
    np.testing.assert_array_equal(batch, np.asarray(expected) - len(LABELLED))
    _, utilities = own.query(rows, y, return_utilities=True, **arguments)
    np.testing.assert_allclose(scores, utilities[0, len(LABELLED) :], rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(strategy.query(POOL), batch)


NETWORK = MLPClassifier((6,), solver="lbfgs", alpha=1.0, max_iter=2000, random_state=0)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)),
        GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2),
        FrozenEstimator(LogisticRegression().fit(LABELLED, LABELS)),
        NETWORK,
    ],
    ids=["pipeline", "forest", "search", "frozen", "network"],
)
def test_probabilities_of_what_the_last_step_sees_are_the_models(model):
    seen = {}

    class Spy(pool.Badge):
        def query(self, X, y, clf, fit_clf=True, **arguments):
            seen.update(rows=X, proba=clf.predict_proba(X[len(LABELLED) :]))
            return super().query(X, y, clf, fit_clf=fit_clf, **arguments)

    strategy = SkactivemlStrategy(Spy(), model, random_state=0).fit(LABELLED, LABELS)
    assert len(strategy.query(POOL, 3)) == 3
    np.testing.assert_allclose(
        seen["proba"], strategy.estimator_.predict_proba(POOL), rtol=1e-6
    )
    assert seen["rows"].shape[1] == (6 if model is NETWORK else 4)


def test_learning_curves_take_it_as_any_other():
    strategies = {
        "BADGE": SkactivemlStrategy(pool.Badge()),
        "TypiClust": SkactivemlStrategy(pool.TypiClust()),
        "margin": Margin(),
    }
    curve = active_learning_curve(
        MODEL, X, Y, strategies, n_initial=6, batch_size=3, n_rounds=2, n_repeats=2,
        random_state=0,
    )  # fmt: skip
    assert {len(scores) for scores in curve.scores.values()} == {2}
    assert len({tuple(scores[:, 0]) for scores in curve.scores.values()}) == 1


def test_a_committee_is_passed_on():
    ensemble = [
        SklearnClassifier(RandomForestClassifier(5, random_state=seed), classes=[0, 1, 2])
        for seed in range(3)
    ]
    theirs = pool.BatchBALD()
    with pytest.raises(ValueError, match=r"BatchBALD.query needs 'ensemble'; pass it in query"):
        SkactivemlStrategy(theirs).fit(LABELLED, LABELS)
    strategy = SkactivemlStrategy(
        theirs, query_params={"ensemble": ensemble, "fit_ensemble": True}, random_state=0
    )
    assert len(set(strategy.fit(LABELLED, LABELS).query(POOL, 4))) == 4


@pytest.mark.parametrize("other", [FIActiveSampler(), Margin(), 1])
def test_other_strategies_are_refused(other):
    with pytest.raises((TypeError, ValueError), match="query_strategy"):
        SkactivemlStrategy(other).fit(LABELLED, LABELS)


def test_one_class_draws_at_random():
    strategy = SkactivemlStrategy(pool.Badge(), random_state=0)
    with pytest.warns(UserWarning, match="one class"):
        strategy.fit(LABELLED, np.zeros(len(LABELLED)))
    assert len(set(strategy.query(POOL, 4))) == 4


def test_there_and_back():
    """skfi's margin in scikit-activeml's contract in skfi's: the same rows where none tie."""
    strategy = SkactivemlStrategy(SkfiQueryStrategy(Margin()), MODEL, random_state=0)
    batch = strategy.fit(LABELLED, LABELS).query(POOL, 4)
    own = Margin(MODEL, random_state=0).fit(LABELLED, LABELS)
    np.testing.assert_allclose(
        np.sort(own.score_samples(POOL)[batch]), np.sort(own.score_samples(POOL))[-4:]
    )
