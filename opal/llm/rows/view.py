"""A group's table as a model sees it: columns in the order shown, disguised if wanted, and the reverse."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from opal.llm.rows.constrain import limits
from opal.llm.rows.obfuscate import Disguise
from opal.llm.rows.prompt import Prompt
from opal.llm.rows.write import level_text, word
from opal.table import Column, Group, Schema, Train

MOST = 0.75  # of a column's train values


class View:
    """What the prompt shows of a group and what its parser expects.

    Attributes
    ----------
    columns : the group's columns with their limits, in table order, as they are
    shown, hidden : columns of the prompt in order, and those left out, in the model's eyes
    labels : all levels of the target and of the group's attribute, by name, in the model's eyes
    target, group : their names, in the model's eyes
    """

    def __init__(self, train: Train, group: Group, prompt: Prompt, widen: float, disguise: Disguise | None) -> None:
        self._schema, self._disguise = train.schema, disguise
        self.columns = limits(train.schema if disguise else _usual(train, group), group, widen)
        seen = {c.name: self._see(c) for c in self.columns}
        mask = Group(seen[group.target].name, seen[group.target].levels[0], group.minority)
        if group.column is not None:
            attribute = seen[group.column]
            if disguise is None:
                mask = group
            elif attribute.nominal and len(attribute.levels) == 1:  # a rule (column > 0) has no disguised form
                mask = Group(mask.target, mask.label, mask.minority, attribute.name, attribute.levels[0])
        self.shown, self.hidden = prompt.layout(list(seen.values()), mask)
        self.target, self.group = mask.target, _named(mask)
        told = (group.target, group.column)
        self.labels: Mapping[str, Sequence[Hashable]] = {
            c.name: c.levels for c in map(self._see, (train.schema[n] for n in told if n is not None))
        }

    def _see(self, column: Column) -> Column:
        return self._disguise.column(column) if self._disguise else column

    def see(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Train rows as the model sees them."""
        return self._disguise.rows(rows, self._schema) if self._disguise else rows

    def original(self, values: dict[str, Any]) -> dict[str, Any]:
        """A row from the model as a row of the table, with hidden columns added back."""
        row = self._disguise.undo(values, self._schema) if self._disguise else values
        return {c.name: row[c.name] if c.name in row else c.levels[0] for c in self.columns}


def _usual(train: Train, group: Group) -> Schema:
    """The schema with the decimals that most train values have, where a table has a few with more.

    An imputed mean of 263358.03 among whole thousands makes every other value longer (226000.00) and invites the
    model to invent digits. The unit of the last decimal stays below a twentieth of the column's range.
    """
    columns = []
    for column in train.schema.columns:
        if column.kind == "real" and column.name != group.column:
            values = train.frame[column.name].dropna().to_numpy(dtype=float)
            for decimals in range(column.decimals if len(values) else 0):
                as_written = np.isclose(np.round(values, decimals), values, rtol=0, atol=10.0 ** -(column.decimals + 2))
                if as_written.mean() >= MOST and 20 * 10.0**-decimals <= column.high - column.low:
                    column = replace(column, decimals=decimals)
                    break
        columns.append(column)
    return replace(train.schema, columns=tuple(columns))


def _named(group: Group) -> str:
    """``gender = 0``, ``class = 1, skin > 0``: a group's name in prompts; anything but plain words is quoted."""
    text = f"{word(group.target, 'text')} = {level_text(group.label, 'text')}"
    if group.column is None:
        return text
    column = word(group.column, "text")
    if isinstance(group.level, bool):
        return f"{text}, {column} {'>' if group.level else '='} 0"
    return f"{text}, {column} = {level_text(group.level, 'text')}"
