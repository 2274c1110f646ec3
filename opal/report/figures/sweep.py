"""The figure of one sweep: a row of panels per table, a line per run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from opal.evaluate.metrics import higher_is_better
from opal.report.figures.gain import gain_bars
from opal.report.figures.run import COLORS, DASHES, MARKERS, PANELS, control_means, plain

HASH = re.compile(r"-[0-9a-f]{12}$")


def sweep_figure(runs: Mapping[str, pd.DataFrame], path: Path, title: str) -> None:
    """Write the sweep's figure; see `draw_sweep`."""
    figure = draw_sweep(runs, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def draw_sweep(runs: Mapping[str, pd.DataFrame], title: str) -> Any:
    """The Matplotlib figure: mean over seeds of four metrics against synthetic rows, the best control dashed; and the
    sources of each run's gain, if measured.

    Parameters
    ----------
    runs : tidy errors [seed, amount, metric, value] by run name, ``data/method/classifier-hash``
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    named = {tuple(HASH.sub("", name).split("/", 1)): errors for name, errors in runs.items()}
    tables = list(dict.fromkeys(name[0] for name in named))
    lines = list(dict.fromkeys(name[-1] for name in named))
    figure = Figure(figsize=(13, 1.2 + 2.6 * len(tables)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    ratios = [1] * len(PANELS) + [0.5]
    axes = figure.subplots(len(tables), len(ratios), squeeze=False, width_ratios=ratios)
    for (table, *rest), errors in named.items():
        i = lines.index(rest[-1] if rest else table)
        for axis, metric in zip(axes[tables.index(table)][:-1], PANELS, strict=True):
            mean = errors[errors["metric"] == metric].groupby("amount")["value"].mean()
            style = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[(i + i // len(COLORS)) % len(MARKERS)]}
            axis.plot(mean.index, mean, **style, markersize=4, label=lines[i])
    for (table, classifier, metric), (_, level) in best_controls(named).items():
        axis, i = axes[tables.index(table)][list(PANELS).index(metric)], classifiers(named).index(classifier)
        label = f"best control of {classifier}" if len(classifiers(named)) > 1 else "best control"
        axis.axhline(level, color="0.35", linestyle=DASHES[i % len(DASHES)], linewidth=1.2, label=label)
    for table, row in zip(tables, axes, strict=True):
        row[0].set_ylabel(plain(table))
        here = {lines.index(rest[-1] if rest else t): errors for (t, *rest), errors in named.items() if t == table}
        gain_bars(row[-1], [(errors, COLORS[i % len(COLORS)]) for i, errors in sorted(here.items())])
        for axis, label in zip(row[:-1], PANELS.values(), strict=True):
            axis.set_title(label if table == tables[0] else "", fontsize=10)
            axis.grid(alpha=0.3)
            axis.set_xlabel("synthetic rows added" if table == tables[-1] else "")
    known = {text: handle for axis in axes.flat for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    columns = max(1, min(len(known), int(150 / (max(map(len, known), default=0) + 8))))
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    return figure


def classifiers(named: Mapping[tuple[str, ...], pd.DataFrame]) -> list[str]:
    """Classifiers of the runs, which are named (data, method/classifier)."""
    return list(dict.fromkeys(name[-1].rpartition("/")[2] for name in named))


def best_controls(named: Mapping[tuple[str, ...], pd.DataFrame]) -> dict[tuple[str, str, str], tuple[str, float]]:
    """The best control by (table, classifier, metric), with its mean over seeds."""
    best: dict[tuple[str, str, str], tuple[str, float]] = {}
    for (table, *rest), errors in named.items():
        classifier = (rest[-1] if rest else table).rpartition("/")[2]
        for metric, levels in control_means(errors).items():
            if metric not in PANELS:
                continue
            pick = max if higher_is_better(metric) else min
            here, place = pick(levels.items(), key=lambda item: item[1]), (table, classifier, metric)
            best[place] = pick(best.get(place, here), here, key=lambda item: item[1])
    return best
