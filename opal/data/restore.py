"""From the plain dtypes that methods see back to the dtypes of the original frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from opal.data.numbers import Form, number_writer
from opal.dates import DateFormat
from opal.table import Column, Schema


def restore(
    rows: pd.DataFrame,
    frame: pd.DataFrame,
    schema: Schema,
    given: pd.DataFrame,
    forms: Mapping[str, Form] | None = None,
) -> pd.DataFrame:
    """New rows with the columns and dtypes of ``given``.

    Parameters
    ----------
    rows : new rows, as methods make them
    frame : the rows that the method saw (opal.data.build.normalise of ``given``), row by row those of ``given``
    given : the rows as they were; a column that ``frame`` lacks is missing in new rows
    forms : of columns of text that ``frame`` has as numbers

    Returns
    -------
    DataFrame of shape (n_rows, n_given_columns), index 0..n_rows-1
    """
    forms = forms or {}
    return pd.DataFrame(
        {name: _column(name, rows, frame, schema, given[name], forms.get(name)) for name in given.columns}
    )


def places_of(values: pd.Series, seen: pd.Series) -> np.ndarray:
    """For each value the position of the first equal one in ``seen``, or -1; missing equals missing."""
    codes, levels = pd.factorize(seen, use_na_sentinel=False)
    first = np.append(np.unique(codes, return_index=True)[1], -1)
    return first[pd.Index(levels).get_indexer(pd.Index(values.astype(levels.dtype)))]


def _column(
    name: str, rows: pd.DataFrame, frame: pd.DataFrame, schema: Schema, given: pd.Series, form: Form | None
) -> pd.Series:
    if name not in rows:
        return pd.Series([None] * len(rows), dtype=object).astype(_with_missing(given.dtype))
    column, values, seen = schema[name], rows[name].reset_index(drop=True), frame[name]
    if column.nominal:  # every value is among those given: taken from there, whatever its type
        return given.iloc[places_of(values, seen)].reset_index(drop=True)
    if form is not None:
        return _texts(values, seen, given, number_writer(given[seen.notna().to_numpy()].astype(str), column, form))
    return _dates(values, column.dates, seen, given) if column.dates else _number(values, column, given.dtype)


def _texts(values: pd.Series, seen: pd.Series, given: pd.Series, write: Callable[[float], str]) -> pd.Series:
    """The cells of equal values, missing ones among them, and what ``write`` makes of others."""
    levels = seen.drop_duplicates()
    places = pd.Index(levels.to_numpy(float)).get_indexer(pd.Index(values.to_numpy(float)))
    known = given.iloc[levels.index].tolist()
    cells = [
        known[place] if place >= 0 else None if pd.isna(value) else write(float(value))
        for place, value in zip(places, values, strict=True)
    ]
    return pd.Series(cells, dtype=given.dtype)


def _dates(values: pd.Series, form: DateFormat, seen: pd.Series, given: pd.Series) -> pd.Series:
    """Dates as ``given`` has them: datetimes, dates of Python, numbers such as 20210304, or text."""
    if pd.api.types.is_datetime64_any_dtype(given.dtype):
        zone = getattr(given.dtype, "tz", None)
        moments = form.moments(values)
        return (moments.dt.tz_localize("UTC").dt.tz_convert(zone) if zone is not None else moments).astype(given.dtype)
    known = given.dropna()
    if len(known) and isinstance(known.iloc[0], date):  # also datetime
        moments = form.moments(values)
        as_they_are = moments.dt.to_pydatetime() if isinstance(known.iloc[0], datetime) else moments.dt.date
        return pd.Series(as_they_are, dtype=object).where(values.notna(), None)
    if pd.api.types.is_numeric_dtype(given.dtype):
        return pd.to_numeric(values.map(form.write, na_action="ignore")).astype(given.dtype)
    return _texts(values, seen, given, form.write)


def _number(values: pd.Series, column: Column, dtype: Any) -> pd.Series:
    plain = getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype))
    if isinstance(plain, np.dtype) and plain.kind in "iu":
        limits = np.iinfo(plain)
        values = values.round().clip(limits.min, limits.max)
    return values.astype(dtype)


def _with_missing(dtype: Any) -> Any:
    """A dtype that holds missing values: its own where it can."""
    if isinstance(dtype, np.dtype) and dtype.kind in "iub":
        return "float64" if dtype.kind != "b" else object
    return dtype
