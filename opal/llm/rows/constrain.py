"""What an answer may look like: a group's columns with their limits, as a regular expression and a JSON schema."""

from __future__ import annotations

import math
import re
from calendar import month_name
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from opal.llm.api.messages import Constraint
from opal.llm.rows.write import MISSING, Style, csv_line, json_string, level_text, name
from opal.table import Column, Group, Schema

MOST_LEVELS = 1000
MONTHS = tuple(month_name)[1:]
# What every endpoint takes in a schema: values of one enumeration, of all, and characters of values and names together.
# Azure's limits (learn.microsoft.com, "Structured outputs"); OpenAI's are 1,000 values, 120,000 characters, and 15,000
# for an enumeration of over 250 values (developers.openai.com/api/docs/guides/structured-outputs); November 2026.
MOST_ENUM, MOST_ENUMS, MOST_CHARACTERS = 250, 500, 15_000
_DATE_PARTS = {
    "%d": "(0[1-9]|[12][0-9]|3[01])",
    "%-d": "([1-9]|[12][0-9]|3[01])",
    "%m": "(0[1-9]|1[0-2])",
    "%-m": "([1-9]|1[0-2])",
    "%y": "[0-9]{2}",
    "%H": "([01][0-9]|2[0-3])",
    "%-H": "([0-9]|1[0-9]|2[0-3])",
    "%I": "(0[1-9]|1[0-2])",
    "%-I": "([1-9]|1[0-2])",
    "%M": "[0-5][0-9]",
    "%S": "[0-5][0-9]",
    "%f": "[0-9]{6}",
    "%p": "(AM|PM)",
    "%z": r"\+00:00",
    "%b": f"({'|'.join(name[:3] for name in MONTHS)})",
    "%B": f"({'|'.join(MONTHS)})",
}
_META = set("\\.+*?()|[]{}^$")


def limits(schema: Schema, group: Group, widen: float) -> tuple[Column, ...]:
    """The columns as rows of ``group`` may fill them, in table order.

    Numbers may leave the train range by ``widen`` times its width on each side, but change sign only if train
    rows do: what is never negative there (an age, a count) stays so. Label and attribute are held to the group.
    """
    return tuple(_hold(_widen(c, widen), group) for c in schema.columns)


def held_to(columns: Sequence[Column], rows: pd.DataFrame) -> tuple[Column, ...]:
    """The columns, those with more than ``MOST_LEVELS`` levels held to the ones in ``rows``: a grammar has an end."""
    return tuple(
        c.learn(rows[c.name]) if c.nominal and len(c.levels) > MOST_LEVELS and len(rows) else c for c in columns
    )


def _widen(column: Column, factor: float) -> Column:
    if column.nominal or column.dates or math.isnan(column.low):
        return column
    low, high = column.low, column.high
    room = factor * (high - low)
    wider = (low - room if low < 0 else max(low - room, 0.0), high + room if high > 0 else min(high + room, 0.0))
    return replace(column, low=round(wider[0], column.decimals), high=round(wider[1], column.decimals))


def _hold(column: Column, group: Group) -> Column:
    if column.name == group.target:
        return replace(column, levels=(group.label,), missing=False)
    if column.name != group.column:
        return column
    above = isinstance(group.level, bool)  # the group is: value > 0, or not
    if column.nominal:
        kept = (v for v in column.levels if (_positive(v) == group.level if above else v == group.level))
        return replace(column, levels=tuple(kept), missing=column.missing and above and not group.level)
    if not above:
        level = float(group.level)  # type: ignore[arg-type]
        return replace(column, low=level, high=level, missing=False)
    if group.level:
        return replace(column, low=max(column.low, 10.0**-column.decimals), missing=False)
    return replace(column, high=min(column.high, 0.0))


def _positive(level: Any) -> bool:
    try:
        return float(level) > 0
    except (TypeError, ValueError):
        return False


def constraint(columns: Sequence[Column], style: Style, rows: int) -> Constraint:
    """``rows`` rows of ``columns``: a regular expression, for json a schema as well.

    The expression uses only syntax common to Rust's (LLGuidance), Python's and vLLM's dialects, without anchors,
    and holds no bare ``/``, so that it can stand between slashes in a grammar.
    """
    cells = [cell_regex(c, style) for c in columns]
    if style == "json":
        row = r"\{" + ", ".join(escape(name(c, style)) + ": " + t for c, t in zip(columns, cells, strict=True)) + r"\}"
        return Constraint(
            json_schema(columns, rows), rf"\{{{escape(json_string('rows'))}: \[{row}(, {row}){{{rows - 1}}}\]\}}"
        )
    row = ",".join(cells)
    if style == "text":
        row = ", ".join(escape(name(c, style)) + " is " + t for c, t in zip(columns, cells, strict=True)) + r"\."
    return Constraint(None, rf"({row}\n){{{rows}}}")


def cell_regex(column: Column, style: Style) -> str:
    """A regular expression for one cell, in parentheses where it has alternatives."""
    if column.nominal:
        options = [escape(_in_line(level_text(v, style), style)) for v in column.levels]
    elif math.isnan(column.low):
        options = []
    elif column.dates:
        options = [_date_regex(column, style)]
    else:
        options = [number_regex(column.low, column.high, column.decimals)]
    if column.missing or not options:
        options.append(escape(MISSING[style]))
    return options[0] if len(options) == 1 else "(" + "|".join(options) + ")"


def _date_regex(column: Column, style: Style) -> str:
    """Dates of the column's years in its format; the parser sees to the rest (30 February, the exact range)."""
    dates = column.dates
    assert dates is not None
    years = [dates.moments(pd.Series([bound])).dt.year.iloc[0] for bound in (column.low, column.high)]
    shapes = _DATE_PARTS | {"%Y": number_regex(years[0], years[1], 0)}
    parts = re.split(r"(%-?\w)", dates.directives)
    text = "".join(shapes[part] if part[:1] == "%" else escape(part) for part in parts)
    quoted = style != "csv" or "," in dates.directives
    return f'"{text}"' if quoted else text


def _in_line(text: str, style: Style) -> str:
    # an empty csv cell is quoted only where it stands alone, which no table's does
    return csv_line([text]) if style == "csv" and text else text


def json_schema(columns: Sequence[Column], rows: int) -> dict[str, Any]:
    """A strict JSON schema of ``{"rows": [...]}`` that refuses what the parser refuses.

    Dates, and levels too many for a schema, are left to the parser. Keywords: those that OpenAI, Gemini and vLLM know;
    what another endpoint refuses is left out once it has said so (`opal.llm.api.adaptation`).
    """
    listed = _listed(columns)
    item = {
        "type": "object",
        "properties": {c.name: _json_cell(c, c.name in listed) for c in columns},
        "required": [c.name for c in columns],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"rows": {"type": "array", "items": item, "minItems": rows, "maxItems": rows}},
        "required": ["rows"],
        "additionalProperties": False,
    }


def _listed(columns: Sequence[Column]) -> set[str]:
    """Names of the columns whose levels stand in the schema: those with the fewest, within the limits."""
    values, characters = 0, sum(len(c.name) for c in columns)
    listed = set()
    few = (c for c in columns if c.nominal and len(c.levels) <= MOST_ENUM)
    for column in sorted(few, key=lambda c: (len(c.levels), c.name)):
        values += len(column.levels) + column.missing
        characters += sum(len(str(v)) for v in column.levels)
        if values <= MOST_ENUMS and characters <= MOST_CHARACTERS:
            listed.add(column.name)
    return listed


def _json_cell(column: Column, listed: bool) -> dict[str, Any]:
    if column.nominal:
        levels: list[Any] = [v if isinstance(v, bool | int | float) else str(v) for v in column.levels]
        levels += [None] * (column.missing or not levels)
        kinds = sorted({_json_type(v) for v in levels})
        return {"type": kinds, "enum": levels} if listed else {"type": kinds}
    if math.isnan(column.low):
        return {"type": "null"}
    kind = "string" if column.dates else "number" if column.decimals else "integer"
    cell: dict[str, Any] = {"type": [kind, "null"] if column.missing else kind}
    if column.dates:
        return cell
    whole = not column.decimals
    low, high = (math.ceil(column.low), math.floor(column.high)) if whole else (column.low, column.high)
    return cell | {"minimum": low, "maximum": high}


def _json_type(value: Any) -> str:
    for kind, shown in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return shown
    return "null"


def escape(text: str) -> str:
    """``text`` as a regular expression that matches it alone."""
    return "".join(_escape(c) for c in text)


def _escape(char: str) -> str:
    if char in _META:
        return "\\" + char
    return f"\\x{ord(char):02X}" if char == "/" or ord(char) < 32 else char


def number_regex(low: float, high: float, decimals: int) -> str:
    """Exactly the numbers from ``low`` to ``high`` with ``decimals`` decimals, without leading zeros or "-0".

    A whole number of units of the last decimal is matched digit by digit: the share of one length between two
    bounds splits into a lower edge, a free middle and an upper edge.
    """
    first, last = round(low * 10**decimals), round(high * 10**decimals)
    options = []
    if first < 0:
        options += ["-" + r for r in _unsigned(max(1, -last), -first, decimals)]
    if last >= 0:
        options += _unsigned(max(first, 0), last, decimals)
    return options[0] if len(options) == 1 else "(" + "|".join(options) + ")"


def _unsigned(first: int, last: int, decimals: int) -> list[str]:
    """One expression for each count of digits."""
    shortest = decimals + 1
    options = []
    for length in range(len(str(first).zfill(shortest)), len(str(last).zfill(shortest)) + 1):
        lower = 0 if length == shortest else 10 ** (length - 1)
        a, b = max(first, lower), min(last, 10**length - 1)
        if a <= b:
            options.append(_span(str(a).zfill(length), str(b).zfill(length), decimals))
    return options


def _span(low: str, high: str, decimals: int) -> str:
    """Digit strings from ``low`` to ``high``, equally long, with the point before the last ``decimals``."""
    left = len(low)
    if left == 0:
        return ""
    point = r"\." if left == decimals else ""
    if set(low) == {"0"} and set(high) == {"9"}:
        if left > decimals > 0:
            return _digits(left - decimals) + r"\." + _digits(decimals)
        return point + _digits(left)
    if low[0] == high[0]:
        return point + low[0] + _span(low[1:], high[1:], decimals)
    rest = left - 1
    start, stop = int(low[0]), int(high[0])
    options = []
    if set(low[1:]) - {"0"}:
        options.append(low[0] + _span(low[1:], "9" * rest, decimals))
        start += 1
    edge = ""
    if set(high[1:]) - {"9"}:
        edge = high[0] + _span("0" * rest, high[1:], decimals)
        stop -= 1
    if start <= stop:
        digit = str(start) if start == stop else f"[{start}-{stop}]"
        options.append(digit + _span("0" * rest, "9" * rest, decimals))
    if edge:
        options.append(edge)
    return point + (options[0] if len(options) == 1 else "(" + "|".join(options) + ")")


def _digits(count: int) -> str:
    return "[0-9]" if count == 1 else f"[0-9]{{{count}}}"
