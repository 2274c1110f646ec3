"""Writing a table with new rows below its own: the source's content stays unchanged where formats agree."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from opal.atomic import whole_file
from opal.data.append_csv import CsvFile, frame_as_csv
from opal.data.append_parquet import Extra, extended_parquet, with_rows
from opal.data.content import form_of, is_arff
from opal.data.parse import parse_file
from opal.table import Table

Writer = Callable[[float], str]
TEXT, PARQUET, EXCEL = (".csv", ".tsv", ".txt"), (".parquet", ".pq"), (".xlsx",)


def write_table(
    path: Path,
    table: Table,
    rows: pd.DataFrame,
    extra: Extra = None,
    formulas: bool = False,
    **reading: Any,
) -> int:
    """Write ``table``'s own rows, then ``rows``, in one step: a file is there whole or not at all.

    From a text file to a text file the bytes are copied, from Parquet to Parquet types and values; in all other
    cases the rows are those that were read.

    Parameters
    ----------
    path : the suffix tells the format
    rows : in the plain dtypes of ``table.frame``
    extra : name and cells of a further column, empty in the table's own rows
    formulas : write text that a spreadsheet would run to CSV unchanged; otherwise an apostrophe is put in front
    reading : separator, encoding, sheet and missing of the table's source, as given to opal.data.load_csv

    Returns
    -------
    The number of cells behind an apostrophe.

    Raises
    ------
    DataError : the table has a column of the extra column's name, or its records cannot be separated
    """
    source = Path(table.source) if table.source and Path(table.source).is_file() else None
    content = source.read_bytes() if source else b""
    kind, text, count = file_kind(content), path.suffix.casefold() in TEXT, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        if text and kind == "text":
            file = CsvFile(content, reading.get("separator"), reading.get("encoding"))
            written, count = file.extended(rows, table.frame, table.schema, extra, formulas)
            temporary.write_bytes(written)
        elif source and path.suffix.casefold() in PARQUET and kind == "parquet":
            import pyarrow.parquet as pq

            pq.write_table(extended_parquet(source, rows, table.frame, table.schema, extra), temporary)
        else:
            given = as_read(source, table, **reading)
            both = with_rows(given, rows, table.frame, table.schema, extra)
            if text:
                written, count = frame_as_csv(both, formulas)
                temporary.write_bytes(written)
            elif path.suffix.casefold() in EXCEL:
                temporary.write_bytes(as_excel(both, reading.get("sheet")))
            else:
                try:
                    both.to_parquet(temporary, index=False)
                except (ValueError, TypeError, OverflowError):  # a column of mixed types, or of huge numbers
                    as_texts(both).to_parquet(temporary, index=False)
    return count


def writers(table: Table, separator: str | None = None, encoding: str | None = None) -> dict[str, Writer]:
    """How the table's file writes the numbers and dates of each column; nothing where it is not a text file."""
    path = Path(table.source) if table.source else None
    content = path.read_bytes() if path and path.is_file() else b""
    if file_kind(content) != "text":
        return {}
    file = CsvFile(content, separator, encoding)
    columns = [c for c in table.schema.columns if not c.nominal]
    return {c.name: file.writer(c, table.frame[c.name].notna().to_numpy()) for c in columns}


def as_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with columns of mixed types as text."""
    mixed = [n for n in frame.columns if pd.api.types.is_object_dtype(frame[n].dtype)]
    return frame.assign(**{str(n): frame[n].map(str, na_action="ignore") for n in mixed})


def file_kind(content: bytes) -> str:
    """text (its bytes can stay), parquet, or other (compressed, Feather, ARFF, none)."""
    form = form_of(content)
    if form != "text":
        return "parquet" if form == "parquet" else "other"
    start = content.lstrip(b"\xef\xbb\xbf \r\n")[:9].decode("latin-1")
    return "other" if not content or is_arff(start) else "text"


def as_excel(frame: pd.DataFrame, sheet: str | None = None) -> bytes:
    """A workbook of one sheet; text that begins with = stays text."""
    content = io.BytesIO()
    with pd.ExcelWriter(content, engine="openpyxl") as writer:
        frame.to_excel(writer, index=False, sheet_name=sheet or "Sheet1")
        for row in writer.sheets[sheet or "Sheet1"].iter_rows():
            for cell in row:
                if cell.data_type == "f":  # openpyxl's guess
                    cell.data_type = "s"
    return content.getvalue()


def as_read(source: Path | None, table: Table, **reading: Any) -> pd.DataFrame:
    """The table as in its file, including columns left out; without a file, as OPAL has it."""
    if source is None:
        return table.frame
    given = parse_file(source, **{name: value for name, value in reading.items() if value})
    given.columns = pd.Index([str(c) for c in given.columns])
    return given
