"""Figures of a comparison, fit for print: vector, colour-blind safe, distinguishable in grey by marker and dash.

Text stays text (SVG) or TrueType (PDF); no date is written, so that the same runs give the same files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opal.report.comparison import Comparison
from opal.report.figures.compare_curves import cost, curves, units_of, worst_group
from opal.report.figures.compare_ranks import contamination, funnel, rank_caption, ranks_diagram
from opal.report.read.load import Loaded

RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
}


@dataclass(frozen=True)
class Plot:
    """A figure's file stem, its caption, and the function that draws and returns it."""

    name: str
    caption: str
    draw: Callable[[], Any]


def plots(comparison: Comparison, loaded: Loaded) -> list[Plot]:
    """The figures for which there is something to draw.

    Parameters
    ----------
    loaded : the runs that ``comparison`` was made of, read with metrics error and worst_group_error, and with the
        single figures under contamination/, funnel/, llm/ and time/
    """
    mine = loaded.take(comparison.protocol.runs)
    singles = mine.singles()
    styles = {m: i for i, m in enumerate(sorted(comparison.runs["method"].unique()))}
    word = comparison.metric.replace("_", " ")
    found = [
        Plot(
            "curves",
            f"{word.capitalize()} by synthetic rows added, mean and standard deviation over seeds; grey: best control.",
            lambda: curves(comparison, mine, styles),
        )
    ]
    if len(comparison.ranks.average) > 1 and comparison.ranks.tables:
        found.append(
            Plot("critical_difference", rank_caption(comparison.ranks), lambda: ranks_diagram(comparison.ranks))
        )
    if units := units_of(singles):
        said = f"{word.capitalize()} against the cost of a run's synthetic rows."
        found.append(Plot("cost", said, lambda: cost(comparison, singles, units, styles)))
    if "funnel/requested" in singles and singles["funnel/requested"].notna().any():
        said = "Rows asked of the language model that survive each step."
        found.append(Plot("funnel", said, lambda: funnel(comparison, singles)))
    if (mine.values["metric"] == "worst_group_error").any():
        said = "Worst-group error against average error: hollow without synthetic rows, filled with the most."
        found.append(Plot("worst_group", said, lambda: worst_group(comparison, mine, styles)))
    if "contamination/test_rate" in singles and singles["contamination/test_rate"].notna().any():
        said = "Share of synthetic rows equal to a test row; grey: 95 % of what as many fresh real rows would give."
        found.append(Plot("contamination", said, lambda: contamination(comparison, singles)))
    return found


def write_figures(comparison: Comparison, loaded: Loaded, folder: Path) -> list[Path]:
    """Write every figure as PDF and SVG into ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for plot in plots(comparison, loaded):
        figure = _drawn(plot)
        for kind in ("pdf", "svg"):
            path = folder / f"{plot.name}.{kind}"
            _save(figure, path, kind, plot.name)
            written.append(path)
    return written


def svg(plot: Plot, salt: str) -> str:
    """The figure as an ``<svg>`` element; ``salt`` keeps its ids apart from other figures' on the same page."""
    from io import StringIO

    text = StringIO()
    _save(_drawn(plot), text, "svg", salt + plot.name)
    drawn = text.getvalue()[text.getvalue().index("<svg") :]
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{salt}-{plot.name}-", drawn)


def _drawn(plot: Plot) -> Any:
    from matplotlib import rc_context

    with rc_context(RC):
        return plot.draw()


def _save(figure: Any, target: Any, kind: str, salt: str) -> None:
    from matplotlib import rc_context

    dateless = {"Date": None} if kind == "svg" else {"CreationDate": None}
    with rc_context(RC | {"svg.hashsalt": salt}):
        figure.savefig(target, format=kind, metadata=dateless)
