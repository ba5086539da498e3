"""All tables and figures: their cells, and the page that was committed."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("torch")
pytest.importorskip("skorch")

from examples.paper import figure2, figure4
from examples.paper._experiment import Options
from examples.paper._report import write_report
from examples.paper._runner import EXPERIMENTS
from examples.paper._store import read
from tests.data import ROOT

COMMITTED = ROOT / "docs" / "reproduction"
OF_THE_PAPER = {
    *("table1", "table2", "table7", "theorem1"),  # Figures 1 and 9 are in Tables 1 and 2
    *("figure2", "figure3", "figure4", "figure5", "figure8", "figure10", "figure11"),
    *("figure12", "tenfold", "perturbation", "paired", "approximate"),  # published version
}


def test_every_table_and_figure_has_a_command():
    assert EXPERIMENTS.keys() == OF_THE_PAPER | {"label_errors"}


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("quick", [True, False])
def test_cells_are_plain_different_and_grow_with_the_seeds(name, quick):
    settings = EXPERIMENTS[name].settings
    few, more = ([json.dumps(c) for c in settings(Options(n, quick))] for n in (2, 3))
    assert max(Counter(more).values()) == 1
    assert set(few) < set(more)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_results_are_committed(name):
    frame, _ = read(COMMITTED, name)
    facts = json.loads((COMMITTED / "results" / f"{name}.json").read_text("utf-8"))
    assert len(frame) > 0
    assert not facts["quick"]
    assert np.isfinite(frame.select_dtypes("number").fillna(0)).all(axis=None)
    pictures = [path.suffix for path in (COMMITTED / "images").glob(f"{name}*")]
    assert {".png", ".svg"} <= set(pictures)


SEVERAL = [
    (name, data)
    for name in EXPERIMENTS
    for frame in [read(COMMITTED, name)[0]]
    if "data" in frame and frame["data"].nunique() > 1
    for data in frame["data"].unique()[-1:]
]


@pytest.mark.parametrize(("name", "data"), SEVERAL)
def test_what_is_there_is_shown_without_a_data_set(name, data, tmp_path):
    frame, seconds = (part.copy() for part in read(COMMITTED, name))
    rest = frame["data"] != data
    frame = frame[rest].reset_index(drop=True)
    seconds = seconds[rest.to_numpy()].reset_index(drop=True)
    experiment = EXPERIMENTS[name]
    assert all(path.exists() for path in experiment.draw(frame, tmp_path, seconds))
    if experiment.tables is not None:
        assert experiment.tables(frame, seconds)


def test_the_page_is_that_of_the_results(tmp_path):
    page = tmp_path / "reproduction.md"
    ignored = shutil.ignore_patterns("cells")
    shutil.copytree(COMMITTED, tmp_path / "reproduction", ignore=ignored)
    write_report(tmp_path / "reproduction", page)
    assert page.read_text("utf-8") == COMMITTED.with_suffix(".md").read_text("utf-8")


def test_links_of_the_page_lead_somewhere():
    text = COMMITTED.with_suffix(".md").read_text("utf-8")
    for part in text.split("](")[1:]:
        target = part.split(")")[0]
        if target.startswith("#"):
            assert f'<a name="{target[1:]}">' in text
        elif "://" not in target:
            assert (COMMITTED.parent / target).exists(), target


@pytest.mark.parametrize(("module", "data"), [(figure4, "MNIST"), (figure2, "adult")])
def test_a_cell_on_real_data_is_the_same_twice(module, data, monkeypatch, data_folder):
    monkeypatch.setenv("SKFI_DATA", str(data_folder))
    settings = module.EXPERIMENT.settings(Options(2, quick=True))
    cell = next(cell for cell in settings if cell["data"] == data)
    first, second = (
        [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in rows]
        for rows in (module.EXPERIMENT.run(cell) for _ in range(2))
    )
    assert first == second
