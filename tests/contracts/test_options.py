"""Every YAML on disk composes, builds and works: a new one is tested on arrival."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_server import FakeLLM
from omegaconf import DictConfig, OmegaConf
from tables import mixed_table, number_table

from opal.config.build import CONF, build, compose, instantiate
from opal.errors import OpalError
from opal.evaluate.curve import curve
from opal.table import Table
from opal.tasks.imbalanced import Imbalanced

ROOT = Path(__file__).resolve().parents[2]
EXTRA = {  # what an option cannot know by itself
    "method=replay": ["method.path='rows_{seed}.csv'"],
    "llm=openai_compatible": ["llm.base_url=http://127.0.0.1:9/v1", "llm.model=m"],
    "data=csv": ["data.path=table.csv", "data.target=y"],
    "data=openml": ["data.id=37"],
    "data=sklearn": ["data.name=wine"],
}


def options(group: str) -> list[str]:
    return sorted(p.stem for p in Path(CONF, group).glob("*.yaml"))


@cache
def composed(*overrides: str) -> dict[str, Any]:
    extra = [e for o in overrides for e in EXTRA.get(o, [])]
    return compose(*overrides, *extra)


GROUPS = sorted(p.name for p in Path(CONF).iterdir() if p.is_dir())
DEFAULTS = {
    group
    for name in ("base.yaml", "run.yaml")
    for default in OmegaConf.load(Path(CONF, name)).defaults
    if isinstance(default, DictConfig)
    for group in default
}
ALL = [f"{group}={option}" for group in GROUPS for option in options(group)]


@pytest.mark.slow
@pytest.mark.parametrize("option", ALL)
def test_every_option_composes(option):
    config = composed(option if option.split("=")[0] in DEFAULTS else f"+{option}")
    assert config["seeds"]


@pytest.mark.slow
@pytest.mark.parametrize("table", [number_table(400), mixed_table(400)], ids=lambda t: t.name)
@pytest.mark.parametrize("name", options("classifier"))
def test_every_classifier_fits_or_says_why_not(name: str, table: Table, request, monkeypatch):
    if name in ("lightgbm", "xgboost"):
        pytest.importorskip(name)  # extras
    if name == "tabicl":
        monkeypatch.setenv("OPAL_TABICL_WEIGHTS", str(request.getfixturevalue("tabicl_weights")))
    classifier = instantiate(composed(f"classifier={name}"), "classifier")
    split = Imbalanced(40, 0.2, test_rows=60).split(table, 1)
    try:
        found = curve(classifier, [split], [split.train.frame.iloc[:0]], [[0]], table.minority)
    except OpalError as fault:
        assert name.startswith("paper_"), fault  # the published classifiers know their tables only
        return
    assert 0 <= found.set_index("metric")["value"]["error"] < 0.6


@pytest.mark.parametrize("table", [number_table(400), mixed_table(400)], ids=lambda t: t.name)
@pytest.mark.parametrize("name", [n for n in options("method") if n not in ("llm", "replay")])
def test_every_method_makes_rows_or_names_the_columns_it_cannot_carry(name: str, table: Table):
    if name in ("ctgan", "tvae"):
        pytest.importorskip("ctgan")  # an extra
    method = instantiate(composed(f"method={name}"), "method")
    train = Imbalanced(40, 0.2, test_rows=60).split(table, 1).train
    try:
        rows = method.sample(train, 12).frame
    except OpalError as fault:
        assert any(repr(c) in str(fault) for c in table.frame.columns) or "experiment=" in str(fault)
        return
    assert list(rows.columns) == list(train.frame.columns)
    assert (rows.dtypes == train.frame.dtypes).all()
    assert len(rows) == (0 if name == "none" else 12)


@pytest.mark.slow
@pytest.mark.parametrize("name", options("prompt"))
@pytest.mark.parametrize("table", [number_table(400), mixed_table(400)], ids=lambda t: t.name)
def test_every_prompt_shows_minority_rows_and_takes_rows_back(name: str, table: Table, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    from opal.llm.rows.serialize import to_text

    split = Imbalanced(40, 0.2, test_rows=60).split(table, 1)
    minority = split.train.rows(split.train.minority_groups[0])
    fresh = split.test[split.test[table.schema.target] == table.minority]
    assert len(fresh) >= 6
    with FakeLLM(answer=lambda body: to_text(fresh, split.train.schema, config["prompt"]["serialization"])) as server:
        given = ("method=llm", "llm=openai", f"prompt={name}", f"llm.store={tmp_path}", f"llm.base_url={server.url}")
        config = compose(*given)
        rows = instantiate(config, "method").sample(split.train, 4)
    assert len(rows.frame) == 4 and rows.funnel.kept == 4
    asked = str(server.requests[-1])
    some_value = minority[table.schema.features[0].name].iloc[0]
    assert str(some_value) in asked


@pytest.mark.parametrize("name", ["free", pytest.param("ensembles", marks=pytest.mark.slow), "foundation"])
def test_the_controls_are_functions_of_a_split(name: str, request, monkeypatch):
    table = number_table(400) if name == "free" else mixed_table(400)
    if name == "foundation":
        monkeypatch.setenv("OPAL_TABICL_WEIGHTS", str(request.getfixturevalue("tabicl_weights")))
    controls = instantiate(composed(f"controls={name}"), "controls")
    controls = {k: c for k, c in controls.items() if name == "free" or k not in composed("controls=free")["controls"]}
    split = Imbalanced(40, 0.2, test_rows=60).split(table, 1)
    classifier = instantiate(composed("classifier=logistic"), "classifier")
    raw = classifier.fit(split.train.frame, split.train.schema).predict_proba(split.test)
    for control in controls.values():
        proba, predicted = control(classifier, split, table.minority, raw)
        assert proba.shape == (60, 2) and np.isin(predicted, [0, 1]).all()


def test_a_plugin_needs_no_core_file(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "plugin"))
    search = f"hydra.searchpath=[file://{ROOT}/tests/plugin/conf]"
    config = compose("method=jitter", search)
    table = number_table(400)
    rows = build(config, table).method.sample(Imbalanced(40, 0.2, test_rows=60).split(table, 1).train, 10)
    assert len(rows.frame) == 10
