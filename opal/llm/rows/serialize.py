"""A whole table as text, and back; as a command::

python -m opal.llm.rows.serialize to-text TABLE.csv --target y --style text > rows.txt
python -m opal.llm.rows.serialize to-table rows.txt --like TABLE.csv --target y --style text > copy.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pandas as pd

from opal.errors import DataError, OpalError
from opal.llm.rows.parse import Parser
from opal.llm.rows.write import Style, header, lines
from opal.table import Schema


def to_text(frame: pd.DataFrame, schema: Schema, style: Style) -> str:
    """A whole table as text, with a header line in csv."""
    head = [header(schema.columns)] if style == "csv" else []
    return "\n".join(head + lines(frame, schema.columns, style)) + "\n"


def to_table(text: str, schema: Schema, style: Style) -> pd.DataFrame:
    """The table that ``to_text`` wrote; a line that is not a row of the schema raises DataError."""
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
            raise DataError(f"line {i} is not a row of this table ({reason}): {row[:80]!r}")
        rows.append(found[0].values)
    return schema.cast(pd.DataFrame(rows, columns=schema.names))


def main(argv: Sequence[str] | None = None) -> int:
    """The command: ``to-text`` and ``to-table``; errors are one sentence on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m opal.llm.rows.serialize", description="Tables to text and back.")
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
        print(f"opal.llm.rows.serialize: {error}", file=sys.stderr)
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
        raise DataError(f"--target {args.target!r} is not a column; columns: {', '.join(map(str, frame.columns))}")
    schema = Schema.infer(frame, args.target)
    if args.verb == "to-text":
        return to_text(frame, schema, args.style)
    with args.file.open(encoding="utf-8", newline="") as handle:
        return to_table(handle.read(), schema, args.style).to_csv(index=False, lineterminator="\n")


if __name__ == "__main__":
    raise SystemExit(main())
