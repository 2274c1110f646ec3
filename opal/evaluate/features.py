"""Preprocessing, fitted on training rows only: one-hot or native categories, imputation, scaling."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from opal.table import Schema

Encoding = Literal["onehot", "native"]
MOST_LEVELS = 100  # columns that one-hot encoding makes of one: a thousand would fill the memory and teach little


def is_text(schema: Schema, name: str) -> bool:
    """Whether a column goes through a classifier as names: categories, and two values that are no numbers."""
    column = schema[name]
    return column.kind == "categorical" or (column.kind == "binary" and not column.numeric)


def transformer(schema: Schema, encoding: Encoding, scale: bool) -> Any:
    """An unfitted scikit-learn transformer for the features of ``schema``.

    onehot: numbers imputed by the median with a flag for what was missing (and standardised where ``scale``),
    names one column a level, a missing name being a level; an unseen level is all zeros. Beyond ``MOST_LEVELS``
    the rarest levels share a column with unseen ones.
    native: for classifiers that take names and missing numbers themselves.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    names = [c.name for c in schema.features if is_text(schema, c.name)]
    numbers = [c.name for c in schema.features if not is_text(schema, c.name)]
    missing = any(schema[n].missing for n in numbers)
    if encoding == "native" or not (names or missing or scale):  # a ColumnTransformer costs as much as a small fit
        return Native(names, numbers)
    steps: list[Any] = []
    if missing:
        steps.append(SimpleImputer(strategy="median", add_indicator=True))
    if scale:
        steps.append(StandardScaler())
    blocks: list[Any] = []
    if numbers:
        blocks.append(("numbers", make_pipeline(*steps) if steps else "passthrough", numbers))
    if names:
        onehot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_LEVELS, sparse_output=False)
        blocks.append(("names", onehot, names))
    return Coded(names, ColumnTransformer(blocks)) if names else ColumnTransformer(blocks)


class Coded:
    """Whole numbers in place of names, in the order of their text, ahead of ``encoder``.

    scikit-learn's encoders read text cell by cell in Python: at 200,000 rows that took three times as long as a
    logistic regression on them. An unseen name is -1.
    """

    def __init__(self, names: list[str], encoder: Any) -> None:
        self.names, self.encoder = names, encoder
        self.levels: dict[str, pd.Index] = {}

    def fit_transform(self, frame: pd.DataFrame) -> Any:
        factored = {name: _factored(frame[name]) for name in self.names}
        self.levels = {name: pd.Index(sorted(set(texts)), dtype=object) for name, (_, texts) in factored.items()}
        return self.encoder.fit_transform(self._coded(frame, factored))

    def transform(self, frame: pd.DataFrame) -> Any:
        return self.encoder.transform(self._coded(frame, {name: _factored(frame[name]) for name in self.names}))

    def _coded(self, frame: pd.DataFrame, factored: dict[str, tuple[np.ndarray, list[str]]]) -> pd.DataFrame:
        coded = {name: self.levels[name].get_indexer(texts)[codes] for name, (codes, texts) in factored.items()}
        return frame.assign(**coded)


def _factored(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """A position in the list of different values for each row, and those values as text, as ``as_text`` writes them."""
    if pd.api.types.is_object_dtype(values.dtype) and pd.api.types.infer_dtype(values) != "string":
        values = as_text(values.to_frame())[values.name]  # 1, 1.0 and True are equal, but other names
    codes, found = pd.factorize(values, use_na_sentinel=False)
    return codes, ["(missing)" if pd.isna(v) else str(v) for v in found]


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Names as text, a missing one as its own level: encoders then see one type."""
    return frame.astype(object).where(frame.notna(), "(missing)").astype(str)


class Native:
    """Names as text first, then numbers, missing ones left as NaN."""

    def __init__(self, names: list[str], numbers: list[str]) -> None:
        self.names, self.numbers = names, numbers

    def fit_transform(self, frame: pd.DataFrame) -> Any:
        return self.transform(frame)

    def transform(self, frame: pd.DataFrame) -> Any:
        numbers = frame[self.numbers].astype(float)
        if not self.names:
            return numbers.to_numpy()
        return pd.concat([as_text(frame[self.names]), numbers], axis=1)


def label_codes(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """The target as positions in ``schema.labels``, shape (n_rows,)."""
    return pd.Index(schema.labels).get_indexer(frame[schema.target])
