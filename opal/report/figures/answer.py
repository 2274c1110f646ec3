"""The figure of one answer: what each action reaches on test rows."""

from __future__ import annotations

from typing import Any

from opal.evaluate.answer import Answer
from opal.evaluate.metrics import BY_NAME
from opal.report.figures.run import COLORS, plain
from opal.report.figures.style import new_figure


def answer_figure(found: Answer) -> Any:
    """A bar for each action, the recommended one in colour; None where the measure has no values on test rows."""
    table = found.table
    if found.measure not in table:
        return None
    known = table[table[found.measure].notna()].iloc[::-1]  # the first at the top
    marked = [words == found.recommended.words for words in known["action"]]
    figure = new_figure(8, 0.8 + 0.32 * len(known))
    axis = figure.subplots()
    bars = axis.barh(
        [plain(str(words)) for words in known["action"]],
        known[found.measure],
        color=[COLORS[0] if mark else "0.75" for mark in marked],
    )
    axis.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
    axis.set_xlabel(f"{BY_NAME[found.measure].words} on test rows, mean of seeds")
    axis.set_title(plain(f"{found.data}, {found.classifier}"), fontsize=10)
    axis.margins(x=0.12)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return figure
