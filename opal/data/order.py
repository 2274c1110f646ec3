"""Columns that say which rows belong together, and which came first (``data.groups``, ``data.time``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from opal.data.dates import with_dates
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


def times_of(frame: pd.DataFrame, name: str | None, kinds: Mapping[str, Any] | None) -> pd.Series | None:
    """A number for each row, larger for later ones.

    Parameters
    ----------
    kinds : as of opal.data.build.Common; may name the column's format

    Raises
    ------
    ConfigError : the column holds neither numbers nor dates, or has gaps
    """
    if name is None:
        return None
    own = {name: kinds[name]} if kinds and name in kinds else None
    values = frame[name].reset_index(drop=True)
    if pd.api.types.is_datetime64_any_dtype(values.dtype) and values.notna().all():
        return values.astype("datetime64[ns, UTC]" if values.dt.tz else "datetime64[ns]").astype("int64")
    values = with_dates(values.to_frame(), own, keep=())[0][name]
    if not pd.api.types.is_numeric_dtype(values.dtype):
        raise ConfigError(f"data.time={name} holds {values.dropna().iloc[0]!r}: it must hold dates or numbers")
    if values.isna().any():
        raise ConfigError(
            f"data.time={name} has {int(values.isna().sum())} missing values: fill them in or drop the rows"
        )
    return values.astype("int64" if (values == values.round()).all() else "float64")
