"""Figures of a comparison with two axes: curves, worst group against average, cost against error."""

from __future__ import annotations

from typing import Any

import pandas as pd

from opal.report.comparison import Comparison
from opal.report.figures.run import plain
from opal.report.figures.style import new_figure, shared_legend, style_of
from opal.report.read.load import Loaded

MOST_PANELS = 48


def curves(comparison: Comparison, mine: Loaded, styles: dict[str, int]) -> Any:
    """Small multiples: a row per table, a column per classifier."""
    cells = comparison.cells
    classifiers = list(dict.fromkeys(cells["classifier"]))
    tables = list(dict.fromkeys(cells["data"]))[: max(1, MOST_PANELS // len(classifiers))]
    controls = _control_means(mine, comparison)
    figure = new_figure(max(3.4, 2.3 * len(classifiers)), 1.9 * len(tables) + 0.6)
    axes = figure.subplots(len(tables), len(classifiers), squeeze=False)
    for axis, (data, classifier) in zip(axes.flat, ((d, c) for d in tables for c in classifiers), strict=True):
        axis.set_title(plain(f"{data}, {classifier}"))
        block = cells[(cells["data"] == data) & (cells["classifier"] == classifier)]
        for method, line in block.groupby("method", observed=True):
            style = style_of(styles[str(method)])
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
    shared_legend(figure, axes.flat)
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


def worst_group(comparison: Comparison, mine: Loaded, styles: dict[str, int]) -> Any:
    values = mine.values[(mine.values["control"] == "") & (mine.values["seed"] != -1)]
    both = values[values["metric"].isin(["error", "worst_group_error"])]
    wide = both.pivot_table(index=["run", "amount"], columns="metric", values="value", observed=True).dropna()
    tables = list(dict.fromkeys(comparison.runs["data"]))[:12]
    columns = min(4, len(tables))
    figure = new_figure(max(3.4, 2.4 * columns), 2.3 * -(-len(tables) // columns) + 0.4)
    axes = figure.subplots(-(-len(tables) // columns), columns, squeeze=False)
    by_run = {run: points.droplevel("run") for run, points in wide.groupby(level="run")}
    for axis, data in zip(axes.flat, tables, strict=False):
        for run in comparison.runs[comparison.runs["data"] == data].itertuples():
            if (points := by_run.get(run.Index)) is None:
                continue
            style = style_of(styles[run.method])
            x, y = points["error"].to_numpy(), points["worst_group_error"].to_numpy()
            axis.plot(x[[0, -1]], y[[0, -1]], color=style["color"], linewidth=0.7, alpha=0.6)
            axis.plot(x[0], y[0], marker="o", markersize=4, markerfacecolor="white", color="0.3", linestyle="none")
            axis.plot(x[-1], y[-1], **(style | {"linestyle": "none"}), label=run.method)
        axis.axline((0, 0), slope=1, color="0.6", linewidth=0.7, dashes=(4, 3))
        axis.set_title(plain(str(data)))
        axis.autoscale_view()
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(tables) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("error")
    for axis in axes[:, 0]:
        axis.set_ylabel("worst-group error")
    shared_legend(figure, axes.flat)
    return figure


def units_of(singles: pd.DataFrame) -> dict[str, pd.Series]:
    """The cost of rows, by axis title: seconds, tokens and money where any run has them."""
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


def cost(comparison: Comparison, singles: pd.DataFrame, units: dict[str, pd.Series], styles: dict[str, int]) -> Any:
    """A point per run; over several tables the change of the metric, since their errors have no common scale."""
    several = comparison.runs["data"].nunique() > 1
    figure = new_figure(3.4 * len(units), 3)
    axes = figure.subplots(1, len(units), squeeze=False)[0]
    for axis, (unit, spent) in zip(axes, units.items(), strict=True):
        for method, runs in comparison.runs.groupby("method"):
            style = style_of(styles[str(method)]) | {"linestyle": "none"}
            axis.plot(
                spent.loc[runs.index], runs["raw_difference" if several else "mean"], label=method, alpha=0.8, **style
            )
        smallest = spent[spent > 0].min()
        axis.set_xscale("symlog", linthresh=float(smallest) if smallest == smallest else 1.0)
        axis.set_xlabel(unit)
        axis.grid(alpha=0.3)
    word = comparison.metric.replace("_", " ")
    axes[0].set_ylabel(f"change of {word} against no rows" if several else word)
    shared_legend(figure, axes)
    return figure
