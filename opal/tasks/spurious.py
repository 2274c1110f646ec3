"""task=spurious: an attribute agrees with the label in most rows, and disagrees in few."""

from __future__ import annotations

from typing import Any

from opal.errors import ConfigError
from opal.table import Group, Table
from opal.tasks.base import Task, attribute_levels


class Spurious(Task):
    """Groups are attribute x label; where the two agree is the majority, where they differ the minority.

    Parameters
    ----------
    majority_rows, minority_rows : train rows of each majority / minority group; None takes the table's own
        sizes, else every row that is left
    """

    name = "spurious"
    _mend = "majority_rows, task.minority_rows or task.test_rows"

    def __init__(self, majority_rows: int | None = None, minority_rows: int | None = None, **common: Any) -> None:
        super().__init__({"majority_rows": majority_rows, "minority_rows": minority_rows}, **common)

    def _groups(self, table: Table) -> tuple[Group, ...]:
        column, labels = table.group, table.schema.labels
        if column is None:
            raise ConfigError(f"task=spurious needs data.group, the attribute's column; data={table.name} names none")
        if len(labels) != 2:
            raise ConfigError(f"task=spurious needs two classes; {table.schema.target!r} has {len(labels)}")
        return tuple(
            Group(table.schema.target, label, i != j, column, level)
            for i, label in enumerate(labels)
            for j, level in enumerate(attribute_levels(table, column))
        )

    def _wanted(self, table: Table, groups: tuple[Group, ...], left: list[int]) -> list[int]:
        sizes = {flag: self._size(f"{name}_rows", table) for flag, name in ((True, "minority"), (False, "majority"))}
        return [sizes[g.minority] or n for g, n in zip(groups, left, strict=True)]
