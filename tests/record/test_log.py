"""Metric points and run descriptions."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import trials

from opal.record.run_record import DatasetInput, description_of, metrics_of, points_of, run_name, scalars, volatile
from opal.result import Rows, TrialResult, Usage


def test_mean_and_sample_standard_deviation_with_step_as_rows():
    points = {(key, step): value for key, value, step in metrics_of(trials.errors())}
    assert points["error", 10] == pytest.approx(0.165)
    assert points["error_std", 10] == pytest.approx(np.std([0.16, 0.17], ddof=1))
    assert points["seed_2/error", 20] == pytest.approx(0.27)
    assert ("control/threshold/error", 0) in points and ("control/threshold/error", 10) not in points


def test_a_mean_needs_every_seed_and_one_seed_has_no_spread():
    errors = trials.errors().query("not (seed == 2 and amount == 20)")
    keys = {(key, step) for key, _, step in metrics_of(errors)}
    assert ("error", 20) not in keys and ("seed_1/error", 20) in keys and ("error", 10) in keys
    assert not any("_std" in key for key, _, _ in metrics_of(trials.errors(seeds=(7,))))


def test_undefined_values_are_left_out():
    errors = pd.DataFrame({"seed": [1, 2], "amount": [0, 0], "metric": ["m", "m"], "value": [1.0, np.nan]})
    assert metrics_of(errors) == [("seed_1/m", 1.0, 0)]
    assert scalars({"a": None, "b": float("nan"), "c": 2}) == [("c", 2.0, 0)]


def test_names_mlflow_refuses_are_mended():
    assert scalars({"control/é(1)/error": 1.0})[0][0] == "control/é_1_/error"


def test_stable_costs_are_apart_from_paid_ones():
    usage = Usage(2, prompt_tokens=10, completion_tokens=20, money=None, paid_requests=1, seconds=3.0)
    rows = Rows(pd.DataFrame({"x": range(5)}), usage=usage)
    points = {key: value for key, value, _ in points_of(TrialResult(trials.errors(), {1: rows, 2: rows}))}
    assert points["llm/tokens_per_row"] == 6 and points["paid/requests"] == 2 and "llm/money" not in points
    assert volatile("paid/requests") and volatile("time/llm") and not volatile("llm/requests")


def test_dataset_fits_mlflows_limits():
    data = DatasetInput.of(trials.table())
    assert len(data.digest) <= 36
    assert {c["type"] for c in json.loads(data.mlflow_schema())["mlflow_colspec"]} == {"double", "string", "long"}
    assert json.loads(data.mlflow_profile())["y=1"] == 8


def test_description_and_name():
    assert "| 10 | 0.1650 | 0.0071 | 2 |" in description_of(trials.errors())
    assert run_name("gender", "llm", "logistic", "1a2b3c4d5e6f7") == "gender/llm/logistic-1a2b3c4d5e6f"
