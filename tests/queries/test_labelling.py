"""Oracles: labels that somebody gives while the curve is computed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from skfi.queries import Margin
from skfi.queries._learning_curve import active_learning_curve
from tests.learning_curves import (
    MODEL,
    SHORT,
    TEXT,
    Chance,
    Labels,
    Sure,
    X,
    Y,
    assert_same,
    run_oracle,
)


@pytest.fixture(autouse=True)
def _no_stop():
    Sure.stop_after = None
    yield
    Sure.stop_after = None


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
    def form(oracle):
        return oracle.one_by_one if single else oracle

    whole = run_oracle(Labels())
    first, second = Labels(stop_after=stop_after), Labels()
    with pytest.raises(KeyboardInterrupt):
        run_oracle(form(first), checkpoint=tmp_path)
    assert len(first.asked) == stop_after or not single
    if first.asked:
        kept = json.loads((tmp_path / "answers.json").read_text())
        assert kept["rows"] == first.asked
        assert kept["labels"] == TEXT[first.asked].tolist()
    assert_same(run_oracle(form(second), checkpoint=tmp_path), whole)
    assert sorted(first.asked + second.asked) == sorted(whole.answers)


def test_a_refused_checkpoint_tells_where_the_labels_are(tmp_path):
    run_oracle(Labels(), checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"labels given so far are in .*answers\.json"):
        run_oracle(Labels(), batch_size=5, checkpoint=tmp_path)
    (tmp_path / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"answers\.json but no settings\.json"):
        run_oracle(Labels(), checkpoint=tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept["labels"].__setitem__(0, "no such class"),
        lambda kept: kept["labels"].pop(),
        lambda kept: kept["rows"].__setitem__(0, 10**6),
        lambda kept: kept.pop("rows"),
    ],
)
def test_edited_answers_are_refused(tmp_path, change):
    run_oracle(Labels(), checkpoint=tmp_path)
    path = tmp_path / "answers.json"
    kept = json.loads(path.read_text())
    change(kept)
    path.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=r"answers\.json was changed by hand"):
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
    first = curve.indices["Margin"][0, :4]
    y[first[0]] = "yes"
    curve = run_oracle(Labels(y), y=known, n_rounds=2, n_repeats=1)
    np.testing.assert_array_equal(curve.indices["Margin"][0, :4], first)
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
