"""The runner of the paper's experiments: the same results whatever happened on the way."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest

pytest.importorskip("joblib", minversion="1.4")  # results as they come
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("torch")
pytest.importorskip("skorch")

from examples.paper import table1
from examples.paper.__main__ import main, parse
from examples.paper._experiment import Claim, Experiment, Options
from examples.paper._report import write_report
from examples.paper._runner import EXPERIMENTS, run
from examples.paper._store import Store, read
from tests.data import ROOT


def _settings(options):
    return [{"seed": seed, "quick": options.quick} for seed in range(options.seeds)]


def _run(cell):
    return [{"value": cell["seed"] / 3, "work_seconds": time.perf_counter()}]


def _draw(frame, folder, seconds):
    path = folder / "toy.png"
    path.write_bytes(b"picture")
    return [path]


def _claims(frame, seconds):
    told = f"{frame.value.mean():.3f} | {len(seconds)}"
    return [Claim("Toy: a | b", "1", told, "", str(len(frame)), "holds", "asked\nnothing")]


TOY = Experiment(
    **{"name": "toy", "title": "A toy", "about": "Nothing.", "seeds": 4},
    **{"settings": _settings, "run": _run, "draw": _draw, "claims": _claims},
)


def _stopped(cell):
    if cell["seed"] == 2:
        raise KeyboardInterrupt
    return _run(cell)


def _forbidden(cell):
    raise AssertionError("this cell was done")


def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path):
    run(TOY, tmp_path / "whole", n_jobs=1)
    halted = replace(TOY, run=_stopped)
    with pytest.raises(KeyboardInterrupt):
        run(halted, tmp_path / "halves", n_jobs=1)
    store = Store(tmp_path / "halves", TOY)
    cells = _settings(Options(4))
    assert [store.has(cell) for cell in cells] == [True, True, False, False]
    assert not (tmp_path / "halves" / "results").exists()
    run(TOY, tmp_path / "halves", n_jobs=1)
    names = ["results/toy.csv", "images/toy.png"]
    for name in names:
        halves, whole = (tmp_path / folder / name for folder in ("halves", "whole"))
        assert halves.read_bytes() == whole.read_bytes()
    run(replace(TOY, run=_forbidden), tmp_path / "halves", n_jobs=1)  # nothing is done again


def test_more_seeds_keep_what_is_done(tmp_path):
    run(TOY, tmp_path, seeds=2, n_jobs=1)
    run(replace(TOY, run=_stopped), tmp_path, seeds=2, n_jobs=1)
    run(TOY, tmp_path, seeds=3, n_jobs=1)
    assert len(read(tmp_path, "toy")[0]) == 3


@pytest.mark.parametrize("change", [{"version": 2}, {"name": "other"}])
def test_another_version_is_another_cell(tmp_path, change):
    cell = {"seed": 0, "quick": False}
    Store(tmp_path, TOY).save(cell, _run(cell), 1.0)
    assert Store(tmp_path, TOY).has(cell)
    assert not Store(tmp_path, replace(TOY, **change)).has(cell)
    assert not Store(tmp_path, TOY).has(cell | {"quick": True})


def test_times_are_kept_apart(tmp_path):
    run(TOY, tmp_path, n_jobs=1)
    frame, seconds = read(tmp_path, "toy")
    assert list(frame) == ["seed", "quick", "value"]
    assert "work_seconds" in seconds
    assert frame.value.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_the_page_has_a_row_a_claim_and_no_broken_cell(tmp_path, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "toy", TOY)
    run(TOY, tmp_path / "docs" / "reproduction", n_jobs=1)
    page = tmp_path / "docs" / "reproduction.md"
    write_report(tmp_path / "docs" / "reproduction", page)
    text = page.read_text("utf-8")
    row = next(line for line in text.splitlines() if "Toy: a" in line)
    assert row == (
        "| [toy](#toy) | Toy: a \\| b | **holds** | 1 | 0.500 \\| 4 |  | 4 | asked nothing |"
    )
    assert '<a name="toy"></a>A toy' in text
    assert "![toy](reproduction/images/toy.png)" in text
    assert "Without results so far: theorem1, table1" in text


def test_a_page_of_nothing_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="run NAME"):
        write_report(tmp_path, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()


def test_results_of_another_version_are_refused(tmp_path, monkeypatch):
    run(TOY, tmp_path / "results", n_jobs=1)
    monkeypatch.setitem(EXPERIMENTS, "toy", replace(TOY, version=2))
    with pytest.raises(ValueError, match="is of version 1 of toy, which is now 2"):
        write_report(tmp_path / "results", tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()


def test_a_verdict_is_one_of_four():
    with pytest.raises(ValueError, match="'maybe'"):
        Claim("a", "b", "c", "", "1", "maybe")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "table99"], "no such experiment. There are: theorem1"),
        (["run", "table1", "--seeds", "1"], "at least 2"),
        (["run", "table1", "--jobs", "0"], "at least 1"),
        (["run"], "NAME"),
        ([], "command"),
    ],
)
def test_bad_commands(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_list_names_every_table_and_figure(capsys):
    assert main(["list"]) == 0
    told = capsys.readouterr().out
    assert all(f"{name} " in told for name in EXPERIMENTS)


def test_missing_data_is_told_and_the_others_are_made(tmp_path, monkeypatch, capsys):
    def fail(cell):
        raise FileNotFoundError("put adult.data into SKFI_DATA")

    monkeypatch.setitem(EXPERIMENTS, "toy", replace(TOY, run=fail))
    monkeypatch.setitem(EXPERIMENTS, "other", replace(TOY, name="other"))
    arguments = ["run", "toy", "other", "--jobs", "1", "--output", str(tmp_path)]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert "toy: put adult.data into SKFI_DATA" in told
    assert "not made: toy" in told
    assert (tmp_path / "results" / "other.csv").exists()
    assert not (tmp_path / "results" / "toy.csv").exists()


def _start(output):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "examples.paper", "run", "table1", "--seeds", "3"),
            *("--jobs", "1", "--output", str(output)),
        ],
        cwd=ROOT,
        env=os.environ | {"MPLBACKEND": "Agg"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow  # test_a_stopped_run_goes_on_and_ends_the_same is its quick form
def test_a_killed_run_of_table1(tmp_path):
    killed = _start(tmp_path / "killed")
    cells = tmp_path / "killed" / "cells" / "table1"
    end = time.monotonic() + 120
    while not (cells.exists() and any(cells.glob("*.json"))):
        assert killed.poll() is None, killed.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    resumed, whole = _start(tmp_path / "killed"), _start(tmp_path / "whole")
    told = [process.communicate(timeout=300)[0] for process in (resumed, whole)]
    assert [resumed.returncode, whole.returncode] == [0, 0], told
    for name in ("results/table1.csv", "images/table1_gain.svg"):
        first, second = (tmp_path / folder / name for folder in ("killed", "whole"))
        assert first.read_bytes() == second.read_bytes()
    frame = pd.read_csv(tmp_path / "whole" / "results" / "table1.csv")
    assert len(frame) == len(table1.MODELS) * 3 * (1 + 5 * len(table1.BUDGETS))
    assert frame.accuracy.between(85, 100).all()
