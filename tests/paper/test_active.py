"""Learning curves as cells: candidates, heights and pairs."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

pytest.importorskip("matplotlib")

from examples.paper import _active
from skfi.queries import Margin

X, y = make_classification(300, 5, random_state=0)
CELL = {"seed": 3, "initial": 10, "batch": 7, "rounds": 4}


def _learn(name, asking):
    cell = CELL | {"strategy": name}
    return _active.learn(LogisticRegression(), asking, X[:200], y[:200], X[200:], y[200:], cell)


@pytest.mark.parametrize("name", [*_active.STRATEGIES, _active.SHAPLEY])
def test_every_strategy_has_the_same_first_rows(name):
    rows = _learn(name, _active.strategy(name))
    assert [row["labelled"] for row in rows] == [10, 17, 24, 31, 38]
    assert rows[0]["accuracy"] == _learn("random", _active.strategy("random"))[0]["accuracy"]
    again = _learn(name, _active.strategy(name))
    assert [row["accuracy"] for row in rows] == [row["accuracy"] for row in again]
    assert rows[-1]["query_seconds"] is None


def test_candidates_are_as_many_as_said_and_drawn_anew():
    asking = _active.FromCandidates(Margin(), 20, seed=0, random_state=0)
    every = set()
    for n in (10, 17):
        asking.fit(X[:n], y[:n])
        pool = X[200:]
        drawn = np.random.default_rng([0, n]).permutation(100)[:20]
        assert set(asking.query(pool, batch_size=20)) == set(drawn)
        asked = asking.query(pool, batch_size=3)
        margin = np.abs(asking.strategy_.estimator_.decision_function(pool[drawn]))
        assert set(asked) == set(drawn[np.argsort(margin)[:3]])
        every |= set(drawn)
    assert len(every) > 20


def test_fresh_candidates_in_the_loop():
    rows = _learn("margin", _active.FromCandidates(Margin(), 20, seed=0))
    assert [row["labelled"] for row in rows] == [10, 17, 24, 31, 38]


def test_heights_and_ends():
    lines = [
        {"seed": seed, "strategy": name, "round": k, "labelled": n, "accuracy": value}
        for seed, lift in ((0, 0.0), (1, 1.0))
        for name, values in {"a": (50, 70, 90), "b": (50, 60, 70)}.items()
        for k, (n, value) in enumerate(
            zip((10, 20, 40), (v + lift for v in values), strict=True)
        )
    ]
    frame = pd.DataFrame(lines)
    heights = _active.areas(frame)
    assert heights.loc[0, "a"] == pytest.approx((60 * 10 + 80 * 20) / 30)
    assert heights.loc[1, "b"] == pytest.approx((55 * 10 + 65 * 20) / 30 + 1)
    assert _active.finals(frame).loc[1].to_dict() == {"a": 91, "b": 71}
    found = _active.against(frame, "a", ("b", "not there"))
    assert list(found) == ["b"]
    assert found["b"].supported
    assert "| x |" in _active.table(frame.assign(data="x"))
