"""measure=...: what a person chooses by is what amounts, thresholds and actions are chosen by."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score
from tables import number_table
from trials import SMALL_FOREST

from opal.config.build import build, compose
from opal.errors import ConfigError
from opal.evaluate.answer import answer
from opal.evaluate.metrics import Costs, f1, higher_is_better, with_cost
from opal.evaluate.validate import PREFIX, chosen_by
from opal.record.config_hash import config_hash
from opal.report.answer import measured

SMALL = ["seeds=[1,2,6]", "amounts.steps=2", "amounts.size=10", "task.train_rows=60", "task.minority_share=0.2"]
SMALL += ["task.test_rows=100", "fidelity=false", "contamination=off", "method=smote", SMALL_FOREST]
TABLE = number_table(600)


def result_of(*overrides: str):
    return build(compose(*SMALL, *overrides), TABLE).run()


@pytest.mark.slow
@pytest.mark.parametrize(
    "measure", ["error", "balanced_error", "worst_group_error", "average_precision", "roc_auc", "f1", "cost"]
)
def test_the_answer_is_chosen_by_it(measure):
    result = result_of(f"measure={measure}", "cost.false_negative=10")
    assert chosen_by(set(result.errors["metric"])) == measure
    found = answer("toy", "logistic", [measured("smote", result.errors, result.metrics)])
    assert found.measure == measure
    shown = found.table.set_index("action")
    free = shown[shown["rows"] == 0]["validation"]
    best = free.max() if higher_is_better(measure) else free.min()
    assert shown["validation"].iloc[0] == pytest.approx(best) or shown["rows"].iloc[0] > 0
    assert f"verdict/{measure}/difference" in result.metrics


@pytest.mark.slow
def test_more_is_better_where_it_is():
    result = result_of("measure=roc_auc")
    values = result.errors[result.errors["metric"] == PREFIX + "roc_auc"].pivot(
        index="seed", columns="amount", values="value"
    )
    for seed, row in values.iterrows():
        assert row[result.metrics[f"seed_{seed}/amount_chosen"]] == row.max()


@pytest.mark.slow
def test_a_gain_is_judged_by_its_direction():
    result = result_of("measure=f1")
    found = answer("toy", "logistic", [measured("smote", result.errors, result.metrics)])
    gap = found.against_nothing
    if gap.low > 0:
        assert gap.word == "helps"
    if gap.high < 0:
        assert gap.word == "hurts"


def test_f1_is_scikit_learns():
    rng = np.random.default_rng(0)
    for _ in range(20):
        predicted, truth = rng.random(30) < 0.3, rng.random(30) < 0.4
        assert f1(predicted, truth) == pytest.approx(f1_score(truth, predicted, zero_division=0))
    assert f1(np.zeros(3, bool), np.zeros(3, bool)) == 0.0


@pytest.mark.slow
def test_the_cost_is_what_errors_cost_at_the_prevalence():
    result = result_of("measure=cost", "cost.false_negative=10", "cost.false_positive=2", "prevalence=0.05")
    wide = result.errors.pivot_table(index=["seed", "amount"], columns="metric", values="value")
    for place in ("", "control/cost_threshold/", PREFIX, f"{PREFIX}control/tuned_threshold/", "threshold/"):
        expected = 0.05 * 10 * wide[f"{place}minority_error"] + 0.95 * 2 * wide[f"{place}majority_error"]
        known = expected.dropna()
        assert len(known) and np.allclose(wide.loc[known.index, f"{place}cost"], known)


@pytest.mark.slow
def test_a_dear_false_negative_moves_the_threshold_down():
    result = result_of("measure=cost", "cost.false_negative=50", "prevalence=0.2")
    at = result.errors[result.errors["metric"].isin(["minority_error", "control/cost_threshold/minority_error"])]
    missed = at[at["amount"] == 0].groupby("metric")["value"].mean()
    assert missed["control/cost_threshold/minority_error"] < missed["minority_error"]


@pytest.mark.slow
def test_cost_threshold_is_the_bayes_rule():
    assert Costs(9, 1).threshold == pytest.approx(0.1)
    empty = result_of("measure=error").errors
    assert with_cost(empty[empty["metric"] == "roc_auc"], Costs()).equals(empty[empty["metric"] == "roc_auc"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["measure=rok_auc"], "did you mean roc_auc"),
        (["measure=group_balanced_error"], "task=spurious"),
        (["measure=cost", "cost.false_negative=-1"], "cost.false_negative=-1"),
        (["measure=cost", "cost={false_negative: 0, false_positive: 0}"], "must cost something"),
        (["measure=cost", "prevalence=1.5"], "between 0 and 1"),
    ],
)
def test_mistakes_are_named(overrides, said):
    with pytest.raises(ConfigError, match=said):
        result_of(*overrides)


def test_the_hash_counts_it_only_where_it_decides():
    def hashed(*overrides: str) -> str:
        return config_hash(compose(*SMALL, *overrides), TABLE)

    assert hashed("cost.false_negative=3") == hashed("prevalence=0.1") == hashed()
    found = [hashed("measure=cost"), hashed("measure=cost", "prevalence=0.1"), hashed("measure=f1"), hashed()]
    assert len(set(found)) == 4
