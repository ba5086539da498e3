"""The examples run and save their pictures."""

from __future__ import annotations

import os
import sys

import pytest

from tests.data import ROOT
from tests.running import output


def run(name, folder, *options):
    """What an example prints; its pictures are in the folder, and none of them is empty."""
    environment = {k: v for k, v in os.environ.items() if k != "SKFI_DATA"}
    environment["MPLBACKEND"] = "Agg"
    path = ROOT / "examples" / f"{name}.py"
    text = output(sys.executable, path, "--output", folder, *options, env=environment)
    pictures = sorted(folder.iterdir())
    assert all(path.stat().st_size > 20_000 for path in pictures)
    return text.splitlines(), [path.name for path in pictures]


@pytest.mark.parametrize(
    "dataset", ["breast_cancer", pytest.param("adult", marks=pytest.mark.slow)]
)
def test_demo(tmp_path, dataset, request):
    pytest.importorskip("matplotlib")
    options = ["--seeds", "2"]
    if dataset == "adult":
        request.getfixturevalue("adult")
        options += ["--data", str(request.getfixturevalue("data_folder"))]
    lines, pictures = run("demo", tmp_path, *options)
    gains = {line[2:22].strip(): line for line in lines if line.startswith("  ")}
    assert set(gains) == {"signed FI (default)", "FI, paper's form", "highest loss", "random"}
    caught = {name: int(line.split()[-2]) for name, line in gains.items()}
    assert caught["signed FI (default)"] > 60
    assert abs(caught["random"] - 20) < 5
    assert pictures == [f"{dataset}_accuracy_over_budget.png", f"{dataset}_rows_that_went.png"]


def test_crescents(tmp_path):
    for package in ("torch", "skorch", "matplotlib"):
        pytest.importorskip(package)
    lines, pictures = run("crescents", tmp_path, "--seeds", "2", "--jobs", "1", "--epochs", "4")
    methods = ["FI, paper's form", "IV", "signed FI", "highest loss", "random"]
    rows = [line for line in lines if line[:4].strip().isdigit()]
    assert [row[6:24].strip() for row in rows] == ["no trimming", *(3 * methods)]
    assert "\n".join(lines).count("FI better than IV") == 3
    assert pictures == ["crescents.png"]


def test_ask_digits(tmp_path):
    pytest.importorskip("matplotlib")
    lines, pictures = run("ask_digits", tmp_path, "--repeats", "2", "--rounds", "2")
    apart = {line.split(":")[0]: float(line.split()[-4]) for line in lines if "apart" in line}
    assert apart["margin"] < apart["FI (default)"] < apart["FI, the paper's"]
    assert pictures == ["digits_asked_for.png", "digits_curves.png"]
