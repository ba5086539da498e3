"""The examples run and save their pictures."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("dataset", ["breast_cancer", "adult"])
def test_demo(tmp_path, dataset, request):
    pytest.importorskip("matplotlib")
    options = []
    if dataset == "adult":
        request.getfixturevalue("adult")
        options = ["--seeds", "2", "--data", str(request.getfixturevalue("data_folder"))]
    environment = {k: v for k, v in os.environ.items() if k != "SKFI_DATA"}
    result = subprocess.run(
        [sys.executable, "examples/demo.py", "--output", str(tmp_path), *options],
        cwd=ROOT,
        env=environment | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    gains = {line[2:22].strip(): line for line in lines if line.startswith("  ")}
    assert set(gains) == {"signed FI (default)", "FI, paper's form", "highest loss", "random"}
    caught = {name: int(line.split()[-2]) for name, line in gains.items()}
    assert caught["signed FI (default)"] > 60
    assert abs(caught["random"] - 20) < 5
    pictures = sorted(path.name for path in tmp_path.iterdir())
    assert pictures == [f"{dataset}_accuracy_over_budget.png", f"{dataset}_rows_that_went.png"]
    assert all(path.stat().st_size > 20_000 for path in tmp_path.iterdir())


def test_crescents(tmp_path):
    for package in ("torch", "skorch", "matplotlib"):
        pytest.importorskip(package)
    result = subprocess.run(
        [
            *(sys.executable, "examples/crescents.py", "--output", str(tmp_path)),
            *("--seeds", "2", "--jobs", "1", "--epochs", "4"),
        ],
        cwd=ROOT,
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    methods = ["FI, paper's form", "IV", "signed FI", "highest loss", "random"]
    rows = [line for line in result.stdout.splitlines() if line[:4].strip().isdigit()]
    assert [row[6:24].strip() for row in rows] == ["no trimming", *(3 * methods)]
    assert result.stdout.count("FI better than IV") == 3
    pictures = list(tmp_path.iterdir())
    assert [path.name for path in pictures] == ["crescents.png"]
    assert pictures[0].stat().st_size > 20_000


def test_ask_digits(tmp_path):
    pytest.importorskip("matplotlib")
    result = subprocess.run(
        [
            *(sys.executable, "examples/ask_digits.py", "--output", str(tmp_path)),
            *("--repeats", "2", "--rounds", "2"),
        ],
        cwd=ROOT,
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    apart = {
        line.split(":")[0]: float(line.split()[-4])
        for line in result.stdout.splitlines()
        if "apart" in line
    }
    assert apart["margin"] < apart["FI (default)"] < apart["FI, the paper's"]
    pictures = sorted(path.name for path in tmp_path.iterdir())
    assert pictures == ["digits_asked_for.png", "digits_curves.png"]
    assert all(path.stat().st_size > 20_000 for path in tmp_path.iterdir())
