"""Frozen values that flow through OPAL: Column, Schema, Table, Group, Train, Split."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from opal.dates import DateFormat
from opal.errors import ConfigError, DataError

Kind = Literal["binary", "categorical", "integer", "real", "date"]
MAX_DECIMALS = 6  # as many as float32 holds; more digits are noise to a model and cost tokens


@dataclass(frozen=True)
class Column:
    """What is known about one column.

    ``levels`` (binary, categorical) and ``low``/``high`` (the others) describe only the frame that the column was
    learned from: learn from train to keep test rows out. Dates are whole numbers in a frame (`opal.dates`);
    ``date_format`` is how they are written.
    """

    name: str
    kind: Kind
    dtype: str
    decimals: int = 0
    levels: tuple[Hashable, ...] = ()
    low: float = float("nan")
    high: float = float("nan")
    missing: bool = False
    description: str = ""
    date_format: str = ""

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers (a binary column may be either)."""
        if not self.nominal:
            return True
        if not self.levels:  # nothing but missing values in this frame
            return pd.api.types.is_numeric_dtype(pd.api.types.pandas_dtype(self.dtype))
        return not any(isinstance(v, str) for v in self.levels)

    @property
    def nominal(self) -> bool:
        """Whether the values are names without an order, which SMOTE cannot interpolate."""
        return self.kind in ("binary", "categorical")

    @property
    def whole(self) -> bool:
        """Whether rows that are made have whole numbers here."""
        return self.kind in ("integer", "date")

    @property
    def dates(self) -> DateFormat | None:
        """How its dates are written; None for a column without dates."""
        return DateFormat(self.date_format) if self.kind == "date" else None

    def learn(self, values: pd.Series) -> Column:
        """The same column with levels, range and missingness of ``values``."""
        known = values.dropna()
        missing = bool(values.isna().any())
        if self.nominal:
            levels = tuple(sorted((_plain(v) for v in known.unique()), key=lambda v: (isinstance(v, str), v)))
            return replace(self, levels=levels, missing=missing)
        low, high = (float(known.min()), float(known.max())) if len(known) else (float("nan"),) * 2
        return replace(self, low=low, high=high, missing=missing)


@dataclass(frozen=True)
class Schema:
    """The columns of a table in order, the target among them."""

    columns: tuple[Column, ...]
    target: str

    def __getstate__(self) -> dict[str, Any]:
        """Without what is cached: schemas that are equal have equal digests, used or not."""
        return {"columns": self.columns, "target": self.target}

    def __getitem__(self, name: str) -> Column:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {c.name: c for c in self.columns}

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    @property
    def features(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if c.name != self.target)

    @property
    def labels(self) -> tuple[Hashable, ...]:
        """The classes, sorted."""
        return self[self.target].levels

    @classmethod
    def infer(
        cls,
        frame: pd.DataFrame,
        target: str,
        kinds: Mapping[str, Any] | None = None,
        descriptions: Mapping[str, str] | None = None,
    ) -> Schema:
        """Infer kinds from the values; ``kinds`` overrides: ``{name: kind or {kind:, decimals:, format:}}``."""
        kinds, descriptions = dict(kinds or {}), dict(descriptions or {})
        for key, given in (("kinds", kinds), ("descriptions", descriptions)):
            if unknown := sorted(set(given) - set(frame.columns)):
                names = ", ".join(frame.columns)
                raise ConfigError(f"data.{key} names {unknown[0]!r}, which is not a column; columns: {names}")
        columns = []
        for name in frame.columns:
            forced = kinds.get(name, "categorical" if name == target and frame[name].nunique() > 2 else None)
            column = _infer_column(frame[name], forced)
            columns.append(replace(column, description=descriptions.get(name, "")))
        return cls(tuple(columns), target)

    def learn(self, frame: pd.DataFrame) -> Schema:
        """The same kinds, with levels and ranges of ``frame`` alone; the target keeps all its classes."""
        return replace(
            self,
            columns=tuple(c if c.name == self.target else c.learn(frame[c.name]) for c in self.columns),
        )

    def written(self, frame: pd.DataFrame) -> pd.DataFrame:
        """``frame`` with dates as their columns write them, for files that people open."""
        dates = {c.name: c.dates.write for c in self.columns if c.dates and c.name in frame}
        return frame.assign(**{name: frame[name].map(write, na_action="ignore") for name, write in dates.items()})

    def cast(self, frame: pd.DataFrame) -> pd.DataFrame:
        """``frame`` in this schema's column order and dtypes; integers with missing values stay float."""
        out = {}
        for c in self.columns:
            values = frame[c.name]
            if is_text(c.dtype) and not is_text(values.dtype):  # codes such as "12", read from a file as numbers
                values = values.map(_written, na_action="ignore")
            whole = pd.api.types.is_integer_dtype(c.dtype) or pd.api.types.is_bool_dtype(c.dtype)
            dtype = "float64" if whole and values.isna().any() else c.dtype
            out[c.name] = values.astype(pd.api.types.pandas_dtype(dtype))
        return pd.DataFrame(out, index=frame.index)


@dataclass(frozen=True)
class Table:
    """A data set: features and target, columns in order, target without missing values.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_features + 1), index 0..n-1
    minority : the label that is short of rows; the shortest of several
    minorities : all labels that are short of rows, where they are several
    group : feature that is spuriously correlated with the target (``task=spurious``), or None
    units : whom or what each row belongs to, as numbers: rows of one unit stay on one side of every split; or None
    time : when each row was, as numbers: test rows are later than train rows; or None
    sizes : split sizes that suit this table, by task; a task's own settings come first
    """

    name: str
    frame: pd.DataFrame = field(repr=False)
    schema: Schema
    minority: Hashable
    group: str | None = None
    source: str = ""
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    units: pd.Series | None = field(default=None, repr=False)
    time: pd.Series | None = field(default=None, repr=False)
    minorities: tuple[Hashable, ...] = ()

    def __post_init__(self) -> None:
        target, labels = self.schema.target, self.schema.labels
        if self.frame.empty:
            raise DataError(f"data={self.name} has no rows")
        if self.frame[target].isna().any():
            count = int(self.frame[target].isna().sum())
            raise DataError(f"target {target!r} has {count} missing values: drop those rows or fill them in")
        if len(labels) < 2:
            raise DataError(f"target {target!r} has a single class ({labels[0]!r}): nothing to classify")
        for label in self.short:
            if label not in labels:
                shown = ", ".join(map(repr, labels[:10]))
                raise ConfigError(f"data.minority={label!r} is not a class of {target!r}; classes: {shown}")
        if len(self.short) == len(labels):
            raise ConfigError("data.minority names every class: leave out those that have enough rows")
        if self.group is not None and self.group not in self.frame.columns:
            names = ", ".join(self.schema.names)
            raise ConfigError(f"data.group={self.group!r} is not a column; columns: {names}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 (32 hex digits) over names, dtypes and every value, in order; with units and time where given."""
        own, beside = frame_digest(self.frame), self.beside
        return own if beside.empty else hashlib.sha256((own + frame_digest(beside)).encode()).hexdigest()[:32]

    @property
    def short(self) -> tuple[Hashable, ...]:
        """The labels that are short of rows."""
        return self.minorities or (self.minority,)

    @property
    def beside(self) -> pd.DataFrame:
        """What splits know of each row beyond its values: units and time, where given."""
        known = {"units": self.units, "time": self.time}
        return pd.DataFrame({name: values for name, values in known.items() if values is not None})


@dataclass(frozen=True)
class Group:
    """A class, or a label x attribute cell (``task=spurious``)."""

    target: str
    label: Hashable
    minority: bool
    column: str | None = None
    level: Hashable = None  # a bool means: column > 0 is level

    @property
    def name(self) -> str:
        if self.column is None:
            return f"{self.target}={self.label}"
        level = int(self.level) if isinstance(self.level, bool) else self.level
        return f"{self.target}={self.label},{self.column}={level}"

    def mask(self, frame: pd.DataFrame) -> np.ndarray:
        """Boolean array of shape (n_rows,): the rows of this group."""
        mask = (frame[self.target] == self.label).to_numpy()
        if self.column is None:
            return mask
        if isinstance(self.level, bool):
            return mask & ((pd.to_numeric(frame[self.column]) > 0).to_numpy() == self.level)
        return mask & (frame[self.column] == self.level).to_numpy()


@dataclass(frozen=True)
class Train:
    """What an oversampler or a classifier may see: train rows and what was learned from them.

    augment : once the minority groups have reached the largest group, rows are wanted for every group
    units : whom or what rows belong to, by the index of ``frame``; or None. Folds keep rows of one unit together
    """

    frame: pd.DataFrame = field(repr=False)
    schema: Schema
    groups: tuple[Group, ...]
    seed: int
    augment: bool = False
    units: pd.Series | None = field(default=None, repr=False)

    @property
    def minority_groups(self) -> tuple[Group, ...]:
        return tuple(g for g in self.groups if g.minority)

    def short_of(self, group: Group) -> Train:
        """The same rows, with ``group`` as the only minority."""
        groups = tuple(replace(g, minority=g == group) for g in self.groups)
        return replace(self, groups=groups, augment=False)

    @property
    def wanted_groups(self) -> tuple[Group, ...]:
        """The groups that synthetic rows are wanted for: the minority, with ``augment`` all."""
        return self.groups if self.augment else self.minority_groups

    def rows(self, group: Group) -> pd.DataFrame:
        return self.frame[group.mask(self.frame)]


@dataclass(frozen=True)
class Split:
    """One seed's train and test rows; the index of both is that of the table's rows.

    overlap : test rows that equal a train row; 0 unless the split came from files
    """

    train: Train
    test: pd.DataFrame = field(repr=False)
    overlap: int = 0

    @property
    def seed(self) -> int:
        return self.train.seed


def frame_digest(frame: pd.DataFrame) -> str:
    """SHA-256 (32 hex digits) over the names, dtypes and values of ``frame``; the index does not count."""
    head = repr([(str(n), "text" if is_text(t) else str(t)) for n, t in frame.dtypes.items()])
    state = hashlib.sha256(head.encode())
    for name in frame.columns:
        values = frame[name]
        if isinstance(values.dtype, np.dtype) and pd.api.types.is_numeric_dtype(values.dtype):
            state.update(np.ascontiguousarray(values.to_numpy()).tobytes())
        elif pd.api.types.infer_dtype(values) == "string":  # each text is encoded once, not once per row
            codes, found = pd.factorize(values)
            written = [*map(_cell_bytes, found), _cell_bytes(None)]
            state.update(b"".join([written[code] for code in codes]))
        else:
            for cell in values:
                state.update(_cell_bytes(cell))
    return state.hexdigest()[:32]


def _cell_bytes(cell: Any) -> bytes:
    """A cell for `frame_digest`: length before text, so that no two lists of cells give the same bytes."""
    text = b"\x00" if pd.isna(cell) else repr(_plain(cell)).encode()
    return len(text).to_bytes(8, "little") + text


def _written(value: Any) -> str:
    """A value as text; 12.0 as 12, since a missing neighbour makes whole numbers floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def is_text(dtype: Any) -> bool:
    """Whether a column of this dtype holds text: ``object`` in pandas 2, ``str`` in pandas 3."""
    return pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)


def _plain(value: Any) -> Any:
    """A NumPy scalar as the Python value it holds; whole floats stay floats."""
    return value.item() if isinstance(value, np.generic) else value


def _infer_column(values: pd.Series, forced: Any = None) -> Column:
    known = values.dropna()
    numeric = pd.api.types.is_numeric_dtype(values.dtype)
    given = dict(forced) if isinstance(forced, Mapping) else {"kind": forced} if forced else {}
    decimals = decimals_of(known) if numeric and not pd.api.types.is_bool_dtype(values.dtype) else 0
    if known.iloc[:1000].nunique() <= 2 and known.nunique() <= 2:  # the first rows usually suffice
        kind: Kind = "binary"
    elif not numeric:
        kind = "categorical"
    else:
        kind = "real" if decimals else "integer"
    kind = given.get("kind", kind)
    date_format = str(given.get("format", "")) if kind == "date" else ""
    if kind not in get_args(Kind):
        raise ConfigError(f"data.kinds.{values.name}={kind!r} is not a kind; kinds: {', '.join(get_args(Kind))}")
    if kind == "date" and not date_format:
        raise ConfigError(
            f"data.kinds.{values.name}=date needs a format here, such as {{kind: date, format: '%d.%m.%Y'}}"
        )
    if kind in ("integer", "real", "date") and not numeric:
        seen = f"text such as {known.iloc[0]!r}" if len(known) else "no value"
        raise ConfigError(f"data.kinds.{values.name}={kind} but the column holds {seen}")
    decimals = int(given.get("decimals", 0 if date_format else decimals))
    return Column(str(values.name), kind, str(values.dtype), decimals, date_format=date_format).learn(values)


def decimals_of(values: pd.Series) -> int:
    """The fewest decimals that represent every value, at most MAX_DECIMALS, more where all are below 0.1."""
    numbers = values.to_numpy(dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    largest = float(np.abs(numbers).max(initial=0.0))
    zeros = max(0, -1 - int(np.floor(np.log10(largest)))) if largest else 0  # 0.00071: three
    most = MAX_DECIMALS + min(zeros, 12)
    needed = _decimals(numbers[:1000], most)  # the first rows usually suffice
    return needed if needed == most else _decimals(np.unique(numbers), most)


def _decimals(numbers: np.ndarray, most: int) -> int:
    return next((d for d in range(most) if np.array_equal(np.round(numbers, d), numbers)), most)
