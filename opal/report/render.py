"""A comparison as text: on the terminal, in Markdown, LaTeX or CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

import pandas as pd

from opal.report.comparison import LEVEL, Comparison
from opal.report.protocol import Protocol

if TYPE_CHECKING:
    from rich.console import Console

DIGITS = 4


@dataclass(frozen=True)
class Cell:
    """One printed cell."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Grid:
    """One printed table.

    Parameters
    ----------
    head : column titles
    rows : cells; the first ``names`` columns are words, the others figures
    """

    title: str
    head: list[str]
    rows: list[list[Cell]]
    names: int


def caption(comparison: Comparison) -> str:
    """One sentence that explains the figures."""
    at = {"chosen": "the amount that validation folds of train chose, seed by seed", "most": "the most rows"}
    where = at.get(comparison.at, f"{comparison.at} rows")
    return (
        f"{_words(comparison.metric)}: mean ± sample standard deviation over seeds by synthetic rows added; "
        f"{'higher' if comparison.higher_is_better else 'lower'} is better, the best of a column in bold. "
        f"Differences are paired by seed at {where}, with {LEVEL:.0%} t intervals over splits of the same table."
    )


def error_grids(comparison: Comparison) -> Iterator[Grid]:
    """For each table the error at each amount, by classifier and method."""
    tables: dict[str, dict[tuple[str, str], dict[int, Cell]]] = {}
    for c in comparison.cells.itertuples():  # one pass: a group per run would take seconds for thousands
        line = tables.setdefault(c.data, {}).setdefault((c.classifier, c.method), {})
        line[c.amount] = Cell(_mean_std(c.mean, c.std), c.best)
    for data, lines in tables.items():
        amounts = sorted({amount for line in lines.values() for amount in line})
        rows = [[*map(Cell, names), *(line.get(a, Cell("")) for a in amounts)] for names, line in lines.items()]
        title = f"{data}: {_words(comparison.metric)} by synthetic rows added"
        yield Grid(title, ["classifier", "method", *map(str, amounts)], rows, 2)


def difference_grid(comparison: Comparison) -> Grid:
    """A row per run: the change by synthetic rows, against none and against the best control."""
    rows = [
        [
            *(Cell(str(v)) for v in (run.data, run.classifier, run.method, run.amount)),
            Cell(_mean_std(run.mean, run.std)),
            Cell(_difference(run.raw_difference, run.raw_low, run.raw_high)),
            Cell(_difference(run.control_difference, run.control_low, run.control_high)),
            Cell(run.control),
            Cell(run.word, run.word == "helps"),
        ]
        for run in comparison.runs.itertuples()
    ]
    head = ["data", "classifier", "method", "rows", _words(comparison.metric)]
    head += ["against no rows", "against best control", "best control", "synthetic rows"]
    return Grid("What synthetic rows changed", head, rows, 3)


def pair_grid(comparison: Comparison) -> Grid:
    """A row per pair of methods, where there are enough tables for a test."""
    pairs = comparison.ranks.pairs.itertuples() if comparison.ranks.enough else ()
    rows = [
        [Cell(p.first), Cell(p.second), *(Cell(f"{v:.3g}") for v in (p.rank_difference, p.wilcoxon, p.nemenyi))]
        for p in pairs
    ]
    head = ["before", "after", "difference of ranks", "p, Wilcoxon with Holm's correction", "p, Nemenyi"]
    return Grid("Pairs of methods", head, rows, 2)


def counted(comparison: Comparison) -> str:
    """How many runs got each verdict."""
    words = comparison.runs["word"].value_counts()
    return (
        f"Of {len(comparison.runs)} runs, synthetic rows help in {words.get('helps', 0)}, hurt in "
        f"{words.get('hurts', 0)}, make no difference that matters in {words.get('no difference that matters', 0)}; "
        f"{words.get('inconclusive', 0)} are inconclusive (against no rows and every control, at {LEVEL:.0%})."
    )


def protocol_grid(found: Sequence[Protocol], names: Sequence[str], tables: Sequence[str]) -> Grid:
    """How protocols differ: a row per protocol."""
    rows = [
        [Cell(p.name), Cell(str(int(p.runs.sum()))), Cell(t), *(Cell(p.facts.get(n, "")) for n in names)]
        for p, t in zip(found, tables, strict=True)
    ]
    return Grid("Protocols", ["protocol", "runs", "tables", *names], rows, 1)


def show(console: Console, grid: Grid, most: int | None = None) -> None:
    """Print on the terminal, the first ``most`` rows."""
    from rich.table import Table

    table = Table(title=_plain(grid.title), title_justify="left")
    for i, name in enumerate(grid.head):
        table.add_column(_plain(name), justify="left" if i < grid.names else "right", overflow="fold")
    for row in grid.rows[:most]:
        table.add_row(*(f"[bold]{_plain(c.text)}[/bold]" if c.bold else _plain(c.text) for c in row))
    console.print(table)
    if most is not None and len(grid.rows) > most:
        console.print(f"{len(grid.rows) - most} more rows: --rows {len(grid.rows)}, --format csv or --html shows them")


def markdown(comparison: Comparison) -> str:
    """Tables, caption, findings and notes."""
    parts = [caption(comparison), *map(_markdown, error_grids(comparison)), _markdown(difference_grid(comparison))]
    parts += [counted(comparison), *comparison.ranks.sentences(), *(f"Note: {n}." for n in comparison.notes)]
    return "\n\n".join(parts) + "\n"


def latex(comparison: Comparison) -> str:
    """The same for LaTeX with \\usepackage{booktabs}."""
    parts = [_comment(caption(comparison)), *map(_latex, error_grids(comparison)), _latex(difference_grid(comparison))]
    parts += map(_comment, [counted(comparison), *comparison.ranks.sentences(), *comparison.notes])
    return "\n\n".join(parts) + "\n"


def frame(comparison: Comparison) -> pd.DataFrame:
    """A row per run and amount, with everything that the tables show, for CSV."""
    shared = comparison.runs.drop(columns=["data", "classifier", "method"])
    shared = shared.rename(columns={"amount": "compared_at", "mean": "compared_mean", "std": "compared_std"})
    cells = comparison.cells.assign(protocol=comparison.protocol.name, metric=comparison.metric)
    return cells.join(shared, on="run").drop(columns="run").reset_index(drop=True)


def _markdown(grid: Grid) -> str:
    lines = [f"**{_marked(grid.title)}**", "", f"| {' | '.join(map(_marked, grid.head))} |"]
    lines.append("| " + " | ".join("---" if i < grid.names else "---:" for i in range(len(grid.head))) + " |")
    for row in grid.rows:
        shown = (_marked(c.text) for c in row)
        texts = (f"**{text}**" if c.bold else text for c, text in zip(row, shown, strict=True))
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines)


def _marked(text: str) -> str:
    """``text`` escaped for Markdown: no line breaks, cells, tags, links or emphasis."""
    return re.sub(r"[\\|<`*]|(?<=\])(?=\()", lambda found: "\\" + found[0], " ".join(text.split()))


def _latex(grid: Grid) -> str:
    spec = "l" * grid.names + "r" * (len(grid.head) - grid.names)
    lines = [_comment(grid.title), f"\\begin{{tabular}}{{{spec}}}", "\\toprule"]
    lines += [" & ".join(map(_escaped, grid.head)) + " \\\\", "\\midrule"]
    before = None
    for row in grid.rows:
        first = row[0].text
        if before is not None and first != before:
            lines.append("\\addlinespace")
        before = first
        texts = (_escaped(c.text) for c in row)
        shown = (f"\\textbf{{{text}}}" if c.bold else text for c, text in zip(row, texts, strict=True))
        lines.append(" & ".join(shown) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"} | {"<": "$<$", ">": "$>$"}
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", "".join(special.get(c, c) for c in " ".join(text.split())))


def _comment(text: str) -> str:
    return "% " + " ".join(text.split())


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _mean_std(mean: float, std: float) -> str:
    if isnan(mean):
        return ""
    return f"{mean:.{DIGITS}f}" if isnan(std) else f"{mean:.{DIGITS}f} ± {std:.{DIGITS}f}"


def _difference(mean: float, low: float, high: float) -> str:
    if isnan(mean):
        return ""
    shown = f"{mean:+.{DIGITS}f}"
    return shown if isnan(low) else f"{shown} [{low:+.{DIGITS}f}, {high:+.{DIGITS}f}]"


def _words(metric: str) -> str:
    return metric.replace("_", " ")
