"""``skfi query``: which rows of a pool to label next."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from .. import FIActiveSampler, __version__
from ..queries import BADGE, Margin, QueryStrategy, Random
from ._columns import plan_columns
from ._console import CommandError, Console, listed, require, table_lines
from ._labels import check_classes, read_labels
from ._models import build
from ._outputs import Outputs, same_file
from ._tables import Table, check_copy, format_of, read_as_asked

STRATEGIES: dict[str, type[QueryStrategy]] = {
    "fi": FIActiveSampler,
    "margin": Margin,
    "badge": BADGE,
    "random": Random,
}
_ADDED = ("skfi_row", "skfi_score")
_SHOWN = 10


def run(args: argparse.Namespace, console: Console) -> None:
    """Read, ask, write, tell."""
    for path in (args.labelled, args.pool):
        format_of(path)
    if same_file(args.labelled, args.pool):
        raise CommandError("The pool is the labelled table itself; give rows without labels.")
    check_copy("--out", args.out, args.pool)
    outputs = Outputs({"--out": args.out}, [args.labelled, args.pool], args.force)
    require("pandas")

    with console.working(f"reading {args.labelled} and {args.pool}"):
        labelled = read_as_asked(args.labelled, args, console)
        y = read_labels(labelled, args.target)
        classes = check_classes(labelled, args.target, y, console)
        plan = plan_columns(labelled, args.target, args.ignore, args.categorical, console)
        pool = read_as_asked(args.pool, args, console)
        _check_pool(args, pool)
        X, X_pool = plan.rows(labelled, console), plan.rows(pool, console)

    console.say(
        f"{labelled.label}: {labelled.n_rows} labelled rows, {len(classes)} classes "
        f"({listed(classes)}); {pool.label}: {pool.n_rows} rows."
    )
    for line in plan.lines():
        console.say(line)
    asked_by = _asked_by(args.model, args.strategy)
    console.say(f"Asked by: {asked_by}.")
    model, influence = build(args.model, plan, args.seed)
    if args.strategy == "fi" and influence is not None:
        model = influence
    if args.strategy == "random":
        model = None
    strategy = STRATEGIES[args.strategy](model, random_state=args.seed)
    scoring = console.working(f"scoring {pool.n_rows} rows")
    with console.warnings_as_notes(), scoring:
        rows, scores = strategy.fit(X, y).query(X_pool, args.number, return_utilities=True)

    numbers = [int(row) + 1 for row in rows]
    values = [float(score) for score in scores[rows]]
    with outputs.written() as parts:
        if "--out" in outputs:
            extra = dict(zip(_ADDED, (numbers, values), strict=True))
            pool.write(parts["--out"], rows, format_of(args.out), extra)

    best = [
        {"row": number, "line": pool.line(number - 1), "score": value}
        for number, value in zip(numbers, values, strict=True)
    ]
    _tell(console, best, outputs, pool.line(0) is not None)
    console.result(
        {
            "command": "query",
            "version": __version__,
            "labelled": {"file": args.labelled, "rows": labelled.n_rows},
            "pool": {"file": args.pool, "rows": pool.n_rows},
            "target": args.target,
            "classes": classes.tolist(),
            "columns": plan.as_json(),
            "model": args.model,
            "strategy": args.strategy,
            "asked_by": asked_by,
            "seed": args.seed,
            "asked": best,
            "outputs": outputs.as_given(),
            "notes": console.notes,
        }
    )


def _check_pool(args: argparse.Namespace, pool: Table) -> None:
    if args.number > pool.n_rows:
        raise CommandError(
            f"-n {args.number}: {pool.label} has {pool.n_rows} rows. Ask for fewer."
        )
    taken = [name for name in _ADDED if name in pool.names]
    if args.out is not None and taken:
        raise CommandError(
            f"{pool.label} has a column {taken[0]!r} already, which is added to the rows of "
            "--out. Rename or remove it."
        )


def _asked_by(model: str, strategy: str) -> str:
    if strategy == "random":
        return "random order; no classifier is fitted"
    if strategy == "fi" and model != "logistic":
        return f"{strategy} of a logistic regression, which stands in for {model}"
    return f"{strategy} of {model}"


def _tell(console: Console, best: list[dict[str, Any]], outputs: Outputs, lines: bool) -> None:
    console.say(f"Label these {len(best)} rows next, best first (rows count from 1):")
    told: list[list[Any]] = [["row", "line", "score"] if lines else ["row", "score"]]
    for one in best[:_SHOWN]:
        place = [one["row"], one["line"]] if lines else [one["row"]]
        told.append([*place, np.format_float_scientific(one["score"], precision=3)])
    for line in table_lines(told):
        console.say(line)
    if len(best) > _SHOWN:
        console.say(f"  and {len(best) - _SHOWN} more")
    for path in outputs.as_given().values():
        console.say(f"Wrote {path}.")
