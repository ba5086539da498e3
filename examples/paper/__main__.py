"""``python -m examples.paper``: list, run and report the paper's experiments."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from ._report import write_report
from ._runner import EXPERIMENTS, run

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "reproduction"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.paper",
        description=(
            "The paper's tables and figures. Data sets are looked for in the folder SKFI_DATA, "
            "and downloaded where they are missing; one that cannot be had is left out."
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the experiments")
    running = commands.add_parser("run", help="make tables and figures; goes on where it was")
    running.add_argument("names", nargs="+", metavar="NAME", help="as `list` has them, or: all")
    running.add_argument("--quick", action="store_true", help="a small version of each")
    running.add_argument("--seeds", type=int, help="repetitions")
    running.add_argument("--jobs", type=int, default=2, help="cells side by side (2)")
    running.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    running.add_argument(
        "--output", type=Path, help="folder of results (paper-output; with --quick, its quick)"
    )
    reporting = commands.add_parser("report", help="write the reproduction page")
    reporting.add_argument("--results", type=Path, default=COMMITTED, help="folder of results")
    reporting.add_argument("--page", type=Path, default=COMMITTED.with_suffix(".md"))
    given = parser.parse_args(arguments)
    if given.command == "run":
        if given.seeds is not None and given.seeds < 2:
            parser.error("--seeds: a spread takes at least 2")
        if given.jobs < 1:
            parser.error("--jobs: at least 1")
        unknown = set(given.names) - EXPERIMENTS.keys() - {"all"}
        if unknown:
            parser.error(
                f"{', '.join(sorted(unknown))}: no such experiment. There are: "
                f"{', '.join(EXPERIMENTS)}"
            )
    return given


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    if given.command == "list":
        for name, experiment in EXPERIMENTS.items():
            print(f"{name:<16} {experiment.title}")
        return 0
    if given.command == "report":
        write_report(given.results, given.page)
        print(given.page)
        return 0
    warnings.simplefilter("ignore")  # of classifiers that are not at their minimum
    names = list(EXPERIMENTS) if "all" in given.names else list(dict.fromkeys(given.names))
    output = given.output or ROOT / "paper-output" / ("quick" if given.quick else "")
    failed = []
    for name in names:
        try:
            run(
                EXPERIMENTS[name], output, seeds=given.seeds, quick=given.quick,
                n_jobs=given.jobs, device=given.device,
            )  # fmt: skip
        except (OSError, ImportError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
    if failed:
        print(f"not made: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
