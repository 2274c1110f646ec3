"""Every YAML in conf/data: a new one is tested on arrival."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hydra.utils import get_method, instantiate
from omegaconf import OmegaConf
from tables import mixed_frame

from opal.data.build import Common
from opal.table import MAX_DECIMALS, Kind, Table

CONF = Path(__file__).resolve().parents[2] / "conf" / "data"
SHARED = CONF.parents[2] / "shared" / "data"
NAMES = sorted(f.stem for f in CONF.glob("*.yaml"))
LOADED = [  # tests/data/test_bundled.py plays openml.org; downloaded tables come from the reference data
    pytest.param(name, marks=[pytest.mark.reference] if "urls" in OmegaConf.load(CONF / f"{name}.yaml") else [])
    for name in NAMES
    if name != "openml"
]


def load(name: str, tmp_path: Path) -> Table:
    given = {}
    if name == "csv":
        mixed_frame().to_csv(tmp_path / "my.csv", index=False)
        given = {"path": str(tmp_path / "my.csv"), "target": "outcome"}
    options = OmegaConf.load(CONF / f"{name}.yaml")
    config = OmegaConf.create({"data_dir": str(SHARED), "data": options})
    return instantiate(config.data, **given)


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_those_of_the_function(name):
    options = OmegaConf.load(CONF / f"{name}.yaml")
    parameters = inspect.signature(get_method(options._target_)).parameters
    known = {n for n, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    common = set(Common.__annotations__) if len(known) < len(parameters) else set()
    keys = {str(k) for k in options} - {"_target_"}
    assert keys <= known | common, f"unknown: {sorted(keys - known - common)}"
    # every common key stands in the file, so that data.KEY=VALUE works without a plus sign
    assert common <= keys, f"missing: {sorted(common - keys)}"


@pytest.mark.parametrize("name", LOADED)
def test_table_holds_its_promises(name, tmp_path):
    table = load(name, tmp_path)
    frame, schema = table.frame, table.schema
    assert list(frame.index) == list(range(len(frame)))
    assert list(frame.columns) == schema.names and len(set(schema.names)) == len(schema.names)
    assert all(c.kind in get_args(Kind) for c in schema.columns)
    assert schema[schema.target].kind in ("binary", "categorical")
    assert frame[schema.target].notna().all()
    assert table.minority in set(frame[schema.target])
    assert table.group is None or table.group in frame.columns
    for column in schema.columns:
        if column.kind in ("integer", "real"):
            known = frame[column.name].dropna()
            slack = 0 if column.decimals < MAX_DECIMALS else 0.5 * 10**-column.decimals
            assert np.abs(known.round(column.decimals) - known).max() <= slack * 1.001, column.name
    assert set(table.sizes) <= {"imbalanced", "spurious"}


@pytest.mark.parametrize("name", LOADED)
def test_two_loads_are_equal(name, tmp_path):
    assert load(name, tmp_path).digest == load(name, tmp_path).digest
