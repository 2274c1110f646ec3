"""The user's own table: a CSV, Excel, Parquet, Feather or ARFF file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from opal.data.build import NOT_IN_NAMES, Common, build_table
from opal.data.parse import parse_file
from opal.errors import ConfigError
from opal.table import Table


def load(
    path: str | None,
    name: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    missing: Sequence[str] = (),
    **common: Unpack[Common],
) -> Table:
    """Read ``path``: CSV (comma, semicolon, tab or bar), Excel, Parquet, Feather or ARFF, also gzipped or in a ZIP.

    Parameters
    ----------
    path : ``~`` is the home folder; relative paths start at the working directory
    name : of the table; default: the file's name without its suffix
    separator, encoding : of a text file; default: found in the header, and UTF-8
    sheet : of an Excel file with several
    missing : further texts that mean "no value"

    Raises
    ------
    ConfigError, DataError : see opal.data.parse.parse_file and opal.data.build.build_table
    """
    if not path:
        raise ConfigError("data.path is not set: name the CSV or Parquet file, for example data.path=table.csv")
    file = Path(str(path)).expanduser().resolve()
    frame = parse_file(file, separator, encoding, sheet, missing)
    plain = NOT_IN_NAMES.sub("_", file.name.split(".")[0]) or "table"
    return build_table(plain if name is None else name, frame, source=str(file), **common)
