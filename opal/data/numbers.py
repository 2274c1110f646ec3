"""Numbers as people write them: decimal commas, thousands separators, percent and currency signs, brackets."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

SPACES = " \u00a0\u2009\u202f"
SIGNS = "%€$£¥"
# What stands for "no value" in a column of numbers, in lower case.
MISSING = {"", "-", "--", "?", ".", "na", "n/a", "#n/a", "#na", "nan", "-nan", "null", "none", "k.a.", "k. a.", "<na>"}
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
    """The form of every column of numbers that pandas alone would misread.

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
        chosen = next((f for f in forms if f.decimal == mark), forms[0] if forms else None)
        if chosen is not None and (chosen != Form() or cells[name].map(is_missing).any()):
            found[name] = chosen
    return found


def may_be_numbers(texts: pd.Series) -> bool:
    """Whether a column that pandas took for text holds numbers in some form, its missing cells left out."""
    return bool(_fitting(texts.astype(str)))


def read_numbers(cells: pd.Series, form: Form) -> pd.Series:
    """The cells as float64, or int64 where all are whole and none is missing."""
    values = np.array([form.parse(cell) for cell in cells], dtype=float)
    whole = not np.isnan(values).any() and not any(form.decimal in cell or "e" in cell.lower() for cell in cells)
    return pd.Series(values.astype("int64") if whole and np.abs(values).max() < 2**53 else values, index=cells.index)


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
