"""Options, and what becomes of errors: one line each, and a number for the shell."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from .. import __version__
from .._utils import _interrupt
from ..trimming._methods import METHODS
from . import _apply, _query, _trim
from ._console import CommandError, Console, error
from ._models import MODELS

if TYPE_CHECKING:
    from ._screen import Screen

FAILED = 1  # argparse itself exits with 2
_SCORES = {
    "fi_signed": "how far the validation loss falls without the row (default)",
    "loss": "how badly the model fits the row's label; the quickest",
    "self_confidence": "how unlikely the label is to models without the row",
    "random": "a random number; what any useful score has to beat",
}
_RESEARCH_SCORES = {
    "fi": "the paper's influence measure; drops rows that help as well",
    "iv": "classical influence on the validation loss, to first order",
    "knn_shapley": "Shapley value of the row for its nearest neighbours",
    "tmc_shapley": "Shapley value by sampling; thousands of fits",
}
_STRATEGIES = {
    "fi": "rows whose prediction depends most on training (default)",
    "margin": "rows whose two likeliest classes are closest; the quickest",
    "random": "rows at random; what any useful strategy has to beat",
}


def screen_of(stream: TextIO) -> Screen | None:
    """What draws on a stream, if that is a terminal that can be drawn on."""
    if not stream.isatty():
        return None
    try:
        from ._screen import Screen
    except ImportError:  # rich is not installed; lines do as well
        return None
    screen = Screen()
    return screen if screen.usable else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments without the program's name; None takes those of the process.

    Returns
    -------
    code : int
        0, 1 (data, files or the run), 2 (wrong use), or 130 (interrupted).
    """
    try:
        _interrupt.raise_again()
        return _run(argv)
    except KeyboardInterrupt:
        error("interrupted.")
        return _interrupt.CODE


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = make_parser().parse_args(argv)
    except SystemExit as stop:  # help, version, wrong use: argparse has told
        return stop.code if isinstance(stop.code, int) else FAILED
    console = Console(args.json, args.quiet, screen=screen_of(sys.stderr))
    try:
        args.run(args, console)
    except BrokenPipeError:  # the reader of a pipe has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except CommandError as problem:
        if args.debug:
            raise
        error(str(problem))
        return FAILED
    except Exception as problem:
        if args.debug:
            raise
        # The library's own refusals are ValueErrors, and speak for themselves.
        kind = "" if isinstance(problem, ValueError) else f"{type(problem).__name__}: "
        error(f"{kind}{problem} (--debug shows where)")
        return FAILED
    return 0


def make_parser() -> argparse.ArgumentParser:
    """All options of all commands."""
    parser = argparse.ArgumentParser(
        prog="skfi",
        description="Which rows of a table hurt a classifier, and which to label next.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"skfi {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    trim = commands.add_parser(
        "trim",
        help="drop the rows that hurt",
        description="Score the rows of a labelled table by their influence, drop the worst,\n"
        "and tell whether a classifier is better without them.",
        epilog=_explained(
            "what --influence can be; rows of the highest score are dropped", _SCORES
        )
        + _explained("for research", _RESEARCH_SCORES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    trim.add_argument("train", help="labelled table: .csv, .tsv (or .gz of them), .parquet")
    trim.add_argument(
        "--val",
        metavar="FILE",
        help="rows with checked labels: they train and judge, and are never dropped",
    )
    trim.add_argument(
        "--decisions",
        metavar="FILE",
        help="decisions of an earlier round, as skfi apply takes them; these rows count as "
        "checked",
    )
    trim.add_argument(
        "--budget",
        type=_budget,
        default="auto",
        metavar="auto|N|N%",
        help="rows to drop: a number, a share, or what held-out rows choose (default: auto)",
    )
    trim.add_argument(
        "--rule",
        choices=["best", "one_standard_error"],
        default="best",
        help="of --budget auto: the budget of the highest accuracy, or the smallest within one "
        "standard error of it (default: best)",
    )
    trim.add_argument(
        "--influence",
        choices=sorted(METHODS),
        default="fi_signed",
        metavar="SCORE",
        help="what rows are ordered by; see the list below (default: fi_signed)",
    )
    trim.add_argument("--out", metavar="FILE", help="write the rows that were kept")
    trim.add_argument("--scores", metavar="FILE", help="write score and decision of every row")
    trim.add_argument("--report", metavar="FILE", help="write a report, as one .html file")
    trim.set_defaults(run=_trim.run)

    query = commands.add_parser(
        "query",
        help="choose the rows to label next",
        description="Choose the rows of an unlabelled table that are most worth a label.",
        epilog=_explained("what --strategy can be", _STRATEGIES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    query.add_argument("labelled", help="labelled table: .csv, .tsv (or .gz), .parquet")
    query.add_argument("pool", help="unlabelled table with the same features")
    query.add_argument(
        "-n", dest="number", type=_whole, required=True, metavar="N", help="rows to ask for"
    )
    query.add_argument(
        "--strategy",
        choices=list(_query.STRATEGIES),
        default="fi",
        metavar="STRATEGY",
        help="how to choose; see the list below (default: fi)",
    )
    query.add_argument("--out", metavar="FILE", help="write the rows to ask for, best first")
    query.set_defaults(run=_query.run)

    apply = commands.add_parser(
        "apply",
        help="write the table as a person corrected it",
        description="Drop the rows and replace the labels that a person decided on, and keep\n"
        "all other cells as they are.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    apply.add_argument("train", help="labelled table: .csv, .tsv (or .gz of them), .parquet")
    apply.add_argument(
        "decisions",
        help="decisions.csv with the columns row (from 1), action (keep, drop, relabel), "
        "label; the page of skfi trim --report saves it",
    )
    apply.add_argument("--out", metavar="FILE", required=True, help="write the corrected table")
    apply.set_defaults(run=_apply.run)

    for command in (trim, query):
        _add_model(command)
    for command in (trim, query, apply):
        _add_common(command)
    return parser


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        choices=list(MODELS),
        default="logistic",
        help="classifier to train (default: logistic)",
    )
    command.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="COLUMN",
        help="column that is no feature (may be repeated)",
    )
    command.add_argument(
        "--categorical",
        action="append",
        default=[],
        metavar="COLUMN",
        help="column whose values are categories, numbers or not (may be repeated)",
    )
    command.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="of all random draws (default: 0)"
    )


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--target",
        required=True,
        metavar="COLUMN",
        help="column of labels (in quotes, where its name has blanks)",
    )
    command.add_argument(
        "--delimiter",
        type=_delimiter,
        metavar="SIGN",
        help="what separates the cells of text files (default: by suffix, ',' or a tab, or "
        "what the first line has instead)",
    )
    command.add_argument(
        "--decimal",
        choices=[".", ","],
        default=".",
        help="what stands before the decimals of numbers in text files (default: .)",
    )
    command.add_argument(
        "--encoding", type=_encoding, default="utf-8", help="of text files (default: utf-8)"
    )
    command.add_argument(
        "--force",
        action="store_true",
        help="replace outputs that exist, and accept labels of unusually many classes",
    )
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.add_argument("--quiet", action="store_true", help="say nothing but errors")
    command.add_argument("--debug", action="store_true", help="show tracebacks")


def _explained(title: str, lines: dict[str, str]) -> str:
    """A line for each choice of an option."""
    width = max(map(len, _SCORES | _RESEARCH_SCORES))
    listed = [f"  {name.ljust(width)}  {text}" for name, text in lines.items()]
    return "\n".join([f"{title}:", *listed, "", ""])


def _budget(text: str) -> str | int | float:
    if text == "auto":
        return text
    share = text.endswith("%")
    try:
        value = float(text[:-1]) / 100 if share else int(text)
    except ValueError:
        raise _wrong(text, "auto, a number of rows (50) or a share (5%)") from None
    if not (0 <= value < 1 if share else value >= 0):
        raise _wrong(text, "at least 0, and less than 100%")
    return value


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise _wrong(text, "a number of rows, at least 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise _wrong(text, "a whole number from 0 to 4294967295")
    return int(text)


def _delimiter(text: str) -> str:
    sign = {"tab": "\t", r"\t": "\t"}.get(text, text)
    if len(sign) != 1 or sign.isalnum() or sign in "\"'\r\n_.-+":
        raise _wrong(text, "one sign, such as ';', or tab")
    return sign


def _encoding(text: str) -> str:
    try:
        "".encode(text)
    except LookupError:
        raise _wrong(text, "an encoding that Python knows, such as cp1252") from None
    return text


def _wrong(text: str, wanted: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
