"""Columns that say which rows belong together, and which came first (``data.groups``, ``data.time``)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from opal.errors import ConfigError


def units_of(frame: pd.DataFrame, name: str | None) -> pd.Series | None:
    """A number for each row, equal where the column's values are; a row without a value is a unit of its own."""
    if name is None:
        return None
    codes = pd.factorize(frame[name].reset_index(drop=True))[0].astype("int64")
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    if len(np.unique(codes)) < 2:
        raise ConfigError(f"data.groups={name} has one value: no split could keep its rows together")
    return pd.Series(codes)


def times_of(given: pd.DataFrame, frame: pd.DataFrame, name: str | None) -> pd.Series | None:
    """A number for each row, larger for later ones.

    Parameters
    ----------
    given : the rows as they were
    frame : the same rows in plain dtypes, dates as numbers (opal.data.dates.with_dates)

    Raises
    ------
    ConfigError : the column holds neither numbers nor dates, or has gaps
    """
    if name is None:
        return None
    values = given[name].reset_index(drop=True)
    if pd.api.types.is_datetime64_any_dtype(values.dtype) and values.notna().all():
        return values.astype("datetime64[ns, UTC]" if values.dt.tz else "datetime64[ns]").astype("int64")
    values = frame[name] if name in frame else values.astype(float)  # a column without any value is left out
    if not pd.api.types.is_numeric_dtype(values.dtype):
        raise ConfigError(f"data.time={name} holds {values.dropna().iloc[0]!r}: it must hold dates or numbers")
    if values.isna().any():
        raise ConfigError(
            f"data.time={name} has {int(values.isna().sum())} missing values: fill them in or drop the rows"
        )
    return values.astype("int64" if (values == values.round()).all() else "float64")
