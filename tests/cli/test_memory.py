"""What a run takes is said, checked before the work, and not exceeded."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from skfi._cli import _memory
from tests.cli.conftest import write
from tests.cli.test_errors import error_of
from tests.cli.test_newcomer import told_of
from tests.cli.test_query import query
from tests.cli.test_trim import trim

pytest.importorskip("pandas")
MIB = 2**20


@pytest.mark.parametrize("command", [trim, query])
def test_what_does_not_fit_is_refused_before_the_work(skfi, tables, monkeypatch, command):
    needed = told_of(skfi(*command(tables, "--json")))["memory_bytes"]
    assert (
        f"Memory: up to {_memory.size(needed)} beside the tables." in skfi(*command(tables)).out
    )
    monkeypatch.setattr(_memory, "available_bytes", lambda: needed - 1.0)
    for forced in ((), ("--force",)):
        outcome = skfi(*command(tables, *forced))
        (line,) = [one for one in outcome.err.splitlines() if "error" in one]
        assert f"needs up to {_memory.size(needed)} of memory, and" in line
        assert "MiB is free. Leave columns out with --ignore" in line
        assert "fitting" not in outcome.err


def test_a_cheaper_score_is_named(skfi, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [[*rng.normal(size=40).round(2), f"class {k % 60}"] for k in range(300)]
    write(tmp_path / "a.csv", [[*(f"x{k}" for k in range(40)), "y"], *rows])
    monkeypatch.setattr(_memory, "available_bytes", lambda: 150.0 * MIB)
    arguments = ("trim", tmp_path / "a.csv", "--target", "y")
    line = error_of(skfi(*arguments))
    assert "scoring 300 rows of 40 columns and 60 classes needs up to" in line
    assert "and 150 MiB is free." in line
    assert "--influence loss needs 1" in line
    options = ("--influence", "loss", "--budget", "1", "--json")
    assert told_of(skfi(*arguments, *options))["memory_bytes"] < 150 * MIB


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_a_file_that_does_not_fit_is_not_read(skfi, tmp_path, monkeypatch, name):
    import gzip

    import pandas as pd

    frame = pd.DataFrame({"x": np.arange(1000.0), "y": ["a", "b"] * 500})
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
        frame.to_parquet(tmp_path / name)
    else:
        raw = frame.to_csv(index=False).encode()
        (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    monkeypatch.setattr(_memory, "available_bytes", lambda: 30_000.0)
    line = error_of(skfi("trim", tmp_path / name, "--target", "y"))
    assert f"{name}: reading it needs up to" in line


def test_encoded_columns_are_counted(skfi, tmp_path):
    from skfi._cli._columns import plan_columns
    from skfi._cli._console import Console
    from skfi._cli._tables import read_table

    kinds = ["a"] * 20 + ["b"] * 20 + [""] * 15 + ["c", "d"] * 2 + ["e"]
    rows = [["" if k % 7 == 0 else k * k, kind, "yn"[k % 2]] for k, kind in enumerate(kinds)]
    write(tmp_path / "a.csv", [["x", "kind", "y"], *rows])
    table, console = read_table(str(tmp_path / "a.csv")), Console(quiet=True)
    plan = plan_columns(table, "y", (), (), 0, console)
    assert plan.X.shape == (len(kinds), 8)  # x with a flag, five kinds, none
    np.testing.assert_allclose(plan.rows(table, console), plan.X, atol=1e-6)


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="peak memory of a process is not known")
@pytest.mark.parametrize(
    ("n_rows", "n_columns", "n_classes", "options"),
    [
        (300, 30, 40, ("--influence", "iv")),
        (600, 300, 2, ("--influence", "fi_signed")),
        (2000, 5, 20, ("--model", "extra-trees", "--influence", "loss")),
    ],
)
def test_no_run_takes_more_than_it_said(tmp_path, n_rows, n_columns, n_classes, options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns)).round(2)
    rows = [[*x, f"class {k % n_classes}"] for k, x in enumerate(X.tolist())]
    path = tmp_path / "a.csv"
    write(path, [[*(f"x{k}" for k in range(n_columns)), "y"], *rows])
    code = (
        "import resource, sys; from skfi._cli import _trim, main; check = _trim.check_memory\n"
        "def note(n_bytes, *rest):\n"
        "    check(n_bytes, *rest)\n"
        "    print(n_bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "_trim.check_memory = note; code = main(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )
    arguments = ("trim", path, "--target", "y", "--val", tmp_path / "v.csv", "--quiet")
    write(tmp_path / "v.csv", [[*(f"x{k}" for k in range(n_columns)), "y"], *rows[:80]])
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--budget", "2", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    said, before, after = map(float, run.stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024
    assert unit * (after - before) < said
