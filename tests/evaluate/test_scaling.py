"""A law is told where there is one, and refused where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from opal.errors import ConfigError
from opal.evaluate.scaling import fit_scaling, variance_sources

AMOUNTS = np.array([0, 10, 20, 40, 80, 160])


def _curve(means: np.ndarray, noise: float, seeds: int = 5, rng: int = 0, amounts=AMOUNTS) -> pd.DataFrame:
    generator = np.random.default_rng(rng)
    rows = []
    for seed in range(seeds):
        level = generator.normal(0, 0.02)  # a seed is harder or easier as a whole
        for amount, mean in zip(amounts, means, strict=True):
            rows.append((seed, amount, "error", mean + level + generator.normal(0, noise)))
    return pd.DataFrame(rows, columns=["seed", "amount", "metric", "value"])


def test_a_clean_power_law_is_recovered():
    law = 0.1 + 1.5 * (AMOUNTS + 10.0) ** -1.0
    fit = fit_scaling(_curve(law, 1e-5), n0=10, cost_per_row={"tokens": 20})
    assert fit.told
    assert fit.exponent == pytest.approx(1.0, abs=0.03)
    assert fit.exponent_low < 1.0 < fit.exponent_high
    np.testing.assert_allclose(fit.predict(AMOUNTS) - fit.predict(AMOUNTS)[0], law - law[0], atol=1e-3)
    assert fit.recommended == 160
    assert fit.cost == {"tokens": 3200}
    assert "exponent" in fit.sentence


@pytest.mark.slow
def test_the_interval_holds_the_exponent_as_often_as_it_says():
    law = 0.1 + 1.5 * (AMOUNTS + 10.0) ** -1.0
    fits = [fit_scaling(_curve(law, 0.003, rng=k), n0=10) for k in range(60)]
    held = [f.exponent_low <= 1.0 <= f.exponent_high for f in fits if f.told]
    assert len(held) > 50
    assert np.mean(held) > 0.85


def test_a_flat_a_rising_and_a_short_curve_are_refused():
    flat = [fit_scaling(_curve(np.full(6, 0.2), 0.01, rng=k), n0=10) for k in range(30)]
    assert sum(f.told for f in flat) <= 3
    rising = fit_scaling(_curve(0.2 + AMOUNTS / 1000, 0.001), n0=10)
    assert not rising.told
    assert rising.recommended == 0
    assert "grows" in rising.sentence
    short = fit_scaling(_curve(np.array([0.3, 0.2, 0.1]), 0.001, amounts=AMOUNTS[:3]), n0=10)
    assert not short.told
    assert np.isnan(short.exponent)
    same = fit_scaling(_curve(np.full(6, 0.2), 0.0), n0=10)
    assert "same at every amount" in same.sentence
    with pytest.raises(ConfigError, match="brier"):
        fit_scaling(_curve(np.full(6, 0.2), 0.0), n0=10, metric="brier")


def test_fewer_rows_are_recommended_where_more_do_not_pay():
    means = np.array([0.30, 0.20, 0.15, 0.1501, 0.1499, 0.1500])
    assert fit_scaling(_curve(means, 0.001), n0=10).recommended == 20


def test_the_two_sources_of_variance_are_told_apart():
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(3):
        for draw in range(40):
            shift = rng.normal(0, 0.03)
            rows += [(seed, draw, t, 0.2 + 0.1 * seed + shift + rng.normal(0, 0.01)) for t in range(5)]
    errors = pd.DataFrame(rows, columns=["seed", "draw", "training", "value"])
    found = variance_sources(errors)
    assert np.sqrt(found.generator) == pytest.approx(0.03, rel=0.2)
    assert np.sqrt(found.training) == pytest.approx(0.01, rel=0.1)
    assert found.generator_share == pytest.approx(0.9, abs=0.05)
    assert found.p < 1e-6
    with pytest.raises(ConfigError, match="two draws"):
        variance_sources(errors[errors["draw"] == 0])


def test_no_variance_of_the_generator_is_found_where_there_is_none():
    rng = np.random.default_rng(0)
    rows = [(draw, t, rng.normal(0.2, 0.01)) for draw in range(10) for t in range(5)]
    found = variance_sources(pd.DataFrame(rows, columns=["draw", "training", "value"]))
    assert found.generator_share < 0.3
    assert found.p > 0.01
