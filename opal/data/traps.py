"""What may mislead a person about a table, reported before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from opal.table import Table

LEAK = 0.98  # balanced accuracy from which a column, or a pair, is reported: rounding blurs even a definition
LEAST_ROWS = 50  # with fewer rows a column may predict the target by chance
MOST_ROWS = 5_000  # drawn at random, for the search for leaks
MOST_PAIRED = 12  # the best single columns, whose pairs are looked at
_leaks: dict[str, list[Trap]] = {}  # by the table's digest
UNIT_NAME = re.compile(
    r"(^|_|\b)(patient|person|subject|participant|customer|client|user|member|household|student|animal|site|device"
    r"|machine|id|key|nr|no|number|uuid)s?(nr|no|id)?($|_|\b)",
    re.IGNORECASE,
)
KEY_NAME = re.compile(r"(^|_|\b)(id|key|nr|no|number|index|uuid|row)($|_|\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Trap:
    """One finding.

    Parameters
    ----------
    kind : leak, key, constant, repeated, person, time, labels or rare
    sentence : what was found, with the column's name
    mend : what to type or consider
    """

    kind: str
    sentence: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.sentence}{f'; {self.mend}' if self.mend else ''}."


def traps(table: Table, pairs: bool = True) -> list[Trap]:
    """All findings, leaks first.

    Parameters
    ----------
    pairs : also look for pairs of columns that predict the target together, which takes seconds
    """
    searches: list[Callable[[Table], Iterator[Trap]]] = [constants, keys, persons, dated, repeated, labels]
    return [*leaks(table, pairs), *(trap for search in searches for trap in search(table))]


def worst_of(table: Table) -> list[Trap]:
    """What makes a run's errors wrong or hard to read: found at once, so that every run can say it."""
    searches: list[Callable[[Table], Iterator[Trap]]] = [keys, persons, dated, labels]
    return [*leaks_of(table), *(trap for search in searches for trap in search(table))]


def leaks_of(table: Table) -> list[Trap]:
    """Single columns that predict the target; searched once per process and table."""
    if table.digest not in _leaks:
        _leaks[table.digest] = list(leaks(table, pairs=False))
    return _leaks[table.digest]


def leaks(table: Table, pairs: bool = True) -> Iterator[Trap]:
    """Columns, or pairs of them, that predict the target: shallow trees on five folds."""
    frame, names = _numbers(table)
    truth = pd.factorize(table.frame[table.schema.target])[0]
    if len(frame) > MOST_ROWS:
        drawn = np.random.default_rng(0).choice(len(frame), MOST_ROWS, replace=False)
        frame, truth = frame[drawn], truth[drawn]
    if len(truth) < LEAST_ROWS or np.bincount(truth).min() < 5:
        return
    found = {name: _told(frame[:, [i]], truth) for i, name in enumerate(names)}
    for name, score in found.items():
        if score >= LEAK:
            yield Trap(
                "leak",
                f"{name!r} alone predicts {table.schema.target!r} (balanced accuracy {score:.3f})",
                f"if it is not known before the target is, leave it out: data.drop=[{name}]",
            )
    others = [name for name in sorted(found, key=lambda n: -found[n]) if found[name] < LEAK][:MOST_PAIRED]
    for one, two in combinations(others, 2) if pairs else ():
        score = _told(frame[:, [names.index(one), names.index(two)]], truth)
        if score >= LEAK:
            yield Trap(
                "leak",
                f"{one!r} and {two!r} together predict {table.schema.target!r} (balanced accuracy {score:.3f})",
                f"if they are not known before the target is, leave one out: data.drop=[{two}]",
            )


def constants(table: Table) -> Iterator[Trap]:
    """Columns with a single value."""
    for column in table.schema.features:
        if table.frame[column.name].nunique(dropna=False) == 1:
            yield Trap("constant", f"{column.name!r} has the same value in every row", f"data.drop=[{column.name}]")


def keys(table: Table) -> Iterator[Trap]:
    """Whole numbers that number or identify rows."""
    n = len(table.frame)
    for column in table.schema.features:
        values = table.frame[column.name]
        if column.kind != "integer" or values.nunique() < n or n < LEAST_ROWS:
            continue
        counts = values.max() - values.min() == n - 1
        if counts or values.is_monotonic_increasing or KEY_NAME.search(column.name):
            yield Trap(
                "key",
                f"{column.name!r} looks like a key or row number: every value is another",
                f"data.drop=[{column.name}]",
            )


def persons(table: Table) -> Iterator[Trap]:
    """Columns that name a person (a machine, a site) with several rows."""
    n = len(table.frame)
    for column in table.schema.features:
        values = table.frame[column.name]
        if column.kind in ("integer", "categorical") and UNIT_NAME.search(column.name):
            different = values.nunique()
            if n / 20 < different < n and n >= LEAST_ROWS:
                yield Trap(
                    "person",
                    f"{column.name!r} seems to name {different} persons or things in {n} rows, so that one may stand "
                    "in train and in test, and errors look too low",
                    f"data.groups={column.name} keeps the rows of each on one side",
                )


def dated(table: Table) -> Iterator[Trap]:
    """Columns of dates, where rows are split at random."""
    dates = [column.name for column in table.schema.features if column.dates and column.dates.dated]
    if dates and table.time is None:
        yield Trap(
            "time",
            f"rows have dates ({', '.join(map(repr, dates[:3]))}), and test rows may be earlier than train rows",
            f"if later rows are to be predicted from earlier ones: data.time={dates[0]}",
        )


def repeated(table: Table) -> Iterator[Trap]:
    """Rows that equal another."""
    count = int(table.frame.duplicated().sum())
    if count:
        yield Trap(
            "repeated",
            f"{count} of {len(table.frame)} rows repeat another",
            "equal rows stay on one side of every split (task.deduplicate=true)",
        )


def labels(table: Table) -> Iterator[Trap]:
    """Target values that look alike, and classes of very few rows."""
    target = table.frame[table.schema.target]
    alike: dict[str, list[Any]] = {}
    for label in table.schema.labels:
        alike.setdefault(re.sub(r"\W", "", str(label)).casefold(), []).append(label)
    for same in alike.values():
        if len(same) > 1:
            listed = ", ".join(map(repr, same))
            yield Trap("labels", f"values of the target look alike: {listed}", "make them one in the file")
    counts = target.value_counts()
    if rare := [f"{label!r} ({n})" for label, n in counts.items() if n < 10]:
        yield Trap("rare", f"classes with fewer than 10 rows: {', '.join(rare[:8])}", "what is said of them is chance")


def _numbers(table: Table) -> tuple[np.ndarray, list[str]]:
    """Features as numbers, shape (n_rows, n_features): levels by their frequency's rank, gaps as -1."""
    columns = []
    for column in table.schema.features:
        values = table.frame[column.name]
        if column.nominal:
            order = values.value_counts().index
            columns.append(values.map({level: rank for rank, level in enumerate(order)}).fillna(-1).to_numpy(float))
        else:
            low = np.nanmin(values.to_numpy(float)) if values.notna().any() else 0.0
            columns.append(values.fillna(low - 1).to_numpy(float))
    return np.column_stack(columns), [column.name for column in table.schema.features]


def _told(values: np.ndarray, truth: np.ndarray) -> float:
    """Balanced accuracy on five folds of a tree with a leaf of 5 rows or more."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_depth=6, min_samples_leaf=5, class_weight="balanced", random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(cross_val_score(tree, values, truth, cv=folds, scoring="balanced_accuracy").mean())
