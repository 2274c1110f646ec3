"""Results in a notebook: a table, what it says, and a figure inside the page."""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pandas as pd

from opal.evaluate.metrics import BY_NAME, names

if TYPE_CHECKING:
    from opal.evaluate.answer import Answer
    from opal.result import TrialResult

DPI, COLORS = 70, 64  # some 15 kB a figure: notebooks are kept with their outputs


def result_html(result: TrialResult) -> str:
    """Mean errors against the rows added, the conclusions, and the curves."""
    from opal.report.figures.run import drawing

    errors = result.errors[result.errors["metric"].isin(names("drawn"))]
    means = errors.pivot_table(index="amount", columns="metric", values="value", sort=False)
    means = means[[name for name in names("drawn") if name in means]].rename(columns=lambda n: BY_NAME[n].words)
    table = means.rename_axis(index="synthetic rows", columns=None).reset_index()
    seeds = len(result.rows)
    alt = f"Curves of {', '.join(means)} against synthetic rows added, {seeds} seeds, controls as dashed lines"
    with drawing(result.errors, f"mean of {seeds} seeds") as figure:
        picture = image(figure, alt)
    said = [*result.conclusions, *(f"WARNING: {warning}" for warning in result.warnings)]
    return page(table.to_html(index=False, float_format="{:.4f}".format, border=0), said, picture)


def answer_html(found: Answer) -> str:
    """What to do, the table of all actions, and their errors as a figure."""
    from opal.report.answer import recipe, rows_of
    from opal.report.figures.answer import answer_figure

    head, rows = rows_of(found)
    table = pd.DataFrame(rows, columns=head).to_html(index=False, border=0)
    done, words = found.recommended, BY_NAME[found.measure].words
    figure = answer_figure(found)
    alt = f"Mean {words} on test rows of each action, the recommended one, {done.words}, marked"
    picture = image(figure, alt) if figure else ""
    line = recipe(found)
    return page(table, found.sentences, (f"<pre>{escape(line)}</pre>" if line else "") + picture)


def page(table: str, said: list[str], below: str) -> str:
    """One block without empty lines, which would end it where Markdown holds it."""
    told = "".join(f"<p>{escape(' '.join(sentence.split()))}</p>" for sentence in said)
    return "\n".join(line for line in f"<div>{table}{told}{below}</div>".splitlines() if line.strip())


def image(figure: Any, alt: str) -> str:
    """The figure inside the page, as PNG of few colours."""
    from PIL import Image

    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(COLORS).save(small, format="png", optimize=True)
    content = base64.b64encode(small.getvalue()).decode()
    return f'<img src="data:image/png;base64,{content}" alt="{escape(alt)}" style="max-width: 100%">'
