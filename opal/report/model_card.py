"""The card of a saved model: what it is, why, how it did, how to load it."""

from __future__ import annotations

from collections.abc import Sequence

import opal
from opal.data.outline import outline, range_of
from opal.evaluate.answer import Answer
from opal.table import Table


def model_card(table: Table, found: Answer, trained_on: int, folder: str, needs: str, notes: Sequence[str] = ()) -> str:
    """Markdown.

    Parameters
    ----------
    found : the answer that the model follows
    trained_on : rows, synthetic ones among them
    needs : the packages that it needs
    notes : remarks of the trial: contamination, licences, what was filled in
    """
    best = found.table.iloc[0]
    shown = [m for m in found.table.columns if m not in ("action", "rows", "validation", "seconds", "tokens", "money")]
    lines = [
        f"# {table.name}: {found.recommended.words}",
        "",
        f"Predicts `{table.schema.target}`. Fitted by OPAL {opal.__version__} on {trained_on:,} rows; the classifier "
        f"asked for was {found.classifier}. {outline(table)}.",
        "",
        "## Why this one",
        "",
        *(f"- {sentence}" for sentence in found.sentences),
        "",
        "## How good it is",
        "",
        "Means over the seeds' test rows, which chose nothing. The model itself was then fitted on the whole table.",
        "",
        "| measure | value |",
        "| --- | ---: |",
        *(f"| {m.replace('_', ' ')} | {best[m]:.4f} |" for m in shown if best[m] == best[m]),
        "",
        "## What it takes",
        "",
        "| column | kind | values seen |",
        "| --- | --- | --- |",
        *(f"| {_cell(c.name)} | {c.kind} | {_cell(range_of(c))} |" for c in table.schema.features),
        "",
        "## How to load it",
        "",
        "```python",
        "import mlflow",
        f'model = mlflow.pyfunc.load_model("{folder}")      # model.predict(rows)',
        f'model = mlflow.sklearn.load_model("{folder}")     # scikit-learn\'s own; predict_proba as well',
        "```",
        "",
        f"It needs {needs}.",
    ]
    if notes:
        lines += ["", "## Remarks", "", *(f"- {note}" for note in dict.fromkeys(notes))]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
