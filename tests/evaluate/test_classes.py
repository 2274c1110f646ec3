"""Several classes that are short of rows: means of one-against-all metrics, thresholds of each, errors by class."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from opal.data.build import build_table
from opal.evaluate import controls
from opal.evaluate.classifiers import Classifier
from opal.evaluate.curve import curve
from opal.evaluate.features import label_codes
from opal.evaluate.validate import Folds
from opal.methods.duplicate import Duplicate
from opal.report.answer import answers, measured
from opal.tasks.imbalanced import Imbalanced
from opal.trial.trial import Trial

LOGISTIC = Classifier(partial(LogisticRegression, max_iter=500), scale=True)
FREE = {"base_rate_threshold": controls.base_rate_threshold, "tuned_threshold": controls.tuned_threshold}


@pytest.fixture(scope="module")
def table():
    rng, n = np.random.default_rng(2), 900
    label = rng.choice(list("abcd"), n, p=[0.6, 0.25, 0.1, 0.05])
    centre = np.array([{"a": 0, "b": 1.5, "c": 3.0, "d": -1.5}[v] for v in label])
    x = rng.normal(size=(n, 2)) + np.column_stack([centre, -centre / 2])
    frame = pd.DataFrame(x.round(3), columns=["x", "z"]).assign(y=label)
    return build_table("four", frame, "made up", target="y")


def test_ranking_and_f1_are_means_over_the_minority_classes(table):
    assert table.short == ("d", "c", "b")
    split = Imbalanced(test_rows=300).split(table, 1)
    found = curve(LOGISTIC, [split], [split.train.frame.iloc[:0]], [[0]], table.short).set_index("metric")["value"]
    proba = LOGISTIC.fit(split.train.frame, split.train.schema).predict_proba(split.test)
    truth, predicted = split.test["y"].to_numpy(), np.array(list("abcd"))[proba.argmax(axis=1)]
    places = {label: "abcd".index(label) for label in "bcd"}
    one_to_all = [(truth == label, proba[:, place]) for label, place in places.items()]
    assert found["roc_auc"] == pytest.approx(np.mean([roc_auc_score(*pair) for pair in one_to_all]))
    assert found["average_precision"] == pytest.approx(np.mean([average_precision_score(*pair) for pair in one_to_all]))
    assert found["f1"] == pytest.approx(f1_score(truth, predicted, labels=list("bcd"), average="macro"))
    for label in "abcd":
        assert found[f"error_of_{label}"] == pytest.approx((predicted[truth == label] != label).mean())
    assert found["balanced_error"] == pytest.approx(found[[f"error_of_{label}" for label in "abcd"]].mean())


def test_each_class_has_a_threshold(table):
    split = Imbalanced(test_rows=300).split(table, 1)
    train, truth = split.train, label_codes(split.test, split.train.schema)
    raw = LOGISTIC.fit(train.frame, train.schema).predict_proba(split.test)
    _, by_share = controls.base_rate_threshold(LOGISTIC, split, table.short, raw)
    share = np.bincount(label_codes(train.frame, train.schema)) / len(train.frame)
    over = raw / share
    expected = np.where((raw[:, 1:] > share[1:]).any(axis=1), 1 + over[:, 1:].argmax(axis=1), 0)
    assert (by_share == expected).all()
    _, tuned = controls.tuned_threshold(LOGISTIC, split, table.short, raw)
    scores = [balanced_accuracy_score(truth, predicted) for predicted in (raw.argmax(axis=1), by_share, tuned)]
    assert min(scores[1:]) > scores[0] + 0.1
    held_out, known = controls.out_of_fold(LOGISTIC, train, 5), label_codes(train.frame, train.schema)
    cuts = controls.best_cuts(held_out, known, [3, 2, 1])
    tried = [controls.above(held_out, [3, 2, 1], c) for c in (cuts, [share[3], share[2], share[1]])]
    assert balanced_accuracy_score(known, tried[0]) >= balanced_accuracy_score(known, tried[1])


def test_of_two_classes_above_their_thresholds_the_clearer_one_is_predicted():
    proba = np.array([[0.5, 0.3, 0.2], [0.5, 0.2, 0.3], [0.9, 0.05, 0.05]])
    assert controls.above(proba, [1, 2], [0.1, 0.12]).tolist() == [1, 2, 0]
    assert controls.above(proba, [2], [0.1]).tolist() == [2, 2, 0]


@pytest.mark.slow
def test_the_answer_tells_errors_by_class(table):
    options = {"controls": FREE, "validation": Folds(3), "fidelity": False}
    result = Trial(table, Imbalanced(test_rows=300), Duplicate(), LOGISTIC, seeds=(1, 2, 3), **options).run()
    (found,) = answers([("four", "logistic", measured("duplicate", result.errors, {}))])
    assert list(found.by_class.index) == list("abcd")
    nothing, done = found.by_class["nothing"], found.by_class[found.recommended.name]
    of_nothing = result.errors[(result.errors["amount"] == 0) & (result.errors["metric"] == "error_of_d")]["value"]
    assert nothing["d"] == pytest.approx(of_nothing.mean()) and done["d"] < nothing["d"] - 0.2
    (sentence,) = [s for s in found.sentences if s.startswith("Error by class")]
    assert f"d {nothing['d']:.3f} to {done['d']:.3f}" in sentence
