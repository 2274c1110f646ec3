"""The figure of one run, drawn from tidy errors [seed, amount, metric, value]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

# Okabe and Ito's colours, told apart by colour-blind readers; markers and dashes tell them apart in grey
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
PANELS = {
    "error": "error",
    "balanced_error": "balanced error",
    "worst_group_error": "worst-group error",
    "average_precision": "average precision",
}


def run_figures(errors: pd.DataFrame, folder: Path, title: str) -> None:
    """``curves.png``: four metrics against synthetic rows, every seed thin, the mean thick, controls dashed."""
    figure, axes = _panels(title)
    for axis, metric in zip(axes, PANELS, strict=True):
        by_seed = errors[errors["metric"] == metric].pivot(index="amount", columns="seed", values="value")
        axis.plot(by_seed.index, by_seed, color="0.8", linewidth=0.8, zorder=1)
        _mean_line(axis, by_seed)
        for i, (name, level) in enumerate(_control_means(errors, metric).items()):
            axis.axhline(level, color=COLORS[1 + i % 6], linestyle=DASHES[i % 6], linewidth=1.2, label=name)
    _save(figure, axes, folder / "curves.png")


def plain(text: str) -> str:
    """A name from a user's table as Matplotlib shows it letter by letter: dollars begin no formula."""
    return " ".join(text.split()).replace("$", r"\$")


def _panels(title: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(13, 3.6))  # no pyplot: no state shared between threads
    FigureCanvasAgg(figure)
    figure.suptitle(plain(title))
    axes = figure.subplots(1, len(PANELS))
    # places by hand: finding them takes as long as drawing, and every run of a sweep pays for it
    figure.subplots_adjust(left=0.05, right=0.99, top=0.82, bottom=0.25, wspace=0.26)
    for side in (side for axis in axes for side in (axis.xaxis, axis.yaxis)):
        side.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10), integer=side.axis_name == "x"))
        side.set_label_coords(0.5, -0.15)
    return figure, axes


def _mean_line(axis: Any, by_seed: pd.DataFrame) -> None:
    mean, std = by_seed.mean(axis=1), by_seed.std(axis=1).fillna(0)
    style = {"color": COLORS[0], "marker": MARKERS[0], "markersize": 4}
    axis.plot(mean.index, mean, **style, label="mean of seeds ± std", zorder=3)
    axis.fill_between(mean.index, mean - std, mean + std, color=COLORS[0], alpha=0.15, linewidth=0, zorder=2)


def _control_means(errors: pd.DataFrame, metric: str) -> dict[str, float]:
    names = errors["metric"].str.extract(r"^control/([^/]+)/(.+)$")
    chosen = names[1] == metric
    return errors[chosen].groupby(names[0][chosen], sort=False)["value"].mean().to_dict()


def _save(figure: Any, axes: Any, path: Path) -> None:
    for axis, label in zip(axes, PANELS.values(), strict=True):
        axis.set_xlabel("synthetic rows added")
        axis.set_title(label, fontsize=10, y=1.01)
        axis.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=min(len(labels), 6) or 1, fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
