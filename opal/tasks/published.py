"""task.split=published: the splits of the published study (arXiv 2406.03628), row for row.

Drawn by pandas' ``sample`` with the split's seed, in the study's order, so that the study's own splits come out;
its folders, named by the study's pattern, are read instead where ``task.folder`` is given.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from opal.errors import SplitError
from opal.table import Group, Table

TRAIN = "train_colsbase_size{raw}_total{total}_rand{seed}.csv"
TEST = "test_colsbase_size{total}_rand{seed}.csv"


def file_names(folder: str, n_train: int, n_test: int, n_table: int) -> tuple[str, str]:
    """Train and test file of the published layout, ``{seed}`` left open; total = rows of the table outside test."""
    total = n_table - n_test
    train = TRAIN.replace("{raw}", str(n_train)).replace("{total}", str(total))
    return f"{folder}/{train}", f"{folder}/{TEST.replace('{total}', str(total))}"


def draw(
    table: Table, groups: tuple[Group, ...], share: Callable[[list[int]], list[int]], n_test: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and test rows; the index is the table's.

    Parameters
    ----------
    share : train rows of each group, given how many are left of each

    Every row that has an equal one in test, or a second time in the rest, is left out of train.
    """
    test, pool = _take(table.frame, n_test, seed)
    left = [int(g.mask(pool).sum()) for g in groups]
    wanted = share(left)
    for group, n, there in zip(groups, wanted, left, strict=True):
        if there < n:
            raise SplitError(
                f"task.split=published wants {n} train rows of {group.name} but {there} are left: ask for fewer rows"
            )
    if groups[0].column is None:
        return _alternating(pool, groups, wanted, seed), test
    return _balanced_first(pool, groups, wanted, seed), test


def _alternating(pool: pd.DataFrame, groups: tuple[Group, ...], wanted: list[int], seed: int) -> pd.DataFrame:
    """imbalanced: minority and majority rows in turn, then the majority rows that are left."""
    is_minority = [g.minority for g in groups]
    few = np.any([g.mask(pool) for g in groups if g.minority], axis=0)
    n_few = sum(n for n, flag in zip(wanted, is_minority, strict=True) if flag)
    minority = pool[few].sample(n=n_few, random_state=seed)
    majority = pool[~few].sample(n=sum(wanted) - n_few, random_state=seed)
    turn = np.concatenate([2 * np.arange(len(minority)), 2 * np.arange(len(majority)) + 1])
    return pd.concat([minority, majority]).iloc[np.argsort(turn, kind="stable")]


def _balanced_first(pool: pd.DataFrame, groups: tuple[Group, ...], wanted: list[int], seed: int) -> pd.DataFrame:
    """spurious: first as many rows of each group as the minority groups have, shuffled; then the others, shuffled."""
    drawn = {g: pool[g.mask(pool)].sample(n=n, random_state=seed) for g, n in zip(groups, wanted, strict=True)}
    n_few = min(n for g, n in zip(groups, wanted, strict=True) if g.minority)

    first, rest = [], []
    for group in reversed([g for g in groups if not g.minority]):  # the study's order: label 1 first
        head, tail = _take(drawn[group], n_few, seed)
        first.append(head)
        rest.append(tail)
    first += [drawn[g] for g in reversed(groups) if g.minority]
    return pd.concat(
        [pd.concat(first).sample(frac=1, random_state=seed), pd.concat(rest).sample(frac=1, random_state=seed)]
    )


def _take(frame: pd.DataFrame, n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``n`` rows at random, and the others without any row that occurs twice or equals a taken one."""
    taken = frame.sample(n=n, random_state=seed)
    left = frame[~frame.duplicated(keep=False)]
    return taken, left.drop(index=taken.index, errors="ignore")
