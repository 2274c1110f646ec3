"""Files to frames: CSV, Excel, Parquet, Feather, ARFF, and any of these alone in a ZIP, told apart by content."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from opal.data.content import bare, check_file, decode, form_of, header_of, is_excel, kind_of, read_bytes
from opal.data.numbers import MISSING_NAMES, forms_of, may_be_numbers, read_numbers, with_numbers
from opal.data.told import tell_once
from opal.errors import ConfigError, DataError
from opal.table import is_text

# pandas before 3.1 misreads the last digit of some decimals unless told otherwise; later ones warn when told
_PANDAS = tuple(map(int, pd.__version__.split(".")[:2]))
_EXACT: Any = {} if _PANDAS >= (3, 1) else {"float_precision": "round_trip"}


def parse_file(
    path: Path,
    separator: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    missing: Sequence[str] = (),
) -> pd.DataFrame:
    """Read one table.

    Parameters
    ----------
    sheet : of an Excel file with several
    missing : further texts that mean "no value"; an empty cell and the usual markers do in any case
    separator : of a text table; by default the one that cuts its header into most columns
    encoding : of a text table; by default UTF-8, with or without byte order mark

    Raises
    ------
    DataError : no such file, unreadable, empty, wrong encoding, ragged rows, duplicate column names
    ConfigError : an encoding that Python does not know
    """
    check_file(path)
    content = read_bytes(path)
    try:
        if is_excel(content):
            frame = _excel(content, path, sheet)
        elif sheet is not None:
            raise ConfigError(f"data.sheet={sheet}, but {path} is no Excel file: leave it out")
        else:
            frame = _parse(content, path, separator, encoding, missing)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return _without(frame, missing)


def _without(frame: pd.DataFrame, missing: Sequence[str]) -> pd.DataFrame:
    """``frame`` with the texts in ``missing`` taken out, and columns that are numbers then read as such."""
    if not missing:
        return frame
    gone = {str(text).strip() for text in missing}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
            known = {float(text) for text in gone if _is_number(text)}
            cleaned = column.mask(column.isin(known)) if known else column
        else:
            cleaned = column.mask(column.map(lambda v: isinstance(v, str) and v.strip() in gone))
            if cleaned.notna().any() and len(numbers := pd.to_numeric(cleaned, errors="coerce").dropna()) == len(
                cleaned.dropna()
            ):
                cleaned = numbers.reindex(column.index)
        if cleaned.isna().sum() > column.isna().sum():
            frame[name] = cleaned
    return frame


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse(
    content: bytes, path: Path, separator: str | None, encoding: str | None, missing: Sequence[str]
) -> pd.DataFrame:
    form = form_of(content)
    if form == "parquet":
        return _parquet(content, path)
    if form == "feather":
        return _feather(content, path)
    text = decode(content, path, encoding)
    if kind_of(text, path) == "arff":
        return _arff(text, path)
    return _csv(text, path, separator, missing)


def _csv(text: str, path: Path, separator: str | None, missing: Sequence[str] = ()) -> pd.DataFrame:
    separator = header_of(text, path, separator).separator
    try:
        source = io.BytesIO(text.encode())  # StringIO takes four bytes a character
        gone = [str(text) for text in missing]
        frame = pd.read_csv(source, sep=separator, low_memory=False, index_col=False, na_values=gone, **_EXACT)
        return without_blanks(_with_numbers(frame, text, separator, gone))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        detail = " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())
        raise DataError(f"{path} cannot be read as CSV with separator {separator!r}: {detail}") from error


def without_blanks(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` without spaces around names of columns and texts, and with markers of missing names as missing."""
    return bare_cells(frame.set_axis(bare(frame.columns), axis=1))


def bare_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` without spaces around texts, and with markers of missing names as missing."""
    changed = {}
    for name in frame.columns:
        if not is_text(frame[name].dtype):
            continue
        cells = frame[name] if pd.api.types.is_object_dtype(frame[name].dtype) else frame[name].unique()  # may be lists
        texts = dict.fromkeys(cell for cell in cells if isinstance(cell, str))
        gone = missing_names({text.strip(" ") for text in texts})
        kept = {text: None if text.strip(" ") in gone else text.strip(" ") for text in texts}
        if any(cell != text for cell, text in kept.items()):
            changed[name] = frame[name].map(lambda cell, kept=kept: kept.get(cell, cell), na_action="ignore")
    return frame.assign(**changed)


def missing_names(cells: set[str]) -> set[str]:
    """The cells of a column of names that mean "no value"; a hyphen does not where it may stand for minus."""
    signs = "+" in cells or len(cells) < 3
    return {cell for cell in cells if cell.casefold() in MISSING_NAMES and not (signs and set(cell) == {"-"})}


def _with_numbers(frame: pd.DataFrame, text: str, separator: str, missing: Sequence[str]) -> pd.DataFrame:
    """``frame`` with the numbers that pandas took for text; a frame that has none stays as it is."""
    texts = [n for n in frame.columns if not pd.api.types.is_numeric_dtype(frame[n].dtype) and frame[n].notna().any()]
    if not any(may_be_numbers(frame[name].dropna()) for name in texts):
        return frame  # a decimal comma would have made a text column: nothing was misread
    source = io.StringIO(text.lstrip("\ufeff"))
    cells = pd.read_csv(source, sep=separator, dtype=str, na_filter=False, index_col=False, low_memory=False).fillna("")
    cells = cells.mask(cells.isin(missing), "")
    if cells.shape != frame.shape or list(cells.columns) != list(frame.columns):
        return frame
    forms = forms_of(cells, separator)
    changed = {n: f for n, f in forms.items() if n in texts or (f.decimal, f.thousands) == (",", ".")}
    for name, form in changed.items():
        frame[name] = read_numbers(cells[name], form)
    if commas := [n for n, f in changed.items() if f.decimal == ","]:
        tell_once(f"decimal comma in {', '.join(commas)}")
    return frame


def _excel(content: bytes, path: Path, sheet: str | None) -> pd.DataFrame:
    try:
        with pd.ExcelFile(io.BytesIO(content), engine="openpyxl") as book:
            sheets = [str(name) for name in book.sheet_names]
            if sheet is None and len(sheets) > 1:
                listed = ", ".join(sheets)
                raise ConfigError(f"{path} holds several sheets: name one, as in data.sheet={sheets[0]} ({listed})")
            if sheet is not None and str(sheet) not in sheets:
                raise ConfigError(f"data.sheet={sheet} is not a sheet of {path}; sheets: {', '.join(sheets)}")
            frame = pd.read_excel(book, sheet_name=sheets[0] if sheet is None else str(sheet))
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, zlib.error, AttributeError, TypeError) as error:
        raise DataError(f"{path} cannot be read as an Excel file: {str(error).splitlines()[0]}") from error
    frame.columns = pd.Index([str(name) for name in frame.columns])
    if frame.empty:
        raise DataError(f"{path} has no rows in sheet {sheet or sheets[0]!r}")
    # cells of text that are numbers in some form, as in a text file
    return without_blanks(with_numbers(frame)[0].infer_objects())


def _feather(content: bytes, path: Path) -> pd.DataFrame:
    try:
        return pd.read_feather(io.BytesIO(content))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as Feather: {str(error).splitlines()[0]}") from error


def _parquet(content: bytes, path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    named = any(n is not None for n in frame.index.names)
    return frame.reset_index() if named else frame.reset_index(drop=True)


def _arff(text: str, path: Path) -> pd.DataFrame:
    from scipy.io import arff

    try:
        rows, _ = arff.loadarff(io.StringIO(text))
    except (arff.ArffError, NotImplementedError, ValueError, StopIteration) as error:
        raise DataError(f"{path} cannot be read as ARFF: {error}") from error
    frame = pd.DataFrame(rows)
    texts = frame.select_dtypes(object).columns
    # a question mark is ARFF's missing value
    return frame.assign(**{c: frame[c].str.decode("utf-8").replace("?", None) for c in texts})
