"""Appending rows to a text file: its existing content stays unchanged, byte for byte."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from opal.data.content import SEPARATORS, bare
from opal.data.numbers import Form, forms_of, number_writer
from opal.data.restore import places_of
from opal.errors import DataError
from opal.table import Column, Schema

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet runs (OWASP, "CSV Injection")

_NUMBER = re.compile(r"-\d+(?:[.,'\u2019\u00a0\u2009\u202f]\d+)*[ \u00a0]?[%€$£¥]?")  # such as -1.234,5: not a formula


class CsvFile:
    """A text table as written: its cells, separator, quotes, line ends and encoding.

    Parameters
    ----------
    content : the file's bytes
    separator, encoding : as of opal.data.parse.parse_file
    """

    def __init__(self, content: bytes, separator: str | None = None, encoding: str | None = None) -> None:
        marks = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
        self.encoding = (encoding or marks.get(content[:2], "utf-8")).replace("utf-8-sig", "utf-8")
        if self.encoding.replace("_", "-").casefold() == "utf-16":
            self.encoding = marks.get(content[:2], "utf-16-le")
        self.text = content.decode(self.encoding)  # a byte order mark stays in the text, and so in the file
        self._bare = self.text.lstrip("\ufeff")
        header = self._bare.lstrip("\r\n").splitlines()[0]
        self.separator = separator or max(SEPARATORS, key=lambda s: len(next(csv.reader([header], delimiter=s))))
        self.line_end = "\r\n" if "\r\n" in self.text else "\r" if "\n" not in self.text else "\n"

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Every cell as text."""
        cells = pd.read_csv(
            io.StringIO(self._bare), sep=self.separator, dtype=str, na_filter=False, index_col=False, low_memory=False
        ).fillna("")
        return cells.set_axis(bare(cells.columns), axis=1)

    @cached_property
    def _blank(self) -> str:
        """A blank, where the file has one behind every separator."""
        rest = self.cells.iloc[:100, 1:]
        return " " if rest.size and rest.map(lambda cell: cell.startswith(" ")).all(axis=None) else ""

    @cached_property
    def _forms(self) -> dict[str, Form]:
        return forms_of(self.cells, self.separator)

    def extended(
        self,
        rows: pd.DataFrame,
        frame: pd.DataFrame,
        schema: Schema,
        extra: tuple[str, Sequence[str]] | None = None,
        formulas: bool = False,
    ) -> tuple[bytes, int]:
        """The file's content, then ``rows`` in its own style.

        Parameters
        ----------
        rows, frame, schema : new rows; those of the file as a Table has them, and what they hold
        extra : name and cells of a further column, empty in the file's own rows
        formulas : write text that a spreadsheet would run unchanged; otherwise an apostrophe is put in front

        Returns
        -------
        (content, number of cells with an apostrophe added)
        """
        text, names = self.text, list(self.cells.columns)
        new = pd.DataFrame({name: self._written(name, rows, frame, schema) for name in names})
        columns = [new[name].tolist() for name in names]
        quoted = self._quoted
        if extra is not None:
            text = self._with_column(extra[0], len(frame))
            columns, quoted = [*columns, list(extra[1])], [*quoted, False]
        if self._blank:
            columns = [[cell.strip() for cell in column] for column in columns]
        guarded, count = guard(columns, formulas)
        lines = [
            (self.separator + self._blank).join(self._cell(cell, q) for cell, q in zip(row, quoted, strict=True))
            for row in zip(*guarded, strict=True)
        ]
        gap = "" if not lines or text.endswith(("\n", "\r")) else self.line_end
        text += gap + "".join(line + self.line_end for line in lines)
        return text.encode(self.encoding), count

    def _written(self, name: str, rows: pd.DataFrame, frame: pd.DataFrame, schema: Schema) -> list[str]:
        cells = self.cells[name]
        if name not in rows:
            return [""] * len(rows)
        column, values = schema[name], rows[name]
        if column.nominal:
            return cells.iloc[places_of(values, frame[name])].tolist()
        empty = frame[name].isna().to_numpy()
        gap = cells[empty].iloc[0] if empty.any() else ""
        write = self.writer(column, ~empty)
        return [gap if pd.isna(v) else write(float(v)) for v in values]

    def writer(self, column: Column, known: np.ndarray) -> Callable[[float], str]:
        """A function that writes a number or date as the file has them in ``column``; ``known``: cells with a value."""
        if column.dates:
            return column.dates.write
        return number_writer(self.cells[column.name][known], column, self._forms.get(column.name))

    @cached_property
    def _quoted(self) -> list[bool]:
        """Which columns of the first row are quoted though they need not be."""
        s = re.escape(self.separator)
        records = re.finditer(rf'((?:(?:"(?:[^"]|"")*"|[^{s}"\r\n][^{s}\r\n]*|){s}?)+)(?:\r\n|\n|\r|$)', self._bare)
        rows = [m[1] for m in records if m[1]][:2]
        found = re.findall(rf'(?:^|{s})("?)', re.sub(r'"(?:[^"]|"")+"', '"', rows[1])) if len(rows) > 1 else []
        return [q == '"' for q in found] if len(found) == self.cells.shape[1] else [False] * self.cells.shape[1]

    def _cell(self, text: str, quoted: bool) -> str:
        if quoted or any(c in text for c in (self.separator, '"', "\n", "\r")) or text != text.strip():
            return '"' + text.replace('"', '""') + '"'
        return text

    def _with_column(self, name: str, rows: int) -> str:
        """The text with one more cell in each record, otherwise unchanged."""
        if name in self.cells.columns:
            raise DataError(f"provenance={name!r} is a column of the table already: choose another name")
        s = re.escape(self.separator)
        text = self.text if self.text.endswith(("\n", "\r")) else self.text + self.line_end
        out, at, count = [], 0, 0
        # a quote opens a cell only at its start; what stands in quotes may hold line ends
        for found in re.finditer(rf'(?<![^{s}\r\n\ufeff])"(?:[^"]|"")*"|\r\n|\n|\r', text):
            if found[0][0] == '"' or not text[at : found.start()].strip("\ufeff"):
                continue
            cell = self._cell(name, False) if count == 0 else ""
            out += [text[at : found.start()], self.separator, cell, found[0]]
            at, count = found.end(), count + 1
        if count != rows + 1:
            raise DataError(f"provenance={name!r} cannot be added: {rows} rows were read, {count - 1} records found")
        return "".join(out) + text[at:]


def guard(columns: Sequence[Sequence[str]], formulas: bool) -> tuple[list[list[str]], int]:
    """Cells with an apostrophe in front of text that a spreadsheet would run, and how many there were."""
    count, out = 0, []
    for cells in columns:
        risky = [not formulas and _runs(cell) for cell in cells]
        count += sum(risky)
        out.append(["'" + cell if r else cell for cell, r in zip(cells, risky, strict=True)])
    return out, count


def _runs(text: str) -> bool:
    if len(text) < 2 or _NUMBER.fullmatch(text) or not text.startswith(FORMULA):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


def frame_as_csv(given: pd.DataFrame, formulas: bool) -> tuple[bytes, int]:
    """A frame as UTF-8 CSV, text guarded as in ``guard``."""
    given = given.copy()
    total = 0
    for name in given.columns:
        values = given[name]
        if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_datetime64_any_dtype(values.dtype):
            continue
        texts = values.astype(object).map(lambda v: v if not isinstance(v, str) else guard([[v]], formulas)[0][0][0])
        total += int((texts.fillna("") != values.astype(object).fillna("")).sum())
        given[name] = texts
    header, count = guard([[str(c)] for c in given.columns], formulas)
    given.columns = pd.Index([h[0] for h in header])
    return given.to_csv(index=False, lineterminator="\n").encode(), total + count
