"""Rows that a person hands to an estimator in Python, as OPAL sees them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

import numpy as np
import pandas as pd

from opal.data.build import normalise
from opal.data.dates import kind_of, with_dates
from opal.data.free_text import free_text_columns
from opal.data.numbers import Form, with_numbers
from opal.data.parse import bare_cells
from opal.errors import ConfigError, DataError
from opal.table import Group, Schema, Train


@dataclass(frozen=True)
class Given:
    """Rows as they were given, and as methods see them.

    Parameters
    ----------
    frame : the features as given, index 0..n-1, numbers that stood as text as numbers
    forms : how each of these was written
    seen : the same rows in plain dtypes, target last, without ``left_out``
    schema : what ``seen`` holds
    left_out : columns of free text or keys
    """

    frame: pd.DataFrame = field(repr=False)
    forms: dict[str, Form]
    seen: pd.DataFrame = field(repr=False)
    schema: Schema
    left_out: list[str]

    def train(self, random_state: Any, short: Collection[Hashable] = (), units: pd.Series | None = None) -> Train:
        """Train rows with a group for each class; ``short`` names the classes that are short of rows."""
        target = self.schema.target
        groups = tuple(Group(target, label, label in short) for label in self.schema.labels)
        return Train(self.seen, self.schema, groups, seed_of(random_state), units=units)


def read_given(
    rows: pd.DataFrame,
    classes: np.ndarray,
    kinds: Mapping[str, Any] | None = None,
    descriptions: Mapping[str, str] | None = None,
    free_text: str = "carry",
) -> Given:
    """Read ``rows`` as the rows of a file are read: numbers in text, missing markers, dates, free text.

    Parameters
    ----------
    rows : as of `frame_of`
    classes : the target, shape (n_rows,)
    kinds, descriptions, free_text : as of opal.data.build.Common

    Raises
    ------
    ConfigError : ``kinds`` or ``descriptions`` names no column, or day and month cannot be told apart
    DataError : infinite values, or nothing but free text
    """
    kinds, descriptions = kinds or {}, descriptions or {}
    for key, named in (("kinds", kinds), ("descriptions", descriptions)):
        if unknown := [c for c in named if c not in rows.columns]:
            raise ConfigError(f"{key} names {unknown[0]!r}, which is not a column; columns: {', '.join(rows)}")
    target = next(n for n in chain(("class", "label", "target"), map("y{}".format, count())) if n not in rows)
    no_numbers = [c for c in kinds if kind_of(kinds[c]) not in ("integer", "real")]
    frame, forms = with_numbers(rows, no_numbers, _separator(rows))
    seen = normalise(bare_cells(frame).assign(**{target: classes}), keep=(target,))
    seen, kinds = with_dates(seen, kinds, keep=(target,), key="kinds")
    left_out = free_text_columns(seen, free_text, {target, *kinds})
    seen = seen.drop(columns=left_out)
    if seen.shape[1] < 2:
        why = f"free text or keys ({', '.join(map(repr, left_out))})" if left_out else "columns without any value"
        raise DataError(f"X holds nothing but {why}: there is nothing to learn from")
    schema = Schema.infer(
        seen,
        target,
        {target: "categorical"} | {c: k for c, k in kinds.items() if c in seen},
        {c: text for c, text in descriptions.items() if c in seen},
    )
    return Given(frame, forms, seen, schema, left_out)


def check_names(rows: pd.DataFrame) -> None:
    """Raise DataError unless every column has a name of its own."""
    if rows.columns.duplicated().any():
        raise DataError(f"X has two columns named {rows.columns[rows.columns.duplicated()][0]!r}: rename one")


def frame_of(X: Any) -> pd.DataFrame:
    """A DataFrame or array as a DataFrame with index 0..n-1 and texts as names; an array's columns are x0, x1, ..."""
    framed = isinstance(X, pd.DataFrame)
    rows = X.reset_index(drop=True) if framed else pd.DataFrame(X).infer_objects()
    return rows.set_axis([str(c) if framed else f"x{c}" for c in rows.columns], axis=1)


def seed_of(random_state: Any) -> int:
    """The seed itself; of None or a RandomState a drawn one."""
    from sklearn.utils import check_random_state

    fixed = isinstance(random_state, int | np.integer)
    return int(random_state) if fixed else int(check_random_state(random_state).randint(2**31 - 1))


def _separator(rows: pd.DataFrame) -> str:
    """What the file may have had between its cells: fractions that pandas has read had decimal points."""
    known = rows.select_dtypes("floating")
    return "," if (known.notna() & (known != known.round())).any(axis=None) else ";"
