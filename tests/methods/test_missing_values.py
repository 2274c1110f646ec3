"""Missing values meet every method: filled in to make rows, and put back as train has them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import ADASYN, SVMSMOTE, BorderlineSMOTE, RandomOverSampler
from tables import mixed_table, number_table, table_of

from opal.methods import gaps
from opal.methods.imblearn import Imblearn
from opal.methods.mixture import GaussianMixture
from opal.methods.smote import Smote
from opal.table import Train
from opal.tasks.imbalanced import Imbalanced
from opal.tasks.spurious import Spurious

TASK = Imbalanced(200, 0.2, test_rows=60)
METHODS = {
    "smote": Smote(),
    "smote knn": Smote(impute="knn"),
    "adasyn": Imblearn(ADASYN),
    "rose": Imblearn(partial(RandomOverSampler, shrinkage=1.0)),
    "svm_smote knn": Imblearn(SVMSMOTE, impute="knn"),
    "borderline_smote": Imblearn(BorderlineSMOTE),
    "gaussian_mixture": GaussianMixture(),
}


def train_of(table, task=TASK, seed=1) -> Train:
    return task.split(table, seed).train


@pytest.mark.slow
@pytest.mark.parametrize("task", [TASK, Spurious(60, 20, test_rows=60)], ids=lambda t: t.name)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_new_rows_are_missing_what_train_rows_are_and_as_often(method, task):
    train = train_of(mixed_table(900, missing=0.3), task)
    made = method.sample(train, 600).frame
    for group in train.minority_groups:
        own, new = train.rows(group).isna().mean(), made[group.mask(made)].isna().mean()
        assert (new - own).abs().max() < 0.1
        assert (new[own == 0] == 0).all()
    pd.testing.assert_frame_equal(made, method.sample(train, 600).frame)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_columns_that_are_missing_together_stay_so(method):
    frame = number_table(600).frame.copy()
    frame.loc[np.arange(600) % 3 == 0, ["x1", "count"]] = np.nan
    made = method.sample(train_of(table_of(frame, "label", 1)), 100).frame
    assert (made["x1"].isna() == made["count"].isna()).all() and 0 < made["x1"].isna().sum() < 100


@pytest.mark.parametrize("impute", ["median", "knn"])
@pytest.mark.parametrize("where", ["the minority", "train"])
def test_a_column_without_any_value(impute, where):
    table = mixed_table(900, missing=0.2)
    frame = table.frame.copy()
    frame.loc[frame["outcome"] == "yes" if where == "the minority" else slice(None), ["age", "job"]] = np.nan
    train = train_of(table)
    empty = Train(frame.loc[train.frame.index], train.schema.learn(frame.loc[train.frame.index]), train.groups, 1)
    made = Smote(impute=impute).sample(empty, 50).frame
    assert made[["age", "job"]].isna().all().all() and made["income"].notna().any()


def test_gaps_are_filled_by_the_groups_own_values():
    train = train_of(mixed_table(900, missing=0.3))
    whole = gaps.filled(train, "median").frame
    assert not whole.isna().any().any()
    for group in train.groups:
        own = train.rows(group)
        assert set(whole.loc[own.index[own["income"].isna()], "income"]) == {own["income"].median()}
    known = train.frame.notna()
    pd.testing.assert_frame_equal(whole.where(known), train.frame, check_dtype=False)


def test_numbers_of_neighbours_differ_by_row():
    train = train_of(mixed_table(900, missing=0.3))
    missing = train.frame["income"].isna()
    assert gaps.filled(train, "knn").frame.loc[missing, "income"].nunique() > 5


def test_one_note_says_so_and_none_where_nothing_is_missing():
    note = Smote().sample(train_of(mixed_table(900)), 10).note
    assert note.startswith("Missing values of 3 columns ('job', 'age', 'income') were filled in by the group's median")
    assert not Smote().sample(train_of(mixed_table(900, missing=0.0)), 10).note
