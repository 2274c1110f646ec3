"""The curve: every seed's classifier at every amount of synthetic rows, measured on that seed's test rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import ConfigError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import Control
from opal.evaluate.fits import each, fitted
from opal.evaluate.measure import measure
from opal.evaluate.metrics import Record
from opal.table import Split

CLEAN = "without_test_matches/"  # metrics of the curve without the synthetic rows that equal a test row
MOST_STEPS = 10_000


@dataclass(frozen=True)
class Amounts:
    """0, c, 2c, ... ``steps`` x c synthetic rows; c is ``size``, or a fifth of the train rows (at least 1)."""

    steps: int = 5
    size: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= MOST_STEPS:
            raise ConfigError(f"amounts.steps={self.steps} must lie between 0 and {MOST_STEPS}: each is a fit per seed")
        if self.size is not None and self.size < 1:
            raise ConfigError(f"amounts.size={self.size} must be 1 or more, or null for a fifth of the train rows")

    def __call__(self, train_rows: int) -> list[int]:
        size = self.size or max(train_rows // 5, 1)
        return [size * k for k in range(self.steps + 1)]


def curve(
    classifier: Classifier,
    splits: Sequence[Split],
    rows: Sequence[pd.DataFrame],
    amounts: Sequence[Sequence[int]],
    minority: Any,
    n_jobs: int = 1,
    progress: Any = None,
    controls: Mapping[str, Control] | None = None,
) -> pd.DataFrame:
    """Tidy errors [seed, amount, metric, value]; amounts with too few rows are left out.

    Controls stand at amount 0 as ``control/<name>/<metric>``; they share the fit without synthetic rows.
    Results are the same for any ``n_jobs``: a fit sees its seed's rows and nothing else. A fit without synthetic rows
    is the same for every method, so that a process makes it once.
    """
    jobs = jobs_of(classifier, splits, rows, amounts, minority, controls)
    return tidy(record for records in fitted(jobs, n_jobs, progress) for record in records)


def jobs_of(
    classifier: Classifier,
    splits: Sequence[Split],
    rows: Sequence[pd.DataFrame],
    amounts: Sequence[Sequence[int]],
    minority: Any,
    controls: Mapping[str, Control] | None = None,
) -> list[tuple]:
    """The fits of a curve: the arguments of `measure`."""
    return [
        (classifier, split, made.iloc[:amount], amount, minority, controls if amount == 0 else None)
        for split, made, steps in zip(splits, rows, amounts, strict=True)
        for amount in steps
        if amount <= len(made)
    ]


def curve_without(
    left_out: Sequence[np.ndarray],
    known: pd.DataFrame,
    classifier: Classifier,
    splits: Sequence[Split],
    rows: Sequence[pd.DataFrame],
    amounts: Sequence[Sequence[int]],
    minority: Any,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """The curve with some synthetic rows left out, at the amounts they were counted in.

    Parameters
    ----------
    left_out : one boolean array per seed, shape (n_rows,)
    known : the full curve; amounts that lose no row are taken from it, not fitted again
    """
    jobs, same = [], []
    for split, made, steps, out in zip(splits, rows, amounts, left_out, strict=True):
        for amount in (a for a in steps if a <= len(made)):
            if out[:amount].any():
                jobs.append((classifier, split, made.iloc[:amount][~out[:amount]], amount, minority))
            else:
                same.append(known[(known["seed"] == split.seed) & (known["amount"] == amount)])
    again = tidy(record for found in each(measure, jobs, n_jobs) for record in found)
    return pd.concat([f for f in (again, *same) if len(f)], ignore_index=True)


def control_names(errors: pd.DataFrame) -> list[str]:
    """The controls that were measured, in order."""
    found = (re.fullmatch(r"control/([^/]+)/error", metric) for metric in errors["metric"].unique())
    return [match[1] for match in found if match]


def tidy(records: Iterable[Record]) -> pd.DataFrame:
    return pd.DataFrame(records, columns=["seed", "amount", "metric", "value"])
