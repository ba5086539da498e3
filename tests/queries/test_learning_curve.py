"""active_learning_curve: paired and repeatable, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, make_scorer
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi.queries import Margin, QueryStrategy
from skfi.queries._labelling import make_seed, seeded
from tests.conftest import ROOT
from tests.learning_curves import Chance, Labels, Sure, X, Y, assert_same, run


@pytest.fixture(autouse=True)
def _no_stop():
    Sure.stop_after = None
    yield
    Sure.stop_after = None


def test_is_the_loop_written_out():
    curve = run({"margin": Margin()})
    assert curve.n_labelled.tolist() == [9, 13, 17, 21]
    assert curve.test_indices.shape == (2, 36)
    assert curve.scoring == "accuracy"
    for repeat in range(2):
        test = curve.test_indices[repeat]
        labelled = curve.initial_indices[repeat].tolist()
        asked = curve.indices["margin"][repeat].tolist()
        for point in range(4):
            model = GaussianNB().fit(X[labelled], Y[labelled])
            assert curve.scores["margin"][repeat, point] == model.score(X[test], Y[test])
            if point == 3:
                break
            pool = [i for i in range(120) if i not in labelled and i not in test]
            two = np.sort(model.predict_proba(X[pool]), axis=1)[:, -2:]
            order = np.argsort(two[:, 1] - two[:, 0])
            batch = asked[4 * point : 4 * point + 4]
            assert batch == [pool[place] for place in order[:4]]
            labelled += batch
    assert curve.fit_seconds["margin"].shape == (2, 4)
    assert curve.query_seconds["margin"].shape == (2, 3)
    assert (curve.query_seconds["margin"] > 0).all()


def test_rows_of_a_repeat_do_not_meet_and_repeats_differ():
    curve = run(n_rounds=2)
    for asked in curve.indices.values():
        for rows in zip(curve.test_indices, curve.initial_indices, asked, strict=True):
            assert len(np.unique(np.concatenate(rows))) == 36 + 9 + 8
    assert (curve.test_indices[0] != curve.test_indices[1]).any()
    assert (curve.initial_indices[0] != curve.initial_indices[1]).any()


def test_strategies_are_paired_also_where_the_classifier_draws():
    forest = RandomForestClassifier(5)
    curve = run([Margin(), Sure(), Chance()], forest, n_rounds=1)
    first = [scores[:, 0] for scores in curve.scores.values()]
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(first[0], first[2])
    assert_same(run([Margin(), Sure(), Chance()], forest, n_rounds=1), curve)
    assert forest.random_state is None
    assert not hasattr(forest, "classes_")


def test_seeds_are_set_where_there_is_none():
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(random_state=7))
    assert seeded(forest, 0)[-1].random_state == 7
    forest = make_pipeline(StandardScaler(), RandomForestClassifier())
    assert seeded(forest, 0)[-1].random_state == seeded(forest, 0)[-1].random_state
    assert seeded(forest, 0)[-1].random_state != seeded(forest, 1)[-1].random_state
    seeds = {
        make_seed(r, p, k, n)
        for r in range(4)
        for p in range(4)
        for k in (0, 1, 2)
        for n in (0, 1)
    }
    assert len(seeds) == 4 * 4 * 3 * 2


def test_a_curve_does_not_depend_on_its_company():
    alone = run(Chance())
    assert_same(run([Margin(), Chance(), Sure()]), alone)
    assert_same(run([Sure(), Chance()]), alone)
    assert_same(run({"Chance": Chance(batch_size=9, random_state=5)}), alone)
    renamed = run({"other": Chance()})
    assert (renamed.indices["other"] != alone.indices["Chance"]).any()
    assert (run(Chance(), random_state=1).indices["Chance"] != alone.indices["Chance"]).any()


def test_draws_differ_between_rounds():
    """With one seed for all rounds a draw would take neighbours of the one before."""
    curve = run(Chance(), n_rounds=4, n_repeats=1)
    pool = np.setdiff1d(np.arange(120), np.r_[curve.test_indices[0], curve.initial_indices[0]])
    places = []
    for batch in curve.indices["Chance"][0].reshape(4, 4):
        places.append(tuple(np.searchsorted(pool, batch)))
        pool = np.setdiff1d(pool, batch)
    assert len(set(places)) == 4


@pytest.mark.parametrize("kept", [False, True])
def test_jobs_do_not_matter(tmp_path, kept):
    strategies = [Margin(), Chance()]
    folder = tmp_path / "jobs" if kept else None
    both = run(strategies, n_jobs=2, checkpoint=folder)
    assert_same(both, run(strategies))
    if kept:
        assert len(list(folder.glob("rounds-*.json"))) == 4
        assert_same(run(strategies, checkpoint=folder), both)


def test_random_state():
    assert_same(
        run(random_state=np.random.RandomState(3)), run(random_state=np.random.RandomState(3))
    )
    first, second = run(Chance(), random_state=None), run(Chance(), random_state=None)
    assert (first.indices["Chance"] != second.indices["Chance"]).any()


def test_first_rows_are_in_proportion_to_the_classes():
    y = np.repeat(["a", "b", "c"], [60, 40, 20])
    curve = run(Chance(), y=y, n_initial=12, n_rounds=1, test_size=30, n_repeats=5)
    for test, first in zip(curve.test_indices, curve.initial_indices, strict=True):
        assert [np.sum(y[test] == label) for label in "abc"] == [15, 10, 5]
        assert [np.sum(y[first] == label) for label in "abc"] == [6, 4, 2]


def test_first_rows_hold_two_classes():
    y = np.repeat([0, 1], [117, 3])
    curve = run(Chance(), y=y, n_initial=2, n_rounds=1, test_size=10, n_repeats=4)
    assert (y[curve.initial_indices].sum(axis=1) == 1).all()
    curve = run(Chance(), y=np.arange(120) % 10, n_initial=3, n_rounds=1)
    assert curve.n_labelled[0] == 3  # fewer rows than classes


def test_given_test_rows():
    curve = run(X=X[:90], y=Y[:90], X_test=X[90:], y_test=Y[90:])
    assert curve.test_indices.shape == (2, 0)
    model = GaussianNB().fit(*(a[curve.initial_indices[1]] for a in (X, Y)))
    assert curve.scores["Sure"][1, 0] == model.score(X[90:], Y[90:])


def test_scoring():
    curve = run(scoring="balanced_accuracy")
    assert curve.scoring == "balanced_accuracy"
    scorer = make_scorer(balanced_accuracy_score)
    other = run(scoring=scorer)
    assert_same(other, curve)
    assert other.scoring is scorer
    assert (curve.scores["Margin"] != run().scores["Margin"]).any()
    assert run(test_size=None).scores["Margin"].shape == (2, 4)
    assert np.isnan(run(test_size=None).scores["Margin"]).all()


def test_a_score_that_cannot_be_computed():
    y = np.repeat([0, 1, 2], [80, 30, 10])
    params = {"y": y, "n_initial": 2, "scoring": "neg_log_loss", "n_rounds": 1}
    with pytest.raises(ValueError, match="labels") as caught:
        run(Chance(), **params)
    assert "round 0 of strategy 'Chance', repeat 0" in caught.value.__notes__[-1]
    with pytest.warns(UserWarning, match=r"could not be computed and is set to -3\.0"):
        curve = run(Chance(), **params, error_score=-3.0)
    assert curve.scores["Chance"][0, 0] == -3


@pytest.mark.parametrize(("n_rounds", "sizes"), [(None, 4), (9, 4), (2, 3)])
def test_the_pool_is_used_up(n_rounds, sizes):
    curve = run(n_initial=14, batch_size=30, n_rounds=n_rounds)
    assert curve.n_labelled.tolist() == [14, 44, 74, 84][:sizes]
    assert curve.scores["Sure"].shape == (2, sizes)
    assert np.isfinite(curve.scores["Sure"]).all()
    if n_rounds != 2:
        everything = np.concatenate([*curve.test_indices[:1], *curve.initial_indices[:1]])
        everything = np.sort(np.concatenate([everything, curve.indices["Sure"][0]]))
        np.testing.assert_array_equal(everything, np.arange(120))


def test_area_and_frame():
    curve = run(n_initial=4, batch_size=50, n_rounds=None)
    assert curve.n_labelled.tolist() == [4, 54, 84]
    for name, scores in curve.scores.items():
        by_hand = (25 * (scores[:, 0] + scores[:, 1]) + 15 * (scores[:, 1] + scores[:, 2])) / 80
        np.testing.assert_allclose(curve.area()[name], by_hand)
    pytest.importorskip("pandas")
    frame = curve.to_frame()
    assert len(frame) == 2 * 2 * 3
    line = frame.query("strategy == 'Sure' and repeat == 1 and round == 2")
    assert line["n_labelled"].item() == 84
    assert line["score"].item() == curve.scores["Sure"][1, 2]
    assert line["query_seconds"].isna().item()
    line = frame.query("strategy == 'Margin' and repeat == 0 and round == 1")
    assert line["query_seconds"].item() == curve.query_seconds["Margin"][0, 1]


def test_frames_sparse_rows_and_kinds_of_labels(tmp_path):
    short = {"strategies": Margin(), "model": LogisticRegression(), "n_rounds": 1}
    dense = run(**short)
    assert_same(run(**short, X=sparse.csr_array(X)), dense)
    assert_same(run(**short, X=sparse.coo_array(X)), dense)
    plain = run()
    assert_same(run(X=X.tolist(), y=Y.tolist()), plain)
    text = np.array(["no", "perhaps", "surely"])[Y]
    for y in (text, text.astype(object), text.tolist()):
        assert_same(run(y=y), plain)
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcde"), index=np.arange(120) + 1000)
    for y in (pd.Series(text, index=frame.index), pd.Series(text).astype("category")):
        assert_same(run(X=frame, y=y), plain)
    run(X=frame, y=pd.Series(text), n_rounds=1, checkpoint=tmp_path)
    assert_same(run(X=frame.copy(), y=pd.Series(text), checkpoint=tmp_path), plain)


def test_pipelines_texts_and_the_default():
    pipeline = make_pipeline(StandardScaler(), GaussianNB())
    curve = run(model=pipeline)
    assert curve.scoring == "accuracy"
    first, test = curve.initial_indices[0], curve.test_indices[0]
    model = clone(pipeline).fit(X[first], Y[first])
    assert curve.scores["Margin"][0, 0] == model.score(X[test], Y[test])
    words = np.array(["good", "bad", "so so", "fine"])
    texts = [[" ".join(words[np.flatnonzero(row[:4] > 0)]) + " word"] for row in X]
    texts = np.array(texts, dtype=object)
    pipeline = make_pipeline(make_column_transformer((CountVectorizer(), 0)), MultinomialNB())
    assert run(model=pipeline, X=texts).scores["Margin"].shape == (2, 4)
    short = {"strategies": Margin(), "n_rounds": 1, "n_repeats": 1}
    assert_same(run(model=None, **short), run(model=LogisticRegression(), **short))


def test_progress_bar(capsys):
    pytest.importorskip("tqdm")
    run(n_rounds=1, verbose=1)
    assert "Labelling" in capsys.readouterr().err
    run(n_rounds=1)
    assert not capsys.readouterr().err


# What is refused.


class Returns(QueryStrategy):
    """Any positions."""

    def __init__(self, estimator=None, *, positions=None):
        super().__init__(estimator)
        self.positions = positions

    def _score(self, X_pool):
        raise NotImplementedError

    def query(self, X_pool, batch_size=None, *, return_utilities=False):
        return self.positions


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([0, 1, 2], "must return 4 positions"),
        ([0.0, 1.0, 2.0, 3.0], "must return 4 positions .* float64"),
        ([0, 1, 2, 2], "different positions"),
        ([0, 1, 2, 75], "in 0 to 74"),
        ([0, 1, 2, -1], "in 0 to 74"),
        ([[0, 1, 2, 3]], "must return 4 positions"),
    ],
)
def test_bad_strategies(positions, message):
    with pytest.raises(ValueError, match=message) as caught:
        run({"bad": Returns(positions=positions)})
    assert "round 0 of strategy 'bad', repeat 0, with 9" in caught.value.__notes__[-1]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"strategies": []}, ValueError, "strategies is empty"),
        ({"strategies": {}}, ValueError, "strategies is empty"),
        ({"strategies": [Margin(), Margin()]}, ValueError, "holds Margin more than once"),
        ({"strategies": Margin}, TypeError, "no QueryStrategy"),
        ({"strategies": [LogisticRegression()]}, TypeError, "no QueryStrategy"),
        ({"strategies": "Margin"}, TypeError, "no QueryStrategy"),
        ({"strategies": {1: Margin()}}, TypeError, "names must be strings"),
        ({"model": "tree"}, ValueError, "estimator"),
        ({"n_initial": 1}, ValueError, "n_initial"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 0.1}, ValueError, "batch_size"),
        ({"n_rounds": 0}, ValueError, "n_rounds"),
        ({"n_repeats": 0}, ValueError, "n_repeats"),
        ({"test_size": 1.0}, ValueError, "test_size"),
        ({"test_size": 0}, ValueError, "test_size"),
        ({"scoring": "none"}, ValueError, "none"),
        ({"error_score": "ignore"}, ValueError, "error_score"),
        ({"random_state": "a"}, ValueError, "random_state"),
        ({"checkpoint": 3}, ValueError, "checkpoint"),
        ({"oracle": 3}, ValueError, "oracle"),
        ({"X_test": X}, ValueError, "X_test was passed without y_test"),
        ({"y_test": Y}, ValueError, "y_test was passed without X_test"),
        ({"X_test": X, "y_test": Y[:3]}, ValueError, "inconsistent"),
        ({"X_test": X[:0], "y_test": Y[:0]}, ValueError, "X_test has no rows"),
        ({"y": Y[:7]}, ValueError, "inconsistent"),
        ({"y": None}, ValueError, "y is None"),
        ({"y": np.zeros(120)}, ValueError, "one class"),
        ({"y": X[:, 0]}, ValueError, "Unknown label type"),
        ({"y": np.where(Y == 0, np.nan, Y)}, ValueError, "y lacks the labels of .* of 120"),
        ({"n_initial": 84}, ValueError, "no pool is left"),
        ({"test_size": 115}, ValueError, "no pool is left"),
        ({"test_size": 121}, ValueError, "no pool is left"),
        ({"oracle": Labels()}, ValueError, "nothing to ask"),
        ({"oracle": Labels(), "y": None, "n_jobs": 2}, ValueError, "n_jobs=2"),
    ],
)
def test_bad_arguments(tmp_path, params, error, message):
    with pytest.raises(error, match=message):
        run(**{"checkpoint": tmp_path / "new", **params})
    assert not (tmp_path / "new").exists() or not list((tmp_path / "new").glob("rounds*"))


def test_a_classifier_without_probabilities():
    from sklearn.svm import LinearSVC

    with pytest.raises(TypeError, match="Margin needs class probabilities") as caught:
        run(model=LinearSVC())
    assert "strategy 'Margin'" in caught.value.__notes__[-1]
    assert run(Chance(), LinearSVC()).scores["Chance"].shape == (2, 4)


def test_nothing_that_was_given_is_changed():
    strategy = Margin(LogisticRegression(C=3), batch_size=7, random_state=1)
    before = repr(strategy)
    rows, labels = X.copy(), Y.copy()
    run(strategy)
    assert repr(strategy) == before
    assert not hasattr(strategy, "estimator_")
    np.testing.assert_array_equal(X, rows)
    np.testing.assert_array_equal(Y, labels)


# The example.


def example(*options, answers=None):
    return subprocess.run(
        [sys.executable, "examples/labelling_loop.py", *options],
        cwd=ROOT,
        input=answers,
        capture_output=True,
        text=True,
        check=False,
    )


def test_labelling_loop(tmp_path):
    """Stopped and gone on with, by hand and by itself, it asks for the same rows."""
    path = tmp_path / "labels.json"
    short = ("--labels", str(path), "--rounds", "2", "--batch", "3")
    whole = example("--simulate", *short)
    assert whole.returncode == 0, whole.stderr
    assert [line.split()[0] for line in whole.stdout.splitlines()] == ["10", "13", "16"]
    labels = json.loads(path.read_text())
    path.unlink()
    right = [str(label) for _, label in labels]
    first = example(*short, answers="\n".join(["x", *right[:11], "q"]))
    assert first.returncode == 0, first.stderr
    assert "Answered so far: 11," in first.stdout
    assert json.loads(path.read_text()) == labels[:11]
    second = example("--simulate", *short)
    assert second.returncode == 0, second.stderr
    assert "11 labels from" in second.stdout
    assert len(json.loads(path.read_text())) == 16
