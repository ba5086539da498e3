"""The reproduction page, written from the results: no number in it is typed by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from ._experiment import VERDICTS, Claim, Experiment
from ._statistics import LEVEL
from ._store import read, write_whole
from ._table import markdown

HEAD = f"""# The paper, reproduced

Each table and figure of the paper is one module of `examples/paper` and one command:
`python -m examples.paper run NAME --output docs/reproduction` makes its
[results](reproduction/results) and pictures, and `python -m examples.paper report` writes this
page from them. `list` names them all.

No code of the paper is public. Numbers in the column "paper" are quoted from it ("Enhancing
Training Robustness through Influence Measure", published as "Enhancing Prediction Performance
through Influence Measure", ICLR 2025); all others were measured here.

**How a verdict comes about.** A claim that one method is ahead of another is compared seed by
seed, in every data set or budget that it speaks of. It *holds* if the difference has the
claimed sign and a one-sided paired t-test gives p < {LEVEL} in all of them, *holds in part* if
in some, and *does not hold* if in none. For claims of another kind a note says what was asked.
"±" is one standard error.

**"Paper's setting" and "converged".** The paper's base models are weak: on Bank its untrimmed
model is below the majority class. So each curve of trimming is drawn twice, for the paper's
training (Table 3) and for a logistic regression with an intercept that is at its minimum.
"""

NOT_TESTED = (
    Claim(
        "Published version: active learning on Office-31 and AG News",
        "FI ahead",
        "",
        "",
        "",
        "not testable here",
        "neither the images nor the texts are at hand, nor the networks that embed them",
    ),
)


def write_report(results: Path, page: Path) -> None:
    """Write the page of all experiments that have results.

    Parameters
    ----------
    results : Path
        Folder of ``results`` and ``images``, as `run` left it.
    page : Path
        Markdown file to write; links are relative to it.

    Raises
    ------
    FileNotFoundError
        There are no results at all.
    ValueError
        Results are those of another version of their experiment.
    """
    from ._runner import EXPERIMENTS

    made = [
        experiment
        for name, experiment in EXPERIMENTS.items()
        if (results / "results" / f"{name}.csv").exists()
    ]
    if not made:
        raise FileNotFoundError(
            f"There are no results in {results / 'results'}. Make some with "
            f"python -m examples.paper run NAME --output {results}"
        )
    rows, sections, verdicts = [], [], Counter[str]()
    for experiment in made:
        facts = _facts(results, experiment)
        frame, seconds = read(results, experiment.name)
        link = f"[{experiment.name}](#{experiment.name})"
        for claim in experiment.claims(frame, seconds):
            verdicts[claim.verdict] += _is_the_papers(claim)
            rows.append((link, *_cells(claim)))
        sections.append(_section(experiment, results, page, frame, seconds, facts))
    for claim in NOT_TESTED:
        verdicts[claim.verdict] += _is_the_papers(claim)
        rows.append(("", *_cells(claim)))
    head = ("", "claim", "verdict", "paper", "ours, paper's setting", "ours, converged",
            "seeds", "note")  # fmt: skip
    counted = ", ".join(f"{v}: {verdicts[v]}" for v in VERDICTS if verdicts[v])
    left_out = len(rows) - verdicts.total()
    missing = [name for name in EXPERIMENTS if name not in {e.name for e in made}]
    text = (
        f"{HEAD}\n## Every claim\n\nOf the paper, {verdicts.total()} ({counted}); and "
        f"{left_out} questions that it leaves out.\n\n"
    )
    text += markdown(head, rows)
    if missing:
        text += f"\nWithout results so far: {', '.join(missing)}.\n"
    text += "\n" + "\n".join(sections)
    write_whole(page, text)


def _is_the_papers(claim: Claim) -> bool:
    return not claim.text.startswith(("Left out", "Beyond the paper"))


def _cells(claim: Claim) -> tuple[str, ...]:
    return (
        claim.text, f"**{claim.verdict}**", claim.paper, claim.ours, claim.converged,
        claim.seeds, claim.note,
    )  # fmt: skip


def _facts(results: Path, experiment: Experiment) -> dict:
    """How the results came about."""
    path = results / "results" / f"{experiment.name}.json"
    facts = json.loads(path.read_text("utf-8"))
    if facts["version"] != experiment.version:
        raise ValueError(
            f"{path} is of version {facts['version']} of {experiment.name}, which is now "
            f"{experiment.version}. Run it again."
        )
    return facts


def _section(
    experiment: Experiment, results: Path, page: Path, frame, seconds, facts: dict
) -> str:
    """What was done, the numbers, the pictures and the run."""
    folder = Path(results).resolve().relative_to(page.resolve().parent).as_posix()
    parts = [
        f'## <a name="{experiment.name}"></a>{experiment.title}\n',
        f"{experiment.about.strip()}\n",
    ]
    for picture in sorted((results / "images").glob(f"{experiment.name}*.png")):
        told = picture.stem.replace("_", " ")
        parts.append(f"![{told}]({folder}/images/{picture.name})\n")
    if experiment.tables is not None:
        parts.append(experiment.tables(frame, seconds))
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    quick = " --quick" if facts["quick"] else ""
    parts.append(
        f"`python -m examples.paper run {experiment.name}{quick}`: {facts['cells']} cells, "
        f"{facts['cell_seconds']:,.0f} s of wall clock, one thread each; skfi {facts['skfi']}, "
        f"{packages}, Python {facts['python']}, {facts['machine']}, {facts['device']}; "
        f"[results]({folder}/results/{experiment.name}.csv).\n"
    )
    return "\n".join(parts)
