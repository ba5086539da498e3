"""``skfi apply``: a table with the labels and rows that a person decided on."""

from __future__ import annotations

import argparse

import numpy as np

from .. import __version__
from ..inspection._plotting import count
from ..review._decisions import ACTIONS
from ._console import CommandError, Console, require, shown
from ._decided import read_decided
from ._labels import read_labels
from ._outputs import Outputs
from ._tables import check_copy, format_of, read_as_asked


def run(args: argparse.Namespace, console: Console) -> None:
    """Read, correct, write, report."""
    format_of(args.train)
    check_copy("--out", args.out, args.train)
    outputs = Outputs({"--out": args.out}, [args.train, args.decisions], args.force)
    require("pandas")
    with console.working(f"reading {args.train} and {args.decisions}"):
        table = read_as_asked(args.train, args, console)
        y = read_labels(table, args.target)
        decisions = read_decided(args.decisions, table, y)

    relabelled = decisions.of("relabel")
    new = decisions.labels[decisions.actions == "relabel"]
    changed = y[relabelled] != new
    relabelled, new = relabelled[changed], new[changed]
    kept = np.setdiff1d(np.arange(table.n_rows), decisions.of("drop"))
    if len(kept) == 0:
        raise CommandError(
            f"{shown(args.decisions, 200)} drops all {table.n_rows} rows of {table.label}. "
            "Keep at least one."
        )
    first = dict(zip(*np.unique(y, return_index=True), strict=True))
    like = {int(row): int(first[label]) for row, label in zip(relabelled, new, strict=True)}
    with outputs.written() as parts:
        table.write(
            parts["--out"], kept, format_of(args.out), {}, column=args.target, like=like
        )
    counts = {action: len(decisions.of(action)) for action in ACTIONS}
    console.say(
        f"{table.label}: {len(decisions.positions)} of {table.n_rows} rows decided: "
        f"{counts['keep']} to keep, {counts['drop']} to drop, {counts['relabel']} to relabel."
    )
    same = int((~changed).sum())
    if same:
        console.note(
            f"{count(same)} to relabel already {'has' if same == 1 else 'have'} that label."
        )
    console.say(f"Wrote {args.out}: {len(kept)} rows, {len(like)} with another label.")
    console.result(
        {
            "command": "apply",
            "version": __version__,
            "train": {"file": args.train, "rows": table.n_rows},
            "decisions": {"file": args.decisions, **counts},
            "target": args.target,
            "rows": len(kept),
            "relabelled_rows": [row + 1 for row in like],
            "dropped_rows": (decisions.of("drop") + 1).tolist(),
            "outputs": outputs.as_given(),
            "notes": console.notes,
        }
    )
