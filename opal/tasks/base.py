"""The base of both tasks: a seeded split whose sides share no row, and no equal row."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import ConfigError, SplitError
from opal.table import Group, Split, Table, Train
from opal.tasks import published
from opal.tasks.files import overlap, read_sides

SOURCES = ("random", "files", "published")
TEST_SHARE = 0.3  # of the table, where neither task nor table names a size
MOST_ROWS = 10**12  # that a size may name; more overflows


class Task:
    """Splits a table into train and test, and names the groups that are short of rows.

    Parameters
    ----------
    sizes : the subclass's own; None takes the table's
    deduplicate : keep equal rows on one side, so that no test row was seen in training
    test_rows : rows of test; None takes the table's own size, else 30 % of its rows
    split : random splits the table; files reads ``train`` and ``test``; published draws as the published study did,
        or reads its files where ``folder`` is given
    train, test : files, ``{seed}`` standing for the seed
    folder : a folder in the study's layout
    augment : once the minority groups have reached the largest group, further synthetic rows go to every group

    Subclasses write ``_groups`` and ``_wanted``.
    """

    name = ""

    def __init__(
        self,
        sizes: Mapping[str, float | None],
        test_rows: int | None = None,
        deduplicate: bool = True,
        split: str = "random",
        train: str | None = None,
        test: str | None = None,
        folder: str | None = None,
        augment: bool = False,
    ) -> None:
        if split not in SOURCES:
            raise ConfigError(f"task.split={split} is not one of {', '.join(SOURCES)}")
        self.source, self.files, self.folder = split, (train, test), folder
        self.deduplicate, self.augment = deduplicate, augment
        self.sizes = {"test_rows": test_rows, **sizes}
        for key, value in self.sizes.items():
            check_size(f"task.{key}", value)
        for key, file in (("train", train), ("test", test)):
            if file and split != "files":
                raise ConfigError(f"task.{key}={file} is read with task.split=files alone: add that, or drop it")
        if folder and split == "random":
            raise ConfigError(f"task.folder={folder} is read with task.split=published alone: add that, or drop it")

    def split(self, table: Table, seed: int) -> Split:
        """Test rows at random, then train rows from what is left; the index of both is the table's.

        Raises
        ------
        SplitError : too few rows of a class or group, with the counts.
        """
        groups = self._groups(table)
        if self.source != "random":
            if not table.beside.empty:
                key = "groups" if table.units is not None else "time"
                raise ConfigError(f"data.{key} says how rows are split, and so does task.split={self.source}: drop one")
            return self._fixed(table, groups, seed)
        rng = np.random.default_rng(seed)
        order, values = self._shuffled(table, rng)
        n_test = self._n_test(table)
        if n_test >= len(order):
            raise SplitError(f"task.test_rows={n_test} leaves no train rows: data={table.name} has {len(order)}")
        test, rest = cut(table, order, n_test, rng)
        pool = rest[~np.isin(values[rest], values[test])]
        chosen = self._choose(table, table.frame.iloc[pool], groups)
        train = table.frame.iloc[rng.permutation(pool[chosen])]
        units = None if table.units is None else table.units.loc[train.index]
        return Split(
            Train(train, table.schema.learn(train), groups, seed, self.augment, units),
            table.frame.iloc[test],
        )

    def _fixed(self, table: Table, groups: tuple[Group, ...], seed: int) -> Split:
        """The split of ``task.split=files`` or ``published``."""
        n_test = self._n_test(table)
        if self.source == "files":
            train, test = read_sides(table, seed, *self.files)
        elif self.folder:
            n_train = sum(self._wanted(table, groups, [int(g.mask(table.frame).sum()) for g in groups]))
            names = published.file_names(self.folder, n_train, n_test, len(table.frame))
            train, test = read_sides(table, seed, *names)
        else:
            train, test = published.draw(table, groups, lambda left: self._wanted(table, groups, left), n_test, seed)
        for group in groups:
            if not group.mask(train).any():
                raise SplitError(f"the train rows of seed {seed} have no row of {group.name}")
        return Split(Train(train, table.schema.learn(train), groups, seed, self.augment), test, overlap(train, test))

    def _n_test(self, table: Table) -> int:
        return self._size("test_rows", table) or round(TEST_SHARE * len(table.frame))

    def _shuffled(self, table: Table, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Row positions in random order, equal rows side by side if deduplicating; a value code per row."""
        n = len(table.frame)
        if not self.deduplicate:
            return rng.permutation(n), np.arange(n)
        hashes = pd.util.hash_pandas_object(table.frame, index=False)
        values = pd.factorize(hashes)[0]
        return np.argsort(rng.permutation(values.max() + 1)[values], kind="stable"), values

    def _choose(self, table: Table, pool: pd.DataFrame, groups: tuple[Group, ...]) -> np.ndarray:
        """Positions in the (already shuffled) pool: the first rows of each group, as many as wanted."""
        masks = [g.mask(pool) for g in groups]
        wanted = self._wanted(table, groups, [int(m.sum()) for m in masks])
        chosen = []
        for group, mask, n in zip(groups, masks, wanted, strict=True):
            found = np.flatnonzero(mask)
            if n < 1 <= len(found):
                raise SplitError(
                    f"task={self.name} leaves no train row for {group.name}: ask for more (task.{self._mend}); the "
                    f"table's own sizes stand in data.sizes.{self.name}"
                )
            if n < 1 or len(found) < n:
                counts = ", ".join(f"{g.name}: {int(m.sum())}" for g, m in zip(groups, masks, strict=True))
                raise SplitError(
                    f"task={self.name} wants {max(n, 1)} train rows of {group.name} but {len(found)} are left after "
                    f"the test rows of data={table.name} ({counts}): ask for fewer rows (task.{self._mend})"
                )
            chosen.append(found[:n])
        return np.concatenate(chosen)

    def _size(self, key: str, table: Table) -> Any:
        if (given := self.sizes[key]) is not None:
            return given
        own = table.sizes.get(self.name) or {}
        if unknown := set(own) - set(self.sizes):
            name = f"data.sizes.{self.name}.{min(map(str, unknown))}"
            raise ConfigError(f"{name} is not a size of task={self.name}; its sizes: {', '.join(self.sizes)}")
        check_size(f"data.sizes.{self.name}.{key}", own.get(key))
        return own.get(key)

    _mend = "train_rows, task.minority_share or task.test_rows"

    def groups(self, table: Table) -> tuple[Group, ...]:
        """The groups of ``table`` that this task distinguishes."""
        return self._groups(table)

    def _groups(self, table: Table) -> tuple[Group, ...]:
        raise NotImplementedError

    def _wanted(self, table: Table, groups: tuple[Group, ...], left: list[int]) -> list[int]:
        """Train rows of each group, given how many are left of each."""
        raise NotImplementedError


def cut(table: Table, order: np.ndarray, n_test: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions of test rows, and of those that train rows may be taken from.

    Without units and time, the first ``n_test`` of ``order`` are test. With units, those of whole units, in the order
    of their first rows, until ``n_test`` are reached. With time, ``n_test`` rows one after the other from a random
    point on, before which at least half of the table lies; train rows are earlier than all of them. Rows of units
    that have test rows are never train rows.
    """
    units = None if table.units is None else table.units.to_numpy()
    if table.time is not None:
        time = table.time.to_numpy()
        in_time = order[np.argsort(time[order], kind="stable")]
        latest = len(order) - n_test
        start = int(rng.integers(min(len(order) // 2, latest), latest + 1))
        test = in_time[start : start + n_test]
        rest = order[time[order] < time[test[0]]]
    elif units is not None:
        codes = pd.factorize(units[order])[0]  # units in the order of their first row
        order = order[np.argsort(codes, kind="stable")]
        whole = np.cumsum(np.bincount(codes))
        n_test = int(whole[np.searchsorted(whole, n_test)])
        test, rest = order[:n_test], order[n_test:]
    else:
        test, rest = order[:n_test], order[n_test:]
    return test, rest if units is None else rest[~np.isin(units[rest], units[test])]


def check_size(key: str, value: Any) -> None:
    """Raise ConfigError unless ``value`` is None, a number of rows, or a share of them where ``key`` ends so."""
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise ConfigError(f"{key}={value} must be a number above zero, or null")
    if key.endswith("share") and value >= 1:
        raise ConfigError(f"{key}={value} is a share of the train rows: it must lie between 0 and 1")
    if not key.endswith("share") and not isinstance(value, int):
        raise ConfigError(f"{key}={value} must be a whole number")
    if value > MOST_ROWS:
        raise ConfigError(f"{key}={value} is more than a table of {MOST_ROWS:,} rows has: ask for fewer")


def class_groups(table: Table) -> tuple[Group, ...]:
    """One group per class."""
    target = table.schema.target
    return tuple(Group(target, label, label in table.short) for label in table.schema.labels)


def attribute_levels(table: Table, column: str) -> tuple[Hashable, Hashable]:
    """The two levels of a spurious attribute: zero or positive if numeric, else its two values."""
    values = table.frame[column]
    if values.isna().any():
        raise SplitError(f"data.group={column!r} has missing values: fill them in, or choose another column")
    if pd.api.types.is_numeric_dtype(values.dtype):
        return False, True
    levels = tuple(sorted(values.unique()))
    if len(levels) != 2:
        raise SplitError(f"data.group={column!r} has {len(levels)} values; task=spurious needs a number or two values")
    return levels[0], levels[1]
