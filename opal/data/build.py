"""From a frame of any origin to a Table: plain dtypes, checked names, a minority class."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from opal.data.content import listed, no_target
from opal.data.dates import with_dates
from opal.data.free_text import without_free_text
from opal.data.labels import short_labels
from opal.data.order import times_of, units_of
from opal.errors import ConfigError, DataError
from opal.table import Schema, Table

log = logging.getLogger(__name__)

NOT_IN_NAMES = re.compile(r"[/\\\x00-\x1f]")
MOST = float(np.finfo("float32").max)  # scikit-learn's trees keep numbers in float32
MAX_CLASSES = 20  # above this, and with fewer than 4 rows per class, a target is a quantity or a key


class Common(TypedDict, total=False):
    """Keys that every data source takes.

    target : column to predict
    minority : label short of rows, by value or as written, or a list of them; auto: all with less than half of the
        rows of the largest class, or the rarest (ties: the first). Default: the rarest of two classes, else auto
    group : feature that may be spuriously correlated with the target, for ``task=spurious``
    drop : columns to leave out
    kinds : ``{column: kind}`` or ``{column: {kind:, decimals:, format:}}``, overrides what the values suggest
    descriptions : ``{column: meaning and unit}``, for prompts
    free_text : drop leaves out columns of notes, names and keys (see opal.data.free_text), carry keeps them
    sizes : ``{task: {key: value}}``, split sizes that suit the table
    groups : column that tells whom or what a row belongs to; its rows stay on one side of every split and fold, and
        it is no feature
    time : column of dates or numbers; test rows are later than train rows. It stays a feature unless ``drop`` names it
    """

    target: str | None
    minority: Hashable | Sequence[Hashable]
    group: str | None
    drop: Sequence[str] | None
    kinds: Mapping[str, Any] | None
    descriptions: Mapping[str, str] | None
    free_text: str
    sizes: Mapping[str, Mapping[str, Any]] | None
    groups: str | None
    time: str | None


def build_table(
    name: str,
    frame: pd.DataFrame,
    source: str,
    target: str | None = None,
    minority: Hashable | Sequence[Hashable] = None,
    group: str | None = None,
    drop: Sequence[str] | None = None,
    kinds: Mapping[str, Any] | None = None,
    descriptions: Mapping[str, str] | None = None,
    free_text: str = "drop",
    sizes: Mapping[str, Mapping[str, Any]] | None = None,
    groups: str | None = None,
    time: str | None = None,
) -> Table:
    """Drop, normalise, infer and check: the last step of every source; see Common for the keys.

    Parameters
    ----------
    source : where the frame came from, for messages and the record

    Raises
    ------
    ConfigError : a key names no column or no class
    DataError : no rows, no feature, one class, missing or continuous target, infinite values
    """
    check_name(name := str(name))
    frame = _named(frame, source)
    if target is None:
        raise no_target(frame.columns)
    check_column("data.target", target := str(target), frame.columns)
    for column in (dropped := [str(n) for n in drop or ()]):
        check_column("data.drop", column, frame.columns)
    if target in dropped:
        raise ConfigError(f"data.drop names {target!r}, which is data.target: a table needs its target")
    for key, named in (("groups", groups), ("time", time)):
        if named is not None:
            check_column(f"data.{key}", str(named), [c for c in frame.columns if c != target])
    out = {*dropped, *([str(groups)] if groups is not None else [])}
    whole, frame = frame, frame.drop(columns=out - {str(time)})
    if group is not None:
        check_column("data.group", group := str(group), frame.columns)
    if frame.empty:
        raise DataError(f"data={name} has no rows: {source} is empty")
    frame = normalise(frame, keep=(target,))
    frame, kinds = with_dates(frame, kinds, keep=(target, str(group)))
    units, moments = units_of(whole, groups), times_of(whole, frame, time)
    frame = frame.drop(columns=out & set(frame.columns))
    frame = without_free_text(frame, free_text, {target, str(group), *kinds})
    if frame.shape[1] < 2:
        raise DataError(f"data={name} has no column beside the target {target!r}: there is nothing to learn from")
    _check_classes(frame[target], target)
    _check_numbers(frame)
    gone = set(whole.columns) - set(frame.columns)
    schema = Schema.infer(frame, target, _without(kinds, gone), _without(descriptions, gone))
    short = short_labels(frame[target], schema.labels, minority)
    plain = {str(task): dict(given) for task, given in (sizes or {}).items()}
    several = short if len(short) > 1 else ()
    return Table(name, frame, schema, short[0], group, source, plain, units, moments, several)


def check_name(name: str) -> None:
    """Raise ConfigError unless ``name`` is safe in names of runs and files."""
    if NOT_IN_NAMES.search(name) or not name.strip("."):
        raise ConfigError(f"data.name={name!r} stands in the names of runs and files: let it hold no / or \\")


def check_column(key: str, name: str, columns: Iterable[str]) -> None:
    """Raise ConfigError, with the nearest names, unless ``name`` is among ``columns``."""
    names = [str(c) for c in columns]
    if name in names:
        return
    folded = {c.casefold().strip(): c for c in reversed(names)}
    close = difflib.get_close_matches(name.casefold().strip(), list(folded), n=1)
    hint = f"did you mean {folded[close[0]]!r}? " if close else ""
    raise ConfigError(f"{key}={name!r} is not a column; {hint}columns: {listed(names)}")


def normalise(frame: pd.DataFrame, keep: Sequence[str] = ()) -> pd.DataFrame:
    """Every column as int64, float64 or text, so that later code meets only three dtypes.

    Booleans become 0/1; other numbers int64 or float64 (float32 keeps its shortest decimal form); categories
    their values; dates ISO text to the second; whole numbers beyond int64, and mixtures, text. Columns without
    any value are left out with a warning, unless named by ``keep``. The index becomes 0..n-1.

    Raises
    ------
    DataError : infinite values
    """
    out: dict[str, pd.Series] = {}
    for name in frame.columns:
        values = frame[name].reset_index(drop=True)
        if name not in keep and values.isna().all():
            log.warning("column %r has no value in any row: left out", name)
            continue
        out[name] = _plain_column(values)
        if out[name].dtype == "float64" and np.isinf(out[name].to_numpy()).any():
            raise DataError(f"column {name!r} holds infinite values: replace them or leave it out: data.drop=[{name}]")
    for name in keep:  # labels 0.0 and 1.0 are 0 and 1
        column = out[name]
        if column.dtype == "float64" and column.notna().all() and (column == column.round()).all():
            out[name] = _plain_column(column.astype("int64")) if column.abs().max() < 2**53 else column
    return pd.DataFrame(out)


def _plain_column(values: pd.Series) -> pd.Series:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _plain_column(values.astype(dtype.categories.dtype) if values.notna().all() else values.astype(object))
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return _dates(values)
    if pd.api.types.is_complex_dtype(dtype):
        return _text(values)
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        return _numbers(values)
    if pd.api.types.is_object_dtype(dtype):
        kind = pd.api.types.infer_dtype(values, skipna=True)
        if kind in ("boolean", "integer", "floating", "mixed-integer-float", "decimal"):
            known = values.dropna()
            if kind in ("boolean", "integer"):
                whole = [int(v) for v in known]
                if max(whole) < 2**63 and min(whole) >= -(2**63):
                    return _numbers(pd.Series(whole, index=known.index, dtype="Int64").reindex(values.index))
                return _text(values)
            return values.astype(float)
        if kind in ("datetime", "datetime64", "date"):
            return _dates(pd.to_datetime(values))
    return _text(values)


def _numbers(values: pd.Series) -> pd.Series:
    dtype, missing = values.dtype, bool(values.isna().any())
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_integer_dtype(dtype):
        if pd.api.types.is_unsigned_integer_dtype(dtype) and (values.dropna() >= 2**63).any():
            return _text(values)
        return values.astype("float64") if missing else values.astype("int64")
    numbers = values.to_numpy(dtype="float64", na_value=np.nan)
    if (size := getattr(dtype, "itemsize", 8)) < 8:  # 0.1 as float32 is 0.1, not 0.10000000149
        narrow = numbers.astype(f"float{8 * size}")
        numbers = np.array([float(str(v)) for v in narrow])
    return pd.Series(numbers, index=values.index, name=values.name)


def _dates(values: pd.Series) -> pd.Series:
    values = (values.dt.tz_convert("UTC").dt.tz_localize(None) if values.dt.tz is not None else values).dt.floor("s")
    whole_days = bool((values.dropna().dt.normalize() == values.dropna()).all())
    return _text(values.map(lambda t: t.date().isoformat() if whole_days else t.isoformat(), na_action="ignore"))


def _text(values: pd.Series) -> pd.Series:
    if _PANDAS_3 and values.dtype == "str":
        return values

    def write(value: Any) -> str:
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    known = values.notna()
    cells = [write(v) if k else np.nan for v, k in zip(values, known, strict=True)]
    return pd.Series(cells, index=values.index, name=values.name, dtype="str" if _PANDAS_3 else object)


_PANDAS_3 = int(pd.__version__.split(".")[0]) >= 3


def _named(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    names = [str(n) for n in frame.columns]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise DataError(f"{source} has two columns named {twice[0]!r}: rename one")
    return frame.set_axis(names, axis=1)


def _check_classes(values: pd.Series, target: str) -> None:
    classes = values.nunique()
    if classes > MAX_CLASSES and classes > len(values) / 4:
        raise DataError(
            f"target {target!r} has {classes} different values in {len(values)} rows: a quantity or a key, "
            "not a class; name a column with few values as data.target"
        )


def _check_numbers(frame: pd.DataFrame) -> None:
    for name in frame.columns:
        if frame[name].dtype == "float64" and frame[name].abs().max() > MOST:
            raise DataError(
                f"column {name!r} holds numbers beyond {MOST:.1e}, which trees cannot take: rescale or leave it out: "
                f"data.drop=[{name}]"
            )


def _without(mapping: Mapping[Any, Any] | None, gone: set[str]) -> dict[str, Any]:
    """Settings of the columns that remain; unknown names stay in and are reported."""
    return {str(k): v for k, v in (mapping or {}).items() if str(k) not in gone}
