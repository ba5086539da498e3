"""active_learning_curve: paired, repeatable, and the same after it was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, make_scorer
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import _checkpoint
from skfi._checkpoint import data_setting
from skfi._labelling import make_seed, seeded
from skfi._learning_curve import active_learning_curve
from skfi.queries import Margin, QueryStrategy
from tests.conftest import ROOT

X, Y = make_classification(120, 5, n_informative=3, n_classes=3, flip_y=0.2, random_state=0)
MODEL = GaussianNB()
SHORT = {"n_initial": 9, "batch_size": 4, "n_rounds": 3, "n_repeats": 2, "random_state": 0}


class Chance(QueryStrategy):
    """At random."""

    _needs_model = False

    def _score(self, X_pool):
        return np.zeros(len(X_pool) if isinstance(X_pool, list) else X_pool.shape[0])


class Sure(QueryStrategy):
    """The rows the model is surest of; stops the run at a fit, where told to."""

    stop_after = None  # fits that are left

    def __init__(self, estimator=None, *, batch_size=1, random_state=None, weight=1.0):
        super().__init__(estimator, batch_size=batch_size, random_state=random_state)
        self.weight = weight

    def _score(self, X_pool):
        if Sure.stop_after is not None:
            Sure.stop_after -= 1
            if Sure.stop_after < 0:
                raise RuntimeError("killed")
        return self.weight * self._proba(X_pool).max(axis=1)


@pytest.fixture(autouse=True)
def _no_stop():
    Sure.stop_after = None
    yield
    Sure.stop_after = None


def run(strategies=None, model=MODEL, X=X, y=Y, **params):
    strategies = [Margin(), Sure()] if strategies is None else strategies
    return active_learning_curve(model, X, y, strategies, **SHORT | params)


def assert_same(curve, other, names=None):
    """All but the seconds."""
    for name in names or other.scores:
        np.testing.assert_array_equal(curve.scores[name], other.scores[name])
        np.testing.assert_array_equal(curve.indices[name], other.indices[name])
    np.testing.assert_array_equal(curve.n_labelled, other.n_labelled)
    np.testing.assert_array_equal(curve.initial_indices, other.initial_indices)
    np.testing.assert_array_equal(curve.test_indices, other.test_indices)
    assert curve.answers == other.answers


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


# Checkpoints.


@pytest.mark.parametrize("after", [0, 1, 2, 4, 5])
def test_a_killed_run_goes_on_as_if_nothing_was(tmp_path, after):
    whole = run()
    Sure.stop_after = after
    with pytest.raises(RuntimeError, match="killed"):
        run(checkpoint=tmp_path)
    Sure.stop_after = 6 - after  # what is done is not done again
    assert_same(run(checkpoint=tmp_path), whole)
    Sure.stop_after = 0
    again = run(checkpoint=tmp_path)
    assert_same(again, whole)
    assert (again.query_seconds["Sure"] > 0).all()


@pytest.mark.parametrize("writes", [0, 1, 2, 5, 8])
@pytest.mark.parametrize("place", ["replace", "fsync", "dump"])
def test_killed_in_the_middle_of_writing(tmp_path, monkeypatch, writes, place):
    left = [writes]
    module, name = {"dump": (json, "dump")}.get(place, (os, place))
    real = getattr(module, name)

    def stop(*args):
        left[0] -= 1
        if left[0] < 0:
            if place == "dump":
                args[1].write('{"half of')
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, stop)
        with pytest.raises(KeyboardInterrupt):
            run(checkpoint=tmp_path)
    for path in tmp_path.iterdir():  # nothing half, and nothing left over
        json.loads(path.read_text())
    assert_same(run(checkpoint=tmp_path), run())


def test_files_left_by_a_kill_are_no_obstacle(tmp_path):
    whole = run(checkpoint=tmp_path)
    (tmp_path / "settings-0123.tmp").write_text("{")
    assert_same(run(checkpoint=tmp_path), whole)


def test_killed_in_another_process(tmp_path):
    """By the system, without a chance to tidy up; hashes must agree between processes."""
    code = f"""
        import os
        import numpy as np
        from tests import test_learning_curve as t

        def oracle(X_rows, indices):
            for row in indices:
                if len(list(t.Labels.given)) == 14:
                    os._exit(9)
                t.Labels.given.append(row)
                yield t.TEXT[row]

        t.run_oracle(oracle, checkpoint={str(tmp_path)!r})
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 9, result.stderr
    kept = json.loads((tmp_path / "answers.json").read_text())
    assert len(kept["rows"]) == 14
    assert kept["labels"] == TEXT[kept["rows"]].tolist()
    again = Labels()
    assert_same(run_oracle(again, checkpoint=tmp_path), run_oracle(Labels()))
    assert not set(again.asked) & set(kept["rows"])


def test_more_rounds_repeats_and_strategies(tmp_path):
    run(Sure(), n_rounds=2, n_repeats=1, checkpoint=tmp_path)
    Sure.stop_after = 4  # one more round of the first repeat, three of the second
    longer = run(checkpoint=tmp_path)
    Sure.stop_after = None
    assert_same(longer, run())
    Sure.stop_after = 0
    shorter = run(n_rounds=1, n_repeats=1, checkpoint=tmp_path)
    assert shorter.n_labelled.tolist() == [9, 13]
    assert_same(run(checkpoint=tmp_path), longer)


def test_any_seed_goes_on_with_the_one_there(tmp_path):
    first = run(random_state=None, checkpoint=tmp_path)
    assert_same(run(random_state=None, checkpoint=tmp_path), first)
    seed = json.loads((tmp_path / "settings.json").read_text())["seed"]
    assert_same(run(random_state=seed), first)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"model": GaussianNB(var_smoothing=0.1)}, "estimator was GaussianNB"),
        ({"X": X + 1}, "X .* has other contents"),
        ({"X": X[:, ::-1]}, "X .* has other contents"),
        ({"X": X.astype(np.float32)}, "X was float64 .* is float32"),
        ({"X": sparse.csr_array(X)}, "X was .* sparse"),
        ({"X": X[:100], "y": Y[:100]}, "y was .*100"),
        ({"y": (Y + 1) % 3}, "y .* has other contents"),
        ({"n_initial": 8}, "n_initial was 9 and is 8"),
        ({"batch_size": 3}, "batch_size was 4 and is 3"),
        ({"test_size": 0.4}, "test_size was 0.3 and is 0.4"),
        ({"X_test": X, "y_test": Y}, "X_test was None"),
        ({"scoring": "f1_macro"}, "scoring was None"),
        ({"random_state": 1}, "random_state was seed 0 and is seed 1"),
        ({"error_score": 0.0}, "error_score"),
        ({"strategies": [Margin(), Sure(weight=2)]}, "strategy 'Sure' with other parameters"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, params, named):
    before = run(n_rounds=1, checkpoint=tmp_path)
    held = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=named) as caught:
        run(**{"n_rounds": 1, "checkpoint": tmp_path, **params})
    assert str(tmp_path) in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == held
    assert_same(run(n_rounds=1, checkpoint=tmp_path), before)


def test_a_checkpoint_that_was_tampered_with(tmp_path):
    run(checkpoint=tmp_path)
    path = tmp_path / "settings.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"settings\.json is no JSON"):
        run(checkpoint=tmp_path)
    path.write_text(json.dumps({"format": 0}))
    with pytest.raises(ValueError, match="another version"):
        run(checkpoint=tmp_path)


def test_what_cannot_be_told_again_is_refused(tmp_path):
    scorer = make_scorer(lambda y, predicted: 0.5)
    assert (run(scoring=scorer).scores["Margin"] == 0.5).all()
    with pytest.raises(TypeError, match=r"scoring must hold nothing .* lambdas"):
        run(scoring=scorer, checkpoint=tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_that_file_systems_do_not_tell_apart(tmp_path):
    names = ["a", "A", "a/b", "a_b", "ä", "a" * 300 + "1", "a" * 300 + "2"]
    strategies = {name: Chance() for name in names}
    whole = run(strategies, n_rounds=1, n_repeats=1, checkpoint=tmp_path)
    assert len({p.name.lower() for p in tmp_path.glob("rounds-*")}) == len(names)
    again = run(strategies, n_rounds=1, n_repeats=1, checkpoint=tmp_path)
    assert_same(again, whole)


def test_data_are_known_by_their_contents():
    def same(a, b):
        return data_setting(a)["digest"] == data_setting(b)["digest"]

    assert same(X, np.asfortranarray(X))
    assert same(X, X.copy()[::-1][::-1])
    assert not same(X, X.astype(np.float32))
    assert not same(X, X.reshape(-1, 3))
    assert not same(X, np.where(X[-1, -1] == X, np.nextafter(X, 9), X))
    assert same(sparse.csr_array(X), sparse.csc_array(X))
    assert not same(sparse.csr_array(X), 2 * sparse.csr_array(X))
    assert same(["a", "b"], ["a", "b"])
    assert not same(["a", "b"], ["a", "c"])
    assert same(np.array(["a", None], object), np.array(["a", None], object))
    assert not same(np.array(["a", None], object), np.array(["a", "b"], object))
    assert not same(np.array([1, 2]), np.array([True, False]))
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.Categorical(["u", "v"])})
    assert same(frame, pd.concat([frame[["a"]], frame[["b", "c"]]], axis=1))
    assert not same(frame, frame.rename(columns={"a": "d"}))
    assert not same(frame, frame.assign(b=["x", "z"]))
    assert not same(frame, frame.assign(a=[1.0, 2.0]))


# Oracles.

TEXT = np.array(["no", "perhaps", "surely"])[Y]


class Labels:
    """An oracle that knows all, notes what it was asked, and may be stopped."""

    given: list = []  # of the other process

    def __init__(self, y=TEXT, stop_after=None):
        self.y, self.stop_after = y, stop_after
        self.asked = []

    def __call__(self, X_rows, indices):
        assert len(indices) == len(X_rows)
        np.testing.assert_array_equal(X_rows, X[indices])
        if self.stop_after is not None and len(self.asked) + len(indices) > self.stop_after:
            raise KeyboardInterrupt
        self.asked += indices.tolist()
        return self.y[indices]

    def one_by_one(self, X_rows, indices):
        for row in indices:
            if len(self.asked) == self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(int(row))
            yield self.y[row]


def run_oracle(oracle, strategies=None, y=None, **params):
    """With the last 40 rows to test on."""
    if y is not None:
        y = y[:80]
    test = {"X_test": X[80:], "y_test": TEXT[80:]}
    strategies = [Margin(), Chance()] if strategies is None else strategies
    return active_learning_curve(
        MODEL, X[:80], y, strategies, **SHORT | test | {"oracle": oracle} | params
    )


def test_an_oracle_gives_all_labels():
    oracle = Labels()
    curve = run_oracle(oracle)
    assert len(oracle.asked) == len(set(oracle.asked))  # over strategies and repeats, too
    wanted = np.union1d(curve.initial_indices, np.r_[*curve.indices.values()])
    np.testing.assert_array_equal(np.sort(oracle.asked), wanted)
    assert curve.answers == {row: TEXT[row] for row in oracle.asked}
    assert all(type(label) is str for label in curve.answers.values())
    labelled = np.r_[curve.initial_indices[1], curve.indices["Margin"][1, :4]]
    model = GaussianNB().fit(X[labelled], TEXT[labelled])
    assert curve.scores["Margin"][1, 1] == model.score(X[80:], TEXT[80:])
    assert_same(run_oracle(Labels().one_by_one), curve)


@pytest.mark.parametrize("unknown", [None, np.nan])
def test_labels_there_are_come_first(unknown):
    y = TEXT.astype(object)
    y[20:] = unknown
    oracle = Labels()
    curve = run_oracle(oracle, y=y)
    np.testing.assert_array_equal(curve.initial_indices, [np.arange(20)] * 2)
    assert curve.n_labelled.tolist() == [20, 24, 28, 32]
    assert min(oracle.asked) >= 20
    curve = run_oracle(oracle, y=y, n_initial=25)
    assert curve.initial_indices.shape == (2, 25)
    assert (curve.initial_indices[:, :20] == np.arange(20)).all()
    assert (curve.initial_indices[0] != curve.initial_indices[1]).any()


def test_labels_that_are_numbers():
    y = Y.astype(float)
    y[20:] = np.nan
    oracle = Labels(Y)
    curve = active_learning_curve(MODEL, X, y, Margin(), oracle=oracle, **SHORT)
    assert curve.test_indices.shape == (2, 6)  # of the rows with labels
    assert curve.test_indices.max() < 20
    assert curve.n_labelled[0] == 14
    assert {type(label) for label in curve.answers.values()} == {int}
    pd = pytest.importorskip("pandas")
    nullable = pd.Series(y).astype("Int64")
    again = active_learning_curve(MODEL, X, nullable, Margin(), oracle=Labels(Y), **SHORT)
    assert_same(again, curve)


def test_no_test_rows():
    curve = run_oracle(Labels(), X_test=None, y_test=None, test_size=None)
    assert np.isnan(curve.scores["Margin"]).all()
    assert len(curve.answers) > 20
    assert np.isnan(curve.area()["Margin"]).all()
    with pytest.raises(ValueError, match="no rows with labels to hold out"):
        run_oracle(Labels(), X_test=None, y_test=None)


@pytest.mark.parametrize("stop_after", [0, 5, 9, 11, 14, 20])
@pytest.mark.parametrize("single", [False, True])
def test_no_answer_is_lost_or_asked_for_again(tmp_path, stop_after, single):
    def told(oracle):
        return oracle.one_by_one if single else oracle

    whole = run_oracle(Labels())
    first, second = Labels(stop_after=stop_after), Labels()
    with pytest.raises(KeyboardInterrupt):
        run_oracle(told(first), checkpoint=tmp_path)
    assert len(first.asked) == stop_after or not single
    if first.asked:
        kept = json.loads((tmp_path / "answers.json").read_text())
        assert kept == {"rows": first.asked, "labels": TEXT[first.asked].tolist()}
    assert_same(run_oracle(told(second), checkpoint=tmp_path), whole)
    assert sorted(first.asked + second.asked) == sorted(whole.answers)


def test_a_refused_checkpoint_tells_where_the_labels_are(tmp_path):
    run_oracle(Labels(), checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"labels given so far are in .*answers\.json"):
        run_oracle(Labels(), batch_size=5, checkpoint=tmp_path)
    (tmp_path / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"answers\.json but no settings\.json"):
        run_oracle(Labels(), checkpoint=tmp_path)


def test_files_are_strict_json(tmp_path):
    def refuse(text):
        raise AssertionError(text)

    y = np.where(np.arange(120) == 119, "no", "yes")
    run_oracle(Labels(y), [Chance()], checkpoint=tmp_path)  # scores are NaN: one class
    for path in tmp_path.iterdir():
        json.loads(path.read_text(), parse_constant=refuse)
    again = run_oracle(Labels(y), [Chance()], checkpoint=tmp_path)
    assert np.isnan(again.scores["Chance"]).all()


def test_one_class_so_far():
    """Rows are drawn at random, the same for all strategies, until there is another."""
    y = TEXT.copy()
    y[:] = "no"
    known = y.astype(object)
    known[9:] = None
    curve = run_oracle(Labels(y), y=known, n_rounds=2)
    np.testing.assert_array_equal(curve.indices["Margin"], curve.indices["Chance"])
    assert (curve.indices["Margin"][0, :4] != curve.indices["Margin"][1, :4]).any()
    assert (curve.fit_seconds["Margin"] == 0).all()
    met = curve.indices["Margin"][0, :4]
    y[met[0]] = "yes"
    curve = run_oracle(Labels(y), y=known, n_rounds=2, n_repeats=1)
    np.testing.assert_array_equal(curve.indices["Margin"][0, :4], met)
    assert np.isnan(curve.scores["Margin"]).tolist() == [[True, False, False]]
    assert (curve.indices["Margin"][0, 4:] != curve.indices["Chance"][0, 4:]).any()


@pytest.mark.parametrize(
    ("oracle", "message"),
    [
        (lambda X_rows, indices: TEXT[indices][:-1], "asked for 9 labels and gave 8"),
        (lambda X_rows, indices: [*TEXT[indices], "no"], "asked for 9 labels and gave more"),
        (lambda X_rows, indices: iter(TEXT[indices][:2]), "asked for 9 labels and gave 2"),
        (lambda X_rows, indices: iter("a" * 20), "asked for 9 labels and gave more"),
        (lambda X_rows, indices: None, "The oracle was asked for 9 labels.* returned None"),
        (lambda X_rows, indices: [None] * 9, "None, which is no label"),
        (lambda X_rows, indices: [np.nan] * 9, "nan, which is no label"),
        (lambda X_rows, indices: [1, "no"] * 4 + [1], "'no', and others are numbers"),
        (lambda X_rows, indices: "yes", "The oracle .*also for a single row.* returned 'yes'"),
        (lambda X_rows, indices: [[1, 2]] * 9, r"The oracle .* array of shape \(9, 2\)"),
    ],
)
def test_bad_oracles(oracle, message):
    with pytest.raises(ValueError, match=message):
        run_oracle(oracle)


def test_an_oracle_must_speak_as_y_does():
    y = TEXT.astype(object)
    y[20:] = None
    with pytest.raises(ValueError, match="the label 3, and others are strings"):
        run_oracle(lambda X_rows, indices: [3] * len(indices), y=y)


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


def test_the_state_is_written_after_each_round(tmp_path, monkeypatch):
    written = []
    real = _checkpoint.write_json
    monkeypatch.setattr(
        _checkpoint,
        "write_json",
        lambda path, content: (written.append(path), real(path, content)),
    )
    run(Margin(), n_repeats=1, checkpoint=tmp_path)
    assert [path.name.split("-")[0] for path in written] == ["settings.json"] + 4 * ["rounds"]


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
