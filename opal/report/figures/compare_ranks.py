"""Figures of a comparison with a line per run or method: ranks, funnel, contamination."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from opal.report.comparison import Comparison
from opal.report.figures.run import COLORS, plain
from opal.report.figures.style import new_figure, shared_legend
from opal.report.ranks import LEVEL, Ranks

MOST_BARS = 40
STEPS = ("requested", "received", "parsed", "valid", "kept")


def rank_caption(ranks: Ranks) -> str:
    counted = f"{ranks.tables} table{'s' if ranks.tables > 1 else ''}"
    if not ranks.enough:
        return f"Average ranks (1 is best) over {counted}: too few to distinguish methods, which takes {ranks.needed}."
    return (
        f"Average ranks (1 is best) over {counted}; a bar joins methods whose ranks differ by less than "
        f"Nemenyi's critical difference at {LEVEL:.0%}."
    )


def ranks_diagram(ranks: Ranks) -> Any:
    """Demšar's diagram: methods on an axis of average ranks."""
    average, k = ranks.average, len(ranks.average)
    half = (k + 1) // 2
    longest = max(len(str(method)) for method in average.index)
    figure = new_figure(max(5.5, 2.2 + 0.18 * longest + 0.16 * k), 1.1 + 0.22 * half)
    axis = figure.subplots()
    axis.set_xlim(0.6, k + 0.4)
    axis.set_ylim(-half - 0.6, 1.6)
    axis.hlines(0, 1, k, color="black", linewidth=1)
    for tick in range(1, k + 1):
        axis.vlines(tick, 0, 0.15, color="black", linewidth=1)
        if tick % (1 + k // 12) == k % (1 + k // 12):  # of many ticks every second one is named
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


def funnel(comparison: Comparison, singles: pd.DataFrame) -> Any:
    """A line per run from rows requested to rows used, as shares of those requested."""
    asked = singles[singles["funnel/requested"] > 0].index
    runs = comparison.runs.loc[[i for i in comparison.runs.index if i in set(asked)]].head(MOST_BARS)
    figure = new_figure(6, 0.9 + 0.24 * max(len(runs), 2))
    axis = figure.subplots()
    shades = ("0.92", "0.8", "0.62", "0.42", COLORS[0])
    for step, shade in zip(STEPS, shades, strict=True):
        rows = singles.loc[runs.index].get(f"funnel/{step}", pd.Series(0, runs.index))
        axis.barh(range(len(runs)), rows, color=shade, edgecolor="black", linewidth=0.4, label=step)
    axis.set_yticks(range(len(runs)), _names(runs))
    axis.invert_yaxis()
    axis.set_xlabel("rows, all seeds")
    shared_legend(figure, [axis])
    return figure


def contamination(comparison: Comparison, singles: pd.DataFrame) -> Any:
    rate = singles["contamination/test_rate"]
    runs = comparison.runs.loc[[i for i in comparison.runs.index if rate.notna()[i]]]
    runs = runs.assign(rate=rate).sort_values("rate", ascending=False, kind="stable").head(MOST_BARS)
    shown = singles.loc[runs.index]
    figure = new_figure(6, 0.9 + 0.24 * max(len(runs), 2))
    axis = figure.subplots()
    if "contamination/test_chance_low" in shown:
        low, high = (shown[f"contamination/test_chance_{end}"] / _n_rows(shown) for end in ("low", "high"))
        axis.barh(range(len(runs)), high - low, left=low, color="0.8", height=0.7, label="by chance")
    axis.plot(
        shown["contamination/test_rate"],
        range(len(runs)),
        "D",
        color="black",
        markersize=4,
        label="synthetic rows",
        clip_on=False,
    )
    axis.set_yticks(range(len(runs)), _names(runs))
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel("share of rows equal to a test row")
    axis.grid(axis="x", alpha=0.3)
    shared_legend(figure, [axis])
    return figure


def _n_rows(singles: pd.DataFrame) -> pd.Series:
    """Synthetic rows of a run, from a count and its rate, whichever is not zero."""
    found = pd.Series(np.nan, index=singles.index)
    for name in ("test_chance", "test", "train", "rest", "seed_rows"):
        count = singles.get(f"contamination/{name}" if name == "test_chance" else f"contamination/{name}_exact")
        rate = singles.get(f"contamination/{name}_rate")
        if count is not None and rate is not None:
            found = found.fillna(count / rate.where(rate > 0))
    return found


def _names(runs: pd.DataFrame) -> list[str]:
    return [plain(f"{r.data}, {r.method}, {r.classifier}") for r in runs.itertuples()]
