"""Filters leave out the rows they name, for reasons that the funnel counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tables import mixed_table

from opal.errors import ConfigError
from opal.evaluate.curate import (
    Agreement,
    Chain,
    Confidence,
    Dedup,
    Linear,
    Neighbour,
    SchemaFilter,
    curate,
    own_label_probabilities,
)
from opal.result import Funnel
from opal.table import Group, Schema, Train

CONF = Path(__file__).resolve().parents[2] / "conf" / "curate"
RNG = np.random.default_rng(0)


@pytest.fixture
def train() -> Train:
    """Two clear clusters: label 0 (minority) near x = 0, label 1 near x = 10."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "x": np.r_[rng.normal(0, 1, 10), rng.normal(10, 1, 40)].round(1),
            "z": rng.normal(0, 1, 50).round(1),
            "y": [0] * 10 + [1] * 40,
        }
    )
    groups = (Group("y", 0, True), Group("y", 1, False))
    return Train(frame, Schema.infer(frame, "y"), groups, 1)


def _rows(*x: float) -> pd.DataFrame:
    return pd.DataFrame({"x": list(x), "z": 0.0, "y": 0})


def test_dedup_leaves_out_repeats_and_copies_of_train(train):
    rows = pd.concat([train.frame.iloc[[0]], _rows(0.37, 0.37, 0.12)])
    assert Dedup()(rows, train, RNG)[0].tolist() == [False, True, False, True]
    assert Dedup(against_train=False)(rows, train, RNG)[0].tolist() == [True, True, False, True]


def test_schema_leaves_out_what_train_could_not_hold(train):
    low, high = train.schema["x"].low, train.schema["x"].high
    keep, reason = SchemaFilter(slack=0.0)(_rows(low, high, round(high + 0.1, 1), 0.123), train, RNG)
    assert keep.tolist() == [True, True, False, False]
    assert reason == "outside schema"
    assert SchemaFilter(slack=0.1)(_rows(round(high + 0.1, 1)), train, RNG)[0].all()


def test_neighbour_leaves_out_rows_far_from_their_group(train):
    keep, _ = Neighbour()(_rows(0.2, 5.0, 10.0), train, RNG)
    assert keep.tolist() == [True, False, False]
    assert Neighbour(slack=100)(_rows(10.0), train, RNG)[0].all()
    copy = train.frame.iloc[[0]]
    assert Neighbour()(copy, train, RNG)[0].all()
    assert not Neighbour(closest=0.01)(copy, train, RNG)[0].any()


def test_confidence_leaves_out_rows_whose_label_is_steadily_disbelieved(train):
    keep, reason = Confidence()(_rows(0.0, 10.0), train, np.random.default_rng(0))
    assert keep.tolist() == [True, False]
    assert reason == "label doubted"
    keep, _ = Agreement()(_rows(0.0, 10.0), train, np.random.default_rng(0))
    assert keep.tolist() == [True, False]
    stages = own_label_probabilities(_rows(0.0, 10.0), train, 30, np.random.default_rng(0))
    assert stages.shape == (30, 2)
    assert stages[-1, 0] > 0.9 > 0.1 > stages[-1, 1]


def test_a_row_between_the_classes_is_uncertain_and_stays():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=400).round(2), "y": rng.integers(0, 2, 400)})  # x tells nothing
    train = Train(frame, Schema.infer(frame, "y"), (Group("y", 0, True), Group("y", 1, False)), 1)
    keep, _ = Confidence(iterations=20)(frame.iloc[:50], train, np.random.default_rng(0))
    assert keep.mean() > 0.95


def test_the_funnel_counts_each_reason_and_nothing_is_counted_twice(train):
    rows = pd.concat([train.frame.iloc[[0]], _rows(0.3, 0.3, 10.0, 99.0)], ignore_index=True)
    given = Funnel(requested=9, received=7, parsed=6, valid=5, kept=5)
    kept, funnel = curate(rows, train, Chain([SchemaFilter(), Dedup(), Confidence()]), np.random.default_rng(0), given)
    assert kept["x"].tolist() == [0.3]
    assert funnel.rejects == {"outside schema": 1, "duplicate": 2, "label doubted": 1}
    assert (funnel.requested, funnel.valid, funnel.kept) == (9, 5, 1)
    assert given.kept == 5 and not given.rejects  # the given one is as it was
    mask, _ = Chain([SchemaFilter(), Dedup(), Confidence()])(rows, train, np.random.default_rng(0))
    assert rows[mask].equals(kept)


def test_a_mistaken_value_is_named():
    with pytest.raises(ConfigError, match=r"curate.confidence=2"):
        Confidence(confidence=2)


@pytest.mark.parametrize("name", sorted(f.stem for f in CONF.glob("*.yaml")))
def test_every_filter_on_disk_takes_any_table(name):
    """Missing values, text, a label x attribute group; no rows; a train row is never refused for its missing values."""
    table = mixed_table(200)
    frame = table.frame
    groups = tuple(Group("outcome", o, o == "yes", "smoker", s) for o in ("no", "yes") for s in ("no", "yes"))
    train = Train(frame.iloc[:100], table.schema.learn(frame.iloc[:100]), groups, 1)
    one = instantiate(OmegaConf.load(CONF / f"{name}.yaml"))
    rows = frame.iloc[100:]
    before = rows.copy()
    keep, reason = one(rows, train, np.random.default_rng(0))
    assert keep.shape == (100,) and keep.dtype == bool
    assert reason
    pd.testing.assert_frame_equal(rows, before)
    assert keep.mean() > 0.4  # fresh real rows mostly pass
    again, _ = one(rows, train, np.random.default_rng(0))
    assert (keep == again).all()
    assert one(rows.iloc[:0], train, np.random.default_rng(0))[0].shape == (0,)
    if name == "none":
        assert keep.all()


def test_linear_leaves_out_rows_that_look_like_another_class(train):
    kept, funnel = curate(_rows(0.2, 1.5, 9.0, 10.5), train, Linear(), RNG)
    assert kept["x"].tolist() == [0.2, 1.5] and funnel.rejects == {"label unlikely": 2}


def test_linear_lets_no_attribute_decide_that_agrees_with_the_label():
    """task=spurious: rows of the minority cells are those whose attribute disagrees; they must stay."""
    rng = np.random.default_rng(0)
    label = np.repeat(["a", "b"], 60)
    sex = np.where(np.arange(120) % 12 == 0, np.where(label == "a", 1, 0), np.where(label == "a", 0, 1))
    x = rng.normal(0, 0.6, 120) + (label == "b") * 2
    frame = pd.DataFrame({"x": x.round(2), "sex": sex, "y": label})
    groups = tuple(Group("y", v, (v == "a") == level, "sex", level) for v in "ab" for level in (False, True))
    train = Train(frame, Schema.infer(frame, "y", {"sex": "integer"}), groups, 1)
    rows = pd.DataFrame({"x": [-0.5, 0.0, 0.4], "sex": 1, "y": "a"})
    assert len(curate(rows, train, Linear(), RNG)[0]) == 3


def test_several_classes_and_a_single_one(train):
    frame = pd.DataFrame(
        {"x": np.r_[np.zeros(20), np.ones(20) * 5, np.ones(20) * 9], "y": np.repeat(["a", "b", "c"], 20)}
    )
    groups = tuple(Group("y", v, v != "a") for v in "abc")
    many = Train(frame, Schema.infer(frame, "y"), groups, 1)
    rows = pd.DataFrame({"x": [5.0, 9.0, 9.0], "y": ["b", "c", "b"]})
    assert curate(rows, many, Linear(), RNG)[0]["y"].tolist() == ["b", "c"]
    rare = replace(train, frame=train.frame.iloc[7:])
    assert len(curate(_rows(0.0, 10.0), rare, Linear(), RNG)[0]) == 2  # three real rows of label 0
    assert len(curate(_rows(0.0, 10.0), rare, Linear(least=3), RNG)[0]) == 1
    alone = replace(train, frame=train.frame[train.frame["y"] == 1])
    assert len(curate(_rows(0.0, 10.0), alone, Linear(), RNG)[0]) == 2
