"""Rows as text that a language model reads and writes: csv, text ("col is value, ...") or json lines.

One row is always one line: text with line breaks, quotes at its start or unprintable characters is written as a
JSON string, so that whatever stands in a cell stays data and is read back unchanged (:mod:`opal.llm.rows.parse`).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from opal.table import Column

Style = Literal["csv", "text", "json"]
MISSING: dict[Style, str] = {"csv": "", "text": "missing", "json": "null"}
_PLAIN_PHRASE = re.compile(r"[\w+/%<>=_-]+(?: [\w+/%<>=_-]+)*")


def header(columns: Sequence[Column]) -> str:
    """The csv header line: the names, quoted where they need it."""
    return csv_line([word(c.name, "csv") for c in columns])


def lines(frame: pd.DataFrame, columns: Sequence[Column], style: Style) -> list[str]:
    """``frame``'s rows, one line each, without a header."""
    cells = [[cell(v, c, style) for v in frame[c.name].tolist()] for c in columns]
    return [line(row, columns, style) for row in zip(*cells, strict=True)]


def line(cells: Sequence[str], columns: Sequence[Column], style: Style) -> str:
    """Cells of one row, already in ``style``'s form, as a line."""
    if style == "csv":
        return csv_line(cells)
    if style == "text":
        return ", ".join(f"{name(c, style)} is {text}" for c, text in zip(columns, cells, strict=True)) + "."
    return "{" + ", ".join(f"{name(c, style)}: {t}" for c, t in zip(columns, cells, strict=True)) + "}"


def name(column: Column, style: Style) -> str:
    """A column's name as it stands in a row (text, json) or in the header (csv)."""
    return word(column.name, style)


def cell(value: Any, column: Column, style: Style) -> str:
    """One value: numbers with the column's decimals, names quoted only where needed, missing values marked."""
    if pd.isna(value):
        return MISSING[style]
    if column.nominal:
        return level_text(value, style)
    if column.dates:
        return json_string(column.dates.write(value)) if style != "csv" else column.dates.write(value)
    return number(value, column.decimals)


def number(value: Any, decimals: int) -> str:
    """A number with fixed decimals and no negative zero."""
    if decimals == 0:
        return str(int(value) if isinstance(value, int | np.integer) else round(float(value)))
    text = f"{float(value):.{decimals}f}"
    return text if text.strip("-0.") else text.lstrip("-")


def level_text(level: Hashable, style: Style) -> str:
    """A level of a nominal column as it stands in a row."""
    text = plain_text(level)
    if isinstance(level, str) or not isinstance(level, bool | int | float | np.generic):
        return word(text, style)
    return text.lower() if style == "json" and text in ("True", "False") else text


def plain_text(level: Hashable) -> str:
    """A level as bare text: whole floats without their decimals."""
    if isinstance(level, np.generic):
        level = level.item()
    if isinstance(level, float):
        return str(int(level)) if level.is_integer() else repr(level)
    return str(level)


def word(text: str, style: Style) -> str:
    """``text`` as it is where that is unambiguous, else as a JSON string; in json always the latter."""
    if style == "csv":
        plain = text != "" and text == text.strip() and text.isprintable() and text[0] != '"'
    elif style == "text":
        words = text.lower().split(" ")
        plain = bool(_PLAIN_PHRASE.fullmatch(text)) and text.isprintable() and not {"is", "missing"} & set(words)
    else:
        plain = False
    return text if plain else json_string(text)


def json_string(text: str) -> str:
    """A JSON string that keeps letters of every script but escapes what is invisible or cannot be encoded."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in shown)


def csv_line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()
