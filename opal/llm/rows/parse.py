"""From a model's answer to rows: lenient about form, strict about values, every reject with its reason.

Reasons: ``stray`` (a line that is not a row), ``cut`` (the unfinished last row), ``wrong_columns``,
``missing_value``, ``not_a_number``, ``unknown_category``, ``out_of_range``, ``wrong_label``; the generator adds
``copy_of_train_row`` and ``repeat``.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opal.llm.rows.cells import CellReader
from opal.llm.rows.write import Style, name
from opal.table import Column

_HEAD, _TAIL = re.compile(r"[+-]?[1-9][0-9]{0,2}"), re.compile(r"[0-9]{3}(?:\.[0-9]*)?")
_BULLET = re.compile(r"\s*(?:[-*\u2022]\s+|\(?[0-9]{1,4}[.):]\s+|(?:row|record|sample)\s*[0-9]*\s*[:.)-]\s*)", re.I)
_FENCE = re.compile(r"\s*(?:```|~~~)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_RULE = re.compile(r"[\s|:+-]+")
_MAX_JSON_FAILURES = 200  # each costs time; an answer with more of them is not JSON
_CUT = ("length", "content_filter")

Cells = Mapping[str, str | None]  # None: missing


@dataclass(frozen=True)
class Found:
    """A row found in an answer (``values``), or the reason why the text found is not a row (``reason``)."""

    values: dict[str, Any] | None
    reason: str = ""
    parsed: bool = False  # every value was readable, even if rejected


class Parser:
    """Reads rows of ``columns`` out of answers.

    Parameters
    ----------
    columns : the columns asked for, in order; ``low`` and ``high`` are the widest values accepted
    style : the serialization asked for; an answer in another one is understood too
    optional : columns that need not be there and are checked when they are (a label that was left out)
    labels : all classes of the target, by column name: another class than the group's is ``wrong_label``
    """

    def __init__(
        self,
        columns: Sequence[Column],
        style: Style,
        optional: Sequence[Column] = (),
        labels: Mapping[str, Sequence[Hashable]] | None = None,
        check_range: bool = True,
    ) -> None:
        self.style = style
        self.required = [c.name for c in columns]
        self._cells = {
            c.name: CellReader(c, style, (labels or {}).get(c.name, ()), check_range) for c in (*columns, *optional)
        }
        self._folded = {n.casefold(): n for n in reversed(self._cells)}
        shown = {name(c, s): c.name for c in (*optional, *columns) for s in ("csv", "text")}
        self._shown = shown
        names = "|".join(re.escape(n) for n in sorted(shown, key=len, reverse=True))
        self._anchor = re.compile(rf"(?:^|[,.;:)*-])\s*({names})\s+is(?:\s+|$)")

    def parse(self, text: str, finish: str = "stop") -> list[Found]:
        """Every row and every reject in ``text``, in order; never raises."""
        text = text.removeprefix("\ufeff")
        cut = finish in _CUT
        if self.style == "json":
            return self._from_json(text, cut) or self._from_lines(text, cut)
        found = self._from_lines(text, cut)
        if not any(f.parsed for f in found) and ("{" in text or "[" in text):
            return self._from_json(text, cut) or found
        return found

    # lines: csv, "col is value", markdown tables

    def _from_lines(self, text: str, cut: bool) -> list[Found]:
        order = self.required
        found: list[Found] = []
        rows = re.split(r"\r\n|\n|\r", text)
        unfinished = len(rows) - 1 if cut and rows[-1].strip() else -1
        for i, row in enumerate(rows):
            if not row.strip() and (len(self.required) > 1 or i == len(rows) - 1):
                continue
            if i == unfinished:
                *whole, _ = self._from_line(row, order) or [_STRAY]
                found += [*whole, Found(None, "cut")]
                continue
            results = self._from_line(row, order)
            if results and all(f.values is None for f in results):
                bare = _BULLET.sub("", row, count=1)
                if bare != row:
                    again = self._from_line(bare, order)
                    results = again if any(f.parsed for f in again) else results
                if not any(f.parsed for f in results):
                    if _FENCE.match(row) or _RULE.fullmatch(row):
                        continue
                    if (named := self._header(bare)) is not None:
                        order = named
                        continue
            found += results
        return found

    def _from_line(self, row: str, order: Sequence[str]) -> list[Found]:
        """The rows on one line; several only in the form "col is value, ... . col is value, ..."."""
        if self.style == "csv":
            result = self._from_csv(row, order)
            if result.parsed or not self._anchor.search(row):
                return [result]
        records = self._text_records(row)
        if records:
            return [self._check(r) for r in records]
        return [self._from_csv(row, order)]

    def _from_csv(self, row: str, order: Sequence[str]) -> Found:
        cells = _split_csv(row)
        if len(cells) != len(order):
            for other in ("\t", ";", "|"):
                again = _split_csv(row.strip().strip("|") if other == "|" else row, other)
                if len(again) == len(order) > 1:
                    cells = again
                    break
        if len(cells) > len(order) and (whole := self._join_thousands(cells, order)) is not None:
            return whole
        if len(cells) != len(order):
            looks_like_row = len(cells) > 1 and any(ch.isdigit() for ch in row)
            return Found(None, "wrong_columns") if looks_like_row else _STRAY
        return self._check(dict(zip(order, cells, strict=True)))

    def _join_thousands(self, cells: list[str], order: Sequence[str]) -> Found | None:
        """The row if joining pairs such as ``265,000.0`` gives exactly one that is valid, else None."""
        pairs = [i for i in range(len(cells) - 1) if _HEAD.fullmatch(cells[i]) and _TAIL.fullmatch(cells[i + 1])]
        extra = len(cells) - len(order)
        if not extra <= len(pairs) <= 6:  # with more of them nothing is certain
            return None
        valid = []
        for joined in itertools.combinations(pairs, extra):
            merged: list[str] = []
            for i, text in enumerate(cells):
                if i - 1 in joined:
                    merged[-1] += text
                else:
                    merged.append(text)
            found = self._check(dict(zip(order, merged, strict=True)))
            valid += [found] * (found.values is not None)
        return valid[0] if len(valid) == 1 else None

    def _header(self, row: str) -> list[str] | None:
        """The column names in ``row``'s order if it is a header of all required columns, else None."""
        for delimiter in (",", "\t", ";", "|"):
            cells = _split_csv(row.strip().strip("|") if delimiter == "|" else row, delimiter)
            named = [self._shown.get(c) or self._folded.get(c.strip().casefold()) for c in cells]
            if None not in named and len(set(named)) == len(named) and set(self.required) <= set(named):
                return [n for n in named if n is not None]
        return None

    def _text_records(self, row: str) -> list[dict[str, str]]:
        records: list[dict[str, str]] = []
        match = self._anchor.search(row)
        while match:
            column, start = self._shown[match.group(1)], match.end()
            quoted = _QUOTED.match(row, start)
            following = self._anchor.search(row, quoted.end() if quoted else start)
            value = row[start : following.start() if following else len(row)].strip()
            if not records or column in records[-1]:
                records.append({})
            records[-1][column] = value if value == "." else value.removesuffix(".").rstrip()
            match = following
        return records

    # JSON: objects, arrays, lines, or any of them inside prose

    def _from_json(self, text: str, cut: bool) -> list[Found]:
        found: list[Found] = []
        decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
        at, failures, broken = 0, 0, False
        opening = re.compile(r"[{\[]")
        while failures < _MAX_JSON_FAILURES and (match := opening.search(text, at)):
            try:
                value, at = decoder.raw_decode(text, match.start())
            except (ValueError, RecursionError):
                failures, at, broken = failures + 1, match.start() + 1, True
                continue
            records = list(self._json_records(value))
            found += records
            broken = broken and not records
        if cut and (found or failures) and not text.rstrip().endswith(("}", "]")):
            found.append(Found(None, "cut"))
        return found

    def _json_records(self, value: Any, depth: int = 0) -> Iterator[Found]:
        if depth > 20:
            return
        if isinstance(value, dict):
            if any(self._known(k) for k in value):
                yield self._check_json(value)
            else:
                for inner in value.values():
                    yield from self._json_records(inner, depth + 1)
        elif isinstance(value, list):
            if value and not any(isinstance(v, dict | list) for v in value):
                if len(value) == len(self.required):
                    yield self._check_json(dict(zip(self.required, value, strict=True)))
                else:
                    yield Found(None, "wrong_columns")
            else:
                for inner in value:
                    yield from self._json_records(inner, depth + 1)

    def _known(self, key: str) -> str | None:
        return key if key in self._cells else self._folded.get(key.strip().casefold())

    def _check_json(self, record: Mapping[str, Any]) -> Found:
        cells: dict[str, str | None] = {}
        for key, value in record.items():
            column = self._known(key)
            if column is None or column in cells or isinstance(value, dict | list):
                return Found(None, "wrong_columns")
            cells[column] = None if value is None else str(value)
        return self._check(cells, raw=True)

    def _check(self, cells: Cells, raw: bool = False) -> Found:
        if not set(self.required) <= set(cells):
            return Found(None, "wrong_columns")
        values: dict[str, Any] = {}
        refused = ""
        for column, text in cells.items():
            value, reason = self._cells[column].read(text, raw)
            if reason in ("out_of_range", "wrong_label"):
                refused = refused or reason
            elif reason:
                return Found(None, reason)
            values[column] = value
        return Found(None if refused else values, refused, parsed=True)


_STRAY = Found(None, "stray")


def _split_csv(row: str, delimiter: str = ",") -> list[str]:
    try:
        return next(csv.reader([row], delimiter=delimiter, skipinitialspace=True), [""])
    except csv.Error:  # a field longer than csv takes
        return []
