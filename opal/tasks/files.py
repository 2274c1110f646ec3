"""task.split=files: train and test rows read from files instead of cut from the table."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd

from opal.data.row_files import fill_in, read_rows
from opal.errors import ConfigError
from opal.table import Table


def read_sides(table: Table, seed: int, train: str | None, test: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One seed's train and test rows from the files ``train`` and ``test``, ``{seed}`` in the names filled in.

    Both need the table's columns, in any order, with values of the table's kinds. The index of a row is that of
    an equal row of the table, each taken once, test rows first; rows that the table does not have go on from there.

    Raises
    ------
    ConfigError : a name is missing
    DataError : a file is missing or does not fit the table
    """
    frames = []
    for key, name in (("test", test), ("train", train)):
        if not name:
            raise ConfigError(f"task.split=files needs task.{key}=FILE, with {{seed}} in the name where seeds differ")
        frames.append(read_rows(fill_in(name, seed), table.schema, f"task.{key}"))
    places = _places(table.frame, pd.concat(frames, ignore_index=True))
    n_test = len(frames[0])
    return frames[1].set_axis(places[n_test:]), frames[0].set_axis(places[:n_test])


def overlap(train: pd.DataFrame, test: pd.DataFrame) -> int:
    """How many test rows equal a train row in every column."""
    codes = _codes(train, test)
    return int(np.isin(codes[len(train) :], codes[: len(train)]).sum())


def _codes(*frames: pd.DataFrame) -> np.ndarray:
    """A number for each row of all ``frames``, equal for rows equal in every column."""
    together = pd.concat(frames, ignore_index=True)
    return pd.factorize(pd.util.hash_pandas_object(together, index=False))[0]


def _places(known: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    codes = _codes(known, rows)
    codes, wanted = codes[: len(known)], codes[len(known) :]
    free: dict[int, list[int]] = defaultdict(list)
    for place in np.flatnonzero(np.isin(codes, wanted))[::-1]:
        free[codes[place]].append(place)
    places, new = [], len(known)
    for code in wanted:
        if free[code]:
            places.append(free[code].pop())
        else:
            places.append(new)
            new += 1
    return np.array(places)
