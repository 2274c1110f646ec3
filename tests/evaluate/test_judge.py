"""The verdict and the law of one trial, from errors made up so that the answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from opal.evaluate.curve import control_names
from opal.evaluate.judge import judge, whole
from opal.result import Rows, TrialResult, Usage

SEEDS, AMOUNTS = (1, 2, 6, 8, 42), (0, 10, 20, 30, 40, 50)
CONTROL = 0.25


def result_of(test, validation=None, controls=("class_weight", "smote"), rows=50, usage=None, seeds=SEEDS, n0=10.0):
    """A trial whose curve is ``test(amount)``, whose folds said ``validation(amount)``, with a little noise by seed."""
    rng = np.random.default_rng(0)
    records = []
    for seed in seeds:
        for measure in ("error", "balanced_error"):
            for amount in AMOUNTS:
                records.append((seed, amount, measure, test(amount) + rng.normal(0, 0.002)))
                if validation is not None:
                    records.append((seed, amount, f"validation_{measure}", validation(amount)))
            for control in controls:
                records.append((seed, 0, f"control/{control}/{measure}", CONTROL + rng.normal(0, 0.002)))
    errors = pd.DataFrame(records, columns=["seed", "amount", "metric", "value"])
    made = {s: Rows(pd.DataFrame({"x": range(rows)}), usage=usage or Usage()) for s in seeds}
    return TrialResult(errors, made, metrics={"train/minority_rows": n0})


def falling(amount):
    return 0.15 + 1.5 / (amount + 10)


def test_a_clear_gain_helps_and_the_notes_say_how():
    result = result_of(falling, validation=lambda a: abs(a - 40))
    judge(result, "smote")
    assert result.verdicts == {"error": "helps", "balanced_error": "helps"}
    assert all(result.metrics[f"seed_{s}/amount_chosen"] == 40 for s in SEEDS)
    gap = result.metrics["verdict/error/difference"]
    assert gap == pytest.approx(falling(40) - CONTROL, abs=0.005)
    assert result.metrics["verdict/error/low"] < gap < result.metrics["verdict/error/high"] < 0
    text = " ".join(result.notes)
    assert "smote at its chosen amount against" in text and "40 (seed 1)" in text and "helps" in text


def test_the_amount_follows_validation_and_not_the_test_rows():
    result = result_of(falling, validation=lambda a: a)  # the folds like no rows at all
    judge(result, "smote")
    assert all(result.metrics[f"seed_{s}/amount_chosen"] == 0 for s in SEEDS)
    assert result.metrics["verdict/error/difference"] == pytest.approx(falling(0) - CONTROL, abs=0.005)


def test_where_an_attribute_tells_the_groups_their_balanced_error_chooses_the_amount():
    result = result_of(falling, validation=lambda a: a)
    measured = result.errors
    worst = measured[measured["metric"].str.endswith("balanced_error") & ~measured["metric"].str.startswith("v")]
    worst = worst.assign(metric=worst["metric"].str.replace("balanced_error", "worst_group_error"))
    by_group = measured[measured["metric"] == "validation_balanced_error"]
    by_group = by_group.assign(metric="validation_group_balanced_error", value=(by_group["amount"] - 40).abs())
    result.errors = pd.concat([measured, worst, by_group], ignore_index=True)
    judge(result, "smote")
    assert all(result.metrics[f"seed_{s}/amount_chosen"] == 40 for s in SEEDS)
    assert result.verdicts == dict.fromkeys(("error", "balanced_error", "worst_group_error"), "helps")
    assert any(note.startswith("Amounts chosen by group-balanced error on") for note in result.notes)


def test_rows_worse_than_a_control_hurt():
    result = result_of(lambda a: 0.3 + a / 1000, validation=lambda a: -a)
    judge(result, "smote")
    assert result.verdicts["error"] == "hurts"


def test_the_raw_error_is_a_control_too():
    result = result_of(lambda a: 0.2, validation=lambda a: -a)  # better than each control, but so were no rows
    judge(result, "smote")
    assert result.verdicts["error"] == "no difference that matters"
    assert "no synthetic rows" in " ".join(result.notes)


def test_rows_that_equal_test_rows_do_not_win_the_verdict_alone():
    result = result_of(falling, validation=lambda a: -a)
    clean = result.errors[result.errors["metric"].isin(["error", "balanced_error"])]
    clean = clean.assign(metric="without_test_matches/" + clean["metric"], value=0.3)
    result.errors = pd.concat([result.errors, clean], ignore_index=True)
    judge(result, "llm")
    assert result.verdicts["error"] == "helps" and result.verdicts["without_test_matches/error"] == "hurts"
    assert result.metrics["verdict/without_test_matches/error/low"] > 0
    assert any("without the rows that equal a test row" in n and n.endswith("hurts.") for n in result.notes)


@pytest.mark.parametrize("given", [{"validation": None}, {"validation": falling, "controls": ()}])
def test_without_folds_or_controls_there_is_no_verdict_but_a_law(given):
    result = result_of(falling, **given)
    judge(result, "smote")
    assert not result.verdicts and not any(m.startswith("verdict/") for m in result.metrics)
    assert "scaling/recommended" in result.metrics


def test_without_rows_nothing_is_judged():
    result = result_of(falling, falling, rows=0)
    judge(result, "none")
    assert not result.notes and not result.verdicts


def test_one_seed_cannot_tell():
    result = result_of(falling, falling, seeds=(1,))
    judge(result, "smote")
    assert result.verdicts["error"] == "inconclusive"
    assert "run at least two" in " ".join(result.notes)


def test_the_law_has_its_exponent_and_its_cost():
    usage = Usage(requests=5, prompt_tokens=900, completion_tokens=100, money=0.5)
    result = result_of(falling, usage=usage)
    judge(result, "llm")
    assert result.metrics["scaling/exponent"] == pytest.approx(1, abs=0.4)
    assert result.metrics["scaling/exponent_low"] < 1 < result.metrics["scaling/exponent_high"]
    amount = result.metrics["scaling/recommended"]
    (law,) = (n for n in result.notes if "exponent" in n)
    assert f"{amount * 20:,.4g} tokens" in law and f"{amount * 0.01:,.4g} money" in law


def test_a_flat_curve_gets_no_law_but_advice():
    result = result_of(lambda a: 0.2)
    judge(result, "smote")
    assert "scaling/exponent" not in result.metrics
    assert "No scaling law" in " ".join(result.notes) and "scaling/recommended" in result.metrics


def test_only_amounts_that_every_seed_reached_count_for_the_law():
    errors = result_of(falling).errors
    short = errors[(errors["seed"] != 2) | (errors["amount"] <= 20)]
    assert sorted(whole(short)["amount"].unique()) == [0, 10, 20]


def test_control_names_in_order():
    assert control_names(result_of(falling, controls=("smote", "class_weight")).errors) == ["smote", "class_weight"]
