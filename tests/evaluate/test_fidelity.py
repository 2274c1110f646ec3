"""Good rows look like real ones, bad rows do not, and each measure says what is wrong."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from opal.evaluate.fidelity import fidelity, fidelity_by_group, valid
from opal.table import Group, Schema, Train


def _draw(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return pd.DataFrame(
        {
            "x": x.round(2),
            "z": (x + rng.normal(0, 0.3, n)).round(2),
            "count": rng.poisson(4, n),
            "job": rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
            "y": 0,
        }
    )


@pytest.fixture
def schema() -> Schema:
    return Schema.infer(pd.concat([_draw(2000, 9), _draw(2, 8).assign(y=1)]), "y")


def test_fresh_real_rows_are_as_alike_as_chance_has_it(schema):
    found = fidelity(_draw(200, 1), _draw(100, 2), schema).metrics
    assert found["marginal"] == pytest.approx(found["marginal_chance"], abs=0.06)
    assert found["pairwise"] == pytest.approx(found["pairwise_chance"], abs=0.06)
    assert found["coverage"] > 0.9
    assert found["validity"] > 0.97
    assert found["duplicates"] < 0.05
    assert 0.35 < found["detector_auc"] < 0.65
    assert found["nearest"] == pytest.approx(found["nearest_real"], rel=0.5)


@pytest.mark.slow
def test_each_fault_shows_in_its_measure(schema):
    real, good = _draw(100, 2), _draw(200, 1)
    base = fidelity(good, real, schema).metrics
    shifted = fidelity(good.assign(x=good["x"] + 1.5), real, schema).metrics
    assert shifted["marginal_max"] > 0.4
    assert shifted["detector_auc"] > 0.8
    torn = fidelity(good.assign(x=good["x"].sample(frac=1, random_state=0).to_numpy()), real, schema).metrics
    assert torn["marginal"] == pytest.approx(base["marginal"])
    assert torn["pairwise"] > base["pairwise"]
    assert torn["pairwise_max"] > 0.6 > base["pairwise_max"]
    one = fidelity(pd.concat([good.iloc[:1]] * 200), real, schema).metrics
    assert one["duplicates"] == 0.995
    assert one["coverage"] < 0.2
    copied = fidelity(pd.concat([real, real]), real, schema).metrics
    assert copied["nearest"] == 0 < copied["nearest_real"]
    assert copied["marginal"] == 0


def test_validity_of_hand_made_rows(schema):
    good = _draw(1, 1)
    rows = pd.concat(
        [good, good.assign(x=99.0), good.assign(x=0.123), good.assign(job="d"), good.assign(job=None), good.assign(y=7)]
    )
    assert valid(rows, schema).tolist() == [True, False, False, False, False, False]
    assert valid(good.assign(x=schema["x"].high * 1.05), schema).tolist() == [False]
    assert valid(good.assign(x=round(schema["x"].high * 1.05, 2)), schema, slack=0.1).tolist() == [True]


def test_marginal_distance_is_kolmogorov_smirnov_and_total_variation():
    from scipy.stats import ks_2samp

    a, b = _draw(50, 1)[["x", "y"]], _draw(30, 2)[["x", "y"]]
    schema = Schema.infer(pd.concat([a, b.assign(y=1)]), "y")
    assert fidelity(a, b, schema).metrics["marginal"] == pytest.approx(ks_2samp(a["x"], b["x"]).statistic)
    a = pd.DataFrame({"job": list("aaab"), "y": 0})
    b = pd.DataFrame({"job": list("abbc"), "y": 0})
    schema = Schema.infer(pd.concat([a, b.assign(y=1)]), "y")
    assert fidelity(a, b, schema).metrics["marginal"] == pytest.approx(0.5)  # (0.5 + 0.25 + 0.25) / 2


def test_missing_values_and_tiny_or_empty_sets_are_survived(schema):
    rows, real = _draw(30, 1), _draw(20, 2)
    rows.loc[rows.index[::3], ["x", "job"]] = np.nan
    real["z"] = real["z"].astype(float)
    real.loc[real.index[::4], "z"] = np.nan
    found = fidelity(rows, real, schema).metrics
    assert np.isfinite(list(found.values())).all()
    assert fidelity(rows.iloc[:0], real, schema).metrics == {}
    for n, m in ((1, 1), (1, 5), (5, 1), (2, 2), (5, 0)):
        assert np.isfinite(list(fidelity(rows.iloc[:n], real.iloc[:m], schema).metrics.values())).all()


@pytest.mark.slow
def test_groups_are_told_apart_under_names_that_mlflow_takes(schema):
    frame = pd.concat([_draw(60, 2).assign(y=k % 2, count=k // 2) for k in range(4)], ignore_index=True)
    schema = Schema.infer(frame, "y")
    groups = tuple(Group("y", k % 2, k in (1, 2), "count", bool(k // 2)) for k in range(4))
    train = Train(frame, schema, groups, 1)
    rows = pd.concat([_draw(50, 5).assign(y=1, count=0), _draw(50, 6).assign(y=0, count=1, x=9.0)])
    found = fidelity_by_group(rows, train).metrics
    good, bad = found["fidelity/y:1 count:0/marginal_max"], found["fidelity/y:0 count:1/marginal_max"]
    assert good < 0.5 < bad
    assert found["fidelity/marginal_max"] == pytest.approx((good + bad) / 2)
    alone = fidelity_by_group(rows.iloc[:50], train).metrics
    assert set(alone) == {f"fidelity/{m}" for m in fidelity(rows.iloc[:50], frame.iloc[60:120], schema).metrics}


def test_repeated_and_cheap_enough(schema):
    rows, real = _draw(200, 1), _draw(20, 2)
    first = fidelity(rows, real, schema).metrics
    start = time.process_time()
    assert fidelity(rows, real, schema).metrics == first
    assert time.process_time() - start < 5  # 0.5 s on a quiet machine
