"""Columns of free text, or of names that differ in every row: nothing to learn from, and not for synthetic rows."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Literal, get_args

import pandas as pd

from opal.data.told import tell_once
from opal.errors import ConfigError

FreeText = Literal["drop", "carry"]
LEAST_ROWS = 20  # with fewer rows, different values mean little
MOST_DIFFERENT = 0.5  # of the values known
LONG = 200  # characters of the middle value; sentences that are repeated (codes spelt out) are shorter
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([T ].*)?|\d\d?([./-])\d\d?\2\d{2,4}|\d\d?:\d\d(:\d\d)?")


def free_text_columns(frame: pd.DataFrame, policy: str, keep: Collection[str]) -> list[str]:
    """The text columns that ``policy`` leaves out.

    In a synthetic row, a note or a name would be a real person's; and a classifier learns nothing from values that
    each occur once.

    Parameters
    ----------
    frame : in the plain dtypes of opal.data.build.normalise
    policy : drop, or carry: treat them as any other names
    keep : columns that are carried in any case

    Raises
    ------
    ConfigError : unknown policy
    """
    if policy not in get_args(FreeText):
        raise ConfigError(f"data.free_text={policy!r} is unknown; options: {', '.join(get_args(FreeText))}")
    return [n for n in frame.columns if n not in keep and is_free_text(frame[n])] if policy == "drop" else []


def without_free_text(frame: pd.DataFrame, policy: str, keep: Collection[str]) -> pd.DataFrame:
    """``frame`` without its ``free_text_columns``, with a warning for each."""
    found = free_text_columns(frame, policy, keep)
    for name in found:
        tell_once(
            f"column {name!r} holds free text or keys ({frame[name].nunique()} different values): left out; "
            "data.free_text=carry keeps such columns, a kind in data.kinds this one",
            logging.WARNING,
        )
    return frame.drop(columns=found)


def is_free_text(values: pd.Series) -> bool:
    """Whether a column holds long text, or text that mostly differs from row to row; dates and times do not count."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return False
    known = values.dropna()
    if len(known) < LEAST_ROWS:
        return False
    sample = known.iloc[:1000]
    if sample.str.len().median() > LONG:
        return True
    return (
        sample.nunique() > MOST_DIFFERENT * len(sample)
        and known.nunique() > MOST_DIFFERENT * len(known)
        and not sample.map(lambda text: bool(_DATE.fullmatch(text.strip()))).all()
    )
