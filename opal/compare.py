"""Recorded runs as tables, figures and a page.

  opal compare --html report.html
  opal compare data=craft,gender method=llm,smote --metric balanced_error

GROUP=OPTION selects runs as opal run writes it. opal.compare is also a module: python -m opal.compare.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal.cli.exits import one_sentence
from opal.cli.flags import Parser
from opal.config.options import Options, nearest
from opal.errors import ConfigError, TrackingError

if TYPE_CHECKING:
    from opal.evaluate.answer import Answer
    from opal.report.comparison import Comparison
    from opal.report.protocol import Protocol
    from opal.report.read.load import Loaded

MOST_ANSWERED = 200  # up to this many runs, all figures are read for an answer
DRAWN = ("contamination/", "funnel/", "llm/", "time/rows", "time/llm")  # figures of whole runs that are drawn


def main(arguments: list[str] | None = None) -> None:
    """Exit status 2, and one sentence, on an error."""
    given = parser().parse_args(arguments)
    with one_sentence():
        run(given)


def run(given: argparse.Namespace) -> None:
    """Read, compare, print; then draw and write what is asked for."""
    from opal.report.comparison import CHOSEN, compare
    from opal.report.read.load import load

    pictures = given.figures or given.html
    metrics = {given.metric, CHOSEN} | ({"error", "worst_group_error"} if pictures else set())
    singles = DRAWN if pictures else ()
    if given.published:
        from opal.report.figures.paper import ERROR_TYPES, write_published

        metrics, singles = metrics | set(ERROR_TYPES.values()), (*singles, "train/rows")
    loaded = load(_where(given), sorted(metrics), given.uri, given.experiment or (), singles)
    if loaded.runs.empty:
        raise TrackingError(_none(given, loaded))
    chosen = _protocols(loaded, given.protocol)
    found = [compare(loaded, p, given.metric, _at(given.at)) for p in chosen]
    answers = _answers(chosen, given) if given.format == "terminal" or given.html else [[] for _ in chosen]
    _print(found, answers, loaded, given)
    if given.figures:
        from opal.report.figures.compare import write_figures

        many = len(found) > 1
        for comparison in found:
            folder = given.figures / comparison.protocol.name if many else given.figures
            for path in write_figures(comparison, loaded, folder):
                print(path, file=sys.stderr)
    if given.published:
        for protocol in chosen:
            folder = given.published / protocol.name if len(chosen) > 1 else given.published
            for path in write_published(loaded.take(protocol.runs), folder):
                print(path, file=sys.stderr)
    if given.html:
        from opal.report.page import write_page

        typed = "python -m opal.compare " + shlex.join(given.typed)
        write_page(found, answers, loaded, given.html, typed, given.ui)
        print(given.html, file=sys.stderr)


def _protocols(loaded: Loaded, asked: str | None) -> list[Protocol]:
    """The protocols selected.

    Raises
    ------
    ConfigError : there are several and none is chosen; the table printed before says how they differ
    """
    from rich.console import Console

    from opal.report.protocol import differing, protocols
    from opal.report.render import protocol_grid, show

    found = protocols(loaded)
    if asked == "all" or (len(found) == 1 and not asked):
        return found
    named = [p for p in found if asked and p.name.startswith(asked)]
    if len(named) == 1:
        return named
    tables = [", ".join(sorted(set(loaded.runs["data"][p.runs]))[:6]) for p in found]
    names = differing(found)
    show(Console(stderr=True), protocol_grid(found, names, tables))
    if asked:
        raise ConfigError(f"--protocol {asked} is not one of {', '.join(p.name for p in found)}, all")
    raise ConfigError(
        f"these {len(loaded.runs)} runs follow {len(found)} protocols, which are not averaged together: they differ in "
        f"{', '.join(names)}; choose one with --protocol {found[0].name}, see each with --protocol all, or select "
        "runs with --sweep, --since or --where"
    )


def _answers(chosen: Sequence[Protocol], given: argparse.Namespace) -> list[list[Answer]]:
    """Answers by protocol; none where there are so many runs that reading all their figures would take long."""
    from opal.report.answer import SINGLES, answers_of, finished_in
    from opal.report.read.load import load

    if sum(int(p.runs.sum()) for p in chosen) > MOST_ANSWERED:
        return [[] for _ in chosen]
    every = load(_where(given), None, given.uri, given.experiment or (), SINGLES)
    return [answers_of(finished_in(every.take(p.runs))) for p in chosen]


def _print(
    found: Sequence[Comparison], answers: Sequence[Sequence[Answer]], loaded: Loaded, given: argparse.Namespace
) -> None:
    from opal.report import render

    if given.format == "csv":
        import pandas as pd

        pd.concat([render.frame(c) for c in found]).to_csv(sys.stdout, index=False)
        return
    for comparison, answered in zip(found, answers, strict=True):
        title = f"Protocol {comparison.protocol.name}: {len(comparison.runs)} runs"
        if given.format == "markdown":
            print(f"# {title}\n\n{render.markdown(comparison)}")
        elif given.format == "latex":
            print(f"% {title}\n{render.latex(comparison)}")
        else:
            _terminal(comparison, answered, title, given.rows)
    if left := _left_out(loaded):
        print(f"Left out{left}", file=sys.stderr)


def _terminal(comparison: Comparison, answered: Sequence[Answer], title: str, most: int) -> None:
    from rich.console import Console

    from opal.report import render

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    for one in answered:
        console.print(" ".join(one.sentences[:2]), markup=False)
    console.print(f"{title}\n{render.caption(comparison)}\n", markup=False)
    shown = 0
    for grid in render.error_grids(comparison):
        if shown >= most:
            tables = comparison.cells["data"].nunique()
            console.print(f"{tables} tables are too many to print: choose with data=..., or --format csv, or --html")
            break
        render.show(console, grid, most - shown)
        shown += len(grid.rows)
    render.show(console, render.difference_grid(comparison), most)
    notes = [f"Note: {note}." for note in comparison.notes]
    for sentence in [render.counted(comparison), *comparison.ranks.sentences(), *notes]:
        console.print(sentence, markup=False)


def _none(given: argparse.Namespace, loaded: Loaded) -> str:
    """Why no run is selected: the first option that no finished run has, with those that runs have."""
    from opal.report.read.load import load

    every = load(None, (), given.uri, given.experiment or ())
    where = f"{loaded.uri}{' of experiment ' + ', '.join(given.experiment) if given.experiment else ''}"
    if every.runs.empty:
        return f"there is no finished run in {where}{_left_out(every)}"
    for key, value in (_pair(option, "the selection") for option in given.options):
        there = {str(p[key]) for p in every.params if key in p} | set(every.runs["data"] if key == "data" else ())
        if not there & set(value.split(",")):
            return f"no finished run in {where} has {key}={value}; there are {key}={','.join(sorted(there)[:20])}"
    return f"no finished run in {where} fits the whole selection{_left_out(loaded)}"


def _left_out(loaded: Loaded) -> str:
    if not loaded.left_out:
        return ""
    return ": " + ", ".join(f"{n} {status}" for status, n in sorted(loaded.left_out.items()))


def _where(given: argparse.Namespace) -> Any:
    from opal.report.read.select import Where

    groups = Options("run").groups
    for group, _ in (_pair(option, "the selection") for option in given.options):
        if group not in groups and "." not in group:
            raise ConfigError(f"{group} is not a group; did you mean {nearest(group, groups) or ', '.join(groups)}?")
    return Where(
        sweep=given.sweep or "",
        hashes=tuple(given.hash or ()),
        tags=dict(_pair(tag, "--tag") for tag in given.tag or ()),
        since=given.since or "",
        until=given.until or "",
        options={group: tuple(v.split(",")) for group, v in (_pair(o, "the selection") for o in given.options)},
        search=given.where or "",
    )


def _pair(text: str, option: str) -> tuple[str, str]:
    name, is_, value = text.partition("=")
    if not (name and is_ and value):
        raise ConfigError(f"{option} {text!r} is not NAME=VALUE")
    return name, value


def _at(text: str) -> Any:
    if text in ("chosen", "most"):
        return text
    if text.isdecimal():
        return int(text)
    raise ConfigError(f"--at {text} is not one of chosen, most, or a number of rows")


class _Parser(Parser):
    """Keeps the command as typed, for the page."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        given = super().parse_args(args, namespace)
        given.typed = list(sys.argv[1:] if args is None else args)
        return given


def parser() -> Parser:
    """The command line."""
    parser = _Parser("compare", __doc__, lambda: Options("run").groups)
    parser.add_argument("options", nargs="*", metavar="GROUP=OPTION", help="data=gender,craft method=llm ...")
    parser.add_argument("--sweep", help="runs of this sweep (tag opal.sweep_id)")
    parser.add_argument("--hash", nargs="+", help="runs of these hashes, full or short")
    parser.add_argument("--tag", action="append", metavar="NAME=VALUE", help="runs with this tag; may be repeated")
    parser.add_argument("--since", metavar="DATE", help="2026-11-22 or 2026-11-22T14:00")
    parser.add_argument("--until", metavar="DATE", help="the day included")
    parser.add_argument("--where", metavar="SEARCH", help="any MLflow search string")
    parser.add_argument("--protocol", metavar="NAME", help="where several are there: one of them, or all")
    parser.add_argument("--metric", default="error", help="any metric measured by seed (default: error)")
    parser.add_argument("--at", default="chosen", help="rows compared at: chosen (default), most, or a number")
    parser.add_argument("--format", choices=("terminal", "markdown", "latex", "csv"), default="terminal")
    parser.add_argument("--rows", type=int, default=200, help="most rows of a table on the terminal")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write figures as PDF and SVG")
    parser.add_argument("--published", type=Path, metavar="DIR", help="write the published study's figures as PDF")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    parser.add_argument("--ui", help="address of the MLflow UI, for the page's links (default: http://127.0.0.1:5000)")
    parser.add_argument("--uri", help="MLflow store (default: the one here)")
    parser.add_argument("--experiment", action="append", help="MLflow experiment (default: all); may be repeated")
    return parser


if __name__ == "__main__":
    main()
