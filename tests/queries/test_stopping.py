"""Labelling that stops by itself: the rule, and the learning curve that follows it."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score

from skfi import active_learning_curve
from skfi.queries import Margin, Random, StablePredictions

X, Y = make_classification(260, 4, n_informative=3, n_redundant=0, random_state=0)
RULE = StablePredictions(threshold=0.9, window=2, n_rows=100)
RUN = dict(n_initial=10, batch_size=10, n_rounds=12, n_repeats=2, random_state=0)


def curve(strategies=None, **settings):
    strategies = [Margin(), Random()] if strategies is None else strategies
    settings = {**RUN, **settings}
    X_rows, y = settings.pop("X", X), settings.pop("y", Y)
    return active_learning_curve(LogisticRegression(), X_rows, y, strategies, **settings)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_agreement_is_cohens_kappa(n_classes):
    rng = np.random.default_rng(0)
    for share in (0.0, 0.3, 1.0):
        before = rng.integers(0, n_classes, 200)
        after = np.where(rng.random(200) < share, rng.integers(0, n_classes, 200), before)
        expected = cohen_kappa_score(before, after)
        assert RULE.agreement(before, after) == pytest.approx(expected, abs=1e-12)
    names = np.array(list("abcd"))
    assert RULE.agreement(names[before], names[after]) == pytest.approx(expected, abs=1e-12)


def test_one_class_predicted_twice_agrees():
    assert RULE.agreement([1, 1, 1], [1, 1, 1]) == 1.0
    assert RULE.agreement([1, 1, 1], [0, 0, 0]) == 0.0


def test_the_rule_reads_the_last_kappas():
    assert not RULE.reached([])
    assert not RULE.reached([1.0])
    assert not RULE.reached([np.nan, 1.0])
    assert RULE.reached([np.nan, 0.875, 0.9375])
    assert not RULE.reached([1.0, 1.0, 0.7])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(threshold=0.0), "threshold=0.0"),
        (dict(threshold=1.5), "threshold=1.5"),
        (dict(threshold=True), "threshold=True"),
        (dict(window=0), "window=0"),
        (dict(n_rows=2.5), "n_rows=2.5"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        StablePredictions(**settings)


def test_a_stopped_curve_is_the_beginning_of_a_whole_one():
    whole, stopped = curve(), curve(stopping=RULE)
    assert whole.agreement is None
    assert whole.stopped is None
    np.testing.assert_array_equal(stopped.n_labelled, whole.n_labelled)
    n_stopped = 0
    for name, ends in stopped.stopped.items():
        for repeat, end in enumerate(ends):
            kappas = stopped.agreement[name][repeat]
            points = int((whole.n_labelled <= end).sum()) if end else 13
            n_stopped += points < 13
            scores = stopped.scores[name][repeat]
            np.testing.assert_array_equal(scores[:points], whole.scores[name][repeat][:points])
            assert np.isnan(scores[points:]).all()
            asked = stopped.indices[name][repeat]
            n_asked = 10 * (points - 1)
            np.testing.assert_array_equal(
                asked[:n_asked], whole.indices[name][repeat][:n_asked]
            )
            assert (asked[n_asked:] == -1).all()
            assert np.isnan(stopped.query_seconds[name][repeat][points - 1 :]).all()
            first = [p for p in range(2, 13) if np.mean(kappas[p - 1 : p + 1]) >= 0.9]
            assert first[:1] == ([points - 1] if end else [])
    assert n_stopped


def test_agreement_is_that_of_refits_on_rows_of_the_pool():
    found = curve([Random()], stopping=StablePredictions(threshold=1.0, window=99))
    asked = np.concatenate([found.initial_indices[0], found.indices["Random"][0]])
    out = np.concatenate([found.test_indices[0], found.initial_indices[0]])
    pool = np.setdiff1d(np.arange(260), out)
    fits = [LogisticRegression().fit(X[asked[:n]], Y[asked[:n]]) for n in found.n_labelled]
    predicted = [fit.predict(X[pool]) for fit in fits]
    expected = [cohen_kappa_score(a, b) for a, b in pairwise(predicted)]
    np.testing.assert_allclose(found.agreement["Random"][0][1:], expected, rtol=1e-12)
    assert np.isnan(found.agreement["Random"][0][0])
    assert found.stopped["Random"].tolist() == [0, 0]


def test_an_oracle_is_not_asked_after_the_stop():
    y = np.full(260, None, dtype=object)
    y[:40] = Y[:40]
    found = curve(
        [Margin()],
        y=y,
        oracle=lambda rows, indices: Y[indices],
        stopping=StablePredictions(threshold=0.5, window=1),
        test_size=20,
        n_repeats=1,
    )
    n_first = len(found.initial_indices[0])
    assert found.stopped["Margin"][0] < found.n_labelled[-1]
    assert len(found.answers) == found.stopped["Margin"][0] - n_first


@pytest.mark.parametrize("n_kept", [1, 2])
def test_a_run_that_was_killed_stops_at_the_same_round(tmp_path, n_kept):
    expected = curve(stopping=RULE)
    folder = tmp_path / "run"
    curve(stopping=RULE, checkpoint=folder)
    for file in folder.glob("**/*.json"):  # back to an earlier round
        kept = json.loads(file.read_text())
        if isinstance(kept.get("rounds"), list):
            kept["rounds"] = kept["rounds"][:n_kept]
            file.write_text(json.dumps(kept))
    for _ in range(2):
        again = curve(stopping=RULE, checkpoint=folder)
        for name, ends in expected.stopped.items():
            np.testing.assert_array_equal(again.stopped[name], ends)
            np.testing.assert_array_equal(again.agreement[name], expected.agreement[name])
            np.testing.assert_array_equal(again.indices[name], expected.indices[name])
    with pytest.raises(ValueError, match="stopping"):
        curve(stopping=StablePredictions(threshold=0.8), checkpoint=folder)


def test_what_is_no_rule_is_refused():
    with pytest.raises(ValueError, match="'stopping' parameter"):
        curve(stopping=0.99)
