"""Which cells of a group's new rows are missing: the patterns of its train rows, in turn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from opal.table import Column

AHEAD = 10  # patterns among which a row with gaps of its own is fitted in


class Gaps:
    """Assigns the missing patterns of train rows to new rows, each once before any is repeated.

    A model fills every cell, and those that are missing in the train row whose turn it is are emptied: columns are
    missing as often, and as often together, as in train. Left to themselves, small models leave too few cells empty.

    Parameters
    ----------
    rows : the group's train rows, shape (n_rows, n_columns)
    seed : of the order in which their patterns come
    """

    def __init__(self, rows: pd.DataFrame, seed: int) -> None:
        self._names = list(rows.columns)
        self._missing = rows.isna().to_numpy()
        self._rng = np.random.default_rng(seed)
        self._next: list[int] = []

    def fit(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """``row`` with the next pattern; None if it has gaps that none of the next ``AHEAD`` patterns has."""
        if not self._missing.any():
            return None if any(map(pd.isna, row.values())) else dict(row)
        while len(self._next) < AHEAD:
            self._next += self._rng.permutation(len(self._missing)).tolist()
        own = np.array([pd.isna(row[name]) for name in self._names])
        for place, of in enumerate(self._next[:AHEAD]):
            if not (own & ~self._missing[of]).any():
                del self._next[place]
                return {n: math.nan if gone else row[n] for n, gone in zip(self._names, self._missing[of], strict=True)}
        return None


def filled(columns: Sequence[Column], rows: pd.DataFrame) -> tuple[Column, ...]:
    """The columns as a model is to fill them: nowhere missing, and always where all of ``rows`` are."""
    empty = {c.name for c in columns if len(rows) and rows[c.name].isna().all()}
    return tuple(
        replace(c, levels=(), low=math.nan, high=math.nan, missing=True)
        if c.name in empty
        else replace(c, missing=False)
        for c in columns
    )
