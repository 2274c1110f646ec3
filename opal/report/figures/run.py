"""The figure of one run, drawn from tidy errors [seed, amount, metric, value]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd

from opal.evaluate.metrics import BY_NAME, names
from opal.report.figures.gain import gain_bars

# Okabe and Ito's colours, told apart by colour-blind readers; markers and dashes tell them apart in grey
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
PANELS = {name: BY_NAME[name].words for name in names("drawn")}
_drawing = Lock()  # of the one figure shared by all runs of a process


def run_figures(errors: pd.DataFrame, folder: Path, title: str) -> None:
    """Write ``curves.png``: four metrics against synthetic rows, every seed thin, the mean thick, controls dashed; and
    where the gain comes from, if that was measured.
    """
    with drawing(errors, title) as figure:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "curves.png", dpi=110)


@contextmanager
def drawing(errors: pd.DataFrame, title: str) -> Iterator[Any]:
    """The figure of one run, for as long as nobody else draws in it."""
    with _drawing:
        yield draw_run(errors, title)


def draw_run(errors: pd.DataFrame, title: str) -> Any:
    """The Matplotlib figure of one run; the next call redraws the same object."""
    by_seed = errors[errors["metric"].isin(list(PANELS))].pivot(
        index=["metric", "amount"], columns="seed", values="value"
    )
    controls = control_means(errors)
    figure, axes = _panels()
    _clear(figure, axes)
    figure.suptitle(plain(title))
    for axis, metric in zip(axes[:-1], PANELS, strict=True):
        if metric in by_seed.index:
            _curve(axis, by_seed.loc[metric])
        for i, (name, level) in enumerate(controls.get(metric, {}).items()):
            axis.axhline(level, color=COLORS[1 + i % 6], linestyle=DASHES[i % 6], linewidth=1.2, label=name)
    gain_bars(axes[-1], [(errors, COLORS[0])])
    known = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    columns = min(len(known), 5) or 1
    figure.legend(known.values(), known.keys(), loc="lower center", ncols=columns, fontsize=8, frameon=False)
    return figure


def plain(text: str) -> str:
    """A name from a user's table, escaped so that Matplotlib shows it literally: dollars begin no formula."""
    return " ".join(text.split()).replace("$", r"\$")


@lru_cache(maxsize=1)
def _panels() -> tuple[Any, Any]:
    """Empty panels, made once per process: making them and their ticks takes as long as drawing a run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(13, 3.6))  # no pyplot: no state shared with the user's own figures
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(PANELS) + 1, width_ratios=[1] * len(PANELS) + [0.4])
    # fixed positions: a layout engine takes as long as drawing, and every run of a sweep pays for it
    figure.subplots_adjust(left=0.05, right=0.99, top=0.82, bottom=0.25, wspace=0.28)
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.tick_params(length=0)  # the grid marks the positions
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10), integer=side.axis_name == "x"))
            side.set_label_coords(0.5, -0.15)
    for axis, label in zip(axes[:-1], PANELS.values(), strict=True):
        axis.set_xlabel("synthetic rows added")
        axis.set_title(label, fontsize=10, y=1.01)
    return figure, axes


def _clear(figure: Any, axes: Any) -> None:
    """Remove what the previous run drew."""
    drawn = [artist for axis in axes for artist in (*axis.lines, *axis.collections, *axis.patches)]
    for artist in [*figure.legends, *drawn]:
        artist.remove()
    for axis in axes:
        axis.relim()
        axis.autoscale()


def _curve(axis: Any, by_seed: pd.DataFrame) -> None:
    """Every seed thin, their mean thick, one standard deviation shaded; ``by_seed`` is amounts x seeds."""
    from matplotlib.collections import LineCollection

    amounts, values = by_seed.index.to_numpy(float), by_seed.to_numpy()
    mean, std = by_seed.mean(axis=1), by_seed.std(axis=1).fillna(0)
    seeds = [np.column_stack([amounts, of_seed]) for of_seed in values.T]
    axis.add_collection(LineCollection(seeds, color="0.8", linewidth=0.8, zorder=1))
    style = {"color": COLORS[0], "marker": MARKERS[0], "markersize": 4}
    axis.plot(amounts, mean, **style, label="mean of seeds ± std", zorder=3)
    axis.fill_between(amounts, mean - std, mean + std, color=COLORS[0], alpha=0.15, linewidth=0, zorder=2)


def control_means(errors: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Metric -> control -> mean over seeds, controls in the order measured."""
    parts = errors["metric"].str.extract(r"^control/(?P<control>[^/]+)/(?P<metric>.+)$")
    means = errors["value"].groupby([parts["metric"], parts["control"]], sort=False).mean()
    return {str(metric): of.droplevel("metric").to_dict() for metric, of in means.groupby("metric", sort=False)}
