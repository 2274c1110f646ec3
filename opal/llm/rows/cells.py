"""One cell of an answer to a value of its column, or the reason why not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Sequence
from typing import Any

from opal.dates import DateFormat
from opal.llm.rows.write import MISSING, Style, plain_text
from opal.table import Column

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:([,'\u2019\u00a0\u202f ])[0-9]{3})(?:\1[0-9]{3})*(?:\.[0-9]*)?", re.ASCII)
_MISSING_WORDS = {"", "nan", "na", "n/a", "null", "none", "missing", "?"}


class CellReader:
    """Reads the cells of one column."""

    def __init__(self, column: Column, style: Style, labels: Sequence[Hashable], check_range: bool) -> None:
        self.column, self.missing_word, self.check_range = column, MISSING[style], check_range
        self.allowed = set(column.levels)
        self.levels: dict[str, Hashable] = {}
        self.folded: dict[str, Hashable | None] = {}
        for level in dict.fromkeys((*column.levels, *labels)):
            text = plain_text(level)
            self.levels.setdefault(text, level)
            fold = text.strip().casefold()  # None marks a form that two levels share
            self.folded[fold] = None if fold in self.folded else level

    def read(self, text: str | None, raw: bool) -> tuple[Any, str]:
        """The value, or a reason; ``raw`` means that JSON quoting is already undone."""
        if text is None or (not raw and text == self.missing_word and self.column.missing):
            return self._missing()
        if not raw and text.startswith('"') and (inner := _unquote(text)) is not None:
            if self.column.nominal and inner in self.levels:
                return self._level(self.levels[inner])
            text = inner if not self.column.nominal else text
        return self._nominal(text) if self.column.nominal else self._numeric(text)

    def _number_of(self, text: str) -> int | float | None:
        """The number that stands in a cell; a date's where the column holds dates, also in ISO form."""
        if not self.column.dates:
            return number_of(text)
        found = self.column.dates.number(text)
        iso = "%Y-%m-%dT%H:%M:%S" if self.column.dates.timed else "%Y-%m-%d"
        return found if found is not None or not self.column.dates.dated else DateFormat(iso).number(text)

    def _missing(self) -> tuple[Any, str]:
        return (math.nan, "") if self.column.missing else (None, "missing_value")

    def _level(self, level: Hashable) -> tuple[Any, str]:
        return (level, "") if level in self.allowed else (level, "wrong_label")

    def _nominal(self, text: str) -> tuple[Any, str]:
        if text in self.levels:
            return self._level(self.levels[text])
        bare = text.strip().strip("\"'").strip()
        level = self.folded.get(bare.casefold())
        if level is None and (number := number_of(bare)) is not None:
            level = self.levels.get(plain_text(number))
            if isinstance(level, str):
                level = None
        if level is not None:
            return self._level(level)
        if bare.lower() in _MISSING_WORDS:
            return self._missing()
        return None, "unknown_category"

    def _numeric(self, text: str) -> tuple[Any, str]:
        bare = text.strip().strip("\"'").strip()
        if bare.lower() in _MISSING_WORDS:
            return self._missing()
        value = self._number_of(bare)
        if value is None:
            return None, "not_a_date" if self.column.dates else "not_a_number"
        if isinstance(value, float):
            value = round(value, self.column.decimals) + 0.0  # + 0.0: no negative zero
        if self.check_range and not self.column.low <= value <= self.column.high:
            return value, "out_of_range"
        return value, ""


def number_of(text: str) -> int | float | None:
    if _THOUSANDS.fullmatch(text):
        text = re.sub(r"[^0-9.+-]", "", text)
    text = text.replace("\u2212", "-")
    if len(text) > 400 or not _NUMBER.fullmatch(text):
        return None
    if text.lstrip("+-").isdigit():
        whole = int(text)
        return whole if abs(whole) < 10**300 else None
    value = float(text)
    return value if math.isfinite(value) else None


def _unquote(text: str) -> str | None:
    try:
        inner = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return inner if isinstance(inner, str) else None
