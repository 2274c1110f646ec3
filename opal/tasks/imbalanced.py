"""task=imbalanced: one class, or several, are short of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from opal.table import Group, Table
from opal.tasks.base import Task, class_groups


class Imbalanced(Task):
    """Train rows with a chosen minority share.

    Parameters
    ----------
    train_rows : rows of train; None takes the table's own size, else all that the share allows
    minority_share : minority rows / train rows; None takes the table's own, else the natural share
    """

    name = "imbalanced"

    def __init__(self, train_rows: int | None = None, minority_share: float | None = None, **common: Any) -> None:
        super().__init__({"train_rows": train_rows, "minority_share": minority_share}, **common)

    def _groups(self, table: Table) -> tuple[Group, ...]:
        return class_groups(table)

    def _wanted(self, table: Table, groups: tuple[Group, ...], left: list[int]) -> list[int]:
        is_minority = np.array([g.minority for g in groups])
        counts = np.array(left)
        few, many = int(counts[is_minority].sum()), int(counts[~is_minority].sum())
        share = self._size("minority_share", table) or few / max(few + many, 1)
        most = min(few / share, many / (1 - share)) if 0 < share < 1 else 0  # 0: a side has no row left
        rows = self._size("train_rows", table) or int(most)
        n_minority = round(rows * share)
        # classes of a side keep their natural proportions, whole rows by largest remainder
        exact = np.where(is_minority, n_minority * counts / max(few, 1), (rows - n_minority) * counts / max(many, 1))
        wanted = np.floor(exact + 1e-9).astype(int)
        for i in np.argsort(wanted - exact, kind="stable")[: rows - int(wanted.sum())]:
            wanted[i] += 1
        return wanted.tolist()
