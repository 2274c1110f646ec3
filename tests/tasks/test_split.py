"""Splits: sizes and shares as asked for, and nothing in common between train and test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import mixed_table, number_table, table_of

from opal.errors import ConfigError, SplitError
from opal.tasks.imbalanced import Imbalanced
from opal.tasks.spurious import Spurious


def keys(frame: pd.DataFrame) -> set[int]:
    return set(pd.util.hash_pandas_object(frame, index=False))


@pytest.mark.parametrize("task", [Imbalanced(), Spurious()], ids=lambda t: t.name)
@pytest.mark.parametrize("table", [mixed_table(400), number_table(400)], ids=lambda t: t.name)
def test_sides_share_no_row_and_no_value(task, table):
    for seed in range(5):
        split = task.split(table, seed)
        train, test = split.train.frame, split.test
        assert not set(train.index) & set(test.index)
        assert not keys(train) & keys(test)
        pd.testing.assert_frame_equal(train, table.frame.loc[train.index])
        pd.testing.assert_frame_equal(test, table.frame.loc[test.index])


def test_without_deduplication_equal_rows_may_part():
    table = number_table(400)
    doubled = table_of(pd.concat([table.frame] * 2), target="label", minority=1)
    split = Imbalanced(deduplicate=False).split(doubled, 0)
    assert keys(split.train.frame) & keys(split.test)
    assert not set(split.train.frame.index) & set(split.test.index)


BIG = number_table(600)


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(10, 60),
    share=st.floats(0.05, 0.5),
    test_rows=st.integers(20, 120),
    seed=st.integers(0, 2**31 - 1),
)
def test_imbalanced_sizes_and_share(rows, share, test_rows, seed):
    if round(rows * share) == 0:
        return
    split = Imbalanced(rows, share, test_rows=test_rows).split(BIG, seed)
    train = split.train
    assert len(train.frame) == rows
    assert (train.frame["label"] == 1).sum() == round(rows * share)
    assert len(split.test) == test_rows


def test_spurious_group_sizes():
    split = Spurious(majority_rows=20, minority_rows=5, test_rows=100).split(number_table(600), 3)
    sizes = {g.name: len(split.train.rows(g)) for g in split.train.groups}
    assert sizes == {"label=0,flag=0": 20, "label=0,flag=1": 5, "label=1,flag=0": 5, "label=1,flag=1": 20}
    assert {g.name for g in split.train.minority_groups} == {"label=0,flag=1", "label=1,flag=0"}


def test_same_seed_same_split_other_seed_another():
    table, task = number_table(), Imbalanced()
    first, again, other = task.split(table, 1), task.split(table, 1), task.split(table, 2)
    pd.testing.assert_frame_equal(first.train.frame, again.train.frame)
    assert not np.array_equal(first.test.index, other.test.index)


def test_schema_is_learned_from_train_alone():
    split = Imbalanced(20, 0.2).split(number_table(400), 1)
    column = split.train.schema["x1"]
    assert (column.low, column.high) == (split.train.frame["x1"].min(), split.train.frame["x1"].max())
    assert split.test["x1"].max() > column.high


def test_natural_share_without_sizes():
    table = number_table(500)
    train = Imbalanced().split(table, 1).train.frame
    assert abs((train["label"] == 1).mean() - 0.2) < 0.05


def test_several_classes_keep_their_proportions():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=900), "y": np.repeat(["a", "b", "c"], [100, 300, 500])})
    train = Imbalanced(100, 0.1, test_rows=100).split(table_of(frame, target="y"), 1).train.frame
    counts = train["y"].value_counts()
    assert counts["a"] == 10 and counts.sum() == 100
    assert 25 <= counts["b"] <= 42


def test_too_few_rows_say_the_counts():
    with pytest.raises(SplitError, match=r"wants 150 train rows of label=1 but \d+ are left.*label=0: \d+.*fewer"):
        Imbalanced(300, 0.5, test_rows=100).split(number_table(400), 1)
    with pytest.raises(SplitError, match="leaves no train rows"):
        Imbalanced(test_rows=400).split(number_table(400), 1)
    with pytest.raises(SplitError, match=r"label=0,flag=1"):
        Spurious(majority_rows=20, minority_rows=399).split(number_table(400), 1)


def test_spurious_needs_an_attribute():
    table = table_of(number_table().frame, target="label", minority=1)
    with pytest.raises(ConfigError, match=r"data\.group"):
        Spurious().split(table, 1)
