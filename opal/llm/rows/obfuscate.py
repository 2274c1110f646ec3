"""A disguise for tables that a model may know: other names, coded categories, shifted and scaled numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from opal.table import Column, Schema


@dataclass(frozen=True)
class _Mask:
    """One column's disguise: ``codes`` (original level to code), or ``scale * value + shift``."""

    name: str
    codes: Mapping[Any, str]
    scale: int = 1
    shift: float = 0.0


class Disguise:
    """Disguises columns and rows so that their origin cannot be recognized, and reverses it for rows.

    Scales are whole numbers, so that a disguised number has as many decimals as its original and comes back
    exactly. Drawn from ``seed`` and the train columns alone.
    """

    def __init__(self, schema: Schema, seed: int) -> None:
        rng = np.random.default_rng([abs(seed), 2])  # 2: another stream than the split's and the method's
        self._masks: dict[str, _Mask] = {}
        numbers = iter(range(1, len(schema.columns) + 1))
        for c in schema.columns:
            shown = "y" if c.name == schema.target else f"x{next(numbers)}"
            if c.nominal:
                places = rng.permutation(len(c.levels))
                self._masks[c.name] = _Mask(shown, {v: _code(int(i)) for v, i in zip(c.levels, places, strict=True)})
            else:
                low = 0.0 if math.isnan(c.low) else c.low
                scale, start = int(rng.integers(2, 4)), int(rng.integers(10, 60))
                self._masks[c.name] = _Mask(shown, {}, scale, round(start - scale * low, c.decimals))

    def column(self, column: Column) -> Column:
        """The disguised column; ``levels``, ``low`` and ``high`` go with it, the description does not."""
        mask = self._masks[column.name]
        if column.nominal:
            levels = tuple(mask.codes[v] for v in column.levels)
            return replace(column, name=mask.name, kind="categorical", dtype="str", levels=levels, description="")
        low, high = (round(mask.scale * v + mask.shift, column.decimals) for v in (column.low, column.high))
        kind = "integer" if column.kind == "date" else column.kind
        return replace(column, name=mask.name, kind=kind, dtype="float64", low=low, high=high, description="")

    def rows(self, frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
        """``frame`` disguised."""
        out: dict[str, Any] = {}
        for c in schema.columns:
            mask, values = self._masks[c.name], frame[c.name].tolist()
            if c.nominal:
                out[mask.name] = [math.nan if pd.isna(v) else mask.codes[v] for v in values]
            else:
                out[mask.name] = [round(mask.scale * v + mask.shift, c.decimals) for v in values]
        return pd.DataFrame(out, index=frame.index)

    def undo(self, values: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
        """The original of a disguised row (``{disguised name: value}``)."""
        out: dict[str, Any] = {}
        for c in schema.columns:
            mask = self._masks[c.name]
            if mask.name not in values:
                continue
            value = values[mask.name]
            if pd.isna(value):
                out[c.name] = math.nan
            elif c.nominal:
                out[c.name] = next(v for v, code in mask.codes.items() if code == value)
            else:
                plain = round((value - mask.shift) / mask.scale, c.decimals) + 0.0
                out[c.name] = int(plain) if c.decimals == 0 else plain
        return out


def _code(place: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    letters = ""
    place += 1
    while place:
        place, last = divmod(place - 1, 26)
        letters = chr(ord("A") + last) + letters
    return letters
