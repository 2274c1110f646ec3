"""Free remedies that know groups: what they weigh, and that they help the worst group where an attribute misleads."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from tables import number_table, table_of

from opal.evaluate.classifiers import Classifier
from opal.evaluate.group_controls import group_robust, group_threshold, just_train_twice
from opal.evaluate.measure import measure
from opal.tasks.imbalanced import Imbalanced
from opal.tasks.spurious import Spurious

LOGISTIC = Classifier(partial(LogisticRegression, max_iter=500), scale=True)
CONTROLS = {"just_train_twice": just_train_twice, "group_threshold": group_threshold, "group_robust": group_robust}


def misleading(n: int = 4000):
    """The label depends on x; the attribute a goes with the label in most train rows."""
    rng = np.random.default_rng(0)
    label, a = rng.integers(0, 2, n), rng.integers(0, 2, n)
    frame = pd.DataFrame({"x": (label + rng.normal(0, 1.0, n)).round(3), "a": a, "y": label})
    return table_of(frame, "y", 1, group="a")


@pytest.mark.slow
def test_the_worst_group_is_better_off():
    table = misleading()
    found = {name: [] for name in ("", *CONTROLS)}
    for seed in range(4):
        split = Spurious(majority_rows=60, minority_rows=8, test_rows=1500).split(table, seed)
        records = measure(LOGISTIC, split, split.train.frame.iloc[:0], 0, 1, CONTROLS)
        values = {r["metric"]: r["value"] for r in records}
        for name in found:
            found[name].append(values[f"control/{name}/worst_group_error" if name else "worst_group_error"])
    means = {name: np.mean(values) for name, values in found.items()}
    assert all(means[name] < means[""] - 0.03 for name in CONTROLS), means


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_without_an_attribute_they_are_not_possible(control):
    split = Imbalanced(40, 0.2, test_rows=80).split(number_table(400), 1)
    raw = LOGISTIC.fit(split.train.frame, split.train.schema).predict_proba(split.test)
    assert control(LOGISTIC, split, split.train.schema.labels[0], raw) is None


@pytest.mark.parametrize("control", [just_train_twice, group_robust])
def test_a_classifier_without_weights_has_none(control):
    split = Spurious(majority_rows=20, minority_rows=8, test_rows=100).split(misleading(), 1)
    neighbours = Classifier(partial(KNeighborsClassifier, 3))
    raw = neighbours.fit(split.train.frame, split.train.schema).predict_proba(split.test)
    assert control(neighbours, split, 1, raw) is None


def test_thresholds_differ_by_the_attributes_value():
    split = Spurious(majority_rows=60, minority_rows=8, test_rows=1500).split(misleading(), 1)
    raw = LOGISTIC.fit(split.train.frame, split.train.schema).predict_proba(split.test)
    proba, predicted = group_threshold(LOGISTIC, split, 1, raw)
    assert proba is raw
    cuts = []
    for value in (0, 1):
        mine = (split.test["a"] == value).to_numpy()
        called, rest = raw[mine & (predicted == 1), 1], raw[mine & (predicted == 0), 1]
        assert called.min() > rest.max(), "one threshold for each value"
        cuts.append((called.min() + rest.max()) / 2)
    assert abs(cuts[0] - cuts[1]) > 0.1
