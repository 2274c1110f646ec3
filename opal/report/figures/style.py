"""What the figures of a comparison share: size, line styles, one legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opal.report.figures.run import COLORS, DASHES, MARKERS


def new_figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")  # no pyplot: no state shared between threads


def style_of(i: int) -> dict[str, Any]:
    dash = "-" if i == 0 else DASHES[(i - 1) % len(DASHES)]
    return {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)], "linestyle": dash, "markersize": 4}


def shared_legend(figure: Any, axes: Sequence[Any]) -> None:
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=min(len(found), 5) or 1, frameon=False
    )
