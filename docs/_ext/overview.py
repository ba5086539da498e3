"""The directive ``.. overview:: scores`` (or ``strategies``): one table of all of them.

Names, questions and needs are read from the code, what was measured from the committed studies.
A score or strategy that the code has and the words below lack is an error.
"""

from __future__ import annotations

import inspect
import re
from functools import partial
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

# Name -> (when to take it, what it costs, its row in the study).
SCORES = {
    "fi_signed": ("labels are wrong (default)", "one fit a fold and step",
                  "signed FI, mahalanobis"),
    "fi": ("to follow the paper; it has no sign", "as fi_signed", "FI, mahalanobis"),
    "iv": ("as fi_signed", "as fi_signed", "IV"),
    "self_confidence": ("any classifier with probabilities", "five fits a step",
                        "self-confidence"),
    "loss": ("to find wrong labels quickly", "one fit a step", "highest loss"),
    "knn_shapley": ("any classifier; rows are compared by distance", "a sort for each judge",
                    "KNN-Shapley"),
    "tmc_shapley": ("very few rows, for research", "thousands of fits", None),
    "random": ("a baseline", "nothing", "random"),
}  # fmt: skip
STRATEGIES = {
    "FIActiveSampler": ("the default: batches that cover the pool", "2 to 20 fits",
                        "FI (default)"),
    "Margin": ("two classes, or no time", "one prediction", "margin"),
    "LeastConfident": ("as Margin", "one prediction", None),
    "Entropy": ("as Margin", "one prediction", None),
    "PowerMargin": ("large batches without covering", "one prediction", None),
    "BALD": ("models with a posterior: networks with dropout", "20 predictions", None),
    "Random": ("a baseline, and rows to test by", "nothing", "random"),
}  # fmt: skip


def summary(thing) -> str:
    """First sentence of a docstring."""
    return inspect.getdoc(getattr(thing, "func", thing)).split("\n\n")[0].replace("\n", " ")


def source(thing) -> str:
    """First author and year of the first reference of a docstring."""
    text = inspect.getdoc(getattr(thing, "func", thing))
    found = re.search(r"^References\n-+\n(.*?)(?:\n\n|\Z)", text, re.S | re.M)
    if not found:
        return "–"
    cited = re.search(r":cite:t:`\w+`", found[1])
    if cited:
        return cited[0]
    authors, _, work = " ".join(found[1].split()).partition(":")
    first = authors.split(",")[0].removesuffix(" et al.").split(". ")[-1]
    several = " et al." if "," in authors or "et al." in authors else ""
    return f"{first}{several} {re.search(r'(19|20)[0-9]{2}', work)[0]}"


def measured(study: str, column: str) -> dict[str, str]:
    """Row -> cell of the first table of a study with that column."""
    cells: dict[str, str] = {}
    place = None
    for line in (BENCHMARKS / study).read_text("utf-8").splitlines():
        row = [part.strip() for part in line.strip("|").split("|")]
        if place is None:
            place = row.index(column) if column in row else None
        elif not line.startswith("|"):
            break
        else:
            cells[row[0]] = row[place].split(" ")[0]
    return cells


def scores() -> tuple[list[str], list[list[str]]]:
    from skfi import fi_signed, fi_util
    from skfi.trimming._methods import METHODS

    public = {"fi": fi_util, "fi_signed": fi_signed}
    gains = measured("trimming_study.md", "20 % flipped")
    rows = []
    for name, method in METHODS.items():
        when, cost, row = SCORES[name]
        thing = public.get(name, method.function)
        thing = thing.func if isinstance(thing, partial) else thing
        needs = [part for part, needed in (
            ("held-out rows", method.needs_validation), ("a linear model or network",
             method.needs_bridge)) if needed]  # fmt: skip
        needed = " and ".join(needs) or ("nothing" if name == "random" else "probabilities")
        points = gains.get(row, "–")
        rows.append([f"``{name}``", summary(thing), needed, when, cost, points, source(thing)])
    heads = ["influence=", "asks", "needs", "take it when", "cost", "points at 20 % flips",
             "source"]  # fmt: skip
    return heads, rows


def strategies() -> tuple[list[str], list[list[str]]]:
    from skfi import FIActiveSampler, queries

    ahead = measured("query_study.md", "points ahead of margin")
    things = {"FIActiveSampler": FIActiveSampler} | {
        name: getattr(queries, name)
        for name in queries.__all__
        if inspect.isclass(getattr(queries, name))
        and issubclass(getattr(queries, name), queries.QueryStrategy)
        and name not in ("QueryStrategy", "FIActiveSampler")
    }
    rows = []
    for name, thing in things.items():
        when, cost, row = STRATEGIES[name]
        points = ahead.get(row, "–") or "0"
        rows.append([f"``{name}``", summary(thing), when, cost, points, source(thing)])
    heads = ["strategy", "asks", "take it when", "cost", "points ahead of margin", "source"]
    return heads, rows


class Overview(SphinxDirective):
    required_arguments = 1

    def run(self):
        heads, rows = {"scores": scores, "strategies": strategies}[self.arguments[0]]()
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in [heads, *rows]:
            lines += [f"   {'*' if k == 0 else ' '} - {cell}" for k, cell in enumerate(row)]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app):
    app.add_directive("overview", Overview)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
