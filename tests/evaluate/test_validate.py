"""Validation folds: made of train rows alone, and of nothing that their held-out rows could have told."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tables import number_table

from opal.errors import ConfigError, LLMError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import class_weight
from opal.evaluate.curve import Amounts, curve
from opal.evaluate.features import label_codes
from opal.evaluate.validate import Folds
from opal.methods.duplicate import Duplicate
from opal.methods.smote import Smote
from opal.tasks.imbalanced import Imbalanced
from opal.tasks.spurious import Spurious

LOGISTIC = Classifier(partial(LogisticRegression, max_iter=500), scale=True)
TASK = Imbalanced(40, 0.2, test_rows=80)


class Spy(Duplicate):
    """Duplicate that remembers the train rows it saw."""

    def __init__(self):
        self.seen = []

    def sample(self, train, n, progress=None):
        self.seen.append(train)
        return super().sample(train, n, progress)


class Recorder(Classifier):
    """Remembers what it was fitted to and what it predicted."""

    def __init__(self):
        super().__init__(LOGISTIC.estimator, scale=True)
        object.__setattr__(self, "log", [])

    def fit(self, frame, schema, sample_weight=None):
        fitted = super().fit(frame, schema, sample_weight)
        predict = fitted.predict_proba

        class Watched:
            def predict_proba(inner, rows):
                self.log.append((frame, rows))
                return predict(rows)

        return Watched()


def validated(folds, method, task=TASK, seeds=(1, 2), steps=(0, 8, 16, 24), classifier=LOGISTIC, table=None):
    table = table or number_table(400)
    splits = [task.split(table, seed) for seed in seeds]
    rows = [Duplicate().sample(s.train, max(steps)).frame for s in splits]
    found, made = folds(classifier, splits, rows, [steps] * len(splits), 1, method.sample, method.remake)
    return splits, rows, found, made


def test_each_folds_rows_come_from_its_own_train_rows():
    spy = Spy()
    splits, _, found, _ = validated(Folds(3), spy)
    assert len(spy.seen) == 6
    for split, trains in zip(splits, (spy.seen[:3], spy.seen[3:]), strict=True):
        whole = set(split.train.frame.index)
        held = [whole - set(t.frame.index) for t in trains]
        assert set.union(*held) == whole and sum(map(len, held)) == len(whole)  # each row is held out once
        for train in trains:
            assert set(train.frame.index) < whole
            assert train.schema["x1"].high == train.frame["x1"].max()  # learned from the fold alone
            assert {g.name: len(train.rows(g)) for g in train.groups}["label=1"] in (5, 6)
    assert sorted(found["metric"].unique()) == [
        *("validation_balanced_error", "validation_error", "validation_roc_auc"),
        *("validation_threshold/balanced_error", "validation_threshold/error"),
    ]
    assert len(found) == 2 * (3 * 4 + 2 * 3)


def test_no_test_row_is_fitted_or_predicted():
    recorder = Recorder()
    splits, *_ = validated(Folds(3), Spy(), classifier=recorder, seeds=(1,))
    test, train = splits[0].test, splits[0].train.frame
    assert len(recorder.log) == 12
    for fitted, predicted in recorder.log:
        assert set(predicted.index) <= set(train.index)
        assert fitted.merge(test).empty  # the split keeps equal rows on one side
        real = fitted.iloc[: len(train) - len(predicted)]
        assert (real.to_numpy() == train.drop(predicted.index).to_numpy()).all()


@pytest.mark.parametrize(
    ("remake", "cost", "asked"), [("never", "free", 0), ("free", "paid", 0), ("always", "paid", 3)]
)
def test_remake_says_who_is_asked_again(remake, cost, asked):
    spy = Spy()
    spy.remake = cost
    *_, found, _ = validated(Folds(3, remake), spy, seeds=(1,))
    assert len(spy.seen) == asked
    assert len(found) == 4 * 3 + 3 * 2  # three metrics, and with rows the moved threshold of two
    spy.remake = "never"  # rows from a file: no setting can ask for others
    validated(Folds(3, remake), spy, seeds=(1,))
    assert len(spy.seen) == asked


def test_groups_told_by_an_attribute_have_their_own_balanced_error():
    splits, _, found, _ = validated(Folds(2, "never"), Spy(), Spurious(12, 4, test_rows=80), seeds=(1,), steps=(0,))
    train, folds = splits[0].train, list(Folds(2).parts(splits[0].train))
    wrong = [
        LOGISTIC.fit(f.train.frame, train.schema).predict_proba(f.test).argmax(axis=1) != f.test["label"] for f in folds
    ]
    by_group = [[w[g.mask(f.test)].mean() for g in train.groups] for w, f in zip(wrong, folds, strict=True)]
    value = found.set_index("metric")["value"]["validation_group_balanced_error"]
    assert value == pytest.approx(np.mean(by_group))  # folds of equal size


def test_a_fold_adds_its_share_of_the_rows():
    recorder = Recorder()
    validated(Folds(2, "never"), Spy(), classifier=recorder, seeds=(1,), steps=(0, 10, 20))
    sizes = [len(fitted) - (40 - len(held)) for fitted, held in recorder.log]
    assert sizes == [0, 5, 10] * 2


def test_values_are_means_over_all_held_out_rows():
    splits, _, found, _ = validated(Folds(2, "never"), Spy(), seeds=(1,), steps=(0,))
    each = [
        curve(LOGISTIC, [fold], [fold.train.frame.iloc[:0]], [[0]], 1).set_index("metric")["value"]["error"]
        for fold in Folds(2).parts(splits[0].train)
    ]
    assert found.set_index("metric")["value"]["validation_error"] == pytest.approx(np.mean(each))


def test_smote_with_too_few_rows_leaves_the_whole_seed_out():
    few, enough = Imbalanced(40, 0.05, test_rows=80), Imbalanced(40, 0.1, test_rows=80)
    assert validated(Folds(3), Smote(), few)[2].empty  # two rows: one per fold
    assert set(validated(Folds(3), Smote(), enough)[2]["seed"]) == {1, 2}


def test_a_seed_of_which_one_fold_fails_is_left_out_whole():
    class Unlucky(Duplicate):
        calls = 0

        def sample(self, train, n, progress=None):
            self.calls += 1
            if self.calls == 2:
                raise LLMError("no answer")
            return super().sample(train, n, progress)

    assert set(validated(Folds(3), Unlucky())[2]["seed"]) == {2}


def test_amounts_that_a_fold_does_not_reach_are_left_out():
    class Short(Duplicate):
        def sample(self, train, n, progress=None):
            rows = super().sample(train, n, progress)
            rows.frame = rows.frame.iloc[:12]  # 16 of 24 are a fold's share
            return rows

    assert sorted(validated(Folds(3), Short(), seeds=(1,))[2]["amount"].unique()) == [0, 8, 16]


def test_folds_are_at_most_the_rows_of_the_rarest_group():
    train = Spurious(12, 2, test_rows=80).split(number_table(400), 1).train
    parts = list(Folds(5).parts(train))
    assert len(parts) == 2
    assert all(g.mask(p.train.frame).any() and g.mask(p.test).any() for p in parts for g in train.groups)
    assert not list(Folds(0).parts(train))
    assert not list(Folds(5).parts(Imbalanced(40, 0.025, test_rows=80).split(number_table(400), 1).train))


def test_options_are_checked():
    for wrong in ({"folds": -1}, {"remake": "sometimes"}):
        with pytest.raises(ConfigError, match="remake=free, always or never"):
            Folds(**wrong)


@pytest.mark.slow
def test_amounts_are_the_trials():
    _, _, found, _ = validated(Folds(3), Spy(), steps=Amounts()(40))
    assert sorted(found["amount"].unique()) == [0, 8, 16, 24, 32, 40]
    pd.testing.assert_frame_equal(found, validated(Folds(3), Spy(), steps=Amounts()(40))[2])


def test_controls_are_measured_on_the_same_folds():
    table, method = number_table(400), Duplicate()
    splits = [TASK.split(table, seed) for seed in (1, 2)]
    rows = [method.sample(s.train, 8).frame for s in splits]
    given = {"controls": {"class_weight": class_weight}}
    found, _ = Folds(3)(LOGISTIC, splits, rows, [[0, 8]] * 2, 1, method.sample, "free", **given)
    mine = found[found["metric"] == "validation_control/class_weight/error"]
    assert list(mine["seed"]) == [1, 2] and list(mine["amount"]) == [0, 0]
    by_hand = []
    for fold in Folds(3).parts(splits[0].train):
        raw = LOGISTIC.fit(fold.train.frame, fold.train.schema).predict_proba(fold.test)
        _, predicted = class_weight(LOGISTIC, fold, 1, raw)
        by_hand += list(predicted == label_codes(fold.test, fold.train.schema))
    assert mine["value"].iloc[0] == pytest.approx(1 - np.mean(by_hand))
