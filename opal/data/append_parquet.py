"""Appending new rows to a Parquet file, or to a frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from opal.data.restore import places_of, restore
from opal.errors import DataError
from opal.table import Schema

Extra = tuple[str, Sequence[str]] | None  # name and cells of a further column, missing in the existing rows


def extended_parquet(path: Path, rows: pd.DataFrame, frame: pd.DataFrame, schema: Schema, extra: Extra = None) -> Any:
    """An Arrow table: that of the file, types and values unchanged, then ``rows``.

    Parameters
    ----------
    rows, frame, schema : new rows; those of the file as a Table has them, and what they hold
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    old = pq.read_table(path).replace_schema_metadata(None)
    arrays = []
    for field in old.schema:
        if field.name not in rows:
            arrays.append(pa.nulls(len(rows), field.type))
        elif schema[field.name].nominal:
            places = pa.array(places_of(rows[field.name], frame[field.name]))
            arrays.append(pa.chunked_array(old.column(field.name).take(places)))
        elif dates := schema[field.name].dates:
            texts = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
            new = rows[field.name].map(dates.write, na_action="ignore") if texts else dates.moments(rows[field.name])
            arrays.append(pa.array(new, from_pandas=True).cast(field.type))
        else:
            values = rows[field.name].astype(float).round(schema[field.name].decimals)
            if pa.types.is_floating(field.type):
                arrays.append(pa.array(values, from_pandas=True).cast(field.type))
            else:  # whole or decimal numbers, exactly as written
                texts = [None if pd.isna(v) else np.format_float_positional(v, trim="-") for v in values]
                arrays.append(pa.array(texts, pa.string()).cast(field.type))
    both = pa.concat_tables([old, pa.table(arrays, schema=old.schema)])
    if extra is None:
        return both
    _check(extra[0], both.column_names)
    return both.append_column(extra[0], pa.array([None] * len(old) + list(extra[1]), pa.string()))


def with_rows(
    given: pd.DataFrame, rows: pd.DataFrame, frame: pd.DataFrame, schema: Schema, extra: Extra = None
) -> pd.DataFrame:
    """``given``, then new rows in its dtypes."""
    rounded = rows.assign(
        **{c.name: rows[c.name].round(c.decimals) for c in schema.features if not c.nominal and c.decimals}
    )
    both = pd.concat([given, restore(rounded, frame, schema, given)], ignore_index=True)
    if extra is None:
        return both
    _check(extra[0], list(given.columns))
    return both.assign(**{extra[0]: [None] * len(given) + list(extra[1])})


def _check(name: str, names: Sequence[str]) -> None:
    if name in names:
        raise DataError(f"provenance={name!r} is a column of the table already: choose another name")
