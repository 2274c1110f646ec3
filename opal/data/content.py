"""What is in a table's file, told without pandas, so that a mistyped command is answered at once."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from opal.errors import ConfigError, DataError

SEPARATORS = (",", ";", "\t", "|")
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".arff", ".parquet", ".pq", ".feather", ".xlsx", "")
MOST_UNPACKED = 4_000_000_000  # bytes; a small archive may unpack to more than the memory holds
BEGINNINGS = {
    b"PAR1": "parquet",
    b"ARROW1": "feather",
    b"FEA1": "feather",
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
}


class Header(NamedTuple):
    """Names of columns as a text file has them, and what stands between them."""

    names: list[str]
    separator: str


def check_file(path: Path) -> None:
    """Raise DataError where ``path`` is missing or a folder."""
    if not path.exists():
        raise DataError(f"there is no file {path}")
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file: name the CSV or Parquet file in it")


def form_of(content: bytes) -> str:
    """What a file's first bytes say: parquet, feather, zip (an Excel workbook too), gzip, or else text."""
    return next((form for start, form in BEGINNINGS.items() if content.startswith(start)), "text")


def is_arff(text: str) -> bool:
    """Whether a text is a table in ARFF."""
    start = text.lstrip()[:9]
    return start[:1] == "%" or start.casefold() == "@relation"


def columns_of(path: Path, separator: str | None = None, encoding: str | None = None) -> list[str] | None:
    """Names of the columns of a text file; None where only the rows tell them, or the file is of another kind.

    Raises
    ------
    DataError, ConfigError : as `opal.data.parse.parse_file`
    """
    check_file(path)
    content = read_bytes(path)
    if form_of(content) != "text":
        return None
    text = decode(content, path, encoding)
    if kind_of(text, path) != "csv" or first_line(text).count('"') % 2:  # an open quote: the header goes on below
        return None
    names = header_of(text, path, separator).names
    return bare(names) if all(names) else None


def read_bytes(path: Path) -> bytes:
    """The bytes of the one table in ``path``, unpacked.

    Raises
    ------
    DataError : unreadable, or as `unpacked`
    """
    try:
        return unpacked(path.read_bytes(), path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def is_excel(content: bytes) -> bool:
    """Whether a file's bytes are an .xlsx workbook."""
    if form_of(content) != "zip":
        return False
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as archive:
        return "xl/workbook.xml" in archive.namelist()
    return False


def unpacked(content: bytes, path: Path) -> bytes:
    """The bytes of the one table in a ZIP or gzip file; those of any other file unchanged.

    Raises
    ------
    DataError : damaged, encrypted, several tables in one archive, or too large once unpacked
    """
    if form_of(content) == "zip" and not is_excel(content):
        return unpacked(_only_member(content, path), path)
    if form_of(content) == "gzip":
        import gzip

        try:
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(MOST_UNPACKED + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path} is a damaged gzip file: {error}") from error
        _check_size(len(content), path)
    return content


def _check_size(size: int, path: Path) -> None:
    if size > MOST_UNPACKED:
        raise DataError(f"{path} unpacks to more than {MOST_UNPACKED / 1e9:.0f} GB, which is no table for this machine")


def _only_member(content: bytes, path: Path) -> bytes:
    """The one table in an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX")]
            if "[Content_Types].xml" in names or "mimetype" in names:
                raise DataError(f"{path} is an Office document, but no .xlsx workbook: save the sheet as CSV")
            tables = [n for n in names if Path(n).suffix.casefold() in TABLE_SUFFIXES]
            if len(tables) != 1:
                held = ", ".join(tables or names)
                raise DataError(f"{path} holds {len(tables)} tables ({held}): unpack it and name one of them")
            _check_size(archive.getinfo(tables[0]).file_size, path)
            return archive.read(tables[0])
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error) as error:  # RuntimeError: encrypted
        raise DataError(f"{path} cannot be unpacked: {error}") from error


def decode(content: bytes, path: Path, encoding: str | None) -> str:
    """The text of a file's bytes; by default UTF-8, or UTF-16 with its byte order mark.

    Raises
    ------
    DataError : bytes that the encoding does not have
    ConfigError : an encoding that Python does not know
    """
    name = str(encoding) if encoding else ("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    try:
        return content.decode(name)
    except UnicodeDecodeError as error:
        tried = "utf-8" if name == "utf-8-sig" else name
        raise DataError(
            f"{path} is not {tried} (byte 0x{content[error.start]:02x} at position {error.start}): "
            "name its encoding, for example data.encoding=latin-1"
        ) from error
    except LookupError as error:
        raise ConfigError(
            f"data.encoding={encoding!r} is not an encoding; common ones: utf-8, latin-1, cp1252"
        ) from error


def kind_of(text: str, path: Path) -> str:
    """``csv`` or ``arff``.

    Raises
    ------
    DataError : no text, or a web page
    """
    if not text.strip():
        raise DataError(f"{path} is empty")
    if text.lstrip()[:1] == "<":
        raise DataError(f"{path} is a web page (HTML), not a table")
    return "arff" if is_arff(text) else "csv"


def header_of(text: str, path: Path, separator: str | None = None) -> Header:
    """The header of a text table; by default with the separator that cuts it into most columns.

    Raises
    ------
    DataError : a header that cannot be read, or with two columns of one name
    ConfigError : a separator of several signs
    """
    header = first_line(text)
    try:
        separator = str(separator or max(SEPARATORS, key=lambda s: len(next(csv.reader([header], delimiter=s)))))
        if len(separator) > 1:
            raise ConfigError(f"data.separator={separator!r} must be one sign, such as ; or |")
        names = next(csv.reader([header], delimiter=separator))
    except (csv.Error, ValueError, TypeError) as error:  # ValueError, TypeError: a separator that csv refuses
        raise DataError(f"{path} has no header that can be read: {error}") from error
    if twice := sorted({n for n in names if n and names.count(n) > 1}):  # pandas would rename them in silence
        raise DataError(f"{path} has two columns named {twice[0]!r}: rename one")
    return Header(names, separator)


def first_line(text: str) -> str:
    """The first line of ``text`` that is not empty."""
    return text.lstrip("\r\n").split("\n", 1)[0].splitlines()[0]


def bare(names: Iterable[object]) -> list[str]:
    """``names`` without spaces around them, unless two would then be the same."""
    given = [str(name) for name in names]
    stripped = [name.strip(" ") for name in given]
    return stripped if len(set(stripped)) == len(stripped) else given


def listed(names: Iterable[str], most: int = 20) -> str:
    """``names`` in a sentence: the first ones, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def no_target(columns: Iterable[str]) -> ConfigError:
    """What is said where ``data.target`` is not set."""
    return ConfigError(f"data.target is not set: name the column to predict; columns: {listed(columns)}")
