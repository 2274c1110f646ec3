"""Many rows: no stage calls Python once per row or measures distances between all rows. Work is counted, not time."""

from __future__ import annotations

import cProfile
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import distance as scipy_distance
from sklearn.linear_model import LogisticRegression
from tables import mixed_frame

from opal.data.build import build_table
from opal.errors import MethodError
from opal.evaluate import contamination as contamination_module
from opal.evaluate import distance
from opal.evaluate.classifiers import Classifier
from opal.evaluate.contamination import contamination
from opal.evaluate.controls import Balanced, class_weight, tuned_threshold
from opal.evaluate.curve import Amounts, tidy
from opal.evaluate.validate import Folds
from opal.methods import smote, smote_neighbours
from opal.methods.duplicate import Duplicate
from opal.methods.smote import Smote
from opal.report.figures import fidelity
from opal.result import TrialResult
from opal.table import Group, Schema, Split, Train
from opal.tasks.imbalanced import Imbalanced
from opal.trial import Trial
from opal.trial.measures import note_splits

MOST_PAIRS, FIDELITY_ROWS = 400_000, 150
CONTROLS = {
    "class_weight": class_weight,
    "duplicate": Balanced(Duplicate()),
    "tuned_threshold": partial(tuned_threshold, folds=2),
}


def calls(profile: cProfile.Profile) -> int:
    """Calls of functions, those of C by Python too; SMOTENC's own conversion of rows to lists is not ours to mend."""
    return sum(entry.callcount for entry in profile.getstats() if "tolist" not in str(entry.code))


def a_trial(n: int, method: object, missing: float, pairs: dict[str, int]) -> dict[str, int]:
    frame = mixed_frame(n, missing=missing)
    classifier = Classifier(partial(LogisticRegression, max_iter=20, tol=1.0), scale=True)  # as many steps at any size
    pairs.clear()
    with cProfile.Profile() as profile:
        table = build_table("t", frame, source="made up", target="outcome", minority="yes")
        _ = table.digest
        result = Trial(table, Imbalanced(), method, classifier, (1,), Amounts(2), CONTROLS, validation=Folds(2)).run()
    assert len(result.rows[1].frame) > n / 5
    return {"calls": calls(profile)} | pairs


@pytest.fixture
def pairs(monkeypatch):
    """Distances that scipy was asked for, with bounds low enough to be reached by a small table."""
    found: dict[str, int] = {}
    cdist = scipy_distance.cdist

    def count(a, b, *args, **options):
        found["pairs"] = found.get("pairs", 0) + len(a) * len(b)
        return cdist(a, b, *args, **options)

    monkeypatch.setattr(scipy_distance, "cdist", count)
    for module in (distance, contamination_module):
        monkeypatch.setattr(module, "MAX_PAIRS", MOST_PAIRS)
    monkeypatch.setattr("opal.evaluate.fidelity.MOST", FIDELITY_ROWS)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("method", "missing"), [(Smote(), 0.0), (Duplicate(), 0.1)], ids=["smote", "duplicate"])
def test_four_times_the_rows_are_four_times_the_numbers_and_no_more_calls(method, missing, pairs):
    a_trial(300, method, missing, pairs)  # imports
    few, many = (a_trial(n, method, missing, pairs) for n in (3000, 12_000))
    assert many["calls"] < few["calls"] + 9000 / 2  # a single call a row would be 9,000 more
    assert many["pairs"] < 2 * 5 * MOST_PAIRS + 20 * FIDELITY_ROWS**2  # numbers and names; four sets and held-out rows


def test_the_nearest_rows_of_a_sample_stand_for_all_and_equal_rows_are_counted_over_all(pairs):
    table = build_table("t", mixed_frame(4000, missing=0.1), source="made up", target="outcome", minority="yes")
    split = Imbalanced().split(table, 1)
    made = Duplicate().sample(split.train, 1500).frame
    stolen = split.test[split.test["outcome"] == "yes"].iloc[:25]
    found = contamination(pd.concat([made, stolen], ignore_index=True), split.train, split.test, table)
    assert found.looked_up == 200
    assert found.per_row["train_exact"].iloc[:1500].all() and found.matched.sum() == 25
    assert found.per_row["test_index"].iloc[1500:].tolist() == stolen.index.tolist()
    other = ~found.matched
    assert found.per_row["test_nearest"][other].notna().sum() == (found.per_row["test_index"][other] >= 0).sum() <= 200
    assert found.metrics["contamination/test_nearest"] > 0


def test_smote_makes_many_rows_in_parts_and_refuses_what_no_part_can_hold(monkeypatch):
    n = 400
    frame = pd.DataFrame({"city": [f"city {i % 90}" for i in range(n)], "x": np.arange(n) / 4, "y": [0, 1] * (n // 2)})
    groups = (Group("y", 0, True), Group("y", 1, False))
    train = Train(frame, Schema.infer(frame, "y"), groups, 1)
    asked = []
    made = Smote._made
    monkeypatch.setattr(Smote, "_made", lambda self, *a: asked.append(a[4]) or made(self, *a))
    whole = Smote().sample(train, 1000).frame
    monkeypatch.setattr(smote, "PART_CELLS", 46 * 5 * 300)
    parts = Smote().sample(train, 1000).frame
    assert asked == [1000, 300, 300, 300, 100] and len(parts) == 1000
    assert not parts.equals(whole) and not parts.duplicated().any()
    assert parts["x"].between(frame["x"].min(), frame["x"].max()).all() and set(parts["city"]) <= set(
        frame["city"][::2]
    )
    assert abs(parts["x"].mean() - whole["x"].mean()) < 4 * frame["x"].std() / np.sqrt(1000)
    monkeypatch.setattr(smote_neighbours, "MOST_REFERENCE", 80)
    near = Smote().sample(train, 1000)
    assert near.note == "SMOTE searched neighbours among 80 rows of y=0, drawn at random."
    assert len(near.frame) == 1000 and near.frame["x"].nunique() > 500
    result = TrialResult(tidy([{"seed": 1, "amount": 0, "metric": "control/smote/error", "value": 0.1}]), {})
    note_splits(result, [Split(train, frame)], {"smote": Balanced(Smote())}, 2 * len(frame))
    assert result.notes == [f"Control smote: {near.note}"]
    numbers = replace(train, frame=frame[["x", "y"]], schema=Schema.infer(frame[["x", "y"]], "y"))
    assert not Smote().sample(numbers, 10).note  # a tree finds the neighbours of all
    monkeypatch.setattr(smote, "MOST_CELLS", 200 * 45 - 1)
    with pytest.raises(MethodError, match=r"GiB for names with many levels .most in 'city': 45.: leave such columns"):
        Smote().sample(train, 10)
    names = replace(train, frame=frame[["city", "y"]], schema=Schema.infer(frame[["city", "y"]], "y"))
    with pytest.raises(MethodError, match=r"SMOTEN. compares each of the 200 train rows of y=0 with every other"):
        Smote().sample(names, 10)


def test_the_fidelity_figure_shows_a_sample_of_many_rows(monkeypatch):
    monkeypatch.setattr(fidelity, "MOST_REAL", 100)
    train = Imbalanced().split(build_table("t", mixed_frame(400), "made up", "outcome", "yes"), 1).train
    shown = []

    class Axis:
        def scatter(self, x, y, **style):
            shown.append(len(x))

        def set_title(self, text, **style):
            assert text == "100 of the train and synthetic rows, seed 1"

        def __getattr__(self, name):
            return lambda *args, **options: None

    fidelity._places(Axis(), fidelity.places(Duplicate().sample(train, 50).frame, train))
    assert sum(shown) == 100 + 50
