"""Splits: sizes and shares as asked for, and nothing in common between train and test."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from tables import mixed_table, number_table, table_of

from opal.data.build import build_table
from opal.errors import ConfigError, SplitError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import out_of_fold
from opal.evaluate.validate import Folds
from opal.methods.base import share_out
from opal.methods.smote import Smote
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


LOGISTIC = Classifier(partial(LogisticRegression, max_iter=500), scale=True)


def visits(n: int = 240, persons: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 500, n), unit="D")
    return pd.DataFrame(
        {
            "person": [f"p{i}" for i in rng.integers(0, persons, n)],
            "day": days.strftime("%d.%m.%Y"),
            "x": rng.normal(0, 1, n).round(3),
            "y": rng.choice(["a", "b"], n, p=[0.2, 0.8]),
        }
    )


def test_rows_of_one_unit_stay_on_one_side_of_splits_and_folds():
    frame = visits()
    table = build_table("v", frame, "v", target="y", groups="person")
    assert table.schema.names == ["day", "x", "y"]
    for seed in range(5):
        split = Imbalanced().split(table, seed)
        train, person = split.train.frame, frame["person"]
        assert 72 <= len(split.test) < 84 and len(train) > 120
        assert not set(person[train.index]) & set(person[split.test.index])
        for fold in Folds(3).parts(split.train):
            assert not set(person[fold.train.frame.index]) & set(person[fold.test.index])
            assert len(fold.test)
        proba = out_of_fold(LOGISTIC, split.train, 5)
        assert proba.shape == (len(train), 2) and np.allclose(proba.sum(axis=1), 1)


def test_test_rows_are_later_than_train_rows_and_seeds_have_other_presents():
    frame = visits()
    table = build_table("v", frame, "v", target="y", time="day")
    time, starts = table.time, set()
    for seed in range(5):
        split = Imbalanced().split(table, seed)
        train, test = split.train.frame, split.test
        assert time[train.index].max() < time[test.index].min() and len(test) == 72
        starts.add(time[test.index].min())
    assert len(starts) > 2 and table.schema["day"].kind == "date"
    both = build_table("v", frame, "v", target="y", time="day", groups="person", drop=["day"])
    split = Imbalanced().split(both, 0)
    assert (
        both.schema.names == ["x", "y"] and both.time[split.train.frame.index].max() < both.time[split.test.index].min()
    )
    assert not set(frame["person"][split.train.frame.index]) & set(frame["person"][split.test.index])


def test_units_and_time_are_part_of_the_digest_and_of_no_published_split():
    frame = visits()
    plain = build_table("v", frame, "v", target="y", drop=["person"])
    units = build_table("v", frame, "v", target="y", groups="person")
    other = build_table(
        "v", frame.assign(person=frame["person"].iloc[::-1].to_numpy()), "v", target="y", groups="person"
    )
    assert plain.frame.equals(units.frame) and len({plain.digest, units.digest, other.digest}) == 3
    with pytest.raises(ConfigError, match=r"data\.groups says how rows are split, and so does task.split=published"):
        Imbalanced(split="published").split(units, 0)
    with pytest.raises(ConfigError, match=r"data\.groups='preson' is not a column; did you mean 'person'"):
        build_table("v", frame, "v", target="y", groups="preson")
    with pytest.raises(ConfigError, match="one value"):
        build_table("v", frame.assign(person="p"), "v", target="y", groups="person")


def test_a_row_without_a_unit_is_one_of_its_own():
    frame = visits()
    frame.loc[::3, "person"] = None
    table = build_table("v", frame, "v", target="y", groups="person")
    assert table.units.iloc[::3].is_unique and table.units.nunique() == frame["person"].nunique() + 80


@pytest.mark.parametrize(
    ("given", "short"),
    [(None, ["d", "c"]), ("auto", ["d", "c"]), (["c", "b"], ["c", "b"]), ("b", ["b"]), (["d"], ["d"])],
)
def test_several_classes_may_be_short_of_rows(given, short):
    frame = pd.DataFrame({"x": np.arange(400.0), "y": ["a"] * 200 + ["b"] * 120 + ["c"] * 60 + ["d"] * 20})
    table = build_table("t", frame, "t", target="y", minority=given)
    assert list(table.short) == short
    if short != ["d", "c"]:
        return
    train = Imbalanced(test_rows=4).split(table, 0).train
    counts = train.frame["y"].value_counts()
    assert len(train.frame) == 396 and counts["a"] > counts["b"] > counts["c"] > counts["d"] >= 16
    train = replace(train, frame=table.frame)
    shared = share_out(80, train)  # c lacks 140 rows of a's 200, d lacks 180
    assert {group.label: n for group, n in shared.items()} == {"c": 35, "d": 45}
    rows = Smote().sample(train, 320).frame["y"]
    assert rows.value_counts().to_dict() == {"d": 180, "c": 140} and rows.iloc[:16].value_counts()["d"] == 9
    few = Imbalanced(test_rows=4, train_rows=100, minority_share=0.2).split(table, 0).train.frame["y"]
    assert few.value_counts().to_dict() == {"a": 50, "b": 30, "c": 15, "d": 5}


def test_a_list_of_classes_that_means_none_or_all():
    frame = pd.DataFrame({"x": np.arange(40.0), "y": ["a"] * 20 + ["b"] * 10 + ["c"] * 10})
    with pytest.raises(ConfigError, match="names every class"):
        build_table("t", frame, "t", target="y", minority=["a", "b", "c"])
    with pytest.raises(ConfigError, match="names no class"):
        build_table("t", frame, "t", target="y", minority=[])
    with pytest.raises(ConfigError, match=r"data\.minority='z' is not a class"):
        build_table("t", frame, "t", target="y", minority=["z", "b"])
    assert build_table("t", frame.iloc[:30], "t", target="y").short == ("b",)
    even = frame.iloc[[*range(10), *range(20, 40)]]
    assert build_table("t", even, "t", target="y").short == ("a",)  # none is below half: the first of the rarest
