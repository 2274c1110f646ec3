"""Numbers as people write them: decimal commas, thousands separators, percent and currency signs, brackets."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from opal.errors import DataError
from opal.table import Column, is_text

SPACES = " \u00a0\u2009\u202f"
SIGNS = "%€$£¥"
# What stands for "no value", in lower case: in a column of names (beyond what pandas takes for it), and of numbers.
MISSING_NAMES = {"", "?", "-", "--", "k.a.", "k. a.", "#n/a", "#na"}
MISSING = MISSING_NAMES | {".", "na", "n/a", "nan", "-nan", "null", "none", "<na>"}
_FRAME = re.compile(rf"([{SIGNS}]?[{SPACES}]?)(.*?)([{SPACES}]?[{SIGNS}]?)")
_EXPONENT = r"(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class Form:
    """How a column writes its numbers.

    thousands : the separator of groups of three digits, or an empty string
    prefix, suffix : signs, with their space, that stand around every number
    brackets : whether a negative number stands in brackets
    """

    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""
    brackets: bool = False

    def parse(self, cell: str) -> float:
        """The number in ``cell``, NaN for a missing marker; ValueError where it does not have this form."""
        if is_missing(cell):
            return math.nan
        negative, body = _without_brackets(cell.strip())
        sign = "-" if body[:1] == "-" and self.prefix else ""
        body = body[len(sign) :]
        if not (body.startswith(self.prefix) and body.endswith(self.suffix)):
            raise ValueError(cell)
        body = sign + body[len(self.prefix) : len(body) - len(self.suffix)]
        if not self._pattern.fullmatch(body):
            raise ValueError(cell)
        plain = body.replace(self.thousands, "") if self.thousands else body
        value = float(plain.replace(self.decimal, "."))
        return -value if negative else value

    def write(self, plain: str) -> str:
        """``plain``, a number such as -1234.50, in this form."""
        sign, digits = ("-", plain[1:]) if plain.startswith("-") else ("", plain)
        whole, dot, part = digits.partition(".")
        if self.thousands:
            whole = f"{int(whole):,}".replace(",", self.thousands)
        text = self.prefix + whole + (self.decimal if dot else "") + part + self.suffix
        return f"({text})" if sign and self.brackets else sign + text

    @property
    def _pattern(self) -> re.Pattern[str]:
        d, t = re.escape(self.decimal), re.escape(self.thousands)
        whole = rf"(?:0|[1-9]\d{{0,2}}(?:{t}\d{{3}})+|[1-9]\d*)" if t else r"(?:0|[1-9]\d*)"
        return re.compile(rf"[-+]?(?:{whole}(?:{d}\d*)?|{d}\d+){_EXPONENT}")


def is_missing(cell: str) -> bool:
    """Whether ``cell`` says "no value" in a column of numbers."""
    return cell.strip().casefold() in MISSING


def forms_of(cells: pd.DataFrame, separator: str) -> dict[str, Form]:
    """The form of every column of numbers that pandas alone would misread; see `all_forms_of`."""
    forms = all_forms_of(cells, separator)
    return {name: form for name, form in forms.items() if form != Form() or cells[name].map(is_missing).any()}


def all_forms_of(cells: pd.DataFrame, separator: str) -> dict[str, Form]:
    """The form of every column of numbers.

    A column is numeric when all its cells but the missing ones have one form. Where 1,234 could be either, the
    other columns of the file decide, then the separator: a file with commas between cells has decimal points.
    """
    fits = {str(name): _fitting(cells[name]) for name in cells.columns}
    sure = {
        forms[0].decimal
        for name, forms in fits.items()
        if len(forms) == 1 and (forms[0].thousands or cells[name].str.contains(forms[0].decimal, regex=False).any())
    }
    comma = "," in sure if len(sure) == 1 else separator != ","
    found = {}
    for name, forms in fits.items():
        # points alone are decimal points unless another column has shown decimal commas
        mark = "," if comma and (sure == {","} or all(f.thousands != "." for f in forms)) else "."
        if forms:
            found[name] = next((f for f in forms if f.decimal == mark), forms[0])
    return found


def with_numbers(
    frame: pd.DataFrame, keep: Collection[str] = (), separator: str = ";"
) -> tuple[pd.DataFrame, dict[str, Form]]:
    """``frame`` with its columns of text that are numbers as numbers, and the form of each of them.

    Parameters
    ----------
    keep : columns that stay as they are; so do whole numbers beyond 2**53, and categories
    separator : decides as in `all_forms_of`
    """
    texts = [n for n in frame.columns if n not in keep and is_text(frame[n].dtype)]
    texts = [n for n in texts if frame[n].map(lambda cell: isinstance(cell, str)).any()]
    cells = pd.DataFrame({n: _as_cells(frame[n]) for n in texts})
    numbers, forms = {}, all_forms_of(cells, separator) if texts else {}
    for name, form in forms.items():
        values = read_numbers(cells[name], form)
        if form != Form() or values.abs().max() < 2**53:
            numbers[name] = values
    return frame.assign(**numbers), {name: forms[name] for name in numbers}


def read_again(frame: pd.DataFrame, forms: dict[str, Form]) -> pd.DataFrame:
    """Other rows, in the forms that `with_numbers` found; numbers stay numbers.

    Raises
    ------
    DataError : a cell has another form
    """
    texts = {name: form for name, form in forms.items() if not pd.api.types.is_numeric_dtype(frame[name].dtype)}
    numbers = {}
    for name, form in texts.items():
        try:
            numbers[name] = read_numbers(_as_cells(frame[name]), form)
        except ValueError as odd:
            raise DataError(f"column {name!r} holds {str(odd)!r}, which is not a number as in the rows of fit") from odd
    return frame.assign(**numbers)


def may_be_numbers(texts: pd.Series) -> bool:
    """Whether a column that pandas took for text holds numbers in some form, its missing cells left out."""
    return bool(_fitting(texts.astype(str)))


def read_numbers(cells: pd.Series, form: Form) -> pd.Series:
    """The cells as float64, or int64 where all are whole and none is missing."""
    values = np.array([form.parse(cell) for cell in cells], dtype=float)
    whole = not np.isnan(values).any() and not any(form.decimal in cell or "e" in cell.lower() for cell in cells)
    return pd.Series(values.astype("int64") if whole and np.abs(values).max() < 2**53 else values, index=cells.index)


def number_writer(cells: pd.Series, column: Column, form: Form | None = None) -> Callable[[float], str]:
    """A function that writes a number in ``form``, with the decimals and the trailing zeros, or not, of ``cells``.

    Where all of ``cells`` have an exponent, so do the numbers written.
    """
    form = form or Form()
    mantissas = cells.str.strip().str.replace(r"[eE][-+]?\d+", "", regex=True)
    if form != Form():
        mantissas = mantissas.map(lambda cell: _plain(cell, form))
    after = mantissas.str.extract(r"^[-+]?\d*(?:\.(\d*))?$")[0].fillna("").str.len()
    least, most = (int(after.min()), int(after.max())) if len(after) else (0, 0)
    decimals = max(column.decimals, least)
    if len(cells) and not form.thousands and cells.str.contains(r"\d[eE][-+]?\d", regex=True).all():
        mark = "E" if "E" in cells.iloc[0] else "e"
        return lambda value: form.write(f"{value:.{most}{mark}}")

    def write(value: float) -> str:
        text = f"{value:.{decimals}f}"
        text = text if text.strip("-0.") else text.lstrip("-")  # no -0.0
        if least == most or "." not in text:
            return form.write(text)
        whole, _, part = text.partition(".")
        part = part.rstrip("0").ljust(least, "0")
        return form.write(f"{whole}.{part}" if part else whole)

    return write


def _plain(cell: str, form: Form) -> str:
    """A cell's digits and decimal point alone."""
    kept = "".join(c for c in cell if c.isdigit() or c == form.decimal)
    return kept.replace(form.decimal, ".")


def _without_brackets(text: str) -> tuple[bool, str]:
    return (True, text[1:-1].strip()) if text[:1] == "(" and text[-1:] == ")" else (False, text)


def _fitting(cells: pd.Series) -> list[Form]:
    """The forms that all cells have; a single one where no cell distinguishes two forms."""
    known = [c.strip() for c in cells.unique() if not is_missing(c)]
    if not known or not all(any(ch.isdigit() for ch in c) for c in known):
        return []
    bare = [_without_brackets(c) for c in known]
    first = _FRAME.fullmatch(bare[0][1].removeprefix("-"))
    prefix, suffix = (first[1], first[3]) if first else ("", "")
    brackets = any(b for b, _ in bare)
    forms: list[Form] = []
    groups = ["", *(t for t in (",", ".", "'", "\u2019", *SPACES) if any(t in body[len(prefix) :] for _, body in bare))]
    for thousands in groups:
        for decimal in (".", ","):
            form = Form(decimal, thousands, prefix, suffix, brackets)
            if decimal != thousands and _all_parse(form, known):
                used = decimal == "." or thousands == "." or any(decimal in c for c in known)
                if used and not (thousands and any(f.thousands == "" and f.decimal == decimal for f in forms)):
                    forms.append(form)
    return forms


def _all_parse(form: Form, cells: list[str]) -> bool:
    try:
        return all(math.isfinite(form.parse(cell)) for cell in cells)
    except ValueError:
        return False


def _as_cells(values: pd.Series) -> pd.Series:
    """A column of a frame as the texts of a file."""
    return values.map(lambda v: v if isinstance(v, str) else "" if pd.isna(v) else str(v)).astype(object)
