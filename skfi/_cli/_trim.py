"""``skfi trim``: which rows of a table to train without, and whether that helps."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from .. import FITrimmer, FITrimmerCV, __version__
from .._utils._stack import stack_rows
from ..report._report import html_report
from . import _accuracy
from ._columns import Plan, plan_columns
from ._console import CommandError, Console, figure, listed, require, shown, table_lines
from ._decided import Decided, split_decided, spread
from ._labels import as_known, check_classes, note_rare, read_labels
from ._memory import check_memory, size, trim_bytes
from ._models import build
from ._outputs import Outputs, same_file
from ._tables import Table, check_copy, format_of, read_as_asked, write_columns

_FOLDS = 5
_RARE = (
    "The last row of a class is always kept, and the next row is dropped instead. Check "
    "whether these labels are mistyped."
)
_RARE_VAL = "Where they are held out in folds, not every fold has one."
_FIRST = 5  # rows that are shown
_MOST_CLASSES = 20  # lines of the table of classes


@dataclass
class Rows:
    """A table, its features and labels."""

    table: Table
    X: np.ndarray
    y: np.ndarray


def run(args: argparse.Namespace, console: Console) -> None:
    """Read, trim, write, tell."""
    inputs = [path for path in (args.train, args.val) if path is not None]
    for path in inputs:
        format_of(path)
    sources = [*inputs, *([args.decisions] if args.decisions is not None else [])]
    if args.val is not None and same_file(args.train, args.val):
        raise CommandError("--val is the training table itself; give rows that are not in it.")
    check_copy("--out", args.out, args.train)
    if args.scores is not None:
        format_of(args.scores)
    if args.report is not None:
        _check_report(args.report)
    outputs = Outputs(
        {"--out": args.out, "--scores": args.scores, "--report": args.report},
        sources,
        args.force,
    )
    require("pandas")

    with console.working(f"reading {' and '.join(inputs)}"):
        table = read_as_asked(args.train, args, console)
        y = read_labels(table, args.target)
        classes = check_classes(table, args.target, y, args.force, console)
        note_rare(table, args.target, y, _FOLDS, _RARE, console)
        plan = plan_columns(
            table, args.target, args.ignore, args.categorical, args.seed, console
        )
        train = Rows(table, plan.X, y)
        val = _read_validation(args, plan, classes, table.label, console)
        decided = None if args.decisions is None else split_decided(args.decisions, table, y)
    _check_budget(args.budget, table)
    n_bytes = _check_memory(args, plan.X.shape[1], train, val, len(classes))

    scored = train
    if decided is not None:
        train.y = decided.y
        scored = Rows(table, train.X[decided.left], y[decided.left])
    trimmer = _make_trimmer(args, scored)
    scored_by = _scored_by(args)
    console.say(f"{table.label}: {table.n_rows} rows, {len(classes)} classes.")
    for line in plan.lines():
        console.say(line)
    console.say(f"Model: {args.model}. Rows are scored by {scored_by}.")
    console.say(f"Memory: up to {size(n_bytes)} beside the tables.")
    if decided is not None:
        console.say(decided.words())
    given = _checked_rows(train, val, decided)
    bars = ["scoring rows"]
    if isinstance(trimmer, FITrimmerCV):
        bars = ["trying budgets", "scoring all rows"]
    with console.warnings_as_notes():
        with console.working("fitting and scoring; this fits the model many times", *bars):
            trimmer.fit(scored.X, scored.y, **given)
        accuracy = _judge(trimmer, scored, val, given, console)
    if decided is not None:
        spread(trimmer, decided.left, table.n_rows)

    facts = _facts_of_rows(trimmer, train)
    with outputs.written() as parts:
        if "--out" in outputs:
            kept, like = np.flatnonzero(trimmer.support_), {}
            if decided is not None:
                kept, like = np.setdiff1d(kept, decided.dropped), decided.like
            table.write(
                parts["--out"], kept, format_of(args.out), {}, column=args.target, like=like
            )
        if "--scores" in outputs:
            write_columns(parts["--scores"], facts, format_of(args.scores))
        if "--report" in outputs:
            lines = None if table.line(0) is None else facts["line"]
            html_report(
                trimmer,
                parts["--report"],
                frame=table.frame().drop(columns=args.target),
                title=f"{table.label}: rows to check",
                first_row=1,
                lines=lines,
                source=f"{table.label}, labels in column {shown(args.target)!r}",
                measured=_accuracy.measured(accuracy, trimmer.n_trimmed_),
            )

    result = _result(args, trimmer, train, val, plan, accuracy, facts)
    result |= {"scored_by": scored_by, "memory_bytes": int(n_bytes)}
    result["decisions"] = decided and {"file": decided.file, **decided.counts}
    result |= {"outputs": outputs.as_given(), "notes": console.notes}
    _tell(console, result, accuracy)
    if decided is not None:
        console.say(_another_round(trimmer.n_trimmed_, accuracy))
    console.result(result)


def _checked_rows(train: Rows, val: Rows | None, decided: Decided | None) -> dict[str, Any]:
    """What goes to fit as checked rows: of the table of its own, and of the decisions."""
    parts = [] if val is None else [(val.X, val.y)]
    if decided is not None and len(decided.checked):
        parts.append((train.X[decided.checked], train.y[decided.checked]))
    if not parts:
        return {}
    X, y = parts[0]
    for more, labels in parts[1:]:
        X, y = stack_rows(X, more), np.concatenate([y, labels])
    return {"X_val": X, "y_val": y}


def _another_round(n_dropped: int, accuracy) -> str:
    """Whether a person's time is well spent on more rows."""
    if n_dropped == 0 or accuracy is None or accuracy.level or accuracy.gain <= 0:
        return (
            "Another round of review is not expected to pay: what the rows to drop would gain "
            "cannot be told from chance."
        )
    return "Review the dropped rows next, from the first on: --report lists them in that order."


def _check_report(path: str) -> None:
    if not path.lower().endswith((".html", ".htm")):
        raise CommandError(f"--report {shown(path, 200)}: the name must end in .html.")
    require("jinja2")


def _check_budget(budget: Any, table: Table) -> None:
    if isinstance(budget, Integral) and int(budget) >= table.n_rows:
        raise CommandError(
            f"--budget {budget} would leave nothing of {table.n_rows} rows of {table.label}."
        )


def _check_memory(args, width: int, train: Rows, val: Rows | None, n_classes: int) -> float:
    """Bytes that the run takes at most, which have to be free."""
    n_rows, n_val = train.table.n_rows, 0 if val is None else val.table.n_rows
    needed = {
        influence: trim_bytes(args.model, influence, width, n_rows, n_val, n_classes)
        for influence in (args.influence, "loss")
    }
    n_bytes, least = needed[args.influence], needed["loss"]
    remedy = "Leave columns out with --ignore, or merge classes."
    if least < n_bytes / 2:
        remedy += f" --influence loss needs {size(least)}."
    work = (
        f"{train.table.label}: scoring {n_rows} rows of {width} columns and {n_classes} classes"
    )
    check_memory(n_bytes, work, remedy)
    return n_bytes


def _read_validation(args, plan: Plan, classes, source: str, console: Console) -> Rows | None:
    if args.val is None:
        return None
    table = read_as_asked(args.val, args, console)
    y = read_labels(table, args.target)
    y = as_known(table, args.target, y, classes, source, console)
    note_rare(table, args.target, y, _FOLDS, _RARE_VAL, console)
    unknown = [n for n in table.names if n not in {*plan.columns, *plan.left_out, args.target}]
    if unknown:
        console.note(f"{table.label}: not in {source} and not used: {listed(unknown)}.")
    return Rows(table, plan.rows(table, console), y)


def _make_trimmer(args, train: Rows) -> FITrimmer | FITrimmerCV:
    model, influence_estimator = build(args.model, args.seed)
    options = {
        "influence": args.influence,
        "influence_estimator": influence_estimator,
        "random_state": args.seed,
    }
    folds = _folds(train)
    if args.budget == "auto":
        return FITrimmerCV(model, cv=folds, rule=args.rule, **options)
    return FITrimmer(model, budget=args.budget, **options)


def _folds(rows: Rows) -> StratifiedKFold:
    """As many stratified folds as the largest class can fill, five at most."""
    largest = int(np.unique(rows.y, return_counts=True)[1].max())
    if largest < 2:
        raise CommandError(
            f"{rows.table.label} has {rows.table.n_rows} rows, no two of one class: too few to "
            "hold any out."
        )
    return StratifiedKFold(min(_FOLDS, largest))


def _scored_by(args) -> str:
    if args.model == "logistic":
        return f"{args.influence} of the model"
    return f"{args.influence} of a logistic regression, which stands in for {args.model}"


def _judge(trimmer, train: Rows, val: Rows | None, given: dict[str, Any], console: Console):
    judges = (train if val is None else val).table.label
    if isinstance(trimmer, FITrimmerCV):
        both = judges if val is None else f"{train.table.label} and {judges}"
        if given and val is None:
            both += ", checked rows among them,"
        return _accuracy.of_the_choice(trimmer, both)
    if val is None:
        with console.working("cross-validating with and without trimming", "cross-validating"):
            return _accuracy.by_cross_validation(
                trimmer, train.X, train.y, _folds(train), judges, console
            )
    with console.working("cross-validating with and without trimming", "cross-validating"):
        X_val, y_val = given["X_val"], given["y_val"]
        return _accuracy.by_checked_folds(
            trimmer, train.X, train.y, X_val, y_val, _folds(val), judges
        )


def _facts_of_rows(trimmer, train: Rows) -> dict[str, list]:
    """The columns of ``--scores``, one entry a training row."""
    n = train.table.n_rows
    proba = np.asarray(trimmer.predict_proba(train.X))
    given = np.full(n, np.nan)
    for column, label in enumerate(trimmer.classes_):
        given[train.y == label] = proba[train.y == label, column]
    gain = trimmer.removal_gain_
    return {
        "row": list(range(1, n + 1)),
        "line": [train.table.line(row) for row in range(n)],
        "given_label": train.y.tolist(),
        "predicted_label": np.asarray(trimmer.predict(train.X)).tolist(),
        "predicted_probability": _cells(proba.max(axis=1)),
        "given_label_probability": _cells(given),
        "score": _cells(trimmer.influence_),
        "rank": trimmer.ranking_.tolist(),
        "decision": np.where(trimmer.support_, "kept", "dropped").tolist(),
        "removal_gain": [None] * n if gain is None else _cells(gain),
    }


def _cells(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _result(args, trimmer, train: Rows, val, plan: Plan, accuracy, facts) -> dict[str, Any]:
    """Everything the summary tells, as plain values."""
    chosen = getattr(trimmer, "budget_", args.budget)
    n = train.table.n_rows
    result: dict[str, Any] = {
        "command": "trim",
        "version": __version__,
        "train": {"file": args.train, "rows": n},
        "val": None if val is None else {"file": args.val, "rows": val.table.n_rows},
        "target": args.target,
        "columns": plan.as_json(),
        "model": args.model,
        "influence": args.influence,
        "rule": args.rule,
        "seed": args.seed,
        "budget": {
            "asked": args.budget,
            "used": chosen,
            "rows": trimmer.n_trimmed_,
            "candidates": None,
        },
        "classes": [
            {
                "label": str(label),
                "rows": int((train.y == label).sum()),
                "dropped": int((train.y[trimmer.trimmed_indices_] == label).sum()),
            }
            for label in np.unique(train.y)
        ],
        "accuracy": None if accuracy is None else accuracy.as_json(),
        "dropped_rows": (trimmer.trimmed_indices_ + 1).tolist(),
        "dropped_lines": [facts["line"][row] for row in trimmer.trimmed_indices_],
        "dropped_first": [
            {key: facts[key][row] for key in _SHOWN_FACTS}
            for row in trimmer.trimmed_indices_[:_FIRST]
        ],
    }
    if isinstance(trimmer, FITrimmerCV):
        means = _cells(trimmer.cv_results_["mean_test_score"])
        result["budget"]["candidates"] = [
            {"budget": entry["budget"], "accuracy": mean}
            for entry, mean in zip(trimmer.cv_results_["params"], means, strict=True)
        ]
    return result


_SHOWN_FACTS = ("row", "line", "given_label", "predicted_label", "score")


def _tell(console: Console, result: dict[str, Any], accuracy) -> None:
    n, dropped = result["train"]["rows"], result["budget"]["rows"]
    console.say()
    if accuracy is not None and dropped:
        console.say(accuracy.verdict())
    if dropped == 0:
        console.say("Nothing was dropped. " + _why_nothing(result))
    else:
        console.say(f"Dropped {dropped} of {n} rows ({_how(result)}).")
        if _at_the_edge(result):
            console.say(
                "That is the largest budget tried, and may be far more rows than are wrong; "
                "--rule one_standard_error drops fewer."
            )
        told = [["class", "rows", "dropped"]]
        told += [[one["label"], one["rows"], one["dropped"]] for one in result["classes"]]
        for line in table_lines(told[: _MOST_CLASSES + 1]):
            console.say(line)
        if len(told) > _MOST_CLASSES + 1:
            console.say(f"  and {len(told) - _MOST_CLASSES - 1} more classes")
    if accuracy is not None:
        for line in accuracy.lines(dropped):
            console.say(line)
    if dropped:
        lines = ", lines are those of the file" * (result["dropped_lines"][0] is not None)
        console.say(f"Dropped first (rows count from 1{lines}):")
        shown_facts = [k for k in _SHOWN_FACTS if result["dropped_first"][0][k] is not None]
        rows = [
            [one[k] if k != "score" else figure(one[k]) for k in shown_facts]
            for one in result["dropped_first"]
        ]
        heads = {"given_label": "given", "predicted_label": "predicted"}
        for line in table_lines([[heads.get(k, k) for k in shown_facts], *rows]):
            console.say(line)
    for path in result["outputs"].values():
        console.say(f"Wrote {path}.")


def _at_the_edge(result: dict[str, Any]) -> bool:
    """Whether the best of several budgets was the largest."""
    budget = result["budget"]
    if budget["candidates"] is None or result["rule"] != "best":
        return False
    return budget["used"] == max(one["budget"] for one in _tried(result))


def _how(result: dict[str, Any]) -> str:
    budget = result["budget"]
    used = budget["used"]
    if isinstance(used, Integral):
        return "as asked"
    if budget["candidates"] is None:
        return f"{100 * used:.4g} %, as asked"
    tried = ", ".join(f"{100 * one['budget']:.4g}" for one in _tried(result))
    rule = "the best" if result["rule"] == "best" else "the least within one standard error"
    return f"{100 * used:.4g} %; tried were {tried} %, and {rule} was taken"


def _tried(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Budgets that could be had in every fold."""
    return [one for one in result["budget"]["candidates"] if one["accuracy"] is not None]


def _why_nothing(result: dict[str, Any]) -> str:
    if result["budget"]["candidates"] is None:
        return f"The budget comes to less than one row of {result['train']['rows']}."
    if len(_tried(result)) == 1:
        return "No budget could be tried: each would have taken all of some class in a fold."
    if result["rule"] != "best":
        return "Keeping all rows is within one standard error of the best budget tried."
    return "No budget that was tried did better on held-out rows than keeping all of them."
