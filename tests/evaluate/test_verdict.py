"""The verdict says what the numbers allow, and how many seeds would say more."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import TTestPower

from opal.errors import ConfigError
from opal.evaluate.verdict import at_amounts, choose_amount, confidence_interval, seeds_needed, verdict

SEEDS = [1, 2, 6, 8, 42]


def _series(*values: float) -> pd.Series:
    return pd.Series(values, index=SEEDS[: len(values)], dtype=float)


def test_helps_hurts_and_cannot_be_told():
    control = {"class_weights": _series(0.20, 0.22, 0.19, 0.21, 0.20)}
    assert verdict(_series(0.15, 0.16, 0.15, 0.16, 0.14), control).word == "helps"
    assert verdict(_series(0.25, 0.26, 0.25, 0.26, 0.24), control).word == "hurts"
    unsure = verdict(_series(0.10, 0.30, 0.19, 0.25, 0.12), control)
    assert unsure.word == "inconclusive"
    assert unsure.low < 0 < unsure.high
    assert unsure.seeds_needed is not None
    assert unsure.seeds_needed > 5
    assert "seeds would show" in unsure.sentence


def test_the_t_interval_of_a_hand_worked_example():
    result = verdict(_series(0.1, 0.2, 0.3), {"none": _series(0.2, 0.2, 0.2)})
    # mean 0, sd 0.1, t(0.975, 2) = 4.3027
    assert result.difference == pytest.approx(0)
    assert (result.low, result.high) == pytest.approx((-0.2484, 0.2484), abs=1e-4)
    assert result.seeds_needed is None
    assert "no number of seeds" in result.sentence


def test_a_metric_that_is_better_when_higher_turns_the_words_round():
    more, less = _series(0.8, 0.82, 0.81), _series(0.6, 0.61, 0.62)
    assert verdict(more, {"none": less}, "average_precision").word == "helps"
    assert verdict(more, {"none": less}, "error").word == "hurts"


def test_without_validation_the_hardest_control_decides():
    method = _series(0.20, 0.21, 0.22, 0.20, 0.21)
    easy, hard = _series(0.30, 0.31, 0.32, 0.31, 0.30), _series(0.20, 0.22, 0.21, 0.20, 0.21)
    result = verdict(method, {"easy": easy, "hard": hard})
    assert result.control == "hard"
    assert result.word == "inconclusive"
    assert "hardest control to beat" in result.sentence


def test_the_control_is_chosen_by_its_validation_error_when_there_is_one():
    method = _series(0.20, 0.21, 0.22)
    controls = {"a": _series(0.30, 0.31, 0.33), "b": _series(0.10, 0.12, 0.11)}
    chosen = {"a": _series(0.1, 0.1, 0.1), "b": _series(0.2, 0.2, 0.2)}
    result = verdict(method, controls, control_validation=chosen)
    assert result.control == "a"  # though b is better on test rows, which nobody may look at
    assert result.word == "helps"


@pytest.mark.slow
def test_false_alarms_are_rarer_than_the_level_says():
    """No method is better than any of three controls: told at most 5 % of the time, either way."""
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(200):
        values = pd.DataFrame(rng.normal(0.2, 0.02, size=(5, 4)), index=SEEDS)
        told += verdict(values[0], {str(k): values[k] for k in (1, 2, 3)}).word != "inconclusive"
    assert told / 200 <= 0.08


def test_seeds_needed_agrees_with_statsmodels():
    power = TTestPower()
    for mean in (0.3, 0.7, 1.5):
        gap = np.array([-1.0, 0.0, 1.0]) + mean
        expected = int(np.ceil(power.solve_power(effect_size=mean, alpha=0.05, power=0.8)))
        assert seeds_needed(gap) == expected
    assert seeds_needed(np.array([0.5, 0.5, 0.5])) == 3  # two equal differences have no interval
    assert seeds_needed(np.array([100.0, 100.1, 99.9])) in (2, 3)


def test_seeds_that_only_one_side_has_do_not_count():
    result = verdict(_series(0.1, 0.2, 0.3), {"none": _series(0.2, 0.2, 0.2, 0.2, 0.2)})
    assert result.seeds == 3
    alone = verdict(_series(0.1), {"none": _series(0.2, 0.2)})
    assert alone.word == "inconclusive"
    assert np.isnan(alone.low)
    assert "run at least two" in alone.sentence
    with pytest.raises(ConfigError, match="control"):
        verdict(_series(0.1), {})


def test_the_bootstrap_is_repeatable_and_named():
    rng = np.random.default_rng(1)
    gap = rng.normal(0.1, 0.05, 30)
    assert confidence_interval(gap, interval="bootstrap") == confidence_interval(gap, interval="bootstrap")
    low, high = confidence_interval(gap, interval="bootstrap")
    assert (low, high) == pytest.approx(confidence_interval(gap), abs=0.01)
    boot = verdict(_series(0.1, 0.2, 0.3, 0.2, 0.1), {"none": _series(0.2, 0.1, 0.1, 0.1, 0.2)}, interval="bootstrap")
    assert "bootstrap interval" in boot.sentence


def test_each_seed_chooses_its_amount_on_validation_alone():
    rows = []
    for seed, validation, test in [(1, [0.3, 0.2, 0.2], [0.3, 0.2, 0.1]), (2, [0.1, 0.2, 0.3], [0.5, 0.4, 0.0])]:
        for amount, v, t in zip((0, 10, 20), validation, test, strict=True):
            rows += [(seed, amount, "validation_error", v), (seed, amount, "error", t)]
    errors = pd.DataFrame(rows, columns=["seed", "amount", "metric", "value"])
    chosen = choose_amount(errors)
    assert chosen == {1: 10, 2: 0}
    assert at_amounts(errors, "error", chosen).to_dict() == {1: 0.2, 2: 0.5}
    with pytest.raises(ConfigError, match="validation_error"):
        choose_amount(errors[errors["metric"] == "error"])


def test_two_equal_differences_tell_nothing_of_their_spread():
    result = verdict(_series(0.25, 0.26), {"none": _series(0.20, 0.21)})
    assert result.word == "inconclusive"
    assert np.isnan(result.low)
