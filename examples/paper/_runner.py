"""Run an experiment's cells side by side, keep what is done, and draw the result."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
import warnings
from pathlib import Path

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import skfi

from . import (
    approximate,
    figure2,
    figure3,
    figure4,
    figure5,
    figure8,
    figure10,
    figure11,
    figure12,
    label_errors,
    paired,
    perturbation,
    table1,
    table2,
    table7,
    tenfold,
    theorem1,
)
from ._experiment import Experiment, Options, Settings
from ._files import Missing
from ._store import Store

MODULES = (
    theorem1, table1, table2, figure2, figure8, tenfold, perturbation, paired, figure11,
    figure3, figure4, figure10, figure12, figure5, table7, approximate, label_errors,
)  # fmt: skip
EXPERIMENTS: dict[str, Experiment] = {m.EXPERIMENT.name: m.EXPERIMENT for m in MODULES}
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "matplotlib", "torch", "skorch")


def run(
    experiment: Experiment,
    output: Path,
    *,
    seeds: int | None = None,
    quick: bool = False,
    n_jobs: int = 2,
    device: str = "cpu",
) -> None:
    """Make a table or figure: cells that are missing, then tables and pictures.

    Parameters
    ----------
    experiment : Experiment
        Which.
    output : Path
        Folder of cells, results and pictures.
    seeds : int or None
        Repetitions; None is the experiment's own number.
    quick : bool
        The small version.
    n_jobs : int
        Cells side by side, each in a process with one thread.
    device : str
        Where networks are trained.
    """
    own = experiment.quick_seeds if quick else experiment.seeds
    cells = experiment.settings(Options(seeds or own, quick, device))
    store = Store(output, experiment)
    missing = [cell for cell in cells if not store.has(cell)]
    start = time.perf_counter()
    jobs = 1 if experiment.alone else n_jobs
    work = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(
        delayed(_one)(experiment, store, cell) for cell in missing
    )
    with tqdm(total=len(cells), initial=len(cells) - len(missing), desc=experiment.name) as bar:
        reasons = set()
        for reason in work:
            bar.update()
            reasons.add(reason)
    took = time.perf_counter() - start
    left_out = [cell for cell in cells if not store.has(cell)]
    cells = [cell for cell in cells if store.has(cell)]
    for reason in sorted(reasons - {""}):
        print(f"{experiment.name}: left out {_panels(left_out)}: {reason}", file=sys.stderr)
    if not cells:
        raise Missing(f"nothing to show without {_panels(left_out)}")
    facts = {
        "experiment": experiment.name,
        "version": experiment.version,
        "quick": quick,
        "cells": len(cells),
        "skfi": skfi.__version__,
        "packages": _versions(),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "device": device,
        "settings": _common(cells),
    }
    frame, seconds = store.write(cells, facts)
    pictures = output / "images"
    pictures.mkdir(parents=True, exist_ok=True)
    paths = experiment.draw(frame, pictures, seconds)
    if experiment.tables is not None:
        print(experiment.tables(frame, seconds))
    if left_out:
        print(f"No claim is judged without {_panels(left_out)}.")
    else:
        for claim in experiment.claims(frame, seconds):
            print(f"- {claim.text}\n  paper {claim.paper}; ours {claim.ours}; {claim.verdict}")
    print(f"{len(missing)} of {len(cells)} cells in {took:.0f} s;", *paths)


def _panels(cells: list[Settings]) -> str:
    """The data sets of cells, by name."""
    return ", ".join(dict.fromkeys(str(cell.get("data", "all of it")) for cell in cells))


def _one(experiment: Experiment, store: Store, cell: Settings) -> str:
    """One cell in a process of its own, with one thread: the same numbers everywhere.

    Returns why the cell was left out, where its data is missing.
    """
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        try:
            import torch
        except ImportError:
            pass
        else:
            torch.set_num_threads(1)
        start = time.perf_counter()
        try:
            rows = experiment.run(cell)
        except Missing as error:
            return str(error)
        store.save(cell, rows, time.perf_counter() - start)
        return ""


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _common(cells: list[Settings]) -> dict:
    """Values of each setting over the cells, in the order they come."""
    names = list(dict.fromkeys(name for cell in cells for name in cell))
    return {name: list(dict.fromkeys(str(cell.get(name)) for cell in cells)) for name in names}
