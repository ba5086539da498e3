"""The demo runs and saves its pictures."""

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
        options = ["--data", str(request.getfixturevalue("data_folder"))]
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
