"""What every oversampler promises, and what each does with the columns it is given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE
from tables import mixed_table, number_table, table_of

from opal.errors import MethodError
from opal.methods.base import take_turns, turns
from opal.methods.duplicate import Duplicate
from opal.methods.none import NoRows
from opal.methods.smote import Smote
from opal.table import Train
from opal.tasks.imbalanced import Imbalanced
from opal.tasks.spurious import Spurious


def train_of(table, task=None, seed=1) -> Train:
    return (task or Imbalanced(40, 0.2, test_rows=60)).split(table, seed).train


def without_gaps(n=300):
    return mixed_table(n, missing=0.0)


@pytest.mark.parametrize("method", [Duplicate(), Smote()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize(
    "task", [Imbalanced(40, 0.2, test_rows=60), Spurious(12, 4, test_rows=60)], ids=lambda t: t.name
)
@pytest.mark.parametrize("table", [without_gaps(), number_table(300)], ids=lambda t: t.name)
def test_rows_fit_the_table_and_every_prefix_is_balanced(method, task, table):
    train = train_of(table, task)
    rows = method.sample(train, 31).frame
    assert list(rows.columns) == list(train.frame.columns)
    assert (rows.dtypes == train.frame.dtypes).all()
    assert len(rows) == 31
    members = np.array([g.mask(rows) for g in train.minority_groups])
    assert (members.sum(axis=0) == 1).all()
    running = members.cumsum(axis=1)
    assert (running.max(axis=0) - running.min(axis=0) <= 1).all()
    for column in train.schema.features:
        if column.nominal:
            assert set(rows[column.name]) <= set(train.frame[column.name])
    pd.testing.assert_frame_equal(rows, method.sample(train, 31).frame)  # same seed, same rows


def test_duplicate_carries_missing_values_and_only_minority_rows():
    train = train_of(mixed_table(300))
    rows = Duplicate().sample(train, 200).frame
    known = set(pd.util.hash_pandas_object(train.rows(train.minority_groups[0]), index=False))
    assert set(pd.util.hash_pandas_object(rows, index=False)) <= known
    assert rows.isna().any().any() == train.rows(train.minority_groups[0]).isna().any().any()


def test_smote_is_imbalanced_learns():
    table = table_of(number_table(300).frame[["x1", "x2", "label"]], target="label", minority=1)
    train = train_of(table)
    rows = Smote().sample(train, 24).frame
    seed = int(np.random.default_rng([train.seed, 1]).integers(2**31))
    x, y = train.frame[["x1", "x2"]], train.frame["label"] == 1
    theirs, _ = SMOTE(sampling_strategy={True: int(y.sum()) + 24}, random_state=seed).fit_resample(x, y)
    np.testing.assert_allclose(rows[["x1", "x2"]], theirs.iloc[len(x) :])


def test_smote_k_follows_the_minority_rows():
    train = train_of(number_table(300), Imbalanced(40, 0.05, test_rows=60))
    assert (train.frame["label"] == 1).sum() == 2
    assert len(Smote().sample(train, 10).frame) == 10


def test_smote_with_a_single_row_says_what_to_do():
    train = train_of(number_table(300), Imbalanced(40, 0.025, test_rows=60))
    with pytest.raises(MethodError, match=r"two train rows of label=1 and has 1: .*method=duplicate"):
        Smote().sample(train, 10)


def test_smote_takes_a_missing_category_as_a_category():
    frame = mixed_table(400, missing=0.6).frame.drop(columns=["age", "income"])
    rows = Smote().sample(train_of(table_of(frame, target="outcome", minority="yes")), 40).frame
    assert rows["job"].isna().any()


def test_smote_on_names_alone():
    frame = without_gaps().frame[["smoker", "job", "outcome"]]
    train = train_of(
        table_of(frame, target="outcome", minority="yes"), Imbalanced(40, 0.2, test_rows=60, deduplicate=False)
    )
    assert len(Smote().sample(train, 20).frame) == 20


def test_none_adds_nothing():
    assert NoRows().sample(train_of(number_table()), 50).frame.empty


def test_too_few_rows_without_a_reason_is_an_error():
    class Lazy(Duplicate):
        def _sample(self, train, wanted, rng, progress):
            return super()._sample(train, wanted, rng, progress).iloc[:3]

    with pytest.raises(MethodError, match="Lazy made 3 valid rows where 10"):
        Lazy().sample(train_of(number_table()), 10)


def test_rows_of_other_groups_are_refused():
    class Wrong(Duplicate):
        def _sample(self, train, wanted, rng, progress):
            majority = {g: 10 for g in train.groups if not g.minority}
            return super()._sample(train, majority, rng, progress)

    with pytest.raises(MethodError, match="made 0 valid rows"):
        Wrong().sample(train_of(number_table()), 10)


def test_a_method_never_sees_test_rows():
    assert {f.name for f in dataclasses.fields(Train)} == {"frame", "schema", "groups", "seed", "augment", "units"}


@pytest.mark.parametrize("method", [Duplicate(), Smote()], ids=lambda m: type(m).__name__)
def test_augment_fills_every_group_once_they_are_balanced(method):
    train = train_of(number_table(300), Imbalanced(40, 0.2, test_rows=60, augment=True))
    short = train.minority_groups[0]
    assert len(train.rows(short)) == 8  # and 32 of the majority
    rows = method.sample(train, 34).frame
    assert short.mask(rows).tolist() == [True] * 24 + [False, True] * 5
    assert short.mask(method.sample(train, 20).frame).all()
    plain = dataclasses.replace(train, augment=False)
    pd.testing.assert_frame_equal(method.sample(plain, 24).frame, method.sample(train, 24).frame)


def test_augment_balances_unequal_groups_before_it_goes_on():
    train = train_of(number_table(400), Spurious(12, 4, test_rows=60, augment=True))
    one, other = train.minority_groups
    uneven = dataclasses.replace(train, frame=train.frame.drop(train.rows(one).index[:2]))
    order = turns(24, uneven)
    assert order[:4] == [one, one, one, other]  # 2 of 4 rows, until they are even
    sizes = {g: len(uneven.rows(g)) + order[:18].count(g) for g in uneven.groups}
    assert set(sizes.values()) == {12}
    assert order[18:] == [*uneven.groups, *uneven.groups][:6]


def test_turns_pass_over_a_group_that_has_run_out():
    train = train_of(number_table(400), Spurious(12, 4, test_rows=60))
    one, other = train.minority_groups
    frame = pd.concat([train.rows(one), train.rows(other)[:1]])
    assert [one.mask(take_turns(frame, turns(9, train)))[i] for i in range(5)] == [True, False, True, True, True]
