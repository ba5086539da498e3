"""``skfi query``: which rows of a pool to label next."""

from __future__ import annotations

import argparse
from typing import Any

from .. import FIActiveSampler, __version__
from ..queries import Margin, QueryStrategy, Random
from ._columns import plan_columns
from ._console import CommandError, Console, figure, listed, require, table_lines
from ._labels import check_classes, read_labels
from ._memory import check_memory, query_bytes, size
from ._models import build
from ._outputs import Outputs, same_file
from ._tables import Table, check_copy, format_of, read_as_asked

STRATEGIES: dict[str, type[QueryStrategy]] = {
    "fi": FIActiveSampler,
    "margin": Margin,
    "random": Random,
}
_ADDED = ("skfi_row", "skfi_line", "skfi_score")
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
        classes = check_classes(labelled, args.target, y, args.force, console)
        plan = plan_columns(
            labelled, args.target, args.ignore, args.categorical, args.seed, console
        )
        pool = read_as_asked(args.pool, args, console)
        _check_pool(args, pool)
        X, X_pool = plan.X, plan.rows(pool, console)
    n_bytes = _check_memory(args, plan.X.shape[1], labelled, pool, len(classes))

    console.say(
        f"{labelled.label}: {labelled.n_rows} labelled rows, {len(classes)} classes "
        f"({listed(classes)}); {pool.label}: {pool.n_rows} rows."
    )
    for line in plan.lines():
        console.say(line)
    asked_by = _asked_by(args.model, args.strategy)
    console.say(f"Asked by: {asked_by}.")
    console.say(f"Memory: up to {size(n_bytes)} beside the tables.")
    model, influence = build(args.model, args.seed)
    if args.strategy == "fi" and influence is not None:
        model = influence
    if args.strategy == "random":
        model = None
    strategy = STRATEGIES[args.strategy](model, random_state=args.seed)
    scoring = console.working(f"scoring {pool.n_rows} rows")
    with console.warnings_as_notes(), scoring:
        rows, scores = strategy.fit(X, y).query(X_pool, args.number, return_utilities=True)

    numbers = [int(row) + 1 for row in rows]
    lines = [pool.line(int(row)) for row in rows]
    values = [float(score) for score in scores[rows]]
    with outputs.written() as parts:
        if "--out" in outputs:
            extra = dict(zip(_ADDED, (numbers, lines, values), strict=True))
            if lines[0] is None:
                del extra["skfi_line"]
            pool.write(parts["--out"], rows, format_of(args.out), extra)

    best = [
        {"row": number, "line": line, "score": value}
        for number, line, value in zip(numbers, lines, values, strict=True)
    ]
    _tell(console, best, outputs, args.strategy)
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
            "memory_bytes": int(n_bytes),
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


def _check_memory(args, width: int, labelled: Table, pool: Table, n_classes: int) -> float:
    """Bytes that the run takes at most, which have to be free."""
    sizes = (width, labelled.n_rows, pool.n_rows, n_classes)
    needed = {
        name: query_bytes(args.model, name, *sizes, args.number)
        for name in (args.strategy, "margin")
    }
    n_bytes, least = needed[args.strategy], needed["margin"]
    remedy = "Leave columns out with --ignore, or merge classes."
    if least < n_bytes / 2:
        remedy += f" --strategy margin needs {size(least)}."
    work = (
        f"{pool.label}: scoring {pool.n_rows} rows of {width} columns and {n_classes} classes"
    )
    check_memory(n_bytes, work, remedy)
    return n_bytes


def _tell(
    console: Console, best: list[dict[str, Any]], outputs: Outputs, strategy: str
) -> None:
    order = "best first"
    if strategy == "random":
        order = "in random order"
    elif strategy == "fi":
        order = "in the order they were chosen"
    names = [name for name in ("row", "line", "score") if best[0][name] is not None]
    if strategy == "random":
        names.remove("score")
    lines = ", lines are those of the file" * ("line" in names)
    console.say(f"Label these {len(best)} rows next, {order} (rows count from 1{lines}):")
    told: list[list[Any]] = [names]
    for one in best[:_SHOWN]:
        told.append([figure(one[k]) if k == "score" else one[k] for k in names])
    for line in table_lines(told):
        console.say(line)
    if len(best) > _SHOWN:
        console.say(f"  and {len(best) - _SHOWN} more")
    if strategy == "fi":  # a batch is not just the highest scores
        console.say(
            "Each row is chosen to be unlike those before it, so scores can rise again."
        )
    for path in outputs.as_given().values():
        console.say(f"Wrote {path}.")
