"""Tables as text that a language model reads and writes: csv, text ("col is value, ...") or json lines.

One row is always one line: text with line breaks, quotes at its start or unprintable characters is written as a
JSON string, so that whatever stands in a cell stays data and comes back as it was. As a command::

    python -m opal.llm.serialize to-text TABLE.csv --target y --style text > rows.txt
    python -m opal.llm.serialize to-table rows.txt --like TABLE.csv --target y --style text > copy.csv
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from opal.errors import DataError, OpalError
from opal.table import Column, Schema

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
    """``text`` as it is where that is unmistakable, else as a JSON string; in json always the latter."""
    if style == "csv":
        plain = text != "" and text == text.strip() and text.isprintable() and text[0] != '"'
    elif style == "text":
        words = text.lower().split(" ")
        plain = bool(_PLAIN_PHRASE.fullmatch(text)) and text.isprintable() and not {"is", "missing"} & set(words)
    else:
        plain = False
    return text if plain else json_string(text)


def json_string(text: str) -> str:
    """A JSON string that shows letters of every script but escapes what cannot be seen or encoded."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in shown)


def csv_line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def to_text(frame: pd.DataFrame, schema: Schema, style: Style) -> str:
    """A whole table as text, with a header line in csv."""
    head = [header(schema.columns)] if style == "csv" else []
    return "\n".join(head + lines(frame, schema.columns, style)) + "\n"


def to_table(text: str, schema: Schema, style: Style) -> pd.DataFrame:
    """The table that ``to_text`` wrote; a line that is no row of the schema raises DataError."""
    from opal.llm.parse import Parser  # parse builds on this module

    parser = Parser(schema.columns, style, check_range=False)
    rows = []
    body = text.split("\n")
    start = 1 if style == "csv" else 0
    for i, row in enumerate(body[start:], start + 1):
        if not row:
            continue
        found = parser.parse(row)
        if len(found) != 1 or found[0].values is None:
            reason = found[0].reason if found else "no row"
            raise DataError(f"line {i} is no row of this table ({reason}): {row[:80]!r}")
        rows.append(found[0].values)
    return schema.cast(pd.DataFrame(rows, columns=schema.names))


def main(argv: Sequence[str] | None = None) -> int:
    """The command: ``to-text`` and ``to-table``; errors are one sentence on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m opal.llm.serialize", description="Tables to text and back.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, what in (("to-text", "CSV table to convert"), ("to-table", "text to convert")):
        sub = verbs.add_parser(verb)
        sub.add_argument("file", type=Path, help=what)
        sub.add_argument("--target", required=True, help="name of the target column")
        sub.add_argument("--style", choices=get_args(Style), default="text")
        sub.add_argument("-o", "--out", type=Path, help="output file (default: the screen)")
        if verb == "to-table":
            sub.add_argument("--like", type=Path, required=True, help="CSV table with the same columns")
    args = parser.parse_args(argv)
    try:
        result = _convert(args)
    except (OpalError, OSError, ValueError) as error:
        print(f"opal.llm.serialize: {error}", file=sys.stderr)
        return 1
    if args.out:
        args.out.write_text(result, encoding="utf-8")
    else:
        sys.stdout.write(result)
    return 0


def _convert(args: argparse.Namespace) -> str:
    source = args.like if args.verb == "to-table" else args.file
    frame = pd.read_csv(source)
    if args.target not in frame.columns:
        raise DataError(f"--target {args.target!r} is no column; columns: {', '.join(map(str, frame.columns))}")
    schema = Schema.infer(frame, args.target)
    if args.verb == "to-text":
        return to_text(frame, schema, args.style)
    with args.file.open(encoding="utf-8", newline="") as handle:
        return to_table(handle.read(), schema, args.style).to_csv(index=False, lineterminator="\n")


if __name__ == "__main__":
    raise SystemExit(main())
