"""The panel that says where a method's gain comes from: one stacked bar for each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from opal.evaluate.gain import sources
from opal.evaluate.metrics import BY_NAME


def gain_bars(axis: Any, runs: Sequence[tuple[pd.DataFrame, str]]) -> bool:
    """Draw, for each run, what a moved threshold gains without rows (pale) and, on top, what its rows add (solid).

    The whisker is the interval of the second part. Bars that point down are losses.

    Parameters
    ----------
    runs : tidy errors [seed, amount, metric, value] and colour

    Returns
    -------
    Whether there was anything to draw
    """
    found = [(x, sources(errors), color) for x, (errors, color) in enumerate(runs)]
    known = [(x, parts, color) for x, parts, color in found if parts is not None]
    axis.set_visible(bool(known))
    for x, parts, color in known:
        free, rows = -parts.threshold.difference, -parts.information.difference
        axis.bar(x, free, 0.8, color=color, alpha=0.3, label="gain of a moved threshold, free")
        axis.bar(x, rows, 0.5, bottom=free, color=color, label="gain of the rows beyond it, 95 % interval")
        low, high = free - parts.information.high, free - parts.information.low
        axis.plot([x, x], [low, high], color="black", linewidth=1)
        axis.set_title("gain in\n" + BY_NAME[parts.measure].words, fontsize=9, y=1.0)
    if known:
        axis.axhline(0, color="0.4", linewidth=0.8)
        axis.set_xlim(-0.7, len(runs) - 0.3)
        axis.set_xticks([])
    return bool(known)
