"""Figures of a comparison, fit for print: vector, colour-blind safe, told apart in grey by marker and dash.

Text stays text (SVG) or TrueType (PDF); no date is written, so that the same runs give the same files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from opal.report.figures import COLORS, DASHES, MARKERS
from opal.report.load import Loaded
from opal.report.ranks import LEVEL, Ranks
from opal.report.tables import Comparison

MOST_PANELS, MOST_BARS = 48, 40
RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
}
STEPS = ("requested", "received", "parsed", "valid", "kept")


@dataclass(frozen=True)
class Plot:
    """A figure's file stem, its caption, and how it is drawn (onto nothing, giving the figure)."""

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
            lambda: _curves(comparison, mine, styles),
        )
    ]
    if len(comparison.ranks.average) > 1 and comparison.ranks.tables:
        found.append(Plot("critical_difference", _rank_caption(comparison.ranks), lambda: _ranks(comparison.ranks)))
    if units := _units(singles):
        said = f"{word.capitalize()} against what the synthetic rows of a run cost to make."
        found.append(Plot("cost", said, lambda: _cost(comparison, singles, units, styles)))
    if "funnel/requested" in singles and singles["funnel/requested"].notna().any():
        said = "Rows asked of the language model that survive each step."
        found.append(Plot("funnel", said, lambda: _funnel(comparison, singles)))
    if (mine.values["metric"] == "worst_group_error").any():
        said = "Worst-group error against average error: hollow without synthetic rows, filled with the most."
        found.append(Plot("worst_group", said, lambda: _worst_group(comparison, mine, styles)))
    if "contamination/test_rate" in singles and singles["contamination/test_rate"].notna().any():
        said = "Share of synthetic rows equal to a test row; grey: 95 % of what as many fresh real rows would give."
        found.append(Plot("contamination", said, lambda: _contamination(comparison, singles)))
    return found


def write_figures(comparison: Comparison, loaded: Loaded, folder: Path) -> list[Path]:
    """Write every figure as PDF and SVG into ``folder``; gives the files."""
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


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")  # no pyplot: no state shared between threads


def _style(i: int) -> dict[str, Any]:
    dash = "-" if i == 0 else DASHES[(i - 1) % len(DASHES)]
    return {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)], "linestyle": dash, "markersize": 4}


def _curves(comparison: Comparison, mine: Loaded, styles: dict[str, int]) -> Any:
    """Small multiples: a row a table, a column a classifier."""
    cells = comparison.cells
    classifiers = list(dict.fromkeys(cells["classifier"]))
    tables = list(dict.fromkeys(cells["data"]))[: max(1, MOST_PANELS // len(classifiers))]
    controls = _control_means(mine, comparison)
    figure = _figure(max(3.4, 2.3 * len(classifiers)), 1.9 * len(tables) + 0.6)
    axes = figure.subplots(len(tables), len(classifiers), squeeze=False)
    for axis, (data, classifier) in zip(axes.flat, ((d, c) for d in tables for c in classifiers), strict=True):
        axis.set_title(f"{data}, {classifier}")
        block = cells[(cells["data"] == data) & (cells["classifier"] == classifier)]
        for method, line in block.groupby("method", observed=True):
            style = _style(styles[str(method)])
            axis.plot(line["amount"], line["mean"], label=method, linewidth=1.2, **style)
            if block["method"].nunique() <= 4:
                low, high = line["mean"] - line["std"].fillna(0), line["mean"] + line["std"].fillna(0)
                axis.fill_between(line["amount"], low, high, color=style["color"], alpha=0.12, linewidth=0)
        if (data, classifier) in controls:
            axis.axhline(controls[data, classifier], color="0.45", linewidth=0.9, dashes=(6, 2), label="best control")
        axis.grid(alpha=0.3)
        if block.empty:
            axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("synthetic rows added")
    for axis in axes[:, 0]:
        axis.set_ylabel(comparison.metric.replace("_", " "))
    _legend(figure, axes.flat)
    return figure


def _control_means(mine: Loaded, comparison: Comparison) -> dict[tuple[str, str], float]:
    """Best mean over seeds of any control, by table and classifier."""
    values = mine.values
    theirs = values[(values["metric"] == comparison.metric) & (values["control"] != "") & (values["seed"] != -1)]
    if theirs.empty:
        return {}
    means = theirs.groupby(["run", "control"], observed=True)["value"].mean().reset_index()
    runs = comparison.runs.loc[means["run"]]
    means = means.assign(data=runs["data"].to_numpy(), classifier=runs["classifier"].to_numpy())
    return means.groupby(["data", "classifier"])["value"].agg("max" if comparison.higher_is_better else "min").to_dict()


def _rank_caption(ranks: Ranks) -> str:
    counted = f"{ranks.tables} table{'s' if ranks.tables > 1 else ''}"
    if not ranks.enough:
        return f"Average ranks (1 is best) over {counted}: too few to tell methods apart, which takes {ranks.needed}."
    return (
        f"Average ranks (1 is best) over {counted}; a bar joins methods whose ranks differ by less than "
        f"Nemenyi's critical difference at {LEVEL:.0%}."
    )


def _ranks(ranks: Ranks) -> Any:
    """Demšar's diagram: methods on an axis of average ranks."""
    average, k = ranks.average, len(ranks.average)
    half = (k + 1) // 2
    figure = _figure(5.5, 1.1 + 0.22 * half)
    axis = figure.subplots()
    axis.set_xlim(0.6, k + 0.4)
    axis.set_ylim(-half - 0.6, 1.6)
    axis.hlines(0, 1, k, color="black", linewidth=1)
    for tick in range(1, k + 1):
        axis.vlines(tick, 0, 0.15, color="black", linewidth=1)
        axis.text(tick, 0.25, str(tick), ha="center", va="bottom")
    for i, (method, place) in enumerate(average.items()):
        left = i < half
        level, end = -(i + 1 if left else k - i), 0.9 if left else k + 0.1
        axis.plot([place, place, end], [0, level, level], color="black", linewidth=0.7)
        axis.text(end, level, f" {method} ({place:.2f}) ", ha="right" if left else "left", va="center")
    if ranks.enough:
        axis.plot([1, 1 + ranks.critical], [1.2, 1.2], color="black", linewidth=1.4, marker="|")
        axis.text(1 + ranks.critical, 1.2, f"  critical difference {ranks.critical:.2f}", va="center")
        for level, (low, high) in enumerate(_cliques(average.to_numpy(), ranks.critical)):
            axis.plot([low - 0.03, high + 0.03], [-0.18 - 0.16 * level] * 2, color="black", linewidth=3)
    else:
        axis.text(1, 1.2, f"{ranks.tables} of at least {ranks.needed} tables", va="center")
    axis.set_axis_off()
    return figure


def _cliques(places: np.ndarray, critical: float) -> list[tuple[float, float]]:
    """Longest runs of sorted ranks within the critical difference."""
    ends = [int(np.searchsorted(places, p + critical, side="right")) - 1 for p in places]
    spans = [(i, e) for i, e in enumerate(ends) if e > i]
    kept = [s for before, s in pairwise([(-1, -1), *spans]) if s[1] > before[1]]
    return [(float(places[i]), float(places[e])) for i, e in kept]


def _units(singles: pd.DataFrame) -> dict[str, pd.Series]:
    """What rows cost, by axis title: seconds, tokens and money where any run has them."""
    found = {}
    seconds = singles.reindex(columns=["time/rows", "time/llm"]).max(axis=1)
    if seconds.notna().any():
        found["seconds to make the rows"] = seconds
    tokens = singles.reindex(columns=["llm/prompt_tokens", "llm/completion_tokens"]).sum(axis=1, min_count=1)
    if (tokens > 0).any():
        found["tokens"] = tokens.fillna(0)
    money = singles.get("llm/money", pd.Series(dtype=float))
    if (money > 0).any():
        found["money"] = money.fillna(0)
    return found


def _cost(comparison: Comparison, singles: pd.DataFrame, units: dict[str, pd.Series], styles: dict[str, int]) -> Any:
    figure = _figure(3.4 * len(units), 3)
    axes = figure.subplots(1, len(units), squeeze=False)[0]
    for axis, (unit, cost) in zip(axes, units.items(), strict=True):
        for method, runs in comparison.runs.groupby("method"):
            style = _style(styles[str(method)]) | {"linestyle": "none"}
            axis.plot(cost.loc[runs.index], runs["mean"], label=method, alpha=0.8, **style)
        smallest = cost[cost > 0].min()
        axis.set_xscale("symlog", linthresh=float(smallest) if smallest == smallest else 1.0)
        axis.set_xlabel(unit)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(comparison.metric.replace("_", " "))
    _legend(figure, axes)
    return figure


def _funnel(comparison: Comparison, singles: pd.DataFrame) -> Any:
    """A line a run from rows asked for to rows used, as shares of those asked for."""
    asked = singles[singles["funnel/requested"] > 0].index
    runs = comparison.runs.loc[[i for i in comparison.runs.index if i in set(asked)]].head(MOST_BARS)
    figure = _figure(6, 0.9 + 0.24 * max(len(runs), 2))
    axis = figure.subplots()
    shades = ("0.92", "0.8", "0.62", "0.42", COLORS[0])
    for step, shade in zip(STEPS, shades, strict=True):
        rows = singles.loc[runs.index].get(f"funnel/{step}", pd.Series(0, runs.index))
        axis.barh(range(len(runs)), rows, color=shade, edgecolor="black", linewidth=0.4, label=step)
    axis.set_yticks(range(len(runs)), _names(runs))
    axis.invert_yaxis()
    axis.set_xlabel("rows, all seeds")
    _legend(figure, [axis])
    return figure


def _worst_group(comparison: Comparison, mine: Loaded, styles: dict[str, int]) -> Any:
    values = mine.values[(mine.values["control"] == "") & (mine.values["seed"] != -1)]
    both = values[values["metric"].isin(["error", "worst_group_error"])]
    wide = both.pivot_table(index=["run", "amount"], columns="metric", values="value", observed=True).dropna()
    tables = list(dict.fromkeys(comparison.runs["data"]))[:12]
    columns = min(4, len(tables))
    figure = _figure(max(3.4, 2.4 * columns), 2.3 * -(-len(tables) // columns) + 0.4)
    axes = figure.subplots(-(-len(tables) // columns), columns, squeeze=False)
    by_run = {run: points.droplevel("run") for run, points in wide.groupby(level="run")}
    for axis, data in zip(axes.flat, tables, strict=False):
        for run in comparison.runs[comparison.runs["data"] == data].itertuples():
            if (points := by_run.get(run.Index)) is None:
                continue
            style = _style(styles[run.method])
            x, y = points["error"].to_numpy(), points["worst_group_error"].to_numpy()
            axis.plot(x[[0, -1]], y[[0, -1]], color=style["color"], linewidth=0.7, alpha=0.6)
            axis.plot(x[0], y[0], marker="o", markersize=4, markerfacecolor="white", color="0.3", linestyle="none")
            axis.plot(x[-1], y[-1], **(style | {"linestyle": "none"}), label=run.method)
        axis.axline((0, 0), slope=1, color="0.6", linewidth=0.7, dashes=(4, 3))
        axis.set_title(data)
        axis.autoscale_view()
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(tables) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("error")
    for axis in axes[:, 0]:
        axis.set_ylabel("worst-group error")
    _legend(figure, axes.flat)
    return figure


def _contamination(comparison: Comparison, singles: pd.DataFrame) -> Any:
    rate = singles["contamination/test_rate"]
    runs = comparison.runs.loc[[i for i in comparison.runs.index if rate.notna()[i]]]
    runs = runs.assign(rate=rate).sort_values("rate", ascending=False, kind="stable").head(MOST_BARS)
    shown = singles.loc[runs.index]
    figure = _figure(6, 0.9 + 0.24 * max(len(runs), 2))
    axis = figure.subplots()
    if "contamination/test_chance_rate" in shown:
        chance = shown["contamination/test_chance_rate"]
        per_row = (chance / shown["contamination/test_chance"]).fillna(0)
        low, high = (shown[f"contamination/test_chance_{end}"].fillna(0) * per_row for end in ("low", "high"))
        axis.barh(range(len(runs)), high - low, left=low, color="0.8", height=0.7, label="by chance")
    axis.plot(
        shown["contamination/test_rate"], range(len(runs)), "D", color="black", markersize=4, label="synthetic rows"
    )
    axis.set_yticks(range(len(runs)), _names(runs))
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel("share of rows equal to a test row")
    axis.grid(axis="x", alpha=0.3)
    _legend(figure, [axis])
    return figure


def _names(runs: pd.DataFrame) -> list[str]:
    return [f"{r.data}, {r.method}, {r.classifier}" for r in runs.itertuples()]


def _legend(figure: Any, axes: Sequence[Any]) -> None:
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=min(len(found), 5) or 1, frameon=False
    )
