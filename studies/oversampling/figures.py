"""The pictures of the report: dots with intervals over tables, lines by minority rows, bars of regret."""

from __future__ import annotations

from typing import Any

import pandas as pd

from opal.report.figures.run import COLORS
from opal.report.figures.style import new_figure

FREE_COLOR, ROWS_COLOR, LLM_COLOR = "0.45", COLORS[0], COLORS[1]
NAMES = {
    "logistic": "logistic regression",
    "catboost": "CatBoost",
    "random_forest": "random forest",
    "hist_gradient_boosting": "boosted trees",
}


def words(action: str) -> str:
    """An action as the figures and tables name it."""
    action = action.replace("llm", "language model")
    return action.removeprefix("free: ").replace("_", " ") + (" (free)" if action.startswith("free: ") else "")


def color(action: str) -> str:
    if action.startswith("free: "):
        return FREE_COLOR
    return LLM_COLOR if action.startswith("llm") else ROWS_COLOR


def dots(panels: dict[str, pd.DataFrame], label: str, order: list[str]) -> Any:
    """One panel each: a row per action, its mean difference and interval.

    Parameters
    ----------
    panels : title -> frame with mean, low, high by action
    order : actions from top to bottom
    """
    figure = new_figure(2.2 + 2.1 * len(panels), 0.8 + 0.21 * len(order))
    axes = figure.subplots(1, len(panels), sharex=len(panels) > 2, sharey=True, squeeze=False)[0]
    for axis, (title, frame) in zip(axes, panels.items(), strict=True):
        for y, action in enumerate(order):
            if action in frame.index:
                row = frame.loc[action]
                axis.plot([row["low"], row["high"]], [y, y], color=color(action), linewidth=1.6)
                axis.plot(row["mean"], y, "o", color=color(action), markersize=4.5)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(title, fontsize=9)
        axis.grid(axis="x", linewidth=0.3)
        axis.locator_params(axis="x", nbins=4)
        axis.tick_params(labelsize=8)
    axes[0].set_yticks(range(len(order)), [words(action) for action in order])
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    figure.supxlabel(label, fontsize=9)
    return figure


def by_minority(panels: dict[str, dict[str, pd.DataFrame]], label: str) -> Any:
    """One panel each: a line per action over the number of minority rows.

    Parameters
    ----------
    panels : title -> action -> frame with mean, low, high by minority rows
    """
    every = list(dict.fromkeys(action for lines in panels.values() for action in lines))
    figure = new_figure(2.6 * len(panels), 3.2)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for action, frame in lines.items():
            i = every.index(action)
            x = [place + 0.3 * (i - len(every) / 2 + 0.5) for place in frame.index]
            error = [frame["mean"] - frame["low"], frame["high"] - frame["mean"]]
            dash = "--" if action.startswith("free: ") else "-"
            axis.errorbar(x, frame["mean"], error, label=words(action), color=COLORS[i], linestyle=dash, marker="o",
                          markersize=3.5, linewidth=1.1, capsize=2)  # fmt: skip
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_xticks([5, 10, 20])
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_xlabel("minority rows in train", fontsize=8)
    axes[0].set_ylabel(label, fontsize=8)
    found = dict(item for axis in axes for item in zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(found.values(), found, loc="outside lower center", ncols=len(found), frameon=False, fontsize=8)
    return figure


def bars(regret: pd.DataFrame, label: str) -> Any:
    """A group of bars per policy, one bar per classifier.

    Parameters
    ----------
    regret : a row per policy, a column per classifier
    """
    figure = new_figure(6.4, 0.9 + 0.34 * len(regret))
    axis = figure.subplots()
    width = 0.8 / len(regret.columns)
    for i, name in enumerate(regret):
        places = [y + (i - (len(regret.columns) - 1) / 2) * width for y in range(len(regret))]
        axis.barh(places, regret[name], height=width, label=NAMES[name], color=COLORS[i])
    axis.set_yticks(range(len(regret)), [words(policy) for policy in regret.index])
    axis.invert_yaxis()
    axis.set_xlabel(label, fontsize=9)
    axis.tick_params(labelsize=8)
    axis.legend(frameon=False, fontsize=8)
    return figure
