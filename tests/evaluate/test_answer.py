"""The answer: the best free action of the folds, unless rows clearly beat it; test rows choose nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from opal.evaluate.actions import NOTHING, Action, Measured, choose
from opal.evaluate.answer import answer
from opal.evaluate.verdict import confidence_interval

SEEDS = (1, 2, 6, 8, 42)
METRICS = ("error", "balanced_error")


def run_of(method: str, validation: dict[str, float], test: dict[str, float] | None = None, paid=False, noise=0.0):
    """A run whose errors are given by place: "", "control/<name>/", "10" and "threshold/10" for 10 rows."""
    rng = np.random.default_rng(0)
    rows = []
    for prefix, values in (("validation_", validation), ("", test or validation)):
        for place, value in values.items():
            head, _, last = place.rpartition("/")
            amount = int(last) if last.isdigit() else 0
            name = (f"{head}/" if head else "") if last.isdigit() else place
            for seed in SEEDS:
                for metric in METRICS:
                    rows.append((seed, amount, f"{prefix}{name}{metric}", value + noise * rng.normal()))
    errors = pd.DataFrame(rows, columns=["seed", "amount", "metric", "value"])
    return Measured(method, errors, paid, {"seconds": 1.0})


BASE = {"": 0.30, "control/class_weight/": 0.20, "control/tuned_threshold/": 0.22}


def test_the_best_action_of_the_folds_is_recommended_and_test_rows_choose_nothing():
    validation = {**BASE, "10": 0.10, "threshold/10": 0.15, "20": 0.12}
    test = {**BASE, "10": 0.25, "threshold/10": 0.01, "20": 0.02}
    found = answer("t", "logistic", [run_of("smote", validation, test)])
    assert found is not None and found.recommended == Action("smote", 10, price=3)
    assert found.best_free.name == "class_weight"
    assert found.against_nothing.difference == pytest.approx(0.25 - 0.30)
    assert found.against_free.difference == pytest.approx(0.25 - 0.20) and found.against_free.word == "hurts"


def test_cheap_comes_before_dear_within_noise():
    seeds = pd.Index(SEEDS)
    noise = pd.Series([0.02, -0.03, 0.01, -0.02, 0.015], seeds)
    level = pd.Series(0.2, seeds)
    validation = pd.DataFrame(
        {
            Action(NOTHING): level + 0.1,
            Action("class_weight", price=2): level + noise + 0.002,
            Action("llm", 50, price=4): level,
        }
    )
    assert choose(validation, "balanced_error").name == "class_weight"
    validation[Action("class_weight", price=2)] = level + 0.002  # always worse, if only by little
    assert choose(validation, "balanced_error").name == "llm"


def test_a_free_action_besides_the_likely_ones_must_be_clearly_better():
    level = pd.Series([0.2, 0.25, 0.3, 0.2, 0.22], pd.Index(SEEDS))
    noise = pd.Series([0.02, -0.03, 0.01, -0.02, 0.015], pd.Index(SEEDS))
    forest, weights, nothing = Action("balanced_forest", price=2), Action("class_weight", price=2), Action(NOTHING)
    validation = pd.DataFrame({nothing: level + 0.1, weights: level - 0.004 + noise, forest: level})
    assert choose(validation, "balanced_error") == forest
    assert choose(validation, "error") == weights
    validation[weights] = level - 0.004
    assert choose(validation, "balanced_error") == weights
    threshold = Action("tuned_threshold", price=1)
    both = validation.copy()
    both[weights], both[threshold] = level + 0.1, level - 0.004 + noise
    ranking = pd.DataFrame({threshold: level * 0 + 0.7, forest: level * 0 + 0.75, nothing: level * 0 + 0.7})
    assert choose(both, "balanced_error") == threshold
    assert choose(both, "balanced_error", ranking) == forest
    assert choose(both, "balanced_error", ranking[[forest]]) == threshold  # not measured for all
    validation[weights], validation[nothing] = level + noise.abs(), level
    assert choose(validation, "balanced_error") == nothing  # as good, and simpler


def test_the_answer_says_where_another_action_did_better_on_the_folds():
    found = answer("t", "logistic", [run_of("smote", {**BASE, "10": 0.3}, noise=0.1)])
    assert found is not None and found.recommended.name == "tuned_threshold"
    assert "On the folds class weight did better, by too little to be preferred." in found.sentences


def test_rows_of_a_language_model_come_last_among_equals():
    runs = [run_of("llm", {**BASE, "10": 0.1}, paid=True), run_of("smote", {**BASE, "10": 0.1, "20": 0.1})]
    found = answer("t", "logistic", runs)
    assert found is not None and found.recommended == Action("smote", 10, price=3)


def test_rows_that_have_seen_the_held_out_rows_are_reported_and_not_recommended():
    good = run_of("llm", {**BASE, "10": 0.01}, {**BASE, "10": 0.15}, paid=True)
    found = answer("t", "logistic", [Measured("llm", good.errors, True, seen=True)])
    assert found is not None and found.recommended.name == "class_weight"
    (action,) = found.seen
    assert action.words == "llm, 10 rows" and found.seen[action].difference == pytest.approx(0.15 - 0.20)
    (said,) = (sentence for sentence in found.sentences if "cannot judge llm, 10 rows" in sentence)
    assert "validation.remake=always" in said
    replayed = answer("t", "logistic", [Measured("replay", good.errors, seen=True)])
    assert replayed is not None
    (said,) = (sentence for sentence in replayed.sentences if "cannot judge replay, 10 rows" in sentence)
    assert "validation.remake" not in said, "replayed rows cannot be made again"
    assert found.table.set_index("action")["validation"].isna()["llm, 10 rows"]


def test_nothing_is_recommended_where_nothing_helps():
    found = answer("t", "logistic", [run_of("smote", {"": 0.2, "control/class_weight/": 0.25, "10": 0.3})])
    assert found is not None and found.recommended == Action(NOTHING)
    assert "leave the table as it is" in found.sentences[0]


def test_the_gain_is_split_into_threshold_and_rows():
    validation = {**BASE, "10": 0.18, "threshold/10": 0.12}
    found = answer("t", "logistic", [run_of("smote", validation)])
    assert found is not None and found.sources is not None
    parts = found.sources
    assert parts.threshold.difference == pytest.approx(0.22 - 0.30)
    assert parts.information.difference == pytest.approx(0.12 - 0.22)
    assert parts.threshold.difference + parts.information.difference == pytest.approx(found.against_nothing.difference)
    assert "that is 44% of the gain" in parts.sentence


def test_the_interval_is_that_of_the_paired_differences():
    found = answer("t", "logistic", [run_of("smote", {**BASE, "10": 0.1}, noise=0.01)])
    assert found is not None
    errors = run_of("smote", {**BASE, "10": 0.1}, noise=0.01).errors
    mine = errors[(errors["metric"] == "balanced_error")].pivot(index="seed", columns="amount", values="value")
    assert (found.against_nothing.low, found.against_nothing.high) == pytest.approx(
        confidence_interval((mine[10] - mine[0]).to_numpy())
    )


def test_a_threshold_tuned_on_few_minority_rows_is_called_fragile():
    run = run_of("smote", {"": 0.3, "control/tuned_threshold/": 0.1, "10": 0.2})
    few, many = (answer("t", "logistic", [replace(run, minority_rows=n)]) for n in (20, 60))
    assert few is not None and many is not None
    (said,) = few.caveats
    assert "tuned on 20 minority rows" in said and "fragile" in said
    assert not many.caveats


def test_the_interval_for_new_rows_stands_beside_that_for_new_splits():
    run = replace(run_of("smote", {**BASE, "10": 0.1}, noise=0.01), test_share=0.4)
    found = answer("t", "logistic", [run])
    assert found is not None
    one, (low, high) = found.against_nothing, found.against_nothing.corrected
    assert high - low == pytest.approx((one.high - one.low) * np.sqrt(1 + 5 * 0.4))
    assert f"{low:+.4f} to {high:+.4f} (Nadeau and Bengio's correction)" in found.caveats[0]


def test_a_control_and_a_method_of_one_name_have_a_row_each():
    found = answer("t", "logistic", [run_of("smote", {**BASE, "control/smote/": 0.25, "10": 0.1})])
    assert found is not None
    assert {"smote", "smote, 10 rows"} <= set(found.table["action"])


def test_the_table_has_one_row_per_action_the_recommended_one_first():
    found = answer("t", "logistic", [run_of("smote", {**BASE, "10": 0.1, "20": 0.15})])
    assert found is not None
    assert list(found.table["action"]) == ["smote, 10 rows", "class weight", "tuned threshold", "nothing"]
    assert found.table["seconds"].notna().sum() == 1


def test_without_validation_errors_there_is_no_answer():
    run = run_of("smote", {**BASE, "10": 0.1})
    errors = run.errors[~run.errors["metric"].str.startswith("validation_")]
    assert answer("t", "logistic", [Measured("smote", errors)]) is None
