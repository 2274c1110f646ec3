"""Reading rows written by other tools, checked against a table's schema."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from opal.data.parse import parse_file
from opal.errors import DataError
from opal.table import Column, Schema


def fill_in(name: str, seed: int) -> Path:
    """The path of ``name`` for ``seed``."""
    return Path(name.replace("{seed}", str(seed))).expanduser()


def read_rows(path: Path, schema: Schema, key: str, exact: bool = True, complete: bool = True) -> pd.DataFrame:
    """The rows of a file of any form that tables have, in the columns and dtypes of ``schema``.

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
    """The allowed values of the column; () if any is allowed."""
    if column.name == schema.target:
        return column.levels
    known = complete or (column.kind == "binary" and len(column.levels) == 2)
    return column.levels if column.nominal and exact and known else ()


def _read(path: Path, key: str) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{key}={path} is not a file: check the path, taken from {Path.cwd()}")
    try:
        frame = parse_file(path)  # in the form of any table: separators, decimal commas, dates
    except DataError as fault:
        raise DataError(f"{key}={path} cannot be read as a table: {' '.join(str(fault).split())}") from fault
    if frame.empty:
        raise DataError(f"{key}={path} has no rows")
    return frame


def _fitted(
    values: pd.Series, column: Column, file: str, levels: tuple[Hashable, ...], exact: bool
) -> pd.Series | np.ndarray:
    """``values`` in the column's dtype, fractions unless ``exact`` forbids them; DataError if they do not fit."""
    where = f"{file}, column {column.name!r}"
    if not column.numeric:
        known = values.dropna().astype(str)
        _refuse_missing(len(values) - len(known), column, where)
        _refuse_strange(known.to_numpy(), levels, where)
        return Schema((column,), column.name).cast(values.where(values.isna(), values.astype(str)).to_frame())[
            column.name
        ]
    if column.dates and not pd.api.types.is_numeric_dtype(values.dtype):
        moments = pd.api.types.is_datetime64_any_dtype(values.dtype)
        numbers = column.dates.of_moments(values) if moments else column.dates.numbers(values.astype(object))
        if len(odd := values[numbers.isna() & values.notna()]):
            raise DataError(
                f"{where} holds {odd.iloc[0]!r}, which is not a date as in the table ({column.date_format})"
            )
        values = numbers
    if not pd.api.types.is_numeric_dtype(values.dtype):
        known = values.dropna()
        bad = known[pd.to_numeric(known, errors="coerce").isna()]
        raise DataError(f"{where} holds {bad.tolist()[0]!r}, which is not a number")
    return _fitted_numbers(_plain_numbers(values), column, where, levels, exact)


def _fitted_numbers(
    numbers: np.ndarray, column: Column, where: str, levels: tuple[Hashable, ...], exact: bool
) -> np.ndarray:
    """The same for numbers, in NumPy for speed: a study reads its files again for every classifier."""
    known = numbers if numbers.dtype.kind != "f" else numbers[~np.isnan(numbers)]
    _refuse_missing(len(numbers) - len(known), column, where)
    if np.isinf(known).any():
        raise DataError(f"{where} holds infinite values")
    _refuse_strange(known, levels, where)
    whole = bool((known == np.round(known)).all())
    if exact and not whole and _whole(column):
        fraction = known[known != np.round(known)].tolist()[0]
        raise DataError(f"{where} holds {fraction!r}; the table has whole numbers there")
    as_it_is = column.dtype != "int64" or not whole or len(known) < len(numbers)
    return numbers.astype("float64" if as_it_is else "int64")


def _plain_numbers(values: pd.Series) -> np.ndarray:
    """Numbers of any dtype as int64 where they are whole by dtype, else as float64."""
    whole = pd.api.types.is_integer_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype)
    return values.to_numpy("int64") if whole and not values.hasnans else values.to_numpy("float64", na_value=np.nan)


def _refuse_missing(count: int, column: Column, where: str) -> None:
    if count and not column.missing:
        raise DataError(f"{where} has {count} missing values where the table has none")


def _refuse_strange(known: np.ndarray, levels: tuple[Hashable, ...], where: str) -> None:
    if levels and len(strange := known[~np.isin(known, np.asarray(levels))]):
        raise DataError(f"{where} holds {strange.tolist()[0]!r}; the table has {_listed(levels)}")


def _whole(column: Column) -> bool:
    """Whether the table has only whole numbers in this column."""
    return column.whole or (column.numeric and column.nominal and all(v == int(v) for v in column.levels))  # type: ignore


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(repr, names))
