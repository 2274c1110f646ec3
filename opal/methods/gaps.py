"""Missing values for methods that cannot carry them: filled in before rows are made, put back afterwards.

Gaps are filled from the train rows of the same group, so that differences between classes are kept. A new row then has
the gaps of one train row of its group, drawn at random: each column is missing as often as there, and together with the
same others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from opal.table import Group, Schema, Train

Impute = Literal["median", "knn"]
NEIGHBOURS = 5  # of impute=knn
MOST_NAMED = 3


def columns_with_gaps(train: Train) -> list[str]:
    """Features with a missing value in train."""
    return [c.name for c in train.schema.features if train.frame[c.name].isna().any()]


def filled(train: Train, impute: Impute) -> Train:
    """The train rows without gaps.

    Parameters
    ----------
    impute : ``median``: numbers by the median, names by the commonest, of the group, or of train where the group has no
        value; ``knn``: numbers by the mean of the five nearest rows of the group (scikit-learn's `KNNImputer`, columns
        scaled), names by the commonest
    """
    gaps = columns_with_gaps(train)
    frame = train.frame.copy()
    whole = {name: _middle(train.frame[name], train.schema) for name in gaps}
    for group in train.groups:
        mask = group.mask(train.frame)
        own = train.frame[mask]
        if impute == "knn" and len(own):
            own = _by_neighbours(own, train.schema)
        for name in gaps:
            middle = _middle(own[name], train.schema)
            value = whole[name] if middle is None else middle
            if value is not None:
                frame.loc[mask, name] = own[name].fillna(value)
            elif not train.schema[name].nominal:
                frame.loc[mask, name] = 0.0  # all of train is missing; put_back empties the column again
    return replace(train, frame=frame, schema=train.schema.learn(frame))


def put_back(rows: pd.DataFrame, train: Train, groups: Sequence[Group], rng: np.random.Generator) -> pd.DataFrame:
    """Rows with the gaps of train rows of their group, drawn at random.

    Parameters
    ----------
    train : as it was before `filled`
    """
    gaps = columns_with_gaps(train)
    rows = rows.copy()
    for group in groups:
        mine, own = group.mask(rows), train.rows(group)
        if not mine.any() or not len(own):
            continue
        pattern = own[gaps].isna().to_numpy()[rng.integers(len(own), size=int(mine.sum()))]
        for name, missing in zip(gaps, pattern.T, strict=True):
            at = np.flatnonzero(mine)[missing]
            rows[name] = rows[name].where(~np.isin(np.arange(len(rows)), at))
    return rows


def note(train: Train, impute: Impute) -> str:
    """A note in one sentence; "" without gaps."""
    if not (gaps := columns_with_gaps(train)):
        return ""
    named = ", ".join(map(repr, gaps[:MOST_NAMED])) + (", ..." if len(gaps) > MOST_NAMED else "")
    by = "the group's median or commonest value" if impute == "median" else "the group's five nearest rows"
    return (
        f"Missing values of {len(gaps)} column{'s' * (len(gaps) > 1)} ({named}) were filled in by {by} to make rows, "
        "which then got the gaps of train rows."
    )


def _middle(values: pd.Series, schema: Schema) -> object:
    """Median of numbers, commonest of names; None where all are missing."""
    known = values.dropna()
    if known.empty:
        return None
    column = schema[str(values.name)]
    if column.nominal:
        return known.mode().iloc[0]
    median = float(known.median())
    return round(median) if column.whole else median


def _by_neighbours(own: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """A group's rows with their numbers filled in."""
    from sklearn.impute import KNNImputer

    numbers = [c.name for c in schema.features if not c.nominal and own[c.name].notna().any()]
    values = own[numbers].to_numpy(float)
    middle, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    scale[scale == 0] = 1.0
    found = KNNImputer(n_neighbors=NEIGHBOURS).fit_transform((values - middle) / scale) * scale + middle
    return own.assign(**{name: found[:, i] for i, name in enumerate(numbers)})
