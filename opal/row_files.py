"""Rows from files of any tool, checked against a table's schema."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from opal.errors import DataError
from opal.table import Column, Schema


def fill_in(name: str, seed: int) -> Path:
    """The path that ``name`` means for ``seed``."""
    return Path(name.replace("{seed}", str(seed))).expanduser()


def read_rows(path: Path, schema: Schema, key: str, exact: bool = True, complete: bool = True) -> pd.DataFrame:
    """The rows of a CSV or Parquet file in the columns and dtypes of ``schema``.

    Parameters
    ----------
    key : the option that named the file, for messages
    exact : refuse levels and fractions that a column of ``schema`` does not have; else take them as they are
    complete : ``schema`` knows every level; else a name may be new, and the second of two values

    Raises
    ------
    DataError : unreadable, no rows, other columns, or a value that its column cannot hold
    """
    frame = _read(path, key)
    if list(frame.columns) != schema.names:
        lacking = [n for n in schema.names if n not in frame]
        extra = [str(n) for n in frame if n not in schema.names]
        if lacking or extra or frame.columns.has_duplicates:
            told = f"lacks {_listed(lacking)}" if lacking else f"has {_listed(extra) or 'a column twice'} besides"
            raise DataError(f"{key}={path} {told}; its columns must be {', '.join(schema.names)}")
    file = f"{key}={path}"
    return pd.DataFrame(
        {c.name: _fitted(frame[c.name], c, file, _levels(c, schema, exact, complete), exact) for c in schema.columns}
    )


def _levels(column: Column, schema: Schema, exact: bool, complete: bool) -> tuple[Hashable, ...]:
    """What values the column must be among; () if any will do."""
    if column.name == schema.target:
        return column.levels
    known = complete or (column.kind == "binary" and len(column.levels) == 2)
    return column.levels if column.nominal and exact and known else ()


def _read(path: Path, key: str) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{key}={path} is no file: check the path, taken from {Path.cwd()}")
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError, UnicodeError) as fault:
        raise DataError(f"{key}={path} cannot be read as a table: {' '.join(str(fault).split())}") from fault
    if frame.empty:
        raise DataError(f"{key}={path} has no rows")
    return frame


def _fitted(values: pd.Series, column: Column, file: str, levels: tuple[Hashable, ...], exact: bool) -> pd.Series:
    """``values`` in the column's dtype, fractions unless ``exact`` forbids them; DataError if they do not fit."""
    where, known = f"{file}, column {column.name!r}", values.dropna()
    if len(known) < len(values) and not column.missing:
        raise DataError(f"{where} has {len(values) - len(known)} missing values where the table has none")
    if not column.numeric:
        values = values.where(values.isna(), values.astype(str))
    elif not pd.api.types.is_numeric_dtype(values.dtype):
        bad = known[pd.to_numeric(known, errors="coerce").isna()]
        raise DataError(f"{where} holds {bad.tolist()[0]!r}, which is no number")
    elif np.isinf(known.to_numpy(dtype=float)).any():
        raise DataError(f"{where} holds infinite values")
    if levels and len(strange := known[~known.isin(levels)]):
        raise DataError(f"{where} holds {strange.tolist()[0]!r}; the table has {_listed(levels)}")
    if exact and _whole(column) and len(fractions := known[known != known.round()]):
        raise DataError(f"{where} holds {fractions.tolist()[0]!r}; the table has whole numbers there")
    cast = Schema((column,), column.name).cast(values.to_frame(column.name))[column.name]
    truncated = column.numeric and not np.array_equal(cast.astype(float), values.astype(float), equal_nan=True)
    return values.astype(float) if truncated else cast


def _whole(column: Column) -> bool:
    """Whether the table has only whole numbers in this column."""
    return column.kind == "integer" or (column.numeric and column.nominal and all(v == int(v) for v in column.levels))  # type: ignore


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(repr, names))
