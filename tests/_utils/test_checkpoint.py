"""What is kept of a learning curve: the same after it was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import make_scorer
from sklearn.naive_bayes import GaussianNB

from skfi._utils import _checkpoint
from skfi._utils._checkpoint import data_setting
from skfi.queries import Margin
from tests.conftest import ROOT
from tests.learning_curves import (
    TEXT,
    Chance,
    Labels,
    Sure,
    X,
    Y,
    assert_same,
    run,
    run_oracle,
)


@pytest.fixture(autouse=True)
def _no_stop():
    Sure.stop_after = None
    yield
    Sure.stop_after = None


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
        from tests import learning_curves as t

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


@pytest.mark.parametrize(
    ("start", "changed"),
    [
        *((start, junk) for start in ("settings", "rounds") for junk in ([], {}, 3, "a", None)),
        ("settings", {"seed": "1"}),
        ("settings", {"settings": [1]}),
        ("settings", {"settings": {"X": 3}}),
        ("settings", {"settings": {"X": {"digest": 3}}}),
        ("settings", {"format": "1"}),
        ("rounds", {"digest": 3}),
        ("rounds", {"rounds": {}}),
        ("rounds", {"rounds": [3]}),
        ("rounds", {"rounds": [{"score": 1.0}]}),
        (
            "rounds",
            {"rounds": [{"score": "a", "fit_seconds": 1, "query_seconds": 1, "rows": []}]},
        ),
        (
            "rounds",
            {"rounds": [{"score": 1, "fit_seconds": 1, "query_seconds": 1, "rows": [-1]}]},
        ),
    ],
    ids=str,
)
def test_json_of_another_form_is_named(tmp_path, start, changed):
    run(checkpoint=tmp_path)
    path = next(tmp_path.glob(f"{start}*.json"))
    if isinstance(changed, dict) and changed:
        changed = json.loads(path.read_text()) | changed
    path.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=rf"{path.name} was changed by hand"):
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


def test_a_network_is_known_by_its_numbers_in_any_process():
    """A tensor's own pickle holds an address in memory."""
    pytest.importorskip("torch")
    code = """
        import torch
        from skfi._utils._checkpoint import digest

        torch.manual_seed(0)
        module = torch.nn.Linear(3, 2)
        same, half = digest(module, "module"), digest(module.half(), "module")
        with torch.no_grad():
            module.bias += 1
        print(same, half, digest(module, "module"))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    one, other = (
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
        for _ in range(2)
    )
    assert one == other
    assert len(set(one.split())) == 3
