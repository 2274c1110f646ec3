"""Rejecting rows that equal a train row or an earlier synthetic row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from opal.llm.rows import write
from opal.table import Column

Reject = bool | Literal["auto"]
COARSE = 10_000  # with fewer possible rows than this per train row, equal rows are expected


class Copies:
    """Remembers a group's rows and recognizes equal ones.

    Parameters
    ----------
    columns : the group's columns with their limits, in table order
    own : the group's train rows
    n_train : train rows in all
    reject_copies, reject_repeats : see :class:`opal.llm.rows.quota.Settings`
    """

    def __init__(
        self, columns: Sequence[Column], own: pd.DataFrame, n_train: int, reject_copies: Reject, reject_repeats: Reject
    ) -> None:
        self._columns, self._n_train = columns, n_train
        fine = self._fine(columns)
        self._copies = reject_copies if fine or reject_copies != "auto" else False
        self._repeats = reject_repeats if fine or reject_repeats != "auto" else False
        self._known = self._identities(own) if self._copies else set()
        self._made: set[tuple[str, ...]] = set()

    def refusal(self, row: Mapping[str, Any]) -> str:
        """The reason to refuse ``row``, or ""."""
        identity = self._identity(row)
        if identity in self._known and self._refused(self._copies, row):
            return "copy_of_train_row"
        return "repeat" if identity in self._made and self._refused(self._repeats, row) else ""

    def add(self, row: Mapping[str, Any]) -> None:
        """Remember a row that was kept."""
        self._made.add(self._identity(row))

    def _refused(self, reject: Reject, row: Mapping[str, Any]) -> bool:
        """Only cells that are not missing can distinguish rows."""
        return self._fine([c for c in self._columns if not pd.isna(row[c.name])]) if reject == "auto" else reject

    def _fine(self, columns: Sequence[Column]) -> bool:
        return _combinations(columns) >= COARSE * self._n_train

    def _identities(self, rows: pd.DataFrame) -> set[tuple[str, ...]]:
        """Those of all ``rows``, column by column: a group may have a million."""
        cells = ([write.cell(v, c, "csv") for v in rows[c.name].tolist()] for c in self._columns)
        return set(zip(*cells, strict=True))

    def _identity(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(write.cell(row[c.name], c, "csv") for c in self._columns)


def _combinations(columns: Sequence[Column]) -> float:
    """Number of different rows that are possible."""
    total = 1.0
    for c in columns:
        if c.nominal:
            total *= max(1, len(c.levels) + c.missing)
        elif not math.isnan(c.low):
            total *= 1 + (c.high - c.low) * 10**c.decimals + c.missing
    return total
