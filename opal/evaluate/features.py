"""Preprocessing, fitted on training rows only: one-hot or native categories, imputation, scaling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from opal.dates import DateFormat
from opal.table import Schema

Encoding = Literal["onehot", "native", "table"]
MISSING = "(missing)"  # the level that a missing name is
MOST_LEVELS = 100  # most columns that one-hot encoding makes of one: a thousand would fill the memory and add little


def is_text(schema: Schema, name: str) -> bool:
    """Whether a column goes through a classifier as names: categories, and two values that are not numbers."""
    column = schema[name]
    return column.kind == "categorical" or (column.kind == "binary" and not column.numeric)


def transformer(schema: Schema, encoding: Encoding, scale: bool) -> Any:
    """An unfitted scikit-learn transformer for the features of ``schema``.

    onehot: numbers imputed by the median with a flag for what was missing in training (and standardised where
    ``scale``), names one column per level, a missing name being a level; an unseen level is all zeros. Beyond
    ``MOST_LEVELS`` the rarest levels share a column with unseen ones.
    native, table: for classifiers that take names and missing numbers themselves.
    Dates are numbers, with year, month, weekday and hour as further ones (`calendar`).
    """
    from sklearn.pipeline import make_pipeline

    names = [c.name for c in schema.features if is_text(schema, c.name)]
    numbers = [c.name for c in schema.features if not is_text(schema, c.name)]
    dates = {c.name: c.dates for c in schema.features if c.dates}
    missing = any(schema[n].missing for n in numbers)
    if encoding != "onehot":
        return Native(names, numbers, dates)
    steps = steps_of_numbers(missing, scale)
    return OneHot(names, numbers, make_pipeline(*steps) if steps else None, dates)


def steps_of_numbers(missing: bool, scale: bool) -> list[Any]:
    """Unfitted steps that numbers go through beside one-hot encoded names."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    imputer = [SimpleImputer(strategy="median", add_indicator=True)] if missing else []
    return [*imputer, *([StandardScaler()] if scale else [])]


def calendar(frame: pd.DataFrame, numbers: list[str], dates: Mapping[str, DateFormat]) -> pd.DataFrame:
    """The columns ``numbers``, then year, month, weekday and hour of each date, where its format has them."""
    if not dates:
        return frame[numbers]
    found = {name: frame[name] for name in numbers}
    for name, form in dates.items():
        moments = form.moments(frame[name]).dt
        parts = ["year", "month", "day_of_week"] * form.dated + ["hour"] * form.timed
        found |= {f"{name} {part}": getattr(moments, part).astype(float) for part in parts}
    return pd.DataFrame(found, index=frame.index)


class OneHot:
    """Numbers through ``steps``, then a column per level of each name, in the order of the levels' text.

    Equal to a ColumnTransformer of both with scikit-learn's OneHotEncoder, which reads text cell by cell and copies
    the matrix when it joins the two: on a million rows that took three times as long as a logistic regression.
    """

    def __init__(
        self, names: list[str], numbers: list[str], steps: Any, dates: Mapping[str, DateFormat] | None = None
    ) -> None:
        self.names, self.numbers, self.steps, self.dates = names, numbers, steps, dates or {}
        self.fitted: pd.DataFrame | None = None  # numbers without gaps: their medians fill gaps that come later
        self.levels: dict[str, pd.Index] = {}
        self.columns: dict[str, np.ndarray] = {}  # of each level, then of an unseen one; -1: none

    def fit_transform(self, frame: pd.DataFrame) -> np.ndarray:
        factored = {name: _factored(frame[name]) for name in self.names}
        for name, (codes, texts) in factored.items():
            self.levels[name] = pd.Index(sorted(set(texts)), dtype=object)
            self.columns[name] = _columns(np.bincount(self.levels[name].get_indexer(texts)[codes]))
        return self._filled(self._of_numbers(frame, "fit_transform"), factored)

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        return self._filled(self._of_numbers(frame, "transform"), {name: _factored(frame[name]) for name in self.names})

    def _of_numbers(self, frame: pd.DataFrame, method: str) -> np.ndarray:
        numbers = calendar(frame, self.numbers, self.dates)
        if method == "fit_transform":
            self.fitted = None if numbers.isna().any(axis=None) else numbers
        elif self.fitted is not None and numbers.isna().any(axis=None):
            numbers = numbers.fillna(self.fitted.median())
        if not self.numbers or self.steps is None:
            return numbers.to_numpy(dtype=float)
        return np.asarray(getattr(self.steps, method)(numbers))

    def _filled(self, numbers: np.ndarray, factored: dict[str, tuple[np.ndarray, list[str]]]) -> np.ndarray:
        if not self.names:
            return numbers
        widths = [int(self.columns[name].max()) + 1 for name in self.names]
        out = np.zeros((len(numbers), numbers.shape[1] + sum(widths)))
        out[:, : (at := numbers.shape[1])] = numbers
        for (name, (codes, texts)), width in zip(factored.items(), widths, strict=True):
            column = self.columns[name][self.levels[name].get_indexer(texts)][codes]
            seen = np.flatnonzero(column >= 0)
            out[seen, at + column[seen]] = 1.0
            at += width
        return out


def _columns(counts: np.ndarray) -> np.ndarray:
    """Each level's column given its rows, then an unseen level's: none, or the last, which the rarest levels share."""
    if len(counts) < MOST_LEVELS:
        return np.append(np.arange(len(counts)), -1)
    out = np.full(len(counts) + 1, MOST_LEVELS - 1)
    out[np.sort(np.argsort(counts, kind="stable")[-(MOST_LEVELS - 1) :])] = np.arange(MOST_LEVELS - 1)
    return out


def _factored(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """A position in the list of different values for each row, and those values as text, as ``as_text`` writes them."""
    if pd.api.types.is_object_dtype(values.dtype) and pd.api.types.infer_dtype(values) != "string":
        values = as_text(values.to_frame())[values.name]  # 1, 1.0 and True are equal, but other names
    codes, found = pd.factorize(values, use_na_sentinel=False)
    return codes, [MISSING if pd.isna(v) else str(v) for v in found]


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Names as text, a missing one as its own level: encoders then see one type."""
    return frame.astype(object).where(frame.notna(), MISSING).astype(str)


class Native:
    """Names as text first, then numbers, missing ones left as NaN."""

    def __init__(self, names: list[str], numbers: list[str], dates: Mapping[str, DateFormat] | None = None) -> None:
        self.names, self.numbers, self.dates = names, numbers, dates or {}

    def fit_transform(self, frame: pd.DataFrame) -> Any:
        return self.transform(frame)

    def transform(self, frame: pd.DataFrame) -> Any:
        numbers = calendar(frame, self.numbers, self.dates).astype(float)
        if not self.names:
            return numbers.to_numpy()
        return pd.concat([as_text(frame[self.names]), numbers], axis=1)


def minority_codes(schema: Schema, minority: Any) -> list[int]:
    """Positions in ``schema.labels`` of the labels that are short of rows: one label, or a tuple of several."""
    several = minority if isinstance(minority, tuple) else (minority,)
    return [schema.labels.index(label) for label in several]


def label_codes(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """The target as positions in ``schema.labels``, shape (n_rows,)."""
    return pd.Index(schema.labels).get_indexer(frame[schema.target])
