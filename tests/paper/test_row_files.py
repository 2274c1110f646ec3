"""Rows and splits from a user's files: what fits is taken as it is, what does not is told in a sentence."""

from __future__ import annotations

import pandas as pd
import pytest
from hydra.utils import instantiate

from opal.data.build import build_table
from opal.errors import DataError, SplitError
from opal.methods.replay import Replay
from opal.split import write_split
from opal.tasks.imbalanced import Imbalanced

BASE = pd.DataFrame(
    {
        "height": [1.5, 1.25, 1.75, 2.0, 1.0, 1.1, 1.2, 1.3],
        "count": [1, 2, 3, 4, 5, 6, 7, 8],
        "color": ["red", "blue", "green"] * 2 + ["red", "blue"],
        "smoker": [0, 1] * 4,
        "label": ["no", "no", "no", "yes", "yes", "yes", "yes", "yes"],
    }
)


@pytest.fixture
def table():
    return build_table("people", BASE, "test", target="label", minority="no")


@pytest.fixture
def files(tmp_path):
    def write(train: pd.DataFrame, test: pd.DataFrame) -> Imbalanced:
        train.to_csv(tmp_path / "train_3.csv", index=False)
        test.to_csv(tmp_path / "test_3.csv", index=False)
        names = {side: f"{tmp_path}/{side}_{{seed}}.csv" for side in ("train", "test")}
        return Imbalanced(split="files", **names)

    return write


def test_a_split_from_files_keeps_rows_order_and_dtypes(table, files):
    split = files(BASE.iloc[[5, 0, 1]], BASE.iloc[[2, 3]][list(reversed(BASE.columns))]).split(table, 3)
    pd.testing.assert_frame_equal(split.train.frame, table.frame.iloc[[5, 0, 1]])  # the index is the table's
    pd.testing.assert_frame_equal(split.test, table.frame.iloc[[2, 3]])
    assert split.overlap == 0


def test_rows_on_both_sides_are_counted(table, files):
    split = files(BASE.iloc[[0, 1, 4]], BASE.iloc[[1, 1, 2]]).split(table, 3)
    assert split.overlap == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"count": [1.5, 2, 3]}, "'count' holds 1.5; the table has whole numbers"),
        ({"height": ["tall", 1, 2]}, "'height' holds 'tall', which is not a number"),
        ({"color": ["red", "pink", "blue"]}, "'color' holds 'pink'; the table has 'blue', 'green', 'red'"),
        ({"smoker": [0, 1, 2]}, "'smoker' holds 2"),
        ({"label": ["no", "maybe", "yes"]}, "'label' holds 'maybe'"),
        ({"height": [None, 1, 2]}, "'height' has 1 missing values where the table has none"),
        ({"extra": [1, 2, 3]}, "has 'extra' besides"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_a_sentence(table, files, change, told):
    task = files(BASE.iloc[[0, 1, 4]].assign(**change), BASE.iloc[[2, 3]])
    with pytest.raises(DataError) as fault:
        task.split(table, 3)
    assert told in str(fault.value) and "task.train=" in str(fault.value) and "\n" not in str(fault.value)


def test_lacking_columns_missing_files_and_absent_classes_are_told(table, files, tmp_path):
    with pytest.raises(DataError, match="lacks 'count'"):
        files(BASE.drop(columns="count"), BASE.iloc[[2]]).split(table, 3)
    with pytest.raises(SplitError, match="no row of label=no"):
        files(BASE.iloc[[4, 5]], BASE.iloc[[2]]).split(table, 3)
    with pytest.raises(DataError, match="is not a file"):
        Imbalanced(split="files", train=f"{tmp_path}/a.csv", test=f"{tmp_path}/b.csv").split(table, 3)


def test_replay_takes_the_first_rows_in_order_of_both_classes(table, files, tmp_path):
    train = files(BASE.iloc[[0, 1, 3]], BASE.iloc[[2]]).split(table, 3).train
    rows = BASE.iloc[[4, 0, 6, 1]].assign(color="purple", height=[1.123456789, 2, 3, 4])
    rows.to_csv(tmp_path / "rows_3.csv", index=False)
    made = Replay(f"{tmp_path}/rows_{{seed}}.csv").sample(train, 3)
    assert made.frame["label"].tolist() == ["yes", "no", "yes"]
    assert made.frame["height"][0] == 1.123456789  # not rounded to the table's decimals
    assert list(made.frame.dtypes) == list(train.frame.dtypes)
    short = Replay(f"{tmp_path}/rows_{{seed}}.csv").sample(train, 9)
    assert len(short.frame) == 4 and "has 4 rows, 9 were asked for" in short.stopped


def test_replay_takes_fractions_of_whole_columns_only_when_told(table, files, tmp_path):
    train = files(BASE.iloc[[0, 1, 3]], BASE.iloc[[2]]).split(table, 3).train
    BASE.assign(count=BASE["count"] + 0.5, smoker=0.25).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match="whole numbers"):
        Replay(f"{tmp_path}/rows.csv").sample(train, 2)
    made = Replay(f"{tmp_path}/rows.csv", exact=False).sample(train, 2).frame
    assert made["count"].tolist() == [1.5, 2.5] and made["smoker"].tolist() == [0.25, 0.25]


def test_written_splits_read_back_alike(table, tmp_path):
    task = Imbalanced(train_rows=4, minority_share=0.25, test_rows=3)
    split = task.split(table, 1)
    write_split(table, split, tmp_path)
    again = Imbalanced(train_rows=4, minority_share=0.25, test_rows=3, split="published", folder=str(tmp_path)).split(
        table, 1
    )
    pd.testing.assert_frame_equal(again.train.frame, split.train.frame)
    pd.testing.assert_frame_equal(again.test, split.test)


def test_unknown_source_of_splits_is_told():
    with pytest.raises(Exception, match="random, files, published"):
        instantiate({"_target_": "opal.tasks.Imbalanced", "split": "file"})
